"""OpenVINO without its telemetry, of which its import alone sends a line to Google Analytics, asking nobody."""

import sys

# Without this package it has a stub of its own. Python's way to say of a module that it is not there is None.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

__all__ = ["openvino"]
