"""URLs of downloads: which are valid, how they are shown without secrets, and the names of their files."""

from urllib.parse import unquote, urlsplit, urlunsplit

from realwaste.core.errors import UserError
from realwaste.core.file_names import safe_file_name


def check(url: str) -> None:
    """Raise UserError unless `url` is a well-formed http or https address that names a host."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError unless it is a number up to 65535
    except ValueError as error:
        raise UserError("An address must be a well-formed URL.", f"Correct it: {error}.", url) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        rule = "The address must start with http:// or https:// and name a host."
        raise UserError(rule, "Give another address.", url)


def without_secrets(url: str) -> str:
    """The URL for logs and records: without user name, password and query, which may contain a token."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(url: str) -> str:
    """What the file at `url` may be called here: the end of the path, else the host."""
    parts = urlsplit(url)
    return (
        safe_file_name(unquote(parts.path.rstrip("/").rpartition("/")[2]))
        or safe_file_name(parts.hostname or "")
        or "download"
    )
