"""The step of an epoch after which the loss is not finite, and the model's state then: where `TerminateOnNaN` stops."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.training import chunk, program
from goodfit.training.keras_internals import Rows
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.program import State


def first_step(model: keras.Model, rows: Rows, order: np.ndarray | None, start: State) -> tuple[int, State | None]:
    """The first step of an epoch after which the epoch's loss is not finite.

    Keras's loss of an epoch is a running mean: once it is not finite, it stays so. The step is found by bisection, with
    epochs of fewer steps; these are what Keras does up to there, to the last bit.

    Args:
        model: compiled and built; it is not changed.
        rows: that the epoch trains on, and at the end of which the loss is not finite.
        order: in which the epoch visits them, shape (rows,); `None` takes them as they stand.
        start: the state in which the epoch began.

    Returns:
        The step, counted from 0, and the state after it; `None` where it is the last one of the epoch.
    """
    if rows.steps == 1:
        return 0, None
    data = rows.arrays if order is None else jax.tree.map(lambda a: jnp.asarray(a)[jnp.asarray(order)], rows.arrays)
    made, _ = chunk.cached(model, data, ("steps", rows.batch_size), lambda: _compile(model, data, rows.batch_size))
    finite, reached = 0, rows.steps
    state: State | None = None
    while reached - finite > 1:
        middle = (finite + reached) // 2
        loss, after = made.run(start, data, middle)
        if np.isfinite(loss):
            finite = middle
        else:
            reached, state = middle, after
    return reached - 1, state


def _compile(model: keras.Model, data: Any, batch_size: int) -> Any:
    def steps(state: State, data: Any, count: Any) -> tuple[Any, State]:
        logs, state = program.train_steps(model, program.reset_metrics(model, state), data, batch_size, count)
        return logs["loss"], state

    lowered = jax.jit(steps).lower(program.read_state(model), data, jax.ShapeDtypeStruct((), jnp.int32))
    with persistent_cache():
        compiled = lowered.compile()

    def run(state: State, data: Any, count: int) -> tuple[Any, State]:
        return compiled(state, data, np.int32(count))

    return run
