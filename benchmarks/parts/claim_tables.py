"""The runs of docs/results.md and docs/realwaste.md, and the tables of their results."""

from dataclasses import dataclass
from typing import Any

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from realwaste.report import background
from tools import sets

NOT_RUN = "not run here"
PLACES = {
    "PHOTOS": "a folder, zip or URL with class folders of images",
    "EXTRACTOR": "a .keras feature extractor",
}


@dataclass(frozen=True)
class Claim:
    """One `dvc exp run`, with an optional set of sets.yaml and parameters, in which PLACES stand for local paths."""

    data: str
    settings: str
    named_set: str | None = None
    params: tuple[str, ...] = ()
    picture: str | None = None  # where the run's plots/test_scores.png goes

    def command(self) -> str:
        set_options = f" $(python -m tools.sets {self.named_set})" if self.named_set else ""
        return f"dvc exp run{set_options} {' '.join(f'-S {param}' for param in self.params)}"

    def arguments(self, places: dict[str, str]) -> list[str]:
        """The command as a list of arguments, with the options of its set and the paths of `places`."""
        arguments = ["dvc", "exp", "run", *self._set_options().split()]
        for key, value in (param.split("=") for param in self.params):
            arguments += ["-S", f"{key}={places.get(value, value)}"]
        return arguments

    def strategy(self) -> str:
        """The split strategy."""
        options = f"{self._set_options()} {' '.join(self.params)}"
        return "grouped" if GROUPED in options else "stratified"

    def required_places(self) -> set[str]:
        """The PLACES that its parameters contain."""
        return PLACES.keys() & {param.partition("=")[2] for param in self.params}

    def _set_options(self) -> str:
        return sets.options(sets.load(ROOT / "sets.yaml"), self.named_set) if self.named_set else ""


_SEEDS = "base.seeds=[42,43,44]"
GROUPED = "split.strategy=grouped"
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
# The report's settings where the defaults differ, but in bfloat16 and without its sweep; heads on light backbones.
_NINE_CLASSES = (
    "fetch.source=PHOTOS",
    "train_cnn.batch_norm_momentum=0.99",
    "train_cnn.shuffle=false",
    "lr_sweep.learning_rates=[0.001]",
    "lr_sweep.epochs=1",
    "finetune_irv2.backbone=EXTRACTOR",
    "finetune_irv2.image_size=260",
    "finetune_irv2.embed_batch_size=32",
    "finetune_densenet.backbone=EfficientNetLite1",
    "finetune_densenet.image_size=240",
    "finetune_densenet.embed_batch_size=32",
)
_BEST = (*_NINE_CLASSES, "evaluate.learning_curve.percents=[]", "evaluate.fold_repeats=0")
_IMAGENET = ("fetch.source=realwaste", "finetune_irv2.weights=imagenet", "finetune_densenet.weights=imagenet", _SEEDS)
DEFAULT = Claim("generated pictures", "the defaults; random weights in irv2 and densenet")
CLAIMS = {
    "A": DEFAULT,
    "B": Claim(
        "trashnet-mini", "the defaults; densenet: the last layers of its backbone fine-tuned", None, _PHOTOGRAPHS
    ),
    "C": Claim("trashnet-mini", "`trashnet`; densenet as in B", "trashnet", _PHOTOGRAPHS),
    "D": Claim("RealWaste", "the report's", "report", (_SEEDS,)),
    "E": Claim("RealWaste", "the report's", "report", (_SEEDS, GROUPED)),
    "F": Claim("RealWaste", "`best`", "best", _IMAGENET),
    "G": Claim("RealWaste", "`best`", "best", (*_IMAGENET, GROUPED)),
    "J": Claim("realwaste-200", "the report's; light backbones", None, (*_NINE_CLASSES, _SEEDS)),
    "K": Claim("realwaste-200", "as J", None, (*_NINE_CLASSES, _SEEDS, GROUPED)),
    "L": Claim("realwaste-200", "as J; edge: `best`", "best", _BEST, picture="docs/realwaste-200.png"),
    "M": Claim("realwaste-200", "as J; irv2 and densenet: `field`", "field", (*_BEST, _SEEDS)),
    "N": Claim("realwaste-200", "as L; edge at 224 px", "best", (*_BEST, GROUPED, "finetune_edge.image_size=224")),
}


def table(records: dict[str, Any]) -> str:
    """The tables of docs/results.md: the runs and their scores."""
    runs = [_run_row(letter, records.get(letter)) for letter in CLAIMS]
    rows = [row for letter in CLAIMS for row in _number_rows(letter, records.get(letter))]
    heads = ["", "model", "test accuracy, 95 % interval", "macro F1, 95 % interval", "accuracy with seeds 42, 43, 44"]
    return f"{pages.table(['', 'data', 'settings', 'split', 'command'], runs)}\n\n{pages.table(heads, rows)}"


def findings(records: dict[str, Any]) -> str:
    """The table of docs/realwaste.md: linear probes on the background."""
    letters = [letter for letter in records if "realwaste" in CLAIMS[letter].data.lower()]
    rows = [row for letter in letters for row in _shortcut_rows(letter, records[letter])]
    return pages.table(["", "a linear head sees", "pictures", "accuracy, 95 % interval", "chance"], rows)


def _shortcut_rows(letter: str, record: dict[str, Any]) -> list[list[str]]:
    if not (shortcuts := record.get("shortcuts")):
        return []
    random = " (RANDOM weights)" if shortcuts["weights"] == "random" else ""
    pictures = f"{shortcuts['images']} pictures of {shortcuts['image_size']} px, {shortcuts['backbone']}{random}"
    views = zip(background.view_accuracies(shortcuts)["sees"], shortcuts["heads"].values(), strict=True)
    return [
        [letter, sees, pictures, _interval(scores, "accuracy"), f"{shortcuts['chance']:.2f}"] for sees, scores in views
    ]


def _run_row(letter: str, record: dict[str, Any] | None) -> list[str]:
    claim = CLAIMS[letter]
    command = "make repro" if claim is DEFAULT else claim.command()
    split = f"{claim.strategy()}, seed 42"
    if record is not None:
        counts = record["split"]
        split += f": {counts['train']}, {counts['val']}, {counts['test']}"
    return [letter, claim.data, claim.settings, split, f"`{command}`"]


def _number_rows(letter: str, record: dict[str, Any] | None) -> list[list[str]]:
    if record is None:
        return [[letter, "", f"**{NOT_RUN}**", "", ""]]
    rows = []
    for name, row in record["models"].items():
        weights = {"imagenet": " (ImageNet weights)", "random": " (RANDOM weights)"}.get(row["weights"], "")
        model = name if row["backbone"] in {"CNN", "Soft vote"} else f"{name}: {row['backbone']}{weights}"
        repeats = row["repeats"]
        spread = f"{repeats['test_accuracy_mean']:.3f} ± {repeats['test_accuracy_std']:.3f}" if repeats else ""
        rows.append([letter, model, _interval(row, "test_accuracy"), _interval(row, "macro_f1"), spread])
    differences = ", ".join(f"{better} over {other}" for better, other in record["shown"]) or "no difference"
    correction = f"after {record['correction']}" if record["correction"] else "each tested by itself"
    tests = f"*differences shown by exact tests of {record['pairs']} pairs, {correction}*"
    return [*rows, [letter, tests, differences, "", ""]]


def _interval(row: dict[str, Any], key: str) -> str:
    return f"{row[key]:.3f} ({row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f})"
