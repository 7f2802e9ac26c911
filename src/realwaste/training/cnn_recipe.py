"""The CNN as the section train_cnn of params.yaml states it: its architecture and its training."""

from dataclasses import dataclass
from typing import Any, Self

from realwaste.images.augment import Augment
from realwaste.training.schedule import Schedule, values_of


@dataclass(frozen=True)
class CnnArchitecture:
    """The keyword arguments of realwaste.models.cnn.build, which explains them."""

    image_size: int
    batch_norm_momentum: float
    normalization: str = "batch"
    activation: str = "relu"
    head: str = "flatten"
    dropout: float = 0.0
    augment: Augment | None = None


@dataclass(frozen=True)
class CnnRecipe:
    """How the CNN is built and trained.

    Attributes:
        cache: of the decoded pictures, see realwaste.training.samples.
        test_flips: see realwaste.models.test_time_augmentation.
    """

    architecture: CnnArchitecture
    schedule: Schedule
    cache: str = "memory"
    test_flips: str = "none"

    @classmethod
    def from_params(cls, train_cnn: Any, *, seed: int, dtype_policy: str = "float32") -> Self:
        """The recipe that the section train_cnn of params.yaml states."""
        architecture = values_of(CnnArchitecture, train_cnn) | {"augment": Augment(**train_cnn.augment.model_dump())}
        return cls(
            architecture=CnnArchitecture(**architecture),
            schedule=Schedule.from_params(train_cnn, seed=seed, dtype_policy=dtype_policy),
            **values_of(cls, train_cnn),
        )
