"""Which saved model a command uses (by name, by path, or the best one), and how it is loaded."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core import library_settings, log
from realwaste.core.errors import UserError
from realwaste.core.files import read_json
from realwaste.models import model_file, registry

if TYPE_CHECKING:
    from realwaste.models.model_file import Classifier
    from realwaste.models.session import Session

MODEL_VARIABLE = "REALWASTE_MODEL"
"""Environment variable with the path of a .keras file, or of a folder of them that replaces models/."""
SCORES = Path("metrics/compare.json")


def resolve_model(name: str | None) -> Path:
    """The file that `choose_model` returns, validated; it is logged with its reason and its caution, if it has one."""
    path, reason = choose_model(name)
    caution = model_file.read_metadata(path).caution()
    log.logger.info("%s", f"{path}: {reason}" if reason else path)
    if caution:
        log.banner("Caution", f"{path}: {caution}.")
    return path


def resolve_all_models() -> list[Path]:
    """The files of all models in `models_folder`, validated and logged as in `resolve_model`."""
    paths = available_models()
    if not paths:
        raise UserError("There must be a model to predict with.", no_model_remedy())
    for path in paths:
        if caution := model_file.read_metadata(path).caution():
            log.banner("Caution", f"{path}: {caution}.")
    log.logger.info("%s", ", ".join(map(str, paths)))
    return paths


def open_session(path: Path, max_images: int | None = None) -> "Session":
    """An inference session of a model file, for at most `max_images` images: a batch need not be larger.

    TensorFlow, whose import takes seconds, is imported only if the model was never converted on this machine.
    """
    from realwaste.models import session  # noqa: PLC0415 - OpenVINO, which a user error need not wait for

    batch_size = model_file.read_metadata(path).batch_size
    rows = batch_size if max_images is None else min(batch_size, max_images)
    return session.open_session(path, batch_size=rows, load=load_classifier)


def load_classifier(path: Path) -> "Classifier":
    """`model_file.load` without TensorFlow's log lines."""
    with library_settings.importing_tensorflow():
        import keras  # noqa: F401, PLC0415 - takes seconds, and not every command needs it
    return model_file.load(path)


def choose_model(name: str | None) -> tuple[Path, str]:
    """A model's file, and for people the reason why it was chosen. Whether it can be read is not checked here.

    Args:
        name: `irv2` for irv2.keras in `models_folder`, or a path; the reason is then empty. With None it is the file
            that REALWASTE_MODEL names, or else the model in `models_folder` with the highest validation accuracy in
            `scores_file`, if possible one without a backbone with random weights. (Choosing by test accuracy would make
            the test optimistic.)

    Raises:
        UserError: no model has that name; no name was given and there are no scores; or REALWASTE_MODEL names a path
            that does not exist.
    """
    if name is not None and (Path(name).suffix == registry.SUFFIX or len(Path(name).parts) != 1):
        return Path(name), ""
    variable_path, scores = _path_in_variable(), scores_file()
    of_variable = f" of {MODEL_VARIABLE}" if variable_path else ""
    if name is not None:
        return _model_by_name(name), f"a model{of_variable}" if variable_path else ""
    if variable_path and not variable_path.is_dir():
        return variable_path, f"named by {MODEL_VARIABLE}"
    available = available_models()
    if len(available) == 1 and not scores.exists():
        return available[0], f"the only model{of_variable}"
    return _best_model(scores), f"the best by validation accuracy in {scores}{of_variable}"


def models_folder() -> Path:
    """The folder that REALWASTE_MODEL names, or the folder of the file that it names; without the variable models/."""
    path = _path_in_variable()
    if path is None:
        return registry.FOLDER
    return path if path.is_dir() else path.parent


def available_models() -> list[Path]:
    """The models in `models_folder`: the pipeline's in their order, then others by name."""
    files = [path for path in models_folder().glob(f"*{registry.SUFFIX}") if not path.name.startswith(".")]
    order = {name: number for number, name in enumerate(registry.MODELS)}
    return sorted(files, key=lambda path: (order.get(path.stem, len(order)), path.stem))


def scores_file() -> Path:
    """The path of compare.json for the models in `models_folder`: in that folder, or in metrics/ beside it."""
    in_folder = models_folder() / SCORES.name
    return in_folder if in_folder.exists() else models_folder().parent / SCORES


def no_model_remedy() -> str:
    """The remedy of a UserError where there is no model."""
    remedy = "`realwaste train PHOTOS` trains one, `dvc repro` those of the pipeline."
    return f"There is no model in {models_folder().absolute()}: {remedy}"


def _path_in_variable() -> Path | None:
    value = os.environ.get(MODEL_VARIABLE)
    path = Path(value).expanduser() if value else None
    if path and not path.exists():
        rule = f"The variable {MODEL_VARIABLE} must name an existing .keras file, or an existing folder of them."
        raise UserError(rule, "Correct it, or unset it.", value)
    return path


def _model_by_name(name: str) -> Path:
    path = _file(name)
    if not path.exists():
        rule = f"A model must be the name of a file in {models_folder()}/, or the path of a .keras file."
        raise UserError(rule, _available_remedy(), name)
    return path


def _best_model(scores: Path) -> Path:
    try:
        records = read_json(scores).items()
        rows = {model: row for model, row in records if isinstance(row, dict) and "val_accuracy" in row}
        # The ensemble has a row too, but no file.
        available = [model for model in rows if _file(model).exists()] or list(rows)
        return _file(registry.best_by_validation({model: rows[model] for model in available}))
    except FileNotFoundError:
        rule = f"Without --model there must be {scores}: the model with the highest validation accuracy in it is used."
        raise UserError(rule, _available_remedy()) from None
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        rule = f"{scores} must hold a validation accuracy for each model, <model>.val_accuracy."
        remedy = f"Run `dvc repro` to write it again, or name a model. {_available_remedy()}"
        raise UserError(rule, remedy, str(error)) from None


def _file(model: str) -> Path:
    return models_folder() / f"{model}{registry.SUFFIX}"


def _available_remedy() -> str:
    names = sorted(path.stem for path in available_models())
    return f"There are: {', '.join(names)}. Name one of them." if names else no_model_remedy()
