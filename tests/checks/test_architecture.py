"""Checks of the recipe: fire on a planted fault, stay clear on sound recipes, are not applicable without one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from goodfit.checks import diagnose
from goodfit.values import Recipe

SLUGS = (
    "output-loss-mismatch", "initialization-activation-mismatch", "selu-conditions", "batch-norm-small-batch",
    "dropout-too-strong", "regularization-too-strong", "regularization-on-unscaled-inputs",
)  # fmt: skip


def dense(units, activation="relu", initializer="HeNormal", given=None, **config):
    made = {"module": "keras.initializers", "class_name": initializer, "config": given or {}}
    name = f"dense_{units}_{activation}"
    config = {"name": name, "units": units, "activation": activation, "kernel_initializer": made, **config}
    return {"class_name": "Dense", "config": config}


def layer(kind, **config):
    return {"class_name": kind, "config": {"name": kind.lower(), **config}}


def recipe(*parts, loss="mean_squared_error", out=None, **fields):
    """A Sequential model of 5 inputs, `parts`, and an output layer."""
    parts = [layer("InputLayer", batch_shape=[None, 5]), *parts, out or dense(1, "linear", "GlorotUniform")]
    model = {"class_name": "Sequential", "config": {"name": "m", "layers": parts}}
    optimizer = fields.pop("optimizer", {"class_name": "Adam", "config": {"learning_rate": 0.001}})
    return Recipe(model, optimizer, loss, batch_size=fields.pop("batch_size", 32), **fields)


def stuck(make, recipe, floor=0.9, above=0.01, **fields):
    fields.setdefault("measurements", {"chance_loss": 1.0})
    return make.run(make.fall(floor=floor), make.fall(floor=floor + above), seeds=3, recipe=recipe, **fields)


SOUND = [
    recipe(dense(32), dense(32)),
    recipe(dense(32, "tanh", "GlorotUniform"), layer("Dropout", rate=0.3)),
    recipe(dense(32, "selu", "LecunNormal"), layer("AlphaDropout", rate=0.1), dense(32, "selu", "LecunNormal")),
    recipe(dense(32, "linear"), layer("BatchNormalization"), layer("ReLU")),
    recipe(dense(32, kernel_regularizer={"class_name": "L2", "config": {"l2": 1e-4}})),
    recipe(dense(32, initializer="RandomNormal", given={"stddev": 0.5})),
]


@pytest.mark.parametrize("slug", SLUGS)
def test_not_applicable_without_a_recipe(make, slug):
    assert make.finding(slug, make.healthy()).status == "not-applicable"


@pytest.mark.parametrize("sound", SOUND)
@pytest.mark.parametrize("floor", [0.1, 0.9])
def test_sound_recipes_raise_nothing(make, sound, floor):
    data = make.dataset()
    for slug in SLUGS:
        assert make.finding(slug, stuck(make, sound, floor), data).status != "found", slug
    healthy = diagnose(make.healthy(recipe=sound, measurements={"chance_loss": 1.0}), data)
    assert healthy.found == ()


@pytest.mark.parametrize(
    ("loss", "units", "activation", "task", "fault"),
    [
        ("mean_squared_error", 1, "linear", "regression", None),
        ("mean_squared_error", 1, "softmax", "regression", "always gives 1"),
        ("mean_squared_error", 1, "sigmoid", "regression", "out of the range of sigmoid"),
        ("mean_squared_error", 1, "relu", "regression", "out of the range of relu"),
        ("binary_crossentropy", 1, "linear", "regression", "probabilities"),
        ("binary_crossentropy", 1, "sigmoid", "regression", "a quantity"),
        ("binary_crossentropy", 1, "sigmoid", "binary", None),
        ("binary_crossentropy", 1, "linear", "binary", "takes probabilities"),
        ("binary_crossentropy", 1, "relu", "binary", "takes probabilities"),
        ("mean_squared_error", 1, "sigmoid", "binary", "a distance"),
        ("sparse_categorical_crossentropy", 3, "softmax", "multiclass", None),
        ("sparse_categorical_crossentropy", 3, "linear", "multiclass", "probabilities over the classes"),
        ("sparse_categorical_crossentropy", 1, "sigmoid", "multiclass", "one unit"),
        ("sparse_categorical_crossentropy", 2, "softmax", "multiclass", "3 classes and 2"),
        (("SparseCategoricalCrossentropy", {"from_logits": True}), 3, "linear", "multiclass", None),
        (("SparseCategoricalCrossentropy", {"from_logits": True}), 3, "softmax", "multiclass", "takes logits"),
        (("BinaryCrossentropy", {"from_logits": True}), 1, "sigmoid", "binary", "takes logits"),
    ],
)
def test_output_and_loss(make, loss, units, activation, task, fault):
    if isinstance(loss, tuple):
        loss = {"class_name": loss[0], "config": loss[1]}
    run = make.healthy(recipe=recipe(dense(8), out=dense(units, activation), loss=loss), task=task)
    found = make.finding("output-loss-mismatch", run, make.dataset(task=task))
    assert found.status == ("clear" if fault is None else "found")
    if fault is not None:
        assert fault in found.message
        assert found.changes[0].name == "correct-output"
        right = {"regression": "linear", "binary": "sigmoid", "multiclass": "softmax"}[task]
        assert found.changes[0].edits["layers"]["output"]["set"]["activation"] == right


def test_shares_and_several_labels_may_have_a_cross_entropy(make):
    run = make.healthy(recipe=recipe(dense(8), out=dense(2, "sigmoid"), loss="binary_crossentropy"), task="regression")
    assert make.finding("output-loss-mismatch", run).status == "clear"
    data = make.dataset()
    shares = dataclasses.replace(data, y=(data.y - data.y.min()) / np.ptp(data.y))
    assert make.finding("output-loss-mismatch", run, shares).status == "clear"
    assert "a quantity" in make.finding("output-loss-mismatch", run, data).message


def test_several_outputs_are_left_alone(make):
    model = {"class_name": "Functional", "config": {"layers": [dense(1)], "output_layers": [["a", 0, 0], ["b", 0, 0]]}}
    run = make.healthy(recipe=Recipe(model, {"config": {}}, "mse"))
    assert make.finding("output-loss-mismatch", run).status == "not-applicable"


@pytest.mark.parametrize("kind", ["Zeros", "Ones", "Constant"])
def test_constant_kernels(make, kind):
    run = make.healthy(recipe=recipe(dense(8), dense(8, initializer=kind)))
    found = make.finding("initialization-activation-mismatch", run)
    assert (found.status, found.severity) == ("found", "high")


@pytest.mark.parametrize(
    ("activation", "deviation", "suited", "change"),
    [
        ("relu", 3.0, (2 / 5) ** 0.5, "he-normal-initialization"),
        ("relu", 0.001, (2 / 5) ** 0.5, "he-normal-initialization"),
        ("sigmoid", 3.0, (1 / 5) ** 0.5, "glorot-uniform-initialization"),
        ("selu", 3.0, (1 / 5) ** 0.5, "lecun-normal-initialization"),
    ],
)
def test_a_draw_far_too_wide_or_narrow(make, activation, deviation, suited, change):
    given = {"stddev": deviation}
    run = stuck(make, recipe(dense(8, activation, "RandomNormal", given)))
    found = make.finding("initialization-activation-mismatch", run)
    assert found.status == "found"
    assert found.evidence[0].value == pytest.approx(deviation / suited)
    assert found.changes[0].name == change
    learns = make.finding("initialization-activation-mismatch", make.healthy(recipe=run.recipe))
    assert learns.status == "clear"
    with_norm = stuck(make, recipe(dense(8, activation, "RandomNormal", given), layer("BatchNormalization")))
    assert make.finding("initialization-activation-mismatch", with_norm).status == "clear"


def test_a_uniform_draw_and_one_of_later_layers(make):
    given = {"minval": -2.0, "maxval": 2.0}
    run = stuck(make, recipe(dense(8), dense(50, initializer="RandomUniform", given=given)))
    found = make.finding("initialization-activation-mismatch", run)
    assert found.evidence[0].value == pytest.approx(4 / 12**0.5 / (2 / 8) ** 0.5)


def test_selu(make):
    he = [dense(8, "selu") for _ in range(4)]
    assert make.finding("selu-conditions", make.healthy(recipe=recipe(*he))).severity == "low"
    assert make.finding("selu-conditions", make.healthy(recipe=recipe(*he[:2]))).status == "clear"
    found = make.finding("selu-conditions", stuck(make, recipe(*he[:2])))
    assert (found.status, found.changes[0].name) == ("found", "selu-network")
    plain = recipe(dense(8, "selu", "LecunNormal"), layer("Dropout", rate=0.3))
    assert "plain dropout" in make.finding("selu-conditions", stuck(make, plain)).message
    assert make.finding("selu-conditions", make.healthy(recipe=recipe(dense(8)))).status == "not-applicable"


@pytest.mark.parametrize(
    ("size", "status", "severity"), [(2, "found", "high"), (6, "found", "medium"), (8, "clear", "none")]
)
def test_batch_normalization_of_few_rows(make, size, status, severity):
    run = make.healthy(recipe=recipe(dense(8), layer("BatchNormalization"), batch_size=size))
    found = make.finding("batch-norm-small-batch", run)
    assert (found.status, found.severity) == (status, severity)


def test_batch_normalization_of_images_averages_over_places(make):
    run = make.healthy(recipe=recipe(layer("Conv2D", filters=4), layer("BatchNormalization"), batch_size=2))
    assert make.finding("batch-norm-small-batch", run).status == "not-applicable"


def test_dropout(make):
    strong = recipe(dense(8), layer("Dropout", rate=0.8))
    found = make.finding("dropout-too-strong", stuck(make, strong))
    assert (found.status, found.changes[0].name) == ("found", "less-dropout")
    assert make.finding("dropout-too-strong", make.healthy(recipe=strong)).status == "clear"
    overfits = stuck(make, strong, floor=0.3, above=0.5)
    assert make.finding("dropout-too-strong", overfits).status == "clear"
    hard = stuck(make, strong, measurements={"chance_loss": 1.0, "linear_loss": 0.9})
    assert make.finding("dropout-too-strong", hard).status == "clear"
    easy = stuck(make, strong, measurements={"chance_loss": 1.0, "linear_loss": 0.4})
    assert make.finding("dropout-too-strong", easy).status == "found"


@pytest.mark.parametrize(
    ("parts", "fields", "first"),
    [
        ([dense(8, kernel_regularizer={"class_name": "L2", "config": {"l2": 0.1}})], {}, "weaker-penalties"),
        (
            [dense(8, kernel_regularizer={"class_name": "L1L2", "config": {"l1": 0.01, "l2": 0.0}})],
            {},
            "weaker-penalties",
        ),
        ([dense(8)], {"optimizer": {"config": {"learning_rate": 0.001, "weight_decay": 10.0}}}, "less-weight-decay"),
    ],
)
def test_regularization(make, parts, fields, first):
    strong = recipe(*parts, **fields)
    found = make.finding("regularization-too-strong", stuck(make, strong))
    assert (found.status, found.changes[0].name) == ("found", first)
    assert make.finding("regularization-too-strong", make.healthy(recipe=strong)).status == "clear"


def test_penalties_on_unscaled_inputs(make):
    run = make.healthy(recipe=recipe(dense(8, kernel_regularizer={"class_name": "L2", "config": {"l2": 1e-4}})))
    x = make.dataset().x.copy()
    x[:, 1] *= 1000
    found = make.finding("regularization-on-unscaled-inputs", run, make.dataset(x=x))
    assert (found.status, found.changes[0].name) == ("found", "standardize-inputs")
    assert make.finding("regularization-on-unscaled-inputs", run, make.dataset()).status == "clear"
    assert make.finding("regularization-on-unscaled-inputs", run).status == "not-applicable"


def test_real_keras_configurations_are_read():
    """Nested and functional models as Keras writes them."""
    import keras

    from goodfit.checks import model_layers

    inner = keras.Sequential([keras.Input((7,)), keras.layers.Dense(6, "selu", name="deep")])
    inputs = keras.Input((7,))
    middle = keras.layers.Dense(4, kernel_regularizer="l2", name="plain")(inner(inputs))
    middle = keras.layers.BatchNormalization()(middle)
    middle = keras.layers.LeakyReLU()(middle)
    outputs = keras.layers.Dense(2, "softmax", name="end")(keras.layers.Dropout(0.4)(middle))
    config = keras.saving.serialize_keras_object(keras.Model(inputs, outputs))
    made = Recipe(config, {"config": {}}, "categorical_crossentropy")
    layers = [one for one in model_layers.read(made) if one.weighted]
    assert [(one.config["name"], one.activation, one.inputs, one.units) for one in layers] == [
        ("deep", "selu", 7, 6),
        ("plain", "leaky_relu", 6, 4),
        ("end", "softmax", 4, 2),
    ]
    assert model_layers.hidden_activations(made) == {"selu", "leaky_relu"}
    assert model_layers.penalties(model_layers.read(made)) == {"l2": pytest.approx(0.01)}
    assert model_layers.output(made).config["name"] == "end"
    assert np.isfinite(layers[0].inputs)
