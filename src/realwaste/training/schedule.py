"""How a network is fitted, and how such values are taken from params.yaml. Needs no TensorFlow."""

from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Schedule:
    """How to fit: `optimizer` at `learning_rate`, sparse categorical crossentropy, arithmetic as `dtype_policy` says.

    Attributes:
        decay: constant, or cosine: the learning rate falls to 0 along half a cosine (Loshchilov and Hutter, 2017).
        warmup: share of all steps, in which the learning rate first rises from 0 on a straight line.
        optimizer: adam (Kingma and Ba, 2015); sgd, plain; or sgd_momentum, of 0.9 (report, section 1.10).
        weight_decay: decoupled, as AdamW's (Loshchilov and Hutter, 2019), per step and unit of learning rate.
        label_smoothing: share of the certainty that is spread over all classes (Szegedy et al., 2016). The losses of
            the history have it too.
        mixup: alpha of mixup.MixupClassifier, which is trained in that case; 0 for none.
        class_weights: a class counts as if it had as many images as the mean class.
        patience: end after so many epochs without a lower validation loss, and keep the weights of the best epoch;
            None trains all epochs.
        keep: without patience, the weights that the model gets: last, of the last epoch; or best, of the epoch with the
            highest validation accuracy, of equals the one with the lowest loss.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    shuffle: bool
    seed: int
    dtype_policy: str = "float32"
    optimizer: str = "adam"
    decay: str = "constant"
    warmup: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    class_weights: bool = False
    patience: int | None = None
    keep: str = "last"

    @classmethod
    def from_params(cls, section: Any, **others: Any) -> Self:
        """The schedule that a section of params.yaml states; `others` are fields that it does not have."""
        return cls(**values_of(cls, section), **others)


def values_of(recipe: type, section: Any) -> dict[str, Any]:
    """The values of those parameters of a section of params.yaml that are fields of `recipe`, a dataclass.

    Raises:
        AttributeError: dvc.yaml does not declare such a parameter for this stage, so DVC would not rerun the stage
            when it changes.
    """
    names = {field.name for field in fields(recipe)}
    return {name: getattr(section, name) for name in type(section).model_fields if name in names}
