"""Rows that `improve` is given beside those of the task, for a network's lower layers to learn from first."""

from __future__ import annotations

from typing import Any

import numpy as np

from goodfit.errors import InputError

LEAST = 2
"""Rows below which there is nothing to learn."""


def rows_beside(
    x: Any, unlabeled: Any, auxiliary: Any
) -> tuple[np.ndarray | None, tuple[np.ndarray, np.ndarray] | None]:
    """Rows without labels, and rows with another target, as arrays that go with the task's.

    Args:
        x: inputs of the task.
        unlabeled: inputs of other rows, or `None`.
        auxiliary: `(x_other, y_other)`, or `None`.

    Raises:
        InputError: another shape, kind of number or number of rows, values that are not finite, a target of one value.

    Example:
        >>> rows_beside(np.zeros((5, 2), "float32"), np.ones((3, 2)), None)[0].dtype
        dtype('float32')
    """
    if auxiliary is not None and not (isinstance(auxiliary, (tuple, list)) and len(auxiliary) == 2):
        raise InputError(
            f"auxiliary is a {type(auxiliary).__name__}.", "Give two arrays: auxiliary=(x_other, y_other)."
        )
    more = None if unlabeled is None else _inputs(x, unlabeled, "unlabeled")
    if auxiliary is None:
        return more, None
    inputs = _inputs(x, auxiliary[0], "auxiliary x")
    return more, (inputs, _target(auxiliary[1], len(inputs)))


def named_rows(unlabeled: np.ndarray | None, auxiliary: tuple[np.ndarray, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Those that were given, by the names that a fingerprint has them under."""
    given = {} if unlabeled is None else {"unlabeled": unlabeled}
    return given if auxiliary is None else {**given, "auxiliary x": auxiliary[0], "auxiliary y": auxiliary[1]}


def _inputs(x: Any, given: Any, name: str) -> np.ndarray:
    if not isinstance(x, np.ndarray):
        raise InputError(f"{name} is given, and x is more than one array.", "Pretrain a network with one input.")
    try:
        rows = np.asarray(given)
    except ValueError as problem:  # rows of several lengths
        raise InputError(f"{name} is no array: {problem}.", "Give a NumPy array, rows first.") from problem
    if rows.shape[1:] != x.shape[1:] or rows.ndim != x.ndim:
        raise InputError(
            f"{name} has shape {rows.shape}, and x has rows of shape {x.shape[1:]}.", "Give rows of the same shape."
        )
    if len(rows) < LEAST:
        raise InputError(f"{name} holds {len(rows)} rows.", f"Give {LEAST} at least, or leave it out.")
    kinds = tuple("iu" if array.dtype.kind in "iu" else array.dtype.kind for array in (rows, x))
    if kinds[0] != kinds[1]:
        raise InputError(
            f"{name} holds {rows.dtype}, and x {x.dtype}: they can't be of one scale.",
            "Prepare both alike: images to x / 255.0, columns by the same scaling.",
        )
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        place = int(np.flatnonzero(~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1))[0])
        raise InputError(f"row {place} of {name} holds a value that is not finite.", "Leave such rows out.")
    return rows.astype(x.dtype, copy=False)


def _target(given: Any, rows: int) -> np.ndarray:
    y = np.asarray(given)
    if y.shape not in ((rows,), (rows, 1)):
        raise InputError(
            f"auxiliary y has shape {y.shape}, and auxiliary x holds {rows} rows.", "Give one target for each row."
        )
    y = y.reshape(-1)
    if y.dtype.kind == "O" and all(isinstance(value, str) for value in y):
        y = y.astype(str)
    if y.dtype.kind not in "fiubU":
        raise InputError(f"auxiliary y holds {y.dtype}.", "Give numbers of a quantity, or classes by number or name.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        place = int(np.flatnonzero(~np.isfinite(y))[0])
        raise InputError(f"row {place} of auxiliary y holds a value that is not finite.", "Leave such rows out.")
    if len(np.unique(y)) < 2:
        raise InputError(f"auxiliary y holds a single value ({y[0]}).", "Give a target that varies.")
    return y
