"""`make results`: the whole pipeline on RealWaste, with what its tests said, into the claim table of docs/results.md.

`python -m benchmarks.claims LETTER …` runs other rows of the table. A run that was killed goes on when it is started
again: the checkout that it works in is kept, with DVC's cache in it.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout
from realwaste.core import log
from realwaste.core.errors import UserError
from realwaste.core.files import read_json, write_json
from tools import sets

RESULTS = ROOT / "benchmarks/claims.json"
PAGE, FINDINGS = ROOT / "docs/results.md", ROOT / "docs/realwaste.md"
COMMAND = "make results"
NOT_RUN = "not run here"
BIN = Path(sys.executable).parent
PLACES = {
    "PHOTOS": "a folder, zip or URL with a folder of images a class",
    "EXTRACTOR": "a .keras feature extractor",
    "OUTSIDE": "another such folder, whose photographs no model learns from",
}


@dataclass(frozen=True)
class Claim:
    """A row: `dvc exp run` with a set of sets.yaml, if any, and parameters. PLACES stand for what is on one's disk."""

    data: str
    settings: str
    named_set: str | None = None
    params: tuple[str, ...] = ()
    picture: str | None = None  # where the run's plots/test_scores.png goes

    def command(self) -> str:
        chosen = f" $(python -m tools.sets {self.named_set})" if self.named_set else ""
        return f"dvc exp run{chosen} {' '.join(f'-S {one}' for one in self.params)}"

    def words(self, places: dict[str, str]) -> list[str]:
        """The command as a list, with its set and its places filled in."""
        chosen = shlex.split(sets.options(sets.load(ROOT / "sets.yaml"), self.named_set)) if self.named_set else []
        words = ["dvc", "exp", "run", *chosen]
        for key, value in (one.split("=") for one in self.params):
            words += ["-S", f"{key}={re.sub('|'.join(PLACES), lambda place: places[place[0]], value)}"]
        return words

    def needed(self) -> set[str]:
        """Which of PLACES it names."""
        return {place for place in PLACES for one in self.params if place in one}


_SEEDS = "base.seeds=[42,43,44]"
_GROUPED = "split.strategy=grouped"
_PHOTOGRAPHS = (
    "fetch.source=PHOTOS",
    _SEEDS,
    "finetune_irv2.backbone=EXTRACTOR",
    "finetune_irv2.image_size=260",
    "finetune_densenet.backbone=EXTRACTOR",
    "finetune_densenet.image_size=260",
    "finetune_densenet.unfreeze=10",
    "finetune_densenet.unfrozen.learning_rate=0.0001",
    "finetune_densenet.unfrozen.augment.flip=true",
)
_OUTSIDE = "evaluate.external=[OUTSIDE]"
_REALWASTE_4 = (*(one for one in _PHOTOGRAPHS if one != _SEEDS), _GROUPED, _OUTSIDE)
_FIELD = (
    "fetch.source=PHOTOS",
    "finetune_irv2.backbone=EXTRACTOR",
    "finetune_irv2.image_size=260",
    "finetune_densenet.backbone=EXTRACTOR",
    "finetune_densenet.image_size=192",
    _OUTSIDE,
)
_IMAGENET = ("fetch.source=realwaste", "finetune_irv2.weights=imagenet", "finetune_densenet.weights=imagenet", _SEEDS)
DEFAULT = Claim("generated pictures", "the defaults; random weights in the backbones")
CLAIMS = {
    "A": DEFAULT,
    "B": Claim("trashnet-mini", "the defaults; densenet: the end of its backbone learned too", None, _PHOTOGRAPHS),
    "C": Claim("trashnet-mini", "`best`; densenet as in B", "best", _PHOTOGRAPHS),
    "D": Claim("RealWaste", "the report's", "report", (_SEEDS,)),
    "E": Claim("RealWaste", "the report's", "report", (_SEEDS, _GROUPED)),
    "F": Claim("RealWaste", "`best`", "best", _IMAGENET),
    "G": Claim("RealWaste", "`best`", "best", (*_IMAGENET, _GROUPED)),
    "H": Claim("realwaste-4", "as B", None, _REALWASTE_4, picture="docs/realwaste-4.png"),
    "I": Claim("realwaste-4", "`field`; irv2 at 260 pixels, densenet at 192", "field", _FIELD),
}


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
        better = facts["verdict"].removesuffix(" is better")
        if better in {first, second}:
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


def table(found: dict[str, Any]) -> str:
    """The tables of docs/results.md: the runs, and their numbers."""
    runs = pages.table(
        ["", "data", "settings", "split", "command"], [_run_row(letter, found.get(letter)) for letter in CLAIMS]
    )
    rows = [row for letter in CLAIMS for row in _number_rows(letter, found.get(letter))]
    heads = ["", "model", "test accuracy, 95 % interval", "macro F1, 95 % interval", "accuracy with seeds 42, 43, 44"]
    return f"{runs}\n\n{pages.table(heads, rows)}"


def findings(found: dict[str, Any]) -> str:
    """The tables of docs/realwaste.md: what its photographs' background gives away, and photographs from elsewhere."""
    own = {letter: record for letter, record in found.items() if "realwaste" in CLAIMS[letter].data.lower()}
    outside = pages.table(
        ["", "model", "asked about", "images", "accuracy, 95 % interval", "mean confidence", "calibration error"],
        [row for letter, record in own.items() for row in _outside_rows(letter, record)],
    )
    seen = pages.table(
        ["", "a linear head sees", "of", "accuracy, 95 % interval", "chance"],
        [row for letter, record in own.items() for row in _shortcut_rows(letter, record)],
    )
    return f"{seen}\n\n{outside}"


def _outside_rows(letter: str, record: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, models in record.get("external", {}).items():
        for model, places in models.items():
            for place, own in places.items():
                asked = name if place == "outside" else "its test, the same classes"
                sure = f"{own['mean_confidence']:.3f}", f"{own['ece']:.3f}"
                rows.append([letter, model, asked, str(own["images"]), _interval(own, "accuracy"), *sure])
    return rows


def _shortcut_rows(letter: str, record: dict[str, Any]) -> list[list[str]]:
    if not (told := record.get("shortcuts")):
        return []
    words = {"whole": "the whole picture", "frame": "the outer frame alone", "middle": "the middle alone"}
    words |= {"grey": "no colour", "tiny": "32 × 32 pixels"}
    random = " (RANDOM weights)" if told["weights"] == "random" else ""
    of = f"{told['images']} pictures of {told['image_size']} px, {told['backbone']}{random}"
    chance = f"{told['chance']:.2f}"
    return [[letter, words[view], of, _interval(own, "accuracy"), chance] for view, own in told["heads"].items()]


def _run_row(letter: str, record: dict[str, Any] | None) -> list[str]:
    claim = CLAIMS[letter]
    command = "make repro" if claim is DEFAULT else claim.command()
    planned = "grouped" if _GROUPED in claim.params else "stratified"
    split = f"{planned}, seed 42"
    if record is not None:
        own = record["split"]
        split += f": {own['train']}, {own['val']}, {own['test']}"
    return [letter, claim.data, claim.settings, split, f"`{command}`"]


def _number_rows(letter: str, record: dict[str, Any] | None) -> list[list[str]]:
    if record is None:
        return [[letter, "", f"**{NOT_RUN}**", "", ""]]
    rows = []
    for name, row in record["models"].items():
        own = {"imagenet": " (ImageNet weights)", "random": " (RANDOM weights)"}.get(row["weights"], "")
        named = name if row["backbone"] in {"CNN", "Soft vote"} else f"{name}: {row['backbone']}{own}"
        again = row["repeats"]
        spread = f"{again['test_accuracy_mean']:.3f} ± {again['test_accuracy_std']:.3f}" if again else ""
        rows.append([letter, named, _interval(row, "test_accuracy"), _interval(row, "macro_f1"), spread])
    better = ", ".join(f"{one} over {other}" for one, other in record["shown"]) or "no difference"
    after = f"after {record['correction']}" if record["correction"] else "each tested by itself"
    rows.append([letter, f"*of {record['pairs']} pairs, McNemar shows, {after}*", better, "", ""])
    return rows


def _interval(row: dict[str, Any], key: str) -> str:
    return f"{row[key]:.3f} ({row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f})"


if __name__ == "__main__":
    main()
