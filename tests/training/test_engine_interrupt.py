"""Ctrl-C in the middle of a training."""

import os
import signal
import threading
import time

import keras
import numpy as np
import pytest
from keras import callbacks, layers

from goodfit.training import engine
from goodfit.training.interrupt import Postponed


def model():
    keras.utils.set_random_seed(1)
    made = keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(1)])
    made.compile("adam", "mse")
    return made


def press_when(condition):
    """Send this process an interrupt, once, as soon as `condition()` holds."""

    def wait():
        while not condition():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def retrained(rows, epochs):
    """The weights after exactly so many epochs, by Keras."""
    again = model()
    np.random.seed(3)
    again.fit(*rows, epochs=epochs, verbose=0)
    return [np.asarray(v.value) for v in again.variables + again.optimizer.variables], np.random.random()


@pytest.mark.parametrize(("kind", "replayed"), [("compiled", False), ("compiled", True), ("compiled-epoch", False)])
def test_the_weights_are_those_of_the_last_epoch_told(rows, kind, replayed):
    data = rows(200)
    made = model()
    told = []
    watch = [callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: told.append(epoch))]
    known = [callbacks.EarlyStopping("loss", patience=100_000)] if replayed else None
    np.random.seed(3)
    thread = press_when(lambda: len(getattr(getattr(made, "history", None), "epoch", ())) > 3)
    result = engine.fit(
        made, *data, epochs=20_000, verbose=0, chunk=20, callbacks=watch if kind == "compiled-epoch" else known
    )
    drawn = np.random.random()
    thread.join()
    assert (result.engine, result.outcome) == (kind, "interrupted")
    epochs = len(result.epoch)
    assert 3 < epochs < 20_000
    assert len(result.history["loss"]) == epochs
    weights, expected = retrained(data, epochs)
    assert drawn == expected
    for variable, value in zip(made.variables + made.optimizer.variables, weights, strict=True):
        np.testing.assert_array_equal(np.asarray(variable.value), value)


def test_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with Postponed() as interrupt:
        assert signal.getsignal(signal.SIGINT) is not before
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_changed(rows):
    results = []
    thread = threading.Thread(target=lambda: results.append(engine.fit(model(), *rows(), verbose=0)))
    thread.start()
    thread.join()
    assert results[0].outcome == "finished"
