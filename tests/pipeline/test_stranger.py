"""The quiz about packages: what it draws and how it is graded."""

import json

from tools import stranger


def test_the_same_seed_draws_the_same_lines_and_the_quiz_does_not_tell_the_answers(tmp_path, monkeypatch):
    quiz, answers = tmp_path / "quiz.md", tmp_path / "answers.json"
    monkeypatch.setattr("sys.argv", ["stranger", "3", str(quiz), str(answers)])
    stranger.main()
    packages = json.loads(answers.read_text())
    assert list(packages.values()) == [package for package, _ in stranger.draw(3)]
    assert len(packages) == quiz.read_text().count("```python") == stranger.LINES
    assert stranger.draw(3) != stranger.draw(4)
    assert "import " not in quiz.read_text().split("```python")[0]


def test_grading_names_the_misses():
    assert stranger.grade({"1": "core", "2": "cli"}, {"1": "core", "2": "web"}) == "1 of 2 right\n2: cli, not web"
