"""A saved model made ready for a command: said which one, its caution first, and no sooner than it is needed."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.classifier import model_file
from realwaste.commands import model_choice
from realwaste.core import log, start_up

if TYPE_CHECKING:
    from realwaste.classifier.model_file import Classifier
    from realwaste.classifier.session import Session


def chosen(name: str | None) -> Path:
    """The model's file, once its record has shown that it is one; its caution is for everybody to see."""
    path = model_choice.find(name)
    caution = model_file.facts_of(path).caution()
    said = f": the best by validation accuracy in {model_choice.SCORES}" if name is None else ""
    log.logger.info("%s%s", path, said)
    if caution:
        log.banner("Caution", f"{path}: {caution}.")
    return path


def session_of(path: Path, at_most: int | None = None) -> "Session":
    """What answers: without TensorFlow, whose import alone takes seconds, where it has answered before.

    Args:
        at_most: pictures that it will be asked about.
    """
    from realwaste.classifier import session  # noqa: PLC0415 - OpenVINO, which a mistake need not wait for

    rows = model_file.facts_of(path).batch_size
    return session.opened(path, rows=rows if at_most is None else min(rows, at_most), load=loaded)


def loaded(path: Path) -> "Classifier":
    """model_file.load, without TensorFlow's notes."""
    with start_up.without_notes():
        import keras  # noqa: F401, PLC0415 - seconds, which not every command need wait for
    return model_file.load(path)
