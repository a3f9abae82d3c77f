"""The performance schedule inside the program of members, against Keras's own `ReduceLROnPlateau`."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import keras
import numpy as np
import pytest

import goodfit
from goodfit.errors import InputError
from goodfit.improvement.techniques import techniques
from goodfit.report.recipe import settings
from goodfit.training import arms, edits, own_model, plateau, population
from goodfit.training.portable import PortableTraining
from goodfit.training.programs import Programs, key_of
from goodfit.training.recipes import build, compile_model, serialize
from goodfit.values import Change, EarlyStopping, Plateau, Recipe

SETTINGS = {
    "quick": Plateau(factor=0.3, patience=2, min_delta=0.01),
    "cooling": Plateau(factor=0.7, patience=1, cooldown=3, min_delta=0.0),
    "floored": Plateau(factor=0.1, patience=1, min_lr=0.003, min_delta=0.05),
    "impatient": Plateau(factor=0.9, patience=0, monitor="loss"),
}


def network(width: int = 8) -> keras.Sequential:
    layers = [keras.Input((3,)), keras.layers.Dense(width, "relu", name="first"), keras.layers.Dense(1, name="last")]
    return keras.Sequential(layers, name="network")


def divide(_: int) -> arms.Division:
    index = np.arange(40)
    return arms.Division(index[:24], index[24:32], index[32:])


def recipe_of(width: int = 8, **fields: Any) -> Recipe:
    adam: Any = keras.optimizers.serialize(keras.optimizers.Adam(0.05))
    return Recipe(serialize(network(width)), adam, "mse", batch_size=16, epochs=25, **fields)


@pytest.fixture(scope="module")
def parts() -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(70, 3)).astype("float32")
    y = (np.sin(2 * x[:, 0]) + 0.5 * draw.normal(size=70)).astype("float32")
    return x[:40], y[:40], (x[40:], y[40:])


def fit_with_keras(recipe: Recipe, parts: Any, seed: int, *more: keras.callbacks.Callback) -> Any:
    model = compile_model(build(recipe, seed), recipe)
    x, y, validation = parts
    model._symbolic_build(data_batch=(x[:1], y[:1]))
    np.random.seed(seed)
    assert recipe.plateau is not None
    lowering = keras.callbacks.ReduceLROnPlateau(**dataclasses.asdict(recipe.plateau))
    history = model.fit(x, y, 16, recipe.epochs, 0, [*more, lowering], validation_data=validation)
    return model, history.history


@pytest.mark.parametrize(("name", "width"), [*((name, 8) for name in SETTINGS), ("quick", 1600)])
def test_rates_and_losses_are_those_of_keras(name: str, width: int, parts: Any) -> None:
    """Members batched; and, of wide layers, one after the other."""
    recipe = recipe_of(width, plateau=SETTINGS[name])
    run = population.train(recipe, *parts, (3, 4), threads=1).run
    lowered = 0
    for place, seed in enumerate(run.seeds):
        _, history = fit_with_keras(recipe, parts, seed)
        assert run.curve("learning_rate", place).tolist() == history["learning_rate"]
        for curve in ("loss", "val_loss"):
            np.testing.assert_allclose(run.curve(curve, place), history[curve], rtol=1e-4)
        lowered += len(set(history["learning_rate"])) - 1
    assert lowered > 1
    assert list(run.curves)[-1] == "learning_rate"


def test_it_stands_beside_early_stopping(parts: Any) -> None:
    recipe = recipe_of(plateau=SETTINGS["quick"], early_stopping=EarlyStopping(5, min_delta=0.01))
    trained = population.train(recipe, *parts, (0, 1, 2), threads=2)
    for place, seed in enumerate(trained.run.seeds):
        stop = keras.callbacks.EarlyStopping(patience=5, min_delta=0.01, restore_best_weights=True)
        model, history = fit_with_keras(recipe, parts, seed, stop)
        epochs = len(history["loss"])
        assert trained.run.curve("learning_rate", place)[:epochs].tolist() == history["learning_rate"]
        assert np.isnan(trained.run.curve("learning_rate", place)[epochs:]).all()
        for mine, theirs in zip(trained.model(place).get_weights(), model.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    assert "stopped" in trained.run.outcomes


def test_many_seeds_of_an_own_model_take_the_callback(parts: Any) -> None:
    x, y, validation = parts

    def fit(how: Any, **more: Any) -> tuple[keras.Model, Any]:
        keras.utils.set_random_seed(1)
        model = network()
        model.compile(keras.optimizers.Adam(0.05), "mse")
        callbacks = [
            keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.3),
            keras.callbacks.EarlyStopping(patience=7),
        ]
        given = {"batch_size": 16, "epochs": 25, "verbose": 0, "validation_data": validation, "callbacks": callbacks}
        return model, how(model, x, y, **given, **more)

    ours, result = fit(goodfit.fit, seeds=3)
    theirs, history = fit(lambda model, *rows, **given: model.fit(*rows, **given))
    epochs = len(history.epoch)
    assert result.curves["learning_rate"][0, :epochs].tolist() == history.history["learning_rate"]
    assert list(result.history) == list(history.history)
    assert float(ours.optimizer.learning_rate) == float(theirs.optimizer.learning_rate) < 0.05
    assert result.recipe.plateau == Plateau(factor=0.3, patience=2)
    assert len({tuple(rates) for rates in result.curves["learning_rate"]}) > 1  # each member has its own
    _, alone = fit(goodfit.fit)
    assert alone.recipe.plateau == result.recipe.plateau
    assert alone.history["learning_rate"] == history.history["learning_rate"]


@pytest.mark.parametrize(
    ("callbacks", "told"),
    [
        ([keras.callbacks.ReduceLROnPlateau()] * 2, "at most one"),
        ([keras.callbacks.ReduceLROnPlateau("val_acc", mode="max")], "'val_acc'"),
        ([keras.callbacks.ReduceLROnPlateau()], "no validation rows"),
    ],
)
def test_what_many_seeds_cannot_follow_is_named(callbacks: Any, told: str, parts: Any) -> None:
    model = network()
    model.compile("adam", "mse")
    with pytest.raises(InputError, match=told):
        goodfit.fit(model, *parts[:2], verbose=0, seeds=2, callbacks=callbacks)


def test_a_rate_that_follows_a_schedule_is_not_lowered_too(parts: Any) -> None:
    cosine = keras.optimizers.schedules.CosineDecay(0.1, 100)
    adam: Any = keras.optimizers.serialize(keras.optimizers.Adam(cosine))
    change = techniques()["plateau-schedule"]()
    schedule = techniques()["cosine-schedule"]()
    for before, edit in ((recipe_of().replace(optimizer=adam), change), (recipe_of(plateau=Plateau()), schedule)):
        with pytest.raises(InputError, match="on a plateau too"):
            edits.apply(before, edit, x=parts[0])
    after = edits.apply(recipe_of(), schedule, x=parts[0])
    with pytest.raises(InputError, match="on a plateau too"):
        edits.apply(after, Change("plateau", {"plateau": {}}, "", ""))
    by_hand = recipe_of(plateau=Plateau()).replace(optimizer=adam)
    with pytest.raises(InputError, match="no number of its own"):
        population.train(by_hand, *parts, (0,))
    model = network()
    model.compile(keras.optimizers.Adam(cosine), "mse")
    with pytest.raises(InputError, match="no number of its own"):
        goodfit.fit(model, *parts[:2], verbose=0, seeds=2, callbacks=[keras.callbacks.ReduceLROnPlateau("loss")])


def test_the_rate_of_an_optimizer_that_scales_the_loss_is_the_inner_ones() -> None:
    inner = keras.optimizers.Adam(0.25)
    scaled = keras.optimizers.LossScaleOptimizer(inner)
    scaled.build([keras.Variable(np.ones(2, "float32"))])
    assert float(scaled.variables[plateau.place_of(scaled)]) == 0.25


def test_it_is_a_change_whose_fields_can_be_changed() -> None:
    after = edits.apply(recipe_of(), techniques()["plateau-schedule"]())
    assert after.optimizer["config"]["learning_rate"] == pytest.approx(0.15)
    assert after.plateau == Plateau(factor=0.5, patience=5)
    longer = edits.apply(after, Change("longer", {"plateau.patience": {"times": 2}}, "", ""))
    assert longer.plateau == Plateau(factor=0.5, patience=10)
    assert edits.apply(after, Change("none", {"plateau": None}, "", "")).plateau is None
    for wrong, told in (
        ({"factor": 1.5}, "factor"),
        ({"patience": -1}, "patience"),
        ({"paitence": 3}, "no 'paitence'"),
    ):
        with pytest.raises(InputError, match=told):
            edits.apply(recipe_of(), Change("wrong", {"plateau": wrong}, "", ""))
    told = dict(settings(after))["learning rate on a plateau"]
    assert told.startswith("times 0.5 after 5 epochs without a lower val_loss")


def test_a_recipe_keeps_it_and_older_ones_keep_their_hash() -> None:
    plain, lowered = recipe_of(), recipe_of(plateau=SETTINGS["cooling"])
    assert "plateau" not in plain.to_dict()
    assert Recipe.from_dict(lowered.to_dict()) == lowered != plain
    assert Recipe.from_dict(plain.to_dict()).plateau is None
    assert key_of(plain) != key_of(lowered)


def test_programs_are_shared_between_rates(parts: Any) -> None:
    programs, recipe = Programs(), recipe_of(plateau=SETTINGS["quick"])
    slow = recipe.replace(
        optimizer={**recipe.optimizer, "config": {**recipe.optimizer["config"], "learning_rate": 0.01}}
    )
    shared = [population.train(one, *parts, (3,), programs=programs).run for one in (recipe, slow)]
    assert len(programs) == 1
    assert shared[1].curve("learning_rate")[0] == np.float32(0.01)
    _, history = fit_with_keras(slow, parts, 3)
    assert shared[1].curve("learning_rate").tolist() == history["learning_rate"]


def test_arms_train_alike_in_another_process(parts: Any) -> None:
    x, y, _ = parts
    model = network()
    model.compile(keras.optimizers.Adam(0.05), "mse")
    own = own_model.read(model, batch_size=8, epochs=12)
    rows = arms.Rows(x, y, divide)
    recipe = edits.apply(own.recipe, techniques()["plateau-schedule"]())
    here = PortableTraining(own, rows)(recipe, (0, 1))
    there = pickle.loads(pickle.dumps(PortableTraining(own, rows)))(pickle.loads(pickle.dumps(recipe)), (0, 1))
    assert here.run.curves["learning_rate"].min() < np.float32(0.15)
    for name, values in here.run.curves.items():
        assert np.array_equal(values, there.run.curves[name])


def test_a_loss_that_is_nan_at_first_is_the_best_for_ever_as_in_keras() -> None:
    class Told(keras.callbacks.ReduceLROnPlateau):
        pass

    class Model:
        metrics: tuple[Any, ...] = ()

        def __init__(self) -> None:
            self.optimizer = keras.optimizers.SGD(0.8)

    import jax.numpy as jnp

    asked = Plateau(factor=0.5, patience=2, cooldown=1, min_lr=0.05)
    callback = Told(**dataclasses.asdict(asked))
    callback.set_model(Model())
    callback.on_train_begin()
    carried: Any = {name: values[0] for name, values in plateau.start(1).items()}
    rate: Any = jnp.float32(0.8)
    for epoch, watched in enumerate([np.nan, 3.0, 2.0, 1.0, np.inf, 0.5, np.nan, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]):
        callback.on_epoch_end(epoch, {"val_loss": watched})
        carried, rate = plateau.step(asked, carried, jnp.float32(watched), rate)
        assert float(rate) == float(callback.model.optimizer.learning_rate)
    assert float(rate) == np.float32(0.05)
