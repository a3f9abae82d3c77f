"""The baselines are scikit-learn's, fitted on the training rows alone, and quick."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV

from goodfit.tables import baselines, inspect, loss, prepare, read, split
from goodfit.values import Dataset

EXAMPLES = Path(__file__).parents[2] / "examples"


def data_of(source, target: str):
    table = read(source)
    inspection = inspect(table, target)
    return prepare(table, inspection, split(table, inspection))[1]


@pytest.fixture(scope="module")
def cars():
    return data_of(EXAMPLES / "auto-mpg.csv", "mpg")


@pytest.fixture(scope="module")
def wines():
    return data_of(datasets.load_wine(as_frame=True).frame, "target")


def test_regression(cars):
    found = baselines(cars)
    assert list(found) == ["mean", "linear", "gradient boosting"]
    assert all(predicted.shape == (len(cars.x),) for predicted in found.values())
    np.testing.assert_allclose(found["mean"], 0, atol=1e-6)
    x, y = cars.part("train")
    linear = RidgeCV(alphas=np.logspace(-3, 3, 13)).fit(x.astype(float), y.astype(float))
    np.testing.assert_allclose(found["linear"], linear.predict(cars.x.astype(float)), rtol=1e-8)
    boosted = HistGradientBoostingRegressor(random_state=0).fit(x, y)
    np.testing.assert_allclose(found["gradient boosting"], boosted.predict(cars.x), rtol=1e-6)
    losses = [loss(cars, "test", predicted) for predicted in found.values()]
    assert losses[0] > 2 * losses[1] > 2 * losses[2]


def test_classes(wines):
    found = baselines(wines)
    assert list(found) == ["prior", "linear", "gradient boosting"]
    for table in found.values():
        assert table.shape == (len(wines.x), 3)
        np.testing.assert_allclose(table.sum(axis=1), 1)
    x, y = wines.part("train")
    np.testing.assert_allclose(found["prior"][0], np.bincount(y) / len(y))
    linear = LogisticRegression(max_iter=1000).fit(x.astype(float), y)
    np.testing.assert_allclose(found["linear"], linear.predict_proba(wines.x.astype(float)), rtol=1e-8)
    boosted = HistGradientBoostingClassifier(random_state=0).fit(x, y)
    np.testing.assert_allclose(found["gradient boosting"], boosted.predict_proba(wines.x), rtol=1e-6)


@pytest.mark.parametrize("name", ["cars", "wines"])
def test_rows_that_do_not_train_change_nothing(name, request):
    data = request.getfixturevalue(name)
    x, y = data.x.copy(), data.y.copy()
    others = np.concatenate([data.validation, data.test])
    x[others] += 100
    y[others] = 0
    first, second = baselines(data), baselines(dataclasses.replace(data, x=x, y=y))
    for model, predicted in first.items():
        np.testing.assert_array_equal(predicted[data.train], second[model][data.train])


def test_a_class_that_no_training_row_has(wines):
    train = wines.train[wines.y[wines.train] != 2]
    found = baselines(dataclasses.replace(wines, train=train))
    assert (found["linear"][:, 2] == 0).all()
    assert found["gradient boosting"].shape == (len(wines.x), 3)


def test_a_class_with_one_row_among_many():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12_000, 2)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=12_000) > 0).astype(np.int32)
    rows, rest = np.arange(11_000), np.arange(11_000, 12_000)
    data = Dataset(x, y, "multiclass", ("a", "b"), "y", rows, rest, rest, classes=("no", "yes", "rare"))
    without = loss(data, "test", baselines(data)["gradient boosting"])
    y[7] = 2
    table = baselines(data)["gradient boosting"]
    np.testing.assert_allclose(table.sum(axis=1), 1)
    np.testing.assert_allclose(table[:, 2], 1 / 11_000)
    assert loss(data, "test", table) == pytest.approx(without, rel=0.01)
    two = dataclasses.replace(data, task="binary", y=(np.arange(12_000) == 7).astype(np.int32), classes=("no", "yes"))
    np.testing.assert_array_equal(baselines(two)["gradient boosting"], baselines(two)["prior"])


def test_the_same_seed_gives_the_same_numbers(wines):
    first, second = baselines(wines, seed=3), baselines(wines, seed=3)
    for model, predicted in first.items():
        np.testing.assert_array_equal(predicted, second[model])


def test_auto_mpg_takes_little_time(cars):
    baselines(cars)
    start = time.process_time()
    baselines(cars)
    assert time.process_time() - start < 1.5
