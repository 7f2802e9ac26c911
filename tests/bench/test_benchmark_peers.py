"""The peers' side of the benchmark without the peers: environments, turns, tables. No figure here means anything."""

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest

import benchmarks.__main__ as benchmark
from benchmarks.parts import peer_tables, tables
from benchmarks.parts.peers import environment, jobs, loop, turns
from realwaste.core.errors import UserError

REPORT, FLOAT32, BFLOAT16 = peer_tables.OURS


@pytest.fixture
def made(monkeypatch):
    """Environments that are this one, and the folders that were asked for; pip finds nothing anywhere."""
    asked = []

    def create(place, *, with_pip):
        assert with_pip
        asked.append(place)
        interpreter = Path(place) / "bin/python"
        interpreter.parent.mkdir(parents=True)
        interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        interpreter.chmod(0o755)

    monkeypatch.setattr("venv.create", create)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return asked


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for an interpreter is a shell script")
def test_an_environment_is_made_once_and_again_for_other_requirements(made, tmp_path):
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("# nothing\n", encoding="utf-8")
    first = environment.python(wanted, tmp_path / "kept")
    assert environment.python(wanted, tmp_path / "kept") == first
    assert len(made) == 1
    wanted.write_text("# nothing more\n", encoding="utf-8")
    assert environment.python(wanted, tmp_path / "kept") != first
    assert len(made) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for an interpreter is a shell script")
def test_what_cannot_be_installed_is_said_in_a_line_and_tried_again(made, tmp_path):
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("no-such-package-as-this==1\n", encoding="utf-8")
    for times in (1, 2):
        with pytest.raises(UserError, match="without --peers nothing is installed") as refused:
            environment.python(wanted, tmp_path / "kept")
        received = str(refused.value.received)
        assert "no-such-package-as-this==1" in received
        assert "\n" not in received
        assert len(made) == times


def test_the_requirements_are_pinned_and_name_no_index():
    lines = environment.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert {"torch", "timm", "onnxruntime"} <= {line.partition("==")[0] for line in pins}
    assert all(line.count("==") == 1 and "-" not in line[:1] for line in pins)


def test_ways_that_fail_are_said_and_the_others_built():
    ran = []

    def fails():
        raise ValueError("of this\nand that")

    ways, said = loop.built({"good": lambda: lambda: ran.append(1), "bad": fails, "later": lambda: fails})
    assert list(ways) == ["good"]
    assert ran == [1]
    assert said == {"good": None, "bad": "ValueError: of this", "later": "ValueError: of this"}


def test_processes_take_turns_and_one_that_fails_has_its_reason():
    here, gone = (
        turns.Side(name, Path(sys.executable), job) for name, job in (("here", "ours.training"), ("X", "x.y"))
    )
    found = turns.in_turn([here, gone], {"size": 16, "rows": 4, "classes": 2}, 2)
    assert "No module named 'benchmarks.parts.peers.x'" in found.pop("X")["not_run"]
    assert set(found) == set(peer_tables.OURS)
    assert all(len(way["seconds"]) == 2 and min(way["seconds"]) > 0 for way in found.values())


def test_without_the_peers_ours_are_measured_and_their_rows_say_why(monkeypatch):
    def refuse():
        raise UserError("a rule", "a remedy", "no network")

    def in_turn(sides, arguments, rounds):
        assert [side.name for side in sides] == ["here"]
        return {name: {"seconds": [4.0 - place] * rounds} for place, name in enumerate(peer_tables.OURS)}

    monkeypatch.setattr(environment, "python", refuse)
    monkeypatch.setattr(jobs, "in_turn", in_turn)
    found = jobs.measured(3)
    text = peer_tables.section(found)
    assert text.count("| not run: not installed: no network |") == 5
    assert "| here, bfloat16 | 4.0 (4.0 to 4.0) | 0.67 | 1.00 |" in text
    assert [row[2] for row in peer_tables.readme_rows(found)] == ["not run"] * 3


def _job(unit, **seconds):
    ways = {name.replace("_", ", "): {"seconds": values} for name, values in seconds.items()}
    return {"name": "A job", "unit": unit, "images": 2, "ways": ways | {"Other": {"not_run": "it | broke"}}}


def test_the_best_peer_and_ratios_of_one_round():
    seconds = {
        "Keras_float32": [1.0, 9.0, 1.0],
        "here_float32": [0.5, 3.0, 0.5],
        "here_bfloat16": [0.25, 3.0, 0.1],
        "PyTorch_float32": [2.0, 2.0, 2.0],
        "PyTorch_bfloat16": [0.8, 0.8, 8.0],
    }
    found = {"requirements": ["# a", "torch==2"], "jobs": [_job("images/s", **seconds), _job("ms an image", **seconds)]}
    text = peer_tables.section(found)
    assert "Versions: torch 2." in text
    assert "| PyTorch, bfloat16 | 2.5 (0.2 to 2.5) | 1.60 | 3.20 |" in text
    assert "| PyTorch, bfloat16 | 400.0 (400.0 to 4000.0) | 1.60 | 3.20 |" in text
    assert text.count("| Other | not run: it / broke |") == 2
    rates, times = peer_tables.readme_rows(found)
    assert rates == ["A job, images/s", "2.0", "2.5, 1.2× (PyTorch, bfloat16)", "4.0, **2.0×**", "8.0, **4.0×**"]
    assert times[1] == "500.0"


def test_peers_are_off_unless_asked_for():
    def sections(only, peers):
        return benchmark._sections(argparse.Namespace(only=only, peers=peers))

    everything = list(benchmark.SECTIONS)
    assert sections(None, True) == everything
    assert sections(None, False) == [name for name in everything if name != "peers"]
    assert sections(["growth"], False) == ["growth"]
    assert sections([], True) == sections(["peers"], True) == sections(["peers"], False) == ["peers"]


def test_sections_of_another_run_say_so():
    origin = {"dataset": "A", "images": 7, "repeats": 3, "machine": "M"}
    validation = {"images": 7, "bare_seconds": 1, "pipeline_seconds": 2}
    ends = {"images": 8, "seconds": {"not_autotuned": [1.0]}}
    found: dict[str, Any] = {
        "origins": {"validation": origin, "epoch_ends": origin},
        "validation": validation,
        "epoch_ends": ends,
    }
    assert tables.results(found).count("7 images (A), 3 runs, M") == 1
    found["origins"]["validation"] = origin | {"dataset": "B"}
    text = tables.results(found)
    assert text.index("(A)") < text.index("The end of an epoch") < text.index("(B)") < text.index("validate_images")
