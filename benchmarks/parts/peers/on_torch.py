"""PyTorch with timm's networks; runs in the other frameworks' environment, without the pipeline's packages."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.parts.peers.loop import Variant, VariantBuilders

TIMM_NAMES = {"DenseNet121": "densenet121", "InceptionResNetV2": "inception_resnet_v2"}
LAYOUTS = {"": torch.contiguous_format, ", channels last": torch.channels_last}
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def inference(name: str, size: int, rows: int) -> VariantBuilders:
    """A frozen backbone with random weights, on a batch of `rows` pictures in memory."""
    torch.manual_seed(42)
    pictures = torch.rand(rows, 3, size, size)

    def build(dtype: torch.dtype, layout: torch.memory_format, compiles: bool) -> Variant:
        network = backbone(name).to(dtype).to(memory_format=layout)
        predict = _compiled(network) if compiles else network
        return torch.inference_mode()(partial(predict, pictures.to(dtype).to(memory_format=layout)))

    return _variants(build, compiled_layout=torch.channels_last)


def training(size: int, rows: int, classes: int) -> VariantBuilders:
    """One Adam step of the report's CNN (section 1.6), on a batch of `rows` pictures in memory."""
    torch.manual_seed(42)
    pictures, labels = torch.rand(rows, 3, size, size), torch.randint(classes, (rows,))

    def build(dtype: torch.dtype, layout: torch.memory_format, compiles: bool) -> Variant:
        network, batch = cnn(size, classes).to(memory_format=layout), pictures.to(memory_format=layout)
        predict = torch.compile(network) if compiles else network
        adam = torch.optim.Adam(network.parameters(), lr=0.001, fused=True)

        def step() -> None:
            adam.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                loss = nn.functional.cross_entropy(predict(batch), labels)
            loss.backward()
            adam.step()

        return step

    return _variants(build, compiled_layout=torch.contiguous_format)


def cnn(size: int, classes: int) -> nn.Module:
    """The layers of realwaste.models.cnn; PyTorch's loss contains the last softmax."""
    blocks = [
        layer
        for before, after in ((3, 32), (32, 64))
        for layer in (nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2))
    ]
    hidden = [nn.Flatten(), nn.Linear((size // 4) ** 2 * 64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()]
    return nn.Sequential(*blocks, *hidden, nn.Linear(64, classes))


def backbone(name: str) -> nn.Module:
    """timm's network of this name, whose output is one vector per picture."""
    network: nn.Module = _timm().create_model(TIMM_NAMES[name], num_classes=0)
    return network.eval()


def _compiled(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch._inductor.config as inductor  # noqa: PLC0415 - eager PyTorch does not need it

    inductor.freezing = True  # treats weights as constants
    return torch.compile(network)


def _variants(build: Callable[..., Variant], compiled_layout: torch.memory_format) -> VariantBuilders:
    options = {
        f"{format_name}{layout_name}": (dtype, layout, False)
        for format_name, dtype in FORMATS.items()
        for layout_name, layout in LAYOUTS.items()
    }
    options["bfloat16, compiled"] = (torch.bfloat16, compiled_layout, True)
    return {f"PyTorch, {name}": partial(build, *values) for name, values in options.items()}


def _timm() -> Any:
    """timm, whose networks need no operator of torchvision, which it imports.

    PyPI's torchvision is built for torch with CUDA. With a CPU build of torch its operators are missing, and its import
    fails unless two of them have been declared.
    """
    try:
        import timm  # noqa: PLC0415
    except RuntimeError:
        for module in [name for name in sys.modules if name.partition(".")[0] in {"timm", "torchvision"}]:
            del sys.modules[module]
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        import timm  # noqa: PLC0415
    return timm
