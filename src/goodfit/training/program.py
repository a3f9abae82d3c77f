"""A model's training as pure functions of its state: the parts that programs of whole epochs are made of.

`train_epoch` and `validate` do what one epoch of `model.fit` does, with `model.train_step` and `model.test_step`. On
Keras's JAX backend these are pure and carry losses, regularizers, metrics, random seeds, batch-norm statistics and
overrides. They can be traced: under `jax.jit`, in a `lax.scan` over epochs, under a `jax.vmap` over a leading axis of
state and order (many seeds as one program).

The model must be compiled and built, its optimizer and metrics too (`goodfit.training.keras_internals.build`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import keras
from jax import lax

from goodfit.training.convolution import canonicalize

Arrays: TypeAlias = list[jax.Array]
State: TypeAlias = tuple[Arrays, Arrays, Arrays, Arrays]
"""Values of the trainable variables, the non-trainable ones, the optimizer's and the metrics', in the model's order."""
Logs: TypeAlias = dict[str, jax.Array]
Data: TypeAlias = Any
"""What `train_step` takes: `x`, `(x, y)` or `(x, y, sample_weight)`, each an array or a tree of arrays, rows first."""


def variables(model: keras.Model) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """The model's variables, grouped and ordered as in `State`."""
    optimizer = model.optimizer.variables if model.optimizer is not None else []
    return model.trainable_variables, model.non_trainable_variables, list(optimizer), model.metrics_variables


def read_state(model: keras.Model) -> State:
    """The values of all of the model's variables."""
    trainable, non_trainable, optimizer, metrics = ([v.value for v in group] for group in variables(model))
    return trainable, non_trainable, optimizer, metrics


def write_state(model: keras.Model, state: State) -> None:
    """Set all of the model's variables to the values of `state`."""
    for group, values in zip(variables(model), state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)


def train_epoch(
    model: keras.Model, state: State, data: Data, order: jax.Array | None, batch_size: int
) -> tuple[Logs, State]:
    """Train for one epoch, as an epoch of `model.fit` does.

    Args:
        model: compiled and built; it is not changed.
        state: where to start; the metrics are reset.
        data: the arrays to train on, rows first.
        order: shape (visited,), int32: the rows in the order of their visits; `None` takes them as they stand.
        batch_size: rows per step; the last step takes what remains, at its real size.

    Returns:
        The scalars that `fit` reports at the end of the epoch, and the state after it.
    """
    logs, state = _steps(model.train_step, reset_metrics(model, state), data, order, batch_size)
    return _epoch_logs(model, state, logs), state


def validate(model: keras.Model, state: State, data: Data, batch_size: int) -> tuple[Logs, State]:
    """Evaluate on validation rows, as `model.fit` does after an epoch.

    Args:
        model: compiled and built; it is not changed.
        state: the weights to evaluate; the metrics are reset.
        data: the arrays to evaluate on, rows first.
        batch_size: rows per step.

    Returns:
        The scalars of `model.evaluate`, their names with `val_` before them, and the state after it.
    """
    trainable, non_trainable, optimizer, metrics = reset_metrics(model, state)
    logs, (trainable, non_trainable, metrics) = _steps(
        _held(model.test_step), (trainable, non_trainable, metrics), data, None, batch_size
    )
    state = (trainable, non_trainable, optimizer, metrics)
    return {f"val_{name}": value for name, value in _epoch_logs(model, state, logs).items()}, state


def train_steps(
    model: keras.Model, state: State, data: Data, batch_size: int, count: jax.Array | int
) -> tuple[Logs, State]:
    """Train for some steps of an epoch: the metrics go on from what they have counted.

    Args:
        model: compiled and built; it is not changed.
        state: where to start.
        data: the arrays to train on, `count` times `batch_size` rows first.
        batch_size: rows per step.
        count: steps; it may be known only when the program runs.

    Returns:
        The logs of the last step, and the state after it.
    """
    return _repeat(model.train_step, state, data, None, start=0, size=batch_size, count=count)


def steps_from(
    model: keras.Model,
    state: State,
    data: Data,
    order: jax.Array | None,
    start: jax.Array | int,
    batch_size: int,
    count: jax.Array | int,
) -> tuple[Logs, State]:
    """Train for some steps of an epoch, from one of its rows on: the metrics go on from what they have counted.

    Args:
        model: compiled and built; it is not changed.
        state: where to start.
        data: all arrays to train on, rows first.
        order: shape (visited,), int32: the rows in the order of their visits; `None` takes them as they stand.
        start: place of the first row, of those visited; it may be known only when the program runs.
        batch_size: rows per step.
        count: steps, likewise.

    Returns:
        The logs of the last step, and the state after it.
    """
    return _repeat(model.train_step, state, data, order, start=start, size=batch_size, count=count)


def validation_steps(
    model: keras.Model, state: State, data: Data, batch_size: int, count: jax.Array | int
) -> tuple[Logs, State]:
    """Evaluate for some steps: as `train_steps`, with the weights left as they are."""
    trainable, non_trainable, optimizer, metrics = state
    logs, (trainable, non_trainable, metrics) = _repeat(
        _held(model.test_step), (trainable, non_trainable, metrics), data, None, start=0, size=batch_size, count=count
    )
    return logs, (trainable, non_trainable, optimizer, metrics)


def repeat_step(
    step: Callable[[Any, Data], Any], state: Any, data: Data, batch_size: int, count: jax.Array | int
) -> tuple[Any, Any]:
    """Any step, `count` times, on one batch after the other.

    Args:
        step: `(state, batch)` -> logs and the state after it, as `model.train_step`.
        state: where to start, a tree of arrays.
        data: arrays, `count` times `batch_size` rows first.
        batch_size: rows per step.
        count: steps; it may be known only when the program runs.

    Returns:
        The logs of the last step, and the state after it.
    """
    return _repeat(step, state, data, None, start=0, size=batch_size, count=count)


def reset_metrics(model: keras.Model, state: State) -> State:
    """The state after `model.reset_metrics()`."""
    with _scope(model, state) as scope:
        model.reset_metrics()
        now = [[scope.get_current_value(variable) for variable in group] for group in variables(model)]
    # Behind a barrier: XLA would compute with known zeros in another way than Keras's step does with an array of zeros.
    return lax.optimization_barrier(_like(now, state))


def _scope(model: keras.Model, state: State) -> keras.StatelessScope:
    pairs = [
        pair for group, values in zip(variables(model), state, strict=True) for pair in zip(group, values, strict=True)
    ]
    return keras.StatelessScope(state_mapping=pairs)


def _epoch_logs(model: keras.Model, state: State, logs: Any) -> Logs:
    """The metrics' results; or the last step's own logs, where `train_step` reports other names."""
    if not isinstance(logs, dict):
        raise TypeError(f"train_step and test_step must return a dict of logs, not {type(logs).__name__}")
    results = metric_results(model, state)
    return flatten_logs(results if set(results) == set(logs) else logs)


def metric_results(model: keras.Model, state: State) -> dict[str, Any]:
    """What the model's metrics say of a state, by name (a metric may give several, in a dict of its own)."""
    with _scope(model, state):
        return model.get_metrics_result()


def flatten_logs(logs: dict[str, Any]) -> Logs:
    """Logs as Keras hands them on: sorted by name, a dict within them replaced by what it holds."""
    flat: Logs = {}
    for name, value in sorted(logs.items()):
        flat.update(flatten_logs(value) if isinstance(value, dict) else {name: jnp.asarray(value)})
    return flat


def _like(new: Any, old: Any) -> Any:
    """`new` with the tree and the dtypes of `old`, none of them weak: what a scan carries must keep its type."""
    leaves, tree = jax.tree.flatten(old)
    values = jax.tree.leaves(new)
    if [jnp.shape(value) for value in values] != [jnp.shape(leaf) for leaf in leaves]:
        raise TypeError("a step changed the number or the shape of the model's variables")
    return jax.tree.unflatten(
        tree, [lax.convert_element_type(value, leaf.dtype) for value, leaf in zip(values, leaves, strict=True)]
    )


def _steps(step: Callable[[Any, Data], Any], state: Any, data: Data, order: Any, batch_size: int) -> tuple[Any, Any]:
    """All steps of an epoch: the full batches in one loop, then what remains in a step of its own size."""
    data = jax.tree.map(jnp.asarray, data)
    rows = (jax.tree.leaves(data)[0] if order is None else order).shape[0]
    full, rest = divmod(rows, batch_size)
    logs: Any = {}
    if full:
        logs, state = _repeat(step, state, data, order, start=0, size=batch_size, count=full)
    if rest:
        logs, state = _repeat(step, state, data, order, start=full * batch_size, size=rest, count=1)
    return logs, state


def _held(step: Callable[[Any, Data], Any]) -> Callable[[Any, Data], Any]:
    """A step that leaves the weights as they are, without XLA knowing it in a loop of such steps: what it makes of
    weights that don't change (penalties) it would compute once ahead, apart from the sum that it is part of in Keras's
    step, and round it in another way."""

    def held(state: Any, batch: Data) -> Any:
        logs, state = step(state, batch)
        return logs, lax.optimization_barrier(state)

    return held


def _repeat(
    step: Callable[[Any, Data], Any], state: Any, data: Data, order: Any, *, start: Any, size: int, count: Any
) -> tuple[Any, Any]:
    """`count` steps of `size` rows each, from row `start` on."""
    run, logs = _trace(step, state, jax.tree.map(lambda a: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype), data))

    def part(array: jax.Array, place: Any) -> jax.Array:
        return lax.dynamic_slice_in_dim(array, start + place * size, size)

    def take(array: jax.Array, place: jax.Array) -> jax.Array:
        return array.at[part(order, place)].get(mode="promise_in_bounds", wrap_negative_indices=False)

    def gathered(place: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        return run(carry[1], jax.tree.map(lambda array: take(array, place), data))

    def handed_on(place: jax.Array, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        # A batch that the loop hands on is an array of its own. Sliced where it is used, it would be joined with what
        # is made of it, such as a metric's sum over the rows, and that rounded in another way than in Keras's step.
        following = jax.tree.map(lambda array: part(array, jnp.minimum(place + 1, length - 1)), data)
        return (*run(carry[1], carry[2]), following)

    # A loop even where it runs once, of a length that XLA does not know: a step joined with its surroundings would be
    # rounded in another way than in Keras, which compiles it alone.
    length = lax.optimization_barrier(jnp.int32(count))
    if order is not None:
        return lax.fori_loop(0, length, gathered, (logs, state))
    if isinstance(count, int) and count == 1 and size == jax.tree.leaves(data)[0].shape[0]:
        return lax.fori_loop(0, length, lambda _, carry: run(carry[1], data), (logs, state))
    batch = jax.tree.map(lambda array: part(array, 0), data)
    return lax.fori_loop(0, length, handed_on, (logs, state, batch))[:2]


def _trace(step: Callable[[Any, Data], Any], state: Any, batch: Data) -> tuple[Callable[[Any, Data], Any], Any]:
    """The step, traced once for the shapes of `batch`, and zeros in the shape of its logs."""

    def typed(state: Any, batch: Data) -> tuple[Any, Any]:
        logs, new = step(state, batch)
        return jax.tree.map(lambda a: lax.convert_element_type(a, jnp.result_type(a)), logs), _like(new, state)

    jaxpr, (logs, _) = jax.make_jaxpr(typed, return_shape=True)(state, batch)
    tree = jax.tree.structure((logs, state))
    function = canonicalize(jaxpr)

    def run(state: Any, batch: Data) -> tuple[Any, Any]:
        return jax.tree.unflatten(tree, function(*jax.tree.leaves((state, batch))))

    return run, jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), logs)
