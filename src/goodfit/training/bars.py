"""The progress of many seeds as Keras's own bar, one unit an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from goodfit.values import Progress, Report, silent


@contextmanager
def bar(epochs: int, verbose: Any, report: Report) -> Iterator[Report]:
    """What to tell the progress of a training to: the given listener, or where there is none Keras's bar.

    Args:
        epochs: of the training.
        verbose: `0` for no bar, `2` for one line at the end, as in Keras.
        report: the listener.

    Example:
        >>> with bar(3, 0, silent) as told:
        ...     told is silent
        True
    """
    level = 1 if verbose == "auto" else int(verbose)
    if report is not silent or level == 0 or epochs < 1:
        yield report
        return
    drawn = keras.utils.Progbar(epochs, verbose=level, stateful_metrics=("loss", "val_loss"), unit_name="epoch")
    last: dict[str, Any] = {"done": 0, "values": []}

    def tell(progress: Progress) -> None:
        losses = (("loss", progress.loss), ("val_loss", progress.val_loss))
        values = [(name, value) for name, value in losses if value is not None]
        if progress.done and progress.done > last["done"]:
            last.update(done=progress.done, values=values)
            drawn.update(min(progress.done, epochs - 1), values, finalize=False)

    yield tell
    drawn.update(max(last["done"], 1), last["values"], finalize=True)
