"""`realwaste serve`."""

from importlib.util import find_spec
from typing import Annotated

import typer

from realwaste.cli.options import Model
from realwaste.commands import opening
from realwaste.core.errors import UserError

_NEEDS = ("fastapi", "python_multipart", "uvicorn")


def serve(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="The address to serve at; one other than a loopback address opens it to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")] = 8000,
    max_mb: Annotated[float, typer.Option(min=0.001, help="The largest photo that is taken, in MB.")] = 20,
) -> None:
    """Open a page that says what is in a photo, and where the model looked.

    Beside the page: POST /predict (a photo's bytes, or a form with one file) answers in JSON, GET /model says what the
    model is, GET /health that it is there, and GET /openapi.json describes them. Needs the extra `serve`.
    """
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        rule = f"`realwaste serve` needs packages that are not installed: {', '.join(missing)}."
        raise UserError(rule, "Run `make setup-dev`, or pip install '.[serve]', in the checkout.")
    from realwaste.serve import address  # noqa: PLC0415 - beside what follows

    with address.bound(host, port) as listening:
        from realwaste.serve import server  # noqa: PLC0415 - an optional extra

        file = opening.chosen(model)
        server.run(
            opening.session_of(file, at_most=1),
            lambda: opening.loaded(file),
            listening,
            host=host,
            limit=int(max_mb * 1e6),
        )
