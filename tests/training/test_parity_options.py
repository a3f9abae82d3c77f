"""The arguments of `fit`, the forms of data, and several fits in turn: goodfit against Keras, bit for bit."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

slow = pytest.mark.slow


def model(metrics=("mae",), **arguments):
    made = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dropout(0.2), layers.Dense(1)]
    )
    made.compile("adam", "mse", metrics=list(metrics), **arguments)
    return made


OPTIONS = {
    "defaults": {},
    "no-shuffle": {"shuffle": False, "epochs": 3},
    "batch-shuffle": {"shuffle": "batch", "epochs": 3, "batch_size": 16},
    "shuffle-by-number": {"shuffle": 1, "epochs": 2},
    "batch-of-one": {"batch_size": 1, "epochs": 2},
    "batch-beyond-rows": {"batch_size": 512, "epochs": 4},
    "validation-split": {"validation_split": 0.3, "epochs": 3},
    "validation-batch": {"validation_split": 0.3, "epochs": 3, "validation_batch_size": 4},
    "validation-freq": {"validation_split": 0.3, "epochs": 7, "validation_freq": 3},
    "validation-list": {"validation_split": 0.3, "epochs": 7, "validation_freq": [1, 2, 6]},
    "validation-steps": {"validation_split": 0.5, "epochs": 4, "validation_batch_size": 7, "validation_steps": 2},
    "all-validation-steps": {"validation_split": 0.5, "epochs": 2, "validation_batch_size": 7, "validation_steps": 4},
    "steps": {"steps_per_epoch": 4, "batch_size": 16, "epochs": 3},
    "initial-epoch": {"initial_epoch": 2, "epochs": 5, "validation_split": 0.2, "validation_freq": 2},
    "no-epochs": {"initial_epoch": 5, "epochs": 5},
    "zero-epochs": {"epochs": 0},
    "class-weight": {"class_weight": {0: 0.3, 1: 2.0}, "epochs": 3},
    "many-epochs": {"epochs": 60, "batch_size": 16, "validation_split": 0.2},
}
FAST = {"batch-shuffle", "validation-freq", "validation-steps", "initial-epoch"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else slow) for n in OPTIONS])
def test_option(parity, rows, name):
    x, y = rows()
    parity(model, x=x, y=np.round(np.abs(y)), **OPTIONS[name])


def test_weights(parity, rows):
    x, y = rows()
    validation = (*rows(20, seed=1), np.linspace(0, 1, 20))
    parity(
        lambda: model(metrics=(), weighted_metrics=["mae"]),
        x=x,
        y=y,
        sample_weight=np.linspace(0.1, 2, 50),
        validation_data=validation,
        validation_batch_size=7,
        epochs=3,
    )


@slow
def test_a_chunk_of_few_epochs_changes_nothing(rows):
    from goodfit.training import engine

    x, y = rows()
    histories = []
    for chunk in (None, 1, 3):
        keras.utils.set_random_seed(3)
        histories.append(engine.fit(model(), x, y, epochs=7, verbose=0, chunk=chunk).history)
    assert histories[0] == histories[1] == histories[2]


INPUTS = {
    "float64": lambda x, y: (x.astype("float64"), y.astype("float64")),
    "integers": lambda x, y: ((10 * x).astype("int64"), (y > 0).astype("int32")),
    "bytes-and-booleans": lambda x, y: ((10 * np.abs(x)).astype("uint8"), y > 0),
    "half": lambda x, y: (x.astype("float16"), y.astype("float16")),
    "one-dimensional-targets": lambda x, y: (x, y[:, 0]),
    "frames": lambda x, y: (pd.DataFrame(x, columns=list("abcdef")), pd.Series(y[:, 0])),
    "mixed-frame": lambda x, y: (pd.DataFrame(x).assign(k=(x[:, 0] > 0).astype("int64")).iloc[:, 1:], pd.DataFrame(y)),
    "jax": lambda x, y: (keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)),
    "not-contiguous": lambda x, y: (np.asfortranarray(x), y[::1]),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "frames" else slow) for n in INPUTS])
@pytest.mark.parametrize("split", [0.0, pytest.param(0.2, marks=slow)])
def test_input(parity, rows, name, split):
    x, y = INPUTS[name](*rows())
    parity(model, x=x, y=y, epochs=2, batch_size=16, validation_split=split)


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 5

    def __getitem__(self, place):
        return self.x[10 * place : 10 * place + 10], self.y[10 * place : 10 * place + 10]


BY_KERAS = {
    "pydataset": (lambda x, y: {"x": Batches(x, y)}, "not arrays"),
    "generator": (
        lambda x, y: {"x": ((x[:10], y[:10]) for _ in range(20)), "steps_per_epoch": 5, "shuffle": False},
        "not arrays",
    ),
    "steps": (
        lambda x, y: {"x": x, "y": y, "batch_size": 10, "steps_per_epoch": 2},
        "steps_per_epoch is 2, and the rows make 5 steps",
    ),
    "validation": (lambda x, y: {"x": x, "y": y, "validation_data": Batches(x, y)}, "validation data"),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "pydataset" else slow) for n in BY_KERAS])
def test_left_to_keras(parity, rows, name):
    x, y = rows()
    give, reason = BY_KERAS[name]
    _, results = parity(model, lambda _: {**give(x, y), "epochs": 2}, runs_as="keras")
    assert reason in results[0].engine_reason


@slow
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: model(run_eagerly=True), "run_eagerly"),
        (lambda: model(jit_compile=False), "jit_compile"),
    ],
)
def test_models_left_to_keras(parity, rows, make, reason):
    x, y = rows(20)
    _, results = parity(make, x=x, y=y, batch_size=10, runs_as="keras")
    assert reason in results[0].engine_reason


def test_a_model_with_its_own_fit_keeps_it(rows):
    from goodfit.training import engine

    class Own(keras.Sequential):
        def fit(self, *arguments, **named):
            self.called = True
            return super().fit(*arguments, **named)

    own = Own([keras.Input((6,)), layers.Dense(1)])
    own.compile("sgd", "mse")
    result = engine.fit(own, *rows(), verbose=0)
    assert own.called
    assert (result.engine, result.engine_reason) == ("keras", "the model has its own fit()")


# Several fits in turn ------------------------------------------------------------------------------------------------


@slow
def test_a_second_fit_goes_on(parity, rows):
    x, y = rows()
    one = {"x": x, "y": y, "epochs": 2, "validation_split": 0.2}
    parity(model, lambda _: one, lambda _: {**one, "initial_epoch": 2, "epochs": 5})


def test_compile_again(parity, rows):
    x, y = rows()

    def again(m):
        m.compile("sgd", "mae", metrics=["mse"])

    one = {"x": x, "y": y, "epochs": 2}
    parity(model, lambda _: one, again, lambda _: one)


@slow
def test_freeze_and_compile_again(parity, rows):
    x, y = rows()

    def freeze(m):
        m.layers[0].trainable = False
        m.compile("adam", "mse")

    def thaw(m):
        m.layers[0].trainable = True
        m.compile(keras.optimizers.SGD(0.01), "mse")

    one = {"x": x, "y": y, "epochs": 2}
    parity(model, lambda _: one, freeze, lambda _: one, thaw, lambda _: one)


def test_another_learning_rate_or_seed_compiles_nothing(parity, rows):
    x, y = rows()

    def change(m):
        m.optimizer.learning_rate = 0.1
        np.random.seed(5)

    one = {"x": x, "y": y, "epochs": 2}
    _, results = parity(model, lambda _: one, change, lambda _: {**one, "epochs": 9})
    assert results[0].compile_seconds > 0
    assert results[1].compile_seconds == 0


@slow
def test_other_rows_in_a_second_fit(parity, rows):
    parity(
        model,
        lambda _: dict(zip("xy", rows(), strict=True), epochs=2),
        lambda _: dict(zip("xy", rows(33), strict=True), epochs=2, batch_size=8),
    )


@slow
def test_evaluate_and_predict_between_fits(parity, rows):
    x, y = rows()

    def look(m):
        m.evaluate(x, y, verbose=0)
        m.predict(x, verbose=0)
        m.train_on_batch(x[:4], y[:4])

    one = {"x": x, "y": y, "epochs": 2}
    parity(model, lambda _: one, look, lambda _: one)


@slow
def test_moving_average_over_two_fits(parity, rows):
    x, y = rows()

    def make():
        made = model()
        made.compile(keras.optimizers.Adam(0.01, use_ema=True), "mse")
        return made

    parity(make, x=x, y=y, epochs=2)


def test_errors_are_those_of_keras(rows):
    from goodfit.training import engine

    x, y = rows()
    for arguments in (
        {"x": x, "y": y[:-1]},
        {"x": x[:, :3], "y": y},
        {"x": x, "y": y, "validation_split": 0.999},
        {"x": x, "y": y, "validation_freq": "often", "validation_split": 0.2},
        {"x": x, "y": y, "class_weight": {0: 1.0}, "sample_weight": y[:, 0]},
    ):
        messages = []
        for train in (lambda m, **a: m.fit(**a), engine.fit):
            with pytest.raises(Exception, match=r".") as caught:
                train(model(), **arguments, verbose=0, **({"checks": "off"} if train is engine.fit else {}))
            messages.append((caught.type, str(caught.value)[:60]))
        assert messages[0] == messages[1]
