"""What the metrics say that they were made on, and what a training says of its device."""

import subprocess

import pytest
import tensorflow as tf

from realwaste.core import machine
from realwaste.core.log import logger
from realwaste.runtime import device

X86 = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU part\t: 0xd40\n\n"


@pytest.fixture
def gpus(monkeypatch):
    """gpus("A", "B"): GPUs that TensorFlow sees; without a name one whose driver tells nothing."""

    def make(*names: str) -> None:
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(names))
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda gpu: {"device_name": gpu} if gpu else {}
        )

    return make


@pytest.mark.parametrize(("text", "name"), [(X86, "AMD EPYC (family 25 model 17)"), (ARM, "arm"), (None, "arm")])
def test_the_processors_name(text, name, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "arm")
    monkeypatch.setattr("sys.platform", "linux")
    if text is not None:
        machine.CPUINFO.write_text(text)
    assert machine.processor() == name
    assert machine.cpu_flags() == ({"fpu", "avx2"} if text == X86 else set())


def test_apples_processor_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "absent")
    monkeypatch.setattr("sys.platform", "darwin")
    done = subprocess.CompletedProcess([], 0, stdout="Apple M3\n")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: done)
    assert machine.processor() == "Apple M3"


def test_a_record_names_the_gpus_or_none(gpus):
    gpus()
    assert device.record("float32") == machine.record("float32")
    assert machine.record("float32")["gpu"] == "none"
    gpus("NVIDIA H100", "")
    made = device.record("mixed_bfloat16", "ray")
    assert list(made) == list(machine.KEYS)
    assert made["gpu"] == "NVIDIA H100, of unknown name"
    assert machine.describe(made).endswith("GPU NVIDIA H100, of unknown name; mixed_bfloat16; engine ray")


def test_records_of_one_machine_are_one_and_those_of_two_name_their_stages():
    here = {"processor": "A", "cores": 2, "gpu": "none", "precision": "float32", "engine": "local"}
    there = here | {"processor": "B", "cores": 16}
    assert machine.merge_records({"embed": here, "finetune": here}) == here
    assert machine.merge_records({"embed": there, "finetune": here, "evaluate": here}) == here | {
        "processor": "B (embed) and A (finetune, evaluate)",
        "cores": "16 (embed) and 2 (finetune, evaluate)",
    }


@pytest.mark.parametrize(
    ("there", "visible", "seen", "warned"),
    [
        ("nvidia0", None, [], True),
        ("nvidia0", "0", [], True),
        ("nvidia0", "-1", [], False),
        ("nvidia0", None, ["NVIDIA H100"], False),
        ("another", None, [], False),
    ],
)
def test_a_gpu_that_lies_idle_is_said(there, visible, seen, warned, idle):
    first, *more = idle(there, visible, seen)
    assert first.startswith("computes on ")
    assert ("GPU NVIDIA H100" if seen else "no GPU") in first
    assert ["tensorflow[and-cuda]" in message for message in more] == [True] * warned


@pytest.fixture
def idle(gpus, tmp_path, monkeypatch, caplog):
    """idle(there, visible, seen): what is said where a driver left this file, and TensorFlow sees these GPUs."""

    def warnings(there: str, visible: str | None, seen: list[str]) -> list[str]:
        gpus(*seen)
        (tmp_path / there).touch()
        # log.setup, in whatever test, ends propagation; pytest then listens to this logger too, and would hear twice.
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(machine, "NVIDIA_FILES", (tmp_path / "version", tmp_path / "nvidia0"))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        with caplog.at_level("INFO", "realwaste"):
            device.log_device(device.record("float32"))
        return caplog.messages

    return warnings
