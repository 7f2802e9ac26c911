"""The precision that `auto` chooses, by the capabilities of the processor and the GPUs."""

import pytest
import tensorflow as tf

from realwaste.core import machine
from realwaste.core.log import logger
from realwaste.runtime import device


@pytest.fixture
def set_hardware(monkeypatch, tmp_path):
    """set_hardware(flags="…", capabilities=[(8, 0)]): simulate this processor and these GPUs."""

    def set_all(flags: str | None = "", capabilities: tuple[tuple[int, int], ...] = ()) -> None:
        cpuinfo = tmp_path / "cpuinfo"
        if flags is not None:
            cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t\t:\n")
        monkeypatch.setattr(machine, "CPUINFO", cpuinfo)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(capabilities))
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": gpu} if gpu else {}
        )

    return set_all


@pytest.mark.parametrize(
    ("flags", "capabilities", "expected"),
    [
        ("avx2 avx512f avx512_bf16", (), "mixed_bfloat16"),
        ("amx_bf16", (), "mixed_bfloat16"),
        ("avx2 avx512f", (), "float32"),
        ("bf16", (), "float32"),
        (None, (), "float32"),
        ("", ((9, 0),), "mixed_bfloat16"),
        ("avx512_bf16", ((7, 5),), "float32"),
        ("", ((8, 0), (7, 5)), "float32"),
        ("", ((),), "float32"),
    ],
)
def test_auto_precision_is_bfloat16_if_the_hardware_supports_it(set_hardware, flags, capabilities, expected):
    set_hardware(flags, capabilities)
    assert device.resolve_precision("auto") == expected


@pytest.mark.parametrize("choice", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_named_precision_is_used(set_hardware, choice):
    set_hardware()
    assert device.resolve_precision(choice) == choice


def test_float16_on_a_processor_logs_a_warning(set_hardware, caplog, monkeypatch):
    set_hardware()
    monkeypatch.setattr(logger, "propagate", True)
    device.resolve_precision("mixed_float16")
    assert "emulated on a processor" in caplog.text
