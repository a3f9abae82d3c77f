"""Texts -> numbers: decimal commas, thousands, signs of money."""

from __future__ import annotations

import math
import re

import numpy as np

_SYMBOLS = re.compile(r"^\s*([$€£¥]|[A-Za-z]{1,3}\$)?\s*([^$€£¥%]*?)\s*([$€£¥%])?\s*$")
_GROUPS = {
    (".", ","): re.compile(r"[+-]?(?!0)\d{1,3}(,\d{3})+(\.\d*)?"),
    (",", "."): re.compile(r"[+-]?(?!0)\d{1,3}(\.\d{3})+(,\d*)?"),
    (".", " "): re.compile(r"[+-]?(?!0)\d{1,3}([ \u00a0\u202f]\d{3})+(\.\d*)?"),
    (",", " "): re.compile(r"[+-]?(?!0)\d{1,3}([ \u00a0\u202f]\d{3})+(,\d*)?"),
    (".", "'"): re.compile(r"[+-]?(?!0)\d{1,3}(['\u2019]\d{3})+(\.\d*)?"),
}
_STYLES = ((".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (",", " "), (".", "'"))


def parse_number(text: str, decimal: str, thousands: str) -> float | None:
    """A number written with these marks, or `None`.

    A leading 0 is no group of thousands.

    >>> parse_number("1.234.567,5", ",", "."), parse_number("1.2.3", ".", ","), parse_number("0,264", ".", ",")
    (1234567.5, None, None)
    """
    if thousands or decimal != ".":
        grouped = _GROUPS.get((decimal, thousands))
        if grouped is not None and grouped.fullmatch(text):
            text = re.sub(r"[ \u00a0\u202f'\u2019]" if thousands in (" ", "'") else re.escape(thousands), "", text)
        elif thousands and thousands in text:
            return None
        if decimal == ",":
            if "." in text:
                return None
            text = text.replace(",", ".")
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def parse_numbers(
    words: list[str], maybe: np.ndarray, decimal: str | None, thousands: str | None, prefer: str = "."
) -> tuple[np.ndarray, list[tuple[str, str]], str]:
    """Each text as a number (NaN where it is none), the styles that read equally many, and the common symbol."""
    candidates = [i for i in range(len(words)) if not maybe[i]]
    values = np.full(len(words), np.nan)
    if not candidates:
        return values, [_STYLES[0]], ""
    styles = [
        style
        for style in _STYLES
        if decimal in (None, style[0])
        and (thousands is None or (style[1] in ("", thousands) and style[0] != thousands))
    ] or [(decimal or ".", thousands or "")]
    probe = candidates[:2000]
    if not any(any(mark.isdigit() for mark in words[i]) for i in probe):
        infinite = [i for i in candidates if words[i].lower().lstrip("+-") in ("inf", "infinity")]
        values[infinite] = np.inf
        return values, [styles[0]], ""
    symbol = ""
    bare = words
    if words[probe[0]][:1] in "$€£¥" or words[probe[0]][-1:] in "$€£¥%":
        cut = {i: _SYMBOLS.match(words[i]) for i in candidates}
        signs = {(m.group(1) or "") + (m.group(3) or "") if m else None for m in cut.values()}
        if len(signs) == 1 and (only := next(iter(signs))):
            symbol = only
            bare = [cut[i].group(2) if i in cut else word for i, word in enumerate(words)]  # pyright: ignore[reportOptionalMemberAccess]
    counts = {style: sum(parse_number(bare[i], *style) is not None for i in probe) for style in styles}
    most = max(counts.values())
    best = [style for style in styles if counts[style] == most]
    if most == 0:
        return values, [styles[0]], ""
    best.sort(key=lambda style: style[0] != prefer)
    for i in candidates:
        number = parse_number(bare[i], *best[0])
        if number is not None and not math.isnan(number):
            values[i] = number
    return values, best, symbol


def is_signed(word: str) -> bool:
    """Whether a text is a number with a sign of money or percent."""
    if word[:1] not in "$€£¥" and word[-1:] not in "$€£¥%":
        return False
    match = _SYMBOLS.match(word)
    return match is not None and any(parse_number(match.group(2), *style) is not None for style in _STYLES)


def bare_number(word: str, symbol: str) -> str:
    """A text without the sign that its column's numbers have."""
    match = _SYMBOLS.match(word) if symbol else None
    return match.group(2) if match else word
