"""What the two loss curves say of the fit: overfitting, underfitting, unfinished.

All three read smoothed levels (a running median, then local lines over a tenth of the curve), one seed at a time, and
speak of the run where most seeds agree and the median is relevant. The weights that count are those of the kept epoch
where the run tells it (best epoch restored), else those of the last epoch: what the curves do after a restored epoch
is not the kept model's fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from goodfit.checks import remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.checks.reading import Reading, Series
from goodfit.checks.reruns import (
    HIGHER,
    LOWER,
    best_rerun,
    mean_loss_error,
    rerun_gain,
    rerun_needed,
    stopping_gain,
)
from goodfit.values import Change, Evidence, Finding


@dataclass(frozen=True)
class _Fit:
    """One seed's fit: levels of both losses at the weights that count, and what happened since the best epoch."""

    train: float
    validation: float
    rise: float  # gain of going back to the best epoch
    rise_z: float  # the rise over the error of two levels
    train_fell: bool  # since the best epoch
    best: float  # gain of keeping the best epoch, noise and all


def _fits(reading: Reading) -> list[_Fit]:
    fits = []
    for s, train, validation in reading.pairs():
        kept = min(float(reading.kept[s]), float(validation.t[-1]))
        level = reading.kept_validation(s, validation)
        rise = 0.0 if reading.restored[s] else level - validation.lowest
        error = validation.level_error
        z = rise / error if error > 0 else (math.inf if rise > 0 else 0.0)
        before, after = train.at(float(validation.t[validation.best])), train.at(kept)
        gain = 0.0 if reading.restored[s] else reading.gain(level, validation.lowest)
        fits.append(_Fit(after, level, gain, z, after < before, reading.best_epoch_gain(s, validation)))
    return fits


def best_baseline(case: Case) -> tuple[str, float] | None:
    """The better of the linear model and gradient boosting by validation loss, where they were measured."""
    comparable = case.reading.quantity == "loss" and not case.reading.penalized
    return _better_baseline(case) if comparable else None


def _better_baseline(case: Case) -> tuple[str, float] | None:
    known = [
        (label, float(value))
        for label, name in (("the linear model", "linear_loss"), ("gradient boosting", "boosting_loss"))
        if (value := case.run.measurements.get(name)) is not None and math.isfinite(value)
    ]
    return min(known, key=lambda item: item[1]) if known else None


def clearly_behind(case: Case) -> float:
    """The gain of a baseline from which a network is clearly behind it, on as many validation rows as there are.

    `UNDERFITTING_GAIN`, and `BASELINE_Z` standard errors of a mean loss (see `mean_loss_error`), each of which is also
    the error of a difference of two losses whose rows' errors correlate by a half.
    """
    return thresholds.UNDERFITTING_GAIN + thresholds.BASELINE_Z * mean_loss_error(case)


def _measured_levels(case: Case) -> tuple[float, float] | None:
    """Training and validation loss at the weights as they stand, penalties stripped, where they were measured."""
    train, validation = (case.run.measurements.get(name, math.nan) for name in ("end_train_loss", "end_val_loss"))
    return (float(train), float(validation)) if math.isfinite(train) and math.isfinite(validation) else None


def _most_promising(case: Case) -> list[Change]:
    """What to try against underfitting: what probes saw work comes first."""
    raise_rate, epochs = remedies.raise_learning_rate(3.0), remedies.more_epochs()
    changes = [raise_rate, epochs, remedies.wider(), _less_regularization()]
    known, reading = case.run.measurements, case.reading
    tried_in_full = {arm: gain for arm in (*HIGHER, *LOWER, "twice") if (gain := rerun_gain(case, arm)) is not None}
    if tried_in_full:
        best = max(tried_in_full, key=lambda arm: tried_in_full[arm])
        if tried_in_full[best] >= rerun_needed(case):
            by_arm = {arm: remedies.raise_learning_rate(factor) for arm, factor in HIGHER.items()}
            by_arm |= {arm: remedies.lower_learning_rate(factor) for arm, factor in LOWER.items()} | {"twice": epochs}
            return [by_arm[best], *changes[2:]]
        return [*changes[2:], epochs, raise_rate]
    now, same, tenfold = (
        known.get(name, math.nan) for name in ("end_train_loss", "onward_same_loss", "onward_tenfold_loss")
    )
    if math.isnan(now) or math.isnan(same):
        return changes
    tried = {
        raise_rate.name: reading.gain(same, tenfold) if math.isfinite(tenfold) else -math.inf,
        epochs.name: reading.gain(now, same),
    }
    held = known.get("held_train_loss", now)
    tried[changes[3].name] = reading.gain(held, now)  # what dropout costs in training
    works = {name: gain for name, gain in tried.items() if gain >= thresholds.RELEVANT_GAIN}
    fails = {name for name in tried if name not in works}
    return sorted(changes, key=lambda change: (change.name in fails, -works.get(change.name, 0.0)))


@check("overfitting")
def overfitting(case: Case) -> Finding:
    """The network fits its training rows at the cost of the others.

    Detected: in one of three ways. (1) Rise: going back to the epoch of the lowest validation loss would gain at least
    `RELEVANT_GAIN`, the rise is more than `MINIMUM_BIAS` + `LEVEL_Z` / √seeds standard errors, and the training loss
    went on falling. Or it rose by as much and fewer errors, the lowest logged validation loss lies `BEST_EPOCH_GAIN`
    and `BEST_EPOCH_Z` deviations of the noise below the level at the end, and that lies above training loss by more
    than `HELD_BACK_GAP` of itself. Or, where the training was repeated (`diagnose(…, probe=True)`), keeping the best
    epoch gained `RELEVANT_GAIN` and `RERUN_Z` standard errors of a mean loss in the median of the repetitions. Not
    where the best epoch's weights were kept. (2) Gap: where baselines are known,
    the better one's validation loss beats the network's by `UNDERFITTING_GAIN` and `BASELINE_Z` standard errors of the
    validation rows' mean loss (`LOSS_VARIANCE`, `ERROR_COST`) while the network fits its training rows better than
    that; where none does better, a gap is the price of this table. Where no baseline is known, the validation loss at
    the weights that count lies above the training loss by more than `GAP_SHARE` of itself (`GAP_SHARE_KEPT` where the
    best epoch was kept) and more than `GAP_OVER_CHANCE` of chance. (3) Memorized: the validation loss is no better than
    a measured chance while the training loss is below `MEMORIZED` of it.

    Why it matters: what the network learned last does not hold for new rows.

    What to try: early stopping with the best epoch restored where the validation loss rose; dropout, an L2 penalty, a
    smaller network or more rows where the gap is wide.

    False alarms: validation rows that are distributed otherwise than the training rows make a gap that is no
    overfitting (`train-validation-shift`). Cross-entropy can rise while accuracy still does: the network grows too sure
    of its errors, which matters where its probabilities are used. Without a baseline, a wide gap can be the price of a
    table with few rows, which nothing lowers.
    Source: Prechelt (1998), "Early stopping: but when?", on stopping at the lowest validation loss.
    """
    reading = case.reading
    what = reading.quantity
    fits = _fits(reading)
    if not fits:
        return not_applicable("overfitting", _why_no_pair(reading))
    train, validation = (float(np.median([getattr(f, name) for f in fits])) for name in ("train", "validation"))
    rise = float(np.median([f.rise for f in fits]))
    rise_z = float(np.median([f.rise_z for f in fits]))
    fell = float(np.mean([f.train_fell for f in fits]))
    needed_z = thresholds.MINIMUM_BIAS + thresholds.LEVEL_Z / math.sqrt(len(fits))
    gap = validation - train
    evidence = [
        Evidence("gain of stopping at the lowest validation loss", rise, thresholds.RELEVANT_GAIN, ">"),
    ]
    risen = [remedies.early_stopping(), remedies.add_dropout(), remedies.add_l2(), remedies.narrower()]
    if rise >= thresholds.RELEVANT_GAIN and rise_z >= needed_z and fell >= thresholds.SEED_SHARE:
        evidence.insert(1, Evidence("the rise over its error", min(rise_z, 100.0), needed_z, ">"))
        message = (
            f"Validation {what} rose by {rise:.0%} from its lowest level while training {what} went on falling: "
            "the epochs after it only fitted the training rows."
        )
        severity = "high" if rise >= 0.2 else "medium"
        return found("overfitting", severity, message, evidence, risen)

    best = float(np.median([f.best for f in fits]))
    apart = reading.relative(gap, validation) > thresholds.HELD_BACK_GAP
    if rise >= thresholds.RELEVANT_GAIN and best >= thresholds.BEST_EPOCH_GAIN and apart:
        evidence.insert(1, Evidence("gain of keeping the best epoch", best, thresholds.BEST_EPOCH_GAIN, ">"))
        message = (
            f"At its best epoch validation {what} was {best:.0%} lower than where the training ended, and training "
            f"{what} lies below it: that epoch's weights should have been kept."
        )
        return found("overfitting", "medium", message, evidence, risen)
    stopped = stopping_gain(case)
    if stopped is not None and gap > 0:
        evidence.append(
            Evidence("measured gain of keeping the best epoch", max(stopped, -1e3), rerun_needed(case), ">")
        )
        if stopped >= rerun_needed(case):
            message = (
                f"Trained afresh, the network's validation {what} is {stopped:.0%} lower at its best epoch than where "
                f"the training ends, and training {what} lies below it."
            )
            return found("overfitting", "medium", message, evidence, risen)
    kept = float(np.mean(reading.restored[list(reading.good)])) > 0.5
    baseline = best_baseline(case)
    behind = reading.gain(validation, baseline[1]) if baseline else math.nan
    changes = [remedies.add_dropout(), remedies.add_l2(), remedies.narrower(), _more_rows()]
    if not kept:
        changes.insert(0, remedies.early_stopping())
    if reading.chance_known and validation >= (1 - thresholds.NOT_LEARNING_GAIN) * reading.chance:
        evidence.append(Evidence("training loss over chance", train / reading.chance, thresholds.MEMORIZED, "<"))
        if train < thresholds.MEMORIZED * reading.chance:
            message = (
                "Validation loss is no better than chance while training loss is well below it: rows were memorized."
            )
            return found("overfitting", "high", message, evidence, changes)
    if reading.ratios:
        limit = thresholds.GAP_SHARE_KEPT if kept and baseline is None else thresholds.GAP_SHARE
        share = gap / max(validation, thresholds.CHANCE_FLOOR * reading.chance)
        if baseline is None:
            evidence.append(Evidence("validation minus training loss over validation loss", share, limit, ">"))
            evidence.append(
                Evidence(
                    "validation minus training loss over chance", gap / reading.chance, thresholds.GAP_OVER_CHANCE, ">"
                )
            )
        else:
            evidence.append(Evidence(f"gain of {baseline[0]}", behind, clearly_behind(case), ">"))
            evidence.append(
                Evidence(
                    f"training loss over the validation loss of {baseline[0]}",
                    train / max(baseline[1], 1e-300),
                    1.0,
                    "<",
                )
            )
        if baseline is None:
            excess = share > limit and gap / reading.chance > thresholds.GAP_OVER_CHANCE
        else:
            excess = behind >= clearly_behind(case) and train < baseline[1]
        if excess:
            message = (
                f"Training {what} is {train:.3g} and validation {what} {validation:.3g}: the network fits its training "
                "rows far better than the others"
            )
            message += f", on which {baseline[0]} does better ({baseline[1]:.3g})." if baseline else "."
            return found("overfitting", "medium", message, evidence, changes)
    message = f"Validation {what} keeps close to its lowest level and to the training {what}."
    if gap / reading.chance > thresholds.GAP_OVER_CHANCE:
        message = (
            f"Validation {what} keeps close to its lowest level; the gap to the training {what} is not clearly a fault."
        )
    return clear("overfitting", message, evidence)


@check("underfitting")
def underfitting(case: Case) -> Finding:
    """The network has not even learned what is in its training rows.

    Detected: with baselines (the better of a linear model and gradient boosting, by validation loss): they beat the
    network's validation loss by at least `UNDERFITTING_GAIN` and `BASELINE_Z` standard errors of the validation rows'
    mean loss (`LOSS_VARIANCE`, `ERROR_COST`), where their number is known, and the network's training loss is not
    better than their *validation* loss, so that the gap to the training rows can't be the reason. Without baselines,
    curves alone can't tell an underfit network from a hard table: it is said only where chance was measured, the
    training loss stays above `POOR_FIT` of it and the curve has settled. Where the model has weight penalties, which
    stand in the network's losses only, its losses measured without them are compared (`diagnose(…, probe=True)`);
    without those measurements it is not applicable.

    Why it matters: more of the target can be predicted from these inputs than the network does.

    What to try: a higher learning rate, more epochs, a wider or deeper network, less dropout and penalty; what probes
    have seen work on this network comes first.

    False alarms: gradient boosting is simply the better model for many tables of a few thousand rows; a network that
    stays behind it by 10 % can still be as good a network as there is.
    """
    reading = case.reading
    measured = _measured_levels(case) if reading.penalized else None
    baseline = best_baseline(case) if measured is None else _better_baseline(case)
    if reading.penalized and measured is None:
        return not_applicable(
            "underfitting",
            "the losses include weight penalties, which the baselines' and chance's do not; diagnose(…, probe=True) "
            "measures them without.",
        )
    if not reading.chance_known and baseline is None:
        return not_applicable(
            "underfitting",
            "curves alone can't tell an underfit network from a hard table: it takes the validation loss of a "
            "linear model or of gradient boosting to compare with, which diagnose(…, probe=True) measures.",
        )
    kept = {s: float(reading.kept[s]) for s in reading.good}
    train_at = [c.at(kept[s]) for s, c in reading.trains()]
    validation_at = [reading.kept_validation(s, c) for s, c in reading.validations()]
    if measured is not None:
        train_at, validation_at = [measured[0]], [measured[1]]
    if not train_at and not validation_at:
        return not_applicable("underfitting", f"fewer than {thresholds.MIN_POINTS} finite losses were logged.")
    train = float(np.median(train_at or validation_at))
    changes = _most_promising(case)
    if baseline is not None:
        label, loss = baseline
        behind, needed = [reading.gain(v, loss) for v in (validation_at or train_at)], clearly_behind(case)
        gain, share = float(np.median(behind)), float(np.mean(np.array(behind) >= needed))
        evidence = [
            Evidence(f"gain of {label} over the network", gain, needed, ">"),
            Evidence(f"training loss over the validation loss of {label}", train / max(loss, 1e-300), 1.0, ">"),
        ]
        if gain >= needed and share >= thresholds.SEED_SHARE and train >= loss:
            message = (
                f"Training loss ({train:.3g}) is no better than what {label} reaches on the validation rows "
                f"({loss:.3g}): the network has not learned what is there."
            )
            return found("underfitting", "high" if gain >= 0.3 else "medium", message, evidence, changes)
        return clear("underfitting", f"The network is not clearly behind {label}, or not for want of fit.", evidence)
    evidence = [Evidence("training loss over chance", train / reading.chance, thresholds.POOR_FIT, ">")]
    if train > thresholds.POOR_FIT * reading.chance:
        message = f"Training loss settled at {train / reading.chance:.0%} of chance: little of the target was learned."
        return found("underfitting", "medium", message, evidence, changes)
    return clear("underfitting", "Training loss is well below chance.", evidence)


@check("unfinished")
def unfinished(case: Case) -> Finding:
    """The loss was still falling by a relevant amount when the training ended.

    Detected: in the last half of the epochs the validation loss falls by more than `TREND_T` standard errors, its
    lowest level lies at the end, and the fall to expect over as many epochs again (falls over doublings of the epochs
    shrink by a constant ratio) gains at least `RELEVANT_GAIN`, in most seeds and in the median. Without validation the
    training loss is read, and twice the gain is asked for, as a training loss can fall on for nothing. With the model
    and its rows at hand (`diagnose(…, probe=True)`) it is measured and not extrapolated: twice the epochs, from a fresh
    start, gain `RELEVANT_GAIN` and `RERUN_Z` standard errors of a mean loss; or, where that takes too long, a few
    epochs more gain `RELEVANT_GAIN`. A lower learning rate that was measured to gain more than the epochs is the
    remedy, and they are not. A loss above a measured chance must come below it on the way. Not applicable where
    the run stopped by itself because validation loss no longer fell.

    Why it matters: the same recipe does better with more epochs.

    What to try: more epochs with early stopping, or a higher learning rate.

    False alarms: a schedule that ends at a rate of zero makes the loss fall to the last epoch, by design.

    Source of the extrapolation: Hestness et al. (2017), "Deep learning scaling is predictable, empirically".
    """
    reading = case.reading
    curves: list[tuple[int, Series]] = reading.validations()
    needed = thresholds.RELEVANT_GAIN
    what = f"validation {reading.quantity}"
    if not curves:
        curves, needed, what = reading.trains(), 2 * thresholds.RELEVANT_GAIN, f"training {reading.quantity}"
    onward = _gain_onward(case)
    if not curves and onward is None:
        return not_applicable("unfinished", f"fewer than {thresholds.MIN_POINTS} finite losses were logged.")
    twice = rerun_gain(case, "twice")
    apart = [reading.best_epoch_gain(s, c) >= thresholds.BEST_EPOCH_GAIN for s, c in curves]
    if twice is not None and not (apart and np.mean(apart) > thresholds.SEED_SHARE) and not reading.stopped.any():
        evidence = [Evidence("measured gain of twice the epochs", twice, rerun_needed(case), ">")]
        if twice < rerun_needed(case):
            return clear("unfinished", "Twice the epochs were tried and do not do clearly better.", evidence)
        lower = best_rerun(case, LOWER)
        if lower is not None and lower[1] > twice:
            evidence.append(Evidence("measured gain of a lower learning rate", lower[1], twice, ">"))
            return clear("unfinished", "A lower learning rate was tried too, and does more than more epochs.", evidence)
        message = f"Trained afresh for twice the epochs, the network's validation loss ends {twice:.0%} lower."
        changes = [remedies.more_epochs(), remedies.raise_learning_rate(3.0)]
        return found("unfinished", "high" if twice >= 0.2 else "medium", message, evidence, changes)
    if onward is not None and onward >= thresholds.RELEVANT_GAIN and not reading.stopped.any():
        message = f"Trained on for a few epochs, the network's validation loss falls by another {onward:.0%}."
        evidence = [Evidence("measured gain of a few epochs more", onward, thresholds.RELEVANT_GAIN, ">")]
        changes = [remedies.more_epochs(), remedies.raise_learning_rate(3.0)]
        return found("unfinished", "high" if onward >= 0.2 else "medium", message, evidence, changes)
    if not curves:
        return clear("unfinished", "Trained on for a few epochs, the network gained nothing of note.")
    running = [(s, c) for s, c in curves if not reading.stopped[s]]
    if not running:
        return not_applicable("unfinished", "the run stopped by itself when validation loss no longer fell.")
    gains = np.array([reading.gain(c.end, c.projected()) for _, c in running])
    t = np.array([c.late_slope.t for _, c in running])
    at_end = np.array([c.plateau - c.lowest <= 2.0 * c.level_error + 1e-9 * abs(c.plateau) for _, c in running])
    arrives = np.array([reading.arrives_below_chance(c) for _, c in running])
    agree = (gains >= needed) & (t < -thresholds.TREND_T) & at_end & arrives
    share = float(agree.sum()) / len(curves)
    gain, slope = float(np.median(gains)), float(np.median(t))
    evidence = [
        Evidence("gain to expect from twice the epochs", gain, needed, ">"),
        Evidence("slope of the last half over its error", max(slope, -100.0), -thresholds.TREND_T, "<"),
        Evidence("share of seeds still improving", share, thresholds.SEED_SHARE, ">="),
    ]
    if share >= thresholds.SEED_SHARE and gain >= needed:
        message = f"The {what} was still falling when the training ended; twice the epochs may gain about {gain:.0%}."
        changes = [remedies.more_epochs(), remedies.raise_learning_rate(3.0)]
        return found("unfinished", "high" if gain >= 0.2 else "medium", message, evidence, changes)
    return clear("unfinished", f"The {what} had settled: more epochs of the same promise little.", evidence)


def _gain_onward(case: Case) -> float | None:
    """What the validation loss gained in a few epochs more, where that was measured."""
    now, then = (case.run.measurements.get(name, math.nan) for name in ("end_val_loss", "onward_same_val_loss"))
    return case.reading.gain(now, then) if math.isfinite(now) and math.isfinite(then) else None


def _why_no_pair(reading: Reading) -> str:
    if all(c is None for c in reading.validation):
        return "no validation loss was logged: train with validation_split=0.2 or validation_data."
    if all(c is None for c in reading.train):
        return "no training loss was logged beside the validation loss."
    return f"fewer than {thresholds.MIN_POINTS} finite values of both losses were logged."


def _more_rows():
    return remedies.do(
        "more-rows",
        "More rows leave less room for accidents.",
        "Collect more training rows, or make more of those there are (augmentation).",
    )


def _less_regularization():
    return remedies.do(
        "less-regularization",
        "Dropout and penalties keep a network from fitting.",
        "Take dropout and weight penalties out, if there are any.",
    )
