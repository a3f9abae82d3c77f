"""An existing model tried as it is, on a small sample and in full."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit import InputError, Stage

L = keras.layers
SHORT = [Stage(8), Stage(4, unfreeze="all")]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype(int) + (x[:, 2] > 1)


@pytest.fixture(scope="module")
def source(rows):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), L.Dense(16, "relu"), L.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    goodfit.fit(model, *rows, epochs=30, verbose=0)
    return model


def test_the_three_attempts_in_their_order(rows, source):
    before = source.get_weights()
    x, y = rows
    held = (x[200:], y[200:])
    tried = goodfit.try_existing(source, x[:200], y[:200], validation_data=held, sample=30, stages=SHORT)
    as_is, small, full = tried.attempts
    expected = source.evaluate(*held, verbose=0, return_dict=True)
    assert as_is.loss == pytest.approx(expected["loss"], rel=1e-4)
    assert as_is.accuracy == pytest.approx(expected["accuracy"])
    assert (as_is.rows, small.rows, full.rows) == (0, 30, 200)
    assert small.run.stages[0] == full.run.stages[0] == 0
    assert len(full.run.stages) == 2
    assert full.loss == pytest.approx(tried.model.evaluate(*held, verbose=0)[0])
    assert full.loss < tried.chance
    assert "without any training" in str(tried)
    assert "chance: loss" in str(tried)
    assert all(np.array_equal(a, b) for a, b in zip(before, source.get_weights(), strict=True))
    share = (np.bincount(y[:200]) + 1) / 203
    assert tried.chance == pytest.approx(-np.mean(np.log(share[y[200:]])))


def test_other_classes_can_not_be_compared_as_it_is(rows, source):
    x, y = rows
    tried = goodfit.try_existing(source, x, y.clip(0, 1), sample=30, stages=[Stage(2)])
    assert tried.attempts[0].loss is None
    assert "3 classes apart, and the target has 2" in tried.attempts[0].message
    assert tried.model.output_shape == (None, 2)


def test_quantities(rows):
    x, _ = rows
    y = (x @ np.arange(6.0)).astype("float32")
    source = keras.Sequential([keras.Input((6,)), L.Dense(8, "relu"), L.Dense(1)])
    tried = goodfit.try_existing(source, x, y, sample=30, stages=[Stage(3)], optimizer=keras.optimizers.Adam(0.01))
    loss = tried.attempts[0].loss
    held = np.random.default_rng(0).permutation(300)[:60]
    assert loss == pytest.approx(float(np.mean((source.predict(x[held], verbose=0)[:, 0] - y[held]) ** 2)), rel=1e-4)
    assert tried.attempts[1].accuracy is None


def test_logits_are_read_as_such(rows, source):
    x, y = rows
    logits = keras.Sequential([keras.Input((6,)), L.Dense(16, "relu"), L.Dense(3)])
    logits.set_weights(source.get_weights())
    tried = [goodfit.try_existing(model, x, y, sample=20, stages=[Stage(1)]).attempts[0] for model in (source, logits)]
    assert tried[0].loss == pytest.approx(tried[1].loss, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"sample": 1000}, "sample of 1000 rows"),
        ({"y": np.zeros(3, int)}, "300 rows and y has 3"),
        ({"x": np.zeros((300, 9), "float32")}, r"takes rows of shape \(6,\); these have \(9,\)"),
        ({"source": "nowhere.keras"}, "no file"),
        ({"head": 1}, "no number of classes"),
    ],
)
def test_what_cannot_be_meant(rows, source, arguments, says):
    x, y = rows
    with pytest.raises(InputError, match=says):
        goodfit.try_existing(**{"source": source, "x": x, "y": y, "stages": [Stage(1)], **arguments})


def test_grey_images_in_a_colour_network_are_told():
    source = keras.Sequential([keras.Input((4, 4, 3)), L.Flatten(), L.Dense(2)])
    with pytest.raises(InputError, match="grey"):
        goodfit.try_existing(source, np.zeros((20, 4, 4, 1), "float32"), np.arange(20) % 2, sample=5)
