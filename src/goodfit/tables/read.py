"""`read`: a file, URL or data frame -> a `Table`, with a word about everything that was not plain."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from goodfit.errors import InputError
from goodfit.tables.convert import Fault, Form, conform, convert, styles_of
from goodfit.tables.grid import Cells, Grid, place
from goodfit.tables.source import load

_COLUMNS_SAID = 8  # columns named one by one in the notes; beyond, they are counted


@dataclass(frozen=True, eq=False)
class Table:
    """A table as read.

    Args:
        frame: numbers (int64, float64 with NaN), dates (datetime64), booleans and texts (objects, `None` for missing).
        notes: what was found and decided on the way, one sentence each.
        source: where it came from.
        fingerprint: a hash of its content.
        lines: for each row its line in the file, where it has lines.
        forms: how each column is written.
        faults: columns that can't be used as they stand, and why.
        na: the words for missing that were given, or `None`.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...]
    source: str
    fingerprint: str
    lines: np.ndarray | None = None
    forms: Mapping[str, Form] = field(default_factory=dict)
    faults: Mapping[str, Fault] = field(default_factory=dict)
    na: tuple[str, ...] | None = None

    def place(self, position: int) -> str:
        """A row by name, as a person finds it in the source: `"row 33 (line 34)"`."""
        return place(position, self.lines)


def read(
    source: str | os.PathLike[str] | pd.DataFrame,
    *,
    names: Sequence[str] | None = None,
    sep: str | None = None,
    na: str | Iterable[str] | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    sheet: str | int | None = None,
) -> Table:
    """Read a table; whatever is not plain is said in its notes.

    Args:
        source: a path or URL of CSV, TSV, other separated text, JSON lines, Parquet or .xlsx (packed with gzip,
            bzip2, xz or zip or not), or a data frame.
        names: the columns' names, for a file without a header line.
        sep: what separates the cells; found where `None`. `"space"` or `"\\\\s+"` is any white space.
        na: more words that mean missing, besides the usual ones; `()` or `""` leaves only the empty cell.
        decimal: the decimal mark, `"."` or `","`; found where `None`.
        thousands: what sets thousands apart; found where `None`.
        encoding: of a text file; found where `None`.
        sheet: of an Excel file, by name or number from 0; the first where `None`.

    Returns:
        The table. Columns that can't be used as they stand (stray text among numbers, infinities) are named in
        its `faults`; `inspect` refuses them unless they are dropped or categorical.

    Raises:
        InputError: the source can't be read as a table; the message names the place and the remedy.

    Example:
        >>> import pandas as pd
        >>> table = read(pd.DataFrame({"power": ["130", "?", "1,500"]}))
        >>> table.frame["power"].tolist()
        [130.0, nan, 1500.0]
        >>> table.notes[0]
        "'power': commas set the thousands apart (“1,500”); give --decimal , where the comma is the decimal mark."
    """
    words = None if na is None else (na,) if isinstance(na, str) else tuple(na)
    if decimal not in (None, ".", ","):
        raise InputError(f"the decimal mark {decimal!r} is not known.", "Give '.' or ','.")
    if thousands is not None and thousands not in (",", ".", " ", "'", ""):
        raise InputError(f"the thousands mark {thousands!r} is not known.", 'Give one of , . \' or " ".')
    grid = load(source, names=names, sep=sep, encoding=encoding, sheet=sheet)
    return _table(grid, words, decimal, thousands)


def read_alike(
    source: str | os.PathLike[str] | pd.DataFrame,
    forms: Mapping[str, Form],
    na: Sequence[str] | None,
    *,
    names: Sequence[str] | None = None,
    sep: str | None = None,
    encoding: str | None = None,
    sheet: str | int | None = None,
    like: Sequence[Sequence[str]] = (),
) -> Table:
    """Read another table whose columns are written as the training table's: `forms` says how.

    Columns that `forms` does not know are read by what stands in them. Without a header line the columns are those of
    the first list of `like` that has as many names, or of `forms`.

    Raises:
        InputError: as `read`, and for a cell that is neither of its column's form nor missing.
    """
    grid = load(source, names=names, sep=sep, encoding=encoding, sheet=sheet, like=[*like, list(forms)])
    prefer = "," if any(form.decimal == "," for form in forms.values()) else "."
    columns, said = {}, []
    for name, cells in grid.columns.items():
        if name in forms:
            found = conform(name, cells, forms[name], na, grid.place)
            columns[name] = found.values
            said += [found.note] if found.note else []
        else:
            columns[name] = convert(name, cells, _tuple(na), None, None, grid.place, prefer).values
    frame = pd.DataFrame(columns, index=pd.RangeIndex(grid.rows))
    known = {name: form for name, form in forms.items() if name in columns}
    if len(said) > _COLUMNS_SAID:
        more = f"{len(said) - _COLUMNS_SAID} more columns are written with other marks than in the training table."
        said = [*said[:_COLUMNS_SAID], more]
    return Table(frame, (*grid.notes, *said), grid.source, fingerprint(frame), grid.lines, known, {}, _tuple(na))


def fingerprint(frame: pd.DataFrame) -> str:
    """A hash of a table's names and values (SHA-256, first 16 hexadecimal digits)."""
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame[name]
        values = column.astype("float64") if pd.api.types.is_numeric_dtype(column) else column.astype(object)
        digest.update(str(name).encode())
        digest.update(pd.util.hash_array(_hashable(values), categorize=True).tobytes())
    return digest.hexdigest()[:16]


def _hashable(values: pd.Series) -> np.ndarray:
    if values.dtype == object:
        return np.array(["" if missing else str(v) for v, missing in zip(values, values.isna())], dtype=object)
    return values.to_numpy()


def _tuple(na: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if na is None else tuple(na)


def _table(grid: Grid, na: tuple[str, ...] | None, decimal: str | None, thousands: str | None) -> Table:
    told = _decimal_told(grid, na) if decimal is None else decimal
    prefer = told or "."
    columns, forms, faults, notes, missing, doubtful = {}, {}, {}, list(grid.notes), {}, {}
    for name, cells in grid.columns.items():
        found = convert(name, cells, na, decimal, thousands, grid.place, prefer)
        columns[name] = found.values
        forms[name] = found.form
        if found.fault is not None:
            faults[name] = found.fault
        if found.note:
            notes.append(found.note)
        elif told is None and thousands is None and (example := _either(cells, found.form, na)):
            doubtful[name] = example
        if found.missing:
            missing[name] = found.missing
    frame = pd.DataFrame(columns, index=pd.RangeIndex(grid.rows))
    if doubtful:
        shown = ", ".join(f"{name!r} (“{example}”)" for name, example in list(doubtful.items())[:_COLUMNS_SAID])
        more = f" and {len(doubtful) - _COLUMNS_SAID} more columns" if len(doubtful) > _COLUMNS_SAID else ""
        taken = "the point was taken for the decimal mark; give --thousands . where it sets thousands apart."
        notes.append(f"{shown}{more}: {taken}")
    notes += _say_missing(missing)
    return Table(frame, tuple(notes), grid.source, fingerprint(frame), grid.lines, forms, faults, na)


def _decimal_told(grid: Grid, na: tuple[str, ...] | None) -> str | None:
    """The decimal mark without which some column can't be read, the comma first; `None` where no column tells.

    Columns that fit both follow it.
    """
    told = None
    for cells in grid.columns.values():
        marks = {decimal for decimal, _ in styles_of(cells, na) or ()}
        if marks == {","}:
            return ","
        told = "." if marks == {"."} else told
    return told


def _either(cells: Cells | pd.Series, form: Form, na: tuple[str, ...] | None) -> str:
    """A number of a column whose points may as well set the thousands apart, `""` where they can't."""
    if form.kind != "number" or not isinstance(cells, Cells) or (",", ".") not in (styles_of(cells, na) or ()):
        return ""
    return next((word for word in cells.words if "." in word and word[-1:].isdigit()), "")


def _say_missing(missing: Mapping[str, Counter[str]]) -> list[str]:
    """Which cells were taken for missing, one sentence a column; many columns in one."""
    said = []
    for name, words in list(missing.items())[:_COLUMNS_SAID]:
        parts = []
        for word, count in words.most_common(4):
            cells = "cell" if count == 1 else "cells"
            parts.append(f"{count} {cells} “{word}”" if word else f"{count} empty {cells}")
        parts += ["…"] if len(words) > 4 else []
        said.append(f"{name!r}: taken for missing: {', '.join(parts)}.")
    if len(missing) > _COLUMNS_SAID:
        rest = list(missing.items())[_COLUMNS_SAID:]
        total: Counter[str] = sum((words for _, words in rest), Counter())
        found = ", ".join(f"“{word}”" if word else "empty" for word, _ in total.most_common(4))
        said.append(f"{len(rest)} more columns: {total.total()} cells taken for missing ({found}).")
    return said
