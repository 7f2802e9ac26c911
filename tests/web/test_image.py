"""The Dockerfile of `serve`, compared with the checkout: what it copies, installs and starts. No image is built."""

import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import distribution, packages_distributions

import grimp
from packaging.requirements import Requirement

from benchmarks.parts.child import ROOT

LINES = re.sub(
    r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
).splitlines()
STEPS = [line.split(" ", 1) for line in LINES if line.strip()]
STAGES = [number for number, (word, _) in enumerate(STEPS) if word == "FROM"]
PINNED = dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Installed packages whose import the graph of `serve` does not show: imported by name, or only by `predict`.
_IMPORTED_BY_NAME, _IMPORTED_BY_PREDICT = {"python-multipart"}, {"pyyaml", "requests"}
# Imported only where TensorFlow is used or a classifier is trained, which serving a saved model does not do.
_NOT_NEEDED = {"keras", "pandas", "scipy", "tensorflow"}
# Requirements of packages of the extra `serve`.
_INDIRECT_REQUIREMENTS = {"h11", "starlette"}


def _list_arguments(word, stage):
    stage_start, stage_end = [*STAGES, len(STEPS)][stage : stage + 2]
    return [rest for name, rest in STEPS[stage_start:stage_end] if name == word]


def _list_requirements():
    """The requirements that the image installs by default: those of the package and of its extra `serve`."""
    assert _list_arguments("ARG", 0) == ["EXTRAS=serve"]
    (line,) = (line for line in _list_arguments("RUN", 0) if "--constraint requirements-dev.txt" in line)
    assert '".[$EXTRAS]"' in line
    return {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["serve"]}


def _normalize(name):
    """The name of a package as in the package index."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_ignored(path):
    """Whether .dockerignore excludes `path`; the last line that matches decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and (fnmatch(path, pattern) or path.startswith(f"{pattern}/")):
            ignored = not line.startswith("!")
    return ignored


def test_every_step_is_a_docker_instruction():
    instructions = re.compile("FROM|WORKDIR|ARG|RUN|COPY|ENV|USER|EXPOSE|HEALTHCHECK|ENTRYPOINT|CMD")
    assert [word for word, _ in STEPS if not instructions.fullmatch(word)] == []
    assert len(STAGES) == 2
    assert STEPS[STAGES[0]][1].split()[0] == STEPS[STAGES[1]][1], (
        "a virtual environment needs the Python it was made with"
    )


def test_copied_files_exist_and_private_files_are_ignored():
    for line in _list_arguments("COPY", 0):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert not _is_ignored(source), source
    private = (".git/config", ".dvc/config.local", "data/raw/a.jpg", "models/cnn.keras", ".env", ".venv/bin/python")
    assert [path for path in private if not _is_ignored(path)] == []
    assert [line.split()[0] for line in _list_arguments("COPY", 1)] == ["--from=build"]


def test_installed_packages_are_pinned_and_imported_by_serve():
    graph = grimp.build_graph("realwaste", include_external_packages=True, exclude_type_checking_imports=True)
    modules = graph.find_upstream_modules("realwaste.cli.serve") - set(sys.stdlib_module_names)
    distributions = packages_distributions()
    imported = {_normalize(distributions[name][0]) for name in modules if not name.startswith("realwaste")}
    assert (
        _list_requirements() | _INDIRECT_REQUIREMENTS
        == imported - _NOT_NEEDED | _IMPORTED_BY_NAME | _IMPORTED_BY_PREDICT
    )
    assert _list_requirements() <= set(PINNED)


def test_the_command_starts_with_the_installed_packages():
    """In a Python with only these packages and their requirements: importing other commands must not need more."""
    available, to_visit = set(), list(_list_requirements())
    while to_visit:
        name = _normalize(to_visit.pop())
        if name not in available:
            available.add(name)
            requirements = map(Requirement, distribution(name).requires or ())
            to_visit += [
                requirement.name
                for requirement in requirements
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            ]
    distributions = packages_distributions()
    hidden = sorted(
        name
        for name, owners in distributions.items()
        if not set(map(_normalize, owners)) & available and name != "realwaste"
    )
    assert {"pandas", "scipy", "tensorflow", "keras", "sklearn", "dvc", "matplotlib"} <= set(hidden)
    program = f"import sys; sys.modules.update(dict.fromkeys({hidden})); from realwaste import __main__; "
    program += "import realwaste.web.server; sys.argv = ['realwaste', 'serve', '--help']; __main__.main()"
    command, environment = [sys.executable, "-c", program], os.environ | {"COLUMNS": "200"}
    result = subprocess.run(command, cwd=ROOT / "src", env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for option in ("--host", "--port", "--access-log", "--model", "--allowed-host"):
        assert option in result.stdout


def test_the_image_runs_without_root_and_has_a_health_check():
    (user,) = _list_arguments("USER", 1)
    (user_step,) = _list_arguments("RUN", 1)
    assert user != "0"
    assert f"--uid {user} " in user_step
    assert f"--owner={user} " in user_step
    (cache,) = re.findall(r"REALWASTE_CACHE=(\S+)", " ".join(_list_arguments("ENV", 1)))
    assert user_step.endswith(cache)
    (entry_point,), (arguments,), (port,) = (_list_arguments(word, 1) for word in ("ENTRYPOINT", "CMD", "EXPOSE"))
    command = json.loads(entry_point) + json.loads(arguments)
    assert command[:2] == ["realwaste", "serve"]
    assert command[command.index("--port") + 1] == port
    (check,) = _list_arguments("HEALTHCHECK", 1)
    probe = json.loads(check.partition(" CMD ")[2])
    assert f"http://127.0.0.1:{port}/health'" in probe[-1]
    compile(probe[-1], "HEALTHCHECK", "exec")
