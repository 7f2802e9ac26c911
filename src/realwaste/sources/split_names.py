"""What people call train, val and test, as folders and in tables."""

from realwaste.dataset.labels import PARTS

_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
SAID = f"{', '.join(PARTS)} (or {', '.join(name for name in _NAMES if name not in PARTS)})"


def part_of(name: str) -> str | None:
    """The part of a split that goes by this name, in any letter case; None where none does."""
    return _NAMES.get(name.strip().casefold())
