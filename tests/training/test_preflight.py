"""What the pre-flight refuses, what it only mentions, and what it lets through."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from goodfit.errors import InputError
from goodfit.training import engine, preflight

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = X[:, :1]


def model(units=1, activation=None, loss="mse"):
    made = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(units, activation=activation)])
    made.compile("sgd", loss)
    return made


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("make", "data", "words"),
    [
        (model, {"x": changed(X, (4, 1), np.nan)}, ["x holds NaN", "1 of 12 rows (row 4)", "column 1"]),
        (model, {"x": pd.DataFrame(changed(X, (4, 1), np.inf), columns=list("abc"))}, ["infinity", "column 'b'"]),
        (model, {"y": changed(Y, 7, np.nan)}, ["y holds NaN", "row 7"]),
        (model, {"sample_weight": changed(np.ones(12), 3, np.nan)}, ["sample_weight holds NaN", "row 3"]),
        (model, {"validation_data": (changed(X, (2, 2), np.nan), Y)}, ["validation x holds NaN", "row 2"]),
        (model, {"y": np.ones((12, 3))}, ["y has 3 columns", "1 output:"]),
        (lambda: model(3), {"y": Y}, ["y has 1 column,", "3 outputs"]),
        (
            lambda: model(3, "softmax", "sparse_categorical_crossentropy"),
            {"y": np.arange(12) % 3 + 1},
            ["(3) outside 0..2", "Subtract 1"],
        ),
        (
            lambda: model(3, "softmax", keras.losses.SparseCategoricalCrossentropy()),
            {"y": np.arange(12) % 3 - 1},
            ["(-1) outside", "Number the classes"],
        ),
        (
            lambda: model(3, "softmax", "sparse_categorical_crossentropy"),
            {"y": np.full(12, 0.5)},
            ["not whole numbers"],
        ),
        (lambda: model(1, "sigmoid", "binary_crossentropy"), {"y": 5 * (np.arange(12) % 2)}, ["(5) with binary"]),
        (lambda: model(1, "softmax"), {}, ["softmax over one unit"]),
        (model, {"x": pd.DataFrame(X, columns=list("abc")).assign(c="red")}, ["not numbers", "column 'c'"]),
        (model, {"x": X.astype(str)}, ["x holds values that are not numbers"]),
        (model, {"sample_weight": np.zeros(12)}, ["zero in every row"]),
        (model, {"x": X[:0], "y": Y[:0]}, ["x is empty", "(0, 3)"]),
    ],
)
def test_refused(make, data, words):
    with pytest.raises(InputError) as caught:
        engine.fit(make(), **{"x": X, "y": Y, **data}, verbose=0)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("make", "data", "words"),
    [
        (model, {"x": X * [1, 1e5, 1]}, ["span many orders of magnitude", "column 1"]),
        (model, {"sample_weight": changed(np.ones(12), 3, -1)}, ["negative in 1 places"]),
        (
            lambda: model(1, "sigmoid", keras.losses.BinaryCrossentropy(from_logits=True)),
            {"y": np.arange(12) % 2},
            ["already applied a sigmoid"],
        ),
        (lambda: model(1, None, "binary_crossentropy"), {"y": np.arange(12) % 2}, ["takes probabilities"]),
    ],
)
def test_mentioned(make, data, words):
    warnings = preflight.check(make(), **{"x": X, "y": Y, **data})
    assert len(warnings) == 1
    for word in words:
        assert word in warnings[0]


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (model, {}),
        (model, {"y": Y[:, 0]}),
        (model, {"x": pd.DataFrame(X), "y": pd.Series(Y[:, 0])}),
        (model, {"x": [X], "sample_weight": np.ones(12)}),
        (lambda: model(3, "softmax", "sparse_categorical_crossentropy"), {"y": np.arange(12) % 3}),
        (lambda: model(3, "softmax", "categorical_crossentropy"), {"y": np.eye(3)[np.arange(12) % 3]}),
        (lambda: model(1, "sigmoid", "binary_crossentropy"), {"y": np.arange(12) % 2 == 0}),
        (lambda: model(1, None, keras.losses.BinaryCrossentropy(from_logits=True)), {"y": np.arange(12) % 2}),
        (lambda: model(loss=lambda y, p: keras.ops.mean((y - p) ** 2)), {"y": np.ones((12, 3))}),
    ],
)
def test_let_through(make, data):
    assert preflight.check(make(), **{"x": X, "y": Y, **data}) == ()


def test_layers_frozen_since_compile():
    made = model()
    engine.fit(made, X, Y, verbose=0)
    made.layers[0].trainable = False
    with pytest.raises(InputError, match=f"{made.layers[0].name}.*Compile the model again"):
        engine.fit(made, X, Y, verbose=0)
    made.compile("sgd", "mse")
    assert engine.fit(made, X, Y, verbose=0).outcome == "finished"


def test_turned_off():
    made = model()
    result = engine.fit(made, changed(X, (0, 0), np.nan), Y, verbose=0, checks="off")
    assert (result.outcome, result.warnings) == ("nonfinite", ())


def test_warnings_are_in_the_result():
    assert "orders of magnitude" in engine.fit(model(), X * [1, 1e5, 1], Y, verbose=0).warnings[0]
