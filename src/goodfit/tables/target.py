"""What a target asks for, and its classes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from goodfit.errors import InputError, option
from goodfit.tables.grid import text_of
from goodfit.tables.kinds import QUANTITY_WORDS, words_of
from goodfit.values import Task

_MOST_NUMBERED_CLASSES = 20
_MOST_CLASSES = 1000


def task_of(y: pd.Series, target: str, task: Task | None) -> tuple[Task, str]:
    """What the target asks for, and why.

    Args:
        y: its values, none missing.
        target: its name.
        task: what the user says it asks for, or `None`.

    Raises:
        InputError: it can't be that, or nothing at all.
    """
    if task is not None and task not in ("regression", "binary", "multiclass"):
        raise InputError(f"there is no task {task!r}.", "Give regression, binary or multiclass.")
    number = pd.api.types.is_numeric_dtype(y)
    unique = int(y.nunique())
    if pd.api.types.is_datetime64_any_dtype(y):
        raise InputError(f"the target {target!r} is a date.", "Make it a number first, such as days until then.")
    if task == "regression":
        if not number:
            raise InputError(
                f"the target {target!r} holds text such as {y.iloc[0]!s}: no regression.", "Leave --task out."
            )
        return "regression", "the user says so"
    if task == "binary" and unique != 2:
        raise InputError(f"the target {target!r} has {unique} different values, not two.", "Leave --task out.")
    if task is None:
        task, reason = _guess(y, target, number, unique)
        if task == "regression":
            return task, reason
    else:
        reason = "the user says so"
    if unique > _MOST_CLASSES or (unique > 0.5 * len(y) and unique > 10):
        raise InputError(
            f"the target {target!r} has {unique} different values in {len(y)} rows: too many for classes.",
            f"Choose another target, or {option('task', 'regression')} where it is a quantity.",
        )
    return ("binary" if unique == 2 else "multiclass"), reason


def _guess(y: pd.Series, target: str, number: bool, unique: int) -> tuple[Task, str]:
    if not number:
        return ("binary" if unique == 2 else "multiclass"), f"{target!r} holds {unique} different texts"
    values = np.unique(y.to_numpy(dtype=float))
    if unique == 2:
        return "binary", f"{target!r} has two values, {values[0]:g} and {values[1]:g}"
    whole = bool((values == np.round(values)).all())
    run = whole and values[0] in (0, 1) and values[-1] - values[0] == unique - 1
    quantity = QUANTITY_WORDS & set(words_of(target))
    if run and unique <= _MOST_NUMBERED_CLASSES and not quantity and len(y) >= 5 * unique:
        reason = f"{target!r} holds the whole numbers {values[0]:g} to {values[-1]:g}"
        return "multiclass", f"{reason} (--task regression where they are a quantity)"
    return "regression", f"{target!r} is a number of {unique} different values"


def target_classes(y: pd.Series) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes, numbers in their own order and texts in the alphabet's, and the rows of each."""
    counts = y.value_counts()
    if pd.api.types.is_numeric_dtype(y):
        counts = counts.sort_index()
    sizes: dict[str, int] = {}
    for value, count in counts.items():
        sizes[text_of(value)] = sizes.get(text_of(value), 0) + int(count)
    if not pd.api.types.is_numeric_dtype(y):
        sizes = dict(sorted(sizes.items()))
    return tuple(sizes), np.array(list(sizes.values()), dtype=np.int64)


def target_codes(y: pd.Series, classes: tuple[str, ...]) -> np.ndarray:
    """Each row's place among the classes, int32; -1 for a class that is not among them."""
    place = {name: code for code, name in enumerate(classes)}
    codes, found = pd.factorize(y.to_numpy(dtype=object))
    return np.array([place.get(text_of(value), -1) for value in found] + [-1], dtype=np.int32)[codes]
