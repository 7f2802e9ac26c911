"""`python -m stages NAME`: check params.yaml, then run the stage. A user's mistake is two lines and exit status 1."""

import importlib
import logging
import os
import sys
from pathlib import Path

# Each checkout runs its own code, DVC's temporary ones included, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
# TensorFlow reads this at import; its start-up notes would bury the stage's own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from realwaste import log
from realwaste.errors import UserError
from stages import params


def main() -> int:
    name = sys.argv[1]
    # It warns of retracing when several models are loaded one after the other, as evaluate does.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    log.setup(getattr(logging, os.environ.get("REALWASTE_LOG", "INFO")))
    try:
        values = params.load(name)
        importlib.import_module(f"stages.{name}").main(values)
    except UserError as error:
        log.logger.error("%s: %s", name, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
