"""`realwaste serve`."""

from typing import Annotated

import typer

from realwaste.cli import extras, model_loading
from realwaste.cli.options import Model

_NEEDS = ("fastapi", "python_multipart", "uvicorn")

Host = Annotated[
    str, typer.Option(help="The address to serve at; one other than a loopback address opens it to the network.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")]
AllowedHost = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A name that requests may call the server by, such as that of a proxy before it; may be given again. "
        "Without one: loopback names at a loopback address, any name elsewhere.",
        show_default=False,
    ),
]
MaxMb = Annotated[float, typer.Option(min=0.001, help="The largest photo that is taken, in MB.")]
MaxFiles = Annotated[int, typer.Option(min=1, max=1000, help="The most photos in one request.")]
MaxTotalMb = Annotated[float, typer.Option(min=0.001, help="What these may have all together, in MB.")]
AccessLog = Annotated[
    bool,
    typer.Option("--access-log", help="Write a line a request to standard output, without query and names of files."),
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
    """Open a page that says what is in a photo, and where the model looked.

    Beside the page: POST /predict (a photo's bytes, or a form with files) answers in JSON, GET /model says what the
    model is, GET /health that it is there, /health/ready that it takes photos, and GET /openapi.json describes them.
    Needs the extra `serve`.

    Example: `realwaste serve --model irv2 --port 8080`; docs/deploy.md is about serving others.
    """
    extras.require("serve", _NEEDS)
    from realwaste.web import address  # noqa: PLC0415 - beside what follows

    with address.bind_socket(host, port) as listening_socket:
        from realwaste.web import server  # noqa: PLC0415 - an optional extra
        from realwaste.web.app import UploadLimits  # noqa: PLC0415

        file = model_loading.resolve_model(model)
        server.run(
            lambda: model_loading.open_session(file, max_images=1),
            lambda: model_loading.load_classifier(file),
            listening_socket,
            allowed_hosts=address.allowed_hosts(listening_socket, host, allowed_host or ()),
            upload_limits=UploadLimits(int(max_mb * 1e6), max_files, int(max_total_mb * 1e6)),
            access_log=access_log,
        )
