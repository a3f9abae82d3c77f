"""Matplotlib figures: learning curves, predicted against true, the confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goodfit.errors import InputError
from goodfit.plots.data import CurveChart, curve_chart, quantities
from goodfit.plots.outcome import confusion_chart, prediction_chart
from goodfit.plots.palette import LIGHT
from goodfit.values import Run, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def curves(run: Run, ax: Axes | None = None, quantity: str = "loss", log: bool | None = None) -> Axes:
    """Draw one quantity over the epochs: every seed lightly, the median strongly, the kept epoch marked.

    Args:
        run: what happened.
        ax: where to draw; a new figure without it.
        quantity: `loss`, or another name among the run's curves without its `val_`.
        log: a logarithmic axis; by default where the values span more than a factor of 10.

    Returns:
        The axes that were drawn on.

    Raises:
        InputError: the run has no finite value of that quantity.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = curves(Run.from_history({"loss": [1.0, 0.5], "val_loss": [1.1, 0.7]}), Figure().subplots())
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('epoch', 'loss')
    """
    chart = curve_chart(run, quantity)
    if not chart.curves:
        names = ", ".join(repr(name) for name in quantities(run)) or "none"
        raise InputError(f"the run has no finite value of {quantity!r}.", f"It has curves of: {names}.")
    ax = _axes(ax)
    for curve in chart.curves:
        colour = LIGHT[curve.part]
        style = "-" if curve.part == "training" else (0, (5, 1.5))
        for line in curve.seeds:
            ax.plot(line.x, line.y, color=colour, linewidth=0.7, alpha=0.25)
        if curve.low:
            ax.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
        many = f" (median of {chart.seed_count} seeds)" if chart.seed_count > 1 else ""
        marker = "o" if len(curve.x) == 1 else None
        ax.plot(
            curve.x, curve.median, color=colour, linewidth=2, linestyle=style, marker=marker, label=curve.part + many
        )
    _mark_kept(ax, chart)
    low, high = chart.y_range
    for name, height in chart.references:
        if low <= height <= high:
            ax.axhline(height, color=LIGHT["reference"], linewidth=1, linestyle=":", label=name)
    if chart.log if log is None else log and chart.can_log:
        ax.set_yscale("log")
    ax.set_xlabel(chart.unit)
    ax.set_ylabel(_plain(chart.label))
    ax.legend(frameon=False)
    _tidy(ax)
    return ax


def predictions(study: Study, ax: Axes | None = None) -> Axes:
    """Draw predicted against true of the test rows, with the line on which both are equal.

    Args:
        study: of a regression.
        ax: where to draw; a new figure without it.

    Returns:
        The axes that were drawn on.

    Raises:
        InputError: the study has no predictions of a regression.
    """
    chart = prediction_chart(study)
    if chart is None:
        raise InputError("the study has no predictions of a regression.", "For classes, draw `confusion(study)`.")
    ax = _axes(ax)
    low, high = chart.limits
    margin = 0.04 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    ax.plot(ends, ends, color=LIGHT["reference"], linewidth=1, linestyle="--", label="predicted = true")
    ax.scatter(chart.true, chart.predicted, s=18, color=LIGHT["network"], alpha=0.6, linewidth=0, label="test row")
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    unit = f" ({chart.unit})" if chart.unit else ""
    ax.set_xlabel(_plain(f"true {chart.target}{unit}"))
    ax.set_ylabel(_plain(f"predicted {chart.target}{unit}"))
    ax.legend(frameon=False)
    _tidy(ax)
    return ax


def confusion(study: Study, ax: Axes | None = None) -> Axes:
    """Draw the confusion matrix of the test rows: rows are true classes, columns predicted ones.

    Args:
        study: of a classification.
        ax: where to draw; a new figure without it.

    Returns:
        The axes that were drawn on.

    Raises:
        InputError: the study has no predicted classes.
    """
    chart = confusion_chart(study)
    if chart is None:
        raise InputError("the study has no predicted classes.", "For a regression, draw `predictions(study)`.")
    ax = _axes(ax)
    counts = np.array(chart.counts, dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    places = range(len(chart.classes))
    names = [_plain(name) for name in chart.classes]
    long = max(len(name) for name in names) > 4
    ax.set_xticks(places, names, rotation=45 if long else 0, ha="right" if long else "center")
    ax.set_yticks(places, names)
    if len(chart.classes) <= 20:
        for i in places:
            for j in places:
                if chart.counts[i][j]:
                    colour = "white" if share[i, j] > 0.55 else "black"
                    ax.text(j, i, str(chart.counts[i][j]), ha="center", va="center", color=colour)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return ax


def _mark_kept(ax: Axes, chart: CurveChart) -> None:
    for place, start in enumerate(chart.stages):
        label = "a further stage begins" if place == 0 else "_nolegend_"
        ax.axvline(start, color=LIGHT["reference"], linewidth=1, linestyle="--", label=label)
    if chart.kept_epoch is None:
        return
    label = f"kept {chart.unit} {chart.kept_epoch:g}" + (" (median)" if len(chart.kept) > 1 else "")
    ax.axvline(chart.kept_epoch, color=LIGHT["reference"], linewidth=1, label=label)
    points = [(point.epoch, point.value) for point in chart.kept if point.value is not None]
    if points:
        x, y = zip(*points)
        colour = LIGHT[chart.curves[-1].part]
        ax.scatter(x, y, s=20, facecolor="white", edgecolor=colour, linewidth=1.2, zorder=3)


def _axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure that a notebook and `pyplot.show()` show."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(layout="constrained")[1]


def _tidy(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#000000", alpha=0.08, linewidth=0.8)
    ax.set_axisbelow(True)


def _plain(text: str) -> str:
    """A name as text: a dollar sign in it starts no formula."""
    return text.replace("$", r"\$")
