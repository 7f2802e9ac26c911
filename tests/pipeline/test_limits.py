"""Tests end, however they were started and whatever they wait for."""

import os
import subprocess
import sys
import threading
import time

import pytest
from limits import limited

from benchmarks.parts.child import ROOT

SILENT = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.mark.parametrize("waits", ["readline", "wait", "run", "event"])
def test_a_wait_without_a_limit_fails_the_test_and_ends_the_process_that_it_waits_for(waits):
    began = time.monotonic()
    with pytest.raises(pytest.fail.Exception, match="A test must end"), limited(0.5):
        if waits == "event":
            threading.Event().wait()
        elif waits == "run":
            subprocess.run(SILENT, check=False)
        else:
            with subprocess.Popen(SILENT, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline() if waits == "readline" else process.wait()
    assert time.monotonic() - began < 30


def test_tests_that_press_ctrl_c_pass_in_the_background(tmp_path):
    """As in `nohup make test &`: the shell has the job ignore SIGINT, and its children inherit that."""
    options = ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}"]
    command = [sys.executable, "-m", "pytest", *options, "cli/test_predict_watch.py", "-k", "ctrl_c and SIGINT"]
    background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        background, cwd=ROOT / "tests", env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
