"""Scores, predictions and confusions as chart data, against scikit-learn."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from goodfit.plots import confusion_chart, prediction_chart, score_tables
from goodfit.plots.outcome import MOST_ROWS
from goodfit.values import Score, Study


def test_the_confusion_matrix_is_scikit_learns(digits_study):
    chart = confusion_chart(digits_study)
    assert chart is not None
    true, predicted = digits_study.predictions["true"], digits_study.predictions["predicted"]
    assert np.array_equal(chart.counts, confusion_matrix(true, predicted))
    assert np.allclose(chart.recall, recall_score(true, predicted, average=None))
    assert np.allclose(chart.precision, precision_score(true, predicted, average=None))


def test_a_class_without_rows_keeps_its_place():
    predictions = {"true": np.array(["a", "a", "c"]), "predicted": np.array(["a", "c", "c"])}
    chart = confusion_chart(Study((), "multiclass", predictions=predictions, about={"classes": ["a", "b", "c"]}))
    assert chart is not None
    assert chart.classes == ("a", "b", "c")
    assert np.isnan(chart.recall[1])
    assert chart.confusions() == (("a", "c", 1),)


def test_each_task_has_its_own_chart(mpg_study, digits_study):
    assert confusion_chart(mpg_study) is None
    assert prediction_chart(digits_study) is None
    assert prediction_chart(dataclasses.replace(mpg_study, predictions={})) is None


def test_residuals_are_predicted_minus_true(mpg_study):
    chart = prediction_chart(mpg_study)
    assert chart is not None
    error = mpg_study.predictions["predicted"] - mpg_study.predictions["true"]
    assert np.allclose(chart.residual, error)
    assert f"{np.median(np.abs(error)):.4g} mpg" in chart.summary
    assert f"row {mpg_study.predictions['row'][np.abs(error).argmax()]}" in chart.summary


def test_many_rows_are_thinned_and_the_largest_error_stays():
    rng = np.random.default_rng(0)
    true = rng.random(50_000)
    predicted = true + 0.01 * rng.standard_normal(50_000)
    predicted[31_415] += 9
    chart = prediction_chart(Study((), "regression", predictions={"true": true, "predicted": predicted}))
    assert chart is not None
    assert len(chart.row) <= MOST_ROWS
    assert 31_415 in chart.row
    assert chart.total == 50_000


def test_the_best_follows_the_direction_of_the_metric():
    def table(greater, network, other, low=None, high=None):
        scores = (Score("linear", "test", "m", other, greater_is_better=greater),)
        scores += (Score("network", "test", "m", network, low, high, greater_is_better=greater),)
        return score_tables(Study((), "regression", scores))[0]

    assert [score.model for score in table(True, 0.9, 0.8).scores] == ["network", "linear"]
    assert table(True, 0.9, 0.8).best == 0
    assert table(False, 0.9, 0.8).best == 1
    assert table(False, float("nan"), 0.8).best == 1
    assert table(False, 0.9, 0.8, 0.7, 1.0).within_noise
    assert table(True, 0.9, 0.8, 0.7, 1.0).within_noise
    assert not table(False, 0.9, 0.8, 0.85, 1.0).within_noise


def test_test_rows_come_before_validation_rows():
    scores = tuple(Score("network", split, "mae", 1.0) for split in ("validation", "test"))
    assert [table.split for table in score_tables(Study((), "regression", scores))] == ["test", "validation"]
