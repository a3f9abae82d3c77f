"""Many seeds of a user's own model: the first is `model.fit`, the others are drawn afresh."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import goodfit
from goodfit.errors import InputError


def network(*extra: keras.layers.Layer, width: int = 8) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(width, "relu", name="first"), *extra, keras.layers.Dense(1, name="last")]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(100, 3)).astype("float32")
    return x, (x @ [1.0, -2.0, 0.5] + draw.normal(size=100)).astype("float32")


@pytest.mark.parametrize("width", [8, 128])  # members batched, and one after the other
@pytest.mark.parametrize("restore", [False, True])
def test_the_first_member_is_what_keras_trains(data: tuple[np.ndarray, np.ndarray], width: int, restore: bool) -> None:
    settings: dict[str, Any] = {"batch_size": 16, "epochs": 40, "validation_split": 0.25, "verbose": 0}
    layer = keras.layers.Dropout(0.2)
    ours, keras_own = network(layer, width=width), network(keras.layers.Dropout(0.2), width=width)
    keras_own.layers[1].seed_generator.state.assign(ours.layers[1].seed_generator.state.value)

    def stopping() -> list[keras.callbacks.Callback]:
        return [keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)] if restore else []

    np.random.seed(5)
    result = goodfit.fit(ours, *data, **settings, callbacks=stopping(), seeds=3)
    after = np.random.random()
    np.random.seed(5)
    history = keras_own.fit(*data, **settings, callbacks=stopping())
    assert after == np.random.random()
    assert list(result.history) == list(history.history)
    for name, values in history.history.items():
        np.testing.assert_allclose(result.history[name], values, rtol=1e-5)
    for mine, theirs in zip(ours.variables, keras_own.variables, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)
    assert len(ours.optimizer.variables) == len(keras_own.optimizer.variables)
    for mine, theirs in zip(ours.optimizer.variables, keras_own.optimizer.variables, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-3, atol=1e-5)


def test_the_other_members_are_drawn_from_their_own_seeds(data: tuple[np.ndarray, np.ndarray]) -> None:
    runs = [goodfit.fit(network(), *data, epochs=5, verbose=0, seeds=seeds) for seeds in ([0, 1, 2], [9, 2, 3])]
    losses = [run.curves["loss"] for run in runs]
    np.testing.assert_allclose(losses[0][2], losses[1][1], rtol=1e-5)
    # the model's own start, and one start for each of the seeds 1, 2 and 3
    assert len({float(row[0]) for row in np.concatenate(losses)}) == 4


def test_adapted_and_frozen_layers_are_carried_over(data: tuple[np.ndarray, np.ndarray]) -> None:
    from goodfit.training.recipes import redraw

    keras.utils.set_random_seed(0)
    norm = keras.layers.Normalization(name="norm")
    norm.adapt(data[0] * 10 + 3)
    base = keras.layers.Dense(4, name="base", trainable=False)
    model = keras.Sequential([keras.Input((3,)), norm, base, keras.layers.Dense(1, name="head")])
    twin = redraw(model, 7)
    for name, same in (("norm", True), ("base", True), ("head", False)):
        pairs = zip(model.get_layer(name).get_weights(), twin.get_layer(name).get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) is same, name


def test_a_custom_layer_needs_no_registration(data: tuple[np.ndarray, np.ndarray]) -> None:
    class Twice(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    result = goodfit.fit(network(Twice()), *data, epochs=3, verbose=0, seeds=2)
    assert result.curves["loss"].shape == (2, 3)


class Unbuildable(keras.Model):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(width)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("no configuration")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"callbacks": [keras.callbacks.TerminateOnNaN()]}, "TerminateOnNaN"),
        ({"callbacks": [keras.callbacks.EarlyStopping("val_loss")]}, "no validation rows"),
        ({"callbacks": [keras.callbacks.EarlyStopping("mae", mode="max")]}, "'mae'"),
        ({"steps_per_epoch": 2}, "steps_per_epoch"),
        ({"validation_freq": 2}, "validation_freq"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": [1, 1]}, "seeds is"),
    ],
)
def test_what_many_seeds_can_not_do_is_named(
    data: tuple[np.ndarray, np.ndarray], change: dict[str, Any], place: str
) -> None:
    with pytest.raises(InputError, match=place):
        goodfit.fit(network(), *data, **{"epochs": 2, "verbose": 0, "seeds": 2, **change})


def test_a_model_that_can_not_be_rebuilt_is_named(data: tuple[np.ndarray, np.ndarray]) -> None:
    model = Unbuildable(1)
    model.compile("adam", "mse")
    with pytest.raises(InputError, match="Unbuildable"):
        goodfit.fit(model, *data, epochs=2, verbose=0, seeds=2)
    assert len(goodfit.fit(model, *data, epochs=2, verbose=0).history["loss"]) == 2


@pytest.mark.parametrize("patience", [0, 1, 4])
@pytest.mark.parametrize("min_delta", [0.0, 0.05])
def test_each_patience_stops_where_keras_does(
    data: tuple[np.ndarray, np.ndarray], patience: int, min_delta: float
) -> None:
    found = []
    for seeds in (None, 3):
        stopping = keras.callbacks.EarlyStopping(patience=patience, min_delta=min_delta, restore_best_weights=True)
        model = network()
        settings: dict[str, Any] = {"epochs": 60, "validation_split": 0.25, "verbose": 0, "callbacks": [stopping]}
        np.random.seed(1)
        if seeds is None:
            model.fit(*data, **settings)
        else:
            result = goodfit.fit(model, *data, **settings, seeds=seeds)
            assert dict(result.params) == model.history.params
            assert result.history == model.history.history
        found.append((model.history.epoch, model.stop_training, stopping.stopped_epoch, stopping.best_epoch))
        assert model.history.params["steps"] == 3
    assert found[0] == found[1]
    assert len(found[0][0]) > 1


@pytest.mark.parametrize(("verbose", "says"), [(0, ""), (1, "60/60"), (2, "60/60"), ("auto", "60/60")])
def test_the_progress_of_many_seeds_is_one_bar_over_all_epochs(
    data: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str], verbose: Any, says: str
) -> None:
    goodfit.fit(network(), *data, epochs=60, verbose=verbose, seeds=2)
    said = capsys.readouterr().out
    assert (says in said) if says else (said == "")
    assert verbose != 2 or said.count("\n") == 1


def test_a_listener_is_told_in_place_of_the_bar(
    data: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    goodfit.fit(network(), *data, epochs=20, seeds=2, report=told.append)
    assert capsys.readouterr().out == ""
    assert told[-1].done == told[-1].total == 20
