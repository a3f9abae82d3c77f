"""A chunk of epochs as one compiled program, and its place in the model's compile state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax
from jax.extend import core

from goodfit.training import keras_internals, metrics, program
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.program import Logs, State

ORDER_BYTES = 1 << 20
"""Bytes of row orders that one chunk is given at most: this bounds how many epochs it can hold."""
STATE_BYTES = 32 << 20
"""Bytes of states that a chunk which keeps the state after each epoch may hold."""
LONGEST = 256
"""Epochs in a chunk at most."""
_CACHED = 16


@dataclass(frozen=True)
class Program:
    """A compiled chunk of epochs.

    Args:
        run: `(state, data, validation, orders, evaluate, count)` -> `(state, results, states)`: trains `count` epochs
            in the row orders `orders` of shape (length, rows) and validates after epoch i where `evaluate[i]`. The
            results (`metrics.logs_of` reads them) have a leading axis of `length`, of which the first `count` hold; so
            have the states after each epoch, where they are kept.
        seconds: it took to trace and compile.
    """

    run: Callable[..., Any]
    seconds: float


def length_of(rows: int, epochs: int, state_bytes: int = 0) -> int:
    """How many epochs a chunk may hold: its orders and states are bounded; equal for equal numbers of rows."""
    longest = min(LONGEST, ORDER_BYTES // (4 * max(rows, 1)))
    if state_bytes:
        longest = min(longest, STATE_BYTES // state_bytes)
    return max(1, longest if epochs > 1 else 1)


def state_bytes(model: keras.Model) -> int:
    """Bytes of all of the model's variables."""
    return sum(
        math.prod(v.shape) * np.dtype(v.value.dtype).itemsize for group in program.variables(model) for v in group
    )


def get(
    model: keras.Model,
    data: Any,
    validation: Any,
    *,
    batch_size: int,
    validation_batch_size: int,
    visited: int,
    always_validate: bool,
    length: int,
    keep_states: bool,
) -> tuple[Program, bool]:
    """The compiled program of a chunk, from the model's compile state where it was made before.

    Args:
        model: compiled and built.
        data: the arrays to train on.
        validation: the arrays to validate on, or `None`.
        batch_size: rows per training step.
        validation_batch_size: rows per validation step.
        visited: rows per epoch, where they are visited in a drawn order; 0 takes all as they stand.
        always_validate: whether it validates after every epoch.
        length: epochs in a chunk at most.
        keep_states: whether the state after each epoch is given back.

    Returns:
        The program, and whether it is new.
    """
    options = (batch_size, validation_batch_size, visited, always_validate, length, keep_states)
    return cached(model, (data, validation), options, lambda: _compile(model, data, validation, *options))


def get_validation(model: keras.Model, data: Any, batch_size: int) -> tuple[Program, bool]:
    """A validation as a program of its own: `run(state, data)` -> `(state, logs)`."""
    return cached(model, data, ("validation", batch_size), lambda: _compile_validation(model, data, batch_size))


def cached(
    model: keras.Model, data: Any, options: tuple[Any, ...], make: Callable[[], Callable[..., Any]]
) -> tuple[Program, bool]:
    """A program from the model's compile state, made where none is there for such data and options."""
    groups = program.variables(model)
    key = (tuple(tuple(map(id, group)) for group in groups), _shapes(data), options, _context())
    programs = keras_internals.programs(model)
    if key in programs:
        return programs[key][0], False
    began = time.perf_counter()
    run = make()
    made = Program(run, time.perf_counter() - began)
    while len(programs) >= _CACHED:
        del programs[next(iter(programs))]
    programs[key] = (made, groups)  # the variables are kept, so that no other can take their identity
    return made, True


def _shapes(tree: Any) -> tuple[Any, ...]:
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


def _context() -> tuple[Any, ...]:
    """Settings of JAX that change what is traced."""
    names = ("jax_default_matmul_precision", "jax_enable_x64", "jax_default_prng_impl", "jax_default_device")
    return (*(getattr(jax.config, name) for name in names), jax.default_backend())


def _compile(
    model: keras.Model,
    data: Any,
    validation: Any,
    batch_size: int,
    validation_batch_size: int,
    visited: int,
    always_validate: bool,
    length: int,
    keep_states: bool,
) -> Callable[..., Any]:
    exact = metrics.exact_inside(model)

    def train(state: State, data: Any, order: Any) -> tuple[Any, State]:
        logs, state = program.train_epoch(model, state, data, order if visited else None, batch_size)
        return (logs, () if exact else state[3]), state

    def epoch(state: State, data: Any, validation: Any, order: Any, evaluate: Any) -> tuple[Any, State]:
        logs, state = train(state, data, order)
        if validation is None:
            return (logs, ({}, ())), state

        def measure(state: State) -> tuple[Any, State]:
            logs, state = program.validate(model, state, validation, validation_batch_size)
            return (logs, () if exact else state[3]), state

        if always_validate:
            more, state = measure(state)
        else:
            shapes, _ = jax.eval_shape(measure, state)

            def leave(state: State) -> tuple[Any, State]:
                return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes), state

            more, state = lax.cond(evaluate, measure, leave, state)
        return (logs, more), state

    state = program.read_state(model)
    order = jax.ShapeDtypeStruct((visited,), jnp.int32)
    flag = jax.ShapeDtypeStruct((), jnp.bool_)
    # Traced once: chunks of any number of epochs are made of the same jaxpr.
    jaxpr, shapes = jax.make_jaxpr(epoch, return_shape=True)(state, data, validation, order, flag)
    function = core.jaxpr_as_fun(jaxpr)
    structure = jax.tree.structure(shapes)

    def chunk(
        weights: Any, tracked: Any, data: Any, validation: Any, orders: Any, evaluate: Any, count: Any
    ) -> tuple[State, Any, Any]:
        state = (*weights, tracked)
        kept = shapes if keep_states else (shapes[0], ())
        buffers = jax.tree.map(lambda a: jnp.zeros((length, *a.shape), a.dtype), kept)

        def body(place: Any, carry: Any) -> Any:
            state, buffers = carry
            inputs = jax.tree.leaves((state, data, validation, orders[place], evaluate[place]))
            logs, state = jax.tree.unflatten(structure, function(*inputs))
            new = (logs, state if keep_states else ())
            return state, jax.tree.map(lambda buffer, value: buffer.at[place].set(value), buffers, new)

        state, (logs, states) = lax.fori_loop(0, count, body, (state, buffers))
        return state, logs, states

    arguments = (
        state[:3],
        state[3],
        data,
        validation,
        jax.ShapeDtypeStruct((length, *order.shape), jnp.int32),
        jax.ShapeDtypeStruct((length,), jnp.bool_),
        jax.ShapeDtypeStruct((), jnp.int32),
    )
    lowered = jax.jit(chunk, donate_argnums=0, keep_unused=True).lower(*arguments)
    with persistent_cache():
        compiled = lowered.compile()

    def run(
        state: State, data: Any, validation: Any, orders: np.ndarray, evaluate: np.ndarray, count: int
    ) -> tuple[State, Any, Any]:
        return compiled(state[:3], state[3], data, validation, orders, evaluate, np.int32(count))

    return run


def _compile_validation(model: keras.Model, data: Any, batch_size: int) -> Callable[..., Any]:
    def run(state: State, data: Any) -> tuple[State, Logs]:
        logs, state = program.validate(model, state, data, batch_size)
        return state, logs

    lowered = jax.jit(run).lower(program.read_state(model), data)
    with persistent_cache():
        return lowered.compile()


def own_buffers(state: State) -> State:
    """The state, with a copy of every array that stands in it twice: what a program is given, it may overwrite."""
    seen: set[int] = set()

    def own(value: jax.Array) -> jax.Array:
        if id(value) in seen:
            return jnp.array(value, copy=True)
        seen.add(id(value))
        return value

    return jax.tree.map(own, state)


def orders_of(rows: keras_internals.Rows, count: int, length: int) -> np.ndarray:
    """The row orders of the next `count` epochs, drawn as Keras draws them: the first rows of (length, rows)."""
    if not rows.shuffle:
        return np.zeros((length, 0), np.int32)
    orders = np.empty((length, rows.count), np.int32)
    for place in range(count):
        orders[place] = rows.order()
    return orders
