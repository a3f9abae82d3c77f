"""Taps: what passes through each layer of a model while its loss is traced, forward and backward."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax.extend import core

SATURATED_WITHIN = 0.05
"""How close to a bound of its activation a value counts as saturated, as a share of half the range. For tanh these are
inputs beyond 1.8, for the sigmoid beyond 3.7, where the slope is below a tenth of its largest."""
NEARLY_ZERO = 1e-3
"""How close to its flat side a smooth activation (SiLU, GELU, ELU) must stay on every row for the unit to count as
dead: its slope there is below a hundredth."""

_FLAT = {
    "relu": (0.0, 0.0),
    "relu6": (0.0, 0.0),
    "hard_silu": (0.0, 0.0),
    "hard_swish": (0.0, 0.0),
    "squared_relu": (0.0, 0.0),
    "silu": (0.0, NEARLY_ZERO),
    "swish": (0.0, NEARLY_ZERO),
    "gelu": (0.0, NEARLY_ZERO),
    "mish": (0.0, NEARLY_ZERO),
    "softplus": (0.0, NEARLY_ZERO),
    "exponential": (0.0, NEARLY_ZERO),
    "elu": (-1.0, NEARLY_ZERO),
    "celu": (-1.0, NEARLY_ZERO),
    "selu": (-1.7580993, NEARLY_ZERO),
}
"""Activation -> the value of its flat side, and how close to it a unit without a gradient stays."""
_BOUNDS = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "soft_sign": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
"""Activation -> its lowest and its highest value."""
_CLASSES = {"ReLU": "relu", "ELU": "elu", "LeakyReLU": "leaky_relu", "PReLU": "leaky_relu", "Softmax": "softmax"}


@dataclass(frozen=True)
class Tap:
    """A layer that is listened to.

    Args:
        layer: of the model, no model itself.
        path: Keras's path of it, without the model's own name.
        kernels: the places of its kernels (weights of two or more dimensions) among the model's trainable variables.
        activation: Keras's name of its nonlinearity, or `""`.
    """

    layer: keras.Layer
    path: str
    kernels: tuple[int, ...]
    activation: str


@dataclass
class Record:
    """What has passed through the taps during one trace.

    Args:
        taps: those there are.
        sums: per tap a place that the backward pass adds the sum and the sum of squares of the gradients to.
        trace: the trace that they are recorded in: what a loop within it does can't be brought out.
        outputs: per tap that was called, in the order of the first calls: what it gave, one array per call.
    """

    taps: tuple[Tap, ...]
    sums: Any
    trace: Any
    outputs: dict[int, list[jax.Array]] = field(default_factory=dict)


def find(model: keras.Model) -> tuple[Tap, ...]:
    """The layers of a model that signals are read from: those with trainable kernels, and those with a nonlinearity."""
    place = {id(variable): index for index, variable in enumerate(model.trainable_variables)}
    found = []
    for layer in dict.fromkeys(_leaves(model)):
        kernels = tuple(place[id(v)] for v in layer.trainable_variables if len(v.shape) >= 2 and id(v) in place)
        activation = activation_of(layer)
        if kernels or activation:
            found.append(Tap(layer, _path(layer, model), kernels, activation))
    return tuple(found)


def _leaves(layer: Any) -> Iterator[keras.Layer]:
    """The innermost layers; Keras's own composite ones (recurrent, attention) count as one."""
    inner = layer._flatten_layers(include_self=False, recursive=False)
    own_call = isinstance(layer, keras.Model) or not type(layer).__module__.startswith("keras.")
    if inner and own_call:
        for part in inner:
            yield from _leaves(part)
    elif not isinstance(layer, keras.Model):
        yield layer


def _path(layer: keras.Layer, model: keras.Model) -> str:
    path = str(getattr(layer, "path", None) or layer.name)
    return path.removeprefix(f"{model.name}/")


def activation_of(layer: keras.Layer) -> str:
    """The name of a layer's nonlinearity, as Keras has it; `""` where its outputs are none."""
    name = _CLASSES.get(type(layer).__name__, "")
    given = getattr(layer, "activation", None)
    if not name and callable(given) and not isinstance(layer, keras.layers.RNN):
        name = _CLASSES.get(type(given).__name__, "") or str(getattr(given, "__name__", type(given).__name__))
        layer = given if isinstance(given, keras.Layer) else layer
    slope = getattr(layer, "negative_slope", 0.0)
    if name == "relu" and (slope or getattr(layer, "threshold", 0.0)):
        return "leaky_relu"
    return "" if name == "linear" else name


def trace() -> Any:
    """What JAX is tracing now; unequal within a loop of it."""
    older: Any = jax
    place: Any = core if hasattr(core, "get_opaque_trace_state") else older.core
    return place.get_opaque_trace_state(convention="goodfit")


@contextmanager
def listening(record: Record) -> Iterator[None]:
    """While this lasts, calls of the tapped layers are recorded; afterwards the layers are as they were."""
    before = [vars(tap.layer).get("call") for tap in record.taps]
    try:
        for index, tap in enumerate(record.taps):
            object.__setattr__(tap.layer, "call", _listened(tap.layer.call, index, record))
        yield
    finally:
        for tap, call in zip(record.taps, before, strict=True):
            if call is None:
                vars(tap.layer).pop("call", None)
            else:
                object.__setattr__(tap.layer, "call", call)


def _listened(call: Callable[..., Any], index: int, record: Record) -> Callable[..., Any]:
    @functools.wraps(call)
    def listened(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = jax.tree.flatten(call(*args, **kwargs))
        outputs = record.outputs.setdefault(index, [])
        if record.trace != trace():
            pass
        elif leaves and isinstance(leaves[0], jax.Array) and jnp.issubdtype(leaves[0].dtype, jnp.floating):
            leaves[0] = _tapped(leaves[0], record.sums[index])
            outputs.append(leaves[0])
        return jax.tree.unflatten(tree, leaves)

    return listened


@jax.custom_vjp
def _tapped(value: jax.Array, sums: jax.Array) -> jax.Array:
    """`value` itself; the "gradient" of `sums` is the sum and the sum of squares of the gradient of `value`."""
    del sums
    return value


def _forward(value: jax.Array, sums: jax.Array) -> tuple[jax.Array, None]:
    return _tapped(value, sums), None


def _backward(_: None, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    wide = gradient.astype(jnp.float32)
    return gradient, jnp.stack([wide.sum(), jnp.square(wide).sum()])


_tapped.defvjp(_forward, _backward)


def by_unit(tap: Tap, calls: list[jax.Array]) -> jax.Array:
    """What a layer gave, as shape (rows and places, units), float32; a channel of an image is a unit."""
    axis = 1 if getattr(tap.layer, "data_format", None) == "channels_first" else -1
    flat = [jnp.moveaxis(value, axis, -1).astype(jnp.float32) for value in calls]
    units = flat[0].shape[-1]
    return jnp.concatenate([value.reshape(-1, value.shape[-1]) for value in flat if value.shape[-1] == units])


def dead_fraction(activation: str, values: jax.Array) -> jax.Array:
    """Share of the units that stay on the flat side of their activation on every row; NaN where it has none.

    Args:
        activation: Keras's name of it.
        values: what the units gave, shape (rows, units).

    Source of the fault: Maas, Hannun and Ng (2013), "Rectifier nonlinearities improve neural network acoustic models",
    section 2.
    """
    if activation not in _FLAT:
        return jnp.float32(jnp.nan)
    flat, within = _FLAT[activation]
    return (jnp.abs(values - flat) <= within).all(axis=0).mean(dtype=jnp.float32)


def saturated_fraction(activation: str, values: jax.Array) -> jax.Array:
    """Share of the values within `SATURATED_WITHIN` of a bound of their activation; NaN where it has none.

    Args:
        activation: Keras's name of it.
        values: what the units gave, shape (rows, units).

    Source of the fault: Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural
    networks", section 3.
    """
    if activation not in _BOUNDS:
        return jnp.float32(jnp.nan)
    low, high = _BOUNDS[activation]
    within = SATURATED_WITHIN * (high - low) / 2
    return ((values < low + within) | (values > high - within)).mean(dtype=jnp.float32)
