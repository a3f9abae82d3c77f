"""Mixup as a change of a recipe: the blended steps are those of its formula, and the model stays as it is."""

import jax
import keras
import numpy as np
import pytest

from goodfit.errors import InputError
from goodfit.improvement.techniques import mixup
from goodfit.training import blending, edits, population, program
from goodfit.training.keras_internals import build_for
from goodfit.training.recipes import build, compile_model, serialize
from goodfit.values import Change, Recipe

ROWS, RATE = 12, 0.1


def recipe(loss, units=1, end="linear", optimizer=None, **settings):
    layers = [keras.Input((3,)), keras.layers.Dense(4, "tanh", name="hidden"), keras.layers.Dense(units, end)]
    plain: dict = keras.optimizers.serialize(optimizer or keras.optimizers.SGD(RATE))
    return Recipe(serialize(keras.Sequential(layers)), plain, loss, batch_size=ROWS, **settings)


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(0)
    return random.normal(size=(ROWS, 3)).astype("float32"), random.integers(0, 3, ROWS).astype("int32")


def after_one_step(given, x, y):
    model = compile_model(build(given, 0), given)
    build_for(model, (x[:1], y[:1]))
    _, state = model.train_step(program.read_state(model), (x, y))
    return [np.asarray(weight) for weight in state[0]]


@pytest.mark.parametrize("case", ["quantities", "one-hot", "whole numbers"])
def test_a_step_is_one_on_the_blended_rows(case, rows):
    x, labels = rows
    one_hot = np.eye(3, dtype="float32")[labels]
    if case == "quantities":
        before, y, target = recipe("mean_squared_error"), labels[:, None].astype("float32"), None
    elif case == "one-hot":
        before, y, target = recipe("categorical_crossentropy", 3, "softmax"), one_hot, None
    else:
        before, y, target = recipe("sparse_categorical_crossentropy", 3, "softmax"), labels, one_hot
    share, other = (np.asarray(part) for part in blending.draw(0.2, 0, x))
    assert 0 < share < 1
    assert sorted(other) == list(range(ROWS))
    blend = lambda a: share * a + (1 - share) * a[other]  # noqa: E731
    plain = before if target is None else before.replace(loss="categorical_crossentropy")
    expected = after_one_step(plain, blend(x), blend(y if target is None else target))
    found = after_one_step(edits.apply(before, mixup()), x, y)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert not np.allclose(found[0], after_one_step(before, x, y)[0], atol=1e-5)


def test_shares_are_those_of_the_beta_distribution_and_new_in_every_step(rows):
    shares, orders = jax.vmap(lambda step: blending.draw(0.5, step, rows[0]))(np.arange(4000))
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(shares.var()) == pytest.approx(1 / 8, rel=0.05)  # 1 / (4 (2α + 1))
    assert len(np.unique(orders, axis=0)) > 3990
    moved = blending.draw(0.5, 0, rows[0] + 1)
    assert float(moved[0]) != float(shares[0])
    assert float(blending.draw(0.5, 0, rows[0][::-1])[0]) == float(shares[0])


def test_members_train_as_alone_and_the_model_is_plain(rows, tmp_path):
    x, labels = rows
    given = recipe("sparse_categorical_crossentropy", 3, "softmax", epochs=3, metrics=("accuracy",))
    after = edits.apply(given, mixup(0.4))
    several = population.train(after, x, labels, (x, labels), (0, 1), threads=1)
    alone = population.train(after, x, labels, (x, labels), (1,), threads=1)
    np.testing.assert_allclose(several.run.curves["loss"][1], alone.run.curves["loss"][0], rtol=1e-4)
    plain = population.train(given, x, labels, (x, labels), (0, 1), threads=1)
    assert not np.allclose(several.run.curves["loss"], plain.run.curves["loss"])
    model = several.model(0)
    assert type(model) is keras.Sequential
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), several.predict(x)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), True, "much"])
def test_alphas_that_cannot_be_meant_are_refused(alpha):
    with pytest.raises(InputError, match="alpha of mixup"):
        edits.apply(recipe("mse"), Change("mixup", {"preparation.mixup": alpha}, "", ""))


def test_what_cannot_be_blended_is_refused():
    coded = keras.Sequential([keras.Input((1,)), keras.layers.Embedding(4, 2, name="codes"), keras.layers.Flatten()])
    with pytest.raises(InputError, match="'codes' are codes"):
        edits.apply(recipe("mse").replace(model=serialize(coded)), mixup())
    with pytest.raises(InputError, match="one plain loss"):
        edits.apply(recipe(["mse", "mse"]), mixup())
