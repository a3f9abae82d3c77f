"""The training once more from a fresh start, at other learning rates and for twice the epochs."""

from __future__ import annotations

import numpy as np

from goodfit.errors import InputError
from goodfit.training.probes.probe import Measured, probe
from goodfit.training.probes.steps import Clock
from goodfit.training.probes.subject import Subject
from goodfit.training.program import State

SECONDS = 30.0
"""Seconds that all arms of all seeds train at most."""
SEEDS = 3
"""Starts that all arms are trained from."""
READINGS = 40
"""Times that the loss is read in the epochs of the run, at most once an epoch."""
LAST = 5
"""Epochs whose mean loss is that of the last one: which epoch is the last is chance."""
RATES = {"threefold": 3.0, "third": 1 / 3, "tenfold": 10.0, "tenth": 0.1}
"""Name of each arm beside the unchanged one -> what its learning rate is multiplied by."""


@probe("full-length", seconds=SECONDS, order=45)
def full_length(subject: Subject) -> Measured:
    """Train fresh networks for the epochs of the run, at five learning rates, and at its own for twice as many.

    `SEEDS` times over, each with other initial weights and other batches, as far as the time goes: what one training
    gains over another is a matter of chance. All arms of a seed start from the same weights and see the same batches.
    Names, of the first seed: `rerun_0_same_loss` and `rerun_0_same_val_loss` (means of the last `LAST` epochs),
    `rerun_0_same_best_val_loss` (lowest of the readings), `rerun_0_threefold_…`, `rerun_0_third_…`,
    `rerun_0_tenfold_…`, `rerun_0_tenth_…`, `rerun_0_twice_…`. Losses are in inference mode, without penalties; infinite
    where an arm ended not finite.
    """
    if subject.epochs < 1 or subject.validation is None:
        why = "It takes validation rows." if subject.epochs else "It is not known how many epochs the run trained for."
        return Measured(why)
    clock = Clock(SECONDS)
    values: dict[str, float] = {}
    for turn in range(SEEDS):
        try:
            fresh = subject.fresh(subject.seed + turn + 1)
        except InputError as problem:
            return Measured(f"The training could not be repeated: {problem.problem}")
        arms = _arms(subject, fresh, turn, clock)
        if arms is None or (turn and len(arms) < len(RATES) + 2):
            break  # a seed that is not whole would weigh the arms unlike
        values |= {f"rerun_{turn}_{name}": value for arm, read in arms.items() for name, value in _levels(arm, read)}
    if not values:
        return Measured(f"The training takes too long to be repeated within {SECONDS:.0f} seconds.")
    return Measured(_said(values), values)


def _arms(subject: Subject, fresh: State, turn: int, clock: Clock) -> dict[str, np.ndarray] | None:
    """The readings of every arm from one start that the clock allowed; `None` where not even the unchanged one was."""
    state, same = _train(subject, fresh, turn, 0, subject.epochs, 1.0, clock)
    if same is None:
        return None
    arms = {"same": same}
    for arm, rate in RATES.items():
        _, other = _train(subject, fresh, turn, 0, subject.epochs, rate, clock)
        if other is not None:
            arms[arm] = other
    _, more = _train(subject, state, turn, subject.epochs, 2 * subject.epochs, 1.0, clock)
    if more is not None:
        arms["twice"] = np.concatenate([same, more])
    return arms


def _said(values: dict[str, float]) -> str:
    """The validation losses of all arms, medians over the seeds, in a sentence."""

    def level(arm: str) -> float | None:
        known = [values.get(f"rerun_{turn}_{arm}_val_loss") for turn in range(SEEDS)]
        found = [value for value in known if value is not None]
        return float(np.median(found)) if found else None

    count = sum(f"rerun_{turn}_same_val_loss" in values for turn in range(SEEDS))
    times = "" if count == 1 else f" {count} times over (medians)"
    words = {"threefold": "three times", "third": "a third of", "tenfold": "ten times", "tenth": "a tenth of"}
    others = ", ".join(
        f"{other:.3g} at {said} the learning rate" for arm, said in words.items() if (other := level(arm)) is not None
    )
    twice = level("twice")
    longer = f", {twice:.3g} after twice the epochs" if twice is not None else ""
    return (
        f"Trained afresh{times}, the network ends with a validation loss of {level('same'):.3g}"
        f"{'; ' + others if others else ''}{longer}."
    )


def _train(
    subject: Subject, state: State, turn: int, first: int, last: int, rate: float, clock: Clock
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
        order = np.concatenate([subject.order(1, draw=(turn, epoch)) for epoch in range(done, place)])
        state, made = steps.train(state, subject.data, order, rate=rate, clock=clock)
        if made < per_epoch * (place - done) or clock.over:
            return state, None
        done = place
        readings.append((done, steps.loss(state, subject.evaluated), steps.loss(state, subject.evaluated_validation)))
    return state, np.array(readings)


def _levels(arm: str, readings: np.ndarray) -> list[tuple[str, float]]:
    """The losses of the last epochs and the lowest validation loss; not finite counts as infinite."""
    finite = np.where(np.isfinite(readings), readings, np.inf)
    epochs = int(finite[-1, 0])
    last = finite[finite[:, 0] > epochs - min(LAST, max(epochs // 4, 1))]
    return [
        (f"{arm}_loss", float(last[:, 1].mean())),
        (f"{arm}_val_loss", float(last[:, 2].mean())),
        (f"{arm}_best_val_loss", float(finite[:, 2].min())),
    ]
