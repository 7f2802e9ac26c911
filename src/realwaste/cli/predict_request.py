"""What `predict` was asked for, checked before a model is opened, and then done photograph by photograph."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from realwaste.cli import (
    model_loading,
    output_options,
    predict_output,
    predict_overlays,
    predict_watch,
    predictions_csv,
    progress_bar,
)
from realwaste.cli.predict_all_models import SideBySide
from realwaste.cli.predict_inputs import Inputs
from realwaste.cli.predict_one_model import OneModel
from realwaste.cli.predict_sorting import Sorter
from realwaste.cli.predict_table import widest
from realwaste.cli.predict_view import View
from realwaste.core.environment import sigterm_as_interrupt
from realwaste.core.log import logger

_NAMES_TO_COME = 40  # characters of a file's name, where it is not known yet


@dataclass(frozen=True)
class Request:
    """As the options of `predict` have it."""

    model: str | None
    all_models: bool
    top: int
    least: float | None
    as_json: bool
    csv: Path | None
    sort_into: Path | None
    overlay: Path | None
    watch: Path | None

    def check(self, given: Inputs) -> None:
        """UserError where something cannot be written, or would be taken for photographs the next time."""
        here = [path for path in given.paths if path not in given.remote]
        looked_at = list(given.local)
        if self.watch:
            predict_watch.check(self.watch)
            looked_at.append(str(self.watch))
        if self.csv:
            predictions_csv.check_csv(self.csv, here, looked_at)
        for option, folder in (("--sort-into", self.sort_into), ("--overlay", self.overlay)):
            if folder:
                output_options.check_folder(option, folder, looked_at, here)

    def answer(self, given: Inputs) -> tuple[int, int]:
        """Look at all photographs; how many have no answer, and how many there were.

        With `watch` Ctrl-C or SIGTERM is the end.
        """
        with predictions_csv.lock(self.csv) if self.csv else nullcontext():
            return self._answer(given)

    def _answer(self, given: Inputs) -> tuple[int, int]:
        rounds, sorter = self._rounds(given), Sorter(self.sort_into) if self.sort_into else None
        view, coming = self._opened(given, rounds)
        if sorter:
            coming = map(sorter.sort, coming)
        if not self.watch:
            coming = progress_bar.track(coming, len(given.paths), as_json=self.as_json)
        names = [given.remote[path].source if path in given.remote else str(path) for path in given.paths]
        width = max(widest(names), _NAMES_TO_COME if self.watch else 0)
        watched = self.watch is not None
        failed = seen = 0
        with (
            predict_output.opened(view, width=width, as_json=self.as_json, csv=self.csv, watching=watched) as write,
            ExitStack() as ending,
        ):
            if watched:
                ending.enter_context(suppress(KeyboardInterrupt))
                ending.enter_context(sigterm_as_interrupt())
            for told in coming:
                write(told)
                seen, failed = seen + 1, failed + (told.error is not None)
        if sorter:
            logger.info("%s", sorter.summary())
        return failed, seen

    def _rounds(self, given: Inputs) -> Iterable[list[Path]]:
        if self.watch is None:
            return [given.paths]
        written = predictions_csv.read_paths(self.csv) if self.csv else set()
        return predict_watch.rounds(self.watch, given.paths, written)

    def _opened(self, given: Inputs, rounds: Iterable[list[Path]]) -> tuple[View[Any], Iterator[Any]]:
        """What answers, and its answers."""
        at_once = max(1, len(given.paths))
        if self.all_models:
            asked = {
                path.stem: model_loading.open_session(path, max_images=at_once)
                for path in model_loading.resolve_all_models()
            }
            both = SideBySide(asked, self.top, self.least)
            return both, chain.from_iterable(both.answers(paths, given.remote) for paths in rounds)
        file = model_loading.resolve_model(self.model)
        # What is unlike anything learned has no place among the classes.
        least = 0.0 if self.sort_into and self.least is None else self.least
        one = OneModel(model_loading.open_session(file, max_images=at_once), self.top, least)
        coming = chain.from_iterable(one.answers(paths, given.remote) for paths in rounds)
        if self.overlay:
            return one, predict_overlays.with_overlays(coming, self.overlay, model_loading.load_classifier(file))
        return one, coming
