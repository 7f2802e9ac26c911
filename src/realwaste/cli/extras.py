"""Packages that a verb needs and a run of the pipeline does not."""

from collections.abc import Iterable
from importlib.util import find_spec

from realwaste.core.errors import UserError


def require(verb: str, packages: Iterable[str]) -> None:
    """UserError where one of `packages`, by the names they are imported by, of the extra `serve` is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        rule = f"`realwaste {verb}` needs packages that are not installed: {', '.join(missing)}."
        raise UserError(rule, "Run `make setup-dev`, or pip install '.[serve]', in the checkout.")
