"""`realwaste review`."""

from typing import Annotated

import typer

from realwaste.cli import extras

_HOST = "127.0.0.1"  # no other: who reaches the page changes the labels
_NEEDS = ("fastapi", "uvicorn")


def review(
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Look at so many, the most doubtful first. Without it: at each label that one model at least doubts.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The page's port; 0 takes a free one.")] = 8001,
) -> None:
    """Open a page to decide on the labels that models doubt: keep, relabel or drop.

    The answers go to relabel.yaml, which `dvc repro` applies; photographs stay as they are. The page has the
    suspects that the pipeline found in this checkout, each with the photographs shot before and after it, and
    answers to this machine alone. Needs the extra `serve`.

    Example: `realwaste review`
    """
    extras.require("review", _NEEDS)
    from realwaste.web import address, review_queue  # noqa: PLC0415 - pandas, which --help need not wait for

    queue = review_queue.load(count)
    with address.bind_socket(_HOST, port) as listening_socket:
        from realwaste.web import review_app  # noqa: PLC0415 - an optional extra

        review_app.run(queue, listening_socket)
