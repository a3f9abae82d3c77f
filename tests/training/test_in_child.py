"""Training in a JAX process of its own: the same as `model.fit` on JAX, bit for bit; and what can go wrong there."""

import contextlib
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from keras import callbacks, layers

import goodfit
from goodfit.errors import GoodfitError, InputError
from goodfit.training import in_child

slow = pytest.mark.slow  # each starts a process that imports keras and jax

DEFAULTS = {
    "y": None,
    "batch_size": None,
    "epochs": 1,
    "verbose": 0,
    "callbacks": None,
    "validation_split": 0.0,
    "validation_data": None,
    "shuffle": True,
    "class_weight": None,
    "sample_weight": None,
    "initial_epoch": 0,
    "steps_per_epoch": None,
    "validation_steps": None,
    "validation_batch_size": None,
    "validation_freq": 1,
}


def train(model, checks="on", **arguments):
    return in_child.fit(model, {**DEFAULTS, **arguments}, checks)


def network(optimizer="adam"):
    made = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )
    made.compile(optimizer, "mse", metrics=["mae", keras.metrics.R2Score()])
    return made


class Nudge(callbacks.Callback):
    """Looks at the weights after each epoch, and changes one."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        self.seen.append([w.tolist() for w in self.model.get_weights()])
        if epoch == 1:
            self.model.layers[0].bias.assign_add(np.full(8, 0.125, "float32"))


def known():
    return [
        callbacks.EarlyStopping(patience=2, min_delta=0.05, restore_best_weights=True),
        callbacks.ReduceLROnPlateau(patience=1, min_delta=0.05),
    ]


def unknown():
    return [callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9 if epoch else rate), Nudge()]


CASES = {
    "plain": ("compiled", lambda: None, {"epochs": 6, "validation_split": 0.3}),
    "replayed": ("compiled", known, {"epochs": 30, "validation_split": 0.3}),
    "any": ("compiled-epoch", unknown, {"epochs": 4, "initial_epoch": 1, "validation_freq": 2, "shuffle": "batch"}),
    "keras": ("keras", unknown, {"epochs": 2, "steps_per_epoch": 2}),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "any" else slow) for n in CASES])
def test_the_child_does_what_keras_does_here(name, rows):
    engine, listed, options = CASES[name]
    x, y = rows(70)
    validation = {} if "validation_split" in options else {"validation_data": (*rows(20, seed=1), np.arange(20.0) / 20)}
    results = []
    for own in (True, False):
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)
        model = network(keras.optimizers.Adam(0.05, use_ema=name == "keras"))
        given = {"x": x, "y": y, "sample_weight": np.linspace(0.5, 1, 70), "batch_size": 16, **options, **validation}
        cbs = listed()
        if own:
            done = model.fit(**given, callbacks=cbs, verbose=0)
        else:
            done = train(model, **given, callbacks=cbs)
            assert done.engine == engine, done.engine_reason
            assert done.engine_reason.startswith("in a JAX process of its own: ")
            assert "Relay" not in done.engine_reason
        results.append((done, model, cbs, np.random.random(), random.random()))
    stock, ours = results
    assert list(stock[0].history) == list(ours[0].history)
    for curve, values in stock[0].history.items():
        np.testing.assert_array_equal(values, ours[0].history[curve], err_msg=curve)
    assert stock[0].epoch == ours[0].epoch
    assert stock[0].params == ours[0].params
    for mine, theirs in zip(in_child.numpy_state(ours[1]), in_child.numpy_state(stock[1]), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    assert stock[3:] == ours[3:]
    assert stock[1].stop_training == ours[1].stop_training
    if name == "replayed":
        assert ours[0].outcome == "stopped"
        assert stock[2][0].stopped_epoch == ours[2][0].stopped_epoch > 0
    if name in ("any", "keras"):
        assert stock[2][1].seen == ours[2][1].seen
        assert len(ours[2][1].seen) == len(ours[0].epoch) > 1


OWN = """
import os
import keras

@keras.saving.register_keras_serializable("mine")
class Scale(keras.layers.Layer):
    def __init__(self, by=1.0, dies=False, **kwargs):
        super().__init__(**kwargs)
        self.by, self.dies = by, dies
    def build(self, shape):
        self.weight = self.add_weight(shape=(shape[-1],), initializer="ones")
    def call(self, x):
        if self.dies and os.environ.get("GOODFIT_TEST_CHILD"):
            os._exit(7)
        return x * self.by * self.weight
    def get_config(self):
        return {**super().get_config(), "by": self.by, "dies": self.dies}

def bend(x):
    return x + 0.1 * keras.ops.sin(x)

def fourth(y_true, y_pred):
    return keras.ops.mean((y_true - y_pred) ** 4, axis=-1)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_layers_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    import own_layers_of_a_test as module

    yield module
    del sys.modules["own_layers_of_a_test"]


def with_own(module, **options):
    made = keras.Sequential([keras.Input((6,)), module.Scale(0.5, **options), layers.Dense(1, activation=module.bend)])
    made.compile("sgd", module.fourth)
    return made


@slow
def test_classes_and_functions_of_an_importable_module_travel(own, rows):
    x, y = rows()
    one, other = with_own(own), with_own(own)
    other.set_weights(one.get_weights())
    np.random.seed(0)
    history = train(one, x=x, y=y, epochs=3).history
    np.random.seed(0)
    assert history == other.fit(x, y, epochs=3, verbose=0).history
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@slow
def test_a_child_that_dies_is_told_with_its_code_and_leaves_the_model(own, rows, monkeypatch):
    x, y = rows()
    model = with_own(own, dies=True)
    before = model.get_weights()
    monkeypatch.setenv("GOODFIT_TEST_CHILD", "1")
    monkeypatch.setattr(own.Scale, "call", lambda self, x: x * self.by * self.weight)  # here it lives
    with pytest.raises(GoodfitError, match=r"ended \(code 7\)"):
        train(model, x=x, y=y)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert threading.active_count() < 20


@slow
def test_what_keras_raises_there_is_raised_here(rows, capfd):
    x, y = rows()
    with pytest.raises(ValueError, match="cardinality is ambiguous"):
        train(network(), x=x, y=y[:-1])
    assert "Traceback" in capfd.readouterr().err


def test_ctrl_c_brings_back_the_last_whole_epochs(rows):
    x, y = rows(70)
    model = network()

    def interrupt():
        while len(getattr(getattr(model, "history", None), "epoch", ())) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    done = train(model, x=x, y=y, epochs=10_000_000)
    assert done.outcome == "interrupted"
    assert 3 <= len(done.epoch) < 10_000_000
    assert len(done.history["loss"]) == len(done.epoch)
    assert int(model.optimizer.iterations) == 3 * len(done.epoch)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@slow
@pytest.mark.parametrize("seconds", [(0.5,), (3.0,), (3.0, 3.5)])
def test_ctrl_c_before_the_first_epoch_leaves_the_model(rows, seconds):
    x, y = rows(70)
    model = network()
    before = model.get_weights()
    # while the process imports, rebuilds or compiles
    timers = [threading.Timer(wait, os.kill, (os.getpid(), signal.SIGINT)) for wait in seconds]
    for timer in timers:
        timer.start()
    done = None
    with contextlib.suppress(KeyboardInterrupt):  # where the first one was enough, the second may come after it
        done = train(model, x=x, y=y, epochs=10_000_000)
        for timer in timers:
            timer.cancel()
    assert done is not None
    assert done.outcome == "interrupted"
    if not done.epoch:
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    gc.collect()  # a pipe left open would warn


@slow
@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_while_the_process_is_being_ended(rows, monkeypatch, signals):
    wait, ended = subprocess.Popen.wait, []

    def interrupted(process, timeout=None):
        if not ended:
            ended.append(process)
            os.kill(os.getpid(), signal.SIGINT)
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    x, y = rows(70)
    if signals == 2:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    done = train(network(), x=x, y=y, epochs=10_000_000 if signals == 2 else 2)
    assert done.outcome == ("interrupted" if signals == 2 else "finished")
    assert ended[0].returncode is not None
    assert all(pipe.closed for pipe in (ended[0].stdin, ended[0].stdout, ended[0].stderr))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def lambda_layer():
    made = keras.Sequential([keras.Input((6,)), layers.Lambda(lambda x: x + 1), layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def local_layer():
    class Local(layers.Layer):
        def call(self, x):
            return x

    made = keras.Sequential([keras.Input((6,)), Local(), layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def train_step(self, *arguments):
        return super().train_step(*arguments)


class Unconfigured(keras.Model):
    def __init__(self, dense):
        super().__init__()
        self.dense = dense
        self.pair = object()

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        raise NotImplementedError("no config")


def compiled(model):
    model.compile("sgd", "mse")
    return model


class Batchwise(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class AroundValidation(callbacks.Callback):
    def on_test_begin(self, logs=None):
        pass


def test_the_setup_is_looked_at_before_a_process_starts(rows, monkeypatch):
    def start(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    x, y = rows(40)
    with pytest.raises(InputError, match=r"the learning rate is 1e\+09"):
        train(network(keras.optimizers.SGD(1e9)), x=x, y=y)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda_layer, {}, "a lambda"),
        (local_layer, {}, "Local is defined in the script or notebook itself or inside a function"),
        (lambda: compiled(OwnStep()), {}, r"its own train_step\(\)"),
        (lambda: compiled(Unconfigured(layers.Dense(1))), {}, "no config"),
        (network, {"callbacks": [Batchwise()]}, "Batchwise looks into the training within an epoch"),
        (network, {"callbacks": AroundValidation()}, "on_test_begin"),
        (network, {"x": (part for part in ()), "y": None}, "the data are not arrays"),
        (network, {"validation_data": (part for part in ())}, "the data are not arrays"),
        (lambda: keras.Sequential([layers.Dense(1)]), {}, "not compiled"),
    ],
)
def test_what_cannot_travel_is_refused_before_a_process_starts(make, arguments, message, rows, monkeypatch):
    monkeypatch.setattr(in_child.subprocess, "Popen", None)
    x, y = rows()
    with pytest.raises(InputError, match=message):
        train(make(), **{"x": x, "y": y, **arguments}, checks="off")


def test_an_engine_that_does_not_exist(rows):
    x, y = rows()
    with pytest.raises(InputError, match="engine is 'torch'"):
        goodfit.fit(network(), x, y, engine="torch")
    assert goodfit.fit(network(), x, y, engine="jax", verbose=0).engine == "compiled"  # on JAX there is no other
