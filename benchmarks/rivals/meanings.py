"""Which findings of goodfit each answer of another tool may stand for: it is right where any of them is true.

Generous on purpose: an answer stands for the cause that it names, for every cause that its explanation or its advice
names, and for the symptom that it describes. An answer of goodfit stands for the finding of its own name alone; a line
of its own shows it read as generously.
"""

from __future__ import annotations

from collections.abc import Mapping

_NOT_FINITE = (
    "diverged", "nonfinite-inputs", "exploding-gradients", "learning-rate-too-high", "unstable", "poor-initialization",
    "large-weights",
)  # fmt: skip
_OVERFITTING = ("overfitting", "wasted-epochs", "too-few-examples")
_RATE_HIGH = ("learning-rate-too-high", "unstable", "diverged", "loss-spikes")
_RATE_LOW = ("learning-rate-too-low", "unfinished", "underfitting", "not-learning")
_STUCK = (
    "not-learning", "learning-rate-too-low", "underfitting", "unfinished", "vanishing-gradients", "dying-relu",
    "saturated-units", "poor-initialization", "large-weights", "initialization-activation-mismatch",
)  # fmt: skip
_BELOW = ("validation-below-training", "duplicate-rows", "target-leakage", "train-validation-shift")
_VANISHING = (
    "vanishing-gradients", "dying-relu", "saturated-units", "initialization-activation-mismatch", "poor-initialization",
    "not-learning", "learning-rate-too-low",
)  # fmt: skip
_INITIAL = (
    "poor-initialization", "large-weights", "initialization-activation-mismatch", "exploding-gradients",
    "vanishing-gradients", "dying-relu", "saturated-units", "selu-conditions", "not-learning",
)  # fmt: skip
_UNSCALED = ("unscaled-inputs", "regularization-on-unscaled-inputs")
_DEAD = ("dying-relu", "poor-initialization", "large-weights", "vanishing-gradients", "not-learning")

MEANINGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "runmedic": {
        "non_finite": _NOT_FINITE,
        "divergence": _RATE_HIGH,
        "no_learning": _STUCK,
        "overfitting": _OVERFITTING,
        "loss_spikes": _RATE_HIGH,
        "grad_spikes": ("exploding-gradients", *_RATE_HIGH),
        "val_below_train": _BELOW,
        "constant_lr_plateau": ("wasted-epochs", "learning-rate-too-high"),
    },
    "gradsnitch": {
        "GS001": _NOT_FINITE,
        "GS002": _NOT_FINITE,
        "GS003": ("exploding-gradients", *_RATE_HIGH),
        "GS004": _OVERFITTING,
        "GS005": _STUCK,
        "GS006": _RATE_HIGH,
        "GS007": _VANISHING,
        "GS008 high": _RATE_HIGH,
        "GS008 low": _RATE_LOW,
        "GS009": _RATE_HIGH,
        "GS010": ("unfinished",),
    },
    "sk-autod": {
        "Classic overfitting": _OVERFITTING,
        "Exploding gradient": ("exploding-gradients", "large-weights", *_RATE_HIGH),
        "LR too high": _RATE_HIGH,
        "LR too low": _RATE_LOW,
        "Underfitting": (*_RATE_LOW, "regularization-too-strong", "dropout-too-strong"),
        "Dying ReLU proxy": (*_STUCK, "unscaled-inputs"),
        "Noisy training": _RATE_HIGH,
        "Data leakage": _BELOW,
        "Missed early stopping": ("wasted-epochs", "overfitting"),
        "Label noise floor": ("not-learning", "underfitting", "class-imbalance"),
        "refused: not finite": _NOT_FINITE,
    },
    "SageMaker Debugger": {
        "ClassImbalance": ("class-imbalance",),
        "CheckInputImages": _UNSCALED,
        "ExplodingTensor": _NOT_FINITE,
        "DeadRelu": _DEAD,
        "SaturatedActivation": ("saturated-units", "vanishing-gradients", "large-weights", "poor-initialization"),
        "AllZero": _DEAD,
        "VanishingGradient": _VANISHING,
        "PoorWeightInitialization": _INITIAL,
        "WeightUpdateRatio": (*_RATE_HIGH, *_RATE_LOW, "exploding-gradients", "vanishing-gradients", "large-weights"),
        "Overfit": (*_OVERFITTING, "train-validation-shift"),
        "Overtraining": ("wasted-epochs", "overfitting"),
        "UnchangedTensor": (*_STUCK, "wasted-epochs"),
        "LossNotDecreasing": (
            *_STUCK,
            "wasted-epochs",
            "overfitting",
            "unstable",
            "diverged",
            "learning-rate-too-high",
        ),
    },
    "AutoTrainer": {
        "explode (not finite)": _NOT_FINITE,
        "relu": _DEAD,
        "explode": (*_NOT_FINITE, "initialization-activation-mismatch"),
        "vanish": _VANISHING,
    },
    "UMLAUT": {
        "no_softmax": ("output-loss-mismatch",),
        "missing_activations": ("underfitting",),
        "high_dropout_rate": ("dropout-too-strong", "underfitting"),
        "input_normalization": _UNSCALED,
        "nan_input": ("nonfinite-inputs", "diverged"),
        "nan_loss": _NOT_FINITE,
        "lr_high": _RATE_HIGH,
        "lr_low": _RATE_LOW,
        "overfitting": _OVERFITTING,
    },
}
GOODFIT: Mapping[str, tuple[str, ...]] = {
    "diverged": _NOT_FINITE,
    "not-learning": _STUCK,
    "overfitting": _OVERFITTING,
    "wasted-epochs": ("wasted-epochs", "overfitting"),
    "unstable": _RATE_HIGH,
    "loss-spikes": _RATE_HIGH,
    "learning-rate-too-high": _RATE_HIGH,
    "learning-rate-too-low": _RATE_LOW,
    "unfinished": _RATE_LOW,
    "underfitting": (*_RATE_LOW, "regularization-too-strong", "dropout-too-strong"),
    "validation-below-training": _BELOW,
    "vanishing-gradients": _VANISHING,
    "exploding-gradients": (*_NOT_FINITE, "initialization-activation-mismatch"),
    "poor-initialization": _INITIAL,
    "dying-relu": _DEAD,
    "saturated-units": ("saturated-units", "vanishing-gradients", "large-weights", "poor-initialization"),
    "unscaled-inputs": _UNSCALED,
}
"""The same of goodfit's own findings, for the line that reads them as generously; the others stand for themselves."""
REMARKS = ("info", "INFO")
"""Severities of mere remarks: they count where they are right, and not against a tool where they are wrong."""
