"""What the pre-flight says of optimizers, layers and batches."""

import keras
import numpy as np
import pytest

import goodfit
from goodfit import InputError
from goodfit.training import engine
from goodfit.training.preflight_setup import check_setup


def compiled(*layers, optimizer="sgd"):
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def said(model, rows=100, batch_size=32, epochs=10):
    return " ".join(check_setup(model, rows=rows, batch_size=batch_size, epochs=epochs))


@pytest.mark.parametrize("rate", [0.0, 1e9, -0.1, float("nan")])
def test_learning_rates_that_cannot_be_meant_are_refused_before_training(rate):
    model = compiled(optimizer=keras.optimizers.SGD(0.1))
    model.optimizer.learning_rate = rate
    with pytest.raises(InputError, match="the learning rate is"):
        engine.fit(model, np.ones((8, 3)), np.ones((8, 1)), verbose=0)
    assert not model.optimizer.iterations.value


def test_a_rate_of_zero_is_let_through_where_a_callback_may_set_it():
    model = compiled(optimizer=keras.optimizers.SGD(0.0))
    warm_up = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 * epoch)
    assert engine.fit(model, np.ones((8, 3)), np.ones((8, 1)), callbacks=[warm_up], verbose=0).outcome == "finished"


def test_dropping_everything_is_refused():
    with pytest.raises(InputError, match="nothing is left"):
        said(compiled(keras.layers.Dropout(1.0)))
    assert not said(compiled(keras.layers.Dropout(0.9)))


def test_keras_itself_refuses_negative_penalties_and_rates_outside_the_interval():
    for make in (
        lambda: keras.regularizers.L2(-0.1),
        lambda: keras.layers.Dropout(1.5),
        lambda: keras.layers.Dropout(-1),
    ):
        with pytest.raises(ValueError, match=r"Invalid value"):
            make()


def test_a_batch_larger_than_the_data_is_told():
    assert "single step" in said(compiled(), batch_size=512)
    assert not said(compiled(), batch_size=100)


def test_batch_norm_of_a_single_row_is_told():
    model = compiled(keras.layers.BatchNormalization())
    assert "every batch has a single row" in said(model, batch_size=1)
    assert "the last batch has a single row" in said(model, rows=97, batch_size=32)
    assert not said(model, rows=96, batch_size=32)
    frozen = compiled(keras.layers.BatchNormalization(trainable=False))
    assert not said(frozen, batch_size=1)


def test_selu_where_branches_meet_is_told():
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(8, "selu", "lecun_normal", name="wide")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Concatenate(name="join")([hidden, inputs])))
    model.compile("sgd", "mse")
    assert "'wide' uses SELU in a model whose branches meet in 'join'" in said(model)
    assert not said(compiled(keras.layers.Dense(8, "selu")))


def test_a_schedule_longer_than_the_training_is_told():
    decay = keras.optimizers.schedules
    for schedule in (
        decay.CosineDecay(0.1, 900, warmup_target=0.2, warmup_steps=100),
        decay.PolynomialDecay(0.1, 1000),
        decay.PiecewiseConstantDecay([100, 1000], [0.1, 0.01, 0.001]),
        goodfit.schedules.OneCycle(0.1, 1000),
    ):
        model = compiled(optimizer=keras.optimizers.SGD(schedule))
        assert "1,000 steps, and the training makes 40" in said(model), type(schedule).__name__
        assert not said(model, epochs=250)
    momentum = goodfit.optimizers.MomentumScheduleSGD(0.1, goodfit.schedules.CycleMomentum(1000))
    assert "of the momentum" in said(compiled(optimizer=momentum))


def test_the_words_reach_the_user():
    result = goodfit.fit(compiled(), np.ones((8, 3)), np.ones((8, 1)), batch_size=64, verbose=0)
    assert any("single step" in note for note in result.provenance["notes"])


@pytest.mark.parametrize("share", [1.5, 1.0, -0.2])
def test_a_share_of_rows_that_is_none_is_refused(share):
    """Keras takes a negative one for no validation, and one above 1 for some of the first rows."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(InputError, match="validation_split"):
        goodfit.fit(model, np.ones((8, 2)), np.ones(8), validation_split=share, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epochs": "5"}, "epochs is '5'"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"callbacks": [keras.callbacks.EarlyStopping]}, "the class EarlyStopping stands among the callbacks"),
        ({"callbacks": ["early"]}, "'early' stands among the callbacks"),
    ],
)
def test_arguments_of_other_kinds_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        goodfit.fit(compiled(), np.ones((8, 3)), np.ones(8), verbose=0, **arguments)
