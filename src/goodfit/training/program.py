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
        order: shape (rows,), int32: the order in which the rows are visited; `None` takes them as they stand.
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
        model.test_step, (trainable, non_trainable, metrics), data, None, batch_size
    )
    state = (trainable, non_trainable, optimizer, metrics)
    return {f"val_{name}": value for name, value in _epoch_logs(model, state, logs).items()}, state


def reset_metrics(model: keras.Model, state: State) -> State:
    """The state after `model.reset_metrics()`."""
    with _scope(model, state) as scope:
        model.reset_metrics()
        now = [[scope.get_current_value(variable) for variable in group] for group in variables(model)]
    return _like(now, state)


def _scope(model: keras.Model, state: State) -> keras.StatelessScope:
    pairs = [
        pair for group, values in zip(variables(model), state, strict=True) for pair in zip(group, values, strict=True)
    ]
    return keras.StatelessScope(state_mapping=pairs)


def _epoch_logs(model: keras.Model, state: State, logs: Any) -> Logs:
    """The metrics' results; or the last step's own logs, where `train_step` reports other names."""
    if not isinstance(logs, dict):
        raise TypeError(f"train_step and test_step must return a dict of logs, not {type(logs).__name__}")
    with _scope(model, state):
        results = model.get_metrics_result()
    return _flatten(results if set(results) == set(logs) else logs)


def _flatten(logs: dict[str, Any]) -> Logs:
    flat: Logs = {}
    for name, value in sorted(logs.items()):
        flat.update(_flatten(value) if isinstance(value, dict) else {name: jnp.asarray(value)})
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
    """All steps of an epoch: the full batches in one loop, then what remains in a step of its own."""
    data = jax.tree.map(jnp.asarray, data)
    rows = jax.tree.leaves(data)[0].shape[0]
    full, rest = divmod(rows, batch_size)
    logs: Any = {}

    def take(index: jax.Array) -> Data:
        return jax.tree.map(lambda a: a.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False), data)

    def part(start: Any, length: int) -> Data:
        return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, length), data)

    if full:
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct((batch_size, *a.shape[1:]), a.dtype), data)
        full_step, empty_logs = _trace(step, state, shapes)

        def body(carry: tuple[Any, Any], place: jax.Array) -> tuple[tuple[Any, Any], None]:
            batch = part(place * batch_size, batch_size) if order is None else take(place)
            return full_step(carry[1], batch), None

        places = jnp.arange(full, dtype=jnp.int32) if order is None else order[: full * batch_size].reshape(full, -1)
        (logs, state), _ = lax.scan(body, (empty_logs, state), places)
    if rest:
        batch = part(full * batch_size, rest) if order is None else take(order[full * batch_size :])
        logs, state = _trace(step, state, batch)[0](state, batch)
    return logs, state


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
