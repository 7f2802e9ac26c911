"""relabel.yaml: decisions of a user about photographs, and how the pipeline applies them."""

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.parts.child import ROOT
from realwaste.core.errors import UserError
from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.dataset import label_corrections, leakage, split
from realwaste.dataset.label_corrections import DROP, FILE, KEEP, Decision
from realwaste.dataset.labels import classes_of, labels_of
from realwaste.embedding import embeddings
from realwaste.models import weights_record
from stages import suspects, validate_images
from stages.launcher import params_file

PARAMS = params_file.check(params_file.read_yaml(ROOT / "params.yaml"))
SHA = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def checkout(images, tmp_path, monkeypatch):
    """The working directory with twelve fetched photographs of each of three classes."""
    images(inside="checkout/data/raw", glass=12, metal=12, paper=12)
    monkeypatch.chdir(tmp_path / "checkout")
    write_json(Path("data/dataset.json"), {"dataset": "drawn", "origin": "given"})


def _hash(path):
    return hashlib.sha256(Path("data/raw", path).read_bytes()).hexdigest()


def _decide(**answers):
    """Write relabel.yaml: glass_2="metal" corrects glass/glass_2.jpg."""
    decisions = {}
    for name, answer in answers.items():
        path = f"{name.split('_')[0]}/{name}.jpg"
        is_verb = answer in {KEEP, DROP}
        decisions[path] = Decision(_hash(path), answer if is_verb else None, None if is_verb else answer)
    label_corrections.save(decisions)


def _validate():
    validate_images.main(PARAMS)
    return read_csv(Path("data/manifest.csv")), read_json(Path("metrics/validate_images.json"))


def test_decisions_are_written_one_a_line_and_read_back_unchanged(tmp_path):
    file = tmp_path / "relabel.yaml"
    decisions = {
        "Paper/b: 1 #.jpg": Decision(SHA, label="no"),
        "Glass/é.jpg": Decision("1" * 64, DROP),
        "Glass/" + "x" * 150 + ".jpg": Decision(SHA, KEEP),
        "1/1.jpg": Decision(SHA, label="1"),
        "keep/drop.jpg": Decision(SHA, label="keep"),
    }
    label_corrections.save(decisions, file)
    assert label_corrections.load(file) == decisions
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith(("#", "?", ":"))]
    assert [line.split(": {")[0] for line in lines] == ["1/1.jpg", "Glass/é.jpg", "'Paper/b: 1 #.jpg'", "keep/drop.jpg"]


def test_the_comment_at_the_top_of_the_file_is_preserved(tmp_path):
    file = tmp_path / "relabel.yaml"
    assert label_corrections.load(file) == {}
    label_corrections.save({}, file)
    committed = ROOT / FILE
    assert committed.read_text(encoding="utf-8").startswith(file.read_text(encoding="utf-8"))
    file.write_text("# mine\n# too\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    label_corrections.save({"a/1.jpg": Decision(SHA, KEEP)}, file)
    label_corrections.save({"a/2.jpg": Decision(SHA, DROP)}, file)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# mine\n# too\n# Labels corrected by hand")
    assert text.endswith(f"\na/2.jpg: {{answer: drop, sha256: {SHA}}}\n")
    assert text.count("jpg: {a") == 1


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: [", "must be a YAML file"),
        ("\xff", "must be a YAML file"),
        ("- a", "a line for each photograph"),
        ("a.jpg: drop", "line 1: a photograph has a class or an answer"),
        ("# x\na.jpg: {answer: lose, sha256: 0}", "line 2: a photograph has"),
        ("a.jpg: {answer: drop, class: Glass, sha256: 0}", "line 1: a photograph has"),
        ("a.jpg: {class: [Glass], sha256: 0}", "line 1: a photograph has"),
        ("? [a]\n: 1", "line 1: a line begins with"),
        ("a.jpg: {class: b, sha256: 0}\n---\nb", "expected a single document"),
        ("a.jpg: {class: b, sha256: 0}\na.jpg: {class: c, sha256: 0}", "line 2: .* may have one line only"),
    ],
)
def test_an_invalid_entry_is_named_by_its_line(text, rule, tmp_path):
    file = tmp_path / "relabel.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=rule):
        label_corrections.load(file)


@pytest.mark.parametrize("text", ["[" * 100_000, "a.jpg: " + "{a: " * 100_000, "? " * 100_000], ids="[{?")
def test_deeply_nested_brackets_are_a_user_error(text, tmp_path):
    """PyYAML's loader crashed with signal 11 on such files."""
    file = tmp_path / "relabel.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match="must be a YAML file that can be read"):
        label_corrections.load(file)


def test_lines_written_by_hand_are_preserved(tmp_path):
    file = tmp_path / "relabel.yaml"
    lines = [
        f"a/ü𝄞.jpg:   {{class: 'Metal', sha256: '{SHA}'}}",
        f"'b: 1.jpg': {{sha256: {SHA}, answer: keep}}  # mine",
        f"c.jpg:\n  class: Glass\n  sha256: {SHA}",
        f"d.jpg: {{answer: drop, sha256: {SHA}}}",
    ]
    file.write_text("\ufeff# top\n" + "\n".join(lines), encoding="utf-8")
    with label_corrections.open_for_editing(file) as decisions:
        before = dict(decisions)
        decisions["d.jpg"] = Decision(SHA, KEEP)
    assert label_corrections.load(file) == before | {"d.jpg": Decision(SHA, KEEP)}
    assert list(before) == ["a/ü𝄞.jpg", "b: 1.jpg", "c.jpg", "d.jpg"]
    assert file.read_text(encoding="utf-8").startswith("# top\n")


def test_labels_are_corrected_and_files_do_not_change(checkout, caplog):
    before, _ = _validate()
    bytes_by_path = {path: path.read_bytes() for path in Path("data/raw").rglob("*.jpg")}
    images_csv = Path("data/images.csv").read_bytes()
    _decide(glass_2="metal", paper_1=DROP, metal_1=KEEP, metal_2="metal")
    decisions = label_corrections.load()
    changed, missing = Decision(SHA, label="no such class"), Decision(SHA, DROP)
    label_corrections.save(decisions | {"glass/glass_3.jpg": changed, "paper/paper_99.jpg": missing})
    after, metrics = _validate()
    counts = {"kept": 2, "relabelled": 1, "dropped": 1, "file_changed": 1, "file_gone": 1}
    assert metrics["by_hand"] == counts
    assert metrics["classes"] == {"glass": 11, "metal": 13, "paper": 11}
    assert metrics["images"] == 35
    labels = after.set_index("path")["label"]
    assert labels["glass/glass_2.jpg"] == "metal"
    assert "paper/paper_1.jpg" not in labels
    unchanged = before["path"].isin(labels.index) & (before["path"] != "glass/glass_2.jpg")
    assert labels[before.loc[unchanged, "path"]].tolist() == before.loc[unchanged, "label"].tolist()
    expected = before[before["path"] != "paper/paper_1.jpg"].reset_index(drop=True)
    assert after.drop(columns="label").equals(expected.drop(columns="label")), "the capture order does not change"
    assert read_csv(Path("data/rejected.csv")).empty
    assert Path("data/images.csv").read_bytes() == images_csv
    assert {path: path.read_bytes() for path in bytes_by_path} == bytes_by_path
    assert "relabel.yaml: 2 lines not applied: " in caplog.text
    assert "glass/glass_3.jpg: the file has changed since it was reviewed" in caplog.text
    assert "paper/paper_99.jpg: there is no such file" in caplog.text


def test_a_corrected_image_has_its_new_label_and_stays_in_the_group_of_its_object(checkout):
    _decide(glass_2="metal", glass_7="paper")
    table = _validate()[0].assign(likeness=0.9, likeness_far=0.1)
    groups = leakage.assign_groups(table, 3)
    splits = split.grouped(table, groups, train=0.5, val=0.25, test=0.25, seed=0)
    for name, label in {"glass_2": "metal", "glass_7": "paper"}.items():
        row = splits.index[splits["path"] == f"glass/{name}.jpg"][0]
        part = splits.at[row, "split"]
        position = (splits.index[splits["split"] == part] == row).argmax()
        assert labels_of(splits, part)[position] == classes_of(splits).index(label)
        assert set(splits.loc[groups == groups[row], "split"]) == {part}
        assert (splits.loc[groups == groups[row], "path"].str.startswith("glass/")).sum() > 1


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"glass_2": "Metal"}, r"glass/glass_2\.jpg has 'Metal'\.\nName one of them: glass, metal, paper"),
        (
            {f"glass_{number}": DROP if number % 2 else "metal" for number in range(1, 13)},
            r"Every class must keep an image; relabel\.yaml leaves none of glass",
        ),
    ],
)
def test_an_impossible_correction_is_refused(answers, message, checkout):
    _decide(**answers)
    with pytest.raises(UserError, match=message):
        _validate()


@pytest.mark.parametrize("answer", ["metal", DROP])
def test_a_correction_solves_a_label_conflict(answer, checkout):
    shutil.copy("data/raw/metal/metal_1.jpg", "data/raw/glass/glass_99.jpg")
    with pytest.raises(UserError, match="label conflict: the same bytes as metal/metal_1"):
        _validate()
    _decide(glass_99=answer)
    table, metrics = _validate()
    assert metrics["rejected"] == 0
    assert set(table.loc[table["path"].str.contains("_99|metal_1.jpg"), "label"]) == {"metal"}


def test_an_unreadable_file_may_be_dropped(checkout):
    Path("data/raw/glass/glass_99.jpg").write_text("words")
    with pytest.raises(UserError, match="not an image"):
        _validate()
    _decide(glass_99=DROP)
    _, metrics = _validate()
    assert (metrics["images"], metrics["rejected"], metrics["by_hand"]["dropped"]) == (36, 0, 1)
    assert "glass/glass_99.jpg" not in set(read_csv(Path("data/images.csv"))["path"])


def test_decided_images_are_not_listed_again(checkout):
    table, _ = _validate()
    groups = leakage.assign_groups(table, 3)
    write_csv(Path("data/groups.csv"), table[["path"]].assign(group=groups))
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(36, 8)).astype(np.float32) + 2 * np.eye(8, dtype=np.float32)[np.arange(36) // 12]
    embeddings.save(Path("data/embeddings/irv2"), embeddings.Embeddings(table["path"].to_numpy(str), vectors))
    for slot, weights in {"irv2": "imagenet", "densenet": "random", "edge": "random"}.items():
        record = weights_record.WeightsRecord("MobileNet", weights, None, None, None)
        write_json(Path("data/weights", slot, weights_record.RECORD), asdict(record))
    _decide(glass_1=KEEP, glass_2="metal", paper_3=DROP)
    label_corrections.save(label_corrections.load() | {"paper/paper_4.jpg": Decision(SHA, KEEP)})
    table, _ = _validate()
    suspects.main(PARAMS)
    listed = set(read_csv(Path("data/suspects.csv"))["path"])
    assert listed == set(table["path"]) - {"glass/glass_1.jpg", "glass/glass_2.jpg"}
    assert "paper/paper_4.jpg" in listed, "the file has changed, so it is listed again"
    metrics = read_json(Path("metrics/suspects.json"))
    assert (metrics["decided"], metrics["backbones"]) == (2, "irv2"), "features of random weights are not used"
    _decide(**{f"{name}_{number}": KEEP for name in ("glass", "metal", "paper") for number in range(1, 13)})
    suspects.main(PARAMS)
    assert read_csv(Path("data/suspects.csv")).empty
