"""Control characters in names of classes, files and models are escaped in every command's output and log lines."""

import io
import json
import re

import colours
import pytest
from colours import BLUE, GREEN, RED, photo
from rich.markdown import Markdown
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import standard_output
from realwaste.core import log
from realwaste.core.errors import UserError
from realwaste.core.terminal import SafeConsole, escape

UNSAFE = "a\x1b]0;owned\x07b\r\x1b[31mc\x9b2Jd\u202etxt\u2066e\x7f"
CLASSES = (f"Blue{UNSAFE}", f"Green{UNSAFE}", f"Red{UNSAFE}")
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with two models, a card and photographs whose names contain control characters."""
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in (f"m{UNSAFE}", "cnn"):
        colours.save(tmp_path / f"models/{name}.keras", CLASSES, dataset=UNSAFE, backbone=UNSAFE, weights=UNSAFE)
    (tmp_path / "models/cnn.md").write_text(
        f"---\ntags: []\n---\n# Card {UNSAFE}\n[a{UNSAFE}](http://x/{UNSAFE})\n`{UNSAFE}`\n"
    )
    for label, colour in zip(CLASSES, (BLUE, GREEN, RED), strict=True):
        for shade in (1, 2):
            photo(tmp_path / f"labelled/{label}/{shade}{UNSAFE}.png", colour, shade)
    (tmp_path / f"labelled/{CLASSES[0]}/broken{UNSAFE}.png").write_bytes(b"no picture")
    return tmp_path


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (0, ["models"]),
        (0, ["models", "--json"]),
        (0, ["info", f"m{UNSAFE}"]),
        (0, ["info", f"m{UNSAFE}", "--json"]),
        (0, ["info", "cnn"]),
        (0, ["info", "cnn", "--json"]),
        (1, ["info", f"no{UNSAFE}"]),
        (1, ["predict", "labelled", "--model", f"m{UNSAFE}"]),
        (1, ["predict", "labelled", "--model", "cnn", "--json"]),
        (1, ["predict", "labelled", "--all-models"]),
        (1, ["predict", f"no{UNSAFE}", "--model", "cnn"]),
        (1, ["predict", "labelled", "--model", f"no{UNSAFE}.keras"]),
        (1, ["choose", "labelled", "-n", "4", "--model", f"m{UNSAFE}"]),
        (1, ["choose", "labelled", "-n", "4", "--model", f"m{UNSAFE}", "--json"]),
        (1, ["evaluate", "labelled", "--model", f"m{UNSAFE}"]),
        (1, ["evaluate", "labelled", "--model", "cnn", "--json"]),
        (1, ["compare", "cnn", f"m{UNSAFE}", "labelled"]),
        (1, ["serve", "--port", "0", "--model", f"no{UNSAFE}"]),
        (1, ["export", "--format", "saved_model", "--model", f"no{UNSAFE}.keras"]),
        (1, ["report", "--against", f"no{UNSAFE}"]),
        (2, ["predict", f"--no{UNSAFE}"]),
        (2, [f"no{UNSAFE}"]),
    ],
    ids=lambda value: " ".join(value).replace(UNSAFE, "…") if isinstance(value, list) else str(value),
)
def test_commands_print_no_control_characters_of_names(status, arguments, project):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, (result.stderr, result.exception)
    assert isinstance(result.exception, SystemExit | None)
    assert _CONTROL_CHARACTERS.findall(result.stdout + result.stderr) == []
    if "--json" in arguments:
        json.loads(result.stdout)


def test_json_output_keeps_names_unchanged(project):
    record = json.loads(CliRunner().invoke(app, ["info", f"m{UNSAFE}", "--json"]).stdout)
    assert record["name"] == f"m{UNSAFE}"
    assert tuple(record["model"]["classes"]) == CLASSES


def test_safe_console_writes_its_own_control_codes_and_escapes_others():
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=200, color_system="standard")
    table = Table(title=UNSAFE)
    table.add_column(UNSAFE)
    table.add_row(Text(UNSAFE, "red"))
    console.print(table, UNSAFE, Markdown(escape(f"[a](http://x/{UNSAFE}) {UNSAFE}")), style="bold")
    with Progress(console=console) as progress:
        list(progress.track([1, 2], description=UNSAFE))
    output = stream.getvalue()
    assert "\x1b[1;31m" in output or "\x1b[31m" in output
    console_codes = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b\x07]*\x1b\\|[\r\n]")
    assert _CONTROL_CHARACTERS.findall(console_codes.sub("", output)) == []
    assert "\x1b[2J" not in output
    assert "owned\x07" not in output


def test_log_lines_banners_and_errors_escape_control_characters(capsys):
    log.setup()
    log.logger.warning("a line of %s", UNSAFE)
    log.logger.info("two\nlines")
    log.banner("Caution", UNSAFE, "second")
    log.logger.error("%s", UserError(f"rule\n{UNSAFE}", f"remedy\r\n{UNSAFE}", UNSAFE))
    text = capsys.readouterr().err
    assert _CONTROL_CHARACTERS.findall(text) == []
    assert "\\x1b]0;owned\\x07b\\r" in text
    assert len(str(UserError(f"a\n{UNSAFE}", "b\nc", "d\ne")).splitlines()) == 2


@pytest.mark.parametrize("text", ["Altpapier größer", "纸板", "می\u200cخواهم", "👩\u200d🔬", "95\u202f%\nnext"])
def test_safe_console_keeps_other_scripts_emoji_and_spaces(text):
    stream = io.StringIO()
    SafeConsole(file=stream, width=80).print(text, highlight=False)
    assert stream.getvalue() == f"{text}\n"


def test_a_printed_path_keeps_all_its_characters(tmp_path, capfdbinary):
    standard_output.print_path(tmp_path / "Bericht\u00a0ä")
    assert capfdbinary.readouterr().out == f"{tmp_path}/Bericht\u00a0ä\n".encode()
