"""A worker of `benchmarks.data_parallel`: what it measured, as JSON on the last line."""

import json
import sys

from benchmarks.data_parallel import measured

if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(measured(sys.argv[1])) + "\n")
