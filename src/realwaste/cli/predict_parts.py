"""`realwaste predict SOURCE --output DEST`: predictions for large sets, as Parquet files, on this machine or on Ray."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from realwaste.cli import model_loading, standard_output
from realwaste.cli.predict_models import NO_PREDICTION
from realwaste.core import log, machine
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.images import image_parts
from realwaste.images.image_parts import Part, Source
from realwaste.models import part_predictions
from realwaste.models.part_predictions import Destination, Summary

_LOG_EVERY_S = 60.0


def run(images: Sequence[str], output: str, engine: str, model: str | None, min_confidence: float | None) -> None:
    """Predict what is missing in `output`, and log the counts of all parts."""
    if len(images) != 1:
        rule = "--output must be used with one SOURCE: a folder, a URL, a tar file or a Parquet file."
        raise UserError(rule, "Name one.", f"{len(images)} of them")
    source, destination = image_parts.list_source(images[0]), Destination(output)
    if "://" not in output and Path(output).resolve().is_relative_to(Path(source.root).resolve()):
        rule = "--output must name a folder outside of SOURCE, or the next run would take its files for inputs."
        raise UserError(rule, "Name another folder, for example beside it.", output)
    file = model_loading.resolve_model(model)
    job = {
        "model": hashlib.sha256(file.read_bytes()).hexdigest(),
        "source": source.digest(),
        "parts": len(source.parts),
        "min_confidence": min_confidence,
    }
    finished = destination.start_or_continue(job)
    if finished:
        logger.info("%d of %d parts are there already", len(finished), len(source.parts))
    missing = [part for part in source.parts if part.number not in finished]
    total = Summary()
    for summary in finished.values():
        total.add(summary)
    if not missing:
        results: Iterator[tuple[int, Summary]] = iter(())
    elif engine == "ray":
        from realwaste.models import ray_predictions  # noqa: PLC0415 - an extra

        results = ray_predictions.predict_parts(file, source, missing, output, min_confidence)
    else:
        results = _predict_here(file, source, missing, destination, min_confidence)
    for _, summary in _with_progress(results, source, total.images, len(missing)):
        total.add(summary)
    logger.info("%s", _describe(total, output, len(source.parts)))


def _predict_here(
    model: Path, source: Source, parts: Sequence[Part], destination: Destination, min_confidence: float | None
) -> Iterator[tuple[int, Summary]]:
    session, readers = model_loading.open_session(model), machine.available_cpus()
    for part in parts:
        images = image_parts.read_part(source.url, source.root, part)
        summary = part_predictions.predict_and_write(
            session, part.number, images, destination, min_confidence, readers=readers
        )
        yield part.number, summary


def _with_progress(
    results: Iterator[tuple[int, Summary]], source: Source, done: int, parts: int
) -> Iterator[tuple[int, Summary]]:
    """The same results; meanwhile a bar with the rate and the time left, or without a terminal a line each minute."""
    start, logged, new = time.monotonic(), time.monotonic(), 0
    is_terminal = log.console.is_terminal
    rate_column = TextColumn("parts, {task.fields[rate]}, time left")
    columns = TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), rate_column, TimeRemainingColumn()
    with Progress(*columns, console=log.console, transient=True, redirect_stdout=False, disable=not is_terminal) as bar:
        task = bar.add_task("", total=parts, rate="")
        for number, (part, summary) in enumerate(results, 1):
            yield part, summary
            new += summary.images
            seconds = max(time.monotonic() - start, 1e-9)
            rate = f"{new / seconds:.0f} images/s"
            bar.update(task, advance=1, rate=rate)
            if not is_terminal and number < parts and time.monotonic() - logged > _LOG_EVERY_S:
                logged, left = time.monotonic(), seconds / number * (parts - number)
                total = "" if source.images is None else f" of {source.images:,}"
                logger.info("%s%s images, %s, %.0f min left", f"{done + new:,}", total, rate, left / 60)


def _describe(total: Summary, output: str, parts: int) -> str:
    """The last line: counts per class, shares of uncertain and novel images, and where the rows are."""
    predicted = max(1, total.images - total.errors)
    counts = total.classes + Counter({NO_PREDICTION: total.errors})
    shares = f"{total.not_sure / predicted:.1%} not sure, {total.unlike / predicted:.1%} unlike anything learned"
    return standard_output.describe_counts(counts, [output], shares, f"{parts} parts")
