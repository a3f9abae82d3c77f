# ruff: noqa: C408
"""The kinds of input that Keras takes: the same result as `model.fit`, and how each one ran."""

import grain
import jax.numpy as jnp
import keras
import numpy as np
import pandas as pd
import pytest
import torch
from keras import layers

import goodfit
from goodfit.training import preflight

N = 44
slow = pytest.mark.slow
# Keras says so of every stream whose length it can't know, at the end of its first epoch.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")


def model():
    made = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dropout(0.2), layers.Dense(1)]
    )
    made.compile(keras.optimizers.Adam(0.02), "mse", metrics=["mae"])
    return made


def two_inputs():
    left, right = keras.Input((4,), name="left"), keras.Input((2,), name="right")
    hidden = layers.Dense(8, activation="relu")(layers.Concatenate()([left, right]))
    made = keras.Model([left, right], layers.Dense(1, name="out")(hidden))
    made.compile("sgd", "mse")
    return made


def by_name():
    left, right = keras.Input((4,), name="left"), keras.Input((2,), name="right")
    hidden = layers.Dense(8, activation="relu")(layers.Concatenate()([left, right]))
    outputs = {"sum": layers.Dense(1, name="sum")(hidden), "sign": layers.Dense(1, "sigmoid", name="sign")(hidden)}
    made = keras.Model({"left": left, "right": right}, outputs)
    made.compile("sgd", {"sum": "mse", "sign": "binary_crossentropy"}, loss_weights={"sum": 0.3, "sign": 1.0})
    return made


def kinds(x, y):
    """name -> (model, arguments of fit) for all that is held as arrays."""
    frame = pd.DataFrame(x, columns=list("abcdef"))
    weights = np.linspace(0.5, 1.5, len(x))
    left, right = x[:, :4], x[:, 4:]
    named = {"sum": y, "sign": (y > 0).astype("float32")}
    return {
        "numpy": (model, dict(x=x, y=y, sample_weight=weights)),
        "numpy-float64": (model, dict(x=x.astype("float64"), y=y.astype("float64")[:, 0])),
        "numpy-integers": (model, dict(x=np.arange(x.size).reshape(x.shape) % 7, y=(y > 0)[:, 0])),
        "numpy-strided": (model, dict(x=np.asfortranarray(x), y=y[::-1])),
        "jax": (model, dict(x=jnp.asarray(x), y=jnp.asarray(y), sample_weight=jnp.asarray(weights))),
        "torch": (model, dict(x=torch.tensor(x), y=torch.tensor(y), sample_weight=torch.tensor(weights))),
        "torch-double": (model, dict(x=torch.tensor(x).double(), y=torch.tensor(y)[:, 0])),
        "pandas": (model, dict(x=frame, y=pd.Series(y[:, 0]), sample_weight=pd.Series(weights))),
        "pandas-shuffled-index": (model, dict(x=frame.iloc[::-1], y=pd.Series(y[:, 0]).iloc[::-1])),
        "pandas-mixed": (
            model,
            dict(x=frame.assign(a=range(len(x)), b=frame["b"].astype("float64")), y=pd.DataFrame(y)),
        ),
        "mixed-kinds": (model, dict(x=frame, y=torch.tensor(y), sample_weight=jnp.asarray(weights))),
        "list-of-arrays": (two_inputs, dict(x=[left, right], y=y)),
        "tuple-of-tensors": (two_inputs, dict(x=(torch.tensor(left), right), y=[y])),
        "dict": (by_name, dict(x={"left": left, "right": right}, y=named)),
        "dict-of-frames": (
            by_name,
            dict(x={"right": frame[["e", "f"]], "left": frame[list("abcd")]}, y=named, sample_weight=None),
        ),
    }


NAMES = list(kinds(np.zeros((2, 6), "float32"), np.zeros((2, 1), "float32")))
FAST = ("jax", "torch", "pandas-mixed", "mixed-kinds", "list-of-arrays", "dict-of-frames")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else slow) for n in NAMES])
def test_arrays_of_every_kind_run_compiled(parity, rows, name):
    make, given = kinds(*rows(N))[name]
    parity(make, lambda _: dict(given, epochs=3, batch_size=16, validation_split=0.25))


@slow
@pytest.mark.parametrize("name", ["torch", "pandas", "dict-of-frames", "list-of-arrays"])
def test_arrays_of_every_kind_validate(parity, rows, name):
    x, y = rows(N)
    make, given = kinds(x, y)[name]
    _, other = kinds(*rows(20, seed=4))[name]
    validation = tuple(v for v in other.values() if v is not None)
    parity(make, lambda _: dict(given, epochs=3, batch_size=16, validation_data=validation))


@pytest.mark.parametrize("name", NAMES)
def test_the_preflight_understands_them_and_sees_a_nan(rows, name):
    x, y = rows(N)
    make, given = kinds(x, y)[name]
    preflight.check(make(), **given)
    if name == "numpy-integers":
        return
    x[7, 3] = np.nan
    make, given = kinds(x, y)[name]
    with pytest.raises(goodfit.InputError, match=r"NaN in 1 of 44 rows \(row (7|36)\), in column"):
        preflight.check(make(), **given)


class Batches(keras.utils.PyDataset):
    """Batches of rows, in an order of its own each epoch."""

    def __init__(self, x, y, size=10, endless=False):
        super().__init__()
        self.x, self.y, self.size, self.endless = x, y, size, endless

    @property
    def num_batches(self):
        return None if self.endless else -(-len(self.x) // self.size)

    def __getitem__(self, place):
        start = place * self.size % len(self.x)
        return self.x[start : start + self.size], self.y[start : start + self.size]

    def on_epoch_end(self):
        self.x, self.y = np.roll(self.x, 3, axis=0), np.roll(self.y, 3, axis=0)


def loader(x, y, **options):
    rows = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
    order = torch.Generator()
    order.manual_seed(5)
    return torch.utils.data.DataLoader(rows, batch_size=10, generator=order, **options)


def stream(x, y, count):
    """A generator of batches."""
    for place in range(count):
        part = np.arange(place * 10, place * 10 + 10) % len(x)
        yield x[part], y[part]


def grain_rows(x, y):
    source = [(x[place], y[place]) for place in range(len(x))]
    return grain.MapDataset.source(source).seed(3).shuffle()


STREAMS = {
    "pydataset": ("Batches", lambda x, y: dict(x=Batches(x, y), epochs=3)),
    "pydataset-in-order": ("Batches", lambda x, y: dict(x=Batches(x, y), epochs=3, shuffle=False)),
    "pydataset-weighted": ("Batches", lambda x, y: dict(x=Batches(x, y > 0), epochs=2, class_weight={0: 1.0, 1: 3.0})),
    "pydataset-endless": (
        "Batches",
        lambda x, y: dict(x=Batches(x, y, endless=True), epochs=3, steps_per_epoch=4, shuffle=False),
    ),
    "dataloader": ("DataLoader", lambda x, y: dict(x=loader(x, y, shuffle=False), epochs=3, shuffle=False)),
    "dataloader-shuffled": ("DataLoader", lambda x, y: dict(x=loader(x, y, shuffle=True), epochs=3, shuffle=False)),
    "generator": ("generator", lambda x, y: dict(x=stream(x, y, 12), epochs=3, steps_per_epoch=4, shuffle=False)),
    "generator-once": ("generator", lambda x, y: dict(x=stream(x, y, 5), epochs=1, shuffle=False)),
    "grain-map": (
        "ShuffleMapDataset|BatchMapDataset",
        lambda x, y: dict(x=grain_rows(x, y).batch(10), epochs=3, shuffle=False),
    ),
    "grain-iter": (
        "IterDataset",
        lambda x, y: dict(x=grain_rows(x, y).to_iter_dataset().batch(10), epochs=3, shuffle=False),
    ),
}


QUICK = ("pydataset", "dataloader-shuffled", "generator", "grain-map")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else slow) for n in STREAMS])
def test_streams_run_on_keras_own_loop_and_say_so(parity, rows, name):
    kind, give = STREAMS[name]
    x, y = rows(N)
    _, results = parity(model, lambda _: give(x, y), runs_as="keras")
    reason = results[0].engine_reason
    assert any(word in reason for word in [*kind.split("|"), "steps_per_epoch"]), reason
    assert len(results[0].epoch) == give(x, y)["epochs"]


@slow
@pytest.mark.parametrize("name", ["pydataset", "dataloader", "grain-map"])
def test_streams_as_validation_data_of_arrays(parity, rows, name):
    x, y = rows(N)
    other = rows(20, seed=3)
    _, results = parity(
        model, lambda _: dict(x=x, y=y, epochs=3, validation_data=STREAMS[name][1](*other)["x"]), runs_as="keras"
    )
    assert "val_loss" in results[0].history
    assert "validation data" in results[0].engine_reason


def test_streams_through_the_public_fit_with_the_preflight(rows):
    x, y = rows(N)
    for name in ("pydataset", "dataloader", "generator", "grain-map"):
        result = goodfit.fit(model(), **STREAMS[name][1](x, y), verbose=0)
        assert result.engine == "keras"
        assert len(result.history["loss"]) == 3
        assert result.diagnosis.verdict == "insufficient-evidence"


def test_wrong_mixtures_are_refused_in_keras_own_words(rows):
    x, y = rows(N)
    with pytest.raises(ValueError, match="`y` should not be passed"):
        goodfit.fit(model(), Batches(x, y), y, verbose=0)
    with pytest.raises(ValueError, match="cardinality is ambiguous"):
        goodfit.fit(model(), x, y[:-1], verbose=0)
    with pytest.raises(ValueError, match="validation_split"):
        goodfit.fit(model(), Batches(x, y), validation_split=0.2, verbose=0)
