"""Cells as they stand in a source, before any is taken for a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Cells:
    """A column of text: each different text once, and which of them stands in each row.

    Args:
        codes: shape (rows,), places in `words`, -1 for no cell.
        words: the different texts, stripped.
    """

    codes: np.ndarray
    words: list[str]

    @classmethod
    def of(cls, values: Iterable[object]) -> Cells:
        """The cells of any values; `None` and not-a-number are no cell.

        >>> Cells.of(["a ", 3.0, None, "a"]).words
        ['a', '3']
        """
        cells = np.fromiter(values, dtype=object)
        try:
            codes, found = pd.factorize(cells)
        except TypeError:  # lists and other cells that can't be told apart but as text
            codes, found = pd.factorize(np.array([str(cell) for cell in cells], dtype=object))
        return cls(codes, [text_of(value) for value in found]).merged()

    def merged(self) -> Cells:
        """The same with no text twice."""
        if len(set(self.words)) == len(self.words):
            return self
        again, words = pd.factorize(np.array(self.words, dtype=object))
        return Cells(np.where(self.codes >= 0, again[self.codes], -1), list(words))

    def __len__(self) -> int:
        return len(self.codes)


def text_of(value: object) -> str:
    """A cell as text; a whole number without its decimals.

    >>> text_of(3.0), text_of(True), text_of(" a ")
    ('3', 'True', 'a')
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (float, np.floating)) and float(value).is_integer() and abs(float(value)) < 2**53:
        return str(int(value))
    return str(value).strip()


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells as they stand in the source.

    Args:
        columns: text cells, or the typed ones of Parquet, JSON, Excel and data frames, by the column's name.
        lines: for each row, its line in the file (counted from 1), where the source has lines.
        source: where it came from.
        notes: what was found out on the way.
    """

    columns: Mapping[str, Cells | pd.Series]
    lines: np.ndarray | None
    source: str
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return len(next(iter(self.columns.values())))

    def place(self, position: int) -> str:
        """A row by name, as a person finds it: `"row 33 (line 34)"`."""
        return place(position, self.lines)


def place(position: int, lines: np.ndarray | None) -> str:
    """A row by name: counted from 1 and with its line in a file, counted from 0 in a data frame."""
    if lines is None:
        return f"row {position} (counted from 0)"
    return f"row {position + 1} (line {lines[position]})"
