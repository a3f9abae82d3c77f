"""Where members start: what a seed drew is kept for the arms that share a model, and changes nothing."""

import keras
import numpy as np

from goodfit import Change
from goodfit.training import arms, edits, own_model
from goodfit.training.arm_members import Starts

L = keras.layers
X = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
PLACES = np.arange(60)


def rows(**more):
    return arms.Rows(X, X[:, :1], lambda _: arms.Division(PLACES[:40], PLACES[40:50], PLACES[50:]), **more)


def read():
    model = keras.Sequential([keras.Input((3,)), L.Dense(4, "relu"), L.Dropout(0.2), L.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return own_model.read(model, batch_size=8, epochs=2)


def test_a_seed_is_drawn_once_for_all_arms_of_a_model(monkeypatch):
    own, data, built = read(), rows(), []
    faster = edits.apply(own.recipe, Change("…", {"optimizer.learning_rate": {"times": 2.0}}, "…", "…"))
    wider = edits.apply(own.recipe, Change("…", {"layers": {"hidden": {"set": {"units": 8}}}}, "…", "…"))
    build = own_model.OwnModel.build
    monkeypatch.setattr(
        own_model.OwnModel, "build", lambda self, recipe, seed: built.append(seed) or build(self, recipe, seed)
    )
    first = arms.train(own.recipe, own, data, (0, 1))
    del built[:]
    again = arms.train(own.recipe, own, data, (0, 1))
    other = arms.train(faster, own, data, (0, 1, 2))
    assert built == [2]
    np.testing.assert_array_equal(first.outputs, again.outputs)
    np.testing.assert_array_equal(other.outputs, arms.train(faster, own, rows(), (0, 1, 2)).outputs)
    del built[:]
    arms.train(wider, own, data, (0, 1))
    assert built[-2:] == [0, 1]


def test_the_oldest_go_where_there_is_no_room(monkeypatch):
    own, built = read(), []
    one = sum(variable.value.nbytes for variable in own.build(own.recipe, 0).variables)
    data = rows(starts=Starts(most=2 * one))
    arms.train(own.recipe, own, data, (0, 1, 2))
    build = own_model.OwnModel.build
    monkeypatch.setattr(
        own_model.OwnModel, "build", lambda self, recipe, seed: built.append(seed) or build(self, recipe, seed)
    )
    arms.train(own.recipe, own, data, (1, 2))
    assert built == []
    arms.train(own.recipe, own, data, (0,))
    assert built == [0]
