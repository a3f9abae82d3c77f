"""The built-in rules of Amazon SageMaker Debugger, re-stated from its documentation with their default thresholds.

Source: "List of Debugger Built-in Rules", Amazon SageMaker Developer Guide (the repository
awsdocs/amazon-sagemaker-developer-guide, doc_source/debugger-built-in-rules.md). The rules' own code is not public; a
step at which a tensor was saved is read as an epoch of the log, or a sample of the layers. They run side by side
without an order; here those that name a cause come before those that name a symptom.
"""

from __future__ import annotations

import numpy as np
from seen import Rule, Seen

VANISHING = 1e-7
OVERFIT_RATIO = 0.1
PATIENCE_TRAIN, PATIENCE_VALIDATION, DELTA = 5, 10, 0.1
NUM_STEPS = 10
DEAD_LAYER = 0.5
SATURATED_LAYER = 0.99 * 0.5
VARIANCE_RATIO, DISTRIBUTION_RANGE, INITIAL_PATIENCE, INITIAL_STEPS = 10.0, 0.001, 5, 10
PERCENTILES_OF_A_NORMAL = 2 * 1.6449
"""From the 5th to the 95th percentile, in standard deviations."""
UNCHANGED_STEPS, RTOL, ATOL = 3, 1e-5, 1e-8
LARGE_UPDATE, SMALL_UPDATE = 10.0, 1e-8
IMBALANCE, LABELS = 10.0, 500
IMAGE_MEAN, IMAGES = 0.2, 500


def class_imbalance(seen: Seen) -> bool:
    """More than `IMBALANCE` times as many rows in the largest class as in the smallest, once enough were processed."""
    if seen.classes is None or len(seen.classes) * len(seen.loss) < LABELS:
        return False
    counts = np.unique(seen.classes, return_counts=True)[1]
    return bool(counts.max() > IMBALANCE * counts.min())


def check_input_images(seen: Seen) -> bool:
    """The mean of the input images is farther from 0 than `IMAGE_MEAN`."""
    if seen.x is None or seen.x.ndim < 3 or len(seen.x) * len(seen.loss) < IMAGES:
        return False
    return bool(abs(float(seen.x.mean())) > IMAGE_MEAN)


def exploding_losses(seen: Seen) -> bool:
    """A loss that is not finite."""
    return not (np.isfinite(seen.loss).all() and np.isfinite(seen.val_loss).all())


def exploding_tensor(seen: Seen) -> bool:
    """A loss, a gradient or a weight that is not finite."""
    tensors = [seen.signals[name][:, seen.kernels] for name in ("grad_norm", "weight_rms") if name in seen.signals]
    return exploding_losses(seen) or any(not np.isfinite(tensor).all() for tensor in tensors)


def dead_relu(seen: Seen) -> bool:
    """More than half of the units of a ReLU layer are dead."""
    return _any(seen, "dead_fraction", seen.of("relu"), lambda share: share > DEAD_LAYER)


def saturated_activation(seen: Seen) -> bool:
    """More than half of the units of a tanh or sigmoid layer are saturated."""
    places = np.concatenate([seen.of("tanh"), seen.of("sigmoid")])
    return _any(seen, "saturated_fraction", places, lambda share: share > SATURATED_LAYER)


def all_zero(seen: Seen) -> bool:
    """All gradients of a kernel, or all that a ReLU layer gives, are zero."""
    return _any(seen, "grad_rms", seen.kernels, lambda rms: rms == 0) or _any(
        seen, "dead_fraction", seen.of("relu"), lambda share: share == 1
    )


def vanishing_gradient(seen: Seen) -> bool:
    """The mean absolute gradient of a kernel is below `VANISHING`."""
    return _any(seen, "grad_rms", seen.kernels, lambda rms: rms < VANISHING)


def poor_weight_initialization(seen: Seen) -> bool:
    """In the first steps: variances that differ between ReLU layers, narrow gradients, or a loss that stays."""
    first = seen.samples <= INITIAL_STEPS
    if "activation_var" in seen.signals:
        variance = seen.signals["activation_var"][first][:, seen.of("relu")]
        if variance.shape[1] > 1:
            with np.errstate(divide="ignore", invalid="ignore"):
                if (variance.max(axis=1) / variance.min(axis=1) > VARIANCE_RATIO).any():
                    return True
        spread = PERCENTILES_OF_A_NORMAL * seen.signals["grad_rms"][first][:, seen.kernels]
        if (spread < DISTRIBUTION_RANGE).any():
            return True
    return _stale(seen.loss[:INITIAL_STEPS], 0.0).max(initial=0) >= INITIAL_PATIENCE


def weight_update_ratio(seen: Seen) -> bool:
    """An update is larger than `LARGE_UPDATE` or smaller than `SMALL_UPDATE` times its weights."""
    return _any(seen, "update_ratio", seen.kernels, lambda r: (r > LARGE_UPDATE) | (r < SMALL_UPDATE))


def overfit(seen: Seen) -> bool:
    """The validation loss lies above the training loss by more than `OVERFIT_RATIO` of it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return bool(((seen.val_loss - seen.loss) / seen.loss > OVERFIT_RATIO).any())


def overtraining(seen: Seen) -> bool:
    """Neither loss has improved by `DELTA` for as many epochs as its patience."""
    waited = (_stale(seen.loss, DELTA) >= PATIENCE_TRAIN) & (_stale(seen.val_loss, DELTA) >= PATIENCE_VALIDATION)
    return bool(waited.any())


def unchanged_tensor(seen: Seen) -> bool:
    """The last `UNCHANGED_STEPS` training losses are close by `numpy.allclose`."""
    for end in range(UNCHANGED_STEPS, len(seen.loss) + 1):
        last = seen.loss[end - UNCHANGED_STEPS : end]
        if np.allclose(last[1:], last[:-1], rtol=RTOL, atol=ATOL):
            return True
    return False


def loss_not_decreasing(seen: Seen) -> bool:
    """The validation loss is no lower than `NUM_STEPS` before, looked at every `NUM_STEPS`."""
    looked = seen.val_loss[::NUM_STEPS]
    return bool((~(looked[1:] < looked[:-1])).any())


def _any(seen: Seen, signal: str, places: np.ndarray, holds) -> bool:
    """Whether something holds at any sample of any of some layers; NaN never does."""
    return signal in seen.signals and bool(np.asarray(holds(seen.signals[signal][:, places])).any())


def _stale(losses: np.ndarray, delta: float) -> np.ndarray:
    """Epochs since the last one that was lower than all before by more than `delta`, after each epoch."""
    best, last, waited = np.inf, 0, []
    for epoch, value in enumerate(losses):
        if value < best - delta or (epoch == 0 and np.isfinite(value)):
            best, last = value, epoch
        waited.append(epoch - last)
    return np.array(waited, dtype=int)


RULES = (
    Rule(
        "ClassImbalance",
        "largest over smallest class > 10 after 500 labels; its second check needs predictions, which are not recorded",
        class_imbalance,
        "rows",
    ),
    Rule("CheckInputImages", "mean of the input images farther from 0 than 0.2, of 500", check_input_images, "rows"),
    Rule("ExplodingTensor", "a non-finite loss, where only losses are seen", exploding_losses, "curves"),
    Rule("ExplodingTensor", "a non-finite loss, gradient or weight", exploding_tensor, "signals"),
    Rule(
        "DeadRelu",
        "over 50 % of a ReLU layer's units active less than 1 % of the time; read as units that are 0 on all of up to "
        "256 rows",
        dead_relu,
        "signals",
    ),
    Rule(
        "SaturatedActivation",
        "over 50 % of a layer's units less than 1 % of the time within ±9.5 (tanh) or −23 to 17 (sigmoid); these "
        "inputs are not recorded, so what it implies is read: 49.5 % of the values within 5 % of a bound",
        saturated_activation,
        "signals",
    ),
    Rule("AllZero", "100 % zeros, in a kernel's gradient or a ReLU layer's outputs", all_zero, "signals"),
    Rule(
        "VanishingGradient",
        "mean absolute gradient < 1e-7; read from the root mean square, which is never smaller",
        vanishing_gradient,
        "signals",
    ),
    Rule(
        "PoorWeightInitialization",
        "in the first 10 steps: variance of the ReLU layers differing by > 10, 5th to 95th percentile of the "
        "gradients < 0.001 (3.29 root mean squares, a normal distribution's), or no lower loss for 5 steps; variances "
        "of what the layers give, for those of their inputs",
        poor_weight_initialization,
        "signals",
    ),
    Rule("WeightUpdateRatio", "update over weights > 10 or < 1e-8", weight_update_ratio, "signals"),
    Rule("Overfit", "(validation − training loss) / training loss > 0.1 for 1 step", overfit, "curves"),
    Rule(
        "Overtraining",
        "training loss not improved by 0.1 for 5 steps and validation loss not for 10; how the two combine is not "
        "said, read as both",
        overtraining,
        "curves",
    ),
    Rule(
        "UnchangedTensor",
        "3 steps equal by numpy.allclose (rtol 1e-5, atol 1e-8), the tensor being the training loss",
        unchanged_tensor,
        "curves",
    ),
    Rule(
        "LossNotDecreasing",
        "loss no lower than 10 steps before, looked at every 10; the validation loss, as EVAL comes first",
        loss_not_decreasing,
        "curves",
    ),
)
LEFT_OUT = {
    "TensorVariance": "its thresholds have no default",
    "Confusion": "needs predictions, which are not recorded",
    "SimilarAcrossRuns": "compares two trainings",
    "StalledTrainingRule": "watches the clock",
    "NLPSequenceRatio, TreeDepth, FeatureImportanceOverweight": "not of these networks",
}
