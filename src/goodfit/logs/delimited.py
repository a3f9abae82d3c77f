"""CSV and its kin: Keras's CSVLogger, a DataFrame's `to_csv`, goodfit's own `history.csv`, any table with a header."""

from __future__ import annotations

import contextlib
import csv
import re
from itertools import islice

from goodfit.errors import InputError
from goodfit.logs.cells import column, plural
from goodfit.logs.formats import Log, log_format
from goodfit.logs.names import by_part
from goodfit.logs.source import Source

_DECIMAL = re.compile(r"[-+]?(0,\d+|\d+,(\d{1,2}|\d{4,}))(e[-+]?\d+)?", re.I)  # no thousands: 1,234 is none of these


def _looks_delimited(source: Source) -> bool:
    return bool(source.beginning.strip())


@log_format("CSV", matches=_looks_delimited, order=90)
def delimited(source: Source) -> tuple[Log, ...]:
    """The one history of a delimited text with a header: commas, semicolons, tabs, bars or spaces, found by its
    beginning.

    Lines that begin with `#` are comments. A repeated header is a break. A row with another number of cells than the
    header is left out, and said; so is a last line that was only half written: one without a line end whose cells are
    too few, or whose last cell is shorter than any above it.
    """
    delimiter = _delimiter(source)
    header: list[str] = []
    rows: list[list[str]] = []
    numbers: list[int] = []
    breaks: list[int] = []
    ragged: list[int] = []
    notes: list[str] = []
    last, ended = 0, True
    for number, line in source.lines():
        last, ended = number, line.endswith(("\n", "\r")) or source.encoding.startswith("utf-16")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = _cells(line, delimiter)
        if not header:
            header = [cell.strip() for cell in cells]
            continue
        if len(cells) == len(header) + 1 and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(header):
            ragged.append(number)
        elif [cell.strip() for cell in cells] == header:
            breaks.append(len(rows))
        else:
            rows.append(cells)
            numbers.append(number)
    _check_header(source, header)
    if not ended and len(rows) > 2 and numbers[-1] == last and _cut(rows):
        rows.pop()
        notes.append("the last line may be only half written and was left out; the training may still be running.")
    if ragged and ragged[-1] == last and not ended:
        ragged.pop()
        notes.append("the last line is only half written and was left out; the training may still be running.")
    if len(ragged) > len(rows):
        raise InputError(
            f"{source.name} is no table: {plural(len(ragged), 'line')} ({ragged[0]} first) with another number of "
            f"cells than the header's {len(header)}.",
            "Give a log with one column per name.",
        )
    if not rows:
        raise InputError(f"{source.name} has a header but no rows.", "Give the log of a training that has begun.")
    if ragged:
        notes.append(
            f"left out: {plural(len(ragged), 'line')} with another number of cells than the header (line {ragged[0]} "
            "first)."
        )
    if source.stride > 1:
        notes.append(f"the log is long: every {source.stride}th row was read.")
    columns, words = {}, {}
    for place, name in enumerate(_unique(header)):
        if not name:
            continue  # the index that a DataFrame writes
        cells = [row[place] for row in rows]
        values, texts = column(cells, decimal_comma=delimiter != "," or _decimal_commas(cells))
        if len(texts) == len(rows):
            words[name] = [row[place].strip() for row in rows]
            continue
        if texts:
            what = rows[texts[0]][place].strip()[:30]
            notes.append(
                f"left out: {plural(len(texts), 'cell')} of text in the column {name!r} (line {numbers[texts[0]]} "
                f"first: {what!r})."
            )
        columns[name] = values
    if not columns:
        raise InputError(
            f"{source.name} has no column of numbers.", "Give the log of a training, one column per curve."
        )
    columns = by_part(columns, words, notes)
    return (Log(columns, tuple(notes), tuple(breaks)),)


def _decimal_commas(cells: list[str]) -> bool:
    """Whether the commas of cells that commas set apart (so the cells are quoted) are decimal marks, not thousands."""
    marked = [cell.strip() for cell in cells if "," in cell]
    return any(_DECIMAL.fullmatch(cell) for cell in marked)


def _cut(rows: list[list[str]]) -> bool:
    """Whether the last cell of the last row is shorter than any above it, as it is where it was being written."""
    return len(rows[-1][-1].strip()) < min(len(row[-1].strip()) for row in rows[:-1])


def _cells(line: str, delimiter: str) -> list[str]:
    line = line.rstrip("\r\n")
    if delimiter == " ":
        return line.split()
    if '"' in line:
        with contextlib.suppress(csv.Error):  # a carriage return in front of a quote
            return next(csv.reader([line], delimiter=delimiter), [])
    return line.split(delimiter)


def _delimiter(source: Source) -> str:
    """The delimiter that cuts the most of the first lines into as many cells as the first."""
    lines = source.beginning.splitlines()
    if source.size > len(source.head):
        lines = lines[:-1] or lines
    sample = list(islice((s for s in lines if s.strip() and not s.lstrip().startswith("#")), 30))
    best, top = ",", (0.0, 0)
    for delimiter in (",", ";", "\t", "|", " "):
        counts = [len(_cells(line, delimiter)) for line in sample]
        if not counts or counts[0] < 2:
            continue
        score = (sum(count in (counts[0], counts[0] + 1) for count in counts) / len(counts), counts[0])
        if score[0] > top[0] + 0.2 or (score[0] > top[0] - 0.2 and delimiter != " " and score[1] > top[1]):
            best, top = delimiter, score
    return best


def _check_header(source: Source, header: list[str]) -> None:
    values, texts = column(header)
    if header and len(texts) < len([cell for cell in header if cell]) and len(texts) < len(values) / 2:
        raise InputError(
            f"the first line of {source.name} holds numbers, not the names of columns.",
            "Add a first line such as epoch,loss,val_loss.",
        )


def _unique(header: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    names = []
    for name in header:
        name = name.strip().strip('"')
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}.{seen[name] - 1}")
    return names
