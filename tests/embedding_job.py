"""An embedding as a process of its own, which a test can time out or kill: `python embedding_job.py ENGINE FOLDER`.

FOLDER/pictures holds the images; it leaves FOLDER/<engine>, as embed_* leaves its vectors, and goes on from
FOLDER/kept_<engine>.
"""

import sys
from pathlib import Path

from realwaste.backbone import feature_extractor
from realwaste.core import log
from realwaste.core.errors import UserError
from realwaste.embedding import embeddings, engines, local

SIZE, BATCH = 128, 2


def main() -> int:
    engine, folder = sys.argv[1], Path(sys.argv[2])
    log.setup()
    root, kept = folder / "pictures", folder / f"kept_{engine}"
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    if "--lost" in sys.argv:
        root = folder / "nowhere"
    kept.mkdir(exist_ok=True)
    model = feature_extractor.build("MobileNetV2", SIZE, None, seed=1)
    try:
        job = local.Job(root, paths, "float32", "openvino", SIZE, BATCH, deterministic=True)
        found = engines.of(engine, model)(job, kept=kept)
    except UserError as error:
        log.logger.error("%s", error)
        return 1
    embeddings.save(folder / engine, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
