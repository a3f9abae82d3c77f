"""Where a table comes from: a path, a URL or a data frame -> a grid of cells."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from goodfit.errors import InputError
from goodfit.tables.decode import READABLE, decode, refuse_binary
from goodfit.tables.delimited import delimited
from goodfit.tables.fetch import fetch, unpack
from goodfit.tables.grid import Grid
from goodfit.tables.typed import excel, index_note, json_records, named, parquet


def load(
    source: str | os.PathLike[str] | pd.DataFrame,
    *,
    names: Sequence[str] | None = None,
    sep: str | None = None,
    encoding: str | None = None,
    sheet: str | int | None = None,
    like: Sequence[Sequence[str]] = (),
) -> Grid:
    """The cells of a file, URL or data frame, unconverted.

    Args:
        source: a path, a URL, or a data frame.
        names: the columns' names, for a file without a header line.
        sep: what separates the cells of a text file; detected where `None`.
        encoding: of a text file; detected where `None`.
        sheet: of an Excel file; the first where `None`.
        like: lists of names, the first of which that has one for each column stands for a missing header line.

    Raises:
        InputError: the source can't be read as a table.
    """
    names = names.split(",") if isinstance(names, str) else names
    if isinstance(source, pd.DataFrame):
        if sheet is not None:
            raise InputError(f"the sheet {sheet!r} is asked for of a data frame.", "Leave it out.")
        return Grid(named(source, names), None, "DataFrame", index_note(source))
    if not isinstance(source, (str, bytes, os.PathLike)):
        raise InputError(f"a {type(source).__name__} is no table.", "Give a path, a URL or a pandas DataFrame.")
    where = os.fspath(source)
    if not isinstance(where, str):
        where = os.fsdecode(where)
    content = fetch(where)
    content, packing = unpack(content, where)
    notes = [f"{where}: unpacked ({packing})."] if packing else []
    if not content.strip():
        raise InputError(f"{where} is empty.", "Give a file with a header line and rows.")
    if content[:4] == b"PAR1":
        if sheet is not None:
            raise InputError(f"the sheet {sheet!r} is asked for, and {where} is no Excel file.", "Leave out --sheet.")
        return Grid(named(parquet(content, where), names), None, where, tuple(notes))
    if content[:4] == b"PK\x03\x04":
        return excel(content, where, names, sheet, notes, like)
    if sheet is not None:
        raise InputError(f"the sheet {sheet!r} is asked for, and {where} is no Excel file.", "Leave out --sheet.")
    if (ending := Path(where).suffix.lower()) in (".parquet", ".xlsx"):
        notes.append(
            f"{where}: it holds text, no {'Parquet' if ending == '.parquet' else 'Excel'} table; read as text."
        )
    refuse_binary(content, where, encoding)
    text, said = decode(content, where, encoding)
    notes += said
    if not text.strip():
        raise InputError(f"{where} is empty.", "Give a file with a header line and rows.")
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype html", "<html")):
        raise InputError(f"{where} is a web page, not a table.", f"Give the address of the file itself. {READABLE}")
    stem = Path(where.split("?")[0]).name.lower()
    if re.search(r"\.(jsonl|ndjson|json)(\.\w+)?$", stem) or re.match(r'\{\s*"|\[\s*\{', text.lstrip()[:20]):
        frame, lines = json_records(text, where)
        return Grid(named(frame, names), lines, where, tuple(notes))
    return delimited(text, where, names, sep, notes, like)
