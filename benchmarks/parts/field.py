"""What helps on photographs of other cameras and places: heads on frozen features, chosen in-domain.

Three measures on the validation photographs of a grouped split: as they are; as simulated external photographs; and on
unseen backgrounds, by heads that were trained without the kind of background of the photograph.
"""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from benchmarks.parts.heads import FOLDS, predict_out_of_fold, share_interval, trainer
from benchmarks.parts.photographs import Backbone, Photographs
from benchmarks.parts.split_effect import make_split
from realwaste.core.files import read_json, write_json
from realwaste.dataset.folds import split_by_groups
from realwaste.evaluation import calibration
from realwaste.models.probabilities import Labels, Probabilities, apply_temperature, fit_temperature, log_loss
from realwaste.training.finetune import HeadTrainer, TrainVal
from realwaste.training.samples import Samples

SEED = 42
KINDS = 4  # of background in a class
WAYS = ("as they are", "simulated external", "unseen backgrounds")
Rows = NDArray[np.int64]
Table = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """How heads are trained (on an augmented view of each photograph too, or not), and whether they predict a crop."""

    view: bool = False
    dropout: float = 0.0
    heads: int = 1
    crop: bool = False


DEFAULT, CHOSEN = "the defaults", "1 view, dropout 0.7, crop at test, five heads"
SETTINGS = {
    DEFAULT: Setting(),
    "crop at test": Setting(crop=True),
    "dropout 0.7, crop at test": Setting(dropout=0.7, crop=True),
    "1 view, dropout 0.7, crop at test": Setting(view=True, dropout=0.7, crop=True),
    CHOSEN: Setting(view=True, dropout=0.7, heads=5, crop=True),
}


class Study:
    """Heads of each setting, which are trained once, on a grouped split."""

    def __init__(self, photos: Photographs, backbone: Backbone) -> None:
        self.photos, self.backbone = photos, backbone
        self.part = make_split(photos, "grouped", SEED)["split"].to_numpy()
        self.train, self.val = (np.flatnonzero(self.part == name) for name in ("train", "val"))
        self.kinds = _kinds_of_background(photos, backbone)
        self._heads: dict[tuple[Setting, int | None], keras.Model] = {}
        self._fits: dict[Setting, HeadTrainer] = {}

    def head(self, setting: Setting, without: int | None = None) -> keras.Model:
        """A head of the training photographs, if given without one kind of background."""
        key = replace(setting, crop=False), without
        if key not in self._heads:
            names, used = ("whole", "augmented 0")[: 1 + setting.view], self.kinds[self.train] != without
            inputs = np.concatenate([self.photos.vectors(self.backbone, name, self.train)[used] for name in names])
            labels = np.tile(self.photos.labels[self.train][used], 1 + setting.view)
            val = Samples(self.photos.vectors(self.backbone)[self.val], self.photos.labels[self.val])
            new = trainer(len(self.photos.classes), dropout=setting.dropout, heads=setting.heads)
            self._heads[key] = self._fits.setdefault(key[0], new).fit(
                TrainVal(Samples(inputs, labels), val), SEED, silent=True
            )[0]
        return self._heads[key]

    def temperature(self, setting: Setting) -> float:
        """Of the head, fitted to the validation photographs."""
        raw = predict(self.head(setting), setting, self.photos, self.backbone, self.val)
        return fit_temperature(self.photos.labels[self.val], raw)

    def evaluate(self, setting: Setting) -> list[Probabilities]:
        """Calibrated probabilities of the validation photographs in each of WAYS."""
        own, labels, temperature = (self.photos, self.backbone), self.photos.labels[self.val], self.temperature(setting)
        head = self.head(setting)
        raw = [predict(head, setting, *own, self.val, external=external) for external in (False, True)]
        calibrated = [apply_temperature(probabilities, temperature) for probabilities in raw]
        if setting.heads > 1:  # a head for each kind would take too long
            return calibrated
        unseen = np.empty_like(raw[0])
        for kind in range(KINDS):
            hidden = self.kinds[self.val] == kind
            predicted = predict(self.head(setting, kind), setting, *own, self.val)
            temperature = fit_temperature(labels[~hidden], predicted[~hidden])
            unseen[hidden] = apply_temperature(predicted[hidden], temperature)
        return [*calibrated, unseen]


def measure(photos: Photographs, backbone: Backbone) -> list[Table]:
    """Accuracy with its interval, calibration error and loss of each setting in each of WAYS."""
    study, file = Study(photos, backbone), photos.cache / "field.json"
    labels, groups = photos.labels[study.val], photos.groups[study.val]
    measured: dict[str, list[Any]] = read_json(file) if file.is_file() else {}
    for name, setting in SETTINGS.items():
        if name not in measured:
            cells = [_cells(labels, probabilities, groups) for probabilities in study.evaluate(setting)]
            measured[name] = [value for way in cells for value in way]
            write_json(file, measured)
    heads = [f"{way}: {value}" for way in WAYS for value in ("accuracy", "calibration error", "loss")]
    rows = [[name, *cells, *[""] * (len(heads) - len(cells))] for name, cells in measured.items()]
    return [{"heads": [f"a head with, on {len(labels)} photographs", *heads], "rows": rows}]


def read_external(photos: Photographs, external: Photographs, backbone: Backbone) -> list[Table]:
    """The one reading of another collection: its photographs of classes that have the same name."""
    study, numbers = Study(photos, backbone), {name.casefold(): number for number, name in enumerate(photos.classes)}
    rows = np.flatnonzero([name.casefold() in numbers for name in external.files["label"]])
    labels = np.array([numbers[name.casefold()] for name in external.files["label"].iloc[rows]])
    table, groups = [], external.groups[rows]
    for name in (DEFAULT, CHOSEN):
        setting = SETTINGS[name]
        raw = predict(study.head(setting), setting, external, backbone, rows)
        probabilities = apply_temperature(raw, study.temperature(setting))
        table.append([f"{name}, trained on {photos.root.name}", len(rows), *_cells(labels, probabilities, groups),
                      float(probabilities.max(axis=1).mean())])  # fmt: skip
    own = np.unique(labels, return_inverse=True)[1]
    folds = split_by_groups(own, groups, FOLDS, 0)
    trained = predict_out_of_fold(external.vectors(backbone)[rows], own, folds)
    name = f"{DEFAULT}, trained on {external.root.name} itself, {len(folds)} grouped folds, not calibrated"
    table.append([name, len(rows), *_cells(own, trained, groups), float(trained.max(axis=1).mean())])
    return [{"heads": ["a head with", "photographs", "accuracy", "calibration error", "loss", "mean confidence"],
             "rows": table}]  # fmt: skip


def predict(
    head: keras.Model, setting: Setting, photos: Photographs, backbone: Backbone, rows: Rows, *, external: bool = False
) -> Probabilities:  # fmt: skip
    """The mean over the photographs and, if the setting says so, their central crops."""
    views = ("external", "external crop") if external else ("whole", "crop")
    vectors = (photos.vectors(backbone, view, rows) for view in views[: 1 + setting.crop])
    return np.asarray(np.mean([np.asarray(head(view)) for view in vectors], axis=0))


def _cells(labels: Labels, probabilities: Probabilities, groups: Rows) -> list[Any]:
    correct = probabilities.argmax(axis=1) == labels
    error = calibration.expected_calibration_error(labels, probabilities)
    return [share_interval(correct, groups), error, log_loss(labels, probabilities)]


def _kinds_of_background(photos: Photographs, backbone: Backbone) -> Rows:
    """The kind of background of each photograph within its class, by k-means of the frames; a group has one."""
    frames, labels = photos.vectors(backbone, "frame"), photos.labels
    unit, kinds = frames / np.linalg.norm(frames, axis=1, keepdims=True), np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own = labels == label
        kinds[own] = KMeans(KINDS, n_init=3, random_state=0).fit_predict(unit[own])
    for group in np.unique(photos.groups):
        kinds[photos.groups == group] = np.bincount(kinds[photos.groups == group]).argmax()
    return kinds
