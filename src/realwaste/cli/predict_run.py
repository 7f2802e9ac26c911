"""One run of `realwaste predict`: its options, their checks before a model is loaded, the predictions and outputs."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from realwaste.cli import model_loading, output_options, predict_inputs, predictions_csv, progress_bar, standard_output
from realwaste.cli.photo_outputs import OverlayWriter, Sorter
from realwaste.cli.predict_inputs import Inputs
from realwaste.cli.predict_models import MultiModelPredictor, RowTable, SingleModelPredictor, max_width
from realwaste.core import log
from realwaste.core.csv_rows import path_cell
from realwaste.core.environment import sigterm_as_interrupt
from realwaste.core.errors import UserError
from realwaste.core.log import logger

_WATCHED_NAME_WIDTH = 40  # characters reserved for file names that are not known yet
Predictor = SingleModelPredictor | MultiModelPredictor


@dataclass(frozen=True)
class PredictRun:
    """The options of `predict`."""

    model: str | None
    all_models: bool
    top: int
    min_confidence: float | None
    as_json: bool
    csv: Path | None
    sort_into: Path | None
    overlay: Path | None
    watch: Path | None

    def __post_init__(self) -> None:
        if self.all_models and (self.model or self.overlay or self.sort_into):
            rule = "--all-models must be used without --model, --overlay and --sort-into, which need a single model."
            raise UserError(rule, "Leave out --all-models, or the other option.")

    def run(self, images: Sequence[str]) -> None:
        """Predict all photographs; with `watch`, until Ctrl-C or SIGTERM. Exit status 1 if one has an error."""
        with predict_inputs.open_inputs(images, required=self.watch is None) as inputs:
            self._check(inputs)
            failed, total = self._predict_and_write(inputs)
        if failed and self.watch is None:
            message = "%d of %d photos failed (prediction, copy or overlay): their rows have the reason"
            logger.error(message, failed, total)
            raise typer.Exit(1)

    def _check(self, inputs: Inputs) -> None:
        """Raise UserError if an output cannot be written, or if the next run would take it for an input."""
        photographs = [path for path in inputs.paths if path not in inputs.remote]
        searched = list(inputs.local)
        if self.watch:
            if not self.watch.is_dir():
                rule = "--watch must name a folder that exists."
                raise UserError(rule, "Create it, or check the name.", str(self.watch))
            searched.append(str(self.watch))
        if self.csv:
            predictions_csv.check_csv(self.csv, photographs, searched)
        for option, folder in (("--sort-into", self.sort_into), ("--overlay", self.overlay)):
            if folder:
                output_options.check_folder(option, folder, searched, photographs)

    def _predict_and_write(self, inputs: Inputs) -> tuple[int, int]:
        """How many photographs have an error, and how many there were."""
        counts: Counter[str] = Counter()
        failed, sorter = 0, Sorter(self.sort_into) if self.sort_into else None
        with ExitStack() as stack:
            if self.csv:
                stack.enter_context(predictions_csv.lock(self.csv))
            predictor, results = self._predict(inputs)
            results = map(sorter.sort, results) if sorter else results
            if not self.watch:
                results = progress_bar.track(results, len(inputs.paths), as_json=self.as_json)
            name_width = max(max_width(map(inputs.name, inputs.paths)), _WATCHED_NAME_WIDTH if self.watch else 0)
            writers = self._open_outputs(stack, predictor, name_width)
            if self.watch:
                stack.enter_context(suppress(KeyboardInterrupt))
                stack.enter_context(sigterm_as_interrupt())
            for result in results:
                for write in writers:
                    write(result)
                counts[predictor.summary_label(result)] += 1
                failed += result.error is not None
        outputs = [path for path in (self.csv, self.overlay) if path]
        if counts.total() != 1 or outputs:
            logger.info("%s", standard_output.describe_counts(counts, outputs))
        if sorter:
            logger.info("%s", sorter.summary())
        return failed, counts.total()

    def _batches(self, inputs: Inputs) -> Iterable[list[Path]]:
        """The photographs: all at once, or as they arrive in the watched folder."""
        if self.watch is None:
            return [inputs.paths]
        predicted = predictions_csv.read_paths(self.csv) if self.csv else set()
        named = [path for path in inputs.paths if path_cell(inputs.name(path)) not in predicted]
        return predict_inputs.watch_batches(self.watch, named)

    def _predict(self, inputs: Inputs) -> tuple[Predictor, Iterator[Any]]:
        """Load the model or models; returns the predictor and the iterator of its results."""
        batches, max_images = self._batches(inputs), max(1, len(inputs.paths))
        # 0: a photograph that is unlike the training images is then "not sure", and is not copied into a class.
        min_confidence = 0.0 if self.sort_into and self.min_confidence is None else self.min_confidence
        files = model_loading.resolve_all_models() if self.all_models else [model_loading.resolve_model(self.model)]
        models = {
            file.stem: SingleModelPredictor(
                model_loading.open_session(file, max_images=max_images), self.top, min_confidence
            )
            for file in files
        }
        predictor: Predictor = MultiModelPredictor(models, min_confidence) if self.all_models else models[files[0].stem]
        results: Iterator[Any] = chain.from_iterable(predictor.predict_paths(paths, inputs.remote) for paths in batches)
        if self.overlay:
            results = map(OverlayWriter(self.overlay, model_loading.load_classifier(files[0])).add, results)
        return predictor, results

    def _open_outputs(self, stack: ExitStack, predictor: Predictor, name_width: int) -> list[Callable[[Any], None]]:
        """Functions that write a result to the CSV file, as JSON, or as a row of a table. `stack` ends the outputs.

        A run that watches has no end: each result is a JSON object on a line, rows are appended to the CSV file, and
        the table is shown beside it.
        """
        writers: list[Callable[[Any], None]] = []
        if self.csv:
            open_csv = predictions_csv.append_rows if self.watch else predictions_csv.write_rows
            write_row = stack.enter_context(open_csv(self.csv, predictor.csv_header()))
            writers.append(lambda result: write_row(predictor.csv_row(result)))
        if self.as_json and self.watch:
            writers.append(lambda result: standard_output.print_json(predictor.json_record(result), indent=None))
        elif self.as_json:
            add = stack.enter_context(standard_output.open_json_list(predictor.json_header(), "answers"))
            writers.append(lambda result: add(predictor.json_record(result)))
        elif not self.csv or self.watch:
            table = RowTable(_console(), predictor.table_columns(name_width))
            table.print_header()
            writers.append(lambda result: table.print_row(predictor.table_cells(result)))
        return writers


def _console() -> Console:
    """If both streams are terminals, the console of the progress bar, so that rows are printed above the bar."""
    return log.console if sys.stdout.isatty() and log.console.is_terminal else standard_output.console()
