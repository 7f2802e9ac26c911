"""docs/report.md, the report's listings and figures beside what makes them: all that it names is there."""

import re

import pytest

from benchmarks.parts.child import ROOT
from realwaste.report import factors
from stages.launcher import params_file

PIPELINE = params_file.read_stages(ROOT / "dvc.yaml")
STAGES = params_file.read_yaml(ROOT / "dvc.yaml")["stages"]
TEXT = (ROOT / "docs/report.md").read_text(encoding="utf-8")
LINES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("| in the report |")[2].partition("\n\n")[0].splitlines()[2:]
]


def _code_spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _pipeline_outputs() -> set[str]:
    """Files that a run leaves: a fresh clone may not have them."""
    entries = [entry for stage in PIPELINE.values() for entry in (*stage.get("outs", []), *stage.get("metrics", []))]
    return {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}


def _declared_params(stage: str) -> list[str]:
    """Of a stage in dvc.yaml; with a matrix of slots those of each slot."""
    slots = STAGES[stage].get("matrix", {}).get("slot")
    names = [stage] if slots is None else [f"{stage}_{slot}" for slot in slots]
    return [key for name in names for key in PIPELINE[name].get("params", [])]


def test_every_listing_figure_and_table_of_the_report_has_a_line():
    text = "\n".join(line[0] for line in LINES)
    assert re.findall(r"Listing (\d)", text) == ["1", "2", "3", "4", "5", "5", "6"]
    figures = set()
    for several in re.findall(r"[Ff]igures? ([\d, and]+)", text):
        figures |= set(map(int, re.findall(r"\d+", several)))
    assert figures == set(range(1, 15))
    assert "Table 1" in text


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_what_a_line_names_is_there(line):
    _, stages, files, parameters, differs = line
    assert differs
    assert set(_code_spans(stages)) <= STAGES.keys()
    assert _code_spans(files)
    for file in _code_spans(files):
        assert file in _pipeline_outputs() or (ROOT / file).is_file(), file
    for parameter in _code_spans(parameters):
        values = params_file.read_yaml(ROOT / "params.yaml")
        for part in parameter.split("."):
            assert part in values, parameter
            values = values[part]


@pytest.mark.parametrize("line", [line for line in LINES if _code_spans(line[1])], ids=lambda line: line[0])
def test_a_line_s_stages_read_its_parameters(line):
    _, stages, _, parameters, _ = line
    reading_stages = {"compare", "evaluate"} if "evaluate." in parameters else set()
    declared = [key for stage in {*_code_spans(stages), *reading_stages} for key in _declared_params(stage)]
    for parameter in _code_spans(parameters):
        assert any(f"{parameter}.".startswith(f"{key}.") for key in declared), parameter


def test_the_factors_are_those_of_the_report_s_table():
    assert len(factors.REPORT_CLAIMS) == 9
    assert all(len(claims) == 2 and all(claims) for claims in factors.REPORT_CLAIMS.values())


def test_the_page_links_to_it_and_readme_too():
    template = (ROOT / "src/realwaste/report/templates/report.html").read_text(encoding="utf-8")
    assert "../docs/report.md" in template.partition("{% block footer %}")[2]
    assert "(docs/report.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
