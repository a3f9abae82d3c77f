"""A learning curve over the number of rows: would more of them help?"""

from __future__ import annotations

import math

import numpy as np

from goodfit.errors import InputError
from goodfit.training.probes.probe import Measured, probe
from goodfit.training.probes.steps import Clock
from goodfit.training.probes.subject import Subject, take
from goodfit.training.program import State

SECONDS = 3.0
"""Seconds of the first training; the five others make as many steps, within twice the time."""
STEPS = 3_000
"""Steps of one training at most."""
SHARES = (0.25, 0.5, 1.0)
DRAWS = 2
READINGS = 8


@probe("rows", seconds=11 * SECONDS, order=50)
def rows(subject: Subject) -> Measured:
    """Train fresh networks on a quarter, on half and on all of the training rows, for as many steps each.

    `rows_25_val_loss`, `rows_50_val_loss`, `rows_100_val_loss`: the lowest validation loss on the way, mean over two
    draws of rows and weights; the rows of a smaller share are among those of the larger.

    Source: Hestness et al. (2017), "Deep learning scaling is predictable, empirically", on such curves.
    """
    if subject.validation is None:
        return Measured("Without validation rows, no curve over the number of rows can be drawn.")
    if subject.rows < 4 * 8:
        return Measured("There are too few training rows to leave three quarters of them out.")
    size = min(subject.steps.batch_size, int(SHARES[0] * subject.rows))
    if size < subject.steps.batch_size:
        return Measured("A quarter of the training rows does not fill a batch.")
    per_epoch = max(subject.rows // size, 1)
    steps = min(STEPS, (subject.epochs or 30) * per_epoch)
    losses = np.full((DRAWS, len(SHARES)), np.nan)
    for draw in range(DRAWS):
        try:
            state = subject.fresh(subject.seed + draw + 1)
        except InputError as problem:
            return Measured(f"No fresh network can be drawn: {problem.problem}")
        random = np.random.default_rng([subject.seed, 2, draw])
        chosen = random.permutation(subject.rows)
        # All rows first: it has the time, and the smaller shares are given the same number of steps.
        for place in reversed(range(len(SHARES))):
            mine = chosen[: int(SHARES[place] * subject.rows)]
            clock = Clock(SECONDS if place == len(SHARES) - 1 and draw == 0 else 2 * SECONDS)
            losses[draw, place], made = _lowest(subject, state, mine, steps, random, clock)
            if place == len(SHARES) - 1 and draw == 0:
                steps = max(made, 1)
    quarter, half, whole = losses.mean(axis=0).tolist()
    return Measured(
        f"Trained on a quarter, half and all of the rows, fresh networks reach a validation loss of {quarter:.3g}, "
        f"{half:.3g} and {whole:.3g}.",
        {
            "rows_25_val_loss": quarter,
            "rows_50_val_loss": half,
            "rows_100_val_loss": whole,
            "rows_spread": float(np.abs(np.diff(losses[:, 1:], axis=0)).max()),
            "rows_steps": float(steps),
        },
    )


def _lowest(
    subject: Subject, state: State, mine: np.ndarray, steps: int, random: np.random.Generator, clock: Clock
) -> tuple[float, int]:
    """The lowest validation loss on the way, and the steps made."""
    size = subject.steps.batch_size
    epochs = math.ceil(steps * size / (len(mine) - len(mine) % size))
    whole = len(mine) - len(mine) % size
    order = np.concatenate([random.permutation(len(mine))[:whole] for _ in range(epochs)])
    data, lowest, made = take(subject.data, mine), np.inf, 0
    for place in range(READINGS):
        part = order[steps * place // READINGS * size : steps * (place + 1) // READINGS * size]
        state, done = subject.steps.train(state, data, part, clock=clock)
        made += done
        loss = subject.steps.loss(state, subject.evaluated_validation)
        lowest = min(lowest, loss) if np.isfinite(loss) else lowest
        if done < len(part) // size:
            break
    return float(lowest), made
