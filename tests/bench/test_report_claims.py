"""The tests of the report's claims: which trainings run and resume, and the verdicts. All figures are made up."""

import json

import numpy as np
import pytest

from benchmarks import report_claims
from benchmarks.parts import report_claim_tables as tables
from realwaste.training import training_history, training_loop

SEEDS = [42, 43, 44]


def test_a_claim_is_decided_only_if_its_interval_excludes_zero():
    """Student's t with two degrees of freedom: 4.303 standard errors either way."""
    mean, low, high = tables.interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)
    assert tables.verdict(low, high) == "not shown"
    assert tables.verdict(*tables.interval([1.9, 2.0, 2.1])[1:]) == "holds"
    assert tables.verdict(*tables.interval([-1.9, -2.0, -2.1])[1:]) == "does not hold"


def _build_record(**changes):
    """A record in which all variants have equal results, except the `changes` of the named variants."""
    fit = {"losses": [2.0, 1.0, 0.6, 0.4, 0.3], "val_losses": [2.0, 1.0, 1.1, 0.9, 0.8], "diverged": False}
    names = [*(variant.name for variant in report_claims.GRIDS), report_claims.UNSHUFFLED.name]
    fits = {}
    for name in names:
        variant_fit = fit | {"test_accuracy": 0.7} | changes.get(name.replace(", ", "_").replace(" ", "_"), {})
        for rate in report_claims.SWEEP:
            fits[tables.GRID_KEY.format(name, rate)] = {
                str(seed): variant_fit | {"test_accuracy": variant_fit["test_accuracy"] + 0.001 * index}
                for index, seed in enumerate(SEEDS)
            }
    equal_seconds = {name: [0.1, 0.1, 0.11] for name in report_claims.ACTIVATIONS}
    gradients = {name: {str(seed): 1.0 + 0.01 * seed for seed in SEEDS} for name in report_claims.ACTIVATIONS}
    counts = {"train": 720, "val": 240, "test": 240}
    setup = {"photos": "made up", "images": counts, "classes": 9, "size": 96, "epochs": 5, "precision": "float32"}
    fits_record = {"seeds": SEEDS, "fits": fits, "best": dict.fromkeys(names, 0.001)}
    return setup | fits_record | {"gradients": gradients, "step_seconds": equal_seconds}


def test_equal_variants_decide_no_claim_and_falling_losses_refute_the_rate_claims():
    verdicts = {
        (result.section, result.claim): tables.verdict(*tables.interval(result.differences)[1:])
        for result in tables.measure_claims(_build_record())
    }
    falling = {key: verdict for key, verdict in verdicts.items() if key[1].startswith(("0.001 ", "0.01 "))}
    assert set(falling.values()) == {"does not hold"}
    assert {verdict for key, verdict in verdicts.items() if key not in falling} == {"not shown"}
    assert {section for section, _ in verdicts} == {"1.6", "1.7", "1.8", "1.10", "1.14", "Listing 4"}


@pytest.mark.parametrize(
    ("changes", "section", "claim", "verdict"),
    [
        ({"sgd_batch_relu_shuffled": {"losses": [2, 2, 2, 2, 2]}}, "1.10", "faster convergence than SGD", "holds"),
        ({"adam_none_relu_shuffled": {"test_accuracy": 0.6}}, "1.6", "left out", "does not hold"),
        ({"adam_none_relu_shuffled": {"val_losses": [1, 2, 3, 4, 5]}}, "1.7", "stability", "holds"),
        ({"adam_batch_tanh_shuffled": {"test_accuracy": 0.8}}, "1.8", "better than tanh", "does not hold"),
        ({"adam_batch_relu_one_order": {"test_accuracy": 0.5}}, "Listing 4", "good enough", "does not hold"),
        # From a high loss to that of guessing among nine classes, 2.2: the network has learned nothing.
        ({"adam_batch_relu_shuffled": {"losses": [8, 3, 2.2, 2.2, 2.15]}}, "1.14", "0.01 does not improve", "holds"),
    ],
)
def test_a_difference_supports_or_refutes_its_claim(changes, section, claim, verdict):
    (result, *_) = [
        candidate
        for candidate in tables.measure_claims(_build_record(**changes))
        if candidate.section == section and claim in candidate.claim
    ]
    differences = np.array(result.differences) + np.array([-1e-9, 0, 1e-9])
    assert tables.verdict(*tables.interval(differences.tolist())[1:]) == verdict


def test_the_table_states_its_photographs_and_a_verdict_for_each_claim():
    record = _build_record()
    text = tables.table(record)
    assert "made up: 720 photographs for training, 240 to select rate and epoch, 240 for testing, 96 pixels" in text
    assert text.count("**not shown**") + text.count("**does not hold**") == len(list(tables.measure_claims(record)))


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_missing_trainings(images, tmp_path, monkeypatch):
    photos, results = images(a=8, b=8), tmp_path / "results.json"
    for name, value in (("SIZE", 16), ("SEEDS", (42, 43)), ("ACTIVATIONS", ("relu",))):
        monkeypatch.setattr(report_claims, name, value)
    monkeypatch.setattr(report_claims, "_step_seconds", lambda job: {"relu": [0.1, 0.1]})
    grids = dict.fromkeys((report_claims.REPORTED, report_claims.Variant(optimizer="sgd")), (0.001, 0.0001))
    monkeypatch.setattr(report_claims, "GRIDS", grids)
    trained: list[tuple[str, float, int, bool]] = []

    def fit(model, train, val, schedule, **options):
        if len(trained) == 5 and not results.with_suffix(".killed").exists():
            results.with_suffix(".killed").touch()
            raise KeyboardInterrupt
        trained.append((schedule.optimizer, schedule.learning_rate, schedule.seed, schedule.shuffle))
        loss = 1 + schedule.learning_rate
        rows = [[loss, 0.5, loss, 0.5], [loss / 2, 0.5, loss / 2, 0.5], *[[loss / 4, 0.5, loss / 4, 0.5]] * 4]
        return training_history.build_training(rows, 1.0, len(rows))

    monkeypatch.setattr(training_loop, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        report_claims.run(photos, results)
    assert len(trained) == 5
    record = report_claims.run(photos, results)
    # Two rates of two variants, the second seed at the best rate of each, both seeds in one order, and the
    # remaining rates of the sweep.
    assert len(trained) == len(set(trained)) == 4 + 2 + 2 + 3
    assert set(record["best"].values()) == {0.0001}, "the lowest validation loss"
    trainings_before = len(trained)
    assert report_claims.run(photos, results)["fits"] == json.loads(results.read_text())["fits"]
    assert len(trained) == trainings_before
