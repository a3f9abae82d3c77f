"""Convolutions and max-pooling in the forms that XLA compiles well for a CPU, also inside a loop.

On CPU, XLA brings convolutions to the layout of its fast routine only where they stand outside of loops; the gradients
of a convolution inside a `lax.scan` miss it and are several times slower. Here each one is written in that layout
(batch, spatial dimensions, channels) from the start, with transposes around it. The gradient of max-pooling is a
sequential routine, ten times slower than the same choice written with comparisons. The arithmetic stays the same, and
so do the numbers, bit for bit; but for convolutions whose channels form two groups or more: there XLA takes other
routines, and the last bit may differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

_CALLS = frozenset(
    {"pjit", "jit", "closed_call", "core_call", "remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call"}
)


_SLOW = frozenset({"conv_general_dilated", "select_and_scatter_add"})


def canonicalize(jaxpr: core.ClosedJaxpr) -> Callable[..., list[Any]]:
    """The function of a jaxpr, with its convolutions and max-pooling, also in inner loops, in the forms that are fast.

    Args:
        jaxpr: as `jax.make_jaxpr` gives it.

    Returns:
        A function of the jaxpr's flat inputs that returns its flat outputs.

    Example:
        >>> import jax
        >>> jaxpr = jax.make_jaxpr(lambda x: 2 * x)(1.0)
        >>> [float(y) for y in canonicalize(jaxpr)(3.0)]
        [6.0]
    """
    if jax.default_backend() != "cpu" or not _contains_slow_form(jaxpr.jaxpr):
        return core.jaxpr_as_fun(jaxpr)
    return lambda *inputs: _evaluate(jaxpr.jaxpr, jaxpr.consts, inputs)


def _inner(parameters: dict[str, Any]) -> list[core.Jaxpr]:
    """The jaxprs among an equation's parameters."""
    found = []
    for value in parameters.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                found.append(item.jaxpr)
            elif isinstance(item, core.Jaxpr):
                found.append(item)
    return found


def _contains_slow_form(jaxpr: core.Jaxpr) -> bool:
    return any(
        equation.primitive.name in _SLOW or any(map(_contains_slow_form, _inner(equation.params)))
        for equation in jaxpr.eqns
    )


def _evaluate(jaxpr: core.Jaxpr, constants: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, inputs, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        primitive: Any = equation.primitive
        parameters = equation.params
        if primitive.name == "conv_general_dilated":
            outputs = [_convolve(operands[0], operands[1], parameters)]
        elif primitive.name == "select_and_scatter_add" and _windows_tile(parameters):
            outputs = [_scatter_to_largest(operands[0], operands[1], parameters)]
        elif primitive.name in _CALLS and _inner(parameters):
            called: Any = parameters.get("jaxpr", parameters.get("call_jaxpr"))
            if isinstance(called, core.ClosedJaxpr):
                outputs = _evaluate(called.jaxpr, called.consts, operands)
            else:
                outputs = _evaluate(called, (), operands)
        else:
            if any(map(_contains_slow_form, _inner(parameters))):  # scan, while, cond
                parameters = {name: _canonical_parameter(value) for name, value in parameters.items()}
            outputs = primitive.bind(*operands, **parameters)
            outputs = outputs if primitive.multiple_results else [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _canonical_parameter(value: Any) -> Any:
    if isinstance(value, (tuple, list)) and any(isinstance(item, core.ClosedJaxpr) for item in value):
        return type(value)(map(_canonical_parameter, value))
    if isinstance(value, core.ClosedJaxpr):
        inputs = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in value.in_avals]
        return jax.make_jaxpr(lambda *xs: _evaluate(value.jaxpr, value.consts, xs))(*inputs)
    return value


def _convolve(left: jax.Array, right: jax.Array, parameters: dict[str, Any]) -> jax.Array:
    """One convolution, its operands and its result transposed from and to the layout asked for."""
    numbers = parameters["dimension_numbers"]
    spatial = "XYZUVW"[: left.ndim - 2]  # any distinct letters name the spatial dimensions
    batch, channels, *where = numbers.lhs_spec
    out, into, *window = numbers.rhs_spec
    result = lax.conv_general_dilated(
        jnp.transpose(left, (batch, *where, channels)),
        jnp.transpose(right, (*window, into, out)),
        window_strides=parameters["window_strides"],
        padding=parameters["padding"],
        lhs_dilation=parameters["lhs_dilation"],
        rhs_dilation=parameters["rhs_dilation"],
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=parameters["feature_group_count"],
        batch_group_count=parameters["batch_group_count"],
        precision=parameters["precision"],
        preferred_element_type=parameters["preferred_element_type"],
    )
    batch, channels, *where = numbers.out_spec
    back = [0] * left.ndim
    for here, there in enumerate((batch, *where, channels)):
        back[there] = here
    return jnp.transpose(result, back)


def _windows_tile(parameters: dict[str, Any]) -> bool:
    """Whether the windows of a max-pooling lie side by side from the first element on."""
    return (
        parameters["select_prim"].name == "ge"
        and tuple(parameters["window_dimensions"]) == tuple(parameters["window_strides"])
        and all(low == 0 for low, _ in parameters["padding"])
    )


def _scatter_to_largest(source: jax.Array, operand: jax.Array, parameters: dict[str, Any]) -> jax.Array:
    """Each source value at the place of its window's largest element (the first of equal ones), zero elsewhere."""
    window = tuple(parameters["window_dimensions"])
    # What the windows reach beyond the operand is below all, what they leave out of it gets zero.
    beyond = [(0, n * w - size, 0) for n, w, size in zip(source.shape, window, operand.shape, strict=True)]
    padded = lax.pad(operand, jnp.array(-jnp.inf, operand.dtype), beyond)
    places = list(itertools.product(*map(range, window)))
    parts = [lax.slice(padded, place, padded.shape, window) for place in places]
    largest, chosen = parts[0], jnp.zeros(source.shape, jnp.int32)
    for number, part in enumerate(parts[1:], 1):
        keep = largest >= part
        largest, chosen = jnp.where(keep, largest, part), jnp.where(keep, chosen, number)
    spread = jnp.stack([jnp.where(chosen == number, source, 0) for number in range(len(parts))])
    spread = spread.reshape(*window, *source.shape)
    interleaved = [axis for d in range(len(window)) for axis in (d + len(window), d)]
    result = jnp.transpose(spread, interleaved).reshape(padded.shape)
    return lax.pad(result, jnp.zeros((), result.dtype), [(0, -high, 0) for _, high, _ in beyond])
