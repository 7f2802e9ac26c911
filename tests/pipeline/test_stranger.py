"""The quiz of tools.stranger: the random choice of its questions, and the grading of replies."""

import json

from tools import stranger


def test_a_seed_determines_the_questions_and_the_quiz_hides_the_answers(tmp_path, monkeypatch):
    quiz, answers = tmp_path / "quiz.md", tmp_path / "answers.json"
    lines = list(stranger.candidate_lines())
    monkeypatch.setattr(stranger, "candidate_lines", lambda: lines)  # parses every source file
    monkeypatch.setattr("sys.argv", ["stranger", "3", str(quiz), str(answers)])
    stranger.main()
    correct_packages = json.loads(answers.read_text())
    assert list(correct_packages.values()) == [package for package, _ in stranger.draw(3)]
    assert len(correct_packages) == quiz.read_text().count("```python") == stranger.LINES
    assert stranger.draw(3) != stranger.draw(4)
    assert "import " not in quiz.read_text().split("```python")[0]


def test_grading_lists_the_wrong_answers():
    assert stranger.grade({"1": "core", "2": "cli"}, {"1": "core", "2": "web"}) == "1 of 2 right\n2: cli, not web"
