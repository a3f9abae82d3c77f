"""What the training once more, at other learning rates and for twice the epochs, was measured to gain."""

from __future__ import annotations

import math

import numpy as np

from goodfit.checks import thresholds
from goodfit.checks.case import Case

LOWER, HIGHER = {"third": 1 / 3, "tenth": 0.1}, {"threefold": 3.0, "tenfold": 10.0}
"""Name of an arm -> what its learning rate is multiplied by."""


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

    Where the best epoch is kept, the lowest losses are compared, else those of the last epochs. 1 where only the
    unchanged arm ended not finite, and minus infinity where only the other did. An arm that ends no better than chance
    gains nothing: from one useless network to another is no remedy.
    """
    reading, known = case.reading, case.run.measurements
    if reading.quantity != "loss":
        return None
    kept = len(reading.restored) > 0 and bool(reading.restored.mean() > 0.5)
    quantity = "best_val_loss" if kept else "val_loss"
    same, other = (known.get(f"rerun_{name}_{quantity}") for name in ("same", arm))
    if same is None or other is None or math.isnan(same) or math.isnan(other):
        return None
    if not math.isfinite(other):
        return -math.inf if math.isfinite(same) else 0.0
    gain = reading.gain(same, other) if math.isfinite(same) else 1.0
    return min(gain, 0.0) if reading.chance_known and other >= reading.chance else gain


def best_rerun(case: Case, arms: dict[str, float]) -> tuple[float, float] | None:
    """The factor and the gain of the arm that gains most; `None` where none of them was measured."""
    gains = [(factor, gain) for arm, factor in arms.items() if (gain := rerun_gain(case, arm)) is not None]
    return max(gains, key=lambda known: known[1]) if gains else None
