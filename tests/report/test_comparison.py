"""Table 1, paired comparisons of models, the soft vote and the figures. All predictions are made up."""

import cv2
import numpy as np
import pandas as pd
import pytest
import vl_convert
from report.made_run import MODELS, SECONDS, build_metrics, build_predictions, build_trainings

from realwaste.evaluation import intervals, prediction_table, scores
from realwaste.models.probabilities import log_loss
from realwaste.report import charts, comparison, factors, figures, table1

CLASSES = ["a", "b"]
TRAININGS = build_trainings("random")


@pytest.fixture(scope="module")
def predicted():
    return build_predictions()


@pytest.fixture(scope="module")
def evaluated():
    """The metrics of each model, without learning curves."""
    return {
        model: {key: value for key, value in metrics.items() if key not in {"learning_curve", "repeats"}}
        for model, metrics in build_metrics()[0].items()
    }


@pytest.fixture(scope="module")
def rows(predicted, evaluated):
    return table1.build_rows(evaluated, TRAININGS, SECONDS, predicted, "synthetic")


def test_table1_rows_have_accuracies_the_gap_and_the_cost_of_a_model(predicted, rows):
    row = rows["irv2"]
    train_rows = predicted[(predicted["model"] == "irv2") & (predicted["split"] == "train")]
    assert row["train_accuracy"] == (prediction_table.predicted_classes(train_rows) == train_rows["label"]).mean()
    assert row["train_test_gap"] == pytest.approx(row["train_accuracy"] - row["test_accuracy"])
    assert (row["weights"], row["training_seconds"], row["latency_ms"]) == ("random", 9.0, 2.5)


def test_table1_shows_the_claim_and_the_measurements_of_each_factor(predicted, evaluated):
    accuracy_at_10 = {"images": 4, "accuracy": 0.5, "accuracy_std": 0.1, "accuracy_low": 0.3, "accuracy_high": 0.7}
    extra_metrics = {"learning_curve": {"repeats": 3, "at_10": accuracy_at_10}, "litert_mb": 7.1}
    extra_metrics |= {"other_splits": {"accuracy_mean": 0.6, "accuracy_std": 0.05}}
    evaluated = evaluated | {"irv2": evaluated["irv2"] | extra_metrics}
    external_metrics = {"images": 9, "accuracy": 0.4, "accuracy_low": 0.2, "accuracy_high": 0.6}
    external_sets = {"at a friend's": {"models": {model: {"outside": external_metrics} for model in MODELS}}}
    rows = table1.build_rows(evaluated, TRAININGS, SECONDS, predicted, "synthetic", external_sets=external_sets)
    assert all(isinstance(value, str | int | float) for row in rows.values() for value in row.values())
    row = rows["irv2"]
    assert (row["images_at_10"], row["accuracy_at_10"], row["accuracy_at_10_low"]) == (4, 0.5, 0.3)
    assert row["outside_at_a_friend_s_accuracy_high"] == 0.6
    assert row["train_test_gap_low"] < row["train_test_gap"] < row["train_test_gap_high"]
    names = comparison.display_names(rows, "\n")
    table = factors.format_table1(rows, names, external_sets)
    assert list(dict.fromkeys(table.index.get_level_values("factor"))) == list(factors.REPORT_CLAIMS)
    assert table.loc[("Data Dependency", "the report"), "CNN"] == factors.REPORT_CLAIMS["Data Dependency"][0]
    assert table.loc[("Data Dependency", "the report"), names["irv2"]] == factors.REPORT_CLAIMS["Data Dependency"][1]
    cells = table[names["irv2"]]
    assert cells["Data Dependency", "test accuracy, 10 % of images"] == "0.500 (0.300 to 0.700), 4 images"
    assert cells["Generalization", "accuracy on at a friend's"] == "0.400 (0.200 to 0.600)"
    assert cells["Generalization", "on other splits, ± deviation"] == "0.600 ± 0.050"
    assert cells["Deployment", "as LiteRT"] == "7.1 MB"
    assert cells["Flexibility", "trained layers"] == "7 of 12"
    assert cells["Computational Resources", "multiply-adds an image"] == "392 M"
    assert table.loc[("Data Dependency", "test accuracy, 10 % of images"), "CNN"] == "–"


def test_external_sets_with_similar_names_have_separate_metrics(predicted, evaluated):
    """`a-b` and `a_b` once had the same key: the second set's accuracy replaced the first one's."""
    names = ("a-b", "a_b", "a b 2", "a b", "!", "?")
    external_sets = {}
    for n, name in enumerate(names):
        outside = {"images": 9, "accuracy": n / 10, "accuracy_low": 0.0, "accuracy_high": 1.0}
        external_sets[name] = {"models": {"irv2": {"outside": outside}}}
    rows = table1.build_rows(evaluated, TRAININGS, SECONDS, predicted, "synthetic", external_sets=external_sets)
    assert (rows["irv2"]["outside_a_b_accuracy"], rows["irv2"]["outside_a_b_2_accuracy"]) == (0.0, 0.1)
    display_names = comparison.display_names(rows)
    cells = factors.format_table1(rows, display_names, external_sets)[display_names["irv2"]]
    accuracies = [cells["Generalization", f"accuracy on {name}"] for name in names]
    assert accuracies == [f"{n / 10:.3f} (0.000 to 1.000)" for n in range(len(names))]


def test_missing_measurements_are_marked(rows):
    table = factors.format_table1(rows, comparison.display_names(rows))
    for row in (("Data Dependency", "test accuracy by images"), ("Generalization", "on external test sets")):
        assert set(table.loc[row]) == {"not measured"}


def test_table1_quotes_the_reported_accuracy_for_realwaste_only(predicted, evaluated):
    for origin in ("synthetic", "given"):
        rows = table1.build_rows(evaluated, TRAININGS, SECONDS, predicted, origin)
        assert all("reported_test_accuracy" not in row for row in rows.values())
        table = factors.format_table1(rows, comparison.display_names(rows))
        assert ("Accuracy", "the report's accuracy") not in table.index
    rows = table1.build_rows(evaluated, TRAININGS, SECONDS, predicted, "realwaste")
    assert [row["reported_test_accuracy"] for row in rows.values()] == [0.6183, 0.8637, 0.8617]


def test_the_run_summary_describes_the_best_model_by_validation(rows):
    summary = comparison.summarize_run(rows, "synthetic", 4)
    best = max(("cnn", "densenet"), key=lambda model: rows[model]["val_accuracy"])  # irv2 has random weights
    assert summary["best_model"] == best
    assert summary["best_test_accuracy"] == summary[f"{best}_test_accuracy"] == rows[best]["test_accuracy"]
    assert summary["training_seconds"] == pytest.approx(sum(SECONDS.values()), abs=0.1)
    assert all(isinstance(value, str | float | int) for value in summary.values())


def test_compare_pairs_names_a_better_model_only_if_the_difference_is_significant(predicted):
    pairs = comparison.compare_pairs(predicted)
    assert list(pairs) == ["cnn_vs_irv2", "cnn_vs_densenet", "irv2_vs_densenet"]
    assert pairs["cnn_vs_irv2"]["verdict"] == "irv2 is better"
    assert pairs["cnn_vs_irv2"]["difference"] < 0
    assert pairs["irv2_vs_densenet"]["verdict"] == "no difference shown"
    for facts in pairs.values():
        assert facts["difference_low"] < facts["difference"] < facts["difference_high"]


def test_holm_correction_for_six_pairs_removes_a_difference_that_one_test_shows():
    """Of the images, 9 are correct by the first model alone and 1 by the second alone: McNemar's p is 22/1024."""
    splits = pd.DataFrame({"path": [f"{n:02}" for n in range(60)], "label": "a", "split": "test", "group": range(60)})
    wrong_rows_by_model = {"one": [9], "two": range(9), "three": range(20, 25), "four": range(21, 26)}
    tables = []
    for model, wrong_rows in wrong_rows_by_model.items():
        predicted_classes = np.isin(np.arange(60), list(wrong_rows)).astype(int)
        tables.append(prediction_table.build_rows(splits, model, np.eye(2)[predicted_classes], CLASSES))
    pairs = comparison.compare_pairs(pd.concat(tables, ignore_index=True))
    assert pairs["one_vs_two"]["mcnemar_p"] == pytest.approx(22 / 1024)
    assert pairs["one_vs_two"]["p_holm"] == pytest.approx(6 * 22 / 1024)
    assert {facts["verdict"] for facts in pairs.values()} == {"no difference shown"}
    assert comparison.describe_correction(pairs) == "Holm's correction for 6 tests"
    single_pair = comparison.compare_pairs(pd.concat(tables[:2], ignore_index=True))
    assert single_pair["one_vs_two"]["verdict"] == "one is better"
    assert comparison.describe_correction(single_pair) == "Holm's correction for 1 test"


def test_errors_within_one_group_are_no_significant_difference():
    """The second model errs on the first 12 images, which are in one group except where each image is a group."""
    splits = pd.DataFrame({"path": [f"{n:03}" for n in range(300)], "label": "a", "split": "test"})
    probabilities = [np.eye(2)[np.zeros(300, int)], np.eye(2)[(np.arange(300) < 12).astype(int)]]
    verdicts = {12: "no difference shown", 60: "too few different objects to tell", 1: "one is better"}
    for size, verdict in verdicts.items():
        grouped = splits.assign(group=np.arange(300) // size)
        one, two = (
            prediction_table.build_rows(grouped, model, model_probabilities, CLASSES)
            for model, model_probabilities in zip(("one", "two"), probabilities, strict=True)
        )
        pair = comparison.compare_pairs(pd.concat([one, two], ignore_index=True))["one_vs_two"]
        assert pair["verdict"] == verdict
        assert pair["p_holm"] == max(pair["mcnemar_p"], pair["permutation_p"])


def test_compare_pairs_does_not_depend_on_the_order_of_rows(predicted):
    shuffled = [rows.sample(frac=1, random_state=1) for _, rows in predicted.groupby("model", sort=False)]
    assert comparison.compare_pairs(predicted) == comparison.compare_pairs(pd.concat(shuffled))


def test_display_names_include_slot_and_weights(rows):
    names = ["CNN", "irv2 (InceptionResNetV2), RANDOM weights", "densenet (DenseNet121), ImageNet weights"]
    assert list(comparison.display_names(rows).values()) == names
    assert list(comparison.display_names(rows, "\n").values()) == [name.replace(", ", "\n") for name in names]


def read_png(path):
    image = cv2.imread(str(path))
    assert image is not None
    return image


def test_figures_of_many_classes_show_the_worst_classes_only(tmp_path):
    """A confusion matrix of 300 classes took 15 minutes and 16 GB; Altair refuses charts of more than 5,000 rows."""
    classes = [f"class {number:03}" for number in range(300)]
    pairs = pd.MultiIndex.from_product([classes, classes], names=["actual", "predicted"]).to_frame(index=False)
    correct = (pairs["actual"] == pairs["predicted"]).to_numpy()
    counts = pairs.assign(images=np.where(correct, pairs["actual"].str[-3:].astype(int) + 1, 1))
    worst = comparison.hardest_classes(counts)
    assert sorted(set(worst["actual"])) == sorted(set(worst["predicted"])) == classes[: figures.MOST_CLASSES]
    writer = figures.FigureWriter("drawn", "given", "#4c84b8", 60)
    writer.save_charts(tmp_path / "c.png", "CNN" + comparison.class_limit_note(300), charts.confusion(worst), width=900)
    writer.save_charts(tmp_path / "classes.png", "Images", charts.image_counts(dict.fromkeys(classes, 3)))
    assert read_png(tmp_path / "classes.png").shape[0] < 1200, "all classes fit on a screen or two"
    scores = {"precision": 0.5, "recall": 0.5, "support": 3}
    evaluated = {"cnn": {"per_class": {name: scores | {"f1": n / 300} for n, name in enumerate(classes)}}}
    assert comparison.class_score_table(evaluated)["label"].tolist() == classes[: figures.MOST_CLASSES]
    assert comparison.class_limit_note(figures.MOST_CLASSES) == ""


def test_table1_does_not_parse_names_as_formulas(rows, tmp_path):
    """Matplotlib raised a ParseSyntaxException for `$_{$`, and drew `$x$` as an italic x."""
    names = dict.fromkeys(rows, "$_{$")
    writer = figures.FigureWriter("$_{$", "given", "#4c84b8", 60)
    writer.save_table1(tmp_path / "table1.png", factors.format_table1(rows, names))
    assert read_png(tmp_path / "table1.png").size


@pytest.fixture
def titles(monkeypatch):
    """The titles of the figures that the test draws."""
    drawn_titles, to_png = [], vl_convert.vegalite_to_png

    def record_and_convert(spec, **options):
        drawn_titles.append(spec["title"]["text"])
        return to_png(spec, **options)

    monkeypatch.setattr(vl_convert, "vegalite_to_png", record_and_convert)
    return drawn_titles


def test_charts_are_saved_side_by_side_with_the_data_set_in_the_title(titles, tmp_path):
    counts = charts.image_counts({"$_{$ <b>Früchte</b>": 3, "b": 4})
    for origin, dpi in (("synthetic", 60), ("given", 120)):
        writer = figures.FigureWriter("drawn", origin, "#4c84b8", dpi)
        writer.save_charts(tmp_path / f"{origin}.png", "Images per class", counts, counts, width=300)
    assert titles == [["Images per class", "drawn images, not photographs"], ["Images per class", "drawn"]]
    synthetic, given = (read_png(tmp_path / f"{origin}.png") for origin in ("synthetic", "given"))
    assert given.shape[1] == pytest.approx(2 * synthetic.shape[1], abs=2)
    bars = (np.abs(given - np.array([0xB8, 0x84, 0x4C], float)) < 3).all(axis=2)
    assert bars.mean() > 0.15, "bars in the colour of plots.color"
    assert bars[:, : bars.shape[1] // 2].sum() == pytest.approx(bars[:, bars.shape[1] // 2 :].sum(), rel=0.05)


def test_every_figure_is_written_with_the_data_set_in_its_title(predicted, evaluated, rows, titles, tmp_path):
    """Also with a loss that is missing, as after a divergence, and with class names that are formulas."""
    writer = figures.FigureWriter("drawn", "synthetic", "#4c84b8", 60)
    names = comparison.display_names(rows)
    history = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, np.nan], "accuracy": [0.1, 0.2]})
    history = history.assign(val_loss=history["loss"], val_accuracy=history["accuracy"])
    sweep = pd.concat([history.assign(learning_rate=rate, diverged=rate > 0.01) for rate in (0.01, 0.1)])
    splits = predicted[predicted["model"] == "cnn"].groupby(["split", "label"]).size().rename("images").reset_index()
    formulas = pd.DataFrame([(a, b, 1) for a in ("$_{$", "$x$ a") for b in ("$_{$", "$x$ a")])
    scores = comparison.model_scores(rows, names)
    table = comparison.class_score_table(evaluated).assign(name=lambda table: table["model"].map(names))
    panels = [
        [charts.image_counts({"Miscellaneous Trash": 3, "b": 4}), charts.split_counts(splits)],
        [charts.curve(history, measure) for measure in ("loss", "accuracy")],
        [charts.learning_rates(sweep, measure, measure) for measure in ("loss", "val_loss")],
        [charts.confusion(formulas.set_axis(["actual", "predicted", "images"], axis=1))],
        [charts.accuracies(scores), charts.losses(scores)],
        [charts.class_scores(table, measure) for measure in ("precision", "recall", "f1")],
    ]
    for number, figure in enumerate(panels):
        writer.save_charts(tmp_path / f"{number}.png", "A title", *figure)
        pixels = read_png(tmp_path / f"{number}.png")
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10, "something is drawn"
    assert titles == [["A title", "drawn images, not photographs"]] * len(panels)


def test_describe_sweep_names_the_best_rate_and_those_that_diverged():
    table = pd.DataFrame({"learning_rate": [0.01, 0.1, 0.1, 1.0], "diverged": [False, True, True, True]})
    assert comparison.describe_sweep(table, 0.01) == "Learning rates of the CNN; best: 0.01; diverged: 0.1, 1"
    assert comparison.describe_sweep(table[:1], 0.01) == "Learning rates of the CNN; best: 0.01"


@pytest.mark.parametrize(
    ("irv2", "densenet", "members"),
    [
        ("imagenet", "own.keras", ["cnn", "irv2", "densenet"]),
        ("random", "imagenet", ["cnn", "densenet"]),
        ("random", "random", ["cnn", "irv2", "densenet"]),
    ],
)
def test_stand_ins_vote_only_if_no_backbone_is_pretrained(irv2, densenet, members):
    weights = {"cnn": "trained from random", "irv2": irv2, "densenet": densenet}
    assert comparison.ensemble_members({model: {"weights": name} for model, name in weights.items()}) == members


def test_the_soft_vote_is_the_mean_of_calibrated_probabilities(predicted, evaluated):
    temperatures = {"cnn": 2.0, "irv2": 1.0, "densenet": 0.5}
    votes = comparison.ensemble_predictions(prediction_table.calibrate(predicted, temperatures))
    assert set(votes["model"]) == {"ensemble"}
    columns = prediction_table.probability_columns(predicted)
    path = predicted["path"][7]

    def vote_on_one_image(table):
        return table.set_index("path").loc[path, columns].astype(float)

    member_probabilities = predicted[predicted["path"] == path][columns].to_numpy()
    powers = member_probabilities ** np.array([[0.5], [1.0], [2.0]])
    calibrated = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(vote_on_one_image(votes), calibrated.mean(axis=0), atol=1e-6)
    # Rows that have a temperature are calibrated already.
    calibrated_rows = prediction_table.calibrate(predicted.assign(temperature=2.0), temperatures)
    votes_of_calibrated = comparison.ensemble_predictions(calibrated_rows)
    np.testing.assert_allclose(vote_on_one_image(votes_of_calibrated), member_probabilities.mean(axis=0), atol=1e-6)
    votes_of_two = comparison.ensemble_predictions(prediction_table.calibrate(predicted, {"cnn": 2.0, "densenet": 0.5}))
    np.testing.assert_allclose(vote_on_one_image(votes_of_two), calibrated[[0, 2]].mean(axis=0), atol=1e-6)
    metrics = comparison.ensemble_metrics(votes, evaluated)
    test_rows = votes[votes["split"] == "test"]
    labels, probabilities = prediction_table.labels_of(test_rows), prediction_table.probabilities_of(test_rows)
    assert metrics["test_accuracy"] == scores.accuracy(labels, probabilities)
    assert metrics["test_loss"] == log_loss(labels, probabilities)
    assert metrics["macro_f1"] == scores.macro_f1(scores.confusion_matrix(labels, probabilities))
    macro_f1 = intervals.macro_f1_with_intervals(labels, probabilities, test_rows["group"].to_numpy())
    assert metrics["macro_f1_low"] == macro_f1["macro_f1_low"]
    assert metrics["parameters"] == 3 * evaluated["cnn"]["parameters"]
    with_ensemble = {"ensemble": metrics} | evaluated
    trainings = {"ensemble": {"backbone": "Soft vote", "weights": "those of the three"}} | TRAININGS
    table1_rows = table1.build_rows(
        with_ensemble, trainings, SECONDS | {"ensemble": 18.0}, pd.concat([predicted, votes]), "realwaste"
    )
    formatted = factors.format_table1(table1_rows, comparison.display_names(table1_rows))
    assert formatted.loc[("Accuracy", "the report's accuracy"), "Soft vote"] == "–"
