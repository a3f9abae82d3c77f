"""Epochs that take long, in spans of steps: what Keras does to the bit, a bar that moves, Ctrl-C within the epoch."""

import signal

import keras
import numpy as np
import pytest
from keras import layers as L

from goodfit.training import engine, spans
from goodfit.training.keras_internals import Rows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 5)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


@pytest.fixture(autouse=True)
def _all_are_long(monkeypatch):
    monkeypatch.setattr(spans, "LONG", -1.0)


def network():
    model = keras.Sequential([keras.Input((5,)), L.Dense(8, "relu"), L.Dropout(0.2), L.Dense(1)])
    model.compile("adam", "mse", metrics=["mae", keras.metrics.R2Score()])
    return model


OPTIONS = {
    "shuffled": {},
    "in order": {"shuffle": False},
    "batch by batch": {"shuffle": "batch"},
    "one batch": {"batch_size": 500},
    "validated": {"validation_split": 0.2},
    "validated now and then": {"validation_split": 0.2, "validation_freq": 2},
    "weighted": {"sample_weight": np.linspace(0.5, 2.0, 203), "validation_data": (X[:50], Y[:50])},
    "stopped": {
        "validation_split": 0.3,
        "callbacks": lambda: [keras.callbacks.EarlyStopping(patience=0, min_delta=10.0, restore_best_weights=True)],
    },
    "ended at NaN": {"callbacks": lambda: [keras.callbacks.TerminateOnNaN()]},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_epoch_in_spans_is_that_of_keras(parity, name, monkeypatch):
    monkeypatch.setattr(spans, "SPAN_SECONDS", 1e-9)  # so many spans as steps
    given = {"x": X, "y": Y, "batch_size": 16, "epochs": 4, **OPTIONS[name]}
    made = given.pop("callbacks", list)
    parity(network, lambda _: {**given, "callbacks": made()}, runs_as="compiled-epoch")


def test_a_loss_that_is_no_number_ends_the_epoch_at_its_step(parity):
    broken = Y.copy()
    broken[100] = np.nan
    parity(
        network,
        lambda _: {"x": X, "y": broken, "batch_size": 16, "epochs": 2, "callbacks": [keras.callbacks.TerminateOnNaN()]},
        runs_as="compiled-epoch",
    )


def test_the_bar_moves_within_the_epoch(monkeypatch, capsys):
    monkeypatch.setattr(spans, "SPAN_SECONDS", 1e-9)
    monkeypatch.setattr(spans, "SHOWN_EVERY", 0.0)
    shown = []
    told = keras.callbacks.ProgbarLogger.on_train_batch_end
    monkeypatch.setattr(
        keras.callbacks.ProgbarLogger,
        "on_train_batch_end",
        lambda self, batch, logs=None: (shown.append((batch, logs["loss"])), told(self, batch, logs)),
    )
    model = network()
    result = engine.fit(model, X, Y, batch_size=16, epochs=2, verbose=1)
    assert [batch for batch, _ in shown] == [*range(12), *range(12)]
    assert "13/13" in capsys.readouterr().out
    assert all(np.isfinite(loss) for _, loss in shown)
    assert "spans of steps" in result.engine_reason


def test_ctrl_c_is_answered_within_the_epoch(monkeypatch):
    monkeypatch.setattr(spans, "SPAN_SECONDS", 1e-9)
    monkeypatch.setattr(spans, "SHOWN_EVERY", 0.0)
    real = spans.logs_after

    def pressed(*given):
        signal.raise_signal(signal.SIGINT)
        return real(*given)

    monkeypatch.setattr(spans, "logs_after", pressed)
    keras.utils.set_random_seed(0)
    model = network()
    result = engine.fit(model, X, Y, batch_size=16, epochs=2, verbose=1, shuffle=False)
    assert result.outcome == "interrupted"
    steps = int(model.optimizer.iterations.value)
    assert steps == 2  # it was pressed after the first
    keras.utils.set_random_seed(0)
    by_keras = network()
    for start in (0, 16):
        by_keras.train_on_batch(X[start : start + 16], Y[start : start + 16])
    for ours, theirs in zip(model.get_weights(), by_keras.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("layers", "shape", "expected"),
    [
        ([L.Dense(7), L.Dense(2)], (5,), 5 * 7 + 7 * 2),
        ([L.Conv2D(4, 3), L.Flatten(), L.Dense(2)], (8, 8, 3), 6 * 6 * 4 * 9 * 3 + 6 * 6 * 4 * 2),
        ([L.LSTM(6), L.Dense(1)], (10, 3), 10 * (3 + 6) * 24 + 6),
        ([L.TimeDistributed(L.Dense(4)), L.Flatten(), L.Dense(1)], (10, 3), 10 * 3 * 4 + 40),
        ([L.Embedding(100, 8), L.GlobalAveragePooling1D(), L.Dense(1)], (12,), 8),
    ],
)
def test_products_of_a_row(layers, shape, expected):
    assert spans.products(keras.Sequential([keras.Input(shape), *layers])) == expected


def test_only_what_takes_long_runs_in_spans(monkeypatch):
    monkeypatch.undo()
    model = network()
    short = Rows((X, Y), 203, 16, True)
    assert not spans.is_long(model, short)
    assert spans.is_long(model, Rows((X, Y), 10**9, 32, True))
    assert engine.fit(model, X, Y, batch_size=16, epochs=2, verbose=0).engine == "compiled"
