"""PyTorch, with timm's networks: runs in the peers' environment, and needs nothing of the pipeline's."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.parts.peers.loop import Makers, Way

TIMM_NAMES = {"DenseNet121": "densenet121", "InceptionResNetV2": "inception_resnet_v2"}
LAYOUTS = {"": torch.contiguous_format, ", channels last": torch.channels_last}
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def inference(name: str, size: int, rows: int) -> Makers:
    """A frozen backbone with random weights, on `rows` pictures in memory."""
    torch.manual_seed(42)
    pictures = torch.rand(rows, 3, size, size)

    def maker(dtype: torch.dtype, layout: torch.memory_format, compiles: bool) -> Callable[[], Way]:
        def make() -> Way:
            network = backbone(name).to(dtype).to(memory_format=layout)
            batch = pictures.to(dtype).to(memory_format=layout)
            answer = _compiled(network) if compiles else network
            return torch.inference_mode()(lambda: answer(batch))

        return make

    return _named(maker, {"bfloat16, compiled": (torch.bfloat16, torch.channels_last, True)})


def training(size: int, rows: int, classes: int) -> Makers:
    """One step of Adam on the report's CNN (section 1.6), on `rows` pictures in memory."""
    torch.manual_seed(42)
    pictures, labels = torch.rand(rows, 3, size, size), torch.randint(classes, (rows,))

    def maker(dtype: torch.dtype, layout: torch.memory_format, compiles: bool) -> Callable[[], Way]:
        def make() -> Way:
            network, batch = cnn(size, classes).to(memory_format=layout), pictures.to(memory_format=layout)
            answer = torch.compile(network) if compiles else network
            adam = torch.optim.Adam(network.parameters(), lr=0.001, fused=True)
            low = dtype != torch.float32

            def step() -> None:
                adam.zero_grad()
                with torch.autocast("cpu", torch.bfloat16) if low else contextlib.nullcontext():
                    loss = nn.functional.cross_entropy(answer(batch), labels)
                loss.backward()
                adam.step()

            return step

        return make

    return _named(maker, {"bfloat16, compiled": (torch.bfloat16, torch.contiguous_format, True)})


def cnn(size: int, classes: int) -> nn.Module:
    """The layers of realwaste.models.cnn; the last softmax is in PyTorch's loss."""
    blocks = [
        layer
        for before, after in ((3, 32), (32, 64))
        for layer in (nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2))
    ]
    hidden = [nn.Flatten(), nn.Linear((size // 4) ** 2 * 64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()]
    return nn.Sequential(*blocks, *hidden, nn.Linear(64, classes))


def backbone(name: str) -> nn.Module:
    """timm's network of this name, answering with one vector a picture."""
    network: nn.Module = _timm().create_model(TIMM_NAMES[name], num_classes=0)
    return network.eval()


def _compiled(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch._inductor.config as inductor  # noqa: PLC0415 - eager PyTorch need not wait for it

    inductor.freezing = True  # weights are constants, and laid out once
    return torch.compile(network)


def _named(maker: Callable[..., Callable[[], Way]], compiled: dict[str, tuple[Any, ...]]) -> Makers:
    eager = {f"{kind}{how}": (FORMATS[kind], layout, False) for kind in FORMATS for how, layout in LAYOUTS.items()}
    return {f"PyTorch, {name}": maker(*chosen) for name, chosen in (eager | compiled).items()}


def _timm() -> Any:
    """timm, which imports torchvision, of which its networks need no operator.

    PyPI's torchvision is built for CUDA's torch. Beside a CPU build its operators are not there, and the import fails
    of two of them unless somebody has declared them.
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
