"""Cells -> numbers, dates and texts, with a word about everything that was not plain."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from goodfit.errors import InputError, option
from goodfit.tables.grid import Cells, text_of
from goodfit.tables.numerals import bare_number, is_signed, parse_number, parse_numbers

MISSING_WORDS = frozenset(
    ("", "?", "n/a", "na", "nan", "null", "#n/a", "#na", "<na>", "nat", "n.a.", "-", "--", "n.d.", "#null!", "#value!")
)
MISSING_NUMBER_WORDS = MISSING_WORDS | {"none", "nil", "missing", "unknown", ".", "..", "...", "–", "—", "*", "x"}
NUMERIC_SHARE = 0.8  # of a column's cells: from here on the others are stray text among numbers
_OTHER = {".": ",", ",": "."}
_SIGNS = {",": "commas", ".": "points", " ": "spaces", "'": "apostrophes"}
_LEADING_ZERO = re.compile(r"[+-]?0\d+")
_DATE_SHAPE = re.compile(r"(?=.*\d)[\w.,:/+ -]{6,35}")
_DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "ISO8601",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
)
_SPOKEN = {
    "%Y-%m-%d": "year-month-day", "%Y/%m/%d": "year/month/day", "ISO8601": "ISO 8601",
    "%d.%m.%Y": "day.month.year", "%m/%d/%Y": "month/day/year", "%d/%m/%Y": "day/month/year",
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """How a column's cells are written, so that another table's are read alike.

    Args:
        kind: what the cells were read as; a code is a number where it is one, but stands for itself.
        decimal: the decimal mark of a number.
        thousands: what sets the thousands apart, or `""`.
        symbol: what stands before or after every number, or `""`.
        format: the `strptime` format of a date, or `"ISO8601"`.
    """

    kind: Literal["number", "code", "date", "boolean", "text"]
    decimal: str = "."
    thousands: str = ""
    symbol: str = ""
    format: str = ""

    def marked(self, decimal: str | None, thousands: str | None) -> Form:
        """The same with marks that were given, `None` where not; where one would stand for both, the given one counts.

        >>> Form("number", ",", ".").marked(".", None), Form("number").marked(None, ".").decimal
        (Form(kind='number', decimal='.', thousands='', symbol='', format=''), ',')
        """
        if self.kind != "number":
            return self
        if decimal is None:
            decimal = _OTHER[self.decimal] if thousands == self.decimal else self.decimal
        if thousands is None:
            thousands = "" if self.thousands == decimal else self.thousands
        return replace(self, decimal=decimal, thousands=thousands)


@dataclass(frozen=True)
class Fault:
    """Why a column can't be used as it stands; an error only for a table that uses it as a quantity.

    Args:
        column: its name.
        problem: one sentence that names column, rows and cells.
        remedy: what to do.
        text: the column can still be used as text (stray words among numbers).
    """

    column: str
    problem: str
    remedy: str
    text: bool = False

    def error(self) -> InputError:
        """The exception that says so."""
        return InputError(self.problem, self.remedy)


@dataclass
class Converted:
    """One column after conversion."""

    values: pd.Series
    form: Form
    missing: Counter[str] = field(default_factory=Counter)
    note: str = ""
    fault: Fault | None = None


def missing_words(na: str | Iterable[str] | None) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The words for missing: those given, those meant in any column, those meant among numbers.

    Args:
        na: more words, matched as written; `None` for the usual ones alone, `()` for none but the empty cell.
    """
    if na is None:
        return frozenset(), MISSING_WORDS, MISSING_NUMBER_WORDS
    given = frozenset([na] if isinstance(na, str) else na) - {""}
    if not given:
        return given, frozenset([""]), frozenset([""])
    return given, MISSING_WORDS, MISSING_NUMBER_WORDS


def convert(
    name: str,
    cells: pd.Series | Cells,
    na: str | Iterable[str] | None,
    decimal: str | None,
    thousands: str | None,
    where: Callable[[int], str],
    prefer: str = ".",
) -> Converted:
    """One column of cells as numbers, dates, booleans or text.

    Args:
        name: of the column.
        cells: as the source has them.
        na: more words for missing, see `missing_words`.
        decimal: the decimal mark, found where `None`.
        thousands: what sets thousands apart, found where `None`.
        where: the name of a row, by position.
        prefer: the decimal mark of a column that can be read with either.
    """
    given, anywhere, among_numbers = missing_words(na)
    typed = None if isinstance(cells, Cells) else _typed(name, cells, given, where)
    if typed is not None:
        return typed
    codes, words = _texts(cells)
    sizes = np.bincount(codes[codes >= 0], minlength=len(words)).astype(np.int64)
    folded = [word.lower() for word in words]
    gone = np.array([w in given or f in anywhere for w, f in zip(words, folded)], dtype=bool)
    maybe = np.array([f in among_numbers for f in folded], dtype=bool) | gone
    numbers, style, symbol = parse_numbers(words, maybe, decimal, thousands, prefer)
    parsed = ~np.isnan(numbers) & ~gone
    gone_number = gone | (maybe & ~parsed)
    present = int(sizes[~gone_number].sum())
    share = sizes[parsed].sum() / present if present else 0.0
    signed = np.array([not out and not yes and is_signed(w) for w, out, yes in zip(words, gone, parsed)], dtype=bool)
    nearly = (sizes[parsed].sum() + sizes[signed].sum()) / present if present else 0.0
    padded = any(_LEADING_ZERO.fullmatch(words[i]) for i in np.flatnonzero(parsed))
    long = any(len(words[i].lstrip("+-")) > 15 and words[i].lstrip("+-").isdigit() for i in np.flatnonzero(parsed))
    if share == 1.0 and not padded and not long:
        return _as_number(name, codes, words, sizes, numbers, given, gone_number, style, symbol, where)
    fault, note = None, ""
    if share == 1.0:
        why = "codes with leading zeros" if padded else "too long for a number"
        note = f"{name!r}: its digits are {why}; read as text."
    elif nearly >= NUMERIC_SHARE and not padded:
        fault = _stray(
            name,
            codes,
            words,
            parsed | gone_number,
            where,
            "numbers",
            f", or take the column as text ({option('categorical', name)})",
        )
    elif present and share == 0.0:
        dated = _dates(name, codes, words, gone, where)
        if dated is not None:
            dated.missing = _count(words, sizes, gone)
            return dated
    elif share > 0.2:
        note = f"{name!r}: {share:.0%} of its cells are numbers, the others are not; read as text."
    lookup = np.array([None if out else word for word, out in zip(words, gone)] + [None], dtype=object)
    values = pd.Series(lookup[codes], dtype=object)
    return Converted(values, Form("text"), _count(words, sizes, gone), note, fault)


def conform(
    name: str, cells: pd.Series | Cells, form: Form, na: Sequence[str] | None, where: Callable[[int], str]
) -> Converted:
    """A column of another table, read as the training table's was.

    Numbers are written with the training table's marks, or all of the column with the same other ones, which the note
    then says: thousands set apart as they were not there, or plain decimal points where the comma was the decimal mark.

    Args:
        name: of the column.
        cells: of the other table.
        form: of the training table's column.
        na: the words for missing that the user gave for it.
        where: the name of a row, by position.

    Returns:
        float64 for numbers, datetime64 for dates, objects (text or `None`) otherwise.

    Raises:
        InputError: a cell is neither of that form nor missing, or the column can be read with other marks in two ways.
    """
    given, anywhere, among_numbers = missing_words(na)
    if isinstance(cells, pd.Series):
        dtype = cells.dtype
        if form.kind == "number" and (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)):
            values = _floats(cells)
            values = values.mask(values.isin(_as_floats(given)))
            if (fault := _infinite(name, values.to_numpy(), where)) is not None:
                raise fault.error()
            return Converted(values, form)
        if form.kind == "date" and pd.api.types.is_datetime64_any_dtype(dtype):
            return Converted(_naive(cells), form)
    codes, words = _texts(cells)
    folded = [word.lower() for word in words]
    gone = np.array([word in given or low in anywhere for word, low in zip(words, folded)], dtype=bool)
    if form.kind == "number":
        gone_number = gone | np.array([low in among_numbers for low in folded], dtype=bool)
        form, numbers, note = _marks(name, words, gone_number, form)
        values = pd.Series(
            np.array([np.nan if n is None or out else n for n, out in zip(numbers, gone)] + [np.nan])[codes]
        )
        values = values.mask(values.isin(_as_floats(given)))
        good = np.array([n is not None for n in numbers], dtype=bool) | gone_number
        fault = _infinite(name, values.to_numpy(), where) if good.all() else _stray(name, codes, words, good, where)
        if fault is not None:
            raise fault.error()
        return Converted(values, form, note=note)
    if form.kind == "date":
        text = pd.Series(words, dtype=object).mask(gone)
        parsed = _parse_dates(text, form.format)
        if form.format != "ISO8601" and (parsed.isna() & text.notna()).any():
            parsed = parsed.fillna(_parse_dates(text, "ISO8601"))
        good = (parsed.notna() | text.isna()).to_numpy()
        if not good.all():
            raise _stray(name, codes, words, good, where, "dates").error()
        return Converted(_take_dates(parsed, codes), form)
    if form.kind == "code":
        numbers = [_one_number(word, form) for word in words]
        words = [word if number is None else text_of(number) for word, number in zip(words, numbers)]
    lookup = np.array([*(None if out else word for word, out in zip(words, gone)), None], dtype=object)
    return Converted(pd.Series(lookup[codes], dtype=object), form)


# --- pieces --------------------------------------------------------------------------------------------------------


def _typed(name: str, cells: pd.Series, given: frozenset[str], where: Callable[[int], str]) -> Converted | None:
    """A column whose cells have a type already, or `None` where they are text."""
    dtype = cells.dtype
    if isinstance(dtype, pd.CategoricalDtype):  # declared a category: numbers in it are codes
        texts = Cells.of(cells.astype(object))
        lookup = np.array([*texts.words, None], dtype=object)
        return Converted(pd.Series(lookup[texts.codes], dtype=object), Form("text"))
    if pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
        kind = pd.api.types.infer_dtype(cells, skipna=True)
        if kind == "boolean":
            return Converted(cells.astype(object).where(cells.notna(), None), Form("boolean"))
        if kind in ("integer", "floating", "mixed-integer-float", "decimal"):
            cells = pd.to_numeric(cells.astype(object).where(cells.notna(), np.nan).astype(float))
            dtype = cells.dtype
        elif kind in ("datetime64", "datetime", "date"):
            cells = pd.to_datetime(cells, errors="coerce", utc=True)
            dtype = cells.dtype
        else:
            return None
    if pd.api.types.is_bool_dtype(dtype):
        return Converted(cells.astype(object).where(cells.notna(), None), Form("boolean"))
    if isinstance(dtype, pd.PeriodDtype):
        cells = cells.dt.to_timestamp()
        dtype = cells.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return Converted(_naive(cells), Form("date", format="ISO8601"))
    if pd.api.types.is_timedelta64_dtype(dtype):
        return Converted(cells.dt.total_seconds(), Form("number"), note=f"{name!r}: durations, read as seconds.")
    if pd.api.types.is_complex_dtype(dtype):
        fault = Fault(
            name,
            f"the column {name!r} holds complex numbers.",
            f"Give real and imaginary part, or {option('drop', name)}.",
        )
        return Converted(pd.Series(np.abs(cells.to_numpy()), dtype=float), Form("number"), fault=fault)
    if not pd.api.types.is_numeric_dtype(dtype):
        return None
    values = _floats(cells)
    missing: Counter[str] = Counter()
    if given:
        hit = values.isin(_as_floats(given))
        for number in values[hit].to_list():
            missing[f"{number:g}"] += 1
        values = values.mask(hit)
    fault = _infinite(name, values.to_numpy(), where, _or_drop(name))
    exact = pd.api.types.is_integer_dtype(dtype) and not values.isna().any()
    return Converted(
        cells.astype("int64") if exact and cells.abs().max() < 2**62 else values, Form("number"), missing, fault=fault
    )


def _texts(cells: pd.Series | Cells) -> tuple[np.ndarray, list[str]]:
    """Each cell's place among the different texts (-1 where there is none), and those texts, stripped."""
    found = cells if isinstance(cells, Cells) else Cells.of(cells)
    return found.codes, found.words


def styles_of(cells: pd.Series | Cells, na: str | Iterable[str] | None) -> list[tuple[str, str]] | None:
    """The (decimal, thousands) marks under which most of a column's cells are numbers; `None` for no text numbers."""
    if isinstance(cells, pd.Series) and not (
        pd.api.types.is_object_dtype(cells.dtype) or pd.api.types.is_string_dtype(cells.dtype)
    ):
        return None
    _, words = _texts(cells)
    words = words[:5000]
    given, _, among = missing_words(na)
    maybe = np.array([word in given or word.lower() in among for word in words], dtype=bool)
    values, best, _ = parse_numbers(words, maybe, None, None)
    return best if (~np.isnan(values)).sum() >= max(1, NUMERIC_SHARE * (~maybe).sum()) else None


def _as_number(
    name: str,
    codes: np.ndarray,
    words: list[str],
    sizes: np.ndarray,
    numbers: np.ndarray,
    given: frozenset[str],
    gone: np.ndarray,
    styles: list[tuple[str, str]],
    symbol: str,
    where: Callable[[int], str],
) -> Converted:
    numbers = numbers.copy()
    if given:
        hit = np.isin(numbers, _as_floats(given))
        gone = gone | hit
    numbers[gone] = np.nan
    values = np.append(numbers, np.nan)[codes]
    decimal, thousands = styles[0]
    said = []
    example = next(
        (words[i] for i in range(len(words)) if not gone[i] and any(m in words[i] for m in ",' \u00a0\u2019")), None
    )
    if decimal == "," and any("," in words[i] for i in range(len(words)) if not gone[i]):
        said.append(f"the comma is the decimal mark (“{example}”)")
    marked = [words[i] for i in range(len(words)) if not gone[i] and thousands and thousands in words[i]]
    if marked:
        said.append(f"{_SIGNS.get(thousands, repr(thousands))} set the thousands apart (“{marked[0]}”)")
        if (",", "") in styles:
            said.append("give --decimal , where the comma is the decimal mark")
    if symbol:
        said.append(f"the sign {symbol} at every number was left out")
    note = f"{name!r}: {'; '.join(said)}." if said else ""
    series = pd.Series(values)
    whole = not np.isnan(values).any() and np.isfinite(values).all() and (values == np.round(values)).all()
    if whole and np.abs(values).max(initial=0) < 2**53 and not any("." in word for word in words):
        series = series.astype("int64")
    form = Form("number", decimal, thousands, symbol)
    return Converted(series, form, _count(words, sizes, gone), note, _infinite(name, values, where, _or_drop(name)))


def _marks(name: str, words: list[str], gone: np.ndarray, form: Form) -> tuple[Form, list[float | None], str]:
    """The form by whose marks all words of another table are numbers, the numbers, and what is said of other marks.

    The training table's marks come first. A column that they don't fit is read with one other pair as a whole, never
    cell by cell, for “1.234” beside “0.264” is no thousand. Words that are no numbers are `None`.
    """

    def read(decimal: str, thousands: str) -> tuple[Form, list[float | None], bool]:
        other = replace(form, decimal=decimal, thousands=thousands)
        numbers = [_one_number(word, other) for word in words]
        return other, numbers, all(out or n is not None for n, out in zip(numbers, gone))

    known, numbers, fits = read(form.decimal, form.thousands)
    if fits:
        return known, numbers, ""
    learnt = "the point" if form.decimal == "." else "the comma"
    mark = _OTHER[form.decimal]
    grouped, by_groups, fits_groups = read(form.decimal, mark)
    plain, by_points, fits_plain = read(".", "")
    example = next((word for word, out in zip(words, gone) if not out and mark in word), "")
    if form.decimal == "," and fits_groups and fits_plain:
        raise InputError(
            f"the column {name!r} can be read in two ways: the point in “{example}” is the decimal mark, or it sets "
            "thousands apart; the training table was read with the comma as the decimal mark.",
            f"Say which with {option('decimal', '.')} or {option('thousands', '.')}.",
        )
    if fits_groups:
        said = f"{name!r}: {_SIGNS[mark]} set the thousands apart (“{example}”), which they don't in the training table"
        said += "; give --decimal , where the comma is the decimal mark" if mark == "," else ""
        return grouped, by_groups, f"{said}."
    if fits_plain:
        said = f"{name!r}: the point is the decimal mark (“{example}”), which in the training table is {learnt}."
        return plain, by_points, said
    if any(read(mark, thousands)[2] for thousands in ("", form.decimal)):
        raise InputError(
            f"the column {name!r} holds numbers such as “{example}”, and the training table was read with {learnt} as "
            "the decimal mark.",
            f"Give {option('decimal', mark)} where that is the decimal mark of this table.",
        )
    return known, numbers, ""


def _one_number(word: str, form: Form) -> float | None:
    """A number of that form, with or without its symbol."""
    number = parse_number(bare_number(word, form.symbol), form.decimal, form.thousands)
    return None if number is not None and math.isnan(number) else number


def _count(words: list[str], sizes: np.ndarray, gone: np.ndarray) -> Counter[str]:
    return Counter({words[i]: int(sizes[i]) for i in np.flatnonzero(gone) if sizes[i]})


def _as_floats(words: Iterable[str]) -> list[float]:
    found = (parse_number(word, ".", "") for word in words)
    return [number for number in found if number is not None and not math.isnan(number)]


def _floats(cells: pd.Series) -> pd.Series:
    return pd.Series(cells.to_numpy(dtype="float64", na_value=np.nan))


def _infinite(name: str, values: np.ndarray, where: Callable[[int], str], remedies: str = "") -> Fault | None:
    at = np.flatnonzero(np.isinf(values))
    if not len(at):
        return None
    rows = ", ".join(where(int(i)) for i in at[:3]) + (f" and {len(at) - 3} more" if len(at) > 3 else "")
    return Fault(
        name,
        f"the column {name!r} holds {'an infinite number' if len(at) == 1 else 'infinite numbers'} in {rows}.",
        f"Mend {'that cell' if len(at) == 1 else 'those cells'}, or count infinities as missing "
        f"({option('na', 'inf', '-inf')}){remedies}.",
    )


def _or_drop(name: str) -> str:
    """The remedy that a training has and a prediction has not."""
    return f", or leave the column out ({option('drop', name)})"


def _stray(
    name: str,
    codes: np.ndarray,
    words: list[str],
    good: np.ndarray,
    where: Callable[[int], str],
    what: str = "numbers",
    remedies: str = "",
) -> Fault:
    bad = ~good
    at = np.flatnonzero((codes >= 0) & bad[codes])
    shown = ", ".join(f"“{words[codes[i]]}” in {where(int(i))}" for i in at[:4])
    shown += f" and {len(at) - 4} more" if len(at) > 4 else ""
    cell = words[codes[at[0]]]
    remedy = f"Mend {'that cell' if len(at) == 1 else 'those cells'}, or count them as missing ({option('na', cell)})"
    verb = "is" if len(at) == 1 else "are"
    return Fault(name, f"the column {name!r} holds {what}, but {shown} {verb} not.", f"{remedy}{remedies}.", text=True)


def _naive(cells: pd.Series) -> pd.Series:
    """Dates without a time zone (in UTC where they had one), in microseconds."""
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        cells = cells.dt.tz_convert("UTC").dt.tz_localize(None)
    return cells.astype("datetime64[us]").reset_index(drop=True)


def _parse_dates(text: pd.Series, format: str) -> pd.Series:
    parsed = pd.to_datetime(text, format=format, errors="coerce", utc=True)
    return _naive(parsed)


def _take_dates(parsed: pd.Series, codes: np.ndarray) -> pd.Series:
    lookup = np.append(parsed.to_numpy(dtype="datetime64[us]"), np.datetime64("NaT", "us"))
    return pd.Series(lookup[codes])


def _dates(
    name: str, codes: np.ndarray, words: list[str], gone: np.ndarray, where: Callable[[int], str]
) -> Converted | None:
    kept = [i for i in range(len(words)) if not gone[i]]
    probe = [words[i] for i in kept[:200]]
    if sum(_DATE_SHAPE.fullmatch(word) is not None for word in probe) < NUMERIC_SHARE * len(probe):
        return None
    text = pd.Series(probe, dtype=object)
    shares = {format: _parse_dates(text, format).notna().mean() for format in _DATE_FORMATS}
    if max(shares.values()) < NUMERIC_SHARE:
        return None
    full = pd.Series(words, dtype=object).mask(gone)
    most = max(shares.values())
    tied = [format for format in _DATE_FORMATS if shares[format] == most]
    parses = {format: _parse_dates(full, format) for format in tied}
    tied.sort(key=lambda format: -int(parses[format].notna().sum()))
    format = tied[0]
    parsed = parses[format]
    good = (parsed.notna() | full.isna()).to_numpy()
    if not good.all():
        if good[kept].mean() < NUMERIC_SHARE:
            return None
        fault = _stray(
            name, codes, words, good, where, "dates", f", or take the column as text ({option('categorical', name)})"
        )
        lookup = np.array([None if out else word for word, out in zip(words, gone)] + [None], dtype=object)
        return Converted(pd.Series(lookup[codes], dtype=object), Form("text"), fault=fault)
    note = f"{name!r}: dates, written as {_SPOKEN.get(format, format)}."
    swapped = [other for other in tied[1:] if parses[other].notna().all() and not parses[other].equals(parsed)]
    if swapped and parses[swapped[0]].notna().sum() == parsed.notna().sum():
        other = _SPOKEN.get(swapped[0], swapped[0])
        note = f"{note[:-1]} ({other} would fit as well; write them year-month-day where that was meant)."
    return Converted(_take_dates(parsed, codes), Form("date", format=format), note=note)
