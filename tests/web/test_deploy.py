"""docs/deploy.md agrees with the code: options, limits, routes, and the configurations of nginx and systemd."""

import inspect
import re
import shutil
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.parts.child import ROOT
from realwaste.cli.serve import serve
from realwaste.web.app import build
from realwaste.web.connection import ConnectionLimits
from realwaste.web.predict_route import UploadLimits

PAGE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```(nginx|ini|python)\n(.*?)```", PAGE, re.DOTALL))
DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(serve).parameters.items()}


def test_documented_options_and_limits_are_those_of_serve():
    options = set(re.findall(r"`--([a-z-]+)", PAGE)) | set(re.findall(r"serve (?:\S+ )*?--([a-z-]+)", PAGE))
    assert {option.replace("-", "_") for option in options} - {"gpus", "build_arg", "overlay"} <= set(DEFAULTS)
    match = re.search(
        r"`--max-mb` limits a photo \((\d+)\), `--max-files` and `--max-total-mb` a form \((\d+) and (\d+)\)", PAGE
    )
    assert match is not None
    assert tuple(map(int, match.groups())) == tuple(DEFAULTS[name] for name in ("max_mb", "max_files", "max_total_mb"))
    assert f"or {ConnectionLimits().max_requests} requests are in progress" in PAGE


def test_the_table_lists_every_route():
    predictor: Any = SimpleNamespace(metadata=None)
    app = build(predictor, upload_limits=UploadLimits(), allowed_hosts=None, max_requests=1)
    routes = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    assert set(re.findall(r"(?m)^\| `([A-Z]+ \S+)` \|", PAGE)) == routes


def test_nginx_passes_on_requests_that_serve_accepts():
    (megabytes,) = re.findall(r"client_max_body_size\s+(\d+)m;", BLOCKS["nginx"])
    assert int(megabytes) * 2**20 >= DEFAULTS["max_total_mb"] * 10**6
    assert set(re.findall(r"proxy_pass (\S+);", BLOCKS["nginx"])) == {f"http://127.0.0.1:{DEFAULTS['port']}"}
    (name,) = set(re.findall(r"server_name (\S+);", BLOCKS["nginx"]))
    assert f"--allowed-host {name}" in BLOCKS["ini"]
    assert BLOCKS["nginx"].count("{") == BLOCKS["nginx"].count("}")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path):
    unit = tmp_path / "realwaste.service"
    unit.write_text(BLOCKS["ini"].replace("/opt/realwaste/bin/realwaste", shutil.which("true") or ""))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_links_to_files_are_valid():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
