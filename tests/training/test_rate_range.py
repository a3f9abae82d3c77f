"""The learning-rate range test: what it reads from known curves, where it leads, and that it leaves no trace."""

import random

import keras
import numpy as np
import pytest

import goodfit
from goodfit import InputError
from goodfit.training.rate_range import lr_find, read


def made(optimizer="adam", seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((6,)), keras.layers.Dense(32, "relu"), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(optimizer, "mse")
    return model


def values(model):
    groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
    return [np.asarray(v.value).tobytes() for group in (*groups, model.metrics_variables) for v in group]


def test_model_optimizer_and_random_states_are_left_to_the_byte(rows):
    x, y = rows(200)
    model = made(keras.optimizers.Adam(goodfit.schedules.OneCycle(0.01, 100)))
    model.fit(x, y, epochs=2, verbose=0)
    before, states = values(model), (np.random.get_state()[1].tobytes(), random.getstate())
    lr_find(model, x, y, seeds=2, steps=60)
    assert values(model) == before
    assert (np.random.get_state()[1].tobytes(), random.getstate()) == states
    histories = []
    for look in (False, True):
        model = made(seed=3)
        model.fit(x, y, epochs=1, verbose=0)
        if look:
            lr_find(model, x, y, seeds=2, steps=60)
        histories.append(model.fit(x, y, epochs=3, verbose=0).history["loss"])
    assert histories[0] == histories[1]


def test_the_sweep_is_what_training_with_each_rate_does(rows):
    x, y = rows(64)
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    weights, bias = (np.asarray(w, np.float64) for w in model.get_weights())
    found = lr_find(model, x, y, batch_size=64, steps=40, seeds=1, lowest=1e-4, highest=0.5)
    expected = []
    for rate in found.learning_rates:  # all rows in every batch: plain gradient descent
        error = x @ weights + bias - y
        expected.append(float(np.mean(error**2)))
        weights, bias = weights - rate * 2 * x.T @ error / 64, bias - rate * 2 * error.mean(axis=0)
    np.testing.assert_allclose(found.losses[0], expected, rtol=2e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_the_suggestion_trains_well(optimizer, rows):
    x, y = rows(400)
    found = lr_find(made(optimizer), x, y)
    assert found.suggestion is not None, found.reason
    ends = []
    for factor in (0.01, 1.0, 100.0):
        model = made(optimizer, seed=1)
        model.optimizer.learning_rate = min(found.suggestion * factor, 90.0)
        loss = goodfit.fit(model, x, y, epochs=15, verbose=0, checks="off").history["loss"][-1]
        ends.append(loss if np.isfinite(loss) else np.inf)
    assert ends[1] < ends[0]
    assert ends[1] < ends[2]


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1])
def test_the_reading_is_robust_to_noise(noise):
    grid = np.geomspace(1e-7, 10, 200)
    clean = 1 / (1 + (grid / 3e-3) ** 2) + (grid / 0.3) ** 2
    found = [read(grid, clean * np.exp(noise * np.random.default_rng(s).normal(size=(3, 200)))) for s in range(20)]
    rates = np.array([one.suggestion for one in found], dtype=float)
    assert np.isfinite(rates).all()
    assert 1e-3 < rates.min() <= rates.max() < 3e-2


def test_flat_and_exploding_curves_suggest_nothing_and_say_why():
    grid = np.geomspace(1e-7, 10, 200)
    generator = np.random.default_rng(0)
    flat = read(grid, 1 + 0.1 * generator.normal(size=(3, 200)))
    assert flat.suggestion is None
    assert "falls at no rate" in flat.reason
    lost = np.full((3, 200), np.inf)
    lost[:, :3] = 1.0
    assert read(grid, lost).suggestion is None
    one_spike = 1 / (1 + grid / 1e-3)[None].repeat(3, axis=0)
    one_spike[1, 40] = 1e6
    assert read(grid, one_spike).suggestion is not None


def test_bad_arguments_are_refused(rows):
    x, y = rows(20)
    model = made()
    rates = ({"lowest": 0.0}, {"lowest": 1.0, "highest": 0.1}, {"highest": 1e9})
    for arguments in (*rates, {"steps": 3}, {"seeds": 0}, {"batch_size": 0}):
        with pytest.raises(InputError):
            lr_find(model, x, y, **arguments)


def test_the_plot_marks_the_suggestion(rows):
    from matplotlib.figure import Figure

    x, y = rows(100)
    ax = lr_find(made(), x, y, steps=60, seeds=2).plot(Figure().subplots())
    assert any("suggestion" in text.get_text() for text in ax.get_legend().get_texts())
    assert ax.get_xscale() == "log"
