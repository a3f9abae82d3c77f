"""The training once more from a fresh start, at other learning rates and for twice the epochs."""

from __future__ import annotations

import numpy as np

from goodfit.errors import InputError
from goodfit.training.probes.probe import Measured, probe
from goodfit.training.probes.steps import Clock
from goodfit.training.probes.subject import Subject
from goodfit.training.program import State

SECONDS = 30.0
"""Seconds that all arms together train at most."""
READINGS = 40
"""Times that the loss is read in the epochs of the run, at most once an epoch."""
LAST = 5
"""Epochs whose mean loss is that of the last one: which epoch is the last is chance."""
RATES = {"threefold": 3.0, "third": 1 / 3, "tenfold": 10.0, "tenth": 0.1}
"""Name of each arm beside the unchanged one -> what its learning rate is multiplied by."""


@probe("full-length", seconds=SECONDS, order=45)
def full_length(subject: Subject) -> Measured:
    """Train a fresh network for the epochs of the run, at five learning rates, and at its own for twice as many.

    All arms start from the same weights and see the same batches. Names: `rerun_same_loss` and `rerun_same_val_loss`
    (means of the last `LAST` epochs), `rerun_same_best_val_loss` (lowest of the readings), `rerun_threefold_…`,
    `rerun_third_…`, `rerun_tenfold_…`, `rerun_tenth_…`, `rerun_twice_…`. Losses are in inference mode, without
    penalties; infinite where an arm ended not finite.
    """
    if subject.epochs < 1 or subject.validation is None:
        why = "It takes validation rows." if subject.epochs else "It is not known how many epochs the run trained for."
        return Measured(why)
    try:
        fresh = subject.fresh(subject.seed + 1)
    except InputError as problem:
        return Measured(f"The training could not be repeated: {problem.problem}")
    clock = Clock(SECONDS)
    values: dict[str, float] = {}
    state, readings = _train(subject, fresh, 0, subject.epochs, 1.0, clock)
    if readings is None:
        return Measured(f"The training takes too long to be repeated within {SECONDS:.0f} seconds.")
    values |= _levels("same", readings)
    for arm, rate in RATES.items():
        _, other = _train(subject, fresh, 0, subject.epochs, rate, clock)
        if other is not None:
            values |= _levels(arm, other)
    _, more = _train(subject, state, subject.epochs, 2 * subject.epochs, 1.0, clock)
    if more is not None:
        values |= _levels("twice", np.concatenate([readings, more]))
    words = {"threefold": "three times", "third": "a third of", "tenfold": "ten times", "tenth": "a tenth of"}
    others = ", ".join(
        f"{values[f'rerun_{arm}_val_loss']:.3g} at {words[arm]} the learning rate"
        for arm in RATES
        if f"rerun_{arm}_val_loss" in values
    )
    longer = f", {values['rerun_twice_val_loss']:.3g} after twice the epochs" if more is not None else ""
    return Measured(
        f"Trained afresh, the network ends with a validation loss of {values['rerun_same_val_loss']:.3g}"
        f"{'; ' + others if others else ''}{longer}.",
        values,
    )


def _train(
    subject: Subject, state: State, first: int, last: int, rate: float, clock: Clock
) -> tuple[State, np.ndarray | None]:
    """The state after the epochs, and shape (readings, 3): epochs trained, training and validation loss.

    `None` where the clock ran out.
    """
    steps, readings = subject.steps, []
    size = steps.batch_size
    per_epoch = (subject.rows - subject.rows % size) // size
    every = max(-(-subject.epochs // READINGS), 1)
    places = {*range(last, first, -every), *range(max(last - LAST, first) + 1, last + 1)}
    done = first
    for place in sorted(places):
        order = np.concatenate([subject.order(1, draw=epoch) for epoch in range(done, place)])
        state, made = steps.train(state, subject.data, order, rate=rate, clock=clock)
        if made < per_epoch * (place - done) or clock.over:
            return state, None
        done = place
        readings.append((done, steps.loss(state, subject.evaluated), steps.loss(state, subject.evaluated_validation)))
    return state, np.array(readings)


def _levels(arm: str, readings: np.ndarray) -> dict[str, float]:
    """The losses of the last epochs and the lowest validation loss; not finite counts as infinite."""
    finite = np.where(np.isfinite(readings), readings, np.inf)
    epochs = int(finite[-1, 0])
    last = finite[finite[:, 0] > epochs - min(LAST, max(epochs // 4, 1))]
    return {
        f"rerun_{arm}_loss": float(last[:, 1].mean()),
        f"rerun_{arm}_val_loss": float(last[:, 2].mean()),
        f"rerun_{arm}_best_val_loss": float(finite[:, 2].min()),
    }
