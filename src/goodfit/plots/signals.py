"""Figures of a run's signals: what each layer's gradients, weights, updates and activations were like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from goodfit.errors import InputError
from goodfit.plots.figures import _axes, _plain, _tidy
from goodfit.values import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS: Final = {
    "grad_rms": "gradient of the weights (root mean square)",
    "grad_norm": "gradient of the weights (norm)",
    "weight_rms": "weights (root mean square)",
    "update_ratio": "update over weights, ‖Δw‖/‖w‖",
    "activation_mean": "mean of the activations",
    "activation_var": "variance of the activations",
    "activation_grad_var": "variance of the gradient of the activations",
    "unit_spread": "share of the variance between units",
    "dead_fraction": "dead units (share)",
    "saturated_fraction": "saturated values (share)",
}
"""Signal -> what it is called on an axis."""
_SHARES = ("dead_fraction", "saturated_fraction", "unit_spread")


def signals(run: Run, name: str = "update_ratio", ax: Axes | None = None) -> Axes:
    """Draw one signal over the epochs, a line for each layer: the median over the seeds.

    Args:
        run: what happened.
        name: of the signal.
        ax: where to draw; a new figure without it.

    Returns:
        The axes that were drawn on.

    Raises:
        InputError: the run has no finite value of that signal.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> run = Run.from_history({"loss": [1.0, 0.5]}, signals={"grad_rms": np.ones((1, 2, 1))},
        ...                        signal_layers=("dense",), signal_epochs=np.array([0, 2]))
        >>> signals(run, "grad_rms", Figure().subplots()).get_xlabel()
        'epochs trained'
    """
    values = run.signals.get(name)
    known = values is not None and bool(np.isfinite(values).any())
    if values is None or not known:
        names = ", ".join(repr(n) for n, v in run.signals.items() if np.isfinite(v).any()) or "none"
        raise InputError(f"the run has no finite value of the signal {name!r}.", f"It has: {names}.")
    ax = _axes(ax)
    places = [p for p in range(values.shape[2]) if np.isfinite(values[:, :, p]).any()]
    for rank, place in enumerate(places):
        finite = np.where(np.isfinite(values[:, :, place]), values[:, :, place], np.nan)
        some = np.isfinite(finite).any(axis=0)
        colour = f"C{rank}" if len(places) <= 10 else _shade(rank / (len(places) - 1))
        ax.plot(
            run.signal_epochs[some],
            np.nanmedian(finite[:, some], axis=0),
            marker="o",
            markersize=3,
            color=colour,
            label=_plain(run.signal_layers[place]),
        )
    if run.signal_epochs[-1] > 20:
        ax.set_xscale("symlog", linthresh=1)
    if name in _SHARES:
        ax.set_ylim(-0.02, 1.02)
    elif name != "activation_mean" and np.nanmin(values[:, :, places]) > 0:
        ax.set_yscale("log")
    ax.set_xlabel(f"{run.unit}s trained")
    ax.set_ylabel(LABELS.get(name, _plain(name)))
    ax.legend(frameon=False, fontsize="small")
    _tidy(ax)
    return ax


def _shade(share: float) -> tuple[float, float, float]:
    """From dark blue (the first layer) to orange (the last)."""
    first, last = (0.0, 0.27, 0.5), (0.84, 0.37, 0.0)
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(first, last, strict=True))
    return red, green, blue
