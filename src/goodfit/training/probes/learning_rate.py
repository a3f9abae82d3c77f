"""Ten times and a tenth of the learning rate for a few epochs, from the same weights and on the same batches."""

from __future__ import annotations

import math

import numpy as np

from goodfit.errors import InputError
from goodfit.training.probes.probe import Measured, probe
from goodfit.training.probes.steps import Clock
from goodfit.training.probes.subject import Subject
from goodfit.training.program import State

SECONDS = 3.0
"""Seconds that one arm trains at most."""
STEPS = 1_500
"""Steps that one arm trains at most."""
EPOCHS = 10
"""Epochs that one arm trains at most."""
LEAST_STEPS = 300
"""Steps that an arm trains at least, where the clock allows: fewer move no loss beyond its noise."""
READINGS = 6
"""Times that the loss is read on the way; the last half of them count, so that one noisy batch does not."""
RATES = {"same": 1.0, "tenfold": 10.0, "tenth": 0.1}
"""Name of each arm -> what its learning rate is multiplied by."""


@probe("learning-rate", seconds=2 * 5 * SECONDS, order=40)
def learning_rate(subject: Subject) -> Measured:
    """Train on from the weights as they stand, and a fresh network from its start, at three learning rates.

    Names: `onward_same_loss`, `onward_tenfold_val_loss`, …: from the weights as they stand; `afresh_…`: from the
    start. Losses are in inference mode, without penalties; infinite where an arm ended not finite.
    """
    values: dict[str, float] = {}
    if subject.finite:
        values |= _race(subject, subject.state, "onward")
    try:
        fresh = subject.fresh(subject.seed + 1)
        values["initial_loss"] = subject.steps.loss(fresh, subject.evaluated)
        values |= _race(subject, fresh, "afresh")
    except InputError as problem:
        if not values:
            return Measured(f"No other learning rate could be tried: {problem.problem}")
    which = "onward" if "onward_same_loss" in values else "afresh"
    where = "trained on from its weights" if which == "onward" else "from the start"
    said = ", ".join(
        f"{values[f'{which}_{arm}_loss']:.3g} at {words} the learning rate"
        for arm, words in (("same", "once"), ("tenfold", "ten times"), ("tenth", "a tenth of"))
    )
    steps = values[f"{which}_steps"]
    return Measured(f"For {steps:.0f} steps {where}, the network's training loss comes to {said}.", values)


def _race(subject: Subject, state: State, name: str) -> dict[str, float]:
    """Each arm's losses by name, after as many steps as the first had time for."""
    per_epoch = max(subject.rows // subject.steps.batch_size, 1)
    epochs = min(EPOCHS, max(1, STEPS // per_epoch))
    epochs = max(epochs, math.ceil(LEAST_STEPS / per_epoch))
    order = subject.order(epochs)
    steps = min(len(order) // subject.steps.batch_size, max(STEPS, 1))
    values: dict[str, float] = {}
    for arm, rate in RATES.items():
        clock = Clock(SECONDS if arm == "same" else 2 * SECONDS)
        losses, steps = _arm(subject, state, order, steps, rate, clock)
        values |= {f"{name}_{arm}_{quantity}": value for quantity, value in losses.items()}
    return {**values, f"{name}_steps": float(steps)}


def _arm(
    subject: Subject, state: State, order: np.ndarray, steps: int, rate: float, clock: Clock
) -> tuple[dict[str, float], int]:
    """The mean losses of the last readings, and the steps made."""
    size = subject.steps.batch_size
    readings: list[tuple[float, float]] = []
    made = 0
    for place in range(READINGS):
        begin, end = steps * place // READINGS, steps * (place + 1) // READINGS
        state, done = subject.steps.train(state, subject.data, order[begin * size : end * size], rate=rate, clock=clock)
        made += done
        if done < end - begin:
            break
        validation = subject.evaluated_validation
        readings.append(
            (
                subject.steps.loss(state, subject.evaluated),
                math.nan if validation is None else subject.steps.loss(state, validation),
            )
        )
    if not readings:
        readings.append((subject.steps.loss(state, subject.evaluated), math.nan))
    last = np.array(readings[len(readings) // 2 :])
    means = np.where(np.isfinite(last).all(axis=0), last.mean(axis=0), np.where(np.isnan(last[-1]), np.nan, np.inf))
    losses = {"loss": float(means[0]) if not math.isnan(means[0]) else math.inf}
    if subject.validation is not None:
        losses["val_loss"] = float(means[1]) if not math.isnan(means[1]) else math.inf
    return losses, made
