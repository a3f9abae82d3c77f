"""How a job divided its rows, as plain data in its run's provenance, so that `improve` finds each row's part again."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from goodfit.values import Dataset

PARTS = ("train", "validation", "test")
LISTED = 20_000
"""Rows up to which each part's are listed; of more, the part of each row is packed into a text."""


def split_record(dataset: Dataset, seed: int) -> dict[str, Any]:
    """What a run's provenance says of the split.

    Args:
        dataset: the rows, whose `rows` are their places in the table as read.
        seed: that the split was drawn with.

    Returns:
        `how`, `seed`, and the rows of `train`, `validation` and `test`, listed or packed.
    """
    return {"how": dataset.split, "seed": seed} | recorded([dataset.rows[getattr(dataset, part)] for part in PARTS])


def recorded(parts: list[np.ndarray]) -> dict[str, Any]:
    """The places of the rows of each part as JSON data; `rows_of_parts` gives them back."""
    if sum(map(len, parts)) <= LISTED:
        return {name: part.tolist() for name, part in zip(PARTS, parts, strict=True)}
    codes = np.zeros(1 + max(int(part.max(initial=-1)) for part in parts), np.uint8)
    for code, part in enumerate(parts, start=1):
        codes[part] = code
    return {"packed": base64.b64encode(zlib.compress(codes.tobytes(), 9)).decode("ascii")}


def rows_of_parts(record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The places of training, validation and test rows; `None` where the record doesn't have them.

    Example:
        >>> big = [np.arange(30_000), np.arange(30_000, 40_000), np.arange(40_000, 50_000)]
        >>> all(np.array_equal(a, b) for a, b in zip(rows_of_parts(recorded(big)), big))
        True
    """
    if "packed" in record:
        codes = np.frombuffer(zlib.decompress(base64.b64decode(record["packed"])), np.uint8)
        train, validation, test = (np.flatnonzero(codes == code) for code in (1, 2, 3))
    elif "train" in record:
        train, validation, test = (np.asarray(record[name], dtype=np.int64) for name in PARTS)
    else:
        return None
    return train, validation, test
