"""The tables of what the runs of docs/results.md said."""

from typing import Any

from benchmarks.parts import pages
from benchmarks.parts.claim import CLAIMS, DEFAULT
from realwaste.report import background

NOT_RUN = "not run here"


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
    random = " (RANDOM weights)" if told["weights"] == "random" else ""
    of = f"{told['images']} pictures of {told['image_size']} px, {told['backbone']}{random}"
    views = zip(background.view_accuracies(told)["sees"], told["heads"].values(), strict=True)
    return [[letter, sees, of, _interval(own, "accuracy"), f"{told['chance']:.2f}"] for sees, own in views]


def _run_row(letter: str, record: dict[str, Any] | None) -> list[str]:
    claim = CLAIMS[letter]
    command = "make repro" if claim is DEFAULT else claim.command()
    split = f"{claim.strategy()}, seed 42"
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
    rows.append([letter, f"*of {record['pairs']} pairs, the exact tests show, {after}*", better, "", ""])
    return rows


def _interval(row: dict[str, Any], key: str) -> str:
    return f"{row[key]:.3f} ({row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f})"
