"""docs/report.md maps the listings and figures of the report to stages, files and parameters, all of which exist."""

import re

import pytest

from benchmarks.parts.child import ROOT
from realwaste.report import factors
from stages.launcher import params_file

PIPELINE = params_file.read_stages(ROOT / "dvc.yaml")
STAGES = params_file.read_yaml(ROOT / "dvc.yaml")["stages"]
PAGE = (ROOT / "docs/report.md").read_text(encoding="utf-8")
TABLE_ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("| in the report |")[2].partition("\n\n")[0].splitlines()[2:]
]


def _code_spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _pipeline_outputs() -> set[str]:
    """The outputs and metrics files of all stages, which a fresh clone may not have."""
    entries = [entry for stage in PIPELINE.values() for entry in (*stage.get("outs", []), *stage.get("metrics", []))]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def _declared_params(stage: str) -> list[str]:
    """The parameters that a stage of dvc.yaml declares, those of all slots if it has a matrix."""
    slots = STAGES[stage].get("matrix", {}).get("slot")
    names = [stage] if slots is None else [f"{stage}_{slot}" for slot in slots]
    return [key for name in names for key in PIPELINE[name].get("params", [])]


def test_every_listing_figure_and_table_of_the_report_has_a_row():
    text = "\n".join(row[0] for row in TABLE_ROWS)
    assert re.findall(r"Listing (\d)", text) == ["1", "2", "3", "4", "5", "5", "6"]
    figures = set()
    for numbers in re.findall(r"[Ff]igures? ([\d, and]+)", text):
        figures |= set(map(int, re.findall(r"\d+", numbers)))
    assert figures == set(range(1, 15))
    assert "Table 1" in text


@pytest.mark.parametrize("row", TABLE_ROWS, ids=lambda row: row[0])
def test_stages_files_and_parameters_of_a_row_exist(row):
    _, stages, files, parameters, difference = row
    assert difference
    assert set(_code_spans(stages)) <= STAGES.keys()
    assert _code_spans(files)
    for file in _code_spans(files):
        assert file in _pipeline_outputs() or (ROOT / file).is_file(), file
    for parameter in _code_spans(parameters):
        values = params_file.read_yaml(ROOT / "params.yaml")
        for key in parameter.split("."):
            assert key in values, parameter
            values = values[key]


@pytest.mark.parametrize("row", [row for row in TABLE_ROWS if _code_spans(row[1])], ids=lambda row: row[0])
def test_the_stages_of_a_row_read_its_parameters(row):
    _, stages, _, parameters, _ = row
    reading_stages = {"compare", "evaluate"} if "evaluate." in parameters else set()
    declared = [key for stage in {*_code_spans(stages), *reading_stages} for key in _declared_params(stage)]
    for parameter in _code_spans(parameters):
        assert any(f"{parameter}.".startswith(f"{key}.") for key in declared), parameter


def test_report_claims_quote_two_sentences_for_each_of_nine_factors():
    assert len(factors.REPORT_CLAIMS) == 9
    assert all(len(claims) == 2 and all(claims) for claims in factors.REPORT_CLAIMS.values())


def test_the_report_page_and_readme_link_to_docs_report():
    template = (ROOT / "src/realwaste/report/templates/report.html").read_text(encoding="utf-8")
    assert "../docs/report.md" in template.partition("{% block footer %}")[2]
    assert "(docs/report.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
