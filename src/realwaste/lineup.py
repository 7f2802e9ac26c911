"""Which models there are, and which of them a run has."""

from pathlib import Path

from realwaste import absence

BACKBONES = ("irv2", "densenet", "edge")
MODELS = ("cnn", *BACKBONES)
FOLDER, SUFFIX = Path("models"), ".keras"


def file(name: str) -> Path:
    """Of the saved model, below the checkout."""
    return FOLDER / f"{name}{SUFFIX}"


def on() -> list[str]:
    """The models that are not off, in the order in which they are shown."""
    return [name for name in MODELS if not absence.is_off(file(name))]
