"""Facts about a set of photographs, each as a table: duplicates, capture order, backgrounds, confusions, labels."""

import itertools
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.parts.child import ROOT
from benchmarks.parts.heads import FOLDS, mean_interval, predict_out_of_fold, share_interval
from benchmarks.parts.photographs import Backbone, Photographs
from realwaste.core.files import read_csv
from realwaste.dataset import capture_order
from realwaste.dataset.folds import Rows, split_by_groups
from realwaste.evaluation import label_errors, linear_probe
from realwaste.models.probabilities import Probabilities

JUDGEMENTS = ROOT / "benchmarks/realwaste_labels.csv"
PAIRS = 10
_RANDOM_PAIRS = 2_000
Table = dict[str, Any]


def duplicates(photos: Photographs, _: Backbone) -> list[Table]:
    """Photographs of each class, and how many have a near-duplicate in their class or in another."""
    files, labels = photos.files, photos.labels
    same_class = labels[photos.near_duplicates[:, 0]] == labels[photos.near_duplicates[:, 1]]
    paired = [np.isin(np.arange(len(files)), photos.near_duplicates[rows]) for rows in (same_class, ~same_class)]
    rows = []
    for name in [*photos.classes, "all"]:
        in_class = (files["label"] == name).to_numpy() | (name == "all")
        groups = photos.groups[in_class]
        shares = [share_interval(pairs[in_class], groups) for pairs in paired]
        identical = int(files.loc[in_class, "sha256"].duplicated().sum())
        rows.append([str(name), int(in_class.sum()), len(set(groups)), identical, *shares])
    heads = ["class", "photographs", "groups", "identical files", "near-duplicate in the class", "in another class"]
    counts = [["pairs of near-duplicates, of one class", int(same_class.sum())]]
    counts.append(["pairs of near-duplicates, of two classes", int((~same_class).sum())])
    return [{"heads": heads, "rows": rows}, {"heads": ["counted", ""], "rows": counts}]


def order(photos: Photographs, backbone: Backbone) -> list[Table]:
    """For each class and kind of pair: the mean cosine with its interval, and the number of pairs."""
    unit = photos.unit_vectors(backbone)
    files, groups = photos.files, photos.groups
    by_number, by_order = (_neighbours(files, column) for column in ("number", "shot"))
    kinds = {"by number only": by_number - by_order, "by capture order only": by_order - by_number}
    kinds["by both"] = by_number & by_order
    rows = []
    for label, class_files in files.groupby("label"):
        rng = np.random.default_rng(0)
        drawn = {tuple(rng.choice(class_files.index, 2, replace=False)) for _ in range(_RANDOM_PAIRS)}
        cells = []
        for pairs in (drawn, *kinds.values()):
            first, second = np.array([pair for pair in pairs if pair[0] in class_files.index]).T
            cosines = (unit[first] * unit[second]).sum(axis=1)
            cells.append([*mean_interval(cosines, groups[first]), len(cosines)])
        rows.append([str(label), *cells])
    facts = []
    for what, key in (("text order only", "text_alone"), ("number only", "numeric_alone")):
        fact = f"colour similarity of neighbours by {what} ({photos.order[f'{key}_pairs']} pairs)"
        facts.append([fact, photos.order[f"{key}_likeness"]])
    facts.append(["p of the permutation test that the first is not greater", f"{photos.order['p']:.2g}"])
    heads = ["class", "two files at random", *(f"neighbours {kind}" for kind in kinds)]
    return [{"heads": heads, "rows": rows}, {"heads": ["measured", ""], "rows": facts}]


def background(photos: Photographs, backbone: Backbone) -> list[Table]:
    """Recall of a linear probe on the whole picture and on its outer frame, for each class."""
    correct = [
        out_of_fold(photos, backbone, "probe", view).argmax(axis=1) == photos.labels for view in ("whole", "frame")
    ]
    rows = []
    for name in [*photos.classes, "all"]:
        in_class = (photos.files["label"] == name).to_numpy() | (name == "all")
        accuracies = [share_interval(hit[in_class], photos.groups[in_class]) for hit in correct]
        rows.append([str(name), int(in_class.sum()), *accuracies])
    chance = float(np.bincount(photos.labels).max() / len(photos.labels))
    rows.append(["always the largest class", len(photos.labels), chance, chance])
    return [{"heads": ["class", "photographs", "the whole picture", "the outer frame alone"], "rows": rows}]


def confusion(photos: Photographs, backbone: Backbone) -> list[Table]:
    """The pairs of classes that a head mistakes for each other most often, out of fold."""
    predicted = out_of_fold(photos, backbone, "head").argmax(axis=1)
    pairs: list[list[Any]] = []
    for first, second in itertools.combinations(range(len(photos.classes)), 2):
        in_pair = np.isin(photos.labels, (first, second))
        mistaken = (predicted != photos.labels) & np.isin(predicted, (first, second))
        counts = [int((mistaken & (photos.labels == label)).sum()) for label in (first, second)]
        names = [str(photos.classes[label]) for label in (first, second)]
        pairs.append([*names, int(in_pair.sum()), *counts, share_interval(mistaken[in_pair], photos.groups[in_pair])])
    pairs.sort(key=lambda row: -row[-1][0])
    heads = ["class", "other class", "photographs", "the first taken for the other", "the reverse", "share mistaken"]
    hit = predicted == photos.labels
    total = ["all nine classes, any mistake", "", len(hit), "", "", share_interval(~hit, photos.groups)]
    return [{"heads": heads, "rows": [*pairs[:PAIRS], total]}]


def labels(photos: Photographs, backbone: Backbone) -> list[Table]:
    """What a person found among the most doubtful labels, and what the corrected ones change."""
    judged, probabilities = read_csv(JUDGEMENTS), out_of_fold(photos, backbone, "probe")
    ranking = label_errors.rank_label_errors(photos.files, list(photos.classes), [probabilities])
    row_of = pd.Series(range(len(photos.files)), index=photos.files["path"])
    groups = photos.groups[row_of[judged["path"]]]
    rows: list[list[Any]] = []
    for kind in ("wrong", "ambiguous", "right"):
        of_kind = (judged["judgement"] == kind).to_numpy()
        rows.append([kind, int(of_kind.sum()), share_interval(of_kind, groups)])
    doubted = int(ranking["models_disagreeing"].sum())
    rows.append(["labels that the probe doubts", doubted, f"of {len(ranking):,}"])
    heads = [f"the {len(judged)} most doubtful labels", "photographs", "share"]
    return [{"heads": heads, "rows": rows}, _corrected(photos, backbone, judged, row_of)]


def _corrected(photos: Photographs, backbone: Backbone, judged: pd.DataFrame, row_of: "pd.Series[int]") -> Table:
    wrong = judged[(judged["judgement"] == "wrong") & judged["label"].isin(photos.classes)]
    corrected = photos.labels.copy()
    corrected[row_of[wrong["path"]]] = np.searchsorted(photos.classes, wrong["label"])
    before = out_of_fold(photos, backbone, "head").argmax(axis=1)
    after = predict_out_of_fold(photos.vectors(backbone), corrected, _folds(photos)).argmax(axis=1)
    hits = {
        "published labels, tested on published labels": before == photos.labels,
        "published labels, tested on corrected labels": before == corrected,
        "corrected labels, tested on corrected labels": after == corrected,
    }
    published, *others = hits.values()
    rows = [[name, len(hit), share_interval(hit, photos.groups)] for name, hit in hits.items()]
    gains = ["", *(mean_interval(hit.astype(float) - published, photos.groups) for hit in others)]
    rows = [[*row, gain] for row, gain in zip(rows, gains, strict=True)]
    heads = [f"head trained on ({len(wrong)} labels are corrected)", "photographs", "accuracy", "difference"]
    return {"heads": heads, "rows": rows}


def out_of_fold(photos: Photographs, backbone: Backbone, kind: str, view: str = "whole") -> Probabilities:
    """Probabilities by grouped cross-validation, by a linear probe or a head."""

    def predict() -> Probabilities:
        vectors = photos.vectors(backbone, view)
        if kind == "head":
            return predict_out_of_fold(vectors, photos.labels, _folds(photos))
        return linear_probe.predict_out_of_sample(vectors, photos.labels, photos.groups, FOLDS)

    return photos.cached(backbone, view, kind, predict)


def _folds(photos: Photographs) -> list[tuple[Rows, Rows]]:
    return split_by_groups(photos.labels, photos.groups, FOLDS, 0)


def _neighbours(files: pd.DataFrame, column: str) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in capture_order.neighbor_pairs(files["series"], files[column])}
