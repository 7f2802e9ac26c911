"""The variants of fine-tuning: what each one changes, and that a stopped run resumes and fills the table."""

import json
import sys

import pytest

from benchmarks import fine_tuning
from benchmarks.fine_tuning import VARIANTS, Variant
from realwaste.cli.train_model import build_recipe


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_changes_the_settings_that_it_names(name):
    variant = VARIANTS[name]
    best = build_recipe(9, 2850, 42, "float32", "block3a")
    changed = variant.apply(best)
    if variant.frozen or best.last_layers is None or changed.last_layers is None:
        assert variant.frozen
        assert changed.last_layers is None
        return
    settings = [vars(phase) | vars(phase.schedule) for phase in (best.last_layers, changed.last_layers)]
    differing = {key for key in settings[0] if settings[0][key] != settings[1][key]} - {"schedule"}
    assert differing == {key for key, _ in (*variant.layers, *variant.schedule)}
    assert (bool(differing) or variant.size != Variant().size) == (name != "`best`")


def test_a_stopped_run_resumes_and_fills_the_table(images, tmp_path, monkeypatch):
    results, page, photos = tmp_path / "record.json", tmp_path / "page.md", images(Glass=12, Metal=12)
    page.write_text(f"<!-- measured: {fine_tuning.COMMAND} -->\n<!-- end of measured -->\n", encoding="utf-8")
    variants = {"frozen": Variant(size=64, frozen=True)}
    constants = {"RESULTS": results, "PAGE": page, "BACKBONE": "EfficientNetLite0", "VARIANTS": variants}
    for name, value in constants.items():
        monkeypatch.setattr(fine_tuning, name, value)
    monkeypatch.setattr(
        sys, "argv", ["fine_tuning", "--photos", str(photos), "--folder", str(tmp_path), "--only", "frozen"]
    )
    measure, splits = fine_tuning.measure, []

    def measure_first_and_interrupt_second(photos, variant, name, split):
        splits.append(split)
        if len(splits) == 2:
            raise KeyboardInterrupt
        if len(splits) == 1:
            return measure(photos, variant, name, split)
        return json.loads(results.read_text(encoding="utf-8"))["frozen"]["42"]

    monkeypatch.setattr(fine_tuning, "measure", measure_first_and_interrupt_second)
    with pytest.raises(KeyboardInterrupt):
        fine_tuning.main()
    fine_tuning.main()
    assert splits == [42, 43, 43, 44], "the second run trains what the first has not saved"
    values = json.loads(results.read_text(encoding="utf-8"))["frozen"]["42"]
    assert set(values) == {*fine_tuning.MEASURES, "seconds", "precision"}
    assert all(0 <= values[key] <= 1 for key in ("plain", "mirrored", "external"))
    assert "| frozen | 42, 43, 44 | " in page.read_text(encoding="utf-8")
