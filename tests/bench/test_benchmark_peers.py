"""The comparison with other frameworks, which are not installed here. All figures are made up."""

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest

import benchmarks.__main__ as benchmark
from benchmarks.parts import peer_tables, tables
from benchmarks.parts.peers import jobs, loop, turns
from realwaste.core.errors import UserError

needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for an interpreter is a shell script")


@pytest.fixture
def environment_dirs(monkeypatch):
    """Directories of created environments. Their interpreter starts this one, and pip finds no packages."""
    environment_dirs = []

    def create(environment_dir, *, with_pip):
        assert with_pip
        environment_dirs.append(environment_dir)
        interpreter = Path(environment_dir) / "bin/python"
        interpreter.parent.mkdir(parents=True)
        interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        interpreter.chmod(0o755)

    monkeypatch.setattr("venv.create", create)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return environment_dirs


@needs_shell
def test_an_environment_is_created_once_per_requirements(environment_dirs, tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n", encoding="utf-8")
    first = jobs.create_environment(requirements, tmp_path / "environments")
    assert jobs.create_environment(requirements, tmp_path / "environments") == first
    assert len(environment_dirs) == 1
    requirements.write_text("# nothing more\n", encoding="utf-8")
    assert jobs.create_environment(requirements, tmp_path / "environments") != first
    assert len(environment_dirs) == 2


@needs_shell
def test_a_failed_installation_is_reported_in_one_line_and_retried(environment_dirs, tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("no-such-package-as-this==1\n", encoding="utf-8")
    for attempts in (1, 2):
        with pytest.raises(UserError, match="without --peers nothing is installed") as error:
            jobs.create_environment(requirements, tmp_path / "environments")
        received = str(error.value.received)
        assert "no-such-package-as-this==1" in received
        assert "\n" not in received
        assert len(environment_dirs) == attempts


def test_requirements_are_pinned_without_an_index():
    lines = jobs.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert {"torch", "timm", "onnxruntime"} <= {line.partition("==")[0] for line in pins}
    assert all(line.count("==") == 1 and "-" not in line[:1] for line in pins)


def test_failing_variants_have_an_error_and_the_others_are_built():
    runs = []

    def fail():
        raise ValueError("of this\nand that")

    variants, errors = loop.build_variants({"good": lambda: lambda: runs.append(1), "bad": fail, "later": lambda: fail})
    assert list(variants) == ["good"]
    assert runs == [1]
    assert errors == {"good": None, "bad": "ValueError: of this", "later": "ValueError: of this"}


def test_run_in_turn_times_each_variant_and_explains_a_failing_process():
    tasks = {"here": (Path(sys.executable), "ours.training"), "X": (Path(sys.executable), "x.y")}
    results = turns.run_in_turn(tasks, {"size": 16, "rows": 4, "classes": 2}, 2)
    assert "No module named 'benchmarks.parts.peers.x'" in results.pop("X")["not_run"]
    assert set(results) == set(peer_tables.OURS)
    assert all(len(variant["seconds"]) == 2 and min(variant["seconds"]) > 0 for variant in results.values())


def test_the_pipeline_is_measured_without_the_other_frameworks(monkeypatch):
    def fail_to_install():
        raise UserError("a rule", "a remedy", "no network")

    def run_in_turn(tasks, arguments, rounds):
        assert list(tasks) == ["here"]
        return {name: {"seconds": [4.0 - index] * rounds} for index, name in enumerate(peer_tables.OURS)}

    monkeypatch.setattr(jobs, "create_environment", fail_to_install)
    monkeypatch.setattr(jobs, "run_in_turn", run_in_turn)
    results = jobs.measure_jobs(3)
    text = peer_tables.section(results)
    assert text.count("| not run: not installed: no network |") == 5
    assert "| here, bfloat16 | 4.0 (4.0 to 4.0) | 0.67 | 1.00 |" in text
    assert [row[2] for row in peer_tables.readme_rows(results)] == ["not run"] * 3


def _build_job(unit, **seconds):
    variants = {name.replace("_", ", "): {"seconds": values} for name, values in seconds.items()}
    return {"name": "A job", "unit": unit, "images": 2, "ways": variants | {"Other": {"not_run": "it | broke"}}}


def test_tables_show_the_best_peer_and_medians_of_the_ratios_by_round():
    seconds = {
        "Keras_float32": [1.0, 9.0, 1.0],
        "here_float32": [0.5, 3.0, 0.5],
        "here_bfloat16": [0.25, 3.0, 0.1],
        "PyTorch_float32": [2.0, 2.0, 2.0],
        "PyTorch_bfloat16": [0.8, 0.8, 8.0],
    }
    results = {
        "requirements": ["# a", "torch==2"],
        "jobs": [_build_job("images/s", **seconds), _build_job("ms per image", **seconds)],
    }
    text = peer_tables.section(results)
    assert "Versions: torch 2." in text
    assert "| PyTorch, bfloat16 | 2.5 (0.2 to 2.5) | 1.60 | 3.20 |" in text
    assert "| PyTorch, bfloat16 | 400.0 (400.0 to 4000.0) | 1.60 | 3.20 |" in text
    assert text.count("| Other | not run: it / broke |") == 2
    rate_row, time_row = peer_tables.readme_rows(results)
    assert rate_row == ["A job, images/s", "2.0", "2.5, 1.2× (PyTorch, bfloat16)", "4.0, **2.0×**", "8.0, **4.0×**"]
    assert time_row[1] == "500.0"


def test_peers_are_measured_only_on_request():
    def select(only, peers):
        return benchmark._sections(argparse.Namespace(only=only, peers=peers))

    all_sections = list(benchmark.SECTIONS)
    assert select(None, True) == all_sections
    assert select(None, False) == [name for name in all_sections if name != "peers"]
    assert select(["waiting"], False) == ["waiting"]
    assert select([], True) == select(["peers"], True) == select(["peers"], False) == ["peers"]


def test_sections_of_different_runs_state_their_origin():
    origin = {"dataset": "A", "images": 7, "repeats": 3, "machine": "M"}
    run = {"name": "N", "size": 1, "precision": "float32", "images": 1, "keras_seconds": 1, "tensorflow_seconds": 1}
    embedding = [run | {"bare_seconds": 1, "pipeline_seconds": 2}]
    origins = {"embedding": origin, "jobs": origin}
    measurements: dict[str, Any] = {"origins": origins, "embedding": embedding, "jobs": {}}
    assert tables.results(measurements).count("7 images (A), 3 runs, M") == 1
    measurements["origins"]["embedding"] = origin | {"dataset": "B"}
    text = tables.results(measurements)
    assert text.index("(A)") < text.index("(B)") < text.index("## Embedding")
