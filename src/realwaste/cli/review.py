"""`realwaste review`: a page to decide on labels that models doubt."""

from typing import Annotated

import typer

from realwaste.cli.application import require_packages

_HOST = "127.0.0.1"  # not configurable: whoever can open the page can change labels
_PACKAGES = ("fastapi", "uvicorn")


def review(
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Show at most so many labels, the most doubtful first. Without it: every label that a model doubts.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port of the page; 0 takes a free one.")] = 8001,
) -> None:
    """Open a page to decide on the labels that models doubt: keep, relabel or drop.

    The decisions are written to relabel.yaml, which `dvc repro` applies; the photographs do not change. The page shows
    the suspected label errors of this checkout's last run, each with the photographs before and after it in capture
    order. It can be opened only on this machine. Needs the extra `serve`.

    Example: `realwaste review`
    """
    require_packages("review", _PACKAGES)
    from realwaste.web import address, review_labels  # noqa: PLC0415 - pandas, which --help does not need

    queue = review_labels.load(count)
    with address.bind_socket(_HOST, port) as listening_socket:
        from realwaste.web import review_app  # noqa: PLC0415 - an optional extra

        review_app.run(queue, listening_socket)
