"""The models of a run: their names, their files, and which of them are switched off.

For a model that is off, each file and folder contains the word `off`, because DVC requires every output of a stage.
"""

from pathlib import Path

from realwaste.core.files import is_stage_output, write_json, write_text

BACKBONES = ("irv2", "densenet", "edge")
MODELS = ("cnn", *BACKBONES)
FOLDER, SUFFIX = Path("models"), ".keras"
OFF = "off"
"""In metrics also the backbone of a model that is off."""
_TEXT = f"{OFF}\n"  # DVC warns of empty files


def model_path(name: str) -> Path:
    """The path of a saved model, relative to the checkout."""
    return FOLDER / f"{name}{SUFFIX}"


def enabled_models() -> list[str]:
    """The names of the models that are not off, in display order."""
    return [name for name in MODELS if not is_off(model_path(name))]


def is_off(path: Path) -> bool:
    """Whether `mark_off` wrote `path`."""
    return path.is_file() and path.stat().st_size == len(_TEXT) and path.read_bytes() == _TEXT.encode()


def mark_off(*paths: Path) -> None:
    """Write the word `off` to each path: the outputs of a model that is off."""
    for path in paths:
        write_text(path, _TEXT, is_stage_output)


def switch_off(metrics: Path, dataset: str, *outputs: Path) -> None:
    """Write what a stage writes for a model that is off: marked outputs, and metrics with the backbone `off`."""
    mark_off(*outputs)
    write_json(metrics, {"dataset": dataset, "backbone": OFF})
