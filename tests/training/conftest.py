"""Keras on JAX, and the comparison of goodfit's `fit` with Keras's own in the same process."""

import os
import random
from types import SimpleNamespace

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest


def pytest_configure(config):
    asked = os.environ.get("GOODFIT_TEST_KERAS")
    if asked and keras.__version__ != asked:
        raise pytest.UsageError(f"Keras {asked} was to be tested, and {keras.__version__} is imported")
    # Keras itself: its variables lack an argument that NumPy 2 asks for, its confusion matrix asks for int64.
    config.addinivalue_line("filterwarnings", "ignore:Explicitly requested dtype int64:UserWarning")
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning")
    if hasattr(config, "cache"):
        os.environ.setdefault("GOODFIT_CACHE", str(config.cache.mkdir("goodfit-programs")))


def everything(model):
    """The values of all variables, by group."""
    optimizer = model.optimizer.variables if model.optimizer is not None else []
    groups = {
        "trainable": model.trainable_variables,
        "non-trainable": model.non_trainable_variables,
        "optimizer": optimizer,
        "metrics": model.metrics_variables,
    }
    return {name: [np.asarray(v.value) for v in group] for name, group in groups.items()}


def assert_equal_models(one, other):
    first, second = everything(one), everything(other)
    for group in first:
        assert len(first[group]) == len(second[group])
        for place, (a, b) in enumerate(zip(first[group], second[group], strict=True)):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b, err_msg=f"{group} variable {place}")


def assert_equal_histories(one, other):
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]), err_msg=name)


@pytest.fixture
def parity():
    """Train two equal models, one by `model.fit` and one by goodfit, and compare all that remains of it."""
    from goodfit.training import engine

    def compare(make, *fits, runs_as="compiled", **arguments):
        """`fits` are functions that give the arguments of one `fit` each (or change the model and give `None`)."""
        fits = fits or (lambda model: arguments,)  # noqa: ARG005
        results, models, draws = [], [], []
        for own in (True, False):
            keras.utils.clear_session()  # the names of metrics count up
            keras.utils.set_random_seed(7)
            model = make()
            mine = []
            for give in fits:
                given = give(model)
                if given is None:
                    continue
                given = {"verbose": 0, **given}
                if own:
                    history = model.fit(**given)
                    mine.append(SimpleNamespace(history=history.history, epoch=history.epoch, params=history.params))
                else:
                    mine.append(engine.fit(model, **given, checks="off"))
                    assert mine[-1].engine == runs_as, mine[-1].engine_reason
            results.append(mine)
            models.append(model)
            draws.append((np.random.random(), random.random()))
        for stock, ours in zip(*results, strict=True):
            assert_equal_histories(stock.history, ours.history)
            assert (stock.epoch, stock.params) == (ours.epoch, ours.params)
        assert_equal_models(*models)
        assert models[0].stop_training == models[1].stop_training
        assert draws[0] == draws[1]
        return models[1], results[1]

    return compare


@pytest.fixture
def rows():
    """Rows of a small problem: `rows(50)` gives `x` of shape (50, 6) and `y` of shape (50, 1)."""

    def draw(count=50, features=6, outputs=1, seed=0):
        generator = np.random.default_rng(seed)
        x = generator.normal(size=(count, features)).astype("float32")
        y = (np.tanh(x[:, :1] * x[:, 1:2]) + 0.1 * generator.normal(size=(count, outputs))).astype("float32")
        return x, y

    return draw
