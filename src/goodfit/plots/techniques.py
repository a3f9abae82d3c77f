"""Figures of techniques: a learning-rate schedule, and a learning-rate range test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.plots.figures import _axes, _tidy
from goodfit.plots.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def schedule(rates: np.ndarray, ax: Axes | None = None, label: str = "learning rate") -> Axes:
    """Draw what a schedule gives over the steps of a training.

    Args:
        rates: shape (steps,), as `goodfit.schedules.rates` gives them.
        ax: where to draw; a new figure without it.
        label: of the values.

    Returns:
        The axes that were drawn on.

    Example:
        >>> from matplotlib.figure import Figure
        >>> schedule(np.linspace(0.1, 0.0, 10), Figure().subplots()).get_xlabel()
        'step'
    """
    ax = _axes(ax)
    ax.plot(np.arange(len(rates)), rates, color=LIGHT["training"], linewidth=2)
    positive = np.asarray(rates)[np.asarray(rates) > 0]
    if len(positive) and positive.max() > 100 * positive.min():
        ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.set_ylabel(label)
    _tidy(ax)
    return ax


def rate_range(found: Any, ax: Axes | None = None) -> Axes:
    """Draw a range test: every seed's losses lightly, the smoothed median strongly, the suggestion marked.

    Args:
        found: a `goodfit.training.rate_range.RateRange`.
        ax: where to draw; a new figure without it.

    Returns:
        The axes that were drawn on.
    """
    ax = _axes(ax)
    shown = np.isfinite(found.smoothed)
    for losses in found.losses:
        kept = shown & np.isfinite(losses)
        ax.plot(found.learning_rates[kept], losses[kept], color=LIGHT["training"], linewidth=0.7, alpha=0.3)
    ax.plot(found.learning_rates, found.smoothed, color=LIGHT["training"], linewidth=2, label="loss (smoothed median)")
    for name, rate in found.candidates.items():
        ax.axvline(rate, color=LIGHT["reference"], linewidth=1, linestyle=":", label=f"{name}: {rate:.2g}")
    if found.suggestion is not None:
        ax.axvline(
            found.suggestion, color=LIGHT["validation"], linewidth=1.5, label=f"suggestion: {found.suggestion:.2g}"
        )
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    ax.legend(frameon=False)
    _tidy(ax)
    return ax
