"""Tests end: a time limit stops endless waits, and tests that send SIGINT also work in a background job."""

import os
import subprocess
import sys
import threading
import time

import pytest
from limits import limited

from benchmarks.parts.child import ROOT

SLEEP_COMMAND = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.mark.parametrize("blocking_call", ["readline", "wait", "run", "event"])
def test_an_endless_wait_fails_the_test_and_kills_the_child_process(blocking_call):
    start = time.monotonic()
    with pytest.raises(pytest.fail.Exception, match="A test must end"), limited(0.5):
        if blocking_call == "event":
            threading.Event().wait()
        elif blocking_call == "run":
            subprocess.run(SLEEP_COMMAND, check=False)
        else:
            with subprocess.Popen(SLEEP_COMMAND, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline() if blocking_call == "readline" else process.wait()
    assert time.monotonic() - start < 30


def test_tests_that_send_sigint_pass_in_a_background_job(tmp_path):
    """With `nohup make test &` the shell makes the job ignore SIGINT, and child processes inherit that."""
    options = ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}"]
    command = [sys.executable, "-m", "pytest", *options, "cli/test_predict_watch.py", "-k", "ctrl_c and SIGINT"]
    background_command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    result = subprocess.run(
        background_command,
        cwd=ROOT / "tests",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout
