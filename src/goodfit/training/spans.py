"""An epoch in spans of steps, where it takes long: so the progress bar moves and Ctrl-C is answered within it."""

from __future__ import annotations

import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.training import chunk as chunks
from goodfit.training import keras_internals, program
from goodfit.training.keras_internals import Rows
from goodfit.training.persistent_cache import persistent_cache

LONG = 1.5e11
"""Floating-point operations of an epoch from which on it is long: some 3 seconds on two cores."""
ACCELERATED = 100.0
"""So many times as much on an accelerator."""
STEP = 5e5
"""What a step costs beside its products, in operations: some 10 microseconds."""
SPAN_SECONDS = 0.15
"""Seconds that a span should take: long against a dispatch, short enough for Ctrl-C and a progress bar."""
SHOWN_EVERY = 0.2
"""Seconds between two movements of a progress bar within an epoch."""
_GROWTH = 4


def is_long(model: keras.Model, rows: Rows) -> bool:
    """Whether an epoch may take so long that a user would miss the bar's movements."""
    operations = rows.count * products(model) * 6 + rows.steps * STEP  # forward, and twice that backward
    return operations > (LONG if jax.default_backend() == "cpu" else LONG * ACCELERATED)


def products(model: keras.Model) -> int:
    """Multiplications of weights with one row's values, about: each weight at each place where its layer uses it.

    Example:
        >>> products(keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(8, 3, use_bias=False)]))
        48672
    """
    total, counted = 0, set()
    for layer in keras_internals.all_layers(model)[1:]:
        parts = keras_internals.all_layers(layer)
        recurrent = isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional))
        whole = recurrent or isinstance(layer, keras.layers.TimeDistributed)
        if id(layer) in counted or isinstance(layer, keras.layers.Embedding) or (len(parts) > 1 and not whole):
            continue  # looked up; or of its parts, which are listed too
        counted.update(map(id, parts))
        tensors: Any = layer
        try:
            shape = tensors.input.shape[1:2] if recurrent else tensors.output.shape[1:-1]
        except (AttributeError, ValueError):  # in no graph of layers
            shape = ()
        weights = sum(math.prod(variable.shape) for variable in layer.trainable_variables if len(variable.shape) > 1)
        total += weights * math.prod(size or 1 for size in shape)
    return total


def compile_ahead(model: keras.Model, rows: Rows) -> float:
    """Make the programs of an epoch's spans; the seconds that it took."""
    sizes = {min(rows.batch_size, rows.count), rows.count % rows.batch_size} - {0}
    return sum(made.seconds for made, new in (_program(model, rows, size) for size in sorted(sizes)) if new)


def _program(model: keras.Model, rows: Rows, size: int) -> tuple[chunks.Program, bool]:
    """`(weights, tracked, data, order, start, count)` -> `(logs, weights, tracked)`: steps of one size."""
    options = ("span", size, rows.count if rows.shuffle else 0)
    return chunks.cached(model, rows.arrays, options, lambda: _compile(model, rows, size))


def _compile(model: keras.Model, rows: Rows, size: int) -> Any:
    def run(weights: Any, tracked: Any, data: Any, order: Any, start: Any, count: Any) -> tuple[Any, Any, Any]:
        logs, state = program.steps_from(model, (*weights, tracked), data, order, start, size, count)
        return logs, state[:3], state[3]

    state = program.read_state(model)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    order = jax.ShapeDtypeStruct((rows.count,), jnp.int32) if rows.shuffle else None
    lowered = jax.jit(run, donate_argnums=0, keep_unused=True).lower(
        state[:3], state[3], rows.arrays, order, number, number
    )
    with persistent_cache():
        return lowered.compile()


def train(model: keras.Model, rows: Rows, order: np.ndarray | None, callbacks: Any, interrupt: Any) -> dict[str, Any]:
    """Train the model for one epoch, in place, as one dispatch of all its steps would.

    Args:
        model: compiled and built, its metrics reset.
        rows: to train on.
        order: of the rows, where they are visited in a drawn one.
        callbacks: Keras's `CallbackList`; of these only the progress bar is told of steps.
        interrupt: whether Ctrl-C was pressed, see `interrupt.Postponed`.

    Returns:
        the logs at the end of the epoch.

    Raises:
        KeyboardInterrupt: after the span in which Ctrl-C was pressed; the model has its weights.
    """
    groups = program.variables(model)
    bar = bar_of(callbacks)
    visits = None if order is None else jnp.asarray(order)
    state = chunks.own_buffers(program.read_state(model))
    full, rest = divmod(rows.count, rows.batch_size)
    size, done, logs = 1, 0, {}
    shown = began = time.perf_counter()
    while done < rows.steps:
        steps, batch = (min(size, full - done), rows.batch_size) if done < full else (1, rest)
        made, _ = _program(model, rows, batch)
        start = np.int32(done * rows.batch_size)
        logs, weights, tracked = made.run(state[:3], state[3], rows.arrays, visits, start, np.int32(steps))
        state = (*weights, tracked)
        for variables, values in zip(groups, state, strict=True):
            keras_internals.set_values(variables, values)
        jax.block_until_ready(tracked or logs)
        now = time.perf_counter()
        done += steps
        size = max(1, min(int(SPAN_SECONDS * steps / (now - began)), _GROWTH * size))
        began = now
        if interrupt.requested and done < rows.steps:
            raise KeyboardInterrupt
        if bar is not None and now - shown > SHOWN_EVERY and done < rows.steps:
            bar.on_train_batch_end(done - 1, logs_after(model, tracked, logs))
            shown = now
    return logs_after(model, state[3], logs)


def bar_of(callbacks: Any) -> keras.callbacks.ProgbarLogger | None:
    """The progress bar that moves within an epoch, if there is one."""
    bars = [callback for callback in callbacks.callbacks if type(callback) is keras.callbacks.ProgbarLogger]
    return next((bar for bar in bars if bar.verbose == 1), None)


def logs_after(model: keras.Model, tracked: Any, logs: Any) -> dict[str, Any]:
    """What Keras reports after a step: what its metrics say; or the step's own logs, where these have other names."""
    with keras.StatelessScope(state_mapping=list(zip(model.metrics_variables, tracked, strict=True))):
        results = model.get_metrics_result()
    return keras_internals.plain_logs(results if set(results) == set(logs) else logs)
