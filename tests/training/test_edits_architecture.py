"""Another network in place of a model's own: the ends stay, what is between them is built anew."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit.errors import InputError
from goodfit.improvement.techniques import default_network, pretrained_network
from goodfit.training import edits, own_model
from goodfit.training.networks import cnn, mlp
from goodfit.values import Dataset


def compiled(layers, loss="mse"):
    model = keras.Sequential(layers)
    model.compile("adam", loss)
    return model


def recipe_of(model):
    return own_model.read(model, batch_size=16, epochs=3)


def dataset_of(x, y, task, classes=()):
    third = len(x) // 3
    parts = {"train": np.arange(third), "validation": np.arange(third, 2 * third), "test": np.arange(2 * third, len(x))}
    names = tuple(str(place) for place in range(x.shape[1]))
    return Dataset(x, y, task, names, "y", classes=classes, rows=np.arange(len(x)), **parts)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_default_network_of_a_table_keeps_scaling_and_output():
    x = np.random.default_rng(0).normal(5, 3, (90, 4)).astype("float32")
    scale = keras.layers.Normalization(name="scale")
    scale.adapt(x)
    head = keras.layers.Dense(2, "softplus", kernel_regularizer="l2", name="head")
    own = recipe_of(compiled([keras.Input((4,)), scale, keras.layers.Dense(3, "tanh"), head]))
    after = edits.apply(own.recipe, default_network(), x=x)
    model = own.build(after, 0)
    theirs = mlp(dataset_of(x, x[:, 0], "regression")).model["config"]["layers"]
    assert kinds(model)[1:] == ["Normalization", *[layer["class_name"] for layer in theirs[1:-1]], "Dense"]
    assert model.get_layer("hidden_1").units == 128
    np.testing.assert_array_equal(model.get_layer("scale").mean, scale.mean)
    kept = model.get_layer("head")
    assert (kept.units, kept.activation, kept.kernel_regularizer.l2) == (2, head.activation, head.kernel_regularizer.l2)
    assert model.get_layer("head").kernel.shape == (128, 2)
    assert after.loss == own.recipe.loss
    assert after.optimizer == own.recipe.optimizer


def test_the_default_network_in_its_own_place_is_no_change():
    x = np.random.default_rng(0).normal(size=(90, 4)).astype("float32")
    own = recipe_of(compiled([keras.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)]))
    default = edits.apply(own.recipe, default_network(), x=x)
    with pytest.raises(InputError, match="would leave the recipe as it is"):
        edits.apply(default, default_network(), x=x)


def test_the_default_network_of_images_is_that_of_train():
    x = np.random.default_rng(0).random((60, 16, 16, 1)).astype("float32")
    layers = [keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(4, "relu")]
    own = recipe_of(
        compiled([*layers, keras.layers.Dense(3), keras.layers.Softmax()], "sparse_categorical_crossentropy")
    )
    model = own.build(edits.apply(own.recipe, default_network(), x=x), 0)
    y = np.arange(60) % 3
    theirs = [
        layer["class_name"] for layer in cnn(dataset_of(x, y, "multiclass", ("a", "b", "c"))).model["config"]["layers"]
    ]
    ours = ["RandomShift", *kinds(model)[1:-1]]
    assert ours == theirs[1:]
    assert kinds(model)[-1] == "Softmax"
    assert model.output_shape == (None, 3)


def test_improve_tries_it_and_the_better_network_is_kept():
    draw = np.random.default_rng(1)
    x = draw.uniform(-2, 2, (300, 2)).astype("float32")
    y = (np.sin(3 * x[:, :1]) * x[:, 1:]).astype("float32") + 0.05 * draw.normal(size=(300, 1)).astype("float32")
    model = compiled([keras.Input((2,)), keras.layers.Dense(1, "tanh"), keras.layers.Dense(1)])
    study = goodfit.improve(model, x, y, epochs=40, seeds=4, changes=["default-network"], rounds=1)
    assert [trial.change.name for trial in study.trials if trial.kept and trial.change] == ["default-network"]
    assert study.best_model.get_layer("hidden_2").units == 128


@pytest.mark.slow
def test_a_pretrained_network_gives_its_own_features_to_every_seed():
    from goodfit.training import architectures

    draw = np.random.default_rng(2)
    x = draw.integers(0, 256, (40, 24, 24, 1)).astype("float32")
    layers = [keras.Input((24, 24, 1)), keras.layers.Flatten(), keras.layers.Dense(4, "relu")]
    own = recipe_of(
        compiled([*layers, keras.layers.Dense(2, "softmax", name="head")], "sparse_categorical_crossentropy")
    )
    after = edits.apply(own.recipe, pretrained_network(), x=x)
    one, other = own.build(after, 0), own.build(after, 1)
    base = architectures.build("MobileNetV2", (96, 96, 3), weights="installed")
    known = base.predict(keras.ops.image.resize(np.repeat(x[:8], 3, axis=-1), (96, 96)), verbose=0)
    for model in (one, other):
        features = keras.Model(model.input, model.get_layer("head").input).predict(x[:8], verbose=0)
        np.testing.assert_allclose(features, known, rtol=1e-4, atol=1e-5)
        assert [v.path.split("/")[-2] for v in model.trainable_variables] == ["head", "head"]
    assert not np.array_equal(one.get_layer("head").kernel, other.get_layer("head").kernel)
    unit = own.build(edits.apply(own.recipe, pretrained_network(), x=x / 255), 0)
    features = keras.Model(unit.input, unit.get_layer("head").input).predict(x[:8] / 255, verbose=0)
    np.testing.assert_allclose(features, known, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_improve_computes_its_features_once():
    draw = np.random.default_rng(3)
    y = np.arange(120) % 2
    x = draw.random((120, 16, 16, 3)).astype("float32") * 0.3
    x[y == 1, 4:12, 4:12] += 0.5
    layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "relu")]
    model = compiled([*layers, keras.layers.Dense(2, "softmax")], "sparse_categorical_crossentropy")
    study = goodfit.improve(model, x, y, epochs=5, seeds=2, changes=["pretrained-network"], rounds=1)
    tried = study.trials[1]
    assert tried.change.name == "pretrained-network"
    assert np.isfinite(tried.comparison.effect)
    assert tried.run.curves["loss"].shape == (2, 5)


@pytest.mark.parametrize(
    ("model", "x", "says"),
    [
        ("two", np.ones((9, 3)), "several inputs or outputs"),
        ("conv", np.ones((9, 8, 8, 1)), "no dense one"),
        ("plain", {"a": np.ones((9, 3))}, "neither one table of numbers nor images"),
        ("plain", np.ones((9, 3)), "these rows are none"),
    ],
)
def test_what_it_can_not_replace(model, x, says):
    if model == "two":
        inputs = keras.Input((3,))
        built = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])
        built.compile("adam", ["mse", "mse"])
    elif model == "conv":
        built = compiled([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Conv2D(1, 3)])
    else:
        built = compiled([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    change = pretrained_network() if "none" in says else default_network()
    with pytest.raises(InputError, match=says):
        edits.apply(recipe_of(built).recipe, change, x=x)
