"""Where downloads and converted networks are kept for a user, not for one checkout."""

import os
from pathlib import Path

import platformdirs

VARIABLE = "REALWASTE_CACHE"


def cache_folder() -> Path:
    """The folder in the variable REALWASTE_CACHE, else the system's place for a user's caches. It may not exist yet."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().absolute() if named else platformdirs.user_cache_path("realwaste", None)
