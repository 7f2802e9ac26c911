"""`realwaste serve`: a page and an HTTP API that predict photos."""

import os
from typing import Annotated

import typer

from realwaste.cli import model_loading
from realwaste.cli.application import require_packages
from realwaste.cli.options import Model

_PACKAGES = ("fastapi", "python_multipart", "uvicorn")

Host = Annotated[
    str, typer.Option(help="The address to listen on; any but a loopback address opens the page to the network.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")]
AllowedHost = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A host name that requests may have, such as that of a reverse proxy; may be repeated. Without it: "
        "loopback names if --host is a loopback address, otherwise any name.",
    ),
]
MaxMb = Annotated[float, typer.Option(min=0.001, help="The largest photo that is accepted, in MB.")]
MaxFiles = Annotated[int, typer.Option(min=1, max=1000, help="How many photos a request may have.")]
MaxTotalMb = Annotated[float, typer.Option(min=0.001, help="How large the photos of a request may be together, in MB.")]
AccessLog = Annotated[
    bool,
    typer.Option(
        "--access-log", help="Write a line per request to standard output, without query strings and file names."
    ),
]


def serve(
    *,
    model: Model = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    allowed_host: AllowedHost = None,
    max_mb: MaxMb = 20,
    max_files: MaxFiles = 20,
    max_total_mb: MaxTotalMb = 100,
    access_log: AccessLog = False,
) -> None:
    """Open a page that predicts the class of photos and shows where the model looked.

    The same server has an HTTP API: POST /predict (the bytes of a photo, or a form with files) returns predictions as
    JSON or CSV, GET /model the facts of the model, GET /health whether the server runs, /health/ready whether it
    accepts photos, and GET /openapi.json describes them. Needs the extra `serve`.

    Example: `realwaste serve --model irv2 --port 8080`; for deployment see docs/deploy.md.
    """
    require_packages("serve", _PACKAGES)
    from realwaste.web import address  # noqa: PLC0415 - an optional extra

    with address.bind_socket(host, port) as listening_socket:
        from realwaste.web import server  # noqa: PLC0415 - an optional extra
        from realwaste.web.predict_route import UploadLimits  # noqa: PLC0415

        file = model_loading.resolve_model(model)
        server.run(
            lambda: model_loading.open_session(file, max_images=1),
            lambda: model_loading.load_classifier(file),
            listening_socket,
            allowed_hosts=address.allowed_hosts(listening_socket, host, allowed_host or ()),
            upload_limits=UploadLimits(int(max_mb * 1e6), max_files, int(max_total_mb * 1e6)),
            access_log=access_log,
        )
    os._exit(0)  # a normal exit would wait for the thread that imports TensorFlow for the heat maps
