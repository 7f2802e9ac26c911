"""Before `fetch`, whose outputs DVC deletes: refuse sources inside of outputs, and move what was added out of them."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from realwaste.core.file_names import printable
from realwaste.core.files import read_csv, write_json
from realwaste.core.log import logger
from realwaste.sources import output_protection
from stages.launcher import dependencies

if TYPE_CHECKING:
    from stages.launcher.params import FinetuneEdge, FinetuneReport, Params

_RAW, _ADDED = Path("data/raw"), Path("data/added")
_NAMED = 5


def main(params: "Params") -> None:
    sources = {"fetch.source": params.fetch.source}
    finetune: dict[str, FinetuneReport | FinetuneEdge] = {
        "irv2": params.finetune_irv2,
        "densenet": params.finetune_densenet,
        "edge": params.finetune_edge,
    }
    for name, section in finetune.items():
        sources |= {f"finetune_{name}.backbone": section.backbone or "", f"finetune_{name}.weights": section.weights}
    for parameter, source in sources.items():
        if source:
            output_protection.refuse_source_inside(parameter, source, dependencies.outputs())
    # Without fetch's own list, as after a kill or an update of the code, the manifest knows them.
    lists = [path for path in (Path("data/fetched.csv"), Path("data/manifest.csv")) if path.exists()]
    fetched = read_csv(lists[0]) if lists else pd.DataFrame(columns=["path", "bytes"])
    moved = output_protection.move_added(_RAW, fetched, _ADDED)
    if moved:
        some = ", ".join(printable(path) for path in moved[:_NAMED])
        rest = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
        remedy = "put them where the images come from, then run `dvc repro -f fetch`"
        count = "1 file in %s was" if len(moved) == 1 else f"{len(moved)} files in %s were"
        logger.warning(f"{count} not from fetch, moved to %s%s: %s", _RAW, some, rest, remedy)
    write_json(Path("data/check_source.json"), {"outside_of_outputs": True})
    logger.info("%s lies outside of what stages write", printable(params.fetch.source))
