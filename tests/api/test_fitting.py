"""`goodfit.fit`: Keras's `fit`, its result a `Run` and all that `History` is."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from matplotlib.axes import Axes

import goodfit
from goodfit.values import EarlyStopping


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(100, 3)).astype("float32")
    return x, (x @ [1.0, -2.0, 0.5]).astype("float32")


def test_the_result_is_the_history_that_keras_returns(data: tuple[np.ndarray, np.ndarray]) -> None:
    ours, keras_own = network(), network()
    np.random.seed(1)
    result = goodfit.fit(ours, *data, batch_size=16, epochs=12, validation_split=0.25, verbose=0)
    np.random.seed(1)
    history = keras_own.fit(*data, batch_size=16, epochs=12, validation_split=0.25, verbose=0)
    assert result.history == history.history
    assert list(result.epoch) == history.epoch
    assert result.params == history.params
    assert result.model is ours
    for mine, theirs in zip(ours.get_weights(), keras_own.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)
    assert result.engine == "compiled"
    assert result.engine_reason
    assert result.outcome == "finished"


def test_the_result_is_a_run_with_its_diagnosis_and_plot(data: tuple[np.ndarray, np.ndarray]) -> None:
    result = goodfit.fit(network(), *data, epochs=30, validation_split=0.25, verbose=0)
    assert isinstance(result.run, goodfit.Run)
    assert goodfit.diagnose(result).verdict == result.diagnosis.verdict
    assert isinstance(result.plot(), Axes)
    assert result.diagnosis.verdict in result._repr_html_().lower()


def test_a_validation_every_third_epoch_stands_at_its_epochs(data: tuple[np.ndarray, np.ndarray]) -> None:
    result = goodfit.fit(network(), *data, epochs=7, validation_split=0.25, validation_freq=3, verbose=0)
    curve = result.curve("val_loss")
    assert np.flatnonzero(~np.isnan(curve)).tolist() == [2, 5]
    assert curve[[2, 5]].tolist() == result.history["val_loss"]


def test_a_run_carries_its_recipe_and_the_epoch_that_was_kept() -> None:
    x = np.random.default_rng(0).normal(size=(120, 3)).astype("float32")
    layers = [keras.layers.Dense(8, "relu", kernel_regularizer="l2"), keras.layers.Dropout(0.8), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mse"])
    stop = keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    result = goodfit.fit(
        model, x, x[:, :1], batch_size=20, epochs=12, validation_split=0.25, callbacks=[stop], verbose=0
    )
    assert result.recipe is not None
    assert (result.recipe.batch_size, result.recipe.epochs, result.recipe.loss) == (20, 12, "mse")
    assert result.recipe.optimizer["config"]["learning_rate"] == pytest.approx(0.05)
    assert result.recipe.early_stopping == EarlyStopping(3)
    assert result.kept_epoch.tolist() == [stop.best_epoch]
    slugs = {finding.slug: finding.status for finding in goodfit.diagnose(result).findings}
    assert slugs["dropout-too-strong"] != "not-applicable"
    assert slugs["regularization-too-strong"] != "not-applicable"


def test_without_arrays_no_recipe_is_made_up() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    batches = ((np.ones((4, 2)), np.ones((4, 1))) for _ in range(3))
    assert goodfit.fit(model, batches, steps_per_epoch=3, shuffle=False, verbose=0).recipe is None
