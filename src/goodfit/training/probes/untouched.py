"""`untouched`: whatever happens inside, model, names and random states are afterwards what they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from goodfit.training import keras_internals, program


@contextmanager
def untouched(model: keras.Model) -> Iterator[None]:
    """Put back the model's variables and all global random states, also after an error or a Ctrl-C.

    What is put back: the values of weights, optimizer and metrics variables and of the model's own random streams; the
    global states of NumPy, of Python's `random` and of `keras.random`; Keras's counters of names, so that the next
    layer is called what it would have been called.

    Args:
        model: compiled.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> before = model.get_weights()
        >>> with untouched(model):
        ...     model.set_weights([w + 1 for w in before])
        >>> bool(np.all(model.get_weights()[0] == before[0]))
        True
    """
    held = [(variables, keras_internals.get_values(variables)) for variables in program.variables(model)]
    numpy_state, python_state = np.random.get_state(), random.getstate()
    session = keras_internals.session_state()
    try:
        yield
    finally:
        for variables, values in held:
            keras_internals.set_values(variables, values)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        keras_internals.restore_session(session)
