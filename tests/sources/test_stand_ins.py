"""Stand-ins are reported in one banner that reads well on a terminal and in a log file."""

import io

import pytest
from rich.console import Console

from realwaste.core import log
from realwaste.core.errors import UnreachableError
from realwaste.sources.stand_ins import StandIns

REASON = UnreachableError("A server must answer at https://a.example/x.zip, and none took it.", "Check the network.")
OTHER_REASON = UnreachableError(
    "A server must answer at https://b.example/w.h5, and none took it.", "Check the network."
)


@pytest.mark.parametrize(("terminal", "width"), [(True, 80), (False, 160)])
def test_one_banner_names_all_stand_ins_and_the_command(monkeypatch, terminal, width):
    screen, stand_ins = io.StringIO(), StandIns()
    monkeypatch.setattr(log, "console", Console(file=screen, force_terminal=terminal, width=width, no_color=True))
    stand_ins.show_banner()
    assert screen.getvalue() == ""
    stand_ins.add(
        "random weights in InceptionResNetV2 instead of ImageNet's", "finetune_irv2.weights=imagenet", OTHER_REASON
    )
    stand_ins.add("generated pictures instead of RealWaste's photographs", "fetch.source=realwaste", REASON)
    stand_ins.show_banner()
    output = screen.getvalue()
    assert output.count("STAND-INS") == 1
    assert output.count("Check the network.") == 1  # reasons with the same remedy are shown once
    lines = [line.strip("│ ") for line in output.splitlines()]
    assert "- random weights in InceptionResNetV2 instead of ImageNet's" in lines
    assert "- generated pictures instead of RealWaste's photographs" in lines
    first = lines.index("dvc exp run \\")
    assert lines[first + 1 : first + 3] == ["-S finetune_irv2.weights=imagenet \\", "-S fetch.source=realwaste"]
