"""docs/explore.ipynb as it lies in git; tests/pipeline/test_repro.py runs it on what a run left."""

import notebook


def test_no_output_is_kept_which_might_be_a_photograph():
    code = [cell for cell in notebook.cells() if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert not any(cell.get("attachments") for cell in notebook.cells())


def test_it_looks_at_no_test_image():
    """What is explored is chosen by; the test is read once, by the pipeline."""
    source = "\n".join("".join(cell["source"]) for cell in notebook.cells() if cell["cell_type"] == "code")
    assert '["split"] == "test"' not in source
    assert source.count('["split"] == "val"') == source.count('["split"] != "test"') == 1
