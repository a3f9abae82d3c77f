"""Cells of a log as numbers: what was not logged, what was logged and not finite, what is text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

_NOT_LOGGED = frozenset({"", "na", "n/a", "null", "none", "-", "--", "?"})
_NAN = frozenset({"nan", "-nan", "+nan", "nan(ind)", "-nan(ind)", "1.#qnan", "-1.#ind", "1.#ind"})
_WRAPPED = re.compile(
    r"(?:tensor|array|np\.float\d+|jnp\.array)?[(\[]\s*([-+]?(?:[\d.]+(?:e[-+]?\d+)?|nan|inf))\b.*", re.I
)

_AMBIGUOUS = object()


def column(values: Sequence[Any], decimal_comma: bool = False) -> tuple[np.ndarray, list[int]]:
    """The cells of one column as numbers, and the places of those that are text.

    A NaN may say that nothing was logged (a validation every k-th epoch, read by pandas) or that the loss was not a
    number. NaNs that go on to the end are taken for the latter, unless shorter than a gap before them; those followed
    by numbers, as a training never comes back from NaN, for the former.

    Args:
        values: numbers, text or `None`.
        decimal_comma: `"0,5"` is a half.

    Returns:
        Shape (rows,), float64: NaN where nothing was logged or the cell is text, infinite where the number was not
        finite.

    Example:
        >>> column(["0.5", "", "nan", "0.4"])[0].tolist(), column(["0.5", "0.4", "nan", "nan"])[0].tolist()
        ([0.5, nan, nan, 0.4], [0.5, 0.4, inf, inf])
    """
    numbers = np.full(len(values), np.nan)
    ambiguous = np.zeros(len(values), dtype=bool)
    texts: list[int] = []
    for i, value in enumerate(values):
        if type(value) is str:
            try:
                number = float(value)
            except ValueError:
                number = _odd_cell(value, decimal_comma)
            if number is None:
                texts.append(i)
                continue
            if number is _AMBIGUOUS or (number != number and value.strip().lower() not in _NOT_LOGGED):
                ambiguous[i] = True
                continue
            numbers[i] = number
        elif value is None:
            continue
        else:
            try:
                numbers[i] = float(_plain(value))
            except (TypeError, ValueError):
                texts.append(i)
                continue
            ambiguous[i] = numbers[i] != numbers[i]
    numbers[_not_finite(ambiguous, np.isnan(numbers) & ~ambiguous)] = np.inf
    return numbers, texts


def _plain(value: Any) -> Any:
    """What an array holds that holds one number; PyTorch's may need gradients, which a number has not."""
    value = value.detach() if hasattr(value, "detach") else value
    return value.item() if getattr(value, "ndim", 0) == 1 else value


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> plural(1, "row"), plural(2, "row")
        ('1 row', '2 rows')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _odd_cell(cell: str, decimal_comma: bool) -> Any:
    """A cell that `float` does not read: a number, `_AMBIGUOUS` for NaN, `None` for text."""
    text = cell.strip().strip("\"'").lower()
    if text in _NOT_LOGGED:
        return math.nan
    if text in _NAN:
        return _AMBIGUOUS
    if decimal_comma and text.count(",") == 1:
        text = text.replace(",", ".")
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped:
        text = wrapped[1]
        if text in _NAN:
            return _AMBIGUOUS
    percent = text.endswith("%")
    try:
        number = float(text.rstrip("% "))
    except ValueError:
        return None
    return number / 100.0 if percent else number


def _not_finite(ambiguous: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Which of the NaNs say that the loss was not a number."""
    if not ambiguous.any():
        return ambiguous
    logged = np.flatnonzero(~ambiguous & ~missing)
    if not len(logged):
        return ambiguous
    tail = ambiguous.copy()
    tail[: logged[-1] + 1] = False
    gaps = np.diff(logged, prepend=-1) - 1
    if tail.any() and len(ambiguous) - 1 - logged[-1] <= gaps.max(initial=0):
        tail[:] = False
    return tail
