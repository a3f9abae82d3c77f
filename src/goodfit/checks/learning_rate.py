"""Whether another learning rate would do better, as probes have measured it: in full, or for a few epochs."""

from __future__ import annotations

import math

from goodfit.checks import remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.checks.reruns import HIGHER, LOWER, best_rerun, rerun_needed
from goodfit.values import Change, Evidence, Finding

_NOT_TRIED = (
    "curves alone can't tell: diagnose(…, probe=True) with the model and its rows tries ten times and a tenth of the "
    "learning rate."
)
_LOW = ("not-learning", "unfinished", "underfitting", "cannot-overfit-small-sample")
_HIGH = ("diverged", "not-learning", "unstable", "underfitting", "loss-spikes", "noisy-validation")


def _gain(case: Case, start: str, arm: str, quantity: str) -> float | None:
    """What one arm gains over the unchanged learning rate: 1 where only that ended not finite; `None` if unknown."""
    same, other = (case.run.measurements.get(f"{start}_{name}_{quantity}") for name in ("same", arm))
    if same is None or other is None or math.isnan(same) or math.isnan(other):
        return None
    if not math.isfinite(other):
        return -math.inf if math.isfinite(same) else 0.0
    return case.reading.gain(same, other) if math.isfinite(same) else 1.0


def _both(case: Case, start: str, arm: str) -> tuple[float, float] | None:
    """The arm's gain in training loss and in validation loss (the former again where there is no validation)."""
    train = _gain(case, start, arm, "loss")
    if train is None:
        return None
    validation = _gain(case, start, arm, "val_loss")
    return train, train if validation is None else validation


def _works(gains: tuple[float, float] | None) -> bool:
    return gains is not None and gains[0] >= thresholds.UNDERFITTING_GAIN and gains[1] >= thresholds.RELEVANT_GAIN


def _evidence(how: str, gains: tuple[float, float]) -> list[Evidence]:
    lowest = -1e3  # an arm that blew up
    return [
        Evidence(f"gain in training loss {how}", max(gains[0], lowest), thresholds.UNDERFITTING_GAIN, ">"),
        Evidence(f"gain in validation loss {how}", max(gains[1], lowest), thresholds.RELEVANT_GAIN, ">"),
    ]


def _of_rerun(slug: str, case: Case, rerun: tuple[float, float], changes: list[Change], what: str) -> Finding:
    """The finding of a training that was repeated in full at other learning rates."""
    factor, gain = rerun
    times = f"{factor:g} times" if factor >= 1 else f"1/{1 / factor:.0f} of"
    evidence = [
        Evidence(f"gain in validation loss of the training once more at {times} the rate", max(gain, -1e3),
                 rerun_needed(case), ">")
    ]  # fmt: skip
    if gain < rerun_needed(case):
        return clear(slug, f"{what} was tried in full and does not do clearly better.", evidence)
    message = f"Trained afresh at {times} the learning rate, the network's validation loss ends {gain:.0%} lower."
    return found(slug, "high" if gain >= 0.3 else "medium", message, evidence, changes)


@check("learning-rate-too-low", explains=_LOW)
def learning_rate_too_low(case: Case) -> Finding:
    """Ten times the learning rate lowers the loss faster.

    Detected: by measurement only, with the model and its rows at hand (`diagnose(…, probe=True)`). Trained afresh for
    as many epochs as the run, at three or ten times the learning rate the network ends with a validation loss that is
    lower by `RELEVANT_GAIN` and `RERUN_Z` standard errors of a mean loss than at the rate as it is (the lowest losses
    are compared where the best epoch is kept). Where the training takes too long to be repeated: trained on from its
    weights for a few epochs, on the same batches, the network gains at least `UNDERFITTING_GAIN` in training loss and
    `RELEVANT_GAIN` in validation loss at ten times the learning rate, against the rate as it is. Or the network can't
    learn a small sample at its own rate (`SMALL_SAMPLE_SHARE` of chance) and can at ten times it.

    Why it matters: the training is short of ground, not of capacity: it looks like underfitting or too few epochs, but
    a larger network would learn as slowly, and epochs cost more than a number.

    What to try: three to ten times the learning rate; a schedule that warms up and decays.

    False alarms: a network that was simply stopped early gains from a higher rate as well as from more epochs; both
    work, and `unfinished` is then found beside this. Ten times the rate can gain over a few epochs and be unstable
    over many: three times is the safer step.
    Source: Smith (2017), "Cyclical learning rates for training neural networks", section 3.3, for trying rates over a
    few epochs.
    """
    slug = "learning-rate-too-low"
    rerun = best_rerun(case, HIGHER)
    if rerun is not None:
        factor = rerun[0]
        changes = [remedies.raise_learning_rate(factor), remedies.raise_learning_rate(3.0 if factor > 3.0 else 10.0)]
        return _of_rerun(slug, case, rerun, changes, "A higher learning rate")
    gains = _both(case, "onward", "tenfold") or _both(case, "afresh", "tenfold")
    known = case.run.measurements
    sample, chance = known.get("small_sample_tenfold_loss"), case.training_chance or math.nan
    if gains is None and sample is None:
        return not_applicable(slug, _NOT_TRIED)
    changes = [remedies.raise_learning_rate(10.0), remedies.raise_learning_rate(3.0)]
    evidence = _evidence("at ten times the learning rate", gains) if gains is not None else []
    if gains is not None and _works(gains):
        message = (
            f"Trained on for a few epochs at ten times the learning rate, the network gains {gains[0]:.0%} in training "
            f"loss and {gains[1]:.0%} in validation loss over the same at its own rate."
        )
        return found(slug, "high" if gains[1] >= 0.3 else "medium", message, evidence, changes)
    own = known.get("small_sample_loss", math.nan)
    if sample is not None and chance > 0 and own > thresholds.SMALL_SAMPLE_SHARE * chance:
        evidence.append(
            Evidence(
                "loss on a small sample at ten times the learning rate over chance",
                sample / chance,
                thresholds.SMALL_SAMPLE_SHARE,
                "<",
            )
        )
        if sample <= thresholds.SMALL_SAMPLE_SHARE * chance:
            message = "The network learns a small sample by heart at ten times the learning rate, and not at its own."
            return found(slug, "medium", message, evidence, changes)
    return clear(slug, "Ten times the learning rate does not do clearly better.", evidence)


@check("learning-rate-too-high", explains=_HIGH)
def learning_rate_too_high(case: Case) -> Finding:
    """A tenth of the learning rate reaches a lower loss in as many steps.

    Detected: by measurement only, with the model and its rows at hand (`diagnose(…, probe=True)`). Trained afresh for
    as many epochs as the run, at a third or a tenth of the learning rate the network ends with a validation loss that
    is lower by `RELEVANT_GAIN` and `RERUN_Z` standard errors of a mean loss than at the rate as it is (the lowest
    losses are compared where the best epoch is kept). Where the training takes too long to be repeated: a fresh network
    trained for a few epochs at a tenth of the learning rate gains at least `UNDERFITTING_GAIN` in training loss and
    `RELEVANT_GAIN` in validation loss over one at the rate as it is (or the latter ends not finite and the former does
    not). Or the trained network, trained on at a tenth of the rate, gains as much over the same at its own rate.

    Why it matters: steps that overshoot the valley throw the loss up, kill rectified units, and leave it jumping
    above what the network could reach.

    What to try: a third or a tenth of the learning rate; a schedule that decays; gradient clipping.

    False alarms: a lower rate at the end takes out the noise of the steps in any training, which is what schedules
    are for. Where only the second way fires, a decaying schedule serves better than a lower rate throughout.
    Source: Bengio (2012), "Practical recommendations for gradient-based training of deep architectures", section
    3.1.1: the best rate lies within a factor of two below the largest that does not diverge.
    """
    slug = "learning-rate-too-high"
    rerun = best_rerun(case, LOWER)
    if rerun is not None:
        factor = rerun[0]
        changes = [
            remedies.lower_learning_rate(factor),
            remedies.lower_learning_rate(1 / 3 if factor < 0.3 else 0.1),
            remedies.clip_gradients(),
        ]
        return _of_rerun(slug, case, rerun, changes, "A lower learning rate")
    afresh, onward = _both(case, "afresh", "tenth"), _both(case, "onward", "tenth")
    if afresh is None and onward is None:
        return not_applicable(slug, _NOT_TRIED)
    evidence = _evidence("afresh at a tenth of the learning rate", afresh) if afresh is not None else []
    evidence += _evidence("trained on at a tenth of the learning rate", onward) if onward is not None else []
    changes = [remedies.lower_learning_rate(0.1), remedies.lower_learning_rate(1 / 3), remedies.clip_gradients()]
    if afresh is not None and _works(afresh):
        message = (
            f"A fresh network learns faster at a tenth of the learning rate: it gains {afresh[0]:.0%} in training loss "
            f"and {afresh[1]:.0%} in validation loss."
        )
        return found(slug, "high", message, evidence, changes)
    if onward is not None and _works(onward):
        message = (
            f"Trained on at a tenth of the learning rate, the network gains {onward[0]:.0%} in training loss and "
            f"{onward[1]:.0%} in validation loss over the same at its own rate."
        )
        return found(slug, "medium", message, evidence, [changes[1], changes[0], changes[2]])
    return clear(slug, "A tenth of the learning rate does not do clearly better.", evidence)
