"""`realwaste report`."""

import re
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from realwaste.cli import standard_output
from realwaste.core.errors import UserError

PAGE = Path("plots/report.html")
Against = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Another run to set beside this one: the name of an experiment of `dvc exp`, a git revision, or a folder "
        "with metrics/ and plots/, as another checkout.",
        show_default=False,
    ),
]


def report(
    against: Against = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Of --against: where the page goes; without it dvc_plots/against_NAME.html, which git ignores.",
            show_default=False,
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser too.")] = False,
) -> None:
    """Say where the report of the last run is, or set the run beside another one.

    The path of the page goes to standard output: plots/report.html, which the pipeline wrote, or with `--against` one
    that is made now, with the scores, curves and confusions of both, what differs, and an exact test of each model on
    the test images that both have. It is one file that needs no network, and prints well.

    Example: `realwaste report --against longer --open`
    """
    page = _side_by_side(against, output) if against else _of_the_pipeline(output)
    standard_output.path(page)
    if open_it:
        typer.launch(str(page.absolute()))


def _of_the_pipeline(output: Path | None) -> Path:
    if output is not None:
        rule = "--output is for the page of --against: the pipeline's own is where it belongs."
        raise UserError(rule, f"Copy {PAGE}, or name a run by --against.", str(output))
    if not PAGE.is_file():
        raise UserError(f"{PAGE} must be there.", "Run `dvc repro` in a checkout, which writes it.", str(Path.cwd()))
    return PAGE


def _side_by_side(against: str, output: Path | None) -> Path:
    from realwaste.cli import output_options, run_lookup  # noqa: PLC0415 - pandas and DVC, which --help need not wait for
    from realwaste.cli.output_options import Kind  # noqa: PLC0415
    from realwaste.core.files import is_regular_file, write_text  # noqa: PLC0415
    from realwaste.report import two_runs  # noqa: PLC0415

    kind = Kind("an earlier page of it", partial(output_options.is_marked, mark=two_runs.MARK))
    if output is not None:
        output_options.check_file("--output", output, kind)
    here, other = run_lookup.of_folder(Path(), "this run"), run_lookup.find(against)
    name = re.sub(r"[^\w.-]+", "_", other.name).strip("._") or "run"
    page = output if output is not None else Path("dvc_plots") / f"against_{name}.html"
    write_text(
        page.resolve(), two_runs.render_page(here, other), is_regular_file if output is None else kind.may_replace
    )
    return page
