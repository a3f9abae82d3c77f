"""Text -> rows of cells: what separates them, the header line, the lines they begin on."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from goodfit.errors import InputError
from goodfit.tables.grid import Cells, Grid, text_of

_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_SPELLED = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars", " ": "white space"}
_CHUNK = 20_000  # rows that are held as lists of text at a time
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?")


def separator(sep: str) -> str:
    r"""One character for what the user calls it: `"tab"`, `"\t"`, `"space"`, `"\s+"`, `";"`.

    >>> separator("semicolon"), separator(r"\s+")
    (';', ' ')
    """
    word = sep.strip().lower() if len(sep) > 1 else sep
    if word in ("space", "spaces", "whitespace", "white space", r"\s+", r"\s*", " "):
        return " "
    found = _SEPARATORS.get(word, word)
    if len(found) != 1 or found in '"\n\r':
        raise InputError(f"the separator {sep!r} is not one character.", r"Give one such as ';', or tab, or '\s+'.")
    return found


def _rows(text: str, sep: str) -> Iterator[tuple[list[str], int]]:
    """The rows of a text, blank lines left out, each with the line on which it begins."""
    if sep == " ":
        lines = (line.replace("\t", " ").strip() for line in io.StringIO(text))
        reader = csv.reader(lines, delimiter=" ", skipinitialspace=True)
    else:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=sep, skipinitialspace=True)
    begin = 1
    for row in reader:
        if row and (len(row) > 1 or row[0].strip()):
            yield row, begin
        begin = reader.line_num + 1


def _detect(text: str) -> str:
    """What separates the cells: what divides every line into equally many cells.

    Where several do, the one that hardly occurs inside a cell: a tab, then `;`, then `|`, then `,`, then white space.
    """
    sample = text[: 1 << 16]
    if len(sample) < len(text):
        sample = sample[: sample.rfind("\n") + 1] or sample
    best, most, spaced = ",", 0.5, True
    for sep in ("\t", ";", "|", ",", " "):
        try:
            rows = [[cell.strip() for cell in row] for row, _ in _rows(sample, sep)]
        except csv.Error:
            continue
        counts = np.bincount([len(row) for row in rows], minlength=3)
        width = int(counts[2:].argmax()) + 2
        share = counts[width] / max(1, len(rows)) * (1.0 if rows and len(rows[0]) == width else 0.5)
        if share > most + 0.02 or (sep == " " and spaced and share > max(0.9, most - 0.02)):
            best, most, spaced = sep, share, _spaced(rows)
    return best


def _spaced(rows: list[list[str]]) -> bool:
    """Whether cells hold numbers set apart by white space: the separator is not the one they were split by."""
    return any(re.fullmatch(r"[-+\d.,eE?]+(\s+[-+\d.,eE?]+)+", cell) for row in rows[:20] for cell in row)


def delimited(
    text: str,
    where: str,
    names: Sequence[str] | None,
    sep: str | None,
    notes: list[str],
    like: Sequence[Sequence[str]],
) -> Grid:
    given = sep is not None
    sep = separator(sep) if sep is not None else _detect(text)
    try:
        reader = _rows(text, sep)
        row, line = next(reader)
        first = [cell.strip() for cell in row]
        if not given and len(first) > 1:
            notes.append(f"{where}: cells are separated by {_SPELLED[sep]}.")
        header, is_data = header_of(first, where, names, notes, like, sep)
        rows = itertools.chain([(row, line)], reader) if is_data else reader
        columns, lines = _gather(rows, header, where, sep)
    except csv.Error as error:
        raise InputError(f"{where} can't be divided into cells: {error}.", "Check its quotes, or give --sep.") from None
    return Grid(columns, lines, where, tuple(notes))


def _gather(
    rows: Iterable[tuple[list[str], int]], header: list[str], where: str, sep: str
) -> tuple[dict[str, Cells], np.ndarray]:
    """The rows as columns, each different text kept once."""
    width = len(header)
    words: list[defaultdict[str, int]] = []
    for _ in header:
        known: defaultdict[str, int] = defaultdict()
        known.default_factory = known.__len__
        words.append(known)
    codes: list[list[np.ndarray]] = [[] for _ in header]
    begins: list[int] = []
    rows = iter(rows)
    while part := list(itertools.islice(rows, _CHUNK)):
        for row, line in part:
            if len(row) != width:
                _even(row, width, line, where, sep)
        begins += [line for _, line in part]
        for known, found, cells in zip(words, codes, zip(*(row for row, _ in part))):
            found.append(np.fromiter(map(known.__getitem__, cells), dtype=np.int64, count=len(part)))
    if not begins:
        raise InputError(f"{where} has a header line but no rows.", "Give a file with rows.")
    columns = {
        name: Cells(np.concatenate(found), [word.strip() for word in known]).merged()
        for name, known, found in zip(header, words, codes)
    }
    return columns, np.asarray(begins)


def _even(row: list[Any], width: int, line: int, where: str, sep: str) -> None:
    """Cut empty cells at the end of a row that is too wide."""
    if len(row) > width and not any(str(cell).strip() for cell in row[width:]):
        del row[width:]
        return
    remedy = "Mend that line."
    if sep:
        remedy = f"Mend that line, or give --sep: cells were taken to be separated by {_SPELLED.get(sep, repr(sep))}."
    raise InputError(f"line {line} of {where} has {len(row)} cells where the header has {width}.", remedy)


def _is_number(cell: Any) -> bool:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return True
    return isinstance(cell, str) and _NUMBER.fullmatch(cell.strip()) is not None


def _headless(first: Sequence[Any]) -> bool:
    """Whether the first row holds values, not names: half of it or more are numbers."""
    numbers = [cell for cell in first if _is_number(cell)]
    if len(numbers) < max(1, 0.5 * len(first)):
        return False
    if len(numbers) == len(first):
        return True
    whole = [int(cell) for cell in map(str, numbers) if cell.isdigit()]
    # Columns named 2019, 2020, 2021 beside named ones are a header.
    return not (len(whole) == len(numbers) > 1 and all(b - a == 1 for a, b in itertools.pairwise(whole)))


def header_of(
    row: list[Any],
    where: str,
    names: Sequence[str] | None,
    notes: list[str],
    like: Sequence[Sequence[str]],
    sep: str = "",
) -> tuple[list[str], bool]:
    """The columns' names, and whether the first row holds values, not those names."""
    first = ["" if cell is None else text_of(cell) for cell in row]
    fitting = next((option for option in like if len(option) == len(first)), None)
    if fitting is not None and (names is None or len(names) != len(first)) and _headless(row):
        names = fitting
        notes.append(f"{where}: it has no header line; its columns were taken in the order of the training table.")
    if names is None:
        if _headless(row):
            shown = ", ".join(first[:4]) + (", …" if len(first) > 4 else "")
            raise InputError(
                f"{where} has no header line: its first line holds values ({shown}), not the names of columns.",
                f"Give the {len(first)} names with --names a,b,c,… (the same names where it is a header after all).",
            )
        return check_names(first, where, notes), False
    header = [str(name).strip() for name in names]
    twice = len(set(first)) < len(first) == len(header)
    if twice and not _headless(row):  # no values: a header that holds a name twice
        notes.append(f"{where}: its header line, in which names stand twice, was replaced by the names given.")
        return check_names(header, where, notes), False
    if set(first) <= set(header):  # the given names, perhaps in another order, are the header line
        return check_names(first, where, notes), False
    if len(header) != len(first):
        remedy = "Give one name for each column."
        if sep:
            remedy = f"{remedy[:-1]}, or --sep: cells were taken to be separated by {_SPELLED.get(sep, repr(sep))}."
        raise InputError(f"{len(header)} names were given for the {len(first)} columns of {where}.", remedy)
    return check_names(header, where, notes), True


def check_names(header: list[str], where: str, notes: list[str]) -> list[str]:
    named = []
    for number, name in enumerate(header, 1):
        if not name:
            name = f"column {number}"
            notes.append(f"{where}: column {number} has no name; it is called {name!r}.")
        named.append(name)
    twice = [name for name in dict.fromkeys(named) if named.count(name) > 1]
    if twice:
        numbers = [str(i) for i, name in enumerate(named, 1) if name == twice[0]]
        raise InputError(
            f"{where} has several columns called {twice[0]!r} (columns {', '.join(numbers)})"
            + (f", and {len(twice) - 1} more names that occur twice." if len(twice) > 1 else "."),
            "Rename all but one of them, or give other names with --names.",
        )
    return named
