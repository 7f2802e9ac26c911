"""`python -m stages NAME`: check params.yaml, then run the stage. A user's mistake is two lines and exit status 1."""

import errno
import importlib
import logging
import os
import shutil
import sys
from pathlib import Path

# Each checkout runs its own code, DVC's temporary ones included, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from realwaste import log, start_up
from realwaste.errors import UserError
from stages import params, process


def main() -> int:
    name = sys.argv[1]
    start_up.quiet()
    # It warns of retracing when several models are loaded one after the other, as evaluate does.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    log.setup(getattr(logging, os.environ.get("REALWASTE_LOG") or ("WARNING" if process.is_quiet() else "INFO")))
    try:
        values = params.load(name)
        process.end_with_dvc()
        with process.alone(name):
            with start_up.without_notes():
                stage = importlib.import_module(f"stages.{name}")
            stage.main(values)
    except Exception as error:
        mistake = error if isinstance(error, UserError) else _shortage(error)
        if mistake is None:
            raise
        log.logger.error("%s: %s", name, mistake)
        return 1
    return 0


def _shortage(error: Exception) -> UserError | None:
    """What the machine has too little of, or does not allow; None where the program is to blame."""
    number = error.errno if isinstance(error, OSError) else None
    where = (isinstance(error, OSError) and error.filename) or "the checkout, or its temporary folder"
    if number in {errno.ENOSPC, errno.EDQUOT}:
        free = shutil.disk_usage(".").free
        return UserError(
            f"There must be room on the disk to write {where}.",
            "Free some: `dvc gc --workspace` drops results of other runs from DVC's cache. Then run again.",
            f"{free / 1e9:.1f} GB free here",
        )
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return UserError(f"{where} must be writable.", "Allow it, or run in a folder of yours.", os.strerror(number))
    # TensorFlow's own class for it, which this module need not wait for.
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return UserError(
            "There must be enough memory for a batch and its network.",
            "Lower image_size or batch_size of train_cnn and lr_sweep, or set their cache to disk; for backbones "
            "embed_batch_size or unfrozen.batch_size of their finetune section. Evaluation goes by these too.",
            str(error).split("\n")[0][:200] or type(error).__name__,
        )
    return None


if __name__ == "__main__":
    sys.exit(main())
