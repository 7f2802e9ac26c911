"""Combinations of parameters that are impossible, or impossible on this machine; refused before any stage runs.

A later stage would notice only after hours of earlier ones.
"""

from importlib.util import find_spec
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.models import applications, registry
from stages.launcher.params import Params

_EXPORT_PACKAGES = {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",), "saved_model": ()}


def check(params: Params) -> None:
    """Raise UserError for parameters that exclude each other."""
    if params.lr_sweep.prune and params.base.engine == "local":
        rule = "params.yaml: lr_sweep.prune compares rates in parallel; base.engine=local trains one after the other."
        raise UserError(rule, "Set base.engine=ray, or lr_sweep.prune=false.", True)
    sections = {name: getattr(params, f"finetune_{name}") for name in registry.BACKBONES}
    for name, section in sections.items():
        _check_backbone(f"finetune_{name}", section.backbone, section.image_size, f"finetune_{name}")
        _check_weights(name, section.backbone, section.weights)
        if params.shortcuts.backbone in ("auto", name):
            _check_backbone("shortcuts", section.backbone, params.shortcuts.image_size, f"finetune_{name}")


def _check_backbone(section: str, backbone: str, image_size: int, backbone_section: str) -> None:
    if applications.is_file(backbone):
        return
    row = applications.application(backbone)
    if image_size < row.min_size:
        rule = f"params.yaml: {section}.image_size must be at least {row.min_size}, which {row.name} needs."
        raise UserError(rule, f"Raise it, or set another {backbone_section}.backbone.", image_size)


def _check_weights(name: str, backbone: str, weights: str) -> None:
    if applications.is_file(backbone) and weights != "auto":
        rule = f"params.yaml: finetune_{name}.weights must be auto: {backbone} holds its own weights."
        raise UserError(rule, f"Set finetune_{name}.weights=auto, or name a constructor as the backbone.", weights)


def check_environment(params: Params) -> None:
    """Raise UserError for a package or folder that a later stage would find missing."""
    if params.base.engine == "ray" and find_spec("ray") is None:
        rule, remedy = "base.engine=ray needs Ray.", "Run `make setup-dev`, or pip install '.[ray]', in the checkout."
        raise UserError(rule, remedy, "no ray")
    for kind in params.evaluate.exports:
        if missing := [package for package in _EXPORT_PACKAGES[kind] if find_spec(package) is None]:
            rule = f"evaluate.exports={kind} needs packages that are not installed: {', '.join(missing)}."
            raise UserError(rule, "Run `make setup-dev`, or pip install '.[export]', in the checkout.")
    for source in params.evaluate.external:
        path = Path(source).expanduser()
        if "://" not in source and not path.exists():
            rule = "evaluate.external must name folders, zips, CSVs or the http(s) URLs of zips, that are there."
            remedy = f"From here it is {path.absolute()}. Queued and --temp experiments need an absolute one."
            raise UserError(rule, remedy, source)
