"""How well embeddings tell identities apart: verification rate at a false-accept rate, and recall at k.

NumPy and scikit-learn only: embeddings of any tool can be measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from goodfit.errors import InputError

BLOCK = 4_000_000
"""Distances that are held at a time."""


@dataclass(frozen=True)
class Verification:
    """How often two rows of one identity are accepted as such, where strangers hardly ever are.

    Args:
        rate: share of the pairs of one identity that are accepted (VAL).
        false_accept_rate: share of the pairs of two identities that are accepted too (FAR), at most what was asked for.
        threshold: pairs at this squared distance or less are accepted; 0 where none is.
        same_pairs: pairs of one identity.
        different_pairs: pairs of two identities.
    """

    rate: float
    false_accept_rate: float
    threshold: float
    same_pairs: int
    different_pairs: int


def verification_rate(embeddings: np.ndarray, identities: np.ndarray, false_accept_rate: float = 1e-3) -> Verification:
    """The share of pairs of one identity that are accepted at a stated share of wrongly accepted pairs of two.

    Every pair of rows i < j is taken. A pair is accepted where its squared Euclidean distance is at most d:
    VAL(d) = |TA(d)| / |P_same|, FAR(d) = |FA(d)| / |P_diff|, and VAL is read at the largest d whose FAR is no more than
    asked for. Source: Schroff, Kalenichenko and Philbin (2015), "FaceNet", section 4 (there at FAR 1e-3).

    Args:
        embeddings: shape (rows, dimensions).
        identities: shape (rows,).
        false_accept_rate: the FAR that is allowed, above 0 and below 1.

    Returns:
        the rate, with the FAR and the threshold that were reached.

    Raises:
        InputError: a rate outside (0, 1), or too few pairs to measure it; no pair of one identity; wrong
            shapes.

    Example:
        >>> embeddings = np.array([[0.0], [0.1], [1.0], [1.3], [0.2]])
        >>> found = verification_rate(embeddings, np.array([0, 0, 1, 1, 2]), false_accept_rate=0.25)
        >>> found.rate, found.false_accept_rate, round(found.threshold, 6)
        (1.0, 0.25, 0.09)
    """
    embeddings, identities = _checked(embeddings, identities)
    if not 0 < false_accept_rate < 1:
        raise InputError(
            f"false_accept_rate is {false_accept_rate!r}.", "Give a share above 0 and below 1, such as 1e-3."
        )
    _, counts = np.unique(identities, return_counts=True)
    same = int((counts * (counts - 1) // 2).sum())
    different = len(identities) * (len(identities) - 1) // 2 - same
    if not same:
        raise InputError("every identity has one row, so that no pair is of one identity.", "Give more rows of some.")
    allowed = int(np.floor(false_accept_rate * different + 1e-9))
    if allowed < 1:
        raise InputError(
            f"a false-accept rate of {false_accept_rate:g} can't be measured on {different} pairs of different "
            "identities.",
            f"Give more rows, or a rate of {1 / max(different, 1):.1g} or more.",
        )
    # the nearest pair of strangers that may not be accepted any more: all below it are
    nearest = np.zeros(0)
    for distances, alike in _pairs(embeddings, identities):
        nearest = np.concatenate([nearest, distances[~alike]])
        if len(nearest) > allowed + 1:
            nearest = np.partition(nearest, allowed)[: allowed + 1]
    limit = float(nearest.max())
    accepted = strangers = 0
    threshold = 0.0
    for distances, alike in _pairs(embeddings, identities):
        below = distances < limit
        accepted += int((below & alike).sum())
        strangers += int((below & ~alike).sum())
        threshold = max(threshold, float(distances[below].max(initial=0.0)))
    return Verification(accepted / same, strangers / different, threshold, same, different)


def recall_at_k(embeddings: np.ndarray, identities: np.ndarray, k: int | Sequence[int] = 1) -> float | dict[int, float]:
    """The share of rows that have a row of their own identity among their k nearest others.

    Every row asks, all others answer (Euclidean distance). Rows that are their identity's only one can't be answered
    and don't ask. Source: Jégou, Douze and Schmid (2011), "Product quantization for nearest neighbor search", section V
    (recall@R); for embeddings, Oh Song et al. (2016), "Deep metric learning via lifted structured feature embedding".

    Args:
        embeddings: shape (rows, dimensions).
        identities: shape (rows,).
        k: how many answers, or several such numbers.

    Returns:
        the share; for several k, each with its share.

    Raises:
        InputError: k is not from 1 to the number of other rows; no identity has two rows; shapes that don't fit.

    Example:
        >>> embeddings = np.array([[0.0], [0.1], [0.15], [1.0]])
        >>> recall_at_k(embeddings, np.array([0, 0, 1, 1]), k=[1, 2])
        {1: 0.5, 2: 0.75}
    """
    from sklearn.neighbors import NearestNeighbors

    embeddings, identities = _checked(embeddings, identities)
    asked = [k] if isinstance(k, (int, np.integer)) else list(k)
    for one in asked:
        if isinstance(one, bool) or not isinstance(one, (int, np.integer)) or not 0 < one < len(identities):
            raise InputError(
                f"k is {one!r}, and there are {len(identities)} rows.",
                f"Give a whole number from 1 to {len(identities) - 1}.",
            )
    _, codes, counts = np.unique(identities, return_inverse=True, return_counts=True)
    asking = counts[codes] > 1
    if not asking.any():
        raise InputError("every identity has one row, so that none can be found again.", "Give more rows of some.")
    search = NearestNeighbors(n_neighbors=max(asked), algorithm="brute").fit(embeddings)
    hits = identities[np.asarray(search.kneighbors(return_distance=False))] == identities[:, None]
    found = {int(one): float(hits[asking, :one].any(axis=1).mean()) for one in asked}
    return found if not isinstance(k, (int, np.integer)) else found[int(k)]


def _checked(embeddings: np.ndarray, identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    embeddings, identities = np.asarray(embeddings, np.float64), np.asarray(identities)
    if identities.ndim == 2 and identities.shape[1] == 1:
        identities = identities[:, 0]
    if embeddings.ndim != 2 or identities.ndim != 1 or len(embeddings) != len(identities) or len(identities) < 2:
        raise InputError(
            f"embeddings have shape {embeddings.shape} and identities {identities.shape}.",
            "Give (rows, dimensions) and one identity for each row, two rows at least.",
        )
    if not np.isfinite(embeddings).all():
        raise InputError("the embeddings hold values that are not finite.", "Look at the training: it has diverged.")
    if len(np.unique(identities)) < 2:
        raise InputError(
            f"the rows are of a single identity ({identities[0]}).", "Give rows of two identities at least."
        )
    return embeddings, identities


def _pairs(embeddings: np.ndarray, identities: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each pair once: squared distances, and whether it is of one identity; a block of rows at a time."""
    from sklearn.metrics import pairwise_distances

    count = len(embeddings)
    step = max(1, BLOCK // count)
    for start in range(0, count - 1, step):
        rows = np.arange(start, min(start + step, count))
        distances = pairwise_distances(embeddings[rows], embeddings[start:], metric="sqeuclidean")
        later = np.arange(start, count)[None, :] > rows[:, None]
        alike = identities[rows][:, None] == identities[start:][None, :]
        yield distances[later], alike[later]
