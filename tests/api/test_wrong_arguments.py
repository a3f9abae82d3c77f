"""Arguments that can't be meant are named, by every entry point alike, before anything is trained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

import goodfit
from goodfit.errors import InputError

X = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
Y = X[:, :1].copy()
TABLE = pd.DataFrame(X, columns=list("abc")).assign(y=Y[:, 0])


def network(units: int = 1, activation: str | None = None, loss: str = "mse") -> keras.Model:
    layers = [keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(units, activation)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("adam", loss)
    return model


def classifier() -> keras.Model:
    return network(3, "softmax", "sparse_categorical_crossentropy")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        *(({"seeds": seeds}, "seeds is") for seeds in ("12", "3", 2.0, None, True, [1.5], [], [1, 1], [-1], 0)),
        *(({"checks": checks}, "checks is") for checks in (True, False, None, "of")),
        ({"signals": "x"}, "signals is"),
        ({"engine": "fast"}, "engine is"),
        ({"model": "model"}, "str was given in place of the model"),
        ({"model": keras.layers.Dense(3)}, "Dense was given"),
    ],
)
def test_fit(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        goodfit.fit(**{"model": network(), "x": X, "y": Y, "verbose": 0, **arguments})


def test_seeds_of_numpy_and_a_single_one_are_what_they_say() -> None:
    assert goodfit.fit(network(), X, Y, verbose=0, seeds=np.int64(2)).seeds == (0, 1)
    assert goodfit.fit(network(), X, Y, verbose=0, seeds=[5]).seeds == (5,)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"seeds": "2"}, "seeds is '2'"),
        ({"seeds": 2.0}, "seeds is 2.0"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"validation": "x"}, "validation is 'x'"),
        ({"drop": 3}, "drop is 3"),
        ({"group": 3}, "group is 3"),
        ({"out": 3}, "out is 3"),
        ({"test": [1]}, "a list is no table"),
        ({"table": {"a": [1]}}, "a dict is no table"),
        ({"table": TABLE["a"]}, "a Series is no table"),
        ({"target": TABLE["y"]}, "the target is a Series"),
        ({"target": None}, "the target is a NoneType"),
        ({"sheet": 1}, "the sheet 1 is asked for of a data frame"),
        ({"table": TABLE.assign(y=TABLE["y"].astype("float64") * 1e200)}, "whose squares no number can hold"),
        ({"table": TABLE.assign(d=pd.date_range("2020", periods=60)), "numeric": ["d"]}, "it holds dates"),
        ({"table": TABLE.assign(y=np.where(TABLE["a"] > 1, np.inf, TABLE["y"]))}, "rows without a target"),
        ({"table": TABLE.head(2)}, "only 2 rows with a target"),
    ],
)
def test_train(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        goodfit.train(**{"table": TABLE, "target": "y", **arguments})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"x": np.where(X > 1, np.nan, X)}, "x holds NaN"),
        ({"x": X[:, :2]}, r"shape \(2,\), and the model takes \(3,\)"),
        ({"x": X[:0], "y": Y[:0]}, "x is empty"),
        ({"x": X.tolist(), "y": Y.tolist()}, "the data are not arrays"),
        ({"model": classifier(), "y": np.arange(60) % 3 + 1}, "labels"),
        ({"model": "model"}, "in place of the model"),
        ({"seed": -1}, "seed is -1"),
        ({"steps": 25.5}, "steps is 25.5"),
        ({"lowest": "a"}, "lowest is 'a'"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
    ],
)
def test_lr_find(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        goodfit.lr_find(**{"model": network(), "x": X, "y": Y, **arguments})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"samples": "a"}, "samples is 'a'"),
        ({"samples": 1}, "samples is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"model": "model"}, "in place of the model"),
        ({"x": X[:, :2]}, "the model takes"),
        ({"x": [["a"] * 3]}, "not numbers"),
        ({"x": np.where(X > 1, np.nan, X)}, "x holds NaN"),
    ],
)
def test_uncertainty(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        goodfit.uncertainty(**{"model": network(), "x": X, "samples": 4, **arguments})


def test_the_entropy_of_what_is_no_probability_is_refused() -> None:
    spread = goodfit.uncertainty(network(), 100 * X, samples=4)
    with pytest.raises(InputError, match="no probabilities"):
        _ = spread.entropy
    assert goodfit.uncertainty(classifier(), X, samples=4).entropy.max() <= np.log(3) + 1e-6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"y": np.arange(60) % 3 - 1}, "y holds the class -1"),
        ({"y": np.array(["a", "b", "c"] * 20)}, "no numbers"),
        ({"y": np.arange(60.0) % 3}, "classes or quantities"),
        ({"y": np.eye(3)[np.arange(60) % 3]}, "one-hot"),
        ({"x": np.where(X > 1, np.nan, X)}, "x holds NaN"),
        ({"validation_data": (X[:, :2], Y)}, "validation x"),
        ({"validation_data": X}, "no pair"),
        ({"sample": "a"}, "sample is 'a'"),
        ({"sample": 100}, "48 training rows"),
    ],
)
def test_try_existing(arguments: dict[str, Any], says: str) -> None:
    source = classifier()
    before = source.predict(X, verbose=0)
    with pytest.raises(InputError, match=says):
        goodfit.try_existing(**{"source": source, "x": X, "y": np.arange(60) % 3, **arguments})
    np.testing.assert_array_equal(source.predict(X, verbose=0), before)


def test_few_rows_make_a_smaller_sample() -> None:
    tried = goodfit.try_existing(classifier(), X, np.arange(60) % 3, stages=[goodfit.Stage(1)])
    assert [attempt.rows for attempt in tried.attempts] == [0, 24, 48]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"threshold": 1e9}, "above every weight"),
        ({"threshold": "a"}, "threshold is 'a'"),
        ({"sparsity": "a"}, "sparsity is 'a'"),
        ({"model": None, "sparsity": 0.5}, "in place of the model"),
    ],
)
def test_prune(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        goodfit.prune(**{"model": network(), **arguments})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": "a"}, "batch_size is 'a'"),
        ({"learning_rate": -1}, "learning_rate is -1"),
        ({"encoder": "model"}, "in place of the model"),
        ({"x": [[1.0], [1.0, 2.0]]}, "x is no array"),
    ],
)
def test_pretrain(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        goodfit.pretrain(**{"x": X, **arguments})


@pytest.mark.parametrize("folder", [None, 3])
def test_load(folder: Any) -> None:
    with pytest.raises(InputError, match="is no folder"):
        goodfit.load(folder)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        *(({"seeds": seeds}, "nothing can be told apart") for seeds in (1, "a", [1, 2, 3], 2.5)),
        ({"model": "m.keras"}, "a path was given, 'm.keras', and no model"),
        ({"model": keras.Sequential}, "the class Sequential was given"),
        ({"model": None}, "NoneType is no Keras model"),
        ({"settings": [1]}, r"settings is \[1\]"),
        ({"changes": "wider ×-1"}, "no change is called 'wider ×-1'"),
        ({"changes": "add-dropout ×2"}, "no change is called 'add-dropout ×2'"),
        ({"seed": -1}, "seed is -1"),
        ({"rounds": 0}, "rounds is 0"),
        ({"out": 3}, "out is 3"),
        ({"name": "a/b"}, "can't name a folder"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"batch_size": "a"}, "batch_size is 'a'"),
        ({"early_stopping": -1}, "early_stopping is -1"),
        ({"early_stopping": "a"}, "early_stopping is 'a'"),
        ({"budget": "0s"}, "the budget is '0s'"),
        ({"changes": 2.5}, "changes is 2.5"),
        ({"changes": "nonsense"}, "no change is called 'nonsense'"),
        ({"changes": goodfit.Change("idle", {}, "", "")}, "the change 'idle' says no edit"),
        ({"validation_data": (X,)}, "validation_data is no pair"),
        ({"validation_data": (X[:, :2], Y)}, r"the rows of validation x have the shape \(2,\)"),
        ({"validation_data": (X, Y[:9])}, "validation x has 60 rows and y has 9"),
        ({"test_data": (X,)}, "test_data is no pair"),
        ({"test_data": (X[:, :2], Y)}, r"the rows of test x have the shape \(2,\)"),
        ({"test_data": (X, np.hstack([Y, Y, Y]))}, "test y has 3 columns"),
        ({"test_data": (X, np.where(Y > 1, np.nan, Y))}, "test y holds NaN"),
    ],
)
def test_improve(arguments: dict[str, Any], says: str) -> None:
    trained = []
    given = {"model": network(), "x": X, "y": Y, "epochs": 2, "seeds": 2, "rounds": 1, **arguments}
    with pytest.raises(InputError, match=says):
        goodfit.improve(**given, report=trained.append)
    assert not trained


def test_one_change_may_be_given_by_its_name_alone() -> None:
    study = goodfit.improve(
        network(), np.vstack([X, X]), np.vstack([Y, Y]), epochs=2, seeds=2, rounds=1, changes="wider"
    )
    assert [trial.change.name for trial in study.trials[1:] if trial.change] == ["wider-layers"]


def test_changes_may_be_given_as_a_ladder_tells_them() -> None:
    def train(momentum: float, nesterov: bool, seed: int) -> dict[str, list[float]]:
        return {"val_loss": [1.0 + momentum + nesterov + 0.01 * seed]}

    asked = ["less-momentum ×0.333", "nesterov-true", "more-momentum"]
    study = goodfit.improve(train, settings={"momentum": 0.3, "nesterov": False}, seeds=2, rounds=1, changes=asked)
    assert [trial.change.label for trial in study.trials[1:] if trial.change] == [*asked[:2], "more-momentum ×3"]
    study = goodfit.improve(
        network(), np.vstack([X, X]), np.vstack([Y, Y]), epochs=2, seeds=2, rounds=1, changes=["raise-learning-rate x3"]
    )
    assert [trial.change.edits for trial in study.trials[1:] if trial.change] == [
        {"optimizer.learning_rate": {"times": 3.0}}
    ]
