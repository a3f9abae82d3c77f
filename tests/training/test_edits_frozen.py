"""Unfreezing reused layers as a change: the model that comes out, and the weights that it starts from."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit import InputError, transfer
from goodfit.improvement.techniques import unfreeze_all_layers, unfreeze_top_layers
from goodfit.training import edits, own_model

L = keras.layers


def transferred(nested=False):
    keras.utils.set_random_seed(0)
    body = [L.Dense(8, "relu", name="low"), L.BatchNormalization(name="norm"), L.Dense(6, "relu", name="high")]
    if nested:
        base = keras.Sequential([keras.Input((4,)), *body], name="base")
        base.trainable = False
        model = keras.Sequential([keras.Input((4,)), base, L.Dense(2, "softmax", name="head")])
    else:
        model = transfer(keras.Sequential([keras.Input((4,)), *body, L.Dense(3)]), 2)
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("change", "trained"),
    [(unfreeze_top_layers(1), ["high", "head"]), (unfreeze_all_layers(), ["low", "high", "head"])],
)
def test_the_last_frozen_layers_are_trained_from_the_weights_they_have(nested, change, trained):
    model = transferred(nested)
    own = own_model.read(model, batch_size=16, epochs=2)
    after = own.build(edits.apply(own.recipe, change), seed=7)
    layers = {path.rsplit("/")[-1]: layer for path, layer in own_model.layers(after)}
    before = {path.rsplit("/")[-1]: layer for path, layer in own_model.layers(model)}
    assert [name for name, layer in layers.items() if layer.trainable_weights] == trained
    trainable = {id(variable) for variable in after.trainable_variables}
    assert all(id(layers[name].weights[0]) in trainable for name in trained)
    for name in ("low", "high"):
        np.testing.assert_array_equal(layers[name].get_weights()[0], before[name].get_weights()[0])


def test_where_nothing_is_frozen_it_does_not_apply():
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    model.compile("adam", "mse")
    own = own_model.read(model, batch_size=16, epochs=2)
    with pytest.raises(InputError, match="no layer is frozen"):
        edits.apply(own.recipe, unfreeze_all_layers())


def test_improve_tries_it():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 4)).astype("float32")
    y = (np.sin(3 * x[:, 0]) + x[:, 1] > 0).astype("int32")
    study = goodfit.improve(
        transferred(), x, y, batch_size=16, epochs=12, seeds=3, changes=["unfreeze-all-layers"], rounds=1
    )
    assert [trial.change.name for trial in study.trials if trial.change] == ["unfreeze-all-layers"]
