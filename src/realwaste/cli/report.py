"""`realwaste report`: the path of the report page, or a page that compares two runs."""

import re
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from realwaste.cli import standard_output
from realwaste.core.errors import UserError
from realwaste.core.files import write_text

PAGE = Path("plots/report.html")
Against = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Another run to compare with this one: an experiment of `dvc exp`, a git revision, or a folder with "
        "metrics/ and plots/, such as another checkout.",
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
            help="With --against: the page to write. Without it: dvc_plots/against_NAME.html, which git ignores.",
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Also open the page in the browser.")] = False,
) -> None:
    """Print the path of the last run's report, or compare the run with another one.

    Without `--against` the report is plots/report.html, which the pipeline wrote. With `--against` a new page is
    written: the scores, curves and confusion matrices of both runs, the changed parameters, and for each model an
    exact test on the test images that both runs have. The page is a single file that needs no network.

    Example: `realwaste report --against longer --open`
    """
    page = _write_comparison(against, output) if against else _pipeline_page(output)
    standard_output.print_path(page)
    if open_it:
        typer.launch(str(page.absolute()))


def _pipeline_page(output: Path | None) -> Path:
    if output is not None:
        rule = "--output must be used with --against: without it no page is written."
        raise UserError(rule, f"Copy {PAGE}, or name another run with --against.", str(output))
    if not PAGE.is_file():
        remedy = "Run `dvc repro` in a checkout to write it."
        raise UserError(f"There must be a report at {PAGE}.", remedy, str(Path.cwd()))
    return PAGE


def _write_comparison(against: str, output: Path | None) -> Path:
    from realwaste.cli import output_options  # noqa: PLC0415 - pandas and DVC, which --help does not need
    from realwaste.report import run_files, two_runs  # noqa: PLC0415

    kind = output_options.OutputKind(
        "an earlier comparison page", partial(output_options.is_marked, mark=two_runs.MARK)
    )
    if output is not None:
        output_options.check_file("--output", output, kind)
    current, other = run_files.load_folder(Path(), "this run"), run_files.find_run(against)
    name = re.sub(r"[^\w.-]+", "_", other.name).strip("._") or "run"
    page = output if output is not None else Path("dvc_plots") / f"against_{name}.html"
    may_replace = Path.is_file if output is None else kind.may_replace
    write_text(page.resolve(), two_runs.render_page(current, other), may_replace)
    return page
