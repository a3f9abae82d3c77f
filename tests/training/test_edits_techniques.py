"""The craft's techniques as changes: each applies to a recipe, and what comes out trains."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit.errors import InputError
from goodfit.improvement.techniques import techniques
from goodfit.training import edits, population
from goodfit.training.programs import Programs
from goodfit.training.recipes import build, serialize
from goodfit.values import Change, Recipe

ROWS, EPOCHS = 40, 2
STEPS = EPOCHS * 3  # batches of 16


def recipe(loss="mean_squared_error", units=1, end="linear", frozen=False):
    model = keras.Sequential(
        [
            keras.Input((3,), name="inputs"),
            keras.layers.Dense(6, name="first", trainable=not frozen),
            keras.layers.Activation("softsign", name="act"),
            keras.layers.Dense(4, "softsign", name="second"),
            keras.layers.Dense(units, end, name="output"),
        ],
        name="network",
    )
    adam: dict = keras.optimizers.serialize(keras.optimizers.Adam(0.01))
    return Recipe(serialize(model), adam, loss, batch_size=16, epochs=EPOCHS)


@pytest.fixture(scope="module")
def rows():
    x = np.random.default_rng(0).normal(size=(ROWS, 3)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("float32")


ELSEWHERE = ("image-shifts", "image-flips", "faster-batch-normalization", "pretrained-network")
"""Techniques for what a table's plain network does not have."""


@pytest.mark.parametrize("name", [name for name in techniques() if name not in ELSEWHERE])
def test_a_technique_applies_and_trains(name, rows):
    x, y = rows
    before = recipe("binary_crossentropy", end="sigmoid", frozen=name.startswith("unfreeze"))
    after = edits.apply(before, techniques()[name](), x=x)
    assert after != before
    run = population.train(after, x, y[:, None], (x, y[:, None]), (0, 1), programs=Programs()).run
    assert run.outcomes == ("finished", "finished")
    assert np.isfinite(run.curves["loss"]).all()


@pytest.mark.parametrize("kind", ["cosine", "one-cycle", "exponential", "power", "piecewise"])
def test_a_schedule_spans_the_training_and_starts_from_the_own_rate(kind, rows):
    change = Change("schedule", {"schedule.over_training": {"kind": kind, "times": 3.0}}, "", "")
    after = edits.apply(recipe(), change, x=rows[0])
    schedule: object = keras.optimizers.schedules.deserialize(dict(after.schedule))
    rates = [float(schedule(step)) for step in range(STEPS)]
    assert max(rates) == pytest.approx(0.03, rel=0.25)  # between steps the peak may be missed
    assert rates[-1] < 0.35 * max(rates)
    if kind not in ("exponential", "power"):
        longer = edits.apply(after, Change("longer", {"epochs": {"times": 2}}, "", ""))
        assert longer.schedule != after.schedule
        higher = edits.apply(after, Change("higher", {"optimizer.learning_rate": {"times": 2}}, "", ""))
        doubled: object = keras.optimizers.schedules.deserialize(dict(higher.schedule))
        assert [float(doubled(step)) for step in range(STEPS)] == pytest.approx([2 * r for r in rates], rel=1e-5)
    with pytest.raises(InputError, match="follows a schedule already"):
        edits.apply(after, change, x=rows[0])
    with pytest.raises(InputError, match="unknown length"):
        edits.apply(recipe(), change)
    with pytest.raises(InputError, match="There are cosine"):
        edits.apply(recipe(), Change("odd", {"schedule.over_training": {"kind": "odd"}}, "", ""), x=rows[0])


@pytest.mark.parametrize(
    "loss",
    [
        "categorical_crossentropy",
        "binary_crossentropy",
        keras.losses.serialize(keras.losses.CategoricalCrossentropy(from_logits=True)),
    ],
)
def test_smoothed_labels_are_those_of_keras(loss):
    change = techniques()["label-smoothing"]()
    after = edits.apply(recipe(loss, 3, "softmax"), change)
    made = keras.losses.deserialize(dict(after.loss))
    assert made.get_config()["label_smoothing"] == 0.1
    y, p = np.eye(3, dtype="float32"), np.full((3, 3), 1 / 3, "float32")
    kept = keras.losses.deserialize(dict(loss)) if isinstance(loss, dict) else keras.losses.get(loss)
    spread = 0.9 * y + (0.1 / 3 if "categorical" in str(loss).lower() else 0.05)
    assert float(made(y, p)) == pytest.approx(float(np.mean(np.asarray(kept(spread, p)))), rel=1e-5)


def test_labels_that_cannot_be_smoothed_are_refused():
    ignoring = keras.losses.serialize(keras.losses.SparseCategoricalCrossentropy(ignore_class=0))
    for loss in ("mse", "no_such_loss", ignoring):
        with pytest.raises(InputError, match=r"can't be smoothed|no loss"):
            edits.apply(recipe(loss), techniques()["label-smoothing"]())


@pytest.mark.parametrize("logits", [False, True])
def test_smoothed_classes_as_whole_numbers_are_those_of_one_hot_rows(logits):
    random = np.random.default_rng(1)
    labels, given = random.integers(0, 4, 9), random.uniform(0.1, 1, (9, 4)).astype("float32")
    given = given if logits else given / given.sum(axis=1, keepdims=True)
    before = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    after = edits.apply(recipe(keras.losses.serialize(before), 4), techniques()["label-smoothing"]())
    made = keras.losses.deserialize(dict(after.loss))
    expected = keras.losses.CategoricalCrossentropy(from_logits=logits, label_smoothing=0.1)(np.eye(4)[labels], given)
    for y in (labels, labels[:, None]):
        assert float(made(y, given)) == pytest.approx(float(expected), rel=1e-6)
    plain = goodfit.losses.SparseCategoricalCrossentropy(0.0, from_logits=logits)
    assert float(plain(labels, given)) == pytest.approx(float(before(labels, given)), rel=1e-6)
    with pytest.raises(InputError, match="label_smoothing"):
        goodfit.losses.SparseCategoricalCrossentropy(1.5)


def test_images_are_shifted_and_mirrored_in_training_only():
    layers = [keras.Input((6, 6, 1)), keras.layers.Conv2D(2, 3, name="conv"), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(1, name="output")])
    sgd: dict = keras.optimizers.serialize(keras.optimizers.SGD(0.1))
    before = Recipe(serialize(model), sgd, "mse", batch_size=4)
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 1)).astype("float32")
    plain = np.asarray(build(before, 0)(x))
    for name in ("image-shifts", "image-flips"):
        after = build(edits.apply(before, techniques()[name](), x=x), 0)
        np.testing.assert_allclose(after(x, training=False), plain, rtol=1e-6)
        assert not np.allclose(after(x, training=True), plain)
    mirrored = build(edits.apply(before, techniques()["image-flips"](), x=x), 0).layers[0]
    seen = np.asarray(mirrored(np.repeat(x[:1], 32, axis=0), training=True))
    same, flipped = ((seen == one).all(axis=(1, 2, 3)) for one in (x[:1], x[:1, :, ::-1]))
    assert (same | flipped).all()
    assert same.any()
    assert flipped.any()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_technique_for_what_is_not_there_is_refused(name):
    with pytest.raises(InputError):
        edits.apply(recipe(), techniques()[name]())


def test_batch_normalization_gets_another_momentum():
    model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)])
    sgd: dict = keras.optimizers.serialize(keras.optimizers.SGD(0.1))
    after = edits.apply(Recipe(serialize(model), sgd, "mse"), techniques()["faster-batch-normalization"]())
    assert build(after, 0).layers[0].momentum == 0.9


def test_an_activation_comes_with_its_initialization():
    after = edits.apply(recipe(), techniques()["fitting-elu"]())
    model = build(after, 0)
    assert [model.get_layer(name).kernel_initializer.__class__.__name__ for name in ("first", "second")] == [
        "HeNormal",
        "HeNormal",
    ]
    assert model.get_layer("act").activation is keras.activations.elu
    assert model.get_layer("second").activation is keras.activations.elu


def test_names_are_known_to_improve():
    from goodfit.api.changes import chosen

    changes, most = chosen(list(techniques()))
    assert most is None
    assert [change.name for change in changes] == list(techniques())
    with pytest.raises(InputError, match="Did you mean 'label-smoothing'"):
        chosen(["label-smothing"])
    with pytest.raises(InputError, match=r"There are activation, .*zero-biases"):
        chosen(["xyz"])
