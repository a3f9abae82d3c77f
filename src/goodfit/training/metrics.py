"""The numbers reported of an epoch, rounded as Keras rounds them.

Keras computes a metric's result eagerly, one operation at a time. Inside a compiled program several operations are
made one, with other roundings (a product and a sum become a fused multiply-add). For a mean, which is one division,
that makes no difference, and its result is taken from the program. For other metrics (R², AUC, F1) the program gives
back what they have counted, and the results are computed here, one operation and one epoch at a time: sums over many
epochs at once are rounded otherwise too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import keras
from jax.extend import core

from goodfit.training import program

Read: TypeAlias = Callable[[int, Any], dict[str, Any]]
"""`(place, validated)` -> the logs of that epoch of a chunk, with those of its validation if it had one."""

_EXACT = frozenset(
    {
        *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "select_n", "is_finite"),
        *("div", "abs", "neg", "max", "min", "sign", "sqrt"),
        *("convert_element_type", "broadcast_in_dim", "reshape", "squeeze", "slice", "copy", "stop_gradient"),
        *("pjit", "jit"),
    }
)
"""Operations that give the same numbers alone and fused."""


def exact_inside(model: keras.Model) -> bool:
    """Whether the results of the model's metrics are the same computed inside a compiled program."""
    state = program.read_state(model)
    return _exact(jax.make_jaxpr(lambda state: program.metric_results(model, state))(state).jaxpr)


def _exact(jaxpr: core.Jaxpr) -> bool:
    for equation in jaxpr.eqns:
        if equation.primitive.name not in _EXACT:
            return False
        called = equation.params.get("jaxpr")
        if called is not None and not _exact(called.jaxpr):
            return False
    return True


def logs_of(model: keras.Model, results: Any) -> Read:
    """Read what a chunk reports (see `chunk.Program`); it waits until the chunk has run.

    Args:
        model: the model that was trained.
        results: the training's logs and what its metrics have counted, and the same of the validation.

    Returns:
        A function of an epoch's place in the chunk.
    """
    (trained, counted), (validated, val_counted) = jax.device_get(results)

    def read(place: int, with_validation: Any) -> dict[str, Any]:
        logs = _at(model, trained, counted, place, "")
        return {**logs, **_at(model, validated, val_counted, place, "val_")} if with_validation else logs

    return read


def _at(model: keras.Model, logs: dict[str, Any], counted: Any, place: int, prefix: str) -> dict[str, Any]:
    """The logs of one epoch, the metrics' results made of what they have counted, unless the step logs other names."""
    told = {name: values[place] for name, values in logs.items()}
    if not counted:
        return told
    tracked = [jnp.asarray(values[place]) for values in counted]
    with keras.StatelessScope(state_mapping=list(zip(model.metrics_variables, tracked, strict=True))):
        results = program.flatten_logs(model.get_metrics_result())
    named = {f"{prefix}{name}": value for name, value in jax.device_get(results).items()}
    return {**told, **named} if set(named) == set(told) else told
