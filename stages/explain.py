"""Single images for the report: examples of each class, and each model's most confident mistakes with Grad-CAM."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core.files import atomic_replace, is_stage_output, read_csv, write_json
from realwaste.core.log import logger
from realwaste.evaluation import gallery, prediction_table
from realwaste.models import model_file, registry

if TYPE_CHECKING:
    from stages.launcher.params import Params

RAW = Path("data/raw")


def main(params: "Params") -> None:
    section = params.explain
    predicted = read_csv(Path("data/predictions.csv"))
    tested = predicted[predicted["split"] == "test"]
    with atomic_replace(Path("data/explanations"), is_stage_output) as folder:
        folder.mkdir()
        table = gallery.select_examples(read_csv(Path("data/splits.csv")), section.examples_per_class)
        examples = gallery.write_pictures(folder, RAW, table, "example", section.picture_size)
        metadata = {name: model_file.read_metadata(registry.model_path(name)) for name in registry.MODELS}
        mistakes_by_model = {}
        for name in registry.prefer_pretrained({name: record.weights for name, record in metadata.items()}):
            classifier = model_file.load(registry.model_path(name))
            surest = prediction_table.most_confident_mistakes(tested[tested["model"] == name], section.mistakes)
            mistakes_by_model[name] = gallery.write_mistakes(folder, RAW, surest, classifier, section.picture_size)
        doubted = read_csv(Path("data/suspects.csv")).head(section.suspects)
        suspects = gallery.write_pictures(folder, RAW, doubted, "suspect", section.picture_size)
        write_json(
            folder / "explanations.json", {"examples": examples, "mistakes": mistakes_by_model, "suspects": suspects}
        )
    names = (registry.display_name(name, metadata[name].backbone) for name in mistakes_by_model)
    logger.info("Grad-CAM of the mistakes of %s", ", ".join(names))
