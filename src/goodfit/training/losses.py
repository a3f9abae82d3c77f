"""Losses that Keras does not have: the triplet loss with semi-hard and with hard triplets of each batch, and smoothed
labels of classes as whole numbers."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import triplets
from goodfit.training.smoothed_loss import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy

ops: Any = keras.ops

MOST = 2**24
"""Identities above this are no longer told apart: Keras hands targets to a loss as float32."""


class _TripletLoss(keras.losses.Loss):
    """What the triplet losses share: identities as targets, embeddings as predictions."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Each row's loss as an anchor, shape (rows,), scaled so that their mean is the mean over all triplets."""
        shape = tuple(y_true.shape)
        if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
            raise InputError(
                f"y has shape {shape}, but {type(self).__name__} takes one identity per row.",
                "Give each row's identity as a whole number: np.argmax(y, axis=1) of one-hot rows.",
            )
        if len(y_pred.shape) != 2:
            raise InputError(
                f"the model's output has shape {tuple(y_pred.shape)}, but {type(self).__name__} takes one vector per "
                "row.",
                "End the model with keras.layers.Flatten() or pooling, and keras.layers.UnitNormalization().",
            )
        return self._of_anchors(ops.reshape(y_true, (-1,)), y_pred)

    def _of_anchors(self, identities: Any, embeddings: Any) -> Any:
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="goodfit")
class TripletSemiHardLoss(_TripletLoss):
    """The triplet loss of FaceNet over all positive pairs of a batch, each with its hardest semi-hard negative.

    The mean over all pairs of an anchor a and a positive p of max(0, ‖f(a) − f(p)‖² − ‖f(a) − f(n)‖² + margin), where n
    is the nearest row of another identity that is farther from a than p (the farthest one of all where none is).
    The model's output is to lie on the unit sphere (`keras.layers.UnitNormalization`), so that the margin has a
    meaning; y holds identities as whole numbers. A batch without two rows of one identity, or with one identity only,
    has no triplet and a loss of 0: `goodfit.embeddings.IdentityBatches` makes batches that have many. Sample weights
    weigh the anchors. The mining looks at rows³ combinations of a batch.
    Source: Schroff, Kalenichenko and Philbin (2015), "FaceNet: a unified embedding for face recognition and
    clustering", eq. 3 and 4; all anchor-positive pairs, section 3.2; margin 0.2, section 3.3.

    Args:
        margin: by how much a negative's squared distance is to exceed a positive's.
        reduction: as in Keras's losses.
        name: of the loss.
        dtype: of its computation.

    Raises:
        InputError: a margin that is not a positive number; targets or outputs of another shape.

    Example:
        >>> loss = TripletSemiHardLoss(margin=0.5)
        >>> embeddings = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> round(float(loss(np.array([0, 0, 1]), embeddings)), 4)
        0.45
    """

    def __init__(
        self,
        margin: float = 0.2,
        reduction: str = "sum_over_batch_size",
        name: str = "triplet_semi_hard",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = _margin(margin)

    def _of_anchors(self, identities: Any, embeddings: Any) -> Any:
        distances = triplets.squared_distances(embeddings)
        positive, negative = triplets.pairs(identities)
        chosen = triplets.semi_hard_negatives(distances, negative)
        further = ops.take_along_axis(distances, chosen, axis=1)
        counted = ops.cast(ops.logical_and(positive, ops.any(negative, axis=1)[:, None]), distances.dtype)
        lost = ops.sum(counted * ops.relu(distances - further + self.margin), axis=1)
        return lost * ops.shape(embeddings)[0] / ops.maximum(ops.sum(counted), 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "margin": self.margin}


@keras.saving.register_keras_serializable(package="goodfit")
class TripletHardLoss(_TripletLoss):
    """The triplet loss over each anchor's farthest positive and nearest negative of the batch ("batch hard").

    The mean over anchors a of max(0, ‖f(a) − f(p)‖ − ‖f(a) − f(n)‖ + margin), with p the farthest row of a's identity
    and n the nearest of any other; with margin "soft", ln(1 + exp(‖f(a) − f(p)‖ − ‖f(a) − f(n)‖)). Distances are not
    squared, as in the paper. Rows without a positive or a negative in their batch count for nothing. Sample weights
    weigh the anchors. Source: Hermans, Beyer and Leibe (2017), "In defense of the triplet loss for person
    re-identification", eq. 5; the soft margin in section 2.

    Args:
        margin: by how much the nearest negative is to be farther than the farthest positive, or "soft".
        reduction: as in Keras's losses.
        name: of the loss.
        dtype: of its computation.

    Raises:
        InputError: a margin that is neither a positive number nor "soft"; targets or outputs of another shape.

    Example:
        >>> loss = TripletHardLoss(margin=0.5)
        >>> embeddings = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> round(float(loss(np.array([0, 0, 1]), embeddings)), 4)
        0.381
    """

    def __init__(
        self,
        margin: float | Literal["soft"] = 0.2,
        reduction: str = "sum_over_batch_size",
        name: str = "triplet_hard",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin: float | Literal["soft"] = "soft" if margin == "soft" else _margin(margin)

    def _of_anchors(self, identities: Any, embeddings: Any) -> Any:
        squared = triplets.squared_distances(embeddings)
        positive, negative = triplets.pairs(identities)
        far, near = (
            triplets.root(ops.take_along_axis(squared, chosen[:, None], axis=1)[:, 0])
            for chosen in triplets.hardest(squared, positive, negative)
        )
        counted = ops.cast(ops.logical_and(ops.any(positive, axis=1), ops.any(negative, axis=1)), squared.dtype)
        excess = far - near
        lost = counted * (ops.softplus(excess) if self.margin == "soft" else ops.relu(excess + self.margin))
        return lost * ops.shape(embeddings)[0] / ops.maximum(ops.sum(counted), 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "margin": self.margin}


def _margin(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not (math.isfinite(given) and given > 0):
        raise InputError(f"the margin of the triplet loss is {given!r}.", "Give a positive number; 0.2 is usual.")
    return float(given)


def check_identities(loss: Any, name: str, array: np.ndarray) -> None:
    """Refuse targets that no triplet loss can be taken of.

    Args:
        loss: of the model; nothing is asked of targets of another loss.
        name: what the targets are called.
        array: the targets of all rows.

    Raises:
        InputError: they are not whole numbers, too large, of one identity, or no identity has two rows.

    Example:
        >>> check_identities(TripletHardLoss(), "y", np.array([3, 3, 3]))
        Traceback (most recent call last):
        goodfit.errors.InputError: y holds a single identity (3). ...
    """
    if not isinstance(loss, _TripletLoss) or array.size == 0:
        return
    if array.ndim > 2 or (array.ndim == 2 and array.shape[1] != 1):
        raise InputError(
            f"{name} has shape {array.shape}, but {type(loss).__name__} takes one identity per row.",
            "Give each row's identity as a whole number: np.argmax(y, axis=1) of one-hot rows.",
        )
    numbers = "Number the identities: np.unique(y, return_inverse=True)[1]."
    if array.dtype.kind not in "biu" and not (array.dtype.kind == "f" and (array == np.round(array)).all()):
        raise InputError(f"{name} holds identities that are not whole numbers.", numbers)
    found, counts = np.unique(array, return_counts=True)
    if array.dtype.kind != "b" and max(abs(int(found[0])), abs(int(found[-1]))) > MOST:
        raise InputError(f"{name} holds identities beyond {MOST:,}, which Keras no longer tells apart.", numbers)
    if len(found) == 1:
        raise InputError(
            f"{name} holds a single identity ({found[0]}).",
            "Give rows of two identities at least: a triplet needs two.",
        )
    if counts.max() == 1:
        raise InputError(
            f"{name} holds every identity once.", "Give two rows at least of some identities: a triplet needs a pair."
        )
