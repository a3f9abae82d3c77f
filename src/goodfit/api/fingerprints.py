"""What tells data and recipes of a study apart, so that a finished trial is known again and never trained twice."""

from __future__ import annotations

import hashlib
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
