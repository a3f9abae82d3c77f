"""What tells data and recipes of a study apart, so that a finished trial is known again and never trained twice."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from goodfit.values import Recipe

BLOCKS = 64
"""Blocks of rows that have a hash of their own in a fingerprint of data."""


MOST_COLUMNS = 200
"""With more columns than this, a fingerprint has no hash of each."""


def canonical(recipe: Recipe) -> dict[str, Any]:
    """The recipe with the names that Keras made up, which count on through a session, by their rank.

    Example:
        >>> one, other = (
        ...     Recipe({"class_name": "Dense", "config": {"name": name}}, {}, "mse") for name in ("dense_3", "dense_7")
        ... )
        >>> canonical(one) == canonical(other)
        True
    """
    fields = recipe.to_dict()
    made_up: dict[str, set[int]] = {}

    def gather(part: Any) -> None:
        for item in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            gather(item)
        if not isinstance(part, dict) or "class_name" not in part or not isinstance(part.get("config"), dict):
            return
        name = part["config"].get("name")
        if isinstance(name, str):
            snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", part["class_name"]).lower()
            if found := re.fullmatch(re.escape(snake) + r"(?:_(\d+))?", name):
                made_up.setdefault(snake, set()).add(int(found[1] or 0))

    def rename(text: str) -> str:
        for snake, numbers in made_up.items():
            for rank, number in enumerate(sorted(numbers)):
                old = f"{snake}_{number}" if number else snake
                text = re.sub(rf"(?<![a-z0-9#]){re.escape(old)}(?![a-z0-9#]|_\d)", f"{snake}#{rank}", text)
        return text

    def walk(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: walk(item) for key, item in part.items()}
        if isinstance(part, list):
            return [walk(item) for item in part]
        return rename(part) if isinstance(part, str) and made_up else part

    gather(fields["model"])
    gather(fields["optimizer"])
    return fields | {"model": walk(fields["model"]), "optimizer": walk(fields["optimizer"])}


def fingerprint(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """What tells data apart, by the name of each array: shape, type, a hash of the values, and where it is small enough
    to help, one of each column and of each of some blocks of rows, so that a difference can be placed.

    Example:
        >>> one = fingerprint({"x": np.zeros((100, 3))})["x"]
        >>> one["shape"], one["dtype"], len(one["columns"]), len(one["blocks"])
        ([100, 3], 'float64', 3, 50)
    """
    from goodfit.training.structures import leaves

    out: dict[str, Any] = {}
    for name, structure in arrays.items():
        for place, array in enumerate(leaves(structure)):
            values = np.ascontiguousarray(array)
            key = name if place == 0 else f"{name}[{place}]"
            out[key] = {"shape": list(values.shape), "dtype": str(values.dtype), "hash": _digest(values, 16)}
            if values.ndim and len(values):
                size = -(-len(values) // BLOCKS)
                out[key]["blocks"] = [_digest(values[i : i + size]) for i in range(0, len(values), size)]
            if values.ndim == 2 and values.shape[1] <= MOST_COLUMNS:
                out[key]["columns"] = [_digest(column) for column in values.T]
    return out


def _digest(values: np.ndarray, length: int = 8) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:length]


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
        return [kind, _told(np.asarray(value), depth - 1, left)]
    state = getattr(value, "__dict__", None)
    if isinstance(state, dict):
        return [kind, _source(type(value)), [[name, _told(one, depth - 1, left)] for name, one in state.items()]]
    return [kind, re.sub(r"0x[0-9a-fA-F]+", "", repr(value))]


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
