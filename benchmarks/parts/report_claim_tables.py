"""The table of the report's claims about the training of its CNN: what was measured, and whether each claim holds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from benchmarks.parts import pages

GRID_KEY = "{}, {:g}"
TARGET_LOSS = 1.0
"""The training loss at which a training counts as converged; guessing among nine classes has 2.2."""
LEAST_SHARE = 0.1
"""The share of the loss of guessing that a training must remove to count as one that improves."""
SWEEP_EPOCHS = 5
"""Epochs of the report's comparison of learning rates."""
_REPORTED = "adam, batch, relu, shuffled"
Fit = dict[str, Any]
Quantity = tuple[str, Callable[[Fit], float]]
"""Its name, and its value for a training."""


@dataclass(frozen=True)
class ClaimResult:
    """The measurement for one claim.

    Attributes:
        section: of the report.
        claim: in the report's words.
        quantity: what was measured, and its unit.
        sides: the names and means of what is compared.
        differences: one per seed, above 0 if it supports the claim.
    """

    section: str
    claim: str
    quantity: str
    sides: str
    differences: list[float]


def table(record: dict[str, Any]) -> str:
    """The table of docs/report.md: one row per claim, with a 95 % interval over the seeds."""
    rows = []
    for result in measure_claims(record):
        mean, low, high = interval(result.differences)
        measurement = f"{result.quantity}: {result.sides}; for the claim {mean:+.2g} ({low:+.2g} to {high:+.2g})"
        rows.append([result.section, result.claim, measurement, f"**{verdict(low, high)}**"])
    return f"{pages.table(['section', 'the report', 'measured', ''], rows)}\n\n{_setup(record)}"


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t) of differences, one per seed."""
    from scipy import stats  # noqa: PLC0415 - not needed to import this module

    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
    return mean, mean - half, mean + half


def verdict(low: float, high: float) -> str:
    """Whether a claim holds, by the interval of the differences that support it."""
    if low > 0:
        return "holds"
    return "does not hold" if high < 0 else "not shown"


def measure_claims(record: dict[str, Any]) -> Iterator[ClaimResult]:
    adam, batch = {"Adam": _REPORTED}, {"with": _REPORTED}
    sgd, momentum = {"SGD": _variant("sgd")}, {"SGD with momentum": _variant("sgd_momentum")}
    without, one_order = {"without": _variant(normalization="none")}, {"in one order": "adam, batch, relu, one order"}
    faster, stable = "Adam allows for faster convergence than SGD", "batch normalisation improves training stability"
    for section, claim, quantity, variants, sign in (
        ("1.10", faster, _EPOCHS, adam | sgd, -1),
        ("1.10", faster, _EPOCHS, adam | momentum, -1),
        ("1.10", "Adam helps avoid oscillations", _RISES, adam | momentum, -1),
        ("1.10", "Adam is an efficient and reliable choice", _TEST_ACCURACY, adam | momentum, 1),
        ("1.6", "normalisation is left out, the model being simple", _TEST_ACCURACY, without | batch, 1),
        ("1.7", stable, _RISES, batch | without, -1),
    ):
        yield _compare_variants(record, (section, claim), quantity, variants, sign)
    yield from _activations(record)
    claim = "`shuffle=False` is good enough"
    yield _compare_variants(record, ("Listing 4", claim), _TEST_ACCURACY, one_order | {"shuffled": _REPORTED}, 1)
    yield from _rates(record)


def _variant(optimizer: str = "adam", normalization: str = "batch", activation: str = "relu") -> str:
    return f"{optimizer}, {normalization}, {activation}, shuffled"


def _activations(record: dict[str, Any]) -> Iterator[ClaimResult]:
    for name in ("tanh", "sigmoid"):
        relu_gradients, gradients = (
            np.array([record["gradients"][activation][str(seed)] for seed in record["seeds"]])
            for activation in ("relu", name)
        )
        claim = f"ReLU helps against vanishing gradients, unlike {name}"
        quantity = "ratio of the first to the last layer's gradient before training, powers of ten"
        sides = f"ReLU {np.mean(relu_gradients):.2g}, {name} {np.mean(gradients):.2g}"
        yield ClaimResult("1.8", claim, quantity, sides, np.log10(relu_gradients / gradients).tolist())
    for name in ("tanh", "sigmoid"):
        variants = {"ReLU": _REPORTED, name: _variant(activation=name)}
        claim = f"ReLU learns complex patterns (here: better than {name})"
        yield _compare_variants(record, ("1.8", claim), _TEST_ACCURACY, variants, 1)
        saved = np.array(record["step_seconds"][name]) / np.array(record["step_seconds"]["relu"]) - 1
        claim = f"ReLU is computationally efficient (here: quicker than {name})"
        quantity = f"time of a training step, {len(saved)} rounds in turn instead of seeds"
        sides = f"{name} takes {1 + np.median(saved):.2f} times ReLU's"
        yield ClaimResult("1.8", claim, quantity, sides, saved.tolist())


def _rates(record: dict[str, Any]) -> Iterator[ClaimResult]:
    low, used, high = (_fits(record, _REPORTED, rate) for rate in (0.0001, 0.001, 0.01))
    sides = {"at 0.0001": low, "at 0.001, the rate it uses": used}
    yield _compare_fits(("1.14", "0.0001 is the best rate"), _LOWEST_LOSS, sides, -1)
    for rate, fits, claim in ((0.001, used, "0.001 stagnates"), (0.01, high, "0.01 does not improve and diverges")):
        guessing = float(np.log(record["classes"]))
        ends = [guessing if fit["diverged"] else fit["losses"][SWEEP_EPOCHS - 1] for fit in fits]
        quantity = f"training loss in epoch {SWEEP_EPOCHS} at {rate:g} (guessing has {guessing:.2f}), by seed"
        # In shares of the loss of guessing: a network that removes less than LEAST_SHARE has learned nothing.
        differences = [end / guessing - (1 - LEAST_SHARE) for end in ends]
        yield ClaimResult("1.14", claim, quantity, ", ".join(f"{end:.2f}" for end in ends), differences)


def _compare_variants(
    record: dict[str, Any], claim: tuple[str, str], quantity: Quantity, variants: dict[str, str], sign: int
) -> ClaimResult:
    """The result for two variants with their best rates; `sign` is 1 if a higher first value supports the claim."""
    fits = {title: _fits(record, name, record["best"][name]) for title, name in variants.items()}
    return _compare_fits(claim, quantity, fits, sign)


def _compare_fits(claim: tuple[str, str], quantity: Quantity, sides: dict[str, list[Fit]], sign: int) -> ClaimResult:
    description, value = quantity
    values = {side: np.array([value(fit) for fit in fits]) for side, fits in sides.items()}
    means = ", ".join(f"{side} {np.mean(side_values):.3g}" for side, side_values in values.items())
    first, second = values.values()
    return ClaimResult(*claim, description, means, (sign * (first - second)).tolist())


def _fits(record: dict[str, Any], name: str, rate: float) -> list[Fit]:
    fits = record["fits"][GRID_KEY.format(name, rate)]
    return [fits[str(seed)] for seed in record["seeds"]]


def _epochs_to_loss(fit: Fit) -> float:
    """The first epoch with TARGET_LOSS or less; the number of epochs plus one if there is none."""
    epochs = [epoch for epoch, loss in enumerate(fit["losses"], 1) if loss is not None and loss <= TARGET_LOSS]
    return epochs[0] if epochs else len(fit["losses"]) + 1


def _share_of_rises(fit: Fit) -> float:
    return float((np.diff(fit["val_losses"]) > 0).mean())


def _lowest_val_loss(fit: Fit) -> float:
    return min(fit["val_losses"][:SWEEP_EPOCHS])


_EPOCHS: Quantity = (f"epochs to a training loss of {TARGET_LOSS:g}", _epochs_to_loss)
_LOWEST_LOSS: Quantity = (f"lowest validation loss in {SWEEP_EPOCHS} epochs", _lowest_val_loss)
_RISES: Quantity = ("share of epochs in which the validation loss rose", _share_of_rises)
_TEST_ACCURACY: Quantity = ("test accuracy", itemgetter("test_accuracy"))


def _setup(record: dict[str, Any]) -> str:
    images = record["images"]
    rates = "; ".join(f"{name.removesuffix(', shuffled')}: {rate:g}" for name, rate in record["best"].items())
    return (
        f"{record['photos']}: {images['train']} photographs for training, {images['val']} to select rate and epoch, "
        f"{images['test']} for testing, {record['size']} pixels, {record['epochs']} epochs, "
        f"{len(record['fits'])} settings, seeds {', '.join(map(str, record['seeds']))}, {record['precision']}. "
        f"Rates chosen: {rates}."
    )
