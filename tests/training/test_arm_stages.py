"""Arms of a model with frozen layers: their features computed once, and unfrozen in a later stage, as Keras would."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit import Change, InputError
from goodfit.improvement.techniques import unfreeze_all_layers, unfreeze_in_stages
from goodfit.training import arm_parts, arms, edits, edits_frozen, own_model

L = keras.layers
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(120, 4)).astype("float32")
Y = (np.sin(3 * X[:, 0]) + X[:, 1] > 0).astype("int32")
TRAIN, STOP, JUDGE = np.arange(80), np.arange(80, 100), np.arange(100, 120)


def transferred():
    keras.utils.set_random_seed(0)
    body = [L.Dense(8, "relu", name="low"), L.BatchNormalization(name="norm"), L.Dense(6, "relu", name="high")]
    model = goodfit.transfer(keras.Sequential([keras.Input((4,)), *body, L.Dense(3)]), 2)
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    return model


def rows():
    return arms.Rows(X, Y, lambda _: arms.Division(TRAIN, STOP, JUDGE))


@pytest.fixture
def own():
    return own_model.read(transferred(), batch_size=16, epochs=6)


def by_keras(model, stages, seed):
    """The same stages with `model.fit`, each with an optimizer of its own."""
    losses = []
    for epochs, rate, unfreeze in stages:
        for layer in model.layers:
            if layer.weights and layer.name in unfreeze:
                layer.trainable = True
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        order = np.random.RandomState(seed)
        for _ in range(epochs):
            drawn = TRAIN[order.permutation(len(TRAIN))]
            history = model.fit(
                X[drawn], Y[drawn], batch_size=16, shuffle=False, verbose=0, validation_data=(X[STOP], Y[STOP])
            )
            losses += history.history["val_loss"]
    return losses


def test_frozen_features_are_computed_once_and_change_nothing(own, monkeypatch):
    made = []
    features = arm_parts.Part.features
    monkeypatch.setattr(arm_parts.Part, "features", lambda part, x: made.append(1) or features(part, x))
    data = rows()
    quick = arms.train(own.recipe, own, data, (0, 1))
    faster = own.recipe.replace(
        optimizer={**own.recipe.optimizer, "config": {**own.recipe.optimizer["config"], "learning_rate": 0.03}}
    )
    arms.train(faster, own, data, (0, 1))
    assert len(made) == 1
    assert quick.places is not None
    assert sum(v[0].size for v in quick.kept[0]) == 6 * 2 + 2
    monkeypatch.setattr(arm_parts.Part, "of", classmethod(lambda cls, model, *_: cls(model)))
    plain = arms.train(own.recipe, own, rows(), (0, 1))
    assert plain.places is None
    np.testing.assert_allclose(quick.run.curves["val_loss"], plain.run.curves["val_loss"], rtol=1e-6)
    np.testing.assert_allclose(quick.outputs, plain.outputs, rtol=1e-5)
    np.testing.assert_allclose(quick.model(1, own).predict(X, verbose=0), plain.outputs[1], rtol=1e-5)


def test_rows_that_are_blended_pass_through_the_frozen_layers(own):
    mixed = own.recipe.replace(preparation={"mixup": 0.2})
    trained = arms.train(mixed, own, rows(), (0, 1))
    assert trained.places is None
    plain = arms.train(own.recipe, own, rows(), (0, 1))
    assert not np.allclose(trained.run.curves["loss"], plain.run.curves["loss"], rtol=1e-3)


def test_features_of_other_rows(own):
    trained = arms.train(own.recipe, own, rows(), (0, 1))
    np.testing.assert_allclose(trained.predict(X[:7], own), trained.outputs[:, :7], rtol=1e-5)


def test_two_stages_are_what_keras_makes_of_them(own):
    recipe = edits.apply(own.recipe, unfreeze_in_stages())
    trained = arms.train(recipe, own, rows(), (0, 3))
    run = trained.run
    assert (run.stages, run.epoch.tolist(), run.kept_epoch.tolist()) == ((0, 3), list(range(6)), [5, 5])
    assert trained.steps == 2 * 6 * 5
    for place, seed in enumerate((0, 3)):
        model = own.build(own.recipe, seed)
        rate = own.recipe.optimizer["config"]["learning_rate"]
        losses = by_keras(model, [(3, rate, ()), (3, rate / 10, ("low", "high"))], seed)
        np.testing.assert_allclose(run.curves["val_loss"][place], losses, rtol=1e-4)
        final = trained.model(place, own)
        for mine, theirs in zip(final.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(trained.outputs[place], model.predict(X, verbose=0), rtol=1e-3, atol=1e-5)


def test_normalization_stays_frozen(own):
    stages = edits_frozen.stages_of(edits.apply(own.recipe, unfreeze_in_stages()))
    for recipe, count in zip(stages, (1, 3), strict=True):
        layers = dict(own_model.layers(own.build(recipe, 0)))
        assert sum(bool(layer.trainable_weights) for layer in layers.values()) == count
        assert not layers["norm"].trainable_weights


def test_other_changes_reach_the_stages(own):
    staged = edits.apply(own.recipe, unfreeze_in_stages(1))
    longer = edits.apply(staged, Change("longer", {"epochs": {"times": 1.5}}, "…", "…"))
    assert ([stage["epochs"] for stage in longer.stages], longer.epochs) == ([4, 5], 9)
    faster = edits.apply(longer, Change("faster", {"optimizer.learning_rate": {"times": 3.0}}, "…", "…"))
    rates = [stage["learning_rate"] for stage in faster.stages]
    np.testing.assert_allclose(rates, [0.03, 0.003], rtol=1e-6)
    with pytest.raises(InputError, match="no layer is frozen"):
        edits.apply(staged, unfreeze_all_layers())
    with pytest.raises(InputError, match="stages already"):
        edits.apply(staged, unfreeze_in_stages())


def test_what_can_not_be_staged():
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    model.compile("adam", "mse")
    recipe = own_model.read(model, batch_size=16, epochs=2).recipe
    with pytest.raises(InputError, match="no layer is frozen"):
        edits.apply(recipe, unfreeze_in_stages())
    with pytest.raises(InputError, match="one epoch"):
        edits.apply(recipe.replace(epochs=1), unfreeze_in_stages())
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10)), "mse")
    with pytest.raises(InputError, match="learning rate"):
        edits.apply(own_model.read(model, batch_size=16, epochs=2).recipe, unfreeze_in_stages())


def test_improve_tries_it_and_gives_the_model_that_came_of_it():
    study = goodfit.improve(
        transferred(), X, Y, batch_size=16, epochs=12, seeds=3, changes=["unfreeze-in-stages"], rounds=1
    )
    trial = study.trials[-1]
    assert (trial.change.name, trial.run.stages) == ("unfreeze-in-stages", (0, 6))
    assert len(trial.run.recipe.stages) == 2
