"""`realwaste compare`: which of two models is more accurate on the same labelled photographs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from realwaste.cli import model_loading, standard_output
from realwaste.cli.evaluate import predict_set, report_rejected
from realwaste.cli.options import AsJson, complete_model_name
from realwaste.core.file_names import printable
from realwaste.core.log import logger
from realwaste.models import model_file, registry

if TYPE_CHECKING:
    from realwaste.cli.compare_models import ModelPair

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name, as irv2 for models/irv2.keras, or the path of a .keras file.",
        autocompletion=complete_model_name,
    ),
]


def compare(
    first: ModelArgument,
    second: ModelArgument,
    folder: Annotated[
        str, typer.Argument(help="A folder, a zip, or a zip's URL, with one folder of images per class.")
    ],
    as_json: AsJson = False,
) -> None:
    """Test which of two models is more accurate on labelled photographs that neither was trained on.

    Both models predict the same photographs, of the classes that both have. A model is called better only if two
    exact tests are significant at 0.05: McNemar's test, and a permutation test of groups of similar photographs.
    Photographs that a model was trained or validated on are left out and counted. Files that are not images are left
    out and named, and the exit status is then 1.

    Example: `realwaste compare cnn irv2 labelled/`
    """
    from realwaste.cli import compare_models  # noqa: PLC0415 - pandas and SciPy, which --help does not need

    files = [model_loading.resolve_model(first), model_loading.resolve_model(second)]
    metadata = [model_file.read_metadata(file) for file in files]
    names = [
        registry.display_name(name, record.backbone) if name in registry.BACKBONES else name
        for name, record in zip((first, second), metadata, strict=True)
    ]
    photographs = [model_file.read_photographs(file) for file in files]
    with compare_models.open_pair(folder, metadata[0], metadata[1], photographs) as pair:
        probabilities = [predict_set(model_loading.open_session(file), pair.test_set) for file in files]
        comparison = compare_models.compare_predictions(pair, names, probabilities)
        if as_json:
            standard_output.print_json(compare_models.comparison_record(pair, (first, second), comparison))
        else:
            standard_output.print_tables([_accuracy_table(pair, names, comparison), _difference_table(comparison)])
        for line in _exclusions(pair, names):
            logger.warning("%s", line)
        report_rejected(pair.test_set)


def _exclusions(pair: "ModelPair", names: Sequence[str]) -> Iterator[str]:
    """What is not compared, and why: a line each."""
    for name, other, classes in zip(names, reversed(names), pair.only_classes, strict=True):
        if classes:
            only = ", ".join(map(printable, classes))
            yield f"only {printable(name)} has the classes {only}: it may predict them, and {printable(other)} may not"
    excluded = int((~pair.is_comparable).sum())
    if excluded:
        yield f"{excluded} photographs are left out: not both models have their classes"


def _accuracy_table(pair: "ModelPair", names: Sequence[str], comparison: Mapping[str, Any]) -> Table:
    table = standard_output.empty_table("model", "classes", "photographs", "correct", "accuracy", "95 % interval")
    images = comparison["images"]
    for name, metadata, row in zip(names, pair.metadata, comparison["models"], strict=True):
        interval = f"{row['accuracy_low']:.3f} to {row['accuracy_high']:.3f}"
        correct = round(row["accuracy"] * images)
        figures = (str(len(metadata.classes)), str(images), str(correct), f"{row['accuracy']:.3f}", interval)
        table.add_row(Text(printable(name)), *figures)
    return table


def _difference_table(comparison: Mapping[str, Any]) -> Table:
    table = standard_output.empty_table(
        "difference (first - second)", "95 % interval", "only first correct", "only second correct"
    )
    for heading in ("McNemar's p", "p by groups"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("verdict", overflow="fold")
    interval = f"{comparison['difference_low']:+.3f} to {comparison['difference_high']:+.3f}"
    counts = str(comparison["only_first_right"]), str(comparison["only_second_right"])
    p_values = [_format_p(comparison[key]) for key in ("mcnemar_p", "permutation_p")]
    table.add_row(f"{comparison['difference']:+.3f}", interval, *counts, *p_values, Text(comparison["verdict"], "bold"))
    return table


def _format_p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
