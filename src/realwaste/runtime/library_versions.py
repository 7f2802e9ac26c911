"""The libraries that results depend on to the last digit, in their versions here."""

from importlib.metadata import version

_NAMES = ("tensorflow", "keras", "openvino", "numpy", "opencv-python-headless", "pillow", "pi-heif")


def versions() -> dict[str, str]:
    """The version of each, by its name on the package index."""
    return {name: version(name) for name in _NAMES}
