"""What can be measured before the long training: the loss at the start, and whether a small sample can be learned."""

from __future__ import annotations

import math

from goodfit.checks import remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.values import Evidence, Finding

_TROUBLE = ("not-learning", "underfitting")


def _measured(case: Case, name: str) -> float | None:
    value = case.run.measurements.get(name)
    return None if value is None else float(value)


@check("cannot-overfit-small-sample", explains=_TROUBLE)
def cannot_overfit_small_sample(case: Case) -> Finding:
    """The network can't even memorize a handful of rows.

    Detected: the loss on a small sample after training on it alone stays above `SMALL_SAMPLE_SHARE` of chance, or is
    not finite.

    Why it matters: a network that can't memorize a few rows will not learn many; something in the wiring is broken:
    activations, initialization, the loss, the learning rate, strong regularization, or inputs that differ too little.

    What to try: another learning rate, a wider network, no regularization.

    False alarms: rows with equal inputs and different targets can't be told apart by any network; a learning rate that
    is far too low looks the same, and `learning-rate-too-low` says so where ten times the rate was tried.
    Source: Karpathy (2019), "A recipe for training neural networks", section 2.
    """
    slug = "cannot-overfit-small-sample"
    sample, chance = _measured(case, "small_sample_loss"), case.training_chance
    if sample is None or chance is None or not chance > 0.0:
        return not_applicable(slug, "the network was not tried on a small sample of its rows.")
    share = sample / chance
    evidence = [Evidence("loss on a small sample over chance", share, thresholds.SMALL_SAMPLE_SHARE, ">")]
    if math.isfinite(share) and share <= thresholds.SMALL_SAMPLE_SHARE:
        return clear(slug, "The network can memorize a small sample.", evidence)
    message = "Trained on a small sample alone, the network can't fit even that."
    severity = "high" if not share <= 0.5 else "medium"
    changes = [remedies.raise_learning_rate(), remedies.lower_learning_rate(), remedies.wider()]
    return found(slug, severity, message, evidence, changes)


@check("initial-loss-off-chance", explains=("diverged",))
def initial_loss_off_chance(case: Case) -> Finding:
    """Before any training, the loss is far above that of predicting the mean or the prior.

    Detected: the loss of the untrained network exceeds `INITIAL_LOSS_RATIO` times chance, or is not finite.

    Why it matters: the first epochs are spent on unlearning confident nonsense, and the first steps are large.

    What to try: start the output layer's bias at the mean or at the prior's log odds, standardize the target, and
    draw smaller weights for the output layer.

    False alarms: a few epochs mend it by themselves in most networks; it matters where the training is short, or
    diverges.
    Source: Karpathy (2019), "A recipe for training neural networks", section 2, "verify loss @ init".
    """
    slug = "initial-loss-off-chance"
    initial, chance = _measured(case, "initial_loss"), case.training_chance
    if initial is None or chance is None or not chance > 0.0:
        return not_applicable(slug, "the loss before training was not measured.")
    ratio = initial / chance
    evidence = [Evidence("initial loss over chance", ratio, thresholds.INITIAL_LOSS_RATIO, ">")]
    if math.isfinite(ratio) and ratio <= thresholds.INITIAL_LOSS_RATIO:
        return clear(slug, "The untrained network's loss is about that of chance.", evidence)
    message = "The untrained network is far worse than predicting the mean or the prior."
    bias = remedies.do(
        "start-output-at-prior",
        "Then the first loss is what chance predicts.",
        "Start the output layer's bias at the target's mean, or at the log odds of the classes.",
    )
    severity = "medium" if not ratio <= 10.0 else "low"
    return found(slug, severity, message, evidence, [bias, remedies.standardize_target()])
