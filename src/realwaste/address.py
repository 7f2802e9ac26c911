"""Addresses of downloads: which are accepted, and how they are shown."""

import httpx

from realwaste.errors import UserError


def checked_url(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """The address, resolved against `base`; UserError unless it is http or https and names a host."""
    try:
        url = httpx.URL(text) if base is None else base.join(text)
    except httpx.InvalidURL as error:
        raise UserError("An address must be a well-formed URL.", f"Mend it: {error}.", text) from error
    if (url.port or 0) > 65535:
        raise UserError("An address must have a port of at most 65535.", "Mend the address.", url.port)
    if url.scheme not in ("http", "https") or not url.host:
        where = "The address" if base is None else f"The address that {shown(base)} redirects to"
        raise UserError(f"{where} must start with http:// or https:// and name a host.", "Give another address.", text)
    return url


def shown(url: httpx.URL) -> str:
    """The address fit for a log: without its password and its query, which may hold a token."""
    return str(url.copy_with(userinfo=b"", query=None))
