"""A process that builds several variants of one job, and runs the one that each line of its input names.

`python -m benchmarks.parts.peers.loop MODULE.FUNCTION ARGUMENTS`: the function, in a module of this package, returns a
builder for each variant. The first line of output is a JSON object: for each variant null, or the error why it does not
run. Each further line is the seconds of one run. It needs only Python, so that it runs in the other frameworks'
environment.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping

Variant = Callable[[], object]
VariantBuilders = Mapping[str, Callable[[], Variant]]


def main() -> None:
    # Redirects what libraries print, so that it is not mixed with the results.
    with os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as output:
        os.dup2(2, 1)
        module, _, function = sys.argv[1].rpartition(".")
        job = importlib.import_module(f"benchmarks.parts.peers.{module}")
        variants, errors = build_variants(getattr(job, function)(**json.loads(sys.argv[2])))
        output.write(json.dumps(errors) + "\n")
        for line in sys.stdin:
            variant = variants[line.strip()]
            variant()  # warm-up: another process has used the caches
            started = time.perf_counter()
            variant()
            output.write(f"{time.perf_counter() - started}\n")


def build_variants(builders: VariantBuilders) -> tuple[dict[str, Variant], dict[str, str | None]]:
    """The variants, each of which has run once to compile; and for each variant its error, or None."""
    variants: dict[str, Variant] = {}
    errors: dict[str, str | None] = {}
    for name, build in builders.items():
        try:
            variant = build()
            variant()
        except Exception as error:  # reported in the variant's row
            errors[name] = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
        else:
            variants[name], errors[name] = variant, None
    return variants, errors


if __name__ == "__main__":
    main()
