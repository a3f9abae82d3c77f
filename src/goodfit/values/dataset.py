"""`Dataset`: arrays, names, task, and the train / validation / test split."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Task = Literal["regression", "binary", "multiclass"]
ColumnKind = Literal[
    "number", "category", "date", "boolean", "identifier", "constant", "empty", "text", "target", "role"
]


@dataclass(frozen=True)
class Column:
    """What one column of a table is, and what was done with it.

    Args:
        name: as the table calls it.
        kind: what it holds; `"role"` is a column that only steers the split (group, time).
        rows: rows of the table.
        missing: rows without a value.
        unique: different values.
        reason: why it was taken for this kind, one sentence; `""` where it is plain.
        treatment: what was done to it, one sentence: "standardized", "left out".
        features: the names of the inputs that were made of it.
        example: one of its values, as text.
    """

    name: str
    kind: ColumnKind
    rows: int
    missing: int
    unique: int
    reason: str = ""
    treatment: str = ""
    features: tuple[str, ...] = ()
    example: str = ""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Arrays ready for a network. Whatever was fitted to prepare them saw the training rows only.

    Args:
        x: inputs, shape (rows, features), float32, prepared.
        y: targets: float32 (rows,), standardized by the training rows, for a regression; int32 codes (rows,)
            of `classes` otherwise.
        task: what the target asks for.
        feature_names: one name per input.
        target: the name of the target column.
        train: indices into `x` of the training rows.
        validation: likewise of the rows that choose the epoch and the model.
        test: likewise of the rows that are looked at once.
        classes: the labels, in the order of the codes; empty for a regression.
        target_mean: mean of the training rows' target in its own units (regression).
        target_scale: its standard deviation over the training rows, in its own units (regression).
        columns: what each column of the table is and what was done to it.
        rows: for each row of `x`, its number in the table as read (first data row is 0).
        notes: what was decided on the way, one sentence each, said aloud.
        split: how the rows were divided, one sentence.
        fingerprint: a hash of the table's content.
        source: where the table came from.
        flattened: whether the inputs are places of an image or a sequence, none of which means anything by itself.
    """

    x: np.ndarray
    y: np.ndarray
    task: Task
    feature_names: tuple[str, ...]
    target: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    classes: tuple[str, ...] = ()
    target_mean: float = 0.0
    target_scale: float = 1.0
    columns: tuple[Column, ...] = ()
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    notes: tuple[str, ...] = ()
    split: str = ""
    fingerprint: str = ""
    source: str = ""
    flattened: bool = False

    def __repr__(self) -> str:
        parts = (f"{len(getattr(self, name))} {name}" for name in ("train", "validation", "test"))
        shape = " × ".join(map(str, self.x.shape[1:]))
        return f"<Dataset {self.target}: {self.task}, {', '.join(parts)} rows, {shape} inputs>"

    def part(self, name: Literal["train", "validation", "test"]) -> tuple[np.ndarray, np.ndarray]:
        """The inputs and targets of one part of the split."""
        index = getattr(self, name)
        return self.x[index], self.y[index]

    def original_units(self, y: np.ndarray) -> np.ndarray:
        """A standardized regression target or prediction in the target's own units."""
        return np.asarray(y, dtype=np.float64) * self.target_scale + self.target_mean
