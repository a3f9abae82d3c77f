"""Learning curves in characters, for a terminal: braille dots where it can show them, ASCII where it can't."""

from __future__ import annotations

import math

import numpy as np

from goodfit.plots import Curve, CurveChart

Piece = tuple[str, str]
"""A stretch of text with the style that `rich` gives it."""

_STYLES = {"training": "blue", "validation": "yellow"}
_DOTS = np.array(
    [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]]
)  # Unicode block U+2800, (row, column) of a cell
_LETTERS = {"training": ".", "validation": "o"}


def draw(
    chart: CurveChart, width: int, height: int = 10, unicode: bool = True, colour: bool = True
) -> list[list[Piece]]:
    """The medians of a chart as lines of styled text.

    Args:
        chart: with at least one curve.
        width: of the drawing with its axis labels, in characters, at least 24.
        height: of the plotted area, in characters.
        unicode: braille dots and lines may be used.
        colour: colours tell training from validation; without them, characters do.

    Returns:
        One list of (text, style) for each line.
    """
    medians = [value for curve in chart.curves for value in curve.median]
    low, high = (f(math.log10(v) if chart.log else v for v in medians) for f in (min, max))
    labels = [f"{10**value if chart.log else value:.3g}" for value in (high, low)]
    margin = max(map(len, labels))
    inner = max(width - margin - 2, 16)
    fine = unicode and colour
    grids = {
        curve.part: _grid(chart, curve, inner, height, (low, high), (4, 2) if unicode else (1, 1))
        for curve in chart.curves
    }
    bar, corner, dash, kept_mark = ("│", "└", "─", "┴") if unicode else ("|", "+", "-", "^")
    lines: list[list[Piece]] = [_legend(chart, fine, unicode)]
    for row in range(height):
        label = labels[0] if row == 0 else labels[1] if row == height - 1 else ""
        pieces: list[Piece] = [(f"{label:>{margin}} {bar}", "dim")]
        for column in range(inner):
            pieces.append(_cell(grids, row, column, fine, unicode))
        lines.append(_joined(pieces))
    first, last = chart.x_range
    axis = [dash] * inner
    if chart.kept_epoch is not None:
        axis[_place(chart.kept_epoch, first, last, inner)] = kept_mark
    lines.append([(" " * (margin + 1) + corner + "".join(axis), "dim")])
    ends = f"{first:g}", f"{chart.unit} {last:g}"
    kept = "" if chart.kept_epoch is None else f"kept {chart.kept_epoch:g}"
    room = inner - len(ends[0]) - len(ends[1])
    middle = kept if len(kept) + 2 <= room else ""
    lines.append([(" " * (margin + 2) + ends[0] + middle.center(room) + ends[1], "dim")])
    return lines


def _legend(chart: CurveChart, fine: bool, unicode: bool) -> list[Piece]:
    pieces: list[Piece] = [(chart.quantity + (" (log)" if chart.log else "") + "  ", "dim")]
    for curve in chart.curves:
        if fine:
            mark = "━ "
        elif unicode and curve.part == "training":
            mark = "⣀ "
        else:
            mark = _LETTERS[curve.part] + " "
        pieces += [(mark, _STYLES[curve.part]), (curve.part + "  ", "")]
    return pieces


def _place(x: float, first: float, last: float, cells: int) -> int:
    return 0 if last <= first else min(int((x - first) / (last - first) * cells), cells - 1)


def _grid(
    chart: CurveChart, curve: Curve, width: int, height: int, limits: tuple[float, float], cell: tuple[int, int]
) -> np.ndarray:
    """Which dots a curve covers: shape (height × rows of a cell, width × columns of a cell), top first."""
    rows, columns = height * cell[0], width * cell[1]
    first, last = chart.x_range
    values = np.log10(curve.median) if chart.log else np.array(curve.median)
    size = max(map(abs, limits)) or 1.0
    low, high = limits[0] / size, limits[1] / size  # so that no difference of large values overflows, or is lost
    span = high - low if high > low else 1.0
    x = np.array(curve.x)
    positions = np.linspace(first, last, columns)
    inside = (positions >= x[0]) & (positions <= x[-1])
    if not inside.any():  # a lone value, or all of them between two columns
        inside = np.arange(columns) == np.abs(positions - x[0]).argmin()
    height_at = np.interp(positions[inside], x, values / size)
    y = np.clip(np.rint((1 - (height_at - low) / span) * (rows - 1)), 0, rows - 1).astype(int)
    grid = np.zeros((rows, columns), dtype=bool)
    before = y[0]
    for column, here in zip(np.flatnonzero(inside), y):
        low, high = sorted((before, here))
        grid[low + (before < here) : high + 1 - (before > here), column] = True
        grid[here, column] = True
        before = here
    return grid


def _cell(grids: dict[str, np.ndarray], row: int, column: int, fine: bool, unicode: bool) -> Piece:
    """One character: the validation curve lies on top."""
    for part in ("validation", "training"):
        if part not in grids:
            continue
        if not unicode:
            if grids[part][row, column]:
                return _LETTERS[part], _STYLES[part]
            continue
        dots = grids[part][4 * row : 4 * row + 4, 2 * column : 2 * column + 2]
        if dots.any():
            if fine:
                both = [g[4 * row : 4 * row + 4, 2 * column : 2 * column + 2] for g in grids.values()]
                return chr(0x2800 + int(_DOTS[np.logical_or.reduce(both)].sum())), _STYLES[part]
            mark = _LETTERS[part] if part == "validation" else chr(0x2800 + int(_DOTS[dots].sum()))
            return mark, _STYLES[part]
    return " ", ""


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one style as one piece; spaces at the end are dropped."""
    joined: list[Piece] = []
    for text, style in pieces:
        if joined and joined[-1][1] == style:
            joined[-1] = (joined[-1][0] + text, style)
        else:
            joined.append((text, style))
    while joined and not joined[-1][0].strip():
        joined.pop()
    return joined
