"""Scores against scikit-learn's metrics, intervals against a plain bootstrap."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import metrics

from goodfit.tables import loss, score
from goodfit.values import Dataset


def dataset(y, classes: tuple[str, ...] = (), mean: float = 0.0, scale: float = 1.0) -> Dataset:
    y = np.asarray(y)
    n = len(y)
    task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    rows = np.arange(n)
    return Dataset(
        np.zeros((n, 1), np.float32), y, task, ("x",), "price", rows, rows, rows, classes, mean, scale
    )  # fmt: skip


def values(scores) -> dict[str, float]:
    return {s.metric: s.value for s in scores}


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_regression_in_the_targets_own_units():
    rng = np.random.default_rng(0)
    y, predicted = rng.normal(size=300), rng.normal(size=300)
    data = dataset(y, mean=100.0, scale=20.0)
    found = values(score(data, "network", "test", predicted[:, None]))
    truth, said = 100 + 20 * y, 100 + 20 * predicted
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, said))
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, said))
    assert loss(data, "test", predicted) == pytest.approx(metrics.mean_squared_error(y, predicted))
    first = score(data, "linear", "test", predicted)[0]
    assert (first.model, first.split, first.metric, first.unit) == ("linear", "test", "mae", "price")
    assert not first.greater_is_better


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_classes_against_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    n = 500
    y = rng.choice(classes, n, p=softmax(rng.normal(size=(1, classes)))[0]).astype(np.int32)
    predicted = softmax(rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[y])
    data = dataset(y, tuple(f"c{i}" for i in range(classes)))
    scores = score(data, "network", "validation", predicted)
    found = values(scores)
    said = predicted.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, said))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(y, predicted, labels=range(classes)))
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(y, said, average="macro"))
    assert loss(data, "validation", predicted) == pytest.approx(found["log_loss"])
    if classes == 2:
        assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, predicted[:, 1]))
    if "balanced_accuracy" in found:
        assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, said))
    for s in scores:
        assert s.low is not None
        assert s.high is not None
        assert s.low <= s.value <= s.high


def test_ties_share_their_part_of_the_roc_curve():
    y = np.array([0, 0, 1, 1, 0, 1], np.int32)
    predicted = np.array([0.5, 0.2, 0.5, 0.9, 0.5, 0.2])
    found = values(score(dataset(y, ("no", "yes")), "network", "test", predicted))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, predicted))


def test_two_classes_may_be_given_by_the_second_alone():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 50).astype(np.int32)
    p = rng.random(50)
    data = dataset(y, ("no", "yes"))
    wide = score(data, "network", "test", np.stack([1 - p, p], axis=1))
    assert wide == score(data, "network", "test", p) == score(data, "network", "test", p[:, None])


def test_imbalance_brings_balanced_accuracy():
    y = (np.arange(100) < 10).astype(np.int32)
    p = np.linspace(0, 1, 100)[::-1]
    found = values(score(dataset(y, ("no", "yes")), "network", "test", p))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, p > 0.5))
    even = (np.arange(100) < 50).astype(np.int32)
    assert "balanced_accuracy" not in values(score(dataset(even, ("no", "yes")), "network", "test", p))


def test_the_interval_is_that_of_a_plain_bootstrap():
    rng = np.random.default_rng(0)
    n = 200
    y = rng.integers(0, 2, n).astype(np.int32)
    p = np.clip(0.5 + 0.25 * (2 * y - 1) * rng.random(n) + 0.3 * rng.normal(size=n), 0.01, 0.99)
    found = {s.metric: s for s in score(dataset(y, ("no", "yes")), "network", "test", p, bootstrap=4000)}
    draws = rng.integers(0, n, (4000, n))
    measured = {
        "accuracy": lambda t, q: metrics.accuracy_score(t, q > 0.5),
        "log_loss": lambda t, q: -np.mean(np.log(np.where(t == 1, q, 1 - q))),
        "roc_auc": lambda t, q: metrics.roc_auc_score(t, q),
        "f1_macro": lambda t, q: metrics.f1_score(t, q > 0.5, average="macro"),
    }
    for name in ("accuracy", "log_loss"):
        plain = np.quantile([measured[name](y[d], p[d]) for d in draws], [0.025, 0.975])
        np.testing.assert_allclose([found[name].low, found[name].high], plain, atol=0.01)
    for name in ("roc_auc", "f1_macro"):
        plain = np.quantile([measured[name](y[d], p[d]) for d in draws[:500]], [0.025, 0.975])
        np.testing.assert_allclose([found[name].low, found[name].high], plain, atol=0.02)


def rare(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A class of 60 rows and two of `rows`, and what is said of each row."""
    y = np.repeat([0, 1, 2], [60, rows, rows]).astype(np.int32)
    said = y.copy()
    said[[2, 60]], said[-1] = 1, 0
    return y, said


def scored(y, said) -> dict:
    data = dataset(y, ("a", "b", "c"))
    return {s.metric: s for s in score(data, "m", "test", np.eye(3)[said] * 0.9 + 0.03, bootstrap=4000)}


def test_intervals_of_rare_classes_are_of_the_resamples_that_hold_them():
    y, said = rare(5)
    found = scored(y, said)
    draws = np.random.default_rng(1).integers(0, len(y), (4000, len(y)))
    whole = [d for d in draws if len(np.unique(y[d])) == 3]
    assert 0.975 < len(whole) / len(draws) < 1
    plain = np.quantile([metrics.balanced_accuracy_score(y[d], said[d]) for d in whole], [0.025, 0.975])
    np.testing.assert_allclose([found["balanced_accuracy"].low, found["balanced_accuracy"].high], plain, atol=0.02)
    plain = np.quantile([metrics.f1_score(y[d], said[d], average="macro") for d in whole], [0.025, 0.975])
    np.testing.assert_allclose([found["f1_macro"].low, found["f1_macro"].high], plain, atol=0.02)


def test_no_interval_is_told_where_resamples_lose_a_class():
    y, said = rare(2)
    found = scored(y, said)
    assert found["balanced_accuracy"].value == pytest.approx(metrics.balanced_accuracy_score(y, said))
    assert found["balanced_accuracy"].low is found["balanced_accuracy"].high is None
    assert found["f1_macro"].low is None
    assert found["accuracy"].low is not None


def test_a_class_that_the_part_does_not_hold_is_left_out():
    y, said = rare(20)
    found = scored(y[:80], said[:80])  # the third class is in neither
    assert found["f1_macro"].value == pytest.approx(metrics.f1_score(y[:80], said[:80], average="macro"))
    assert found["balanced_accuracy"].value == pytest.approx(metrics.balanced_accuracy_score(y[:80], said[:80]))
    assert found["balanced_accuracy"].low is not None


def test_many_rows_are_resampled_in_groups_with_the_same_interval():
    rng = np.random.default_rng(0)
    n = 50_000
    y = rng.normal(size=n)
    error = rng.standard_t(5, size=n)
    start = time.perf_counter()
    found = {s.metric: s for s in score(dataset(y), "network", "test", y + error)}
    assert time.perf_counter() - start < 3
    half = 1.96 * np.abs(error).std() / np.sqrt(n)
    centre = np.abs(error).mean()
    np.testing.assert_allclose([found["mae"].low, found["mae"].high], [centre - half, centre + half], atol=0.15 * half)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth = np.sqrt(2 / np.pi)
    covered = 0
    for seed in range(200):
        error = rng.normal(size=100)
        s = score(dataset(np.zeros(100)), "network", "test", error, bootstrap=500, seed=seed)[0]
        covered += s.low <= truth <= s.high
    assert 0.89 <= covered / 200 <= 0.99


def test_the_seed_decides_and_none_is_possible():
    rng = np.random.default_rng(0)
    data, predicted = dataset(rng.normal(size=50)), rng.normal(size=50)
    assert score(data, "m", "test", predicted, seed=1) == score(data, "m", "test", predicted, seed=1)
    assert score(data, "m", "test", predicted, seed=1) != score(data, "m", "test", predicted, seed=2)
    assert all(s.low is None for s in score(data, "m", "test", predicted, bootstrap=0))


def test_predictions_that_are_not_finite_are_scores_that_are_none():
    data = dataset(np.arange(10.0))
    found = score(data, "network", "test", np.full(10, np.nan))
    assert all(np.isnan(s.value) and s.low is None for s in found)
    classes = dataset(np.arange(10, dtype=np.int32) % 2, ("no", "yes"))
    found = values(score(classes, "network", "test", np.full((10, 2), np.nan)))
    assert np.isnan(found["log_loss"])


def test_predictions_of_another_number_of_rows_are_refused():
    with pytest.raises(ValueError, match="7 predictions for the 10 test rows"):
        score(dataset(np.arange(10.0)), "network", "test", np.zeros(7))
