"""Fine-tuning as a section finetune_… of params.yaml states it: the head, and layers of the backbone."""

from dataclasses import dataclass
from typing import Any, Self

from realwaste.images.augment import Augment
from realwaste.training.schedule import Schedule, values_of


@dataclass(frozen=True)
class HeadArchitecture:
    """The keyword arguments of realwaste.training.head.build, which explains them."""

    dense_units: int
    dropout: float = 0.0


@dataclass(frozen=True)
class LastLayers:
    """The second phase of fine-tuning, which trains the head and the last layers of the backbone together.

    Attributes:
        unfreeze, batch_norm: which layers, see unfreezing.unfreeze_last_layers.
        schedule: of this phase; fit_last_layers is given its seed apart.
    """

    unfreeze: int | str
    schedule: Schedule
    augment: Augment
    batch_norm: str = "frozen"


@dataclass(frozen=True)
class FinetuneRecipe:
    """How a classifier is fine-tuned.

    Attributes:
        schedule: of the head.
        deterministic: see realwaste.runtime.determinism.
        heads: the number of heads whose mean is the prediction; each has its own initial weights and batch order.
        last_layers: the second phase; None for none.
        test_flips, test_crops: see realwaste.models.test_time_augmentation.
    """

    classes: int
    head: HeadArchitecture
    schedule: Schedule
    deterministic: bool = True
    heads: int = 1
    last_layers: LastLayers | None = None
    test_flips: str = "none"
    test_crops: str = "none"

    @classmethod
    def from_params(
        cls, finetune: Any, *, classes: int, seed: int, deterministic: bool = True, dtype_policy: str = "float32"
    ) -> Self:
        """The recipe that a section finetune_… of params.yaml states.

        `dtype_policy` is that of the second phase. Heads are fitted in float32: two small matrices gain nothing from
        less.
        """
        last_layers = None
        if finetune.unfreeze:
            unfrozen = finetune.unfrozen
            schedule = Schedule.from_params(unfrozen, shuffle=finetune.shuffle, seed=seed, dtype_policy=dtype_policy)
            augment = Augment(**unfrozen.augment.model_dump())
            last_layers = LastLayers(finetune.unfreeze, schedule, augment, unfrozen.batch_norm)
        return cls(
            classes=classes,
            head=HeadArchitecture(**values_of(HeadArchitecture, finetune)),
            schedule=Schedule.from_params(finetune, seed=seed),
            deterministic=deterministic,
            last_layers=last_layers,
            **values_of(cls, finetune),
        )
