"""What an object is, as plain data that is hashed: equal for equal functions, arrays and states, in every process."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

DEEPEST = 6
"""So many values within one another are looked into."""
MOST_VALUES = 2000
"""So many values at most: of a larger object the rest goes by its type alone."""


def told_of(value: Any) -> Any:
    """What an object is, as plain data: a function's source and what it is bound to, an object's class and state.

    Arrays go by all of their values. Functions that a function calls are not looked at.

    Example:
        >>> class Above:
        ...     def __init__(self, level):
        ...         self.level = level
        >>> told_of(Above(1.0)) == told_of(Above(1.0)), told_of(Above(1.0)) == told_of(Above(2.0))
        (True, False)
    """
    return _told(value, DEEPEST, [MOST_VALUES])


def _told(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if value is None or isinstance(value, (bool, int, float, str, bytes, complex)):
        return repr(value)
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return [str(value.dtype), list(value.shape), hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if depth <= 0 or left[0] <= 0:
        return kind
    if isinstance(value, functools.partial):
        return ["partial", *(_told(one, depth - 1, left) for one in (value.func, value.args, value.keywords))]
    if inspect.ismethod(value):
        return [_told(value.__func__, depth - 1, left), _told(value.__self__, depth - 1, left)]
    if inspect.isfunction(value):
        bound = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        held = [_told(one, depth - 1, left) for one in (bound, value.__defaults__, value.__kwdefaults__)]
        return [_source(value), *held]
    if inspect.isclass(value):
        return [kind, value.__qualname__, _source(value)]
    if isinstance(value, Mapping):
        return [kind, *([repr(key), _told(one, depth - 1, left)] for key, one in value.items())]
    if isinstance(value, (list, tuple)):
        return [kind, *(_told(one, depth - 1, left) for one in value)]
    if isinstance(value, (set, frozenset)):
        return [kind, *sorted(map(repr, value))]
    if hasattr(value, "__array__"):
        return [kind, _told(_array(value), depth - 1, left)]
    state = getattr(value, "__dict__", None)
    if isinstance(state, dict):
        return [kind, _source(type(value)), [[name, _told(one, depth - 1, left)] for name, one in state.items()]]
    return [kind, re.sub(r"0x[0-9a-fA-F]+", "", repr(value))]


def _array(value: Any) -> Any:
    """An array of another library as NumPy's; PyTorch's tensors may need gradients, lie on a device, or hold what NumPy
    has no type for."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if "bfloat16" in str(value.dtype) else value
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return repr(value)


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # not assigned yet
        return False
    return True


def _source(thing: Any) -> str:
    """The source, and of a function its own code: several lambdas stand on one line."""
    code = getattr(thing, "__code__", None)
    own = "" if code is None else f"{code.co_code.hex()} {code.co_names} {code.co_varnames}"
    try:
        return inspect.getsource(thing) + own
    except (OSError, TypeError):
        return own
