"""The rows of docs/results.md: what is run for each."""

import re
import shlex
from dataclasses import dataclass

from benchmarks.parts.child import ROOT
from tools import sets

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

    def strategy(self) -> str:
        """Of the split."""
        chosen = sets.load(ROOT / "sets.yaml")[self.named_set].params if self.named_set else {}
        return "grouped" if GROUPED in self.params else str(chosen.get("split.strategy", "stratified"))

    def needed(self) -> set[str]:
        """Which of PLACES it names."""
        return {place for place in PLACES for one in self.params if place in one}


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
_OUTSIDE = "evaluate.external=[OUTSIDE]"
_REALWASTE_4 = (*(one for one in _PHOTOGRAPHS if one != _SEEDS), GROUPED, _OUTSIDE)
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
    "E": Claim("RealWaste", "the report's", "report", (_SEEDS, GROUPED)),
    "F": Claim("RealWaste", "`best`", "best", _IMAGENET),
    "G": Claim("RealWaste", "`best`", "best", (*_IMAGENET, GROUPED)),
    "H": Claim("realwaste-4", "as B", None, _REALWASTE_4, picture="docs/realwaste-4.png"),
    "I": Claim("realwaste-4", "`field`; irv2 at 260 pixels, densenet at 192", "field", _FIELD),
}
