"""The stranger test: can a reader who knows only the README name the package that a line of code belongs to?

    python -m tools.stranger 1 quiz.md answers.json    # 24 random lines of src and stages
    python -m tools.stranger --grade answers.json reply.json

The quiz holds each line with its neighbours, the other file the packages. A reply is a JSON object: number to package.
"""

import ast
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINES = 24
SHORTEST = 25  # characters; shorter lines say nothing in any project
CONTEXT = 2  # lines before and after the one that was drawn


def package_of(path: Path) -> str:
    """`stages`, or the package of src/realwaste that a file belongs to."""
    parts = path.relative_to(ROOT).parts
    return "stages" if parts[0] == "stages" else parts[2]


def candidate_lines() -> Iterator[tuple[str, str]]:
    """Each package and line of code; imports, comments, docstrings and short lines are left out."""
    for path in sorted([*ROOT.glob("src/realwaste/*/**/*.py"), *ROOT.glob("stages/**/*.py")]):
        text = path.read_text(encoding="utf-8")
        skipped: set[int] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Import, ast.ImportFrom)) or (
                isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            ):
                skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            if number not in skipped and len(line.strip()) >= SHORTEST and not line.strip().startswith("#"):
                yield package_of(path), "\n".join(lines[max(number - 1 - CONTEXT, 0) : number + CONTEXT])


def draw(seed: int) -> list[tuple[str, str]]:
    """LINES packages and lines; every line of code is equally likely."""
    return random.Random(seed).sample(list(candidate_lines()), LINES)  # noqa: S311 - a quiz, no secret


def grade(answers: dict[str, str], reply: dict[str, str]) -> str:
    """How many answers are right, and the misses."""
    misses = [
        f"{number}: {right}, not {reply.get(number)}" for number, right in answers.items() if reply.get(number) != right
    ]
    return "\n".join([f"{len(answers) - len(misses)} of {len(answers)} right", *misses])


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--grade"] and len(arguments) == 3:
        answers, reply = (json.loads(Path(name).read_text(encoding="utf-8")) for name in arguments[1:])
        sys.stdout.write(grade(answers, reply) + "\n")
    elif len(arguments) == 3 and arguments[0].isdecimal():
        drawn = draw(int(arguments[0]))
        quiz = "".join(f"## {number}\n```python\n{line}\n```\n" for number, (_, line) in enumerate(drawn, 1))
        Path(arguments[1]).write_text(quiz, encoding="utf-8")
        answers = {str(number): package for number, (package, _) in enumerate(drawn, 1)}
        Path(arguments[2]).write_text(json.dumps(answers, indent=2) + "\n", encoding="utf-8")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
