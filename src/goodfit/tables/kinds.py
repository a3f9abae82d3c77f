"""What a column holds: a quantity, a code, a date, a name of the row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from shlex import quote

import numpy as np
import pandas as pd

from goodfit.errors import InputError
from goodfit.values import ColumnKind

# Words in a column's name that tell a code from a quantity.
# fmt: off
_CODE_WORDS = frozenset({
    "code", "type", "class", "category", "cat", "kind", "region", "origin", "zone", "group", "sector", "status",
    "gender", "sex", "race", "ethnicity", "colour", "color", "department", "dept", "country", "state", "city",
    "district", "county", "cluster", "label", "brand", "make", "manufacturer", "vendor", "supplier", "model",
    "channel", "zip", "zipcode", "postcode", "postal", "sku", "species", "variety", "batch", "station", "site",
    "location", "branch", "store", "shop", "product", "nationality", "religion", "occupation", "industry",
    "marital", "continent", "month", "weekday", "dayofweek", "dow", "quarter", "season", "sensor", "device",
    "operator", "team", "plant", "line", "shift", "browser", "os", "platform", "language",
})
# fmt: on
# fmt: off
QUANTITY_WORDS = frozenset({
    "year", "age", "count", "counts", "num", "number", "n", "no", "total", "sum", "amount", "size", "length",
    "width", "height", "weight", "depth", "rank", "score", "rating", "grade", "level", "years", "days", "hours",
    "minutes", "seconds", "cylinders", "doors", "rooms", "bedrooms", "bathrooms", "beds", "floors", "stories",
    "children", "siblings", "members", "price", "cost", "value", "rate", "ratio", "percent", "pct", "mean",
    "average", "avg", "quantity", "qty", "times", "visits", "points", "quality", "stars", "degree", "temperature",
    "pclass", "sibsp", "parch", "education",
})
# fmt: on
# fmt: off
_IDENTIFIER_WORDS = frozenset({
    "id", "ids", "uid", "uuid", "guid", "index", "idx", "key", "row", "rowid", "unnamed", "identifier", "serial",
    "nr",
})
# fmt: on
_ROW_WORDS = frozenset({"sample", "case", "record", "observation", "obs", "example", "entry", "item", "unnamed"})
_TRUE_WORDS = {
    **dict.fromkeys(("true", "yes", "y", "t", "on"), True),
    **dict.fromkeys(("false", "no", "n", "f", "off"), False),
}
_MOST_CODES = 30  # different values of a named code that is not left out
_SPARSE_TEXT = 0.5  # texts of which more than this share are different name the row
_FREE_TEXT = 40  # mean characters from which on a text is free text


def words_of(name: str) -> list[str]:
    """The words of a column's name, in lower case.

    >>> words_of("fuelType"), words_of("n_rooms"), words_of("Region Code")
    (['fuel', 'type'], ['n', 'rooms'], ['region', 'code'])
    """
    parts = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+", parts)]


def truth(value: object) -> float:
    """1.0, 0.0 or NaN for a word or number that says yes or no.

    >>> truth("Yes"), truth(False), truth(1), truth("maybe")
    (1.0, 0.0, 1.0, nan)
    """
    if isinstance(value, str):
        text = value.strip().lower()
        found = _TRUE_WORDS.get(text)
        if found is None:
            found = {"1": True, "0": False, "1.0": True, "0.0": False}.get(text)
        return np.nan if found is None else float(found)
    if value is None or value is pd.NaT or value != value or value not in (0, 1):
        return np.nan
    return float(bool(value))


def column_kind(
    name: str, values: pd.Series, names: Sequence[str] = (), *, categorical: bool = False, numeric: bool = False
) -> tuple[ColumnKind, str, str]:
    """What a column holds, why, and what to say aloud about it.

    Args:
        name: of the column.
        values: its cells as `read` gives them.
        names: of all columns (a family of numbered columns is judged as one).
        categorical: the user says that it is a code.
        numeric: the user says that it is a quantity.
    """
    present = values.dropna()
    unique = int(present.nunique())
    gaps = len(values) - len(present)
    if unique == 0:
        return "empty", "no row has a value", f"{name!r}: no row has a value; it is left out."
    if unique == 1 and not gaps:
        return "constant", f"every row holds {present.iloc[0]!s}", f"{name!r}: constant; it is left out."
    if categorical:
        return "category", "the user says so", ""
    if pd.api.types.is_datetime64_any_dtype(values):
        if numeric:
            raise InputError(f"the column {name!r} can't be numeric: it holds dates.", "Leave it out of --numeric.")
        return "date", "", ""
    if pd.api.types.is_numeric_dtype(values):
        if numeric:
            return "number", "the user says so", ""
        return _number_kind(name, present, unique, gaps, names)
    if numeric:
        raise InputError(
            f"the column {name!r} can't be numeric: it holds text such as {present.iloc[0]!s}.",
            "Leave it out of --numeric.",
        )
    return _text_kind(name, present, unique, gaps)


def _text_kind(name: str, present: pd.Series, unique: int, gaps: int) -> tuple[ColumnKind, str, str]:
    levels = present.unique()
    if unique <= 2 and all(truth(level) == truth(level) for level in levels):
        if unique == 2:
            return "boolean", "", ""
        return "category", f"its one value {levels[0]!s} is there or not", ""
    texts = [str(level) for level in levels]
    length = float(np.mean([len(text) for text in texts]))
    if unique > max(10, _SPARSE_TEXT * len(present)):
        if length > _FREE_TEXT:
            said = f"{name!r}: free text ({length:.0f} characters on average); it is left out."
            return "text", "long texts that hardly repeat", said
        why = f"{unique} different texts in {len(present)} rows name the row"
        return (
            "identifier",
            why,
            f"{name!r}: {why}; it is left out (--categorical {quote(name)} keeps the most frequent).",
        )
    if length > 2 * _FREE_TEXT and unique > 20:
        return "text", "long texts", f"{name!r}: free text ({length:.0f} characters on average); it is left out."
    if unique > 100:
        said = f"{name!r}: {unique} different values; the most frequent are kept, the others are one: rare."
        return "category", f"text of {unique} different values", said
    if unique == 1:
        return "category", f"its one value {levels[0]!s} is there or not ({gaps} missing)", ""
    return "category", "", ""


def _number_kind(
    name: str, present: pd.Series, unique: int, gaps: int, names: Sequence[str]
) -> tuple[ColumnKind, str, str]:
    values = present.to_numpy(dtype=float)
    levels = np.unique(values)
    if unique == 1:
        return "category", f"its one value {levels[0]:g} is there or not ({gaps} missing)", ""
    if not (levels == np.round(levels)).all():
        return "number", "", ""
    if unique == 2 and levels[0] == 0 and levels[1] == 1 and not _numbered(name, names):
        return "boolean", "", ""
    words = words_of(name)
    named_id = bool(_IDENTIFIER_WORDS & set(words)) or re.search(r"[a-z]I[dD]$|^#$", name) is not None
    if not gaps and unique == len(values):
        counter = _counts_up(values) and not QUANTITY_WORDS & set(words)
        if counter and (named_id or re.fullmatch(r"column \d+", name) or _ROW_WORDS & set(words)):
            why = f"it counts the rows from {levels[0]:g} to {levels[-1]:g}"
            return "identifier", why, f"{name!r}: {why}; it is left out (--numeric {quote(name)} keeps it)."
        if counter:
            return (
                "number",
                "",
                f"{name!r}: it counts up by one from row to row; --drop {quote(name)} if it only numbers them.",
            )
        if named_id:
            why = "its name and its different value in every row say that it names the row"
            return "identifier", why, f"{name!r}: {why}; it is left out (--numeric {quote(name)} keeps it)."
    if named_id and unique > _MOST_CODES:
        why = f"its name says that it is an identifier ({unique} different values)"
        keeping = f"--group {quote(name)} keeps its rows together, --numeric {quote(name)} keeps it"
        said = f"{name!r}: {why}; it is left out ({keeping})."
        return "identifier", why, said
    return _code_or_quantity(name, words, levels, named_id, names)


def _counts_up(values: np.ndarray) -> bool:
    return len(values) > 2 and bool((np.diff(values) == 1).all())


def _code_or_quantity(
    name: str, words: list[str], levels: np.ndarray, named_id: bool, names: Sequence[str]
) -> tuple[ColumnKind, str, str]:
    """Whole numbers: a name that says code, or just three values counted from 0 or 1, make a code."""
    unique = len(levels)
    coded = sorted((_CODE_WORDS & set(words)) - QUANTITY_WORDS)
    counted = sorted(QUANTITY_WORDS & set(words))
    run = levels[0] in (0, 1) and levels[-1] - levels[0] == unique - 1
    shown = ", ".join(f"{level:g}" for level in levels[:6]) + (", …" if unique > 6 else "")
    if (coded or named_id) and not counted and 3 <= unique <= _MOST_CODES and levels[0] >= 0:
        why = f"its values {shown} are a code, not a quantity: its name says so"
    elif not counted and run and unique == 3 and not _numbered(name, names):
        why = f"its values {shown} were taken for a code, not a quantity: there are just three, counted up"
    else:
        if unique <= 12 and not _numbered(name, names):
            reason = f" (“{counted[0]}” in its name)" if counted else ""
            why = f"its {unique} different values were taken for a quantity{reason}"
            said = f"{name!r}: {why}; --categorical {quote(name)} where they are a code." if unique > 2 else ""
            return "number", why, said
        return "number", "", ""
    return "category", why, f"{name!r}: {why} (--numeric {quote(name)} where it is a quantity)."


def _numbered(name: str, names: Sequence[str]) -> bool:
    """Whether a column is one of a family such as pixel_0 … pixel_63."""
    stem = re.sub(r"\d+", "#", name)
    return stem != name and sum(re.sub(r"\d+", "#", other) == stem for other in names) >= 4
