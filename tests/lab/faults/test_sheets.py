import keras
import numpy as np
import pytest

from goodfit.lab.faults import sheets, sources
from goodfit.lab.faults.data import Treatment, prepare
from goodfit.lab.faults.setups import BASE_RATE, Setup, recipe
from goodfit.training.population import train
from goodfit.training.programs import Programs

SETUP = Setup(units=(8,), batch_size=32)


@pytest.fixture(scope="module")
def iris():
    return prepare(sources.load("iris"), Treatment(), 0)


@pytest.fixture(scope="module")
def programs():
    return Programs()


@pytest.fixture(scope="module")
def sheet(iris, programs):
    return sheets.fill(SETUP, iris, 3e-3, 12, (0, 1), programs, places=(3, 4, 5))


def test_a_row_of_a_sheet_is_the_training_of_its_recipe(iris, sheet):
    rate = 3e-3 * sheets.FACTORS[5]
    alone = train(
        recipe(SETUP, iris, rate, 12), *iris.part("train"), validation=iris.part("validation"), seeds=[0, 1], threads=1
    )
    np.testing.assert_allclose(sheet.curves["train"][2], alone.run.curves["loss"], rtol=1e-4)
    np.testing.assert_allclose(sheet.curves["validation"][2], alone.run.curves["val_loss"], rtol=1e-4)


def test_hidden_rows_are_the_test_rows(iris, sheet):
    x, y = iris.part("test")
    shown = train(recipe(SETUP, iris, 3e-3, 12), *iris.part("train"), validation=(x, y), seeds=[0, 1], threads=1)
    np.testing.assert_allclose(sheet.curves["hidden"][1], shown.run.curves["val_loss"], rtol=1e-4)


@pytest.mark.usefixtures("sheet")
def test_recipes_that_differ_in_rate_initializer_and_epochs_share_a_program(iris, programs):
    before = len(programs)
    sheets.fill(Setup(units=(8,), batch_size=32, initializer="scaled:9"), iris, 0.1, 4, (0, 1), programs, (3, 4, 5))
    assert len(programs) == before
    sheets.fill(Setup(units=(8,), batch_size=32, dropout=0.1), iris, 0.1, 4, (0, 1), programs, (3, 4, 5))
    assert len(programs) == before + 1


def test_penalties_are_left_out_of_the_losses_that_are_judged(iris):
    setup = Setup(units=(8,), l2=0.1)
    with_l2 = sheets.fill(setup, iris, BASE_RATE["adam"], 3, (0, 1), Programs(), (4,))
    assert (with_l2.penalized["val_loss"] > with_l2.curves["validation"] + 0.1).all()
    population = train(
        recipe(setup, iris, BASE_RATE["adam"], 3), *iris.part("train"), validation=iris.part("validation"), seeds=[0, 1]
    )
    model = population.model(1)
    predicted = model.predict(iris.part("validation")[0], verbose=0)
    chosen = predicted[np.arange(len(predicted)), iris.part("validation")[1]]
    assert with_l2.curves["validation"][0, 1, -1] == pytest.approx(-np.log(chosen).mean(), rel=1e-3)


@pytest.mark.parametrize("patience", [1, 3])
def test_the_kept_epoch_is_that_of_keras(patience):
    random = np.random.default_rng(patience)
    for _ in range(20):
        curve = random.normal(size=15)
        callback = keras.callbacks.EarlyStopping(patience=patience)
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.stop_training = False
        callback.set_model(model)
        callback.on_train_begin()
        ran = 0
        for epoch, value in enumerate(curve):
            callback.on_epoch_end(epoch, {"val_loss": value})
            ran = epoch + 1
            if model.stop_training:
                break
        assert sheets.kept_epoch(curve, patience) == (callback.best_epoch, ran)


def test_the_end_of_a_training_is_its_last_epochs_or_its_best_epoch(sheet):
    last, chance = sheets.end(sheet, 4, 12, None), sheet.chance["validation"]
    np.testing.assert_allclose(last.validation, sheet.curves["validation"][1, :, 9:12].mean(axis=1) / chance)
    best = sheets.end(sheet, 4, 12, 12)
    np.testing.assert_allclose(best.validation, sheet.curves["validation"][1].min(axis=1) / chance)
    early = sheets.end(sheet, 4, 4, None)
    np.testing.assert_allclose(early.validation, sheet.curves["validation"][1, :, 3] / chance)
