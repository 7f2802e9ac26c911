"""`make results`: runs the whole pipeline on RealWaste and writes its scores into the claim table of docs/results.md.

`python -m benchmarks.claims LETTER …` runs other rows of the table. A killed run resumes when it is started again: its
checkout and DVC's cache in it are kept.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from benchmarks.parts.claim_tables import CLAIMS, DEFAULT, PLACES, Claim, findings, table
from benchmarks.parts.workspace import copy_checkout
from realwaste.core import log
from realwaste.core.errors import UserError
from realwaste.core.files import read_json, write_json
from realwaste.evaluation import differences

RESULTS = ROOT / "benchmarks/claims.json"
PAGE, FINDINGS = ROOT / "docs/results.md", ROOT / "docs/realwaste.md"
COMMAND = "make results"
BIN = Path(sys.executable).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__)
    default = [letter for letter, claim in CLAIMS.items() if claim.data == "RealWaste"]
    parser.add_argument("letters", nargs="*", default=default, metavar="LETTER", help=f"rows: {', '.join(CLAIMS)}")
    for place, what in PLACES.items():
        parser.add_argument(f"--{place.lower()}", help=what)
    folder = Path(tempfile.gettempdir()) / "realwaste-results"
    parser.add_argument("--folder", type=Path, default=folder, help=f"working directory, also to resume in: {folder}")
    arguments = parser.parse_args()
    log.setup()
    places = {place: str(Path(path).resolve()) for place in PLACES if (path := vars(arguments)[place.lower()])}
    if unknown := set(arguments.letters) - CLAIMS.keys():
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(CLAIMS)}")
    required = {place for letter in arguments.letters for place in CLAIMS[letter].required_places()}
    if missing := sorted(required - places.keys()):
        parser.error(f"give {' and '.join(f'--{place.lower()}' for place in missing)} for these rows")
    records = read_json(RESULTS) if RESULTS.is_file() else {}
    for letter in arguments.letters:
        claim = CLAIMS[letter]
        root = ROOT if claim is DEFAULT else run(claim, arguments.folder, places)
        records[letter] = extract(root)
        if claim.picture:
            shutil.copyfile(root / "plots/test_scores.png", ROOT / claim.picture)
        write_json(RESULTS, dict(sorted(records.items())))
        pages.rewrite(PAGE, COMMAND, table(records))
        pages.rewrite(FINDINGS, COMMAND, findings(records))


def run(claim: Claim, root: Path, places: dict[str, str]) -> Path:
    """Run the claim's command in a separate checkout at `root`, which is created or updated; returns the checkout.

    Raises:
        UserError: the command failed; its output has the reason.
    """
    root.mkdir(parents=True, exist_ok=True)
    copy_checkout(root)
    git = ["git", "-c", "user.name=results", "-c", "user.email=results@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "the code to run"]):
        subprocess.run([*git, *command], cwd=root, check=True)  # noqa: S603
    command_line = claim.arguments(places)
    log.logger.info("%s", shlex.join(command_line))
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    if subprocess.run(command_line, cwd=root, env=environment, check=False).returncode:  # noqa: S603
        raise UserError(
            "The pipeline of every row must succeed.", "Fix the reported error, and start again: the run resumes."
        )
    return root


def extract(root: Path) -> dict[str, Any]:
    """The table's values of a run, from the metrics in its checkout."""
    compared, split, evaluated = (read_json(root / f"metrics/{name}.json") for name in ("compare", "split", "evaluate"))
    intervals = (f"{name}{end}" for name in ("test_accuracy", "macro_f1") for end in ("", "_low", "_high"))
    keys = ("backbone", "weights", *intervals)
    models = {
        name: {key: row[key] for key in keys} | {"repeats": evaluated.get(name, {}).get("repeats")}
        for name, row in compared.items()
        if isinstance(row, dict) and "test_accuracy" in row
    }
    significant_pairs = []
    for pair, facts in compared["pairs"].items():
        first, second = pair.split("_vs_")
        if better := differences.find_better(facts, first, second):
            significant_pairs.append([better, second if better == first else first])
    return {
        "dataset": compared["dataset"],
        "split": {key: split[key] for key in ("strategy", "train", "val", "test")} | split["exposure"],
        "models": models,
        "shown": significant_pairs,
        "pairs": len(compared["pairs"]),
        # None: a run whose tests were not corrected for their number.
        "correction": compared.get("correction"),
        "shortcuts": _shortcut_scores(read_json(root / "metrics/shortcuts.json")),
    }


def _shortcut_scores(shortcuts: dict[str, Any]) -> dict[str, Any]:
    keys = ("accuracy", "accuracy_low", "accuracy_high")
    heads = {view: {key: scores[key] for key in keys} for view, scores in shortcuts["heads"].items()}
    return {key: shortcuts[key] for key in ("backbone", "weights", "image_size", "images", "chance")} | {"heads": heads}


if __name__ == "__main__":
    main()
