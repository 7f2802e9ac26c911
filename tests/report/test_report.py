"""The report page, in a browser and as text, the verdict and the model cards. All numbers are made up."""

import contextlib
import copy
import dataclasses
import functools
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import yaml
from browser import Opened, chromium, needs_browser, opened, printed
from conftest import picture
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from markupsafe import Markup
from report.made_run import CLASSES, MODELS, build_data, build_external_sets

from benchmarks.parts.child import ROOT
from realwaste.core import machine
from realwaste.evaluation import prediction_table
from realwaste.report import html_report, model_card, verdict
from realwaste.report.factors import REPORT_CLAIMS
from realwaste.report.report_data import ReportData
from realwaste.training.cnn_recipe import CnnRecipe
from realwaste.training.finetune_recipe import FinetuneRecipe
from stages.launcher import params, params_file


@pytest.fixture(scope="module")
def make_data(tmp_path_factory):
    """make_data(dataset=…, weights=…): a copy of what build_data returns for these options; it is built once."""
    pictures = tmp_path_factory.mktemp("explanations")
    cv2.imwrite(str(pictures / "p.webp"), picture(1, 64, 64))
    build_once = functools.cache(functools.partial(build_data, pictures))

    def make(**options) -> ReportData:
        return copy.deepcopy(build_once(**options))

    return make


@pytest.fixture(scope="module")
def render(make_data):
    """render(dataset=…, weights=…): the page of make_data with these options, rendered once."""

    @functools.cache
    def render_once(**options) -> str:
        return html_report.render_page(make_data(**options))

    return render_once


@pytest.fixture(scope="module")
def open_page(render, tmp_path_factory):
    """open_page(width=…, dark=…, **data_options): the page in the browser, with its charts drawn and its details open.

    Each page is opened once for all tests, so a test must undo what it changes. At the end no page may have logged an
    error or sent a request.
    """
    folder, pages = tmp_path_factory.mktemp("pages"), dict[str, Opened]()
    with chromium() as browser, contextlib.ExitStack() as stack:

        def show(width=1400, dark=False, **options):
            if (key := repr((width, dark, options))) in pages:
                return pages[key].page
            file = folder / f"{len(pages)}.html"
            file.write_text(render(**options), encoding="utf-8")
            pages[key] = stack.enter_context(opened(browser, file.as_uri(), width=width, dark=dark))
            page = pages[key].page
            page.wait_for_selector("body.drawn")
            assert page.locator("details[open]").count() == 0
            page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
            page.wait_for_function("document.querySelector('#tested svg').getBoundingClientRect().width > 200")
            return page

        yield show
        assert [opened_page.problems for opened_page in pages.values()] == [[]] * len(pages)


# Options of the page that most tests open: with rejected files and an external set.
RICH = {"rejected": 2, "external": True}
# As many pictures as a default run has, an external set, and more rejected files than the page shows.
FULL = {"external": True, "rejected": html_report.REJECTED_SHOWN + 10, "full": True}
STAND_INS = {"dataset": "synthetic", "origin": "synthetic", "weights": "random", "diverged": True}


@needs_browser
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_draws_every_chart_and_is_legible_in_both_colour_schemes(open_page, width, dark):
    page = open_page(width=width, dark=dark, **RICH)
    assert page.locator(".chart").count() == page.locator(".chart svg").count() == 8 + 2 * 3 + 3 + 3 + 1
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    font_sizes = page.evaluate(
        """[...document.querySelectorAll("main *")]
        .filter(node => [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()))
        .map(node => parseFloat(getComputedStyle(node).fontSize))"""
    )
    assert min(font_sizes) >= 11
    charts_fit = page.evaluate(
        """[...document.querySelectorAll(".chart svg")].map(svg => {
        const box = svg.getBoundingClientRect(); return box.right <= innerWidth && box.width > 200;})"""
    )
    assert all(charts_fit)
    background, text = page.evaluate("(style => [style.backgroundColor, style.color])(getComputedStyle(document.body))")
    brightness = [sum(map(int, color.strip("rgb()").split(","))) for color in (background, text)]
    assert (brightness[0] < brightness[1]) == dark
    assert abs(brightness[0] - brightness[1]) > 450


@needs_browser
@pytest.mark.parametrize("width", [390, 1400])
def test_the_texts_of_architecture_diagrams_fit_in_their_boxes(open_page, width):
    page = open_page(width=width, **RICH)
    drawings = page.locator("svg.architecture")
    assert [drawing.locator("rect.box").count() for drawing in drawings.all()] == [3, 3, 3]
    overflowing = page.evaluate(
        """[...document.querySelectorAll("svg.architecture g")].flatMap(box => {
        const edge = box.querySelector(".box").getBoundingClientRect();
        const texts = [...box.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
        const overlaps = (at, other) => other.left > at.left && other.left < at.right
          && Math.abs(other.top - at.top) < 6;
        return texts.filter(([, at]) => at.left < edge.left || at.right > edge.right || at.bottom > edge.bottom
          || at.height < 11 || texts.some(([, other]) => overlaps(at, other))).map(([text]) => text);})"""
    )
    assert overflowing == []
    assert drawings.first.get_attribute("aria-label") == "Architecture of CNN"
    assert "33.6 M parameters, trained" in drawings.first.inner_html()
    second_drawing = drawings.nth(1).inner_html()
    for text in ("Inception-ResNet-A × 10", "1.23 M parameters, frozen", "9 k parameters, partly trained"):
        assert text in second_drawing


@needs_browser
@pytest.mark.parametrize("width", [390, 1400])
def test_all_nine_factors_of_table_1_show_claims_and_measurements(open_page, width):
    factors = open_page(width=width, **RICH).locator("#comparison .factor")
    assert factors.count() == 9
    assert factors.locator("h3").all_inner_texts() == list(REPORT_CLAIMS)
    for factor, sentences in zip(factors.all(), REPORT_CLAIMS.values(), strict=True):
        text = factor.inner_text()
        assert all(sentence in text for sentence in sentences)
        assert factor.locator("tbody tr").count() == 3
        assert factor.evaluate("card => card.scrollWidth <= card.clientWidth")
    data_dependency = factors.last.inner_text()
    assert data_dependency.count("0.610 (0.500 to 0.720), 96 images") == 2
    assert "134.4 MB" in factors.nth(7).inner_text()
    assert factors.nth(5).locator('td[data-head="accuracy on t <n>"]').count() == 3


@needs_browser
@pytest.mark.parametrize("width", [390, 800, 1400])
def test_the_page_begins_with_the_verdict_and_needs_no_horizontal_scrolling(open_page, width):
    page = open_page(width=width, **RICH)
    assert page.locator("main h2").first.inner_text() == "Use irv2 (InceptionResNetV2)"
    assert page.locator(".lead").bounding_box()["y"] < 450
    rows = page.locator("#tested tbody tr")
    assert rows.count() == 3
    for row in rows.all():
        verdict_cell, *other_cells = row.locator("td").all()
        assert "is better" in verdict_cell.inner_text() or "no difference shown" in verdict_cell.inner_text()
        verdict_box, *boxes = (cell.bounding_box() for cell in (verdict_cell, *other_cells))
        assert all((verdict_box["y"], verdict_box["x"]) < (box["y"], box["x"]) for box in boxes)
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in (verdict_box, *boxes))
    assert page.locator("#tested .fit").inner_text().count("(images ") == 3
    assert "after Holm's correction for 3 tests" in " ".join(page.locator("#tested .note").inner_text().split())
    find_overflowing = """nodes => nodes.filter(node => node.clientWidth && node.scrollWidth > node.clientWidth)
        .map(node => node.outerHTML)"""
    assert page.locator("main :is(section, div, table, p, li, figure)").evaluate_all(find_overflowing) == []


@needs_browser
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_shows_in_domain_and_external_accuracy_of_each_model(open_page, width):
    page = open_page(width=width, **RICH)
    text = " ".join(page.locator("#external").inner_text().split())
    assert "t <n>: 85 photographs, 3 rejected" in text
    assert "80 are of the models' classes (Food Organics, a|b\"c'</script>)" in text
    assert "Shown to be less accurate than in-domain: CNN; densenet (DenseNet121)" in text
    change = build_external_sets()["t <n>"]["models"]["cnn"]["change"]
    low, high = (100 * change[f"difference_{end}"] for end in ("low", "high"))
    assert f"external -50.0 points ({low:+.1f} to {high:+.1f})" in text
    assert "in-domain – – –" in text, "no test image of these classes"
    assert text.count("Food Organics 5") == 3
    # The model without in-domain images has a single point.
    assert page.locator("[data-chart=external_0] .mark-symbol path").count() >= 5


@needs_browser
def test_the_navigation_links_to_the_sections_of_the_page_in_order(open_page):
    test_sections = ["test", "shortcuts", "calibration"]
    training_sections = ["data", "labels", "trainings", "rates", "architectures", "comparison"]
    all_sections = ["result", "errors", "external", *test_sections, "fewer", *training_sections]
    required_sections = ["result", "errors", *test_sections, *training_sections]
    for options, expected in ((RICH, all_sections), ({"curves": False}, required_sections)):
        page = open_page(**options)
        assert page.locator("main section").evaluate_all("sections => sections.map(section => section.id)") == expected
        links = [link.get_attribute("href") for link in page.locator("nav a").all()]
        assert links == [f"#{section}" for section in expected]
    assert page.locator(".commands code").all_inner_texts() == [
        "realwaste predict photos/ --model irv2 --min-confidence 0.8 --csv photos.csv",
        "realwaste evaluate other_photos/ --model irv2",
        "realwaste review",
        "dvc exp run -S 'evaluate.external=[/path/to/photos]'",
        "dvc exp run -S 'evaluate.learning_curve.percents=[10,25,50,100]'",
    ]


@needs_browser
def test_class_names_are_escaped_in_text_and_charts(open_page):
    page = open_page(curves=False)
    text = page.inner_text("main")
    assert all(name in text for name in CLASSES)
    assert page.locator("main b").all_inner_texts() == ["160", "4", "0", "1", "96 / 24 / 40"]
    assert set(CLASSES) <= set(page.locator("[data-chart=classes] svg text").all_text_contents())


@needs_browser
def test_charts_have_tooltips_and_the_overlay_can_be_hidden(open_page):
    page = open_page(curves=False)
    page.locator("[data-chart=accuracies] .mark-symbol path").first.hover()
    assert "CNN" in page.locator("#vg-tooltip-element").inner_text()
    overlay = page.locator("#errors .over").first
    assert overlay.is_visible()
    page.locator("#overlay").click()
    assert not overlay.is_visible()
    page.locator("#errors .seen").first.hover()
    assert overlay.is_visible()
    page.locator("#overlay").click()


@needs_browser
def test_the_printed_report_has_at_most_eight_pages_and_cuts_no_chart(open_page, tmp_path):
    page = open_page(dark=True, **FULL)
    assert 4 < printed(page.url, tmp_path / "report.pdf") <= 8
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    cards = page.locator(".card:has(.chart, .architecture)")
    assert cards.count() > 15
    find_cut_cards = """cards => cards.filter(card => {
        const box = card.getBoundingClientRect();
        const inside = [...card.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect()).every(at =>
          at.width > 150 && at.left >= box.left && at.right <= box.right && at.bottom <= box.bottom);
        const page = (297 - 2 * 10) / 25.4 * 96;  // A4 without its margins, in pixels
        return !(inside && box.height < page && getComputedStyle(card).breakInside === "avoid");
        }).map(card => card.outerHTML.slice(0, 200))"""
    assert cards.evaluate_all(find_cut_cards) == []
    colors = page.evaluate("(style => [style.backgroundColor, style.color])(getComputedStyle(document.body))")
    assert colors == ["rgb(255, 255, 255)", "rgb(28, 39, 51)"], "printed pages use the light colour scheme"
    assert not page.locator("nav").is_visible()


@needs_browser
def test_warnings_of_stand_ins_are_large_and_at_the_top(open_page):
    page = open_page(**STAND_INS)
    warning = page.locator(".warning").first
    text = warning.inner_text()
    assert "generated, not photographs" in text
    assert "Stand-ins with RANDOM weights, whose scores mean nothing: irv2 (InceptionResNetV2)." in text
    assert "The soft vote is the mean of CNN and densenet (DenseNet121)" in " ".join(page.inner_text("#result").split())
    assert "Stand-ins with random weights are left out: irv2 (InceptionResNetV2)." in page.inner_text("#errors")
    assert page.locator("#result .stand-in").all_inner_texts()[0].startswith("irv2 (InceptionResNetV2), RANDOM weights")
    assert "The training of CNN diverged" in text
    assert float(warning.evaluate("node => getComputedStyle(node).fontSize").removesuffix("px")) > 20
    assert warning.bounding_box()["y"] < 400


def test_the_verdict_recommends_by_validation_and_states_counts_classes_and_limits(make_data):
    data = make_data()
    rows = data.tested[data.tested["model"] == "irv2"]
    correct = int((prediction_table.predicted_classes(rows) == rows["label"]).sum())
    result = verdict.build_verdict(data)
    assert (result.model, result.name) == ("irv2", "irv2 (InceptionResNetV2)")
    assert result.result == f"Right on {correct} of 40 photographs that it had never seen."
    assert result.decisions[0] == {"min_confidence": 0.0, "decided": 40, "right": correct}
    assert all("of 10; most often taken for" in phrase for phrase in result.weak)
    assert len(result.strong) + len(result.weak) >= len(CLASSES)
    assert any("no difference to densenet (DenseNet121)" in limit for limit in result.limits)
    assert result.limits[-1] == "Not tested: photographs of another camera, place or light. Expect less there."
    assert verdict.summarize(result, ["Beware."])[0] == f"Best model: irv2 (InceptionResNetV2). {result.result}"
    external_limits = verdict.build_verdict(make_data(external=True)).limits
    assert any(limit.startswith("On t <n> it was right on 40 of 80 photographs: expect") for limit in external_limits)


def test_the_verdict_ignores_test_accuracy_and_warns_of_poor_or_few_results(make_data):
    data = make_data()
    data.rows["cnn"] |= {"val_accuracy": 1.0, "test_accuracy": 0.1, "test_accuracy_low": 0.05, "test_groups": 4}
    cnn_verdict = verdict.build_verdict(data)
    assert cnn_verdict.model == "cnn"
    assert "It is not shown to be better than always answering Food Organics." in cnn_verdict.limits
    assert any("only 4 different objects" in limit for limit in cnn_verdict.limits)
    data.rows["irv2"] |= {"val_accuracy": 1.0, "weights": "random"}
    assert verdict.build_verdict(data).model == "cnn"
    assert verdict.rank_models(data.rows) == ["cnn", "densenet", "irv2"]
    synthetic_verdict = verdict.build_verdict(make_data(origin="synthetic"))
    assert synthetic_verdict.limits[-1] == "Not tested: photographs. The model knows generated pictures only."
    assert synthetic_verdict.next_steps[0][1] == "dvc exp run -S fetch.source=/path/to/photos"


CLAIM, TABLE = "Pretrained models generalize better across tasks.", "<h2>Table 1</h2>"
WARNING, EXTERNAL = 'class="warning" role="note"', "Images of other classes"


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        (
            {},
            [
                "runs of the capture order in one part, in 12 groups",
                "sorted as text (neighbours by text alone are more alike than those by number alone, p 0.0002)",
                "0.8123 ± 0.0100",
                "normalized margin",
                "evaluate.learning_curve.cnn=true",
                "evaluate.external=[/path/to/photos]",
                "NVIDIA &lt;H100&gt; (train_cnn) and none (finetune_irv2, evaluate)",
            ],
            [WARNING, EXTERNAL, "confident learning", "By hand"],
        ),
        ({"curves": False}, [], ['data-chart="learning_curve"']),
        ({"origin": "given"}, ["minus validation accuracy"], [CLAIM, TABLE]),
        ({"origin": "realwaste-part"}, ["minus validation accuracy", CLAIM, TABLE], []),
        (STAND_INS, ["minus validation accuracy", CLAIM, TABLE, WARNING], []),
        (FULL, ["and 10 more in data/rejected.csv"], []),
    ],
    ids=["default", "no learning curves", "other data set", "part of RealWaste", "stand-ins", "full"],
)
def test_the_page_shows_the_texts_that_its_data_require(render, options, present, absent):
    page = _normalize_space(render(**options))
    assert [text for text in present if text not in page] == []
    assert [text for text in absent if text in page] == []
    assert page.count("truncated JPEG") == min(options.get("rejected", 0), html_report.REJECTED_SHOWN)
    assert len(render(**options).encode()) < 5_000_000


def test_all_mistakes_are_listed_with_their_file_names(make_data, render):
    page, tested = render(), make_data().tested
    for model in MODELS:
        rows = tested[tested["model"] == model]
        wrong = rows.loc[prediction_table.predicted_classes(rows) != rows["label"], "path"]
        assert f"{len(wrong)} of 40 wrong" in page
        assert all(f'<td class="path">{Markup.escape(path)}</td>' in page for path in wrong)


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_page_renders_a_training_that_diverged_in_its_first_epochs(make_data, epochs):
    data = make_data(diverged=True)
    data.histories["cnn"][["loss", "val_loss"]] = np.nan
    data = dataclasses.replace(data, histories=data.histories | {"cnn": data.histories["cnn"].head(epochs)})
    assert "Diverged in epoch 2" in html_report.render_page(data)


def test_the_page_counts_corrected_labels_and_leaks_of_a_given_split(make_data):
    data = make_data()
    leakage = {pair: {"exact_duplicates": 3, "near_duplicates": 7} for pair in ("train_val", "train_test", "val_test")}
    data = dataclasses.replace(
        data,
        split=data.split | {"strategy": "given", "leakage": leakage},
        validated=data.validated | {"by_hand": {"kept": 5, "relabelled": 3, "dropped": 2}},
    )
    page = _normalize_space(html_report.render_page(data))
    assert "By hand, in <code>relabel.yaml</code>: 3 relabelled, 2 dropped." in page
    assert (
        "The split is the one that the images came with: 7 of its test images are near-duplicates of training" in page
    )
    assert "as the images came, into 96 for training" in _render_card_text(data, "cnn")


def _render_card(data: ReportData, name: str, **changes: Any) -> str:
    section = "train_cnn" if name == "cnn" else f"finetune_{name}"
    defaults = params_file.read_yaml(ROOT / "params.yaml")[section] | {"epochs": 12}
    views = {"views": defaults["views"] | changes.pop("views", {})} if "views" in defaults else {}
    section_type = params.TrainCnn if name == "cnn" else params.Finetune
    parameters = section_type.model_validate(defaults | changes | views)
    recipe = (
        CnnRecipe.from_params(parameters, seed=42)
        if name == "cnn"
        else FinetuneRecipe.from_params(parameters, classes=len(CLASSES), seed=42)
    )
    parameter_values = parameters.model_dump() | {"seed": 42}
    return model_card.render_card(
        model_card.CardData(name, data, data.machines["evaluate"], parameters=parameter_values, recipe=recipe)
    )


def _normalize_space(text: str) -> str:
    return " ".join(text.split())


def _render_card_text(data: ReportData, name: str, **changes: Any) -> str:
    """The card on one line, since its sentences are wrapped."""
    return _normalize_space(_render_card(data, name, **changes))


@pytest.mark.parametrize("name", MODELS)
def test_huggingface_hub_parses_a_card(make_data, name):
    data = make_data()
    card = ModelCard(_render_card(data, name))
    metadata = card.data.to_dict()
    assert len(metadata["model-index"][0]["results"]) == 1
    results = {metric["type"]: metric["value"] for metric in metadata["model-index"][0]["results"][0]["metrics"]}
    assert results["accuracy"] == round(data.rows[name]["test_accuracy"], 4)
    assert results["f1"] == round(data.rows[name]["macro_f1"], 4)
    assert (metadata["library_name"], metadata["license"]) == ("keras", "cc-by-nc-sa-4.0")
    assert "CC BY 4.0" in card.text
    rows = [line for line in card.text.splitlines() if line.startswith("| ") and line.count(" | ") == 4]
    assert len(rows) == 1 + len(CLASSES), "the table has one row per class, also for a class name with a pipe"
    assert "| 0.0 | 40 of 40 |" in card.text
    assert "not photographs" not in card.text
    assert f"| {machine.describe(machine.record('float32'))} |" in card.text


def test_a_card_escapes_names_of_classes_data_sets_and_files(make_data):
    """The card is rendered by a Markdown parser that supports tables and does not escape HTML."""
    data = make_data(dataset="_a_ <script>alert(1)</script> `b` [c](d) *e*")
    data.rows["irv2"]["backbone"] = "x|y_z.keras"
    text = ModelCard(_render_card(data, "irv2", backbone="/home/me/x|y_z.keras", weights="/home/me/w.h5")).text
    html = MarkdownIt("commonmark").enable("table").render(text)
    tree = ElementTree.fromstring(f"<div>{html}</div>")  # noqa: S314 - rendered here, not untrusted
    shown_text = "".join(tree.itertext())
    for name in (*CLASSES, data.fetched["dataset"], "x|y_z.keras", "w.h5"):
        assert name in shown_text
    assert {tag.tag for tag in tree.iter()} & {"b", "script", "em", "a"} == set()
    assert "/home/me" not in text
    first_cells = [row[0].text for row in tree.iter("tr")]
    assert [cell for cell in first_cells if cell in CLASSES] == CLASSES


def test_a_card_describes_the_split(make_data):
    data = make_data()
    grouped = _render_card_text(data, "cnn")
    assert "near-duplicates and runs of the capture order in one part each" in grouped
    leakage = "Of the test images 1 have an exact duplicate and 2 a near-duplicate in another part, and 30 % a neigh"
    assert leakage in grouped
    assert "The split kept neighbours and near-duplicates in one part" in grouped
    assert "random split" not in grouped
    random_split = dataclasses.replace(data, split=data.split | {"strategy": "stratified"})
    stratified = _render_card_text(random_split, "cnn")
    assert "at random, stratified by class" in stratified
    assert "The random split put such photos in several parts" in stratified
    assert "in one part" not in stratified


def test_a_card_shows_external_results_or_that_there_are_none(make_data):
    without_external = _render_card_text(make_data(), "cnn")
    assert "Photos with other backgrounds, light or cameras were not tested." in without_external
    assert "external" not in without_external
    card = _render_card_text(make_data(external=True), "cnn")
    assert "were not tested" not in card
    assert "tested only on t &lt;n&gt;," in card
    outside = build_external_sets()["t <n>"]["models"]["cnn"]["outside"]
    interval = f"95 % interval {outside['accuracy_low']:.4f} to {outside['accuracy_high']:.4f}"
    assert f"80 images of 2 of its classes | 0.5000 ({interval})" in card
    assert "on the 20 test images of these classes | 1.0000" in card
    folder = "t &lt;n&gt; (&lt;i&gt;g\\|ass&lt;/i&gt;)"
    assert f"On 5 images of other classes in {folder} its mean confidence was 0.70." in card
    assert "test images of these classes" not in _render_card_text(make_data(external=True), "irv2")


OFF = {"flip": False, "rotate": 0.0, "zoom": 0.0, "shift": 0.0, "color": 0.0}
HEAD = "The head: Adam, a learning rate of 0.001, sparse categorical crossentropy, 12 epochs"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Adam, a learning rate of 0.001, sparse categorical crossentropy, 12 epochs in batches of 32, shuffled"),
        ({"weight_decay": 0.01}, "AdamW with a weight decay of 0.01, a learning rate of 0.001, sparse"),
        ({"decay": "cosine"}, "a learning rate of 0.001 with cosine decay to 0, sparse"),
        ({"label_smoothing": 0.1}, "0.001, crossentropy with labels smoothed by 0.1, 12 epochs"),
        ({"class_weights": True}, "in each epoch, classes weighted as if each had as many images as the mean class."),
        ({"shuffle": False}, "in batches of 32, in one random order for all epochs."),
        ({"optimizer": "sgd"}, "SGD, a learning rate of 0.001, sparse"),
        ({"optimizer": "sgd_momentum", "weight_decay": 0.1}, "SGD with a momentum of 0.9 and a weight decay of 0.1, a"),
        ({"dropout": 0.5}, "in each epoch, dropout of 0.5."),
        ({"patience": 8}, "early after 8 epochs without a lower validation loss, with the best epoch's weights."),
        ({"augment": OFF | {"flip": True, "rotate": 0.1}}, "flipped in both directions and rotated by up to 0.1 of a"),
        ({"augment": OFF | {"zoom": 0.2, "color": 0.3}}, "zoomed by up to 0.2 and changed in colour by up to 0.3 at"),
        ({"test_flips": "both"}, "mean over a picture and its mirror images"),
    ],
)
def test_a_card_describes_the_training_of_the_cnn(make_data, changes, expected):
    plain = _render_card_text(make_data(), "cnn")
    changed = _render_card_text(make_data(), "cnn", **changes)
    assert expected in changed
    assert (expected in plain) == (not changes)
    assert "| seed | 42 |" in changed
    assert "| augment.rotate |" in changed


def test_a_card_describes_each_phase_of_fine_tuning(make_data):
    data = make_data()
    head_only = _render_card_text(data, "irv2")
    assert HEAD in head_only
    assert "The backbone was frozen." in head_only
    for absent in ("last layers of the backbone:", "unfrozen", "view", "mirror images", "middle"):
        assert absent not in head_only
    with_views = _render_card_text(data, "irv2", views={"count": 2, "crop": 0.5})
    assert "shuffled in each epoch, on each photograph and 2 augmented views of it" in with_views
    assert "| views.crop | 0.5 |" in with_views
    defaults = params_file.read_yaml(ROOT / "params.yaml")["finetune_irv2"]["unfrozen"]
    unfrozen = defaults | {"epochs": 1, "decay": "cosine", "augment": OFF | {"flip": True}}
    fine_tuned = _render_card_text(data, "irv2", unfreeze=10, unfrozen=unfrozen)
    assert HEAD in fine_tuned
    assert (
        "The head and the last layers of the backbone: Adam, a learning rate of 1e-05 with cosine decay to 0, "
        "sparse categorical crossentropy, 1 epoch in batches of 16, shuffled in each epoch, pictures "
        "flipped in both directions at random."
    ) in fine_tuned
    assert "| unfrozen.augment.flip | True |" in fine_tuned
    unfrozen |= {"warmup": 0.1, "mixup": 0.2, "batch_norm": "train", "keep": "best"}
    unfrozen["augment"] = OFF | {"flip": "horizontal"}
    whole_backbone = _render_card_text(data, "irv2", unfreeze="all", unfrozen=unfrozen)
    assert "frozen at first; all its layers were fine-tuned" in whole_backbone
    assert (
        "The head and the whole backbone, batch normalisation included: Adam, a learning rate of 1e-05 after a warm-up "
        "in 10% of the steps with cosine decay to 0, crossentropy, 1 epoch in batches of 16, shuffled in each epoch, "
        "pictures flipped horizontally at random, mixup with alpha 0.2, with the weights of the epoch with the highest "
        "validation accuracy."
    ) in whole_backbone
    assert "| Accuracy over 3 seeds | 0.8123 ± 0.0100" in fine_tuned
    assert "seeds |" not in _render_card_text(data, "densenet")
    fine_tuned = _render_card_text(data, "irv2", unfreeze="block8_10", test_flips="both", test_crops="middle")
    assert "frozen at first; its last layers (block8_10) were fine-tuned" in fine_tuned
    assert "mean over a picture and its mirror images" in fine_tuned
    assert "mean over a picture and its middle three quarters" in fine_tuned


def test_a_card_shows_the_verdicts_of_paired_tests_with_other_models(make_data):
    data = make_data()
    # Winners follow from differences and p-values, not from the text of the verdict.
    results = {"cnn_vs_irv2": (-0.2, 0.01), "cnn_vs_densenet": (-0.2, 0.06), "irv2_vs_densenet": (0.2, 0.01)}
    for pair, (difference, p_holm) in results.items():
        data.pairs[pair] |= {"difference": difference, "p_holm": p_holm, "verdict": "any text"}
    better = "irv2 (InceptionResNetV2) is better"
    verdicts = [facts["verdict"] for facts in html_report._describe_pairs(data)]
    assert verdicts == [better, "no difference shown", better]
    tests = "McNemar's of images and a permutation test of groups, after Holm's correction for 3 tests)"
    assert f"{tests}: better than CNN, densenet (DenseNet121)." in _render_card_text(data, "irv2")
    densenet_sentence = f"{tests}: worse than irv2 (InceptionResNetV2); no difference shown to CNN."
    assert densenet_sentence in _render_card_text(data, "densenet")


@pytest.mark.parametrize(("test_loss_calibrated", "is_worse"), [(0.6, True), (0.4, False)])
def test_a_card_states_whether_calibration_made_test_metrics_worse(make_data, test_loss_calibrated, is_worse):
    data = make_data()
    data.evaluated["cnn"] |= {"test_loss": 0.5, "test_loss_calibrated": test_loss_calibrated}
    data.evaluated["cnn"] |= {"ece": 0.2, "ece_calibrated": 0.1}
    card = _render_card_text(data, "cnn")
    assert ("calibration made the crossentropy worse" in card, "calibration made" in card) == (is_worse, is_worse)
    assert "probabilities = scores ** (1 / 1.5)" in card


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        ("realwaste", "UCI dataset 908), complete. UCI states CC BY 4.0, the authors' own page CC BY-NC-SA 4.0"),
        ("realwaste-part", "UCI dataset 908), part (160 of 4,752). UCI states CC BY 4.0, the authors' own page CC"),
        ("given", None),
    ],
)
def test_licence_and_reported_accuracy_depend_on_the_files_of_the_data_set(make_data, origin, text):
    """The name of the data set is RealWaste in all cases."""
    data = make_data(dataset="RealWaste", origin=origin)
    card = ModelCard(_render_card(data, "irv2"))
    assert card.data.to_dict()["license"] == ("cc-by-nc-sa-4.0" if text else "unknown")
    assert (text or "") in _normalize_space(card.text)
    assert ("UCI dataset 908" in card.text) == (text is not None)
    assert ("reported_test_accuracy" in data.rows["cnn"]) == (origin == "realwaste")


def test_a_card_warns_of_stand_ins(make_data):
    card = ModelCard(_render_card(make_data(**STAND_INS), "irv2"))
    assert "Trained on generated pictures" in card.text
    assert "random weights" in card.text
    assert card.data.to_dict()["license"] == "unknown"
    (results,) = yaml.safe_load(card.content.split("---")[1])["model-index"][0]["results"]
    assert results["dataset"]["name"] == "synthetic"
