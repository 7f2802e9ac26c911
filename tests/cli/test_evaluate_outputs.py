"""The files of `realwaste evaluate --csv` and `--mistakes`. Images are drawn, and the models classify colours."""

import zipfile

import colours
import pytest
from colours import BLUE, GREEN, RED, photo, read_rows, run, run_json, words


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder: a model, and six photographs, of which two are predicted wrongly and one has no class."""
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    colours.save(tmp_path / "models/cnn.keras", temperature=2.0)
    colour_of = {"red/a": RED, "red/b": GREEN, "blue/a": BLUE, "blue/b": GREEN, "paper/a": RED}
    for number, (name, colour) in enumerate(colour_of.items()):
        photo(tmp_path / f"set/{name}.png", colour, shade=number)
    return tmp_path


def _list_files(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_the_csv_has_a_row_per_photograph_and_mistakes_are_copied(project):
    (project / "set/red/words.png").write_text("words")
    result = run("evaluate", "set", "-m", "cnn", "--csv", "a.csv", "--mistakes", "wrong", status=1)
    assert _list_files(project / "wrong") == ["Blue/Green/b.png", "Red/Green/b.png"]
    assert (project / "wrong/Red/Green/b.png").read_bytes() == (project / "set/red/b.png").read_bytes()
    rows = {row["path"]: row for row in read_rows(project / "a.csv")}
    assert list(rows) == [f"set/{name}.png" for name in ("blue/a", "blue/b", "paper/a", "red/a", "red/b", "red/words")]
    wrong, right, paper = (rows[f"set/{name}.png"] for name in ("red/b", "red/a", "paper/a"))
    assert (wrong["label"], wrong["class"], wrong["correct"]) == ("Red", "Green", "false")
    assert float(wrong["probability"]) > 0.9
    assert float(wrong["label_probability"]) < 0.1
    predicted = run_json("predict", "set/red/b.png", "-m", "cnn")["answers"][0]
    assert float(wrong["probability"]) == pytest.approx(predicted["predictions"][0]["probability"], rel=1e-4)
    assert (right["class"], right["correct"], right["error"]) == ("Red", "true", "")
    assert (paper["label"], paper["class"], paper["correct"]) == ("paper", "Red", "")
    unreadable = rows["set/red/words.png"]
    assert (unreadable["label"], unreadable["class"], unreadable["error"]) == ("Red", "", "not an image")
    assert "mistakes copied to wrong: Blue/Green 1, Red/Green 1" in words(result.stderr)
    second_run = run("evaluate", "set", "-m", "cnn", "--csv", "a.csv", "--mistakes", "wrong", status=1)
    assert "none; 2 were there already" in words(second_run.stderr)


def test_rows_of_an_archive_have_the_paths_inside_it(project):
    with zipfile.ZipFile(project / "set.zip", "w") as archive:
        for file in (project / "set").rglob("*.png"):
            archive.write(file, file.relative_to(project / "set"))
    run("evaluate", "set.zip", "-m", "cnn", "--csv", "a.csv", "--mistakes", "wrong")
    assert [row["path"] for row in read_rows(project / "a.csv")][:2] == ["blue/a.png", "blue/b.png"]
    assert _list_files(project / "wrong") == ["Blue/Green/b.png", "Red/Green/b.png"]


def test_outputs_among_the_photographs_are_refused_and_foreign_files_are_kept(project):
    (project / "mine.csv").write_text("path,label\nset/red/a.png,red\n")
    (project / "elsewhere").mkdir()
    (project / "wrong").mkdir()
    (project / "wrong/Red").symlink_to(project / "elsewhere")
    files_before = _list_files(project)
    for arguments in (["--mistakes", "set/wrong"], ["--csv", "mine.csv"], ["--csv", "set/red/a.png"]):
        assert "must name" in words(run("evaluate", "set", "-m", "cnn", *arguments, status=1).stderr)
    assert "must name" in words(run("evaluate", "mine.csv", "-m", "cnn", "--csv", "mine.csv", status=1).stderr)
    assert _list_files(project) == files_before
    result = run("evaluate", "set", "-m", "cnn", "--mistakes", "wrong", status=1)
    assert "1 mistakes could not be copied" in words(result.stderr)
    assert not _list_files(project / "elsewhere")
