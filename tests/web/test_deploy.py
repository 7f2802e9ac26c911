"""docs/deploy.md says what is so: options, limits, paths, and files for nginx and systemd that fit them."""

import inspect
import re
import shutil
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.parts.child import ROOT
from realwaste.cli.serve import serve
from realwaste.web.app import Uploads, build
from realwaste.web.connection import Limits

PAGE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```(nginx|ini|python)\n(.*?)```", PAGE, re.DOTALL))
DEFAULTS = {name: one.default for name, one in inspect.signature(serve).parameters.items()}


def test_the_options_and_limits_it_names_are_those_of_serve():
    named = set(re.findall(r"`--([a-z-]+)", PAGE)) | set(re.findall(r"serve (?:\S+ )*?--([a-z-]+)", PAGE))
    assert {one.replace("-", "_") for one in named} - {"gpus"} <= set(DEFAULTS)
    found = re.search(
        r"`--max-mb` bounds a photo \((\d+)\), `--max-files` and `--max-total-mb` a form \((\d+) and (\d+)\)", PAGE
    )
    assert found is not None
    assert tuple(map(int, found.groups())) == tuple(DEFAULTS[name] for name in ("max_mb", "max_files", "max_total_mb"))
    assert f"or {Limits().requests} requests are in work" in PAGE


def test_its_table_has_every_path_that_programs_ask():
    predictor: Any = SimpleNamespace(facts=None)
    app = build(predictor, uploads=Uploads(), hosts=None, requests=1)
    described = {f"{method.upper()} {path}" for path, one in app.openapi()["paths"].items() for method in one}
    assert set(re.findall(r"(?m)^\| `([A-Z]+ \S+)` \|", PAGE)) == described


def test_nginx_lets_through_what_serve_takes():
    (megabytes,) = re.findall(r"client_max_body_size\s+(\d+)m;", BLOCKS["nginx"])
    assert int(megabytes) * 2**20 >= DEFAULTS["max_total_mb"] * 10**6
    assert set(re.findall(r"proxy_pass (\S+);", BLOCKS["nginx"])) == {f"http://127.0.0.1:{DEFAULTS['port']}"}
    (name,) = set(re.findall(r"server_name (\S+);", BLOCKS["nginx"]))
    assert f"--allowed-host {name}" in BLOCKS["ini"]
    assert BLOCKS["nginx"].count("{") == BLOCKS["nginx"].count("}")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_knows_every_line_of_the_unit(tmp_path):
    unit = tmp_path / "realwaste.service"
    unit.write_text(BLOCKS["ini"].replace("/opt/realwaste/bin/realwaste", shutil.which("true") or ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
