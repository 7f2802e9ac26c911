"""The command `realwaste`; each verb is a file in realwaste.cli."""

from realwaste.cli import application
from realwaste.cli.choose import choose
from realwaste.cli.compare import compare
from realwaste.cli.evaluate import evaluate
from realwaste.cli.export import export
from realwaste.cli.info import info
from realwaste.cli.models import models
from realwaste.cli.predict import predict
from realwaste.cli.report import report
from realwaste.cli.review import review
from realwaste.cli.serve import serve
from realwaste.cli.train import train
from realwaste.core import environment

app = application.create_app()
for command in (train, predict, evaluate, compare, choose, review, models, info, report, serve, export):
    app.command(cls=application.Command)(command)


def main() -> None:
    """The entry point of the `realwaste` command."""
    environment.open_missing_streams()
    app(prog_name="realwaste")


if __name__ == "__main__":
    main()
