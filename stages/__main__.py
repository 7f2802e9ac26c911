"""`python -m stages NAME`: check params.yaml, then run the stage. User errors are two lines, with exit status 1.

A stage that exists once for each backbone takes its slot as a second word: `python -m stages finetune irv2`.
"""

import errno
import importlib
import logging
import os
import shutil
import sys
from pathlib import Path

# Each checkout runs its own code, DVC's temporary ones included, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

try:
    from realwaste.core import environment, library_settings, log
    from realwaste.core.errors import UserError
    from realwaste.models import registry
    from stages.launcher import params_file, process
except ImportError as error:
    if error.name is None or error.name.split(".")[0] in {"realwaste", "stages"}:
        raise
    sys.exit(
        f"The first `python` on the PATH must have the pipeline's packages. Received: {sys.executable}, "
        f"Python {sys.version.split()[0]}: {error}.\n"
        "Activate the environment (source .venv/bin/activate), or run `make repro`, which needs no activation."
    )


def main() -> int:
    module, *backbone = sys.argv[1:] or [""]
    name = "_".join([module, *backbone])  # in dvc.yaml
    library_settings.silence_tensorflow()
    # TensorFlow warns of retracing when several models are loaded one after the other, as in evaluate.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    log.setup()
    try:
        process.end_with_dvc()
        log.setup(_log_level())
        _check_stage(" ".join([module, *backbone]))
        values = params_file.load(name)
        with process.hold_stage_lock(name) as killed_before:
            if killed_before:
                _warn_of_memory(name)
            with library_settings.importing_tensorflow():
                stage = importlib.import_module(f"stages.{module}")
            stage.main(values, *backbone)
    except Exception as error:
        user_error = (
            error if isinstance(error, UserError) else environment.explain_error(error) or _resource_error(error, name)
        )
        if user_error is None:
            raise
        log.logger.error("%s: %s", name, user_error)
        return 1
    return 0


def _check_stage(words: str) -> None:
    names = [params_file.stage_of(stage["cmd"]) for stage in params_file.read_stages().values()]
    if words not in names:
        raise UserError("`python -m stages` must be given a stage.", f"There are: {', '.join(names)}.", words)


def _log_level() -> int:
    level = os.environ.get("REALWASTE_LOG") or ("WARNING" if process.is_quiet() else "INFO")
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        raise UserError("REALWASTE_LOG must be a logging level.", f"One of {', '.join(levels)}.", level)
    return levels[level.upper()]


_FEWER_PROGRAMS = "Close other programs, or use a machine with more memory."
# How to reduce the memory of a stage that may need much.
_LESS_MEMORY = {
    "train_cnn": "Lower train_cnn.image_size or train_cnn.batch_size, or set train_cnn.cache to disk.",
    "lr_sweep": "Lower train_cnn.image_size or train_cnn.batch_size, or set train_cnn.cache to disk.",
    "evaluate": "Lower train_cnn.batch_size, or the embed_batch_size of the finetune_… section.",
}
for _name in (f"finetune_{backbone}" for backbone in registry.BACKBONES):
    _LESS_MEMORY[_name.replace("finetune", "embed")] = f"Lower {_name}.embed_batch_size or {_name}.image_size."
    _LESS_MEMORY[_name] = f"Lower {_name}.embed_batch_size or {_name}.unfrozen.batch_size."


def _warn_of_memory(stage: str) -> None:
    text = "The previous run of %s was killed. If you did not stop it, it probably ran out of memory. %s"
    log.logger.warning(text, stage, _LESS_MEMORY.get(stage, _FEWER_PROGRAMS))


def _resource_error(error: Exception, stage: str) -> UserError | None:
    """The user error for a full disk, a missing permission or too little memory; None for other errors."""
    number = error.errno if isinstance(error, OSError) else None
    path = (isinstance(error, OSError) and error.filename) or "the checkout, or its temporary folder"
    if number in {errno.ENOSPC, errno.EDQUOT}:
        free = shutil.disk_usage(".").free
        return UserError(
            f"There must be room on the disk to write {path}.",
            "Free some: `dvc gc --workspace` drops results of other runs from DVC's cache. Then run again.",
            f"{free / 1e9:.1f} GB free here",
        )
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return UserError(f"{path} must be writable.", "Allow it, or run in a folder of yours.", os.strerror(number))
    # TensorFlow's class by its name: this module must not import TensorFlow.
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return UserError(
            "There must be enough memory for the network and a batch.",
            _LESS_MEMORY.get(stage, _FEWER_PROGRAMS),
            str(error).split("\n")[0][:200] or type(error).__name__,
        )
    return None


if __name__ == "__main__":
    sys.exit(main())
