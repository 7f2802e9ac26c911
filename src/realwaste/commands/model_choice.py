"""Which saved model is meant: one by name, one by path, or the best there is."""

from pathlib import Path

from realwaste.classifier import registry
from realwaste.core.errors import UserError
from realwaste.core.files import read_json

SCORES = Path("metrics/compare.json")


def find(name: str | None) -> Path:
    """A model's file, under the present folder where a name is given; whether it can be read is not asked here.

    Args:
        name: `irv2` for models/irv2.keras, or a path; None for the model of the highest validation accuracy in
            metrics/compare.json. Not the test accuracy: a choice by that would make it no test any more.

    Raises:
        UserError: no model of that name, or no name and nothing to choose by.
    """
    if name is None:
        return registry.file(_best())
    path = Path(name)
    if path.suffix == registry.SUFFIX or len(path.parts) != 1:
        return path
    path = registry.file(name)
    if not _is_there(path):
        raise UserError(
            f"--model must name a model in {registry.FOLDER}/ or be the path of a .keras file.", _remedy(), name
        )
    return path


def _best() -> str:
    try:
        rows = read_json(SCORES)
        accuracies = {
            model: float(row["val_accuracy"])
            for model, row in rows.items()
            if isinstance(row, dict) and "val_accuracy" in row
        }
        # The soft vote has a row too, and no file.
        there = [model for model in accuracies if _is_there(registry.file(model))]
        return max(there or accuracies, key=lambda model: accuracies[model])
    except FileNotFoundError:
        rule = (
            f"Without --model the best model is taken by its validation accuracy, from {SCORES}, which must be there."
        )
        raise UserError(rule, _remedy()) from None
    except (OSError, ValueError, TypeError) as error:
        rule = f"{SCORES} must hold a validation accuracy a model, <model>.val_accuracy."
        raise UserError(rule, f"Run `dvc repro` to write it again, or name a model. {_remedy()}", str(error)) from None


def _is_there(path: Path) -> bool:
    return path.exists() and not registry.is_off(path)


def _remedy() -> str:
    files = registry.FOLDER.glob(f"*{registry.SUFFIX}")
    names = sorted(path.stem for path in files if not path.name.startswith(".") and _is_there(path))
    if not names:
        place = registry.FOLDER.absolute()
        return f"There is no model in {place}: run `dvc repro` to train some, or `dvc pull` to fetch them."
    return f"There are: {', '.join(names)}. Give one by --model."
