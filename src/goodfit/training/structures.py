"""Arrays, and lists, tuples and dicts of them, with rows first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def each(structure: Any, function: Callable[[np.ndarray], Any]) -> Any:
    """The structure with a function of each array in its place."""
    return keras.tree.map_structure(function, structure)


def leaves(structure: Any) -> list[np.ndarray]:
    """The arrays of a structure."""
    return [np.asarray(array) for array in keras.tree.flatten(structure)]


def take(structure: Any, index: np.ndarray | slice) -> Any:
    """The rows of each array at these places."""
    return each(structure, lambda array: array[index])


def joined(one: Any, other: Any) -> Any:
    """The rows of one structure and then those of another of the same form."""
    return keras.tree.map_structure(lambda a, b: np.concatenate([a, b]), one, other)


def count(structure: Any) -> int:
    """Number of rows."""
    return len(leaves(structure)[0])
