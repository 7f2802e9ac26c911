"""What a process must find around it: a home, a user's name, a checkout of its own, file locks."""

import errno
import os

from realwaste.core.errors import UserError

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def lack(error: BaseException) -> UserError | None:
    """What is missing, where that is the reason of an error of Python, DVC or another library; else None."""
    text = str(error)
    user = f"user id {os.getuid()}" if hasattr(os, "getuid") else "this user"
    if isinstance(error, RuntimeError) and "home directory" in text:
        rule = "There must be a home folder, for caches and settings."
        return UserError(rule, "Set the variable HOME to a folder that you may write to.", f"{user} without one")
    if isinstance(error, (KeyError, OSError)) and ("uid not found" in text or "No username set" in text):
        return UserError("The user must have a name.", "Set the variable USER to one; any will do.", user)
    if "not owned by current user" in text or "dubious ownership" in text:
        rule = "The checkout must belong to the user who runs this: git refuses those of others."
        remedy = 'Run as its owner, or allow it: git config --global --add safe.directory "$PWD"'
        return UserError(rule, remedy, f"{user}, and {text[:150]}")
    if isinstance(error, OSError) and error.errno == errno.ENOLCK:
        return no_locks(error)
    return None


def no_locks(error: OSError) -> UserError:
    """For a file system that refused to lock a file."""
    return UserError(
        "The file system must have file locks (flock), by which runs side by side do not disturb each other.",
        "Mount it with them (NFS without nolock, Lustre with flock), or use a checkout or a cache on another disk.",
        error.strerror,
    )
