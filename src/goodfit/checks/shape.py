"""What the shape of the curves tells beside the fit: wasted epochs, validation below training, noisy validation."""

from __future__ import annotations

import numpy as np

from goodfit.checks import remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.values import Evidence, Finding


@check("wasted-epochs")
def wasted_epochs(case: Case) -> Finding:
    """Most of the epochs came after the last relevant improvement.

    Detected: after the first epoch whose smoothed validation loss lies within `RELEVANT_GAIN` of the lowest, more
    than `WASTED_SHARE` of the epochs and more than `WASTED_EPOCHS` follow, in the median over seeds. Not applicable
    where the run stopped by itself or keeps its best epoch: its patience is meant.

    Why it matters: time, and in many networks overfitting. Information, not a fault of the fit.

    What to try: early stopping.

    False alarms: some networks stand still for long and then fall again; what is called wasted is so in hindsight only.
    """
    reading = case.reading
    curves = [(s, c) for s, c in reading.validations() if not reading.stopped[s]]
    if len(reading.restored) and reading.restored.all():
        return not_applicable("wasted-epochs", "the best epoch was kept: its patience was not spent, or it was meant.")
    if not reading.validations() or case.run.unit != "epoch":
        return not_applicable("wasted-epochs", "it takes a validation loss per epoch.")
    if not curves:
        return not_applicable("wasted-epochs", "the run stopped by itself.")
    after, shares = [], []
    for _, c in curves:
        good = np.flatnonzero([reading.gain(float(v), c.lowest) < thresholds.RELEVANT_GAIN for v in _thin(c.level)])
        first = int(good[0]) * _step(c.level) if len(good) else len(c.level) - 1
        after.append(float(c.t[-1] - c.t[first]))
        shares.append(after[-1] / max(float(c.t[-1] - c.t[0]), 1.0))
    share, count = float(np.median(shares)), float(np.median(after))
    evidence = [
        Evidence("share of the epochs after the last relevant improvement", share, thresholds.WASTED_SHARE, ">"),
        Evidence("epochs after it", count, thresholds.WASTED_EPOCHS, ">", "epochs"),
    ]
    if share <= thresholds.WASTED_SHARE or count <= thresholds.WASTED_EPOCHS:
        return clear("wasted-epochs", "Validation loss improved for most of the training.", evidence)
    message = f"Validation loss gained nothing of note in the last {count:.0f} epochs, {share:.0%} of the training."
    return found("wasted-epochs", "low", message, evidence, [remedies.early_stopping()])


def _step(level: np.ndarray) -> int:
    return max(len(level) // 1000, 1)


def _thin(level: np.ndarray) -> np.ndarray:
    return level[:: _step(level)]


@check("validation-below-training")
def validation_below_training(case: Case) -> Finding:
    """Validation loss lies below training loss for most of the training.

    Detected: at more than `BELOW_TRAINING_SHARE` of the epochs after the first tenth by more than the noise of both,
    and by more than `BELOW_TRAINING_GAIN` in the median over epochs and seeds. The training loss is an epoch's mean,
    of weights half an epoch older than those that are validated; so it is read half an epoch later.

    With the model and its rows at hand (`diagnose(…, probe=True)`) the reasons are told apart by measurement, with the
    weights held and without penalties: what the training rows' loss changes from the logged mean of the epoch to the
    same rows in training mode (the mean lags), from there to inference mode (dropout, noise, statistics of batches),
    and from there to the validation rows (other rows). A part that makes up `BELOW_TRAINING_PART` of the distance is
    named. For the last, the split is drawn again over the losses of all rows: it may be luck where `LUCKY_SPLIT` of
    the splits lie as low, else the validation rows are easier.

    Why it matters: it looks odd and mostly is harmless. But it also happens when validation rows were seen in training
    or are easier, and then the validation loss flatters. (Penalties are never the reason: Keras adds them to both.)

    What to try: evaluate the training rows in inference mode after the epoch, and draw another split.

    False alarms: weights of rows or classes act on the training loss only; a training with them is not comparable to
    its validation.
    """
    slug, reading = "validation-below-training", case.reading
    pairs = reading.pairs()
    if not pairs:
        return not_applicable(slug, "it takes both losses, long enough.")
    below, depth = [], []
    for _, train, validation in pairs:
        start = validation.t[0] + 0.1 * (validation.t[-1] - validation.t[0])
        late = (validation.t >= start) & (validation.t + 0.5 <= train.t[-1])
        if not late.any():
            continue
        levels = np.interp(validation.t[late] + 0.5, train.t, train.level)
        gap = levels - validation.level[late]
        below.append(float((gap > 2 * np.hypot(train.level_error, validation.level_error)).mean()))
        depth.append(reading.gain(float(np.median(levels)), float(np.median(levels - gap))))
    if not below:
        return not_applicable(slug, "it takes both losses at the same epochs.")
    share, gain = float(np.median(below)), float(np.median(depth))
    evidence = [
        Evidence("share of epochs with validation below training", share, thresholds.BELOW_TRAINING_SHARE, ">"),
        Evidence("training minus validation loss over training loss", gain, thresholds.BELOW_TRAINING_GAIN, ">"),
    ]
    if share <= thresholds.BELOW_TRAINING_SHARE or gain <= thresholds.BELOW_TRAINING_GAIN:
        return clear(slug, "Validation loss does not lie below training loss.", evidence)
    reasons, measured, suspect = _reasons_below(case)
    if measured:
        message = f"Validation loss lies {gain:.0%} below training loss: {' and '.join(reasons)}."
        change = (
            remedies.do(
                "another-split",
                "Rows that are easier, or were seen in training, flatter the network.",
                "Look how the validation rows differ from the training rows (duplicates, order, groups), and draw "
                "another random split.",
            )
            if suspect
            else remedies.do(
                "compare-in-inference-mode",
                "Only the same mode and the same weights can be compared.",
                "Leave the network as it is, and compare training and validation rows in inference mode.",
            )
        )
        return found(slug, "medium" if suspect else "low", message, [*evidence, *measured], [change])
    message = (
        f"Validation loss lies {gain:.0%} below training loss: dropout or noise active in training only, or a lucky "
        "split; diagnose(…, probe=True) tells which."
    )
    change = remedies.do(
        "evaluate-training-rows",
        "Only the same mode and the same weights can be compared.",
        "Evaluate the training rows in inference mode after training, and compare with another random split.",
    )
    return found(slug, "low", message, evidence, [change])


def _reasons_below(case: Case) -> tuple[list[str], list[Evidence], bool]:
    """The measured reasons, their numbers, and whether the validation rows are easier beyond luck."""
    known = case.run.measurements
    names = ("end_train_loss", "held_train_loss", "end_val_loss")
    if not all(name in known and np.isfinite(known[name]) for name in names) or case.reading.quantity != "loss":
        return [], [], False
    inference, held, validation = (float(known[name]) for name in names)
    levels = [train.at(float(case.reading.kept[s])) for s, train, _ in case.reading.pairs()]
    logged = float(np.median(levels)) - float(known.get("weight_penalty", 0.0))
    parts = (logged - held, held - inference, inference - validation)
    total = max(sum(part for part in parts if part > 0), 1e-300)
    limit = thresholds.BELOW_TRAINING_PART
    evidence = [
        Evidence("part of the epoch's mean, which lags", parts[0] / total, limit, ">"),
        Evidence("part of dropout, noise and batch statistics in training", parts[1] / total, limit, ">"),
        Evidence("part of other rows", parts[2] / total, limit, ">"),
    ]
    luck = float(known.get("split_share", np.nan))
    reasons = []
    if parts[0] / total > limit:
        reasons.append("the training loss is the mean over an epoch in which the weights still improved")
    if parts[1] / total > limit:
        reasons.append("dropout, noise or the statistics of batches act in training only")
    suspect = False
    if parts[2] / total > limit:
        suspect = luck < thresholds.LUCKY_SPLIT
        evidence.append(Evidence("share of splits drawn again that lie as low", luck, thresholds.LUCKY_SPLIT, ">"))
        reasons.append(
            "the validation rows are easier than the training rows, by more than a lucky split would explain"
            if suspect
            else "the split was lucky"
        )
    return reasons or ["each of several reasons has a small part in it"], evidence, suspect


@check("noisy-validation")
def noisy_validation(case: Case) -> Finding:
    """Validation loss jumps from epoch to epoch by more than a change that matters.

    Detected: its noise in the last half over its level exceeds `NOISY_VALIDATION` in the median over seeds, and it is
    more than that of the training loss.

    Why it matters: the best epoch is then chosen by luck, and its loss flatters.

    What to try: more validation rows, a lower learning rate at the end, averaged weights.

    False alarms: batch normalization early in a training makes validation jump until its averages have settled; only
    the last half is read for that reason.
    """
    reading = case.reading
    pairs = reading.pairs()
    if not pairs:
        return not_applicable("noisy-validation", "it takes both losses, long enough.")
    noise = float(np.median([reading.relative(v.noise, v.late) for _, _, v in pairs]))
    train = float(np.median([reading.relative(t.noise, t.late) for _, t, _ in pairs]))
    evidence = [
        Evidence("noise of the validation loss over its level", noise, thresholds.NOISY_VALIDATION, ">"),
        Evidence("noise of the training loss over its level", train),
    ]
    if noise <= thresholds.NOISY_VALIDATION or noise <= train:
        return clear("noisy-validation", "Validation loss is steady enough to choose an epoch by.", evidence)
    changes = [
        remedies.lower_learning_rate(1 / 3),
        remedies.do(
            "more-validation-rows",
            "The mean over more rows is steadier.",
            "Keep more rows for validation, or cross-validate.",
        ),
    ]
    message = (
        f"Validation loss jumps by {noise:.0%} of its level from epoch to epoch: the best epoch is chosen by luck."
    )
    return found("noisy-validation", "low", message, evidence, changes)
