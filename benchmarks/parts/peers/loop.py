"""A process that holds several ways to do one job, and does it once in the way that each line of its input names.

`python -m benchmarks.parts.peers.loop MODULE.FUNCTION ARGUMENTS`: the module is one beside this, the function returns
what makes each way. The first line of output is a JSON object, for each way null or why it does not run; each line
after it is the seconds of one run. It needs nothing but Python, so that it runs in a peer's environment.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping

Way = Callable[[], object]
Makers = Mapping[str, Callable[[], Way]]


def main() -> None:
    # Whatever libraries print is kept out of the answers.
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as answers:
        os.dup2(2, 1)
        module, _, function = sys.argv[1].rpartition(".")
        job = importlib.import_module(f"benchmarks.parts.peers.{module}")
        ways, said = built(getattr(job, function)(**json.loads(sys.argv[2])))
        answers.write(json.dumps(said) + "\n")
        for line in sys.stdin:
            way = ways[line.strip()]
            way()  # another process has had the caches
            started = time.perf_counter()
            way()
            answers.write(f"{time.perf_counter() - started}\n")


def built(makers: Makers) -> tuple[dict[str, Way], dict[str, str | None]]:
    """The ways that run, each run once, so that what it compiles is compiled; and for each way why it does not run."""
    ways: dict[str, Way] = {}
    said: dict[str, str | None] = {}
    for name, make in makers.items():
        try:
            way = make()
            way()
        except Exception as error:  # whatever a peer fails of is said in its row
            said[name] = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
        else:
            ways[name], said[name] = way, None
    return ways, said


if __name__ == "__main__":
    main()
