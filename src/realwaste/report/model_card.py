"""Model cards (Mitchell et al., 2019): models/<name>.md, with the metadata block of the Hugging Face Hub."""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import jinja2
import yaml

from realwaste.core import machine
from realwaste.evaluation import differences
from realwaste.images.augment import Augment
from realwaste.models import registry
from realwaste.report import comparison, verdict
from realwaste.report.report_data import ReportData
from realwaste.training.cnn_recipe import CnnRecipe
from realwaste.training.finetune_recipe import FinetuneRecipe
from realwaste.training.schedule import Schedule

REALWASTE = {"realwaste", "realwaste-part"}  # by the bytes, see realwaste.sources.realwaste_files


@dataclass(frozen=True)
class CardData:
    """What a card says about its model.

    Attributes:
        name: cnn, irv2, densenet or edge.
        machine: machine.record of its training and test.
        parameters: its section of params.yaml, and `seed`; `recipe` is parsed from that section.
    """

    name: str
    run: ReportData
    machine: Mapping[str, Any]
    parameters: Mapping[str, Any]
    recipe: CnnRecipe | FinetuneRecipe

    @property
    def row(self) -> Mapping[str, Any]:
        """The metrics of the model."""
        return self.run.rows[self.name]


def render_card(card: CardData) -> str:
    """The card: a YAML block and Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("realwaste.report"),
        autoescape=False,  # noqa: S701 - Markdown, whose own escapes `finalize` makes of whatever is filled in
        finalize=_escape_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    body = environment.get_template("model_card.md").render(
        card=card,
        title=registry.display_name(card.name, card.row["backbone"]),
        made_on=machine.describe(card.machine),
        realwaste=card.run.fetched["origin"] in REALWASTE,
        correction=comparison.describe_correction(card.run.pairs),
        comparisons=_describe_comparisons(card),
        evaluated=card.run.evaluated[card.name],
        training=card.run.trainings[card.name],
        decisions=verdict.count_decisions(card.run.tested, card.name),
        external_sets={name: facts["models"][card.name] for name, facts in card.run.external.items()},
        parameters=dict(_list_parameters("", card.parameters)),
        phases=_phases(card),
        worse=_worse_after_calibration(card.run.evaluated[card.name]),
    )
    block = yaml.safe_dump(_metadata(card), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{block}---\n\n{body}"


def _escape_markdown(value: object) -> str:
    """Text on one line that Markdown and HTML show unchanged: folder names may contain any character."""
    plain = html.escape(" ".join(str(value).split()), quote=False)
    # An underscore inside a word is no markup.
    return re.sub(r"([\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", plain)


def _describe_comparisons(card: CardData) -> str:
    """The verdicts of the comparisons with the other models, in words."""
    names = comparison.short_names(card.run.rows)
    undecided = ("no difference shown to", f"{differences.TOO_FEW_GROUPS} from")
    others_by_verdict: dict[str, list[str]] = {verdict: [] for verdict in ("better than", "worse than", *undecided)}
    for other, winner, test in comparison.find_rivals(card.name, card.run.pairs):
        no_winner = undecided["groups" not in test["difference_intervals"]]
        verdict_of_winner = {card.name: "better than", other: "worse than", None: no_winner}
        others_by_verdict[verdict_of_winner[winner]].append(names[other])
    return "; ".join(
        f"{verdict} {', '.join(other_models)}" for verdict, other_models in others_by_verdict.items() if other_models
    )


def _worse_after_calibration(evaluated: Mapping[str, Any]) -> str:
    """The test metrics that calibration made worse, in words; empty if it made none worse."""
    keys = {"crossentropy": "test_loss", "expected calibration error": "ece"}
    return " and the ".join(name for name, key in keys.items() if evaluated[f"{key}_calibrated"] > evaluated[key])


def _list_parameters(section: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parameters that affect this training, named as in `-S` without the section."""
    for name, value in values.items():
        off = (name == "unfrozen" and not values["unfreeze"]) or (name == "views" and not value["count"])
        if off or name in {"cache", "embed_batch_size"}:
            continue
        if isinstance(value, Mapping):
            yield from _list_parameters(f"{section}{name}.", value)
        else:
            # Only the file name, since cards are shared.
            yield f"{section}{name}", PurePath(value).name if name in {"backbone", "weights"} and value else value


def _phases(card: CardData) -> list[str]:
    """How the model was trained: for each phase a sentence without its full stop."""
    recipe = card.recipe
    if isinstance(recipe, CnnRecipe):
        dropout, augment = recipe.architecture.dropout, recipe.architecture.augment
        return [_describe_phase(recipe.schedule, dropout=dropout, augment=augment)]
    head = _describe_phase(recipe.schedule, dropout=recipe.head.dropout, heads=recipe.heads)
    phases = [f"The head: {head}" + _describe_views(card.parameters["views"]["count"])]
    if recipe.last_layers:
        second = _describe_phase(recipe.last_layers.schedule, augment=recipe.last_layers.augment)
        layers = "the whole backbone" if recipe.last_layers.unfreeze == "all" else "the last layers of the backbone"
        batch_norm = ", batch normalisation included" if recipe.last_layers.batch_norm == "train" else ""
        phases.append(f"The head and {layers}{batch_norm}: {second}")
    return phases


def _describe_views(count: int) -> str:
    return f", on each photograph and {count} augmented {'view' if count == 1 else 'views'} of it" if count else ""


def _describe_phase(schedule: Schedule, *, dropout: float = 0.0, heads: int = 1, augment: Augment | None = None) -> str:
    phrases = [
        _optimizer(schedule),
        f"a learning rate of {schedule.learning_rate:g}"
        + (f" after a warm-up in {schedule.warmup:.0%} of the steps" if schedule.warmup else "")
        + (" with cosine decay to 0" if schedule.decay == "cosine" else ""),
        f"crossentropy with labels smoothed by {schedule.label_smoothing:g}"
        if schedule.label_smoothing
        else ("crossentropy" if schedule.mixup else "sparse categorical crossentropy"),
        f"{schedule.epochs} {'epoch' if schedule.epochs == 1 else 'epochs'} in batches of {schedule.batch_size}",
        "shuffled in each epoch" if schedule.shuffle else "in one random order for all epochs",
    ]
    if schedule.class_weights:
        phrases.append("classes weighted as if each had as many images as the mean class")
    if dropout:
        phrases.append(f"dropout of {dropout:g}")
    if heads > 1:
        phrases.append(f"predictions averaged over {heads} heads")
    if changes := _describe_augmentation(augment):
        phrases.append(f"pictures {' and '.join(changes)} at random")
    if schedule.mixup:
        phrases.append(f"mixup with alpha {schedule.mixup:g}")
    if schedule.keep == "best" and not schedule.patience:
        phrases.append("with the weights of the epoch with the highest validation accuracy")
    if schedule.patience:
        stopped = f"stopped early after {schedule.patience} epochs without a lower validation loss"
        phrases.append(f"{stopped}, with the best epoch's weights")
    return ", ".join(phrases)


def _optimizer(schedule: Schedule) -> str:
    names = {"adam": ("Adam", "AdamW"), "sgd": ("SGD",) * 2, "sgd_momentum": ("SGD with a momentum of 0.9",) * 2}
    plain, decaying = names[schedule.optimizer]
    if not schedule.weight_decay:
        return plain
    return f"{decaying}{' and' if ' with ' in decaying else ' with'} a weight decay of {schedule.weight_decay:g}"


def _describe_augmentation(augment: Augment | None) -> list[str]:
    shares = vars(augment or Augment())
    templates = {
        "flip": "flipped horizontally" if shares["flip"] == "horizontal" else "flipped in both directions",
        "rotate": "rotated by up to {:g} of a turn",
        "zoom": "zoomed by up to {:g}",
        "shift": "shifted by up to {:g}",
        "color": "changed in colour by up to {:g}",
    }
    return [template.format(shares[name]) for name, template in templates.items() if shares[name]]


def _metadata(card: CardData) -> dict[str, Any]:
    dataset = card.run.fetched["dataset"]
    metrics = [
        {"type": kind, "name": name, "value": round(float(card.row[key]), 4)}
        for kind, name, key in (
            ("accuracy", "Accuracy", "test_accuracy"),
            ("f1", "Macro F1", "macro_f1"),
            ("loss", "Crossentropy", "test_loss"),
        )
    ]
    results = {
        "task": {"type": "image-classification"},
        "dataset": {"name": dataset, "type": dataset.lower(), "split": "test"},
        "metrics": metrics,
    }
    return {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        # The stricter of the two stated licences.
        "license": "cc-by-nc-sa-4.0" if card.run.fetched["origin"] in REALWASTE else "unknown",
        "tags": ["image-classification", "waste", "keras", card.row["backbone"]],
        "metrics": ["accuracy", "f1"],
        "model-index": [{"name": f"realwaste-{card.name}", "results": [results]}],
    }
