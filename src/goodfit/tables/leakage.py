"""Columns that alone give the target away: most likely they were not known when the target was not."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

import numpy as np
import pandas as pd

from goodfit.tables.kinds import truth
from goodfit.tables.target import target_classes, target_codes
from goodfit.values import Column, Task

_SUSPICIOUS = 0.999  # |correlation|, share of explained variance, or accuracy of one column alone
_ROWS = 5000  # rows that are looked at
_LEVEL_ROWS = 5  # rows per level that a category needs on average before its purity says anything


def suspicions(frame: pd.DataFrame, inputs: Sequence[Column], target: str, task: Task) -> list[str]:
    """A sentence for each input that alone predicts the target almost perfectly.

    Args:
        frame: the rows with a target.
        inputs: the columns that are given to the network.
        target: the target column.
        task: what it asks for.
    """
    if len(frame) > _ROWS:
        frame = frame.iloc[np.random.default_rng(0).choice(len(frame), _ROWS, replace=False)]
    y = frame[target]
    if task == "regression":
        goal = y.to_numpy(dtype=float)
    else:
        goal = target_codes(y, target_classes(y)[0])
    found = []
    for column in inputs:
        values = frame[column.name]
        known = values.notna().to_numpy()
        if known.sum() < 10 or len(np.unique(goal[known])) < 2:
            continue
        if column.kind in ("number", "date", "boolean"):
            cells = values[known]
            if column.kind == "boolean":
                numbers = np.array([truth(cell) for cell in cells])
            elif column.kind == "date":
                numbers = cells.to_numpy(dtype="datetime64[us]").astype(np.int64).astype(float)
            else:
                numbers = cells.to_numpy(dtype=float)
            measured = _correlation(numbers, goal[known]) if task == "regression" else _split(numbers, goal[known])
        else:
            measured = _levels(values[known], goal[known], task)
        if measured[0] >= _SUSPICIOUS:
            found.append(
                f"suspicion of leakage: {column.name!r} alone predicts {target!r} almost perfectly "
                f"({measured[1]} {measured[0]:.4f}); --drop {quote(column.name)} where it is not known beforehand."
            )
    return found


def _correlation(x: np.ndarray, y: np.ndarray) -> tuple[float, str]:
    if np.ptp(x) == 0:
        return 0.0, ""
    linear = abs(float(np.corrcoef(x, y)[0, 1]))
    if linear >= _SUSPICIOUS or len(x) < 20:
        return linear, "correlation"
    from scipy.stats import spearmanr

    ranked = np.asarray(spearmanr(x, y))[0]
    return abs(float(ranked)), "rank correlation"


def _split(x: np.ndarray, codes: np.ndarray) -> tuple[float, str]:
    """Accuracy of one number divided into as many ranges as there are classes."""
    classes = len(np.unique(codes))
    # Where the class changes often along the sorted column, no few ranges can hold one class each.
    changes = int((np.diff(codes[np.lexsort((codes, x))]) != 0).sum())
    if changes > 2 * classes + 0.01 * len(x):
        return 0.0, ""
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=max(2, classes), random_state=0).fit(x[:, None], codes)
    return float(tree.score(x[:, None], codes)), "accuracy"


def _levels(values: pd.Series, goal: np.ndarray, task: Task) -> tuple[float, str]:
    """How far a category's levels determine the target: purity, or explained variance."""
    level = pd.factorize(values.to_numpy(dtype=object))[0]
    count = int(level.max()) + 1
    if count < 2 or count * _LEVEL_ROWS > len(level):
        return 0.0, ""
    if task == "regression":
        sizes = np.bincount(level)
        means = np.bincount(level, goal) / sizes
        total = float(np.var(goal))
        return (1 - float(np.mean((goal - means[level]) ** 2)) / total if total else 0.0), "explained variance"
    table = np.zeros((count, int(goal.max()) + 1))
    np.add.at(table, (level, goal), 1)
    return float(table.max(axis=1).sum() / len(level)), "accuracy"
