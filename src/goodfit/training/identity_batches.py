"""`IdentityBatches`: rows in batches of P identities with K rows each, for losses that compare the rows of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training.keras_internals import Rows

NAMED = 5
"""Identities that a message names at most."""


class IdentityBatches(keras.utils.PyDataset):
    """Rows of a table or images in batches of P identities with K rows each, drawn anew for every epoch.

    Identities come in passes: each comes once before any comes again (those that fill no batch at the end of a pass are
    left out of that pass). The rows of an identity are dealt like cards, K at a time, and shuffled again when fewer
    than K are left. So a batch never holds a row twice, and it has P·K·(K − 1) pairs of an anchor and a positive.
    The draws come from NumPy's global random state at the beginning of each epoch, as Keras's own shuffling does, so
    that `keras.utils.set_random_seed` fixes them.

    Give it as `x` to `goodfit.fit`, which compiles epochs of it as it does those of arrays, to the same numbers as
    `model.fit(…, shuffle=False)`, which takes it too. Batches have an order of their own: `shuffle` adds nothing.
    Source: Hermans, Beyer and Leibe (2017), "In defense of the triplet loss for person re-identification", section 2:
    P classes and K images of each.

    Args:
        x: inputs, shape (rows, …).
        y: each row's identity, shape (rows,), whole numbers.
        identities: P, per batch.
        per_identity: K, rows of each.
        steps: batches per epoch; as many as hold the number of rows where `None`.

    Raises:
        InputError: y is not whole numbers or of another length than x, there are fewer than P identities, or an
            identity has fewer than K rows.

    Example:
        >>> x, y = np.arange(12.0)[:, None], np.repeat([5, 7, 9], 4)
        >>> batches = IdentityBatches(x, y, identities=2, per_identity=3)
        >>> len(batches), batches[0][0].shape, [int((batches[0][1] == one).sum()) for one in np.unique(batches[0][1])]
        (2, (6, 1), [3, 3])
    """

    def __init__(self, x: Any, y: Any, identities: int = 8, per_identity: int = 4, steps: int | None = None) -> None:
        super().__init__()
        self.x, self.y = np.asarray(x), np.asarray(y)
        if self.x.dtype.kind == "f":
            self.x = self.x.astype(keras.config.floatx(), copy=False)
        if self.y.ndim == 2 and self.y.shape[1] == 1:
            self.y = self.y[:, 0]
        _check_labels(self.x, self.y)
        self.identities, self.per_identity = _whole(identities, "identities"), _whole(per_identity, "per_identity")
        found, codes, counts = np.unique(self.y, return_inverse=True, return_counts=True)
        _check_sizes(found, counts, self.identities, self.per_identity)
        self.steps = max(1, len(self.y) // self.batch_size) if steps is None else _whole(steps, "steps", least=1)
        self._members = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
        self._order: np.ndarray | None = None

    @property
    def batch_size(self) -> int:
        """P·K, the rows of a batch."""
        return self.identities * self.per_identity

    def draw(self, random: Any = np.random) -> np.ndarray:
        """The rows of an epoch's batches, one batch after the other; shape (steps · P · K,), int32.

        Args:
            random: NumPy's global random state, or a `RandomState` in its place.
        """
        p, k = self.identities, self.per_identity
        batches = len(self._members) // p
        passes = [random.permutation(len(self._members))[: batches * p] for _ in range(-(-self.steps // batches))]
        seats = np.concatenate(passes)[: self.steps * p]
        order = np.empty((len(seats), k), np.int32)
        places = np.split(
            np.argsort(seats, kind="stable"), np.cumsum(np.bincount(seats, minlength=len(self._members)))[:-1]
        )
        for rows, seated in zip(self._members, places, strict=True):
            hands = len(rows) // k
            decks = [random.permutation(rows)[: hands * k] for _ in range(-(-len(seated) // hands))]
            if decks:
                order[seated] = np.concatenate(decks).reshape(-1, k)[: len(seated)]
        return order.ravel()

    def arrays(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """One epoch's rows as `(x, y)`: as `validation_data`, with `batch_size` as `validation_batch_size`.

        Args:
            seed: of the draw, which leaves NumPy's global random state as it is.
        """
        order = self.draw(np.random.RandomState(seed))
        return self.x[order], self.y[order]

    def rows(self) -> Rows:
        """All rows, and how an epoch visits them, for the compiled loop."""
        return DrawnRows((self.x, self.y), self.steps * self.batch_size, self.batch_size, True, self.draw)

    def on_epoch_begin(self) -> None:
        """Draw the epoch's batches."""
        self._order = self.draw()

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self._order is None:
            self._order = self.draw()
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.x[rows], self.y[rows]


@dataclass(frozen=True)
class DrawnRows(Rows):
    """Rows that an epoch visits in an order of their own, some of them more than once, some not at all.

    Args:
        draw: gives the order of an epoch, shape (count,), from NumPy's random state.
    """

    draw: Callable[[Any], np.ndarray]

    def order(self, random: Any = np.random) -> np.ndarray:
        """The rows of the next epoch, in their order."""
        return self.draw(random)


def _whole(given: Any, name: str, least: int = 2) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < least:
        raise InputError(f"{name} is {given!r}.", f"Give a whole number, {least} or more.")
    return int(given)


def _check_labels(x: np.ndarray, y: np.ndarray) -> None:
    if y.dtype.kind not in "iu":
        raise InputError(
            f"y holds identities that are not whole numbers ({y.dtype}).",
            "Number the identities: np.unique(y, return_inverse=True)[1].",
        )
    if y.ndim != 1 or x.shape[:1] != y.shape:
        raise InputError(f"x has shape {x.shape} and y {y.shape}.", "Give one row of x and one identity for each.")


def _check_sizes(found: np.ndarray, counts: np.ndarray, identities: int, per_identity: int) -> None:
    if len(found) < 2:
        raise InputError(
            f"y holds {'a single identity (' + str(found[0]) + ')' if len(found) else 'no identity'}.",
            "Give rows of two identities at least: a triplet needs two.",
        )
    if identities > len(found):
        raise InputError(
            f"identities is {identities}, but y holds {len(found)}.", f"Give {len(found)} at most, or more data."
        )
    few = counts < per_identity
    if few.any():
        named = [f"{one} has {count}" for one, count in zip(found[few][:NAMED], counts[few][:NAMED], strict=True)]
        raise InputError(
            f"per_identity is {per_identity}, but {int(few.sum())} of {len(found)} identities have fewer rows: "
            f"identity {', '.join(named)}{', …' if few.sum() > NAMED else ''}.",
            "Leave these identities out, or give fewer rows per identity (2 at least).",
        )
