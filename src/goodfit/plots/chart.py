"""A chart as plain data, and its drawing: what the figures of experiments are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from goodfit.plots.figures import _axes, _plain, _tidy
from goodfit.plots.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#C24E00", "#007A5A", "#7A3E9D", "#8F5A00", "#B3261E", "#4B5563", "#56B4E9", "#CC79A7", "#999933")
"""Of series, in turn; source as in `goodfit.plots.palette`."""
MOST_POINTS = 400
"""Points of a line: longer ones are thinned."""
MOST_BANDS = 6
"""Lines of a chart that have bands; of more only the medians are drawn, for bands over bands can't be read."""


@dataclass(frozen=True)
class Series:
    """One line, or one set of points or bars.

    Args:
        name: in the legend.
        x: places: numbers, or words of a categorical axis.
        y: heights; NaN leaves a gap.
        low: lower ends of a band or of error bars.
        high: upper ends.
        dashed: draw the line dashed.
        like: place of the series whose colour it takes; its own where `None`.
    """

    name: str
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    dashed: bool = False
    like: int | None = None


@dataclass(frozen=True)
class Chart:
    """What a figure shows.

    Args:
        title: what it is about.
        x_label: with its unit.
        y_label: likewise.
        series: in the order of the legend.
        kind: how they are drawn.
        log_x: a logarithmic axis.
        log_y: likewise.
        references: name -> height of horizontal lines.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    kind: Literal["lines", "points"] = "lines"
    log_x: bool = False
    log_y: bool = False
    references: tuple[tuple[str, float], ...] = ()


def line(
    name: str, y: np.ndarray, x: np.ndarray | None = None, *, dashed: bool = False, like: int | None = None
) -> Series:
    """The median over the first axis as a line, with the band from the lowest to the highest.

    The line ends where fewer than half of the seeds still have a finite value: the median of the few that went on would
    show another curve.

    Args:
        name: in the legend.
        y: shape (seeds, n) or (n,).
        x: shape (n,); 1, 2, 3, … where `None`.
        dashed: draw it dashed.
        like: place of the series whose colour it takes.

    Example:
        >>> line("loss", np.array([[3.0, 1.0], [5.0, 3.0]])).y
        (4.0, 2.0)
    """
    values = np.atleast_2d(np.asarray(y, dtype=np.float64))
    places = np.arange(1, values.shape[1] + 1) if x is None else np.asarray(x)
    held = np.isfinite(values).mean(axis=0) >= 0.5
    values, places = np.where(np.isfinite(values), values, np.nan)[:, held], places[held]
    step = max(1, len(places) // MOST_POINTS)
    values, places = values[:, ::step], places[::step]
    band = values.shape[0] > 1 and values.shape[1] > 0
    return Series(
        name,
        tuple(places.tolist()),
        tuple(np.nanmedian(values, axis=0).tolist()) if values.size else (),
        tuple(np.nanmin(values, axis=0).tolist()) if band else (),
        tuple(np.nanmax(values, axis=0).tolist()) if band else (),
        dashed,
        like,
    )


def draw(chart: Chart, ax: Axes | None = None) -> Axes:
    """Draw a chart.

    Args:
        chart: what to draw.
        ax: where; a new figure without it.

    Returns:
        The axes that were drawn on.

    Example:
        >>> from matplotlib.figure import Figure
        >>> chart = Chart("a", "x", "y", (Series("s", (1, 2), (3.0, 4.0)),))
        >>> draw(chart, Figure().subplots()).get_title()
        'a'
    """
    ax = _axes(ax)
    words: list[str] = []
    for place, series in enumerate(chart.series):
        colour = COLOURS[(place if series.like is None else series.like) % len(COLOURS)]
        x = [_place(words, value) for value in series.x]
        label = _plain(series.name)
        if chart.kind == "points":
            spread = (place - (len(chart.series) - 1) / 2) * 0.12 if words else 0.0
            at = [one + spread for one in x]
            if series.low:
                ax.vlines(at, series.low, series.high, color=colour, linewidth=1.5, alpha=0.6)
            ax.plot(at, series.y, "o", color=colour, markersize=5, label=label)
            continue
        marker = "o" if len(x) < 15 else None
        style = (0, (5, 1.5)) if series.dashed else "-"
        ax.plot(x, series.y, color=colour, linewidth=1.6, linestyle=style, marker=marker, markersize=4, label=label)
        if series.low and len(chart.series) <= MOST_BANDS:
            ax.fill_between(x, series.low, series.high, color=colour, alpha=0.13, linewidth=0)
    for name, height in chart.references:
        ax.axhline(height, color=LIGHT["reference"], linewidth=1, linestyle=":", label=_plain(name))
    if words:
        long = sum(map(len, words)) > 60
        ax.set_xticks(
            range(len(words)),
            [_plain(word) for word in words],
            rotation=35 if long else 0,
            ha="right" if long else "center",
        )
    if chart.log_x and not words:
        ax.set_xscale("log")
    if chart.log_y and any(value > 0 for series in chart.series for value in series.y):
        ax.set_yscale("log")
        heights = [value for series in chart.series for value in series.y if value > 0]
        if max(heights) < 1e4 * min(heights):
            _plain_ticks(ax)
    ax.set_title(_plain(chart.title), fontsize=10)
    ax.set_xlabel(_plain(chart.x_label))
    ax.set_ylabel(_plain(chart.y_label))
    if len(chart.series) > 1 or chart.references:
        ax.legend(frameon=False, fontsize=8)
    _tidy(ax)
    return ax


def _plain_ticks(ax: Axes) -> None:
    """Write 3 and 0.5 at a logarithmic axis, not powers of ten."""
    from matplotlib.ticker import LogFormatterSciNotation

    class Plain(LogFormatterSciNotation):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    ax.yaxis.set_major_formatter(Plain())
    ax.yaxis.set_minor_formatter(Plain(labelOnlyBase=False))


def _place(words: list[str], value: float | str) -> float:
    """A number itself; a word's place on a categorical axis."""
    if not isinstance(value, str):
        return value
    if value not in words:
        words.append(value)
    return float(words.index(value))


def png(charts: tuple[Chart, ...], dpi: int = 110) -> bytes:
    """The charts side by side as a PNG image.

    Args:
        charts: one at least.
        dpi: dots per inch.

    Example:
        >>> png((Chart("a", "x", "y", (Series("s", (1, 2), (3.0, 4.0)),)),))[1:4]
        b'PNG'
    """
    import io

    from matplotlib.figure import Figure

    columns = min(len(charts), 2)
    rows = -(-len(charts) // columns)
    figure = Figure(figsize=(6.2 * columns, 3.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for ax, chart in zip(grid.flat, charts, strict=False):
        draw(chart, ax)
    for ax in list(grid.flat)[len(charts) :]:
        ax.set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, metadata={"Software": "goodfit"})
    return file.getvalue()
