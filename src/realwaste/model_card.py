"""What a person who is handed a model must know: models/<name>.md, a model card (Mitchell et al., 2019).

The metadata block is that of the Hugging Face Hub, whose pages and tools read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
import yaml

OFF = "This model is off: give it a backbone in params.yaml, and `dvc repro` trains it.\n"


@dataclass(frozen=True)
class Subject:
    """The model that a card is about.

    Attributes:
        name: cnn, irv2, densenet or edge.
        fetched, split: the metrics of the fetch and split stages.
        row: its row of comparison.table1.
        evaluated: its test figures, with `per_class`.
        training: the metrics of its training.
        parameters: the section of params.yaml that it was trained with.
    """

    name: str
    fetched: Mapping[str, Any]
    split: Mapping[str, Any]
    row: Mapping[str, Any]
    evaluated: Mapping[str, Any]
    training: Mapping[str, Any]
    parameters: Mapping[str, Any]


def card(subject: Subject) -> str:
    """The card as Markdown behind its YAML block."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("realwaste"),
        autoescape=False,  # noqa: S701 - Markdown, not HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda value: str(value).replace("|", "\\|").replace("\n", " ")
    body = environment.get_template("model_card.md").render(
        subject=subject, realwaste=subject.fetched["origin"] == "realwaste"
    )
    block = yaml.safe_dump(_metadata(subject), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{block}---\n\n{body}"


def _metadata(subject: Subject) -> dict[str, Any]:
    dataset = subject.fetched["dataset"]
    measured = {"accuracy": "Accuracy", "f1": "Macro F1", "loss": "Crossentropy"}
    keys = {"accuracy": "test_accuracy", "f1": "macro_f1", "loss": "test_loss"}
    return {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "license": "cc-by-4.0" if subject.fetched["origin"] == "realwaste" else "unknown",
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
