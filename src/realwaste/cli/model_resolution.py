"""Which saved model is meant: one by name, one by path, or the best there is."""

import os
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.files import read_json
from realwaste.models import registry

VARIABLE = "REALWASTE_MODEL"
"""Of the environment: a .keras file, or a folder of them that takes the place of models/."""
SCORES = Path("metrics/compare.json")


def find(name: str | None) -> Path:
    """The file of `choose` alone."""
    return choose(name)[0]


def choose(name: str | None) -> tuple[Path, str]:
    """A model's file, and in words why it is this one; whether it can be read is not asked here.

    Args:
        name: `irv2` for irv2.keras in `folder`, or a path; "" is the reason then. None for the file that
            REALWASTE_MODEL names, else for the model in `folder` of the highest validation accuracy by `scores`. Not
            the test accuracy: a choice by that would make it no test any more.

    Raises:
        UserError: no model of that name, no name and nothing to choose by, or nothing where REALWASTE_MODEL points.
    """
    if name is not None:
        path = Path(name)
        if path.suffix == registry.SUFFIX or len(path.parts) != 1:
            return path, ""
        return _named(name), f"a model{_of_variable()}" if _of_variable() else ""
    named = _named_by_variable()
    if named is not None and not named.is_dir():
        return named, f"named by {VARIABLE}"
    there, record = present(), scores()
    if named is not None and len(there) == 1 and not record.exists():
        return there[0], f"the only model{_of_variable()}"
    return _best(record), f"the best by validation accuracy in {record}{_of_variable()}"


def folder() -> Path:
    """Where models lie: the folder that REALWASTE_MODEL names, that of the file which it names, else models/."""
    named = _named_by_variable()
    if named is None:
        return registry.FOLDER
    return named if named.is_dir() else named.parent


def present() -> list[Path]:
    """The models in `folder` that are not off: those of the pipeline first, in its order, then others by name."""
    files = [path for path in folder().glob(f"*{registry.SUFFIX}") if not path.name.startswith(".")]
    order = {name: number for number, name in enumerate(registry.MODELS)}
    files.sort(key=lambda path: (order.get(path.stem, len(order)), path.stem))
    return [path for path in files if _is_there(path)]


def scores() -> Path:
    """Where the record of what the models in `folder` scored would be: in the folder, or as a checkout has it."""
    inside = folder() / SCORES.name
    return inside if inside.exists() else folder().parent / SCORES


def nothing_there() -> str:
    """What to do where there is no model."""
    return f"There is no model in {folder().absolute()}: run `dvc repro` to train some, or `dvc pull` to fetch them."


def _named_by_variable() -> Path | None:
    value = os.environ.get(VARIABLE)
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.exists():
        rule = f"The variable {VARIABLE} must name a .keras file or a folder of them that is there."
        raise UserError(rule, "Mend it, or unset it.", value)
    return path


def _of_variable() -> str:
    return f" of {VARIABLE}" if _named_by_variable() is not None else ""


def _named(name: str) -> Path:
    path = folder() / f"{name}{registry.SUFFIX}"
    if not _is_there(path):
        rule = f"A model must be named as in {folder()}/, or be the path of a .keras file."
        raise UserError(rule, _remedy(), name)
    return path


def _best(record: Path) -> Path:
    try:
        rows = read_json(record)
        accuracies = {
            model: float(row["val_accuracy"])
            for model, row in rows.items()
            if isinstance(row, dict) and "val_accuracy" in row
        }
        # The soft vote has a row too, and no file.
        there = [model for model in accuracies if _is_there(_file(model))]
        return _file(max(there or accuracies, key=lambda model: accuracies[model]))
    except FileNotFoundError:
        rule = (
            f"Without --model the best model is taken by its validation accuracy, from {record}, which must be there."
        )
        raise UserError(rule, _remedy()) from None
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        rule = f"{record} must hold a validation accuracy a model, <model>.val_accuracy."
        raise UserError(rule, f"Run `dvc repro` to write it again, or name a model. {_remedy()}", str(error)) from None


def _file(model: str) -> Path:
    return folder() / f"{model}{registry.SUFFIX}"


def _is_there(path: Path) -> bool:
    return path.exists() and not registry.is_off(path)


def _remedy() -> str:
    names = sorted(path.stem for path in present())
    return f"There are: {', '.join(names)}. Name one of them." if names else nothing_there()
