"""The pre-flight of a Python generator: its batches are looked at as they come."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import keras_internals, preflight
from goodfit.training.heads import Head, heads_of


def watched(model: keras.Model, data: Any, name: str = "the generator") -> Any:
    """A generator that gives the same batches, and stops where one of them can't be meant; other data as they are.

    Only what is wrong whatever the other batches hold counts: values that are not finite, labels that are no class of
    the model's, rows of another shape.

    Args:
        model: compiled.
        data: what `fit` was given as `x`.
        name: what to call it.

    Raises:
        InputError: while it is read: in front of the first step where one of the first batches is at fault, else in
            front of the step that would have taken the batch.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> batches = ((np.ones((4, 2)), np.full((4, 1), value)) for value in (1.0, np.nan))
        >>> for _ in watched(model, batches):
        ...     pass
        Traceback (most recent call last):
        goodfit.errors.InputError: In batch 1 of the generator, y holds NaN in 4 of 4 rows (row 0, 1, 2, 3). ...
    """
    return _watched(model, data, name) if isinstance(data, types.GeneratorType) else data


def _watched(model: keras.Model, batches: Iterator[Any], name: str) -> Iterator[Any]:
    heads: list[Head] | None = None
    for number, batch in enumerate(batches):
        given = (*batch, None, None)[:3] if isinstance(batch, tuple) and 1 <= len(batch) <= 3 else (None,) * 3
        x, y, weights = given
        finite = _finite(given)
        if x is not None and (finite or not keras_internals.array_problem(*given)):
            try:
                if heads is None:
                    heads = heads_of(model, x)
                    preflight.check_shape(model, "x", x)
                if not finite:
                    for called, part in (("x", x), ("y", y), ("sample_weight", weights)):
                        preflight.check_values(model, called, part)
                preflight.check_targets(heads, "y", y)
            except InputError as problem:
                raise InputError(f"In batch {number} of {name}, {problem.problem}", problem.remedy) from None
        yield batch


def _finite(given: tuple[Any, ...]) -> bool:
    """Whether these are plain arrays of numbers, all finite: then no more need be looked at."""
    return all(
        part is None or (type(part) is np.ndarray and part.dtype.kind in "biuf" and bool(np.isfinite(part).all()))
        for part in given
    )
