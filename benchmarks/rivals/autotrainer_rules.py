"""The rules of AutoTrainer, re-stated from its authors' implementation with its default parameters.

Source: Zhang, Zhai, Ma and Shen (2021), "AUTOTRAINER: An Automatic DNN Training Problem Detection and Repair System",
ICSE, by the repository shiningrain/AUTOTRAINER, where beta 1 to 3, gamma and the others are `default_param` (the text
of the paper was not at hand). It looks at the gradients after an epoch, and reports one problem: a dying ReLU before
exploding before vanishing gradients.

It does so only where the accuracy stays below Theta = 0.7 or moves by less than delta = 0.01. The lab records losses
and no accuracy, which its regressions have none of, so the gradients are judged without that condition.
"""

from __future__ import annotations

import numpy as np
from seen import Rule, Seen

BETA_1, BETA_2, BETA_3, GAMMA = 1e-3, 1e-4, 70.0, 0.7
LARGE_LOSS = 1e5


def nonfinite(seen: Seen) -> bool:
    """A loss, a gradient or a weight is not finite, or the last validation loss is `LARGE_LOSS` or more."""
    late = seen.samples >= 1
    tensors = [seen.signals[n][late][:, seen.kernels] for n in ("grad_norm", "weight_rms") if n in seen.signals]
    losses = np.isfinite(seen.loss).all() and np.isfinite(seen.val_loss).all()
    return not losses or seen.val_loss[-1] >= LARGE_LOSS or any(not np.isfinite(t).all() for t in tensors)


def dying_relu(seen: Seen) -> bool:
    """`GAMMA` or more of all gradients are zero."""
    return any(zero_share(seen, int(sample)) >= GAMMA for sample in np.flatnonzero(seen.samples >= 1))


def exploding(seen: Seen) -> bool:
    """The norm of the first kernel's gradient is more than `BETA_3` times that of the last."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first, last = _ends(seen)
        return bool((first / last > BETA_3).any())


def vanishing(seen: Seen) -> bool:
    """The norm of the first kernel's gradient is below `BETA_1` times that of the last, and below `BETA_2`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first, last = _ends(seen)
        return bool(((first / last < BETA_1) & (first < BETA_2)).any())


def zero_share(seen: Seen, sample: int) -> float:
    """Share of the gradients of kernels and biases that are exactly zero.

    A ReLU unit that is dead on all rows has no gradient, and passes nothing on: the entries of its row and its column
    are zero, and where a whole layer is dead all gradients below are. A penalty has a gradient everywhere.

    Args:
        seen: the training.
        sample: the place of a sample.
    """
    if "dead_fraction" not in seen.signals:
        return 0.0
    dead = np.where([layer.activation == "relu" for layer in seen.layers], seen.signals["dead_fraction"][sample], 0.0)
    dead = np.nan_to_num(dead, nan=0.0)
    zeros = total = below = 0.0
    for i, place in enumerate(seen.kernels):
        layer = seen.layers[place]
        end = seen.kernels[i + 1] if i + 1 < len(seen.kernels) else len(seen.layers)
        own = float(dead[place:end].max())  # the layer's own activation, or that of the layer after its normalization
        cut = bool((dead[place:] == 1).any()) or seen.signals["grad_norm"][sample, place] == 0
        kernel = 1.0 if cut else 1 - (1 - below) * (1 - own)
        zeros += (0.0 if layer.penalized else kernel) * layer.kernel_size + (1.0 if cut else own) * layer.units
        total += layer.kernel_size + layer.units
        below = own
    return zeros / total if total else 0.0


def _ends(seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """The gradient norms of the first and the last kernel after each epoch that was sampled."""
    if "grad_norm" not in seen.signals or len(seen.kernels) < 2:
        return np.zeros(0), np.zeros(0)
    norms = seen.signals["grad_norm"][seen.samples >= 1]
    return norms[:, seen.kernels[0]], norms[:, seen.kernels[-1]]


RULES = (
    Rule("explode (not finite)", "NaN or infinity in loss, weights or gradients, or loss ≥ 1e5", nonfinite, "signals"),
    Rule("relu", "γ = 0.7 or more of all gradients zero; reckoned from the dead units", dying_relu, "signals"),
    Rule("explode", "first over last kernel's gradient norm > β₃ = 70", exploding, "signals"),
    Rule("vanish", "that ratio < β₁ = 1e-3 and the first norm < β₂ = 1e-4", vanishing, "signals"),
)
LEFT_OUT = {
    "unstable (oscillating loss)": "defined on the accuracy (swings ≥ ζ = 0.03 in η = 0.2 of the epochs): not recorded",
    "not_converge (slow convergence)": "defined on the accuracy (moves by less than δ = 0.01): not recorded",
}


def first_problem(names: list[str]) -> list[str]:
    """The one problem that is reported of those that were detected."""
    return names[:1]
