"""`make results`: the whole pipeline on RealWaste, with what its tests said, into the claim table of docs/results.md.

`python -m benchmarks.claims LETTER …` runs other rows of the table. A run that was killed goes on when it is started
again: the checkout that it works in is kept, with DVC's cache in it.
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
from benchmarks.parts.claim import CLAIMS, DEFAULT, PLACES, Claim
from benchmarks.parts.claim_tables import findings, table
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
    parser.add_argument("letters", nargs="*", default=default, metavar="LETTER", help=f"of {', '.join(CLAIMS)}")
    for place, what in PLACES.items():
        parser.add_argument(f"--{place.lower()}", help=what)
    folder = Path(tempfile.gettempdir()) / "realwaste-results"
    parser.add_argument("--folder", type=Path, default=folder, help=f"to work in, and to go on in: {folder}")
    arguments = parser.parse_args()
    log.setup()
    places = {place: str(Path(given).resolve()) for place in PLACES if (given := vars(arguments)[place.lower()])}
    if unknown := set(arguments.letters) - CLAIMS.keys():
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(CLAIMS)}")
    needed = {place for letter in arguments.letters for place in CLAIMS[letter].needed()}
    if missing := sorted(needed - places.keys()):
        parser.error(f"give {' and '.join(f'--{place.lower()}' for place in missing)} for these rows")
    found = read_json(RESULTS) if RESULTS.is_file() else {}
    for letter in arguments.letters:
        claim = CLAIMS[letter]
        root = ROOT if claim is DEFAULT else run(claim, arguments.folder, places)
        found[letter] = extract(root)
        if claim.picture:
            shutil.copyfile(root / "plots/test_scores.png", ROOT / claim.picture)
        write_json(RESULTS, dict(sorted(found.items())))
        pages.rewrite(PAGE, COMMAND, table(found))
        pages.rewrite(FINDINGS, COMMAND, findings(found))


def run(claim: Claim, root: Path, places: dict[str, str]) -> Path:
    """Run the claim's command in a checkout of its own at `root`, made or brought up to date; the checkout.

    Raises:
        UserError: the command failed, after having said why.
    """
    root.mkdir(parents=True, exist_ok=True)
    copy_checkout(root)
    git = ["git", "-c", "user.name=results", "-c", "user.email=results@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "the code to run"]):
        subprocess.run([*git, *command], cwd=root, check=True)  # noqa: S603
    words = claim.words(places)
    log.logger.info("%s", shlex.join(words))
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    if subprocess.run(words, cwd=root, env=environment, check=False).returncode:  # noqa: S603
        raise UserError("Every row's pipeline must end well.", "Mend what it named, and start again: it goes on.")
    return root


def extract(root: Path) -> dict[str, Any]:
    """What the table says of a run, from the metrics in its checkout."""
    compared, split, evaluated = (read_json(root / f"metrics/{name}.json") for name in ("compare", "split", "evaluate"))
    intervals = (f"{name}{end}" for name in ("test_accuracy", "macro_f1") for end in ("", "_low", "_high"))
    keys = ("backbone", "weights", *intervals)
    models = {
        name: {key: row[key] for key in keys} | {"repeats": evaluated.get(name, {}).get("repeats")}
        for name, row in compared.items()
        if isinstance(row, dict) and "test_accuracy" in row
    }
    told = {key: split[key] for key in ("strategy", "train", "val", "test")} | split["exposure"]
    shown = []
    for pair, facts in compared["pairs"].items():
        first, second = pair.split("_vs_")
        better = differences.find_better(facts, first, second)
        if better:
            shown.append([better, second if better == first else first])
    return {
        "dataset": compared["dataset"],
        "split": told,
        "models": models,
        "shown": shown,
        "pairs": len(compared["pairs"]),
        # None: of a run whose verdicts went by each test's own p-value.
        "correction": compared.get("correction"),
        "shortcuts": _heads(read_json(root / "metrics/shortcuts.json")),
        "external": _outside(read_json(root / "metrics/external.json")),
    }


def _heads(shortcuts: dict[str, Any]) -> dict[str, Any]:
    keys = ("accuracy", "accuracy_low", "accuracy_high")
    heads = {view: {key: own[key] for key in keys} for view, own in shortcuts["heads"].items()}
    return {key: shortcuts[key] for key in ("backbone", "weights", "image_size", "images", "chance")} | {"heads": heads}


def _outside(external: dict[str, Any]) -> dict[str, Any]:
    keys = ("images", "accuracy", "accuracy_low", "accuracy_high", "mean_confidence", "ece")
    return {
        name: {
            model: {place: {key: own[place][key] for key in keys} for place in ("home", "outside")}
            for model, own in facts["models"].items()
        }
        for name, facts in external["sets"].items()
    }


if __name__ == "__main__":
    main()
