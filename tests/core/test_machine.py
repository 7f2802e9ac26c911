"""Records of the machine in metrics files, and what is logged about the device of a training."""

import subprocess

import pytest
import tensorflow as tf

from realwaste.core import machine
from realwaste.core.log import logger
from realwaste.runtime import device

X86 = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU part\t: 0xd40\n\n"


@pytest.fixture
def set_gpus(monkeypatch):
    """set_gpus("A", "B") sets the GPUs that TensorFlow sees; an empty name is a GPU of unknown name."""

    def patch_tensorflow(*names: str) -> None:
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(names))
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda gpu: {"device_name": gpu} if gpu else {}
        )

    return patch_tensorflow


@pytest.mark.parametrize(("text", "name"), [(X86, "AMD EPYC (family 25 model 17)"), (ARM, "arm"), (None, "arm")])
def test_the_processor_name_and_flags_are_read_from_cpuinfo(text, name, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "arm")
    monkeypatch.setattr("sys.platform", "linux")
    if text is not None:
        machine.CPUINFO.write_text(text)
    assert machine.processor() == name
    assert machine.cpu_flags() == ({"fpu", "avx2"} if text == X86 else set())


def test_the_processor_name_on_macos_is_read_from_sysctl(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "absent")
    monkeypatch.setattr("sys.platform", "darwin")
    process = subprocess.CompletedProcess([], 0, stdout="Apple M3\n")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: process)
    assert machine.processor() == "Apple M3"


def test_a_record_lists_the_gpus_or_none(set_gpus):
    set_gpus()
    assert device.record("float32") == machine.record("float32")
    assert machine.record("float32")["gpu"] == "none"
    set_gpus("NVIDIA H100", "")
    record = device.record("mixed_bfloat16", "ray")
    assert list(record) == list(machine.KEYS)
    assert record["gpu"] == "NVIDIA H100, of unknown name"
    assert machine.describe(record).endswith("GPU NVIDIA H100, of unknown name; mixed_bfloat16; engine ray")


def test_merge_records_names_the_stages_of_values_that_differ():
    first = {"processor": "A", "cores": 2, "gpu": "none", "precision": "float32", "engine": "local"}
    second = first | {"processor": "B", "cores": 16}
    assert machine.merge_records({"embed": first, "finetune": first}) == first
    assert machine.merge_records({"embed": second, "finetune": first, "evaluate": first}) == first | {
        "processor": "B (embed) and A (finetune, evaluate)",
        "cores": "16 (embed) and 2 (finetune, evaluate)",
    }


@pytest.mark.parametrize(
    ("driver_file", "visible", "gpus", "warns"),
    [
        ("nvidia0", None, [], True),
        ("nvidia0", "0", [], True),
        ("nvidia0", "-1", [], False),
        ("nvidia0", None, ["NVIDIA H100"], False),
        ("another", None, [], False),
    ],
)
def test_an_installed_gpu_that_tensorflow_does_not_see_is_warned_about(driver_file, visible, gpus, warns, log_messages):
    device_line, *other_lines = log_messages(driver_file, visible, gpus)
    assert device_line.startswith("computes on ")
    assert ("GPU NVIDIA H100" if gpus else "no GPU") in device_line
    assert ["tensorflow[and-cuda]" in line for line in other_lines] == [True] * warns


@pytest.fixture
def log_messages(set_gpus, tmp_path, monkeypatch, caplog):
    """log_messages(driver_file, visible, gpus): what log_device logs with a file of NVIDIA's driver and these GPUs."""

    def log(driver_file: str, visible: str | None, gpus: list[str]) -> list[str]:
        set_gpus(*gpus)
        (tmp_path / driver_file).touch()
        # A test that called log.setup has ended propagation. pytest then adds its handler to this logger too, and with
        # both it would capture each message twice.
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(machine, "NVIDIA_FILES", (tmp_path / "version", tmp_path / "nvidia0"))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        with caplog.at_level("INFO", "realwaste"):
            device.log_device(device.record("float32"))
        return caplog.messages

    return log
