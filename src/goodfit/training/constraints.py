"""Constraints that make and keep exact zeros. Keras has the others: `MaxNorm`, `UnitNorm`, `NonNeg`."""

from __future__ import annotations

import base64
import math
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError

ops: Any = keras.ops


@keras.saving.register_keras_serializable(package="goodfit")
class SoftThreshold(keras.constraints.Constraint):
    """An L1 penalty that leaves exact zeros: after each step every weight moves by `amount` towards 0, and stops there.

    w ← sign(w) · max(|w| − amount, 0). With plain SGD at rate η and amount = ηλ this is the proximal gradient step of
    the penalty λ Σ|w| (ISTA); with Adam and its like it is the decoupled form, as AdamW's decay is for L2. The gradient
    of λ|w|, as `keras.regularizers.L1` adds it, jumps about 0 and leaves no zeros. Source: Beck and Teboulle (2009),
    eq. 2.6; Parikh and Boyd (2014), "Proximal algorithms", section 6.5.2.

    Args:
        amount: ηλ, per step.

    Raises:
        InputError: a negative or infinite amount.

    Example:
        >>> np.asarray(SoftThreshold(0.1)(np.array([-0.5, 0.05, 0.3], "float32"))).round(6).tolist()
        [-0.4000000059604645, 0.0, 0.20000000298023224]
    """

    def __init__(self, amount: float) -> None:
        if not (math.isfinite(amount) and amount >= 0):
            raise InputError(f"the amount of SoftThreshold is {amount:g}.", "Give a number of 0 or more.")
        self.amount = float(amount)

    def __call__(self, w: Any) -> Any:
        """The weights after the step, of the same shape."""
        weights = ops.convert_to_tensor(w)
        return ops.sign(weights) * ops.maximum(ops.abs(weights) - self.amount, 0.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"amount": self.amount}


@keras.saving.register_keras_serializable(package="goodfit")
class KeepZeros(keras.constraints.Constraint):
    """Weights that were pruned stay 0 while the others are trained on.

    Source: Han, Pool, Tran and Dally (2015), "Learning both weights and connections", section 3.

    Args:
        mask: of the weight's shape, true where a weight may differ from 0; or as `get_config` packs it.
        shape: of a packed mask.

    Example:
        >>> keep = KeepZeros(np.array([[True, False]]))
        >>> np.asarray(keep(np.array([[2.0, 3.0]], "float32"))).tolist()
        [[2.0, 0.0]]
        >>> KeepZeros.from_config(keep.get_config()).mask.tolist()
        [[True, False]]
    """

    def __init__(self, mask: Any, shape: Any = None) -> None:
        if isinstance(mask, str):
            size = math.prod(shape)
            bits = np.unpackbits(np.frombuffer(base64.b64decode(mask), np.uint8), count=size)
            mask = bits.reshape(shape)
        self.mask = np.asarray(mask, dtype=bool)

    def __call__(self, w: Any) -> Any:
        """The weights with the pruned ones at 0."""
        if tuple(w.shape) != self.mask.shape:
            raise InputError(
                f"a mask of shape {self.mask.shape} can't keep the zeros of a weight of shape {tuple(w.shape)}.",
                "Prune the model that it is for.",
            )
        weights = ops.convert_to_tensor(w)
        return ops.where(ops.convert_to_tensor(self.mask), weights, ops.zeros_like(weights))

    def get_config(self) -> dict[str, Any]:
        """The mask, eight weights to a byte, as text."""
        return {
            "mask": base64.b64encode(np.packbits(self.mask).tobytes()).decode(),
            "shape": list(self.mask.shape),
        }
