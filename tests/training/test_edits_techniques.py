"""The craft's techniques as changes: each applies to a recipe, and what comes out trains."""

import keras
import numpy as np
import pytest

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


@pytest.mark.parametrize("name", list(techniques()))
def test_a_technique_applies_and_trains(name, rows):
    x, y = rows
    before = recipe("binary_crossentropy", end="sigmoid", frozen=name.startswith("unfreeze"))
    after = edits.apply(before, techniques()[name](), x=x)
    assert after != before
    run = population.train(after, x, y[:, None], (x, y[:, None]), (0, 1), programs=Programs()).run
    assert run.outcomes == ("finished", "finished")
    assert np.isfinite(run.curves["loss"]).all()


@pytest.mark.parametrize("kind", ["cosine", "one-cycle", "exponential"])
def test_a_schedule_spans_the_training_and_starts_from_the_own_rate(kind, rows):
    change = Change("schedule", {"schedule.over_training": {"kind": kind, "times": 3.0}}, "", "")
    after = edits.apply(recipe(), change, x=rows[0])
    schedule: object = keras.optimizers.schedules.deserialize(dict(after.schedule))
    rates = [float(schedule(step)) for step in range(STEPS)]
    assert max(rates) == pytest.approx(0.03, rel=0.25)  # between steps the peak may be missed
    assert rates[-1] < 0.35 * max(rates)
    if kind != "exponential":
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
    for loss in ("mse", "sparse_categorical_crossentropy", "no_such_loss"):
        with pytest.raises(InputError, match=r"can't be smoothed|no loss"):
            edits.apply(recipe(loss), techniques()["label-smoothing"]())


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
    from goodfit.api.proving import chosen

    changes, most = chosen(list(techniques()))
    assert most is None
    assert [change.name for change in changes] == list(techniques())
