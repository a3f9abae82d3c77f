"""What the training some times more, at other learning rates and for twice the epochs, was measured to gain."""

from __future__ import annotations

import itertools
import math

import numpy as np

from goodfit.checks import thresholds
from goodfit.checks.case import Case

LOWER, HIGHER = {"third": 1 / 3, "tenth": 0.1}, {"threefold": 3.0, "tenfold": 10.0}
"""Name of an arm -> what its learning rate is multiplied by."""

_ONLY_FINITE = 1.0
"""The gain of a training that ended finite over one that did not."""


def rerun_needed(case: Case) -> float:
    """The gain from which an arm is taken to work: `RELEVANT_GAIN`, and `RERUN_Z` standard errors of a mean loss."""
    return thresholds.RELEVANT_GAIN + thresholds.RERUN_Z * mean_loss_error(case)


def mean_loss_error(case: Case) -> float:
    """The standard error of the validation loss in units of a gain; 0 where the number of rows is not known.

    Of squared errors √(`LOSS_VARIANCE` / rows). A cross-entropy L well below chance is a few rows with a confident
    error, each of some `ERROR_COST`: a sum of so many as Poisson's law gives has the standard error √(L `ERROR_COST` /
    rows), which over L is √(`ERROR_COST` / (L rows)). As in any gain, L counts as a tenth of chance at least.
    """
    rows = float(case.run.measurements.get("validation_rows", math.nan))
    if case.dataset is not None and len(case.dataset.validation):
        rows = float(len(case.dataset.validation))
    if not rows > 0:
        return 0.0
    normal = math.sqrt(thresholds.LOSS_VARIANCE / rows)
    task = case.run.task or (None if case.dataset is None else case.dataset.task)
    reading = case.reading
    losses = [reading.kept_validation(s, c) for s, c in reading.validations()]
    if task not in ("binary", "multiclass") or not losses or not reading.ratios:
        return normal
    level = max(float(np.median(losses)), thresholds.CHANCE_FLOOR * reading.chance)
    return max(normal, math.sqrt(thresholds.ERROR_COST / (level * rows)))


def rerun_gain(case: Case, arm: str) -> float | None:
    """What an arm of the probe `full-length` gained in validation loss over the same training; `None` if unknown.

    Where the best epoch is kept, the lowest losses are compared, else those of the last epochs. The median over the
    seeds that were trained; not above 0 unless most of them gained.
    """
    kept = len(case.reading.restored) > 0 and bool(case.reading.restored.mean() > 0.5)
    quantity = "best_val_loss" if kept else "val_loss"
    return _median_gain(case, f"same_{quantity}", f"{arm}_{quantity}")


def stopping_gain(case: Case) -> float | None:
    """What keeping the best epoch gained in the trainings once more.

    `None` if unknown, where it is kept anyway, and where most ended not finite, which is no overfitting.
    """
    if case.reading.restored.any() or case.reading.stopped.any():
        return None
    gain = _median_gain(case, "same_val_loss", "same_best_val_loss")
    return None if gain == _ONLY_FINITE else gain


def _median_gain(case: Case, before: str, after: str) -> float | None:
    gains: list[float] = []
    for turn in itertools.count():
        known = [case.run.measurements.get(f"rerun_{turn}_{name}") for name in (before, after)]
        if None in known:
            break
        gains.append(_gain(case, *(float(value) for value in known if value is not None)))
    if case.reading.quantity != "loss" or not gains or any(map(math.isnan, gains)):
        return None
    gain, most = float(np.median(gains)), np.mean([gain > 0 for gain in gains]) > 0.5
    return gain if most else min(gain, 0.0)


def _gain(case: Case, same: float, other: float) -> float:
    """The gain of one loss over another.

    `_ONLY_FINITE` where only the one before ended not finite, and minus infinity where only the other did. One that
    ends no better than chance gains nothing: from one useless network to another is no remedy.
    """
    reading = case.reading
    if math.isnan(same) or math.isnan(other):
        return math.nan
    if not math.isfinite(other):
        return -math.inf if math.isfinite(same) else 0.0
    gain = reading.gain(same, other) if math.isfinite(same) else _ONLY_FINITE
    return min(gain, 0.0) if reading.chance_known and other >= reading.chance else gain


def best_rerun(case: Case, arms: dict[str, float]) -> tuple[float, float] | None:
    """The factor and the gain of the arm that gains most; `None` where none of them was measured."""
    gains = [(factor, gain) for arm, factor in arms.items() if (gain := rerun_gain(case, arm)) is not None]
    return max(gains, key=lambda known: known[1]) if gains else None
