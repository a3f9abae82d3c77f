"""Sources whose cells have types: data frames, Parquet, Excel, JSON."""

from __future__ import annotations

import difflib
import io
import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from goodfit.errors import InputError
from goodfit.tables.decode import READABLE
from goodfit.tables.delimited import check_names, header_of
from goodfit.tables.grid import Cells, Grid


def named(frame: pd.DataFrame, names: Sequence[str] | None) -> dict[str, Cells | pd.Series]:
    """The columns of a typed frame by text names, with a fresh index, and at least one row."""
    if isinstance(frame.columns, pd.MultiIndex):
        raise InputError("the table's column names have several levels.", "Give it one row of names.")
    if names is not None and len(names) != frame.shape[1]:
        raise InputError(f"{len(names)} names were given for {frame.shape[1]} columns.", "Give one for each column.")
    header = [str(name).strip() for name in (frame.columns if names is None else names)]
    header = check_names(header, "the table", [])
    if frame.shape[1] == 0:
        raise InputError("the table is empty.", "Give a table with columns and rows.")
    if len(frame) == 0:
        raise InputError("the table has columns but no rows.", "Give a table with rows.")
    frame = frame.reset_index(drop=True)
    return {name: frame.iloc[:, i] for i, name in enumerate(header)}


def index_note(frame: pd.DataFrame) -> tuple[str, ...]:
    if isinstance(frame.index, pd.RangeIndex) or frame.index.names == [None]:
        return ()
    named = ", ".join(repr(name) for name in frame.index.names)
    return (f"the data frame's index ({named}) was left out; make it a column with reset_index() where it matters.",)


def parquet(content: bytes, where: str) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except ImportError:
        raise InputError(
            f"{where} is a Parquet file, which needs pyarrow.", "Install it with: pip install 'goodfit[parquet]'"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{where} can't be read as Parquet: {str(error).splitlines()[0].rstrip('.')}.", "Write or fetch it anew."
        ) from None
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    return frame


def excel(
    content: bytes,
    where: str,
    names: Sequence[str] | None,
    sheet: str | int | None,
    notes: list[str],
    like: Sequence[Sequence[str]],
) -> Grid:
    import warnings

    from openpyxl import load_workbook

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl tells of styles that it leaves out
        try:
            book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        except Exception as error:  # a damaged archive raises whatever its XML or zip reader raises
            raise InputError(f"{where} can't be read as .xlsx: {error}.", f"Save it anew. {READABLE}") from None
        titles = book.sheetnames
        if isinstance(sheet, str) and sheet not in titles and sheet.isdigit():
            sheet = int(sheet)
        if isinstance(sheet, int):
            if not 0 <= sheet < len(titles):
                raise InputError(f"{where} has no sheet {sheet}: it has {len(titles)}, from 0.", "Give one by name.")
            sheet = titles[sheet]
        if sheet is not None and sheet not in titles:
            near = difflib.get_close_matches(sheet, titles, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(map(repr, titles))}."
            raise InputError(f"{where} has no sheet {sheet!r}.", remedy)
        if sheet is None and len(titles) > 1:
            notes.append(
                f"{where}: it has {len(titles)} sheets; the first, {titles[0]!r}, was read (--sheet for another)."
            )
        rows = [list(row) for row in book[sheet or titles[0]].iter_rows(values_only=True)]
        book.close()
    filled = [(row, line) for line, row in enumerate(rows, 1) if any(cell not in (None, "") for cell in row)]
    if not filled:
        raise InputError(f"{where} is empty.", "Give a sheet with a header row and rows.")
    width = max(max(i for i, cell in enumerate(row, 1) if cell not in (None, "")) for row, _ in filled)
    cells = [[*row, *[None] * width][:width] for row, _ in filled]
    lines = np.asarray([line for _, line in filled])
    header, is_data = header_of(cells[0], where, names, notes, like)
    if not is_data:
        cells, lines = cells[1:], lines[1:]
    if not cells:
        raise InputError(f"{where} has a header row but no rows.", "Give a sheet with rows.")
    columns = {name: pd.Series(list(column), dtype=object) for name, column in zip(header, zip(*cells))}
    return Grid(columns, lines, where, tuple(notes))


def json_records(text: str, where: str) -> tuple[pd.DataFrame, np.ndarray | None]:
    lines: np.ndarray | None = None
    if text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{where} is not JSON: {error}.", "Mend it, or write one object per line.") from None
    else:
        records, at = [], []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    records.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise InputError(
                        f"line {number} of {where} is not JSON: {error.msg}.", "Write one object per line."
                    ) from None
                at.append(number)
        lines = np.asarray(at)
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            spot = f"line {lines[number]}" if lines is not None else f"entry {number + 1}"
            raise InputError(
                f"{spot} of {where} is not an object with named values.", 'Write objects such as {"a": 1, "b": "x"}.'
            )
    header = dict.fromkeys(name for record in records for name in record)
    columns = {}
    for name in header:
        cells = [record.get(name) for record in records]
        cells = [json.dumps(cell) if isinstance(cell, (list, dict)) else cell for cell in cells]
        columns[name] = pd.Series(cells, dtype=object)
    return pd.DataFrame(columns), lines
