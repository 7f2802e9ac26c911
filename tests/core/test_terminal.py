"""Names from anywhere steer no terminal: of classes, files and models, in every command's output and log lines."""

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

EVIL = "a\x1b]0;owned\x07b\r\x1b[31mc\x9b2Jd\u202etxt\u2066e\x7f"
CLASSES = (f"Blue{EVIL}", f"Green{EVIL}", f"Red{EVIL}")
_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two models and photographs, all with such names; a card, and the scores of a run."""
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in (f"m{EVIL}", "cnn"):
        colours.save(tmp_path / f"models/{name}.keras", CLASSES, dataset=EVIL, backbone=EVIL, weights=EVIL)
    (tmp_path / "models/cnn.md").write_text(
        f"---\ntags: []\n---\n# Card {EVIL}\n[a{EVIL}](http://x/{EVIL})\n`{EVIL}`\n"
    )
    for label, colour in zip(CLASSES, (BLUE, GREEN, RED), strict=True):
        for shade in (1, 2):
            photo(tmp_path / f"labelled/{label}/{shade}{EVIL}.png", colour, shade)
    (tmp_path / f"labelled/{CLASSES[0]}/broken{EVIL}.png").write_bytes(b"no picture")
    return tmp_path


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (0, ["models"]),
        (0, ["models", "--json"]),
        (0, ["info", f"m{EVIL}"]),
        (0, ["info", f"m{EVIL}", "--json"]),
        (0, ["info", "cnn"]),
        (0, ["info", "cnn", "--json"]),
        (1, ["info", f"no{EVIL}"]),
        (1, ["predict", "labelled", "--model", f"m{EVIL}"]),
        (1, ["predict", "labelled", "--model", "cnn", "--json"]),
        (1, ["predict", "labelled", "--all-models"]),
        (1, ["predict", f"no{EVIL}", "--model", "cnn"]),
        (1, ["predict", "labelled", "--model", f"no{EVIL}.keras"]),
        (1, ["choose", "labelled", "-n", "4", "--model", f"m{EVIL}"]),
        (1, ["choose", "labelled", "-n", "4", "--model", f"m{EVIL}", "--json"]),
        (1, ["evaluate", "labelled", "--model", f"m{EVIL}"]),
        (1, ["evaluate", "labelled", "--model", "cnn", "--json"]),
        (1, ["compare", "cnn", f"m{EVIL}", "labelled"]),
        (1, ["serve", "--port", "0", "--model", f"no{EVIL}"]),
        (1, ["export", "--format", "saved_model", "--model", f"no{EVIL}.keras"]),
        (1, ["report", "--against", f"no{EVIL}"]),
        (2, ["predict", f"--no{EVIL}"]),
        (2, [f"no{EVIL}"]),
    ],
    ids=lambda value: " ".join(value).replace(EVIL, "…") if isinstance(value, list) else str(value),
)
def test_no_name_steers_the_terminal(status, arguments, here):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == status, (done.stderr, done.exception)
    assert isinstance(done.exception, SystemExit | None)
    assert _STEERS.findall(done.stdout + done.stderr) == []
    if "--json" in arguments:
        json.loads(done.stdout)


def test_json_has_the_names_as_they_are(here):
    record = json.loads(CliRunner().invoke(app, ["info", f"m{EVIL}", "--json"]).stdout)
    assert record["name"] == f"m{EVIL}"
    assert tuple(record["model"]["classes"]) == CLASSES


def test_a_console_on_a_terminal_has_its_own_colours_and_no_others():
    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=True, width=200, color_system="standard")
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(Text(EVIL, "red"))
    console.print(table, EVIL, Markdown(escape(f"[a](http://x/{EVIL}) {EVIL}")), style="bold")
    with Progress(console=console) as bar:
        list(bar.track([1, 2], description=EVIL))
    text = out.getvalue()
    assert "\x1b[1;31m" in text or "\x1b[31m" in text
    console_codes = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b\x07]*\x1b\\|[\r\n]")
    assert _STEERS.findall(console_codes.sub("", text)) == []
    assert "\x1b[2J" not in text
    assert "owned\x07" not in text


def test_log_lines_banners_and_errors(capsys):
    log.setup()
    log.logger.warning("a line of %s", EVIL)
    log.logger.info("two\nlines")
    log.banner("Caution", EVIL, "second")
    log.logger.error("%s", UserError(f"rule\n{EVIL}", f"remedy\r\n{EVIL}", EVIL))
    text = capsys.readouterr().err
    assert _STEERS.findall(text) == []
    assert "\\x1b]0;owned\\x07b\\r" in text
    assert len(str(UserError(f"a\n{EVIL}", "b\nc", "d\ne")).splitlines()) == 2


@pytest.mark.parametrize("text", ["Altpapier größer", "纸板", "می\u200cخواهم", "👩\u200d🔬", "95\u202f%\nnext"])
def test_words_of_other_scripts_and_spaces_stay(text):
    out = io.StringIO()
    SafeConsole(file=out, width=80).print(text, highlight=False)
    assert out.getvalue() == f"{text}\n"


def test_the_page_s_path_is_as_it_is_for_programs(tmp_path, capfdbinary):
    standard_output.path(tmp_path / "Bericht\u00a0ä")
    assert capfdbinary.readouterr().out == f"{tmp_path}/Bericht\u00a0ä\n".encode()
