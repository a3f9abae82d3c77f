"""Whether the training held together at all: diverged, not learning, unstable, spikes."""

from __future__ import annotations

import math

import numpy as np

from goodfit.checks import remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.checks.reading import Reading, Series
from goodfit.checks.reruns import HIGHER, LOWER, best_rerun
from goodfit.values import Change, Evidence, Finding


def count_seeds(count: int, of: int) -> str:
    """`3 of 8 seeds`, or `the run` where there is one."""
    return "the run" if of == 1 else f"{count} of {of} seeds"


@check("diverged")
def diverged(case: Case) -> Finding:
    """The loss ended not finite, or far above where it started.

    Detected: a seed diverged where its outcome says so, where the last logged training or validation loss is NaN or
    infinite, or where the training loss ends above `DIVERGED_RATIO` times the larger of its start and chance and well
    above its own lowest level. Or where it had fallen below `COLLAPSED_FROM` of its start and ends above `COLLAPSED_TO`
    of it: all that was learned is gone. (A validation loss that rises high while the training loss falls is
    overfitting.) A loss that is somewhere negative diverged where it ends above its start by more than twice what it
    had fallen, and by more than ten times its noise. Severity is high where at least `DIVERGED_SHARE` of the seeds did;
    a lone seed is said as such.

    Why it matters: weights that overflowed hold nothing; a recipe that diverges for some seeds can do so for any.

    What to try: a lower learning rate, gradient clipping, inputs and targets of unit scale.

    False alarms: a log that breaks off just after a restart ends near its start; an objective that is maximized, logged
    under the name of a loss, rises as it should.
    """
    reading, run = case.reading, case.run
    n = len(run.seeds)
    logged = [c for c in (*reading.train, *reading.validation) if c is not None]
    if not logged and run.outcome not in ("diverged", "nonfinite"):
        return not_applicable("diverged", "no loss was logged.")
    count = int(reading.diverged.sum())
    share = count / n
    nonfinite = sum(
        any(c is not None and c.ends_nonfinite for c in (reading.train[s], reading.validation[s]))
        or run.outcomes[s] == "nonfinite"
        for s in range(n)
    )
    evidence = [Evidence("share of seeds that diverged", share, 0.0, ">")]
    ratios = [
        c.end / max(c.first, reading.chance if reading.chance_known else 0.0, 1e-300)
        for c in reading.train
        if c is not None and len(c.y) > 1
    ]
    if ratios and reading.ratios:
        evidence.append(
            Evidence("largest final training loss over its start", max(ratios), thresholds.DIVERGED_RATIO, ">")
        )
    if not count:
        return clear("diverged", "The loss stayed finite and did not end above its start.", evidence)
    only_validation = (
        nonfinite
        and all(c is None or not c.ends_nonfinite for c in reading.train)
        and all(outcome not in ("diverged", "nonfinite") for outcome in run.outcomes)
    )
    high = any(ratio > thresholds.DIVERGED_RATIO for ratio in ratios) or not ratios or not reading.ratios
    how = "blew up far above its start" if high else "had fallen, and came back to where it started"
    how = "ended not finite (NaN or infinite)" if nonfinite == count else how
    if nonfinite and nonfinite < count:
        how = "ended not finite or far above its start"
    what = "validation loss" if only_validation else reading.quantity
    who = "" if n == 1 else f" in {count_seeds(count, n)}"
    message = f"The {what} {how}{who}."
    if only_validation:
        message = (
            f"{message[:-1]} while the training loss did not: look for values that are not finite among the "
            "validation rows."
        )
    severity = (
        "high" if share >= thresholds.DIVERGED_SHARE else "medium" if share >= thresholds.UNSTABLE_SEED_SHARE else "low"
    )
    changes = [remedies.lower_learning_rate(0.1), remedies.clip_gradients(), remedies.standardize_inputs()]
    if only_validation:
        changes = [
            remedies.do(
                "check-validation-rows",
                "One value that is not finite among the validation rows makes their loss so, however good the network.",
                "Look for NaN and infinity in the inputs and targets of the validation rows.",
            )
        ]
    return found("diverged", severity, message, evidence, changes)


@check("not-learning")
def not_learning(case: Case) -> Finding:
    """The training loss never got clearly below chance.

    Detected: the lowest level that training (or validation) loss reaches gains less than `NOT_LEARNING_GAIN` over the
    chance loss (that of the training rows for the one, of the validation rows for the other, where both were measured),
    in the median over seeds, and the loss is not still falling by a relevant amount and towards less than chance. Where
    chance was not measured, the first epoch's loss stands for it, and a fall counts only where it is more than the
    noise (`LEARNED_Z`); for a loss that is somewhere negative, which has no floor to measure a gain from, that alone is
    asked for. A curve that starts at a low loss might be one that learned all in its first epoch, so an accuracy of
    more than 0.8 answers not-applicable. Or, where the training loss does fall, neither the validation loss nor the
    baselines' gain as much over chance.

    Why it matters: the network predicts no better than the mean or the commonest class: something is broken, not
    badly tuned.

    What to try: another learning rate (tenfold up as well as down), inputs of unit scale, other activations or
    initialization, and whether inputs and targets belong together.

    False alarms: a network that learned all there is within its first epoch shows a flat curve; with the chance loss
    measured, it is not mistaken. Inputs that don't tell the target can't be learned by any network: the message says so
    where the baselines do no better.
    """
    reading = case.reading
    curves = {s: [c] for s, c in reading.trains()}
    for s, c in reading.validations():
        curves.setdefault(s, []).append(c)
    if not curves:
        return not_applicable("not-learning", f"fewer than {thresholds.MIN_POINTS} finite losses were logged.")
    if all(not c.y.any() for cs in curves.values() for c in cs):
        return not_applicable("not-learning", "the loss is 0 from the first epoch on: there is nothing left to learn.")
    if reading.chance_known:  # each loss is read over the chance of its own rows
        train_chance = max(float(case.run.measurements.get("train_chance_loss", reading.chance)), 1e-300)
        lowest = {s: c.lowest / train_chance for s, c in reading.trains()}
        for s, c in reading.validations():
            lowest[s] = min(lowest.get(s, math.inf), c.lowest / reading.chance)
        gains = [1.0 - level for level in lowest.values()]
    else:
        gains = [max(_fall(c, reading.ratios) for c in cs) for cs in curves.values()]
    noise = float(np.median([cs[0].level_error for cs in curves.values()])) / max(reading.chance, 1e-300)
    gain = float(np.median(gains))
    chance = "chance" if reading.chance_known else "the first epoch"
    evidence = [Evidence(f"gain of the lowest loss over {chance}", gain, thresholds.NOT_LEARNING_GAIN, "<")]
    if gain >= thresholds.NOT_LEARNING_GAIN:
        nothing = _nothing_to_learn(case)
        if nothing:
            message = (
                f"Validation {reading.quantity} never got clearly below chance, and neither do a linear model and "
                "gradient boosting: what is learned of the training rows holds for no others. These inputs may not "
                "tell the target, or inputs and targets got out of order."
            )
            return found("not-learning", "high", message, nothing, [_check_pairs()])
        return clear("not-learning", f"The loss fell clearly below {chance}.", evidence)
    falling = [_still_falling(cs[0], reading) for cs in curves.values()]
    if np.mean(falling) >= thresholds.SEED_SHARE:
        return clear("not-learning", f"The loss is not below {chance} yet, but still falling.", evidence)
    if not reading.chance_known:
        accuracy = _final_accuracy(case)
        if accuracy > 0.8:
            return not_applicable(
                "not-learning",
                f"the loss hardly moved, but accuracy is {accuracy:.2g}: without the chance loss it can't be told "
                "whether all was learned in the first epoch.",
            )
    evidence.append(Evidence("noise of the loss over chance", noise))
    message = f"The {reading.quantity} never got clearly below {chance}: the network learns nothing."
    baselines = _baselines(case)
    if reading.chance_known and baselines and min(baselines) > 0.95 * reading.chance:
        message = (
            f"The {reading.quantity} never got clearly below chance, and neither do a linear model and gradient "
            "boosting: these inputs may not tell the target."
        )
    changes = [
        *_rates_to_try(case),
        remedies.standardize_inputs(),
        _check_pairs(),
    ]
    return found("not-learning", "high", message, evidence, changes)


def _nothing_to_learn(case: Case) -> list[Evidence]:
    """The numbers where neither the network nor the baselines predict the validation rows clearly better than chance;
    none otherwise."""
    reading, baselines = case.reading, _baselines(case)
    if not reading.chance_known or not baselines or not reading.validations():
        return []
    own = 1.0 - float(np.median([c.lowest for _, c in reading.validations()])) / reading.chance
    others = 1.0 - min(baselines) / reading.chance
    if max(own, others) >= thresholds.NOT_LEARNING_GAIN:
        return []
    return [
        Evidence("gain of the lowest validation loss over chance", own, thresholds.NOT_LEARNING_GAIN, "<"),
        Evidence("gain of the better baseline over chance", others, thresholds.NOT_LEARNING_GAIN, "<"),
    ]


def _check_pairs() -> Change:
    return remedies.do(
        "check-pairs",
        "Inputs and targets that got out of order can't be learned.",
        "Print a few rows of inputs and targets just before training and check that they belong together.",
    )


def _fall(curve: Series, ratios: bool) -> float:
    """What a curve gained over its first value; 0 where that is no more than noise (and no instability either)."""
    steady = curve.noise <= thresholds.UNSTABLE_NOISE * max(curve.late, abs(curve.first)) or not ratios
    by_value = curve.first - curve.lowest > thresholds.LEARNED_Z * curve.noise
    by_level = curve.level[0] - curve.lowest > (thresholds.MINIMUM_BIAS + thresholds.TREND_T) * curve.level_error
    if (steady and not (by_value or by_level)) or curve.first <= curve.lowest:
        return 0.0
    return (curve.first - curve.lowest) / max(abs(curve.first), curve.noise, 1e-300) if ratios else 1.0


def _rates_to_try(case: Case) -> list[Change]:
    """Another learning rate: the one first that was measured to gain, the higher one where none was tried."""
    higher, lower = best_rerun(case, HIGHER), best_rerun(case, LOWER)
    up, down = remedies.raise_learning_rate(), remedies.lower_learning_rate()
    if higher is None or lower is None:
        return [up, down]
    up, down = remedies.raise_learning_rate(higher[0]), remedies.lower_learning_rate(lower[0])
    return [up, down] if higher[1] >= lower[1] else [down, up]


def _still_falling(curve, reading) -> bool:
    """Whether a curve falls by a relevant amount; and where chance is known, soon below that."""
    slope = curve.late_slope
    if not (slope.t < -thresholds.TREND_T and reading.gain(curve.end, curve.projected()) >= thresholds.RELEVANT_GAIN):
        return False
    return reading.arrives_below_chance(curve)


def _baselines(case: Case) -> list[float]:
    values = (case.run.measurements.get(name, math.nan) for name in ("linear_loss", "boosting_loss"))
    return [float(v) for v in values if math.isfinite(v)]


def _final_accuracy(case: Case) -> float:
    for name in ("val_accuracy", "accuracy", "val_acc", "acc"):
        if name in case.run.curves:
            values = np.asarray(case.run.curves[name])[:, -5:]
            if np.isfinite(values).any():
                accuracy = float(np.median(values[np.isfinite(values)]))
                return accuracy / 100.0 if accuracy > 1.0 else accuracy
    return math.nan


@check("unstable")
def unstable(case: Case) -> Finding:
    """The training loss jumps from epoch to epoch instead of settling, or some seeds diverge and others don't.

    Detected: the noise of the loss in the last half (from second differences, so that trends don't count; of curves of
    less than 16 values from the steps that go up, so that the bend of a descent doesn't either) over its level (at
    least a tenth of chance) exceeds `UNSTABLE_NOISE` in the median over seeds, in training and in validation, and the
    loss rises at more than `UNSTABLE_RISES` of its steps: other batches each epoch make the former noisy, a
    jump of the weights both; or spikes in more than `UNSTABLE_SPIKE_SHARE` of the epochs (see `loss-spikes`); or the
    lowest logged validation loss lies `BEST_EPOCH_GAIN` below the level at the end, beyond its noise (`BEST_EPOCH_Z`),
    without a gap and a rise that would make it overfitting; or at least `UNSTABLE_SEED_SHARE`, but not most, of the
    seeds diverged. Where lower learning rates were measured (`diagnose(…, probe=True)`) and none gains `RELEVANT_GAIN`,
    jumps cost nothing, unless keeping the best epoch would gain. A log per step is first averaged over blocks, as
    batches differ by nature. Curves of fewer than `UNSTABLE_POINTS` values are read only where there are no longer
    ones.

    Why it matters: the weights at the end are a lottery, and so is the best epoch.

    What to try: a lower learning rate, gradient clipping, larger batches.

    False alarms: the losses of reinforcement learning and of adversarial training jump by nature. A log that was
    smoothed before it was read hides a jump, and this stays clear.
    """
    reading, n = case.reading, len(case.run.seeds)
    curves = reading.trains() or reading.validations()
    share = float(reading.diverged.mean()) if n > 1 else 0.0
    if not curves:
        return not_applicable("unstable", f"fewer than {thresholds.MIN_POINTS} finite losses were logged.")
    parts = [part for part in (reading.trains(), reading.validations()) if part]
    parts = [p for p in parts if min(len(c.y) for _, c in p) >= thresholds.UNSTABLE_POINTS] or parts[:1]
    noise = min(float(np.median([reading.relative(_jumps(c), c.late) for _, c in part])) for part in parts)
    rises = min(float(np.median([_rises(c) for _, c in part])) for part in parts)
    spikes = float(np.median([_spikes(c, reading.chance)[0] / len(c.y) for _, c in curves]))
    evidence = [
        Evidence("noise of the loss over its level", noise, thresholds.UNSTABLE_NOISE, ">"),
        Evidence("share of the last half's epochs at which the loss rises", rises, thresholds.UNSTABLE_RISES, ">"),
        Evidence("share of epochs with a spike", spikes, thresholds.UNSTABLE_SPIKE_SHARE, ">"),
    ]
    if n > 1:
        evidence.append(Evidence("share of seeds that diverged", share, thresholds.UNSTABLE_SEED_SHARE, ">="))
    changes = [remedies.lower_learning_rate(1 / 3), remedies.clip_gradients(), remedies.larger_batches()]
    best = _best_epoch_gain(reading)
    jumps = (noise > thresholds.UNSTABLE_NOISE and rises > thresholds.UNSTABLE_RISES) or (
        spikes > thresholds.UNSTABLE_SPIKE_SHARE
    )
    lower = best_rerun(case, LOWER)
    if jumps and lower is not None and lower[1] < thresholds.RELEVANT_GAIN and best < thresholds.BEST_EPOCH_GAIN:
        evidence.append(Evidence("measured gain of a lower learning rate", lower[1], thresholds.RELEVANT_GAIN, ">"))
        message = f"The {reading.quantity} jumps, but lower learning rates were tried and end no clearly better."
        return clear("unstable", message, evidence)
    if noise > thresholds.UNSTABLE_NOISE and rises > thresholds.UNSTABLE_RISES:
        message = f"The {reading.quantity} jumps by {noise:.0%} of its level from epoch to epoch instead of settling."
        return found("unstable", "high", message, evidence, changes)
    if spikes > thresholds.UNSTABLE_SPIKE_SHARE:
        return found(
            "unstable", "high", f"The {reading.quantity} spikes in {spikes:.0%} of the epochs.", evidence, changes
        )
    if best >= thresholds.BEST_EPOCH_GAIN:
        evidence.append(Evidence("gain of keeping the best epoch", best, thresholds.BEST_EPOCH_GAIN, ">"))
        message = (
            f"Validation loss wanders: at its best epoch it was {best:.0%} lower than where the training ended, "
            "without a rise that would make it overfitting."
        )
        changes = [remedies.early_stopping(), *changes]
        return found("unstable", "medium", message, evidence, changes)
    if thresholds.UNSTABLE_SEED_SHARE <= share < thresholds.DIVERGED_SHARE:
        message = f"{int(reading.diverged.sum())} of {n} seeds diverged and the others did not."
        return found("unstable", "high", message, evidence, changes)
    return clear("unstable", "From epoch to epoch the loss moves little against its level.", evidence)


def _best_epoch_gain(reading: Reading) -> float:
    """What keeping the best epoch would gain, in the median over seeds; 0 where it is overfitting: a gap and a rise."""
    pairs = reading.pairs()
    if not pairs:
        return 0.0
    gap = float(np.median([reading.relative(v.plateau - t.plateau, v.plateau) for _, t, v in pairs]))
    rise = float(np.median([reading.gain(v.plateau, v.lowest) for _, _, v in pairs]))
    if gap > thresholds.HELD_BACK_GAP and rise >= thresholds.RELEVANT_GAIN:
        return 0.0
    return float(np.median([reading.best_epoch_gain(s, v) for s, _, v in pairs]))


def _jumps(curve: Series) -> float:
    """The noise of a curve; of a short one, which bends as it descends, from the steps that go up: of white noise their
    mean square, over all steps, is its variance, and a curve that only falls has none."""
    if len(curve.y) >= 16 or len(curve.y) < 4:
        return curve.noise
    return float(np.sqrt(np.mean(np.maximum(np.diff(curve.y), 0.0) ** 2)))


def _rises(curve: Series) -> float:
    """The share of the last half's steps that go up; of all steps where the curve is short."""
    tail = curve.y[len(curve.y) // 2 :] if len(curve.y) >= 16 else curve.y
    return float((np.diff(tail) > 0).mean()) if len(tail) > 1 else 0.0


def _spikes(curve, chance: float) -> tuple[int, float]:
    """How many spikes after the first tenth, and the height of the highest in units of chance."""
    if len(curve.y) < 10:
        return 0, 0.0
    start = max(len(curve.y) // 10, 2)
    height = (curve.y - curve.robust)[start:]
    limit = max(thresholds.SPIKE_Z * curve.noise, thresholds.SPIKE_HEIGHT * chance)
    high = (height > limit) & (height > thresholds.SPIKE_SHARE * np.abs(curve.robust[start:]))
    return int(high.sum()), float(height.max()) / chance


@check("loss-spikes")
def loss_spikes(case: Case) -> Finding:
    """Lone epochs at which the training loss shoots up and comes back.

    Detected: after the first tenth of the epochs, a value above the running median of 5 by more than `SPIKE_Z`
    standard deviations of the noise, by more than `SPIKE_HEIGHT` of chance and by more than `SPIKE_SHARE` of the median
    itself, in most seeds.

    Why it matters: a step threw the weights far off; the training recovered, this time.

    What to try: gradient clipping, a lower learning rate, and a look at the rows of that batch.

    False alarms: a schedule with warm restarts lifts the loss at each of them, on purpose.
    """
    reading = case.reading
    curves = [(s, c) for s, c in (reading.trains() or reading.validations()) if len(c.y) >= 10]
    if not curves:
        return not_applicable("loss-spikes", "fewer than 10 finite losses were logged.")
    counted = [_spikes(c, reading.chance) for _, c in curves]
    share = float(np.mean([count > 0 for count, _ in counted]))
    highest = float(np.median([height for _, height in counted]))
    evidence = [
        Evidence("share of seeds with a spike", share, thresholds.SEED_SHARE, ">="),
        Evidence("highest spike over chance", highest, thresholds.SPIKE_HEIGHT, ">"),
    ]
    if share < thresholds.SEED_SHARE:
        return clear("loss-spikes", "No lone epoch stands far above its neighbours.", evidence)
    message = f"The {reading.quantity} shoots up in lone epochs and comes back, by {highest:.2g} of chance at most."
    return found(
        "loss-spikes", "low", message, evidence, [remedies.clip_gradients(), remedies.lower_learning_rate(1 / 3)]
    )
