"""The signals of many members that are trained side by side, sampled between chunks of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import keras
import numpy as np

from goodfit.training.signals import NAMES, Probe, count, rows_measured, schedule


@dataclass(frozen=True, eq=False)
class Sampling:
    """What is to be sampled of a training of members.

    Args:
        probe: measures one member's state.
        samples: how many at most.
    """

    probe: Probe
    samples: int

    def due(self, epochs: int, length: int) -> tuple[int, ...]:
        """After how many epochs: at the start, at the end, and at the ends of some of the chunks between.

        Args:
            epochs: passes over the rows at most.
            length: epochs in a chunk.
        """
        return tuple(min(chunks * length, epochs) for chunks in schedule(-(-epochs // length), self.samples))


def sampling(
    model: keras.Model, arrays: Any, batch_size: int, epochs: int, asked: bool | int | Literal["auto"]
) -> Sampling | str:
    """What is to be sampled of a training of members; or why nothing is, `""` where nothing is asked for.

    Args:
        model: compiled and built; the members differ from it in their states only.
        arrays: what `train_step` takes, rows first.
        batch_size: rows per step.
        epochs: passes over the rows at most.
        asked: see `goodfit.training.signals.count`.
    """
    rows = jax.tree.leaves(arrays)[0].shape[0]
    samples = count(asked, epochs, rows, batch_size, rows_measured(arrays, batch_size))
    if not samples:
        return "the training is too short for them" if asked == "auto" else ""
    try:
        return Sampling(Probe(model, arrays, batch_size), samples)
    except ValueError as problem:
        return str(problem)


class Samples:
    """The samples of one thread's members.

    Args:
        sampling: what is to be sampled.
        due: after how many epochs.
    """

    def __init__(self, sampling: Sampling, due: Sequence[int]) -> None:
        self.probe, self.due = sampling.probe, frozenset(due)
        self.taken: dict[int, np.ndarray] = {}
        """Epochs trained -> shape (members, names, layers)."""

    def take(self, state: Any, epoch: int, *, end: bool = False) -> None:
        """Take a sample after `epoch` epochs where one is due, or at the end; every leaf has the members first."""
        if epoch in self.taken or not (end or epoch in self.due):
            return
        state = jax.device_get(state)
        members = jax.tree.leaves(state)[0].shape[0]
        self.taken[epoch] = np.stack(
            [np.asarray(self.probe(jax.tree.map(lambda leaf, m=m: leaf[m], state))) for m in range(members)]
        )


def joined(parts: Sequence[Samples], groups: Sequence[Sequence[int]], ran: np.ndarray) -> dict[str, Any]:
    """What a `Run` holds of the samples of all threads: `signals`, `signal_layers`, `signal_epochs`.

    Of a member that stopped, the last sample stands at the end of its chunk.

    Args:
        parts: per thread.
        groups: the members of each thread, -1 for none.
        ran: shape (members,): how many epochs each ran.
    """
    epochs = sorted({epoch for part in parts for epoch in part.taken})
    layers = parts[0].probe.layers
    values = np.full((len(NAMES), len(ran), len(epochs), len(layers)), np.nan)
    for part, group in zip(parts, groups, strict=True):
        for place, member in enumerate(group):
            if member < 0:
                continue
            for epoch in sorted(part.taken):
                values[:, member, epochs.index(epoch)] = part.taken[epoch][place]
                if epoch >= ran[member]:
                    break
    return {
        "signals": dict(zip(NAMES, values, strict=True)),
        "signal_layers": layers,
        "signal_epochs": np.array(epochs),
    }
