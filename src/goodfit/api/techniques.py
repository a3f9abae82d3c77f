"""Techniques that are looked at before they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goodfit.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_schedule(schedule: Any, steps: int, ax: Axes | None = None) -> Axes:
    """Draw a learning-rate schedule before it is used, as the compiled training will follow it.

    Args:
        schedule: a Keras schedule, or an optimizer that has one.
        steps: of the training: epochs times steps per epoch.
        ax: where to draw; a new figure without it.

    Returns:
        The axes that were drawn on.

    Raises:
        InputError: no steps.

    Example:
        >>> import goodfit
        >>> from matplotlib.figure import Figure
        >>> ax = plot_schedule(goodfit.schedules.OneCycle(0.1, 1000), 1000, Figure().subplots())
        >>> ax.get_ylabel()
        'learning rate'
    """
    if steps < 1:
        raise InputError(f"steps is {steps}.", "Give the number of steps of the training, 1 at least.")
    from goodfit.plots import techniques
    from goodfit.training import schedules

    config = getattr(schedule, "_learning_rate", schedule)
    return techniques.schedule(schedules.rates(config, steps), ax)
