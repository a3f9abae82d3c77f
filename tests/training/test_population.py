"""A population's members against Keras's own `fit` and `EarlyStopping`."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from goodfit.training import networks, population, recipes
from goodfit.training.recipes import build, compile_model, serialize
from goodfit.values import Dataset, EarlyStopping, Progress, Recipe


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(90, 4)).astype(np.float32)
    y = (np.sin(2 * x[:, 0]) + x[:, 1] + 0.5 * draw.normal(size=90)).astype(np.float32)
    rows = np.arange(90)
    return Dataset(x, y, "regression", ("a", "b", "c", "d"), "y", rows[:60], rows[60:], rows[:0])


@pytest.fixture(scope="module")
def recipe(dataset: Dataset) -> Recipe:
    draft = networks.mlp(dataset)
    return dataclasses.replace(draft, epochs=60, batch_size=16, early_stopping=EarlyStopping(patience=7))


def fit_with_keras(recipe: Recipe, dataset: Dataset, seed: int) -> tuple[keras.Model, keras.callbacks.History]:
    model = compile_model(build(recipe, seed), recipe)
    x, y = dataset.part("train")
    model._symbolic_build(
        data_batch=(x[:1], y[:1])
    )  # otherwise `fit` builds, and draws once more from the global state
    np.random.seed(seed)
    stopping = recipe.early_stopping
    callbacks = (
        [
            keras.callbacks.EarlyStopping(
                stopping.monitor, stopping.min_delta, stopping.patience, restore_best_weights=True
            )
        ]
        if stopping
        else []
    )
    history = model.fit(
        x, y, recipe.batch_size, recipe.epochs, 0, callbacks, validation_data=dataset.part("validation")
    )
    return model, history


def test_a_member_is_what_keras_would_have_trained(recipe: Recipe, dataset: Dataset) -> None:
    result = population.train(recipe, *dataset.part("train"), dataset.part("validation"), (3, 4, 5), threads=2)
    for place, seed in enumerate((3, 4, 5)):
        model, history = fit_with_keras(recipe, dataset, seed)
        epochs = len(history.epoch)
        for name, values in history.history.items():
            np.testing.assert_allclose(result.run.curve(name, place)[:epochs], values, rtol=1e-6)
        assert np.isnan(result.run.curve("loss", place)[epochs:]).all()
        for mine, keras_own in zip(result.model(place).get_weights(), model.get_weights(), strict=True):
            np.testing.assert_allclose(mine, keras_own, rtol=1e-6, atol=1e-7)
        assert result.run.outcomes[place] == ("stopped" if epochs < recipe.epochs else "finished")
        best = int(np.argmin(history.history["val_loss"]))
        assert result.run.kept_epoch is not None
        assert result.run.kept_epoch[place] == best


def test_a_member_does_not_depend_on_its_company(recipe: Recipe, dataset: Dataset) -> None:
    parts = (*dataset.part("train"), dataset.part("validation"))
    together = population.train(recipe, *parts, (0, 1, 2), threads=1)
    alone = population.train(recipe, *parts, (2,), threads=1)
    length = len(alone.run.epoch)
    assert np.array_equal(together.run.curve("val_loss", 2)[:length], alone.run.curve("val_loss"), equal_nan=True)
    for ours, single in zip(together.weights, alone.weights, strict=True):
        assert np.array_equal(ours[2], single[0])


def test_same_seeds_same_numbers(recipe: Recipe, dataset: Dataset) -> None:
    parts = (*dataset.part("train"), dataset.part("validation"))
    first, second = (population.train(recipe, *parts, (0, 1)) for _ in range(2))
    for name, values in first.run.curves.items():
        assert np.array_equal(values, second.run.curves[name], equal_nan=True)


def test_predictions_are_those_of_the_member_as_a_keras_model(recipe: Recipe, dataset: Dataset) -> None:
    result = population.train(recipe, *dataset.part("train"), dataset.part("validation"), (0, 1))
    for member in range(2):
        expected = result.model(member).predict(dataset.x, verbose=0)
        np.testing.assert_allclose(result.predict(dataset.x)[member], expected, rtol=1e-5, atol=1e-6)


def test_a_diverging_training_is_data(recipe: Recipe, dataset: Dataset) -> None:
    optimizer = keras.optimizers.serialize(keras.optimizers.SGD(1e6))
    wild = dataclasses.replace(recipe, optimizer=optimizer, early_stopping=None)
    result = population.train(wild, *dataset.part("train"), dataset.part("validation"), (0, 1))
    assert result.run.outcome == "nonfinite"
    assert np.isinf(result.run.curves["loss"]).any()


def test_dropout_and_batch_norm_train_as_in_keras(recipe: Recipe, dataset: Dataset) -> None:
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, "relu", name="first"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.3, name="drop"),
            keras.layers.Dense(1, name="last"),
        ]
    )
    mine = dataclasses.replace(recipe, model=serialize(model), epochs=5, early_stopping=None)
    result = population.train(mine, *dataset.part("train"), dataset.part("validation"), (7,))
    model, history = fit_with_keras(mine, dataset, 7)
    for name, values in history.history.items():
        np.testing.assert_allclose(result.run.curve(name), values, rtol=1e-6)
    for ours, keras_own in zip(result.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours[0], keras_own, rtol=1e-6, atol=1e-7)


def test_progress_counts_the_epochs(recipe: Recipe, dataset: Dataset) -> None:
    told: list[Progress] = []
    short = dataclasses.replace(recipe, epochs=4, early_stopping=None)
    population.train(short, *dataset.part("train"), dataset.part("validation"), (0,), report=told.append)
    assert all(progress.total == 4 and progress.done <= 4 for progress in told)


def test_one_layer_more_leaves_the_other_layers_start_as_it_was(recipe: Recipe) -> None:
    layers = lambda *extra: keras.Sequential(  # noqa: E731
        [keras.Input((4,)), keras.layers.Dense(5, name="first"), *extra, keras.layers.Dense(1, name="last")], name="net"
    )
    plain = build(dataclasses.replace(recipe, model=serialize(layers())), 1)
    more = build(dataclasses.replace(recipe, model=serialize(layers(keras.layers.Dense(5, name="new")))), 1)
    for name in ("first", "last"):
        assert np.array_equal(plain.get_layer(name).get_weights()[0], more.get_layer(name).get_weights()[0])
    other = build(dataclasses.replace(recipe, model=serialize(layers())), 2)
    assert not np.array_equal(plain.get_layer("first").get_weights()[0], other.get_layer("first").get_weights()[0])


@pytest.mark.slow
def test_many_seeds_of_long_trainings_end_where_trainings_alone_do() -> None:
    """Batched products are rounded otherwise, and 700 epochs amplify that: the ends must not move as a whole."""
    from scipy.stats import ks_2samp

    import goodfit

    draw = np.random.default_rng(1)
    x = draw.normal(size=(392, 9)).astype(np.float32)
    y = (np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.3 * draw.normal(size=392)).astype(np.float32)[:, None]
    train, held = (x[:314], y[:314]), (x[314:], y[314:])

    def made(seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        layers = [keras.layers.Dense(32, "relu"), keras.layers.Dense(32, "relu"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((9,)), *layers])
        model.compile("adam", "mse")
        return model

    seeds = range(1, 25)
    together = goodfit.fit(
        made(0), *train, batch_size=16, epochs=700, verbose=0, validation_data=held, seeds=[0, *seeds]
    )
    ends = together.curves["val_loss"][1:, -20:].mean(axis=1)
    alone, early = [], []
    for place, seed in enumerate(seeds, start=1):
        model = keras.models.clone_model(together.model)
        model.set_weights(recipes.redraw(made(0), seed).get_weights())
        model.compile("adam", "mse")
        model._symbolic_build(data_batch=(x[:1], y[:1]))  # else `fit` builds, and draws from the global state
        np.random.seed(seed)
        run = goodfit.fit(model, *train, batch_size=16, epochs=700, verbose=0, validation_data=held)
        early.append(np.abs(together.curves["loss"][place, :50] / run.history["loss"][:50] - 1))
        alone.append(np.mean(run.history["val_loss"][-20:]))
    apart = np.array(early)
    assert apart[:, :10].max() < 1e-6
    assert np.mean(apart.max(axis=1) < 1e-5) > 0.8  # in the others a unit stood at the kink of its ReLU
    shift = np.log(ends / np.array(alone))
    assert abs(shift.mean()) < 3 * shift.std(ddof=1) / np.sqrt(len(shift)) + 1e-6
    assert ks_2samp(ends, alone).pvalue > 0.05
