"""What benchmarks on RealWaste's photographs are told in the shell."""

import argparse
from pathlib import Path


def parser(command: str, about: str | None) -> argparse.ArgumentParser:
    """With --photos, --extractor and --extractor-size; a benchmark adds its own."""
    made = argparse.ArgumentParser(prog=command, description=about)
    made.add_argument("--photos", required=True, type=Path, help="a folder of RealWaste's photographs, one a class")
    made.add_argument("--extractor", required=True, type=Path, help="a .keras feature extractor")
    made.add_argument("--extractor-size", type=int, default=260)
    return made
