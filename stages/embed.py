"""What embed_irv2, embed_densenet and embed_edge do: every image of the manifest through the frozen backbone, once."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import backbone, device, embedding, precision, resume
from realwaste.atomic import write_json
from realwaste.engines import embedding as engine
from realwaste.log import logger
from realwaste.records import read_json
from realwaste.tables import read_csv
from stages import dependencies

if TYPE_CHECKING:
    from stages.params import Base, Finetune


def embed(name: str, base: "Base", own: "Finetune") -> None:
    embed_all = engine.of(base.engine)
    folder, policy = Path("data/weights") / name, precision.resolve(base.precision)
    made = device.record(policy, base.engine)
    device.say(made)
    built = backbone.fetched(folder, own.image_size)
    paths = read_csv(Path("data/manifest.csv"))["path"].tolist()
    job = embedding.Job(
        Path("data/raw"), paths, policy, own.image_size, own.embed_batch_size, deterministic=base.deterministic
    )
    work = {"parameters": vars(own), "base": vars(base), "precision": policy}
    with resume.state(f"embed_{name}", work, dependencies.files(f"embed_{name}")) as kept:
        vectors = embed_all(built.model, job, kept=kept)
        embedding.save(Path(f"data/embeddings/{name}"), vectors)

    facts = {
        "dataset": read_json(Path("data/dataset.json"))["dataset"],
        **built.facts,
        "machine": made,
        "image_size": own.image_size,
        "images": len(paths),
        "features": vectors.vectors.shape[1],
        "seconds": round(vectors.seconds, 2),
    }
    write_json(Path(f"metrics/embed_{name}.json"), facts)
    logger.info("%s, %s: %d images in %.0f s", facts["backbone"], policy, len(paths), vectors.seconds)
