"""`python -m benchmarks.realwaste --photos … --extractor …`: the facts of docs/realwaste.md, and README's table.

Needs photographs of RealWaste under their published names. Vectors and finished parts are in the folder --cache, so
that a killed run resumes.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.parts import pages, set_facts, split_effect
from benchmarks.parts.child import ROOT
from benchmarks.parts.photographs import Backbone, Photographs
from realwaste.core import log
from realwaste.core.files import cache_folder, read_json, write_json
from realwaste.sources.realwaste_files import COUNTS

RESULTS, COMMAND = ROOT / "benchmarks/realwaste.json", "python -m benchmarks.realwaste"
README, FACTS = ROOT / "README.md", ROOT / "docs/realwaste.md"
PARTS: dict[str, Callable[[Photographs, Backbone], list[dict[str, Any]]]] = {
    "duplicates": set_facts.duplicates,
    "order": set_facts.order,
    "split": split_effect.measure,
    "background": set_facts.background,
    "confusion": set_facts.confusion,
    "labels": set_facts.labels,
}
PAGES = [*((name, FACTS) for name in PARTS), ("split", README)]


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", required=True, type=Path, help="RealWaste's class folders")
    parser.add_argument("--extractor", required=True, help="a .keras feature extractor")
    parser.add_argument("--extractor-size", type=int, default=260)
    parser.add_argument("--cache", type=Path, default=cache_folder() / "benchmark-realwaste")
    parser.add_argument("--cnn", action="store_true", help="also train the report's CNN on ten splits")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="measure these again, and what is not in the cache")
    arguments = parser.parse_args()
    log.setup()
    photos = Photographs(arguments.photos, arguments.cache, COUNTS)
    backbone = Backbone(arguments.extractor, arguments.extractor_size)
    finished = photos.cache / "parts.json"
    results = {name: part for name, part in read_json(finished).items() if name in PARTS} if finished.is_file() else {}
    if arguments.cnn:
        split_effect.train_cnn(photos)
        results.pop("split", None)
    for name, measure in PARTS.items():
        if name not in results or name in (arguments.only or ()):
            log.logger.info("measuring: %s", name)
            results[name] = measure(photos, backbone)
            write_json(finished, results)
    write_json(RESULTS, results)
    for name, page in PAGES:
        pages.rewrite(page, f"{COMMAND}, {name}", tables(results[name]))


def tables(part: list[dict[str, Any]]) -> str:
    """The Markdown tables of a part."""
    return "\n\n".join(
        pages.table(table["heads"], [[_cell(value) for value in row] for row in table["rows"]]) for table in part
    )


def _cell(value: Any) -> str:
    """[estimate, low, high] is an interval, which the number of cases may follow; the others are as they are."""
    if isinstance(value, list):
        digits = 2 if len(value) > 3 else 3
        estimate, low, high = (f"{number:.{digits}f}" for number in value[:3])
        return f"{estimate} ({low} to {high}){''.join(f', {cases}' for cases in value[3:])}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
