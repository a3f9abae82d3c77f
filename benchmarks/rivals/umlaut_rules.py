"""The heuristics of UMLAUT, re-stated from the checks and messages that its authors have published.

Source: Schoop, Huang and Hartmann (2021), "UMLAUT: Debugging Deep Learning Programs using Program Structure and Model
Behavior", CHI, by the repository BerkeleyHCI/umlaut (umlaut/heuristics.py, umserver/errors.py; the text of the paper
was not at hand). In the order in which they are run: those before the training, then those of each epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from seen import Rule, Seen

BOUND = 1.0
HIGH_RATE, LOW_RATE = 0.01, 1e-7
HIGH_DROPOUT = 0.5
_WEIGHTED = ("Dense", "Conv2D")


def no_softmax(seen: Seen) -> bool:
    """A cross-entropy gets outputs that are no probabilities."""
    if "crossentropy" not in seen.loss_name or not seen.network:
        return False
    last = _activation(seen.network[-1])
    return last not in (("softmax", "sigmoid") if seen.loss_name == "binary_crossentropy" else ("softmax",))


def missing_activations(seen: Seen) -> bool:
    """A hidden layer without a nonlinearity before the next one's weights."""
    bare = False
    for layer in seen.network:
        if layer["class_name"] in _WEIGHTED:
            if bare:
                return True
            bare = _activation(layer) == "linear"
        elif layer["class_name"] == "Activation":
            bare = bare and _activation(layer) == "linear"
    return False


def high_dropout_rate(seen: Seen) -> bool:
    """A dropout rate above `HIGH_DROPOUT`."""
    return any(float(layer["config"].get("rate") or 0.0) > HIGH_DROPOUT for layer in seen.network)


def input_normalization(seen: Seen) -> bool:
    """An input outside ±`BOUND`."""
    return seen.x is not None and bool((np.abs(seen.x) > BOUND).any())


def nan_input(seen: Seen) -> bool:
    """The loss is NaN, and so is an input."""
    return nan_loss(seen) and seen.x is not None and bool(np.isnan(seen.x).any())


def nan_loss(seen: Seen) -> bool:
    """The training loss is NaN."""
    return bool(np.isnan(seen.loss).any())


def high_rate(seen: Seen) -> bool:
    """A learning rate above `HIGH_RATE`."""
    return seen.learning_rate > HIGH_RATE


def low_rate(seen: Seen) -> bool:
    """A learning rate below `LOW_RATE`."""
    return seen.learning_rate < LOW_RATE


def overfitting(seen: Seen) -> bool:
    """From one epoch to the next the validation loss rises and the training loss does not."""
    return bool(((np.diff(seen.val_loss) > 0) & (np.diff(seen.loss) <= 0)).any())


def _activation(layer: Mapping[str, Any]) -> str:
    return layer["config"].get("activation") or "linear"


RULES = (
    Rule(
        "no_softmax",
        "a cross-entropy without softmax before it; a softmax or, of two classes, a sigmoid within the last layer "
        "counts as one, which the published check doesn't see",
        no_softmax,
        "rows",
    ),
    Rule(
        "missing_activations",
        "a hidden layer with weights and no nonlinearity; one behind its normalization counts as one",
        missing_activations,
        "rows",
    ),
    Rule("high_dropout_rate", "dropout above 0.5", high_dropout_rate, "rows"),
    Rule("input_normalization", "an input below −1 or above 1", input_normalization, "rows"),
    Rule("nan_input", "NaN in loss and inputs", nan_input, "rows"),
    Rule("nan_loss", "NaN in the loss", nan_loss, "rows"),
    Rule("lr_high", "learning rate > 0.01, whatever the optimizer", high_rate, "rows"),
    Rule("lr_low", "learning rate < 1e-7", low_rate, "rows"),
    Rule("overfitting", "from one epoch to the next validation loss up and training loss not up", overfitting, "rows"),
)
LEFT_OUT = {
    "overconfident_val": "defined on the accuracy: not recorded",
    "activation_final_layer": "of a Softmax layer after the last: no network here has one",
    "input_not_floating, input_wrong_shape": "all inputs here are floating-point rows or square images",
}
