"""The report's claims of its CNN's training beside what was measured of them, and whether they hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.parts import pages

GRID_KEY = "{}, {:g}"
REACHED = 0.5
"""Of the training loss, where a training counts as having come to an end; four classes at chance have 1.39."""
SWEPT = 5
"""Epochs of the report's comparison of learning rates."""
_NAMES = {"adam": "Adam", "sgd": "SGD", "sgd_momentum": "SGD with momentum"}
_OWN = "adam, batch, relu, shuffled"
Fit = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What was found of a claim.

    Attributes:
        section: of the report; says: its words.
        what: the figure that bears on it, in words, and its unit.
        sides: names of what is compared, with their means, in words.
        favours: a difference a seed, above 0 where it speaks for the claim.
    """

    section: str
    says: str
    what: str
    sides: str
    favours: list[float]


def table(found: dict[str, Any]) -> str:
    """The page's table: a row a claim, with a 95 % interval over the seeds."""
    rows = []
    for one in measured(found):
        mean, low, high = interval(one.favours)
        told = f"{one.what}: {one.sides}; for the claim {mean:+.2g} ({low:+.2g} to {high:+.2g})"
        rows.append([one.section, one.says, told, f"**{verdict(low, high)}**"])
    return f"{pages.table(['section', 'the report', 'measured', ''], rows)}\n\n{_about(found)}"


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval (Student's t) of differences, one a seed."""
    from scipy import stats  # noqa: PLC0415 - for who measures or tests

    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
    return mean, mean - half, mean + half


def verdict(low: float, high: float) -> str:
    """Of an interval of what speaks for a claim."""
    if low > 0:
        return "holds"
    return "does not hold" if high < 0 else "not shown"


def measured(found: dict[str, Any]) -> Iterator[Measured]:
    yield from _optimizers(found)
    yield from _normalization(found)
    yield from _activations(found)
    yield _two(
        found,
        ("Listing 4", "`shuffle=False` is good enough"),
        ("test accuracy", _accuracy),
        {"in one order": "adam, batch, relu, one order", "shuffled": _OWN},
        sign=1,
    )
    yield from _rates(found)


def _optimizers(found: dict[str, Any]) -> Iterator[Measured]:
    adam = {"Adam": _OWN}
    for name in ("sgd", "sgd_momentum"):
        other = {_NAMES[name]: f"{name}, batch, relu, shuffled"}
        says = "Adam allows for faster convergence than SGD"
        yield _two(
            found, ("1.10", says), (f"epochs to a training loss of {REACHED:g}", _reached), adam | other, sign=-1
        )
    momentum = {_NAMES["sgd_momentum"]: "sgd_momentum, batch, relu, shuffled"}
    says = "Adam helps avoid oscillations"
    yield _two(found, ("1.10", says), ("share of epochs in which the validation loss rose", _rose), adam | momentum, -1)
    says = "Adam is an efficient and reliable choice"
    yield _two(found, ("1.10", says), ("test accuracy", _accuracy), adam | momentum, sign=1)


def _normalization(found: dict[str, Any]) -> Iterator[Measured]:
    without, batch = {"without": "adam, none, relu, shuffled"}, {"with": _OWN}
    says = "normalisation is left out, the model being simple"
    yield _two(found, ("1.6", says), ("test accuracy", _accuracy), without | batch, sign=1)
    says = "batch normalisation improves training stability"
    yield _two(found, ("1.7", says), ("share of epochs in which the validation loss rose", _rose), batch | without, -1)


def _activations(found: dict[str, Any]) -> Iterator[Measured]:
    for name in ("tanh", "sigmoid"):
        ours, theirs = ([found["gradients"][one][str(seed)] for seed in found["seeds"]] for one in ("relu", name))
        told = f"ReLU {np.mean(ours):.2g}, {name} {np.mean(theirs):.2g}"
        favours = [float(np.log10(one / other)) for one, other in zip(ours, theirs, strict=True)]
        what = "the first layer's gradient beside the last one's at the start, powers of ten"
        yield Measured("1.8", f"ReLU helps against vanishing gradients, unlike {name}", what, told, favours)
    for name in ("tanh", "sigmoid"):
        both = {"ReLU": _OWN, name: f"adam, batch, {name}, shuffled"}
        says = f"ReLU learns complex patterns (here: better than {name})"
        yield _two(found, ("1.8", says), ("test accuracy", _accuracy), both, sign=1)
        saved = np.array(found["step_seconds"][name]) / np.array(found["step_seconds"]["relu"]) - 1
        says = f"ReLU is computationally efficient (here: quicker than {name})"
        what = f"time of a training step, {len(saved)} rounds in turn instead of seeds"
        yield Measured("1.8", says, what, f"{name} takes {1 + np.median(saved):.2f} times ReLU's", saved.tolist())


def _rates(found: dict[str, Any]) -> Iterator[Measured]:
    best = ("0.0001 is the best rate", f"lowest validation loss in {SWEPT} epochs", _lowest)
    low, used, high = (_fits(found, _OWN, rate) for rate in (0.0001, 0.001, 0.01))
    yield _compared(("1.14", best[0]), best[1:], {"at 0.0001": low, "at 0.001, the rate it uses": used}, sign=-1)
    for rate, fits, says in ((0.001, used, "0.001 stagnates"), (0.01, high, "0.01 does not improve and diverges")):
        falls = [fit["losses"][0] - fit["losses"][SWEPT - 1] if not fit["diverged"] else -1.0 for fit in fits]
        ends = ", ".join(f"{fit['losses'][0]:.2f} to {fit['losses'][SWEPT - 1]:.2f}" for fit in fits)
        what = f"training loss from epoch 1 to {SWEPT} at {rate:g}, a seed"
        yield Measured("1.14", says, what, ends, [-fall for fall in falls])


def _two(
    found: dict[str, Any],
    claim: tuple[str, str],
    figure: tuple[str, Callable[[Fit], float]],
    sides: dict[str, str],
    sign: int,
) -> Measured:
    """Of two variants, each at its best rate."""
    fits = {side: _fits(found, name, found["best"][name]) for side, name in sides.items()}
    return _compared(claim, figure, fits, sign)


def _compared(
    claim: tuple[str, str], figure: tuple[str, Callable[[Fit], float]], sides: dict[str, list[Fit]], sign: int
) -> Measured:
    what, value = figure
    values = {side: [value(fit) for fit in fits] for side, fits in sides.items()}
    told = ", ".join(f"{side} {np.mean(own):.3g}" for side, own in values.items())
    first, second = values.values()
    return Measured(*claim, what, told, [sign * (one - other) for one, other in zip(first, second, strict=True)])


def _fits(found: dict[str, Any], name: str, rate: float) -> list[Fit]:
    own = found["fits"][GRID_KEY.format(name, rate)]
    return [own[str(seed)] for seed in found["seeds"]]


def _accuracy(fit: Fit) -> float:
    return fit["test_accuracy"]


def _reached(fit: Fit) -> float:
    """The first epoch at REACHED or below; one more than all epochs where none is."""
    low = [epoch for epoch, loss in enumerate(fit["losses"], 1) if loss is not None and loss <= REACHED]
    return low[0] if low else len(fit["losses"]) + 1


def _rose(fit: Fit) -> float:
    return float((np.diff(fit["val_losses"]) > 0).mean())


def _lowest(fit: Fit) -> float:
    return min(fit["val_losses"][:SWEPT])


def _about(found: dict[str, Any]) -> str:
    images = found["images"]
    rates = "; ".join(f"{name.removesuffix(', shuffled')}: {rate:g}" for name, rate in found["best"].items())
    return (
        f"{found['photos']}: {images['train']} photographs to learn from, {images['val']} to choose rate and epoch by, "
        f"{images['test']} tested, {found['size']} pixels a side, {found['epochs']} epochs, "
        f"{len(found['fits'])} settings, seeds {', '.join(map(str, found['seeds']))}, {found['precision']}. "
        f"Rates chosen: {rates}."
    )
