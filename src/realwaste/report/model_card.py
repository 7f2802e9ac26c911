"""What a person who is handed a model must know: models/<name>.md, a model card (Mitchell et al., 2019).

The metadata block is that of the Hugging Face Hub, whose pages and tools read it.
"""

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
from realwaste.report import comparison
from realwaste.training.cnn_recipe import CnnRecipe
from realwaste.training.finetune_recipe import FinetuneRecipe
from realwaste.training.schedule import Schedule

REALWASTE = {"realwaste", "realwaste-part"}  # by the bytes, see realwaste.sources.realwaste_files
OFF_CARD = "This model is off: give it a backbone in params.yaml, and `dvc repro` trains it.\n"


@dataclass(frozen=True)
class CardData:
    """The model that a card is about.

    Attributes:
        name: cnn, irv2, densenet or edge.
        fetched, split: the metrics of the fetch and split stages.
        row: its row of table1.build_rows.
        evaluated: its test figures, with `per_class`.
        training: the metrics of its training.
        machine: machine.record of what it was trained and tested on.
        parameters: the section of params.yaml that it was trained with, and `seed`.
        recipe: what that section states.
        pairs: comparison.compare_pairs.
        external: `sets` of metrics/external.json.
    """

    name: str
    fetched: Mapping[str, Any]
    split: Mapping[str, Any]
    row: Mapping[str, Any]
    evaluated: Mapping[str, Any]
    training: Mapping[str, Any]
    machine: Mapping[str, Any]
    parameters: Mapping[str, Any]
    recipe: CnnRecipe | FinetuneRecipe
    pairs: Mapping[str, Mapping[str, Any]]
    external: Mapping[str, Mapping[str, Any]]


def render_card(subject: CardData) -> str:
    """The card as Markdown behind its YAML block."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("realwaste.report"),
        autoescape=False,  # noqa: S701 - Markdown, whose own escapes `finalize` makes of whatever is filled in
        finalize=_escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    body = environment.get_template("model_card.md").render(
        subject=subject,
        made_on=machine.describe(subject.machine),
        realwaste=subject.fetched["origin"] in REALWASTE,
        correction=comparison.describe_correction(subject.pairs),
        standing=_standing(subject),
        outside={name: facts["models"][subject.name] for name, facts in subject.external.items()},
        parameters=dict(_named("", subject.parameters)),
        phases=_phases(subject),
    )
    block = yaml.safe_dump(_metadata(subject), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{block}---\n\n{body}"


def _escaped(value: object) -> str:
    """Text that Markdown and HTML show as it is, on one line: names of folders are anything."""
    plain = html.escape(" ".join(str(value).split()), quote=False)
    # An underscore inside a word means nothing.
    return re.sub(r"([\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", plain)


def _standing(subject: CardData) -> str:
    """What the tests of its pairs show of it."""
    found: dict[str, list[str]] = {"better than": [], "worse than": [], "no difference shown to": []}
    for pair, facts in subject.pairs.items():
        both = pair.split("_vs_")
        if subject.name in both:
            (other,) = set(both) - {subject.name}
            shown = {subject.name: "better than", other: "worse than", None: "no difference shown to"}
            found[shown[differences.find_better(facts, *both)]].append(other)
    return "; ".join(f"{words} {', '.join(others)}" for words, others in found.items() if others)


def _named(section: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parameters that this training had, named as `-S` names them below their section."""
    for name, value in values.items():
        off = (name == "unfrozen" and not values["unfreeze"]) or (name == "views" and not value["count"])
        if off or name in {"cache", "embed_batch_size"}:
            continue
        if isinstance(value, Mapping):
            yield from _named(f"{section}{name}.", value)
        else:
            # Of a file its name alone: cards are sent around.
            yield f"{section}{name}", PurePath(value).name if name in {"backbone", "weights"} and value else value


def _phases(subject: CardData) -> list[str]:
    """How it was fitted, a sentence without its end for each phase."""
    recipe = subject.recipe
    if isinstance(recipe, CnnRecipe):
        return [_phase(recipe.schedule, dropout=recipe.architecture.dropout, augment=recipe.architecture.augment)]
    head = _phase(recipe.schedule, dropout=recipe.dropout, heads=recipe.heads)
    phases = [f"The head: {head}" + _views(subject.parameters["views"]["count"])]
    if recipe.last_layers:
        second = _phase(recipe.last_layers.schedule, augment=recipe.last_layers.augment)
        phases.append(f"The head and the end of the backbone: {second}")
    return phases


def _views(count: int) -> str:
    return f", on each photograph and {count} changed {'view' if count == 1 else 'views'} of it" if count else ""


def _phase(schedule: Schedule, *, dropout: float = 0.0, heads: int = 1, augment: Augment | None = None) -> str:
    said = [
        _optimizer(schedule),
        f"a learning rate of {schedule.learning_rate:g}"
        + (" that falls to 0 along half a cosine" if schedule.decay == "cosine" else ""),
        f"crossentropy with labels smoothed by {schedule.label_smoothing:g}"
        if schedule.label_smoothing
        else "sparse categorical crossentropy",
        f"{schedule.epochs} {'epoch' if schedule.epochs == 1 else 'epochs'} in batches of {schedule.batch_size}",
        "shuffled in each epoch" if schedule.shuffle else "in one order in all epochs, drawn once",
    ]
    if schedule.class_weights:
        said.append("each class counting as if it had as many images as the mean class")
    if dropout:
        said.append(f"dropout of {dropout:g}")
    if heads > 1:
        said.append(f"the answer being the mean of {heads} heads trained so")
    if changes := _changes(augment):
        said.append(f"its pictures {' and '.join(changes)} at random")
    if schedule.patience:
        said.append(
            f"ended early after {schedule.patience} epochs without a lower validation loss, the best epoch's weights kept"
        )
    return ", ".join(said)


def _optimizer(schedule: Schedule) -> str:
    names = {"adam": ("Adam", "AdamW"), "sgd": ("SGD",) * 2, "sgd_momentum": ("SGD with a momentum of 0.9",) * 2}
    plain, decaying = names[schedule.optimizer]
    if not schedule.weight_decay:
        return plain
    return f"{decaying}{' and' if ' with ' in decaying else ' with'} a weight decay of {schedule.weight_decay:g}"


def _changes(augment: Augment | None) -> list[str]:
    words = {
        "flip": "mirrored each way",
        "rotate": "turned by up to {:g} of a turn",
        "zoom": "zoomed by up to {:g}",
        "color": "changed in colour by up to {:g}",
    }
    shares = vars(augment or Augment())
    return [said.format(shares[name]) for name, said in words.items() if shares[name]]


def _metadata(subject: CardData) -> dict[str, Any]:
    dataset = subject.fetched["dataset"]
    measured = {"accuracy": "Accuracy", "f1": "Macro F1", "loss": "Crossentropy"}
    keys = {"accuracy": "test_accuracy", "f1": "macro_f1", "loss": "test_loss"}
    return {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        # The stricter of the two that are stated.
        "license": "cc-by-nc-sa-4.0" if subject.fetched["origin"] in REALWASTE else "unknown",
        "tags": ["image-classification", "waste", "keras", subject.row["backbone"]],
        "metrics": ["accuracy", "f1"],
        "model-index": [
            {
                "name": f"realwaste-{subject.name}",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": dataset, "type": dataset.lower(), "split": "test"},
                        "metrics": [
                            {"type": kind, "name": name, "value": round(float(subject.row[keys[kind]]), 4)}
                            for kind, name in measured.items()
                        ],
                    }
                ],
            }
        ],
    }
