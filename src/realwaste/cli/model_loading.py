"""A saved model made ready for a command: said which one, its caution first, and no sooner than it is needed."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.cli import model_resolution
from realwaste.core import log, start_up
from realwaste.core.errors import UserError
from realwaste.models import model_file

if TYPE_CHECKING:
    from realwaste.models.model_file import Classifier
    from realwaste.models.session import Session


def chosen(name: str | None) -> Path:
    """The model's file, once its record has shown that it is one; its caution is for everybody to see."""
    path, reason = model_resolution.choose(name)
    caution = model_file.facts_of(path).caution()
    log.logger.info("%s", f"{path}: {reason}" if reason else path)
    if caution:
        log.banner("Caution", f"{path}: {caution}.")
    return path


def all_chosen() -> list[Path]:
    """Every model's file, each as of `chosen`.

    Raises:
        UserError: there is none, or one that is no model.
    """
    paths = model_resolution.present()
    if not paths:
        raise UserError("There must be a model to ask.", model_resolution.nothing_there())
    for path in paths:
        if caution := model_file.facts_of(path).caution():
            log.banner("Caution", f"{path}: {caution}.")
    log.logger.info("%s", ", ".join(map(str, paths)))
    return paths


def session_of(path: Path, at_most: int | None = None) -> "Session":
    """What answers: without TensorFlow, whose import alone takes seconds, where it has answered before.

    Args:
        at_most: pictures that it will be asked about.
    """
    from realwaste.models import session  # noqa: PLC0415 - OpenVINO, which a mistake need not wait for

    rows = model_file.facts_of(path).batch_size
    return session.opened(path, rows=rows if at_most is None else min(rows, at_most), load=loaded)


def loaded(path: Path) -> "Classifier":
    """model_file.load, without TensorFlow's notes."""
    with start_up.without_notes():
        import keras  # noqa: F401, PLC0415 - seconds, which not every command need wait for
    return model_file.load(path)
