"""Addresses of downloads: which are accepted, how they are shown, and what their files are called."""

from urllib.parse import unquote, urlsplit, urlunsplit

from realwaste.core.errors import UserError
from realwaste.core.file_names import safe_file_name


def check(url: str) -> None:
    """Raise UserError unless `url` is a well-formed http or https address that names a host."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # looked at only here: a ValueError for one that is no number up to 65535
    except ValueError as error:
        raise UserError("An address must be a well-formed URL.", f"Mend it: {error}.", url) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        rule = "The address must start with http:// or https:// and name a host."
        raise UserError(rule, "Give another address.", url)


def shown(url: str) -> str:
    """The address fit for logs and records: without its password and its query, which may hold a token."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(url: str) -> str:
    """What the file at `url` may be called here: the end of the path, else the host."""
    parts = urlsplit(url)
    return safe_file_name(unquote(parts.path.rstrip("/").rpartition("/")[2])) or safe_file_name(parts.hostname or "") or "download"
