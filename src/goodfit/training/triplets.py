"""Which triplets of a batch a loss is taken over: anchor, positive (same identity), negative (another one).

Source: Schroff, Kalenichenko and Philbin (2015), "FaceNet", section 3.2 (semi-hard); Hermans, Beyer and Leibe (2017),
"In defense of the triplet loss for person re-identification", section 2 (batch hard).
"""

from __future__ import annotations

from typing import Any

import keras

ops: Any = keras.ops


def squared_distances(embeddings: Any) -> Any:
    """The squared Euclidean distance of every pair of rows.

    Args:
        embeddings: shape (rows, dimensions).

    Returns:
        shape (rows, rows), 0 on the diagonal and nowhere below 0.

    Example:
        >>> squared_distances(ops.array([[0.0, 3.0], [4.0, 0.0]])).tolist()
        [[0.0, 25.0], [25.0, 0.0]]
    """
    squares = ops.sum(ops.square(embeddings), axis=1)
    found = squares[:, None] + squares[None, :] - 2 * ops.matmul(embeddings, ops.transpose(embeddings))
    rows = ops.shape(embeddings)[0]
    return ops.where(ops.eye(rows, dtype="bool"), 0.0, ops.maximum(found, 0.0))


def root(squared: Any) -> Any:
    """The square root, whose gradient at 0 is taken as 0 (it has none there)."""
    positive = squared > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


def pairs(identities: Any) -> tuple[Any, Any]:
    """Which pairs of rows are positives of one another, and which negatives.

    Args:
        identities: shape (rows,).

    Returns:
        two masks of shape (rows, rows): the same identity but another row; another identity.
    """
    same = identities[:, None] == identities[None, :]
    other = ops.logical_not(ops.eye(ops.shape(identities)[0], dtype="bool"))
    return ops.logical_and(same, other), ops.logical_not(same)


def semi_hard_negatives(distances: Any, negative: Any) -> Any:
    """For every anchor and every row as its positive: the nearest negative that is farther from the anchor than that.

    That is the hardest of the semi-hard negatives where there are any within the margin; where it lies beyond the
    margin the triplet's loss is 0. Where every negative is nearer than the positive none is semi-hard, and the farthest
    negative, the least hard one, stands in: FaceNet leaves open what then, and without it an anchor among strangers
    would never be moved. Source: FaceNet, eq. 4.

    Args:
        distances: shape (rows, rows), of any kind that grows with distance.
        negative: shape (rows, rows): which pairs are of different identities.

    Returns:
        shape (rows, rows), int32: the negative's row for anchor i and positive j.
    """
    distances = ops.stop_gradient(distances)
    order = ops.argsort(ops.where(negative, distances, float("inf")), axis=1)  # the negatives, nearest first
    ordered = ops.where(
        ops.take_along_axis(negative, order, axis=1), ops.take_along_axis(distances, order, axis=1), float("inf")
    )
    nearer = ops.sum(ops.cast(ordered[:, None, :] <= distances[:, :, None], "int32"), axis=2)
    last = ops.sum(ops.cast(negative, "int32"), axis=1) - 1
    return ops.cast(ops.take_along_axis(order, ops.clip(nearer, 0, ops.maximum(last, 0)[:, None]), axis=1), "int32")


def hardest(distances: Any, positive: Any, negative: Any) -> tuple[Any, Any]:
    """For every anchor: its farthest positive and its nearest negative. Source: Hermans et al., eq. 5.

    Args:
        distances: shape (rows, rows), of any kind that grows with distance.
        positive: shape (rows, rows).
        negative: shape (rows, rows).

    Returns:
        their rows, each of shape (rows,), int32.
    """
    distances = ops.stop_gradient(distances)
    farthest = ops.argmax(ops.where(positive, distances, -1.0), axis=1)
    nearest = ops.argmin(ops.where(negative, distances, float("inf")), axis=1)
    return ops.cast(farthest, "int32"), ops.cast(nearest, "int32")
