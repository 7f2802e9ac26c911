"""finetune_irv2, finetune_densenet and finetune_edge: a head on cached vectors, saved with its backbone."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from realwaste.core import start_up
from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset.labels import classes_of
from realwaste.models import registry
from stages.launcher import dependencies

if TYPE_CHECKING:
    from realwaste.training.finetune import Recipe
    from stages.launcher.params import Base, Finetune, Params

RAW = Path("data/raw")
HISTORY = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "dataset"]


def main(params: "Params", name: str) -> None:
    own, fetched = getattr(params, f"finetune_{name}"), read_json(Path("data/dataset.json"))
    metrics, dataset = Path(f"metrics/finetune_{name}.json"), fetched["dataset"]
    if getattr(own, "backbone", "") is None:
        registry.switch_off(metrics, dataset, registry.file(name), Path(f"models/{name}_heads.npz"))
        # No epoch, but the charts' titles name the data set.
        history = pd.DataFrame([{"dataset": dataset}], columns=HISTORY)
        logger.info("finetune_%s.backbone is null: off", name)
    else:
        history, facts = _finetune(name, params.base, own, fetched)
        write_json(metrics, {"dataset": dataset} | facts)
    write_csv(Path(f"plots/data/history_{name}.csv"), history)


def _finetune(
    name: str, base: "Base", own: "Finetune", fetched: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Leave the model and its repeats; the history of its training, and what metrics say of it."""
    # TensorFlow, which a backbone that is off need not wait for.
    with start_up.without_notes():
        from realwaste.embedding import embeddings
        from realwaste.models import feature_extractor, model_file, session, test_time_augmentation
        from realwaste.models.model_file import Classifier, Facts
        from realwaste.runtime import device, precision, resume
        from realwaste.training import finetune, head, unfreezing

    splits, policy = read_csv(Path("data/splits.csv")), precision.resolve(base.precision)
    classes, dataset, folder = tuple(classes_of(splits)), fetched["dataset"], Path("data/weights") / name
    built, vectors = feature_extractor.fetched(folder, own.image_size), embeddings.load(Path(f"data/embeddings/{name}"))
    if own.unfreeze:  # a name that no layer has is found before anything is trained
        unfreezing.unfreeze(built.model, own.unfreeze)
    made = device.record(policy if own.unfreeze else "float32")
    device.say(made)
    recipe = _recipe(own, base, len(classes), policy, folder)
    cached = finetune.vectors_of(splits, vectors, embeddings.load_views(Path(f"data/embeddings/{name}")))
    pictures = finetune.pictures_of(splits, RAW, own.image_size) if own.unfreeze else None
    work = {"parameters": own.model_dump(), "base": vars(base), "precision": policy}
    with resume.state(f"finetune_{name}", work, dependencies.files(f"finetune_{name}")) as kept:
        repeats = [finetune.fit(recipe, cached, pictures, seed, kept)[0] for seed in base.seeds]
        learned, trained = finetune.fit(recipe, cached, pictures, base.seed, kept)
        whole = learned if own.unfreeze else head.join(built.model, learned)
        started, size = (built.facts["backbone"], built.facts["weights"]), own.embed_batch_size
        views = own.test_flips, own.test_crops
        at_once = test_time_augmentation.batch_size(size, *views)
        facts = Facts(name, classes, own.image_size, dataset, *started, 1.0, policy, at_once, fetched["origin"])
        classifier = Classifier(test_time_augmentation.averaged(whole, *views), facts)
        asked = session.of(classifier, inference=base.inference)
        classifier = head.measured(classifier, asked, vectors, RAW, splits)
        model_file.save(registry.file(name), classifier)
        head.save_trained(Path(f"models/{name}_heads.npz"), repeats)
    logger.info("%s (%s weights): %s", *started, trained.line())
    about = {"machine": made} | built.facts | trained.summary() | {"temperature": classifier.facts.temperature}
    return trained.history.assign(dataset=dataset), about


def _recipe(own: "Finetune", base: "Base", classes: int, policy: str, folder: Path) -> "Recipe":
    from realwaste.models import feature_extractor
    from realwaste.models.augmentation import Augment
    from realwaste.training.finetune import End, Recipe
    from realwaste.training.training_loop import Schedule

    # In float32 whatever base.precision says: two small matrices gain nothing.
    schedule = Schedule(own.epochs, own.batch_size, own.learning_rate, own.shuffle, base.seed)
    recipe = Recipe(classes, own.dense_units, schedule, base.deterministic, own.dropout, own.heads)
    if not own.unfreeze:
        return recipe
    second = own.unfrozen
    schedule = Schedule(second.epochs, second.batch_size, second.learning_rate, own.shuffle, base.seed, policy)
    end = End(
        own.unfreeze,
        replace(schedule, decay=second.decay),
        Augment(**second.augment.model_dump()),
        lambda: feature_extractor.fetched(folder, own.image_size).model,
    )
    return replace(recipe, end=end)
