"""The pages of `dvc plots`, drawn from the committed results by a real browser without a network. No stage runs."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from browser import chromium, needs_browser, opened
from tiny_pipeline import commit, run

from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout

PLOTS = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
CHARTS = sum(isinstance(plot, dict) for plot in PLOTS)
IMAGES = len(PLOTS) - CHARTS
CHART_SELECTOR = "svg.marks"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A new git repository with the files of this checkout."""
    root = tmp_path_factory.mktemp("checkout")
    copy_checkout(root)
    run(root, "git", "init", "-q")
    commit(root)
    return root


@pytest.fixture(scope="module")
def plotted(checkout, tmp_path_factory) -> Path:
    """A copy of the checkout after the page template of `make setup` was written and `dvc plots show` ran."""
    root = shutil.copytree(checkout, tmp_path_factory.mktemp("plotted") / "checkout")
    run(root, sys.executable, "-m", "tools.plots_page")
    run(root, "dvc", "plots", "show")
    return root


def test_without_our_page_template_dvc_writes_its_default_page(checkout):
    run(checkout, "dvc", "plots", "show", "-o", "dvc_plots/default")
    assert "cdn." in (checkout / "dvc_plots/default/index.html").read_text(encoding="utf-8")


def test_the_page_loads_no_script_from_another_host(plotted):
    page = (plotted / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]* src=", page) == []
    assert run(plotted, "git", "status", "--porcelain") == ""


@needs_browser
def test_the_browser_draws_every_chart_and_image(plotted):
    with chromium() as browser, opened(browser, (plotted / "dvc_plots/index.html").as_uri()) as result:
        result.page.locator(CHART_SELECTOR).nth(CHARTS - 1).wait_for()
        assert result.page.locator(CHART_SELECTOR).count() == CHARTS
        assert result.page.locator("#learning_curve g.mark-line > path").count() == 1, (
            "only the pretrained head has a curve"
        )
        blocks = result.page.locator("#architecture g.mark-rect.role-mark > path").count()
        assert blocks == len((plotted / "plots/data/architecture.csv").read_text(encoding="utf-8").splitlines()) - 1
        widths = result.page.locator("main img").evaluate_all("images => images.map(image => image.naturalWidth)")
        assert len(widths) == IMAGES
        assert min(widths) > 0
        assert result.page.evaluate("document.documentElement.scrollWidth") <= 1400
        assert result.problems == []


@needs_browser
def test_plots_diff_draws_two_revisions_overlaid_or_side_by_side(plotted):
    for path in ("data/history_cnn", "data/confusion", "accuracy"):
        file = plotted / f"plots/{path}.csv"
        file.write_text(file.read_text().replace("synthetic", "photographs"))
    run(plotted, "dvc", "plots", "diff", "HEAD", "workspace", "-o", "dvc_plots/diff")
    with chromium() as browser, opened(browser, (plotted / "dvc_plots/diff/index.html").as_uri()) as result:
        result.page.locator(CHART_SELECTOR).nth(CHARTS - 1).wait_for()
        curves = result.page.locator("#loss_cnn")
        assert curves.locator("g.mark-line > path").count() == 2 * 2
        legend = " ".join(curves.locator("g.role-legend").all_text_contents())
        assert "HEAD, synthetic" in legend
        assert "workspace, photographs" in legend
        assert "photographs, synthetic" in (curves.locator("g.role-title").first.text_content() or "")
        matrices = result.page.locator("#confusion")
        assert matrices.locator("g.mark-rect.role-mark").count() == 2 * 4
        assert matrices.get_by_text("workspace, photographs").count() == 1
        tops = [image.bounding_box() for image in result.page.locator("main img").all()[:2]]
        assert len({box["y"] for box in tops if box}) == 1, "the images of two revisions must be side by side"
        assert result.problems == []
