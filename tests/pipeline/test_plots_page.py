"""The pages of `dvc plots` in a real browser without a network, drawn from the committed results: nothing is run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from browser import chromium, needs_browser, opened
from tiny_pipeline import run

from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout

PLOTS = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
CHARTS = sum(isinstance(plot, dict) for plot in PLOTS)
PICTURES = len(PLOTS) - CHARTS
DRAWN = "svg.marks"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """The files that git knows, committed in a repository of their own."""
    root = tmp_path_factory.mktemp("checkout")
    copy_checkout(root)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def shown(checkout, tmp_path_factory) -> Path:
    """Another like it, after what `make setup` does and `dvc plots show`."""
    root = shutil.copytree(checkout, tmp_path_factory.mktemp("shown") / "checkout")
    run(root, sys.executable, "-m", "tools.plots_page")
    run(root, "dvc", "plots", "show")
    return root


def test_a_checkout_without_the_page_draws_dvcs_own(checkout):
    run(checkout, "dvc", "plots", "show", "-o", "dvc_plots/own")
    assert "cdn." in (checkout / "dvc_plots/own/index.html").read_text(encoding="utf-8")


def test_the_page_names_no_other_host_for_its_scripts(shown):
    page = (shown / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]* src=", page) == []
    assert not subprocess.run(["git", "status", "--porcelain"], cwd=shown, capture_output=True, check=True).stdout


@needs_browser
def test_every_chart_and_picture_is_drawn(shown):
    with chromium() as browser, opened(browser, (shown / "dvc_plots/index.html").as_uri()) as seen:
        seen.page.locator(DRAWN).nth(CHARTS - 1).wait_for()
        assert seen.page.locator(DRAWN).count() == CHARTS
        assert seen.page.locator("#learning_curve g.mark-line > path").count() == 1, "the pretrained head"
        blocks = seen.page.locator("#architecture g.mark-rect.role-mark > path").count()
        assert blocks == len((shown / "plots/data/architecture.csv").read_text(encoding="utf-8").splitlines()) - 1
        widths = seen.page.locator("main img").evaluate_all("pictures => pictures.map(one => one.naturalWidth)")
        assert len(widths) == PICTURES
        assert min(widths) > 0
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 1400
        assert seen.problems == []


@needs_browser
def test_two_revisions_lie_over_each_other_or_side_by_side(shown):
    for path in ("data/history_cnn", "data/confusion", "accuracy"):
        file = shown / f"plots/{path}.csv"
        file.write_text(file.read_text().replace("synthetic", "photographs"))
    run(shown, "dvc", "plots", "diff", "HEAD", "workspace", "-o", "dvc_plots/diff")
    with chromium() as browser, opened(browser, (shown / "dvc_plots/diff/index.html").as_uri()) as seen:
        seen.page.locator(DRAWN).nth(CHARTS - 1).wait_for()
        curves = seen.page.locator("#loss_cnn")
        assert curves.locator("g.mark-line > path").count() == 2 * 2
        legend = " ".join(curves.locator("g.role-legend").all_text_contents())
        assert "HEAD, synthetic" in legend
        assert "workspace, photographs" in legend
        assert "photographs, synthetic" in (curves.locator("g.role-title").first.text_content() or "")
        matrices = seen.page.locator("#confusion")
        assert matrices.locator("g.mark-rect.role-mark").count() == 2 * 4
        assert matrices.get_by_text("workspace, photographs").count() == 1
        tops = [picture.bounding_box() for picture in seen.page.locator("main img").all()[:2]]
        assert len({box["y"] for box in tops if box}) == 1, "the pictures of two revisions stand side by side"
        assert seen.problems == []
