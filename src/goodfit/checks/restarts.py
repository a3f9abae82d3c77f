"""Logs that hold more than one training, one after the other: where the last one starts."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from goodfit.checks import remedies, thresholds
from goodfit.checks.case import Case, check, clear, found, not_applicable
from goodfit.checks.reading import Series
from goodfit.stats import noise_sd
from goodfit.values import Evidence, Finding, Run

NEAR = 20
"""Values before a jump that tell the noise there."""


@check("restarted-log")
def restarted_log(case: Case) -> Finding:
    """The log holds more than one training, one after the other.

    Detected: the epoch counter goes back. Or, where the counter runs on: in one epoch the training loss jumps up by
    more than `RESTART_HEIGHT` of what it had fallen and by more than `RESTART_Z` times its noise, there and at the end;
    the epochs from there on resemble the first ones of the log more than those just before the jump, by the mean
    difference of the logarithms, in training and in validation; and the loss falls again by half of the jump.

    Why it matters: read as one curve, a restart looks like divergence or instability. The verdict and the other
    findings are those of the last training in the log.

    What to try: diagnose the trainings one by one.

    False alarms: a schedule with warm restarts jumps up too, though seldom back to the start. A training that says
    where its stages begin (`goodfit.fit(…, stages=…)`) is one training, of which the last stage is read.
    """
    epoch = np.asarray(case.run.epoch, dtype=np.float64)
    if len(epoch) < 2:
        return not_applicable("restarted-log", "one epoch can't hold two trainings.")
    back = int((np.diff(epoch) <= 0).sum())
    evidence = [Evidence("times that the epoch counter went back", back, 0.0, ">")]
    change = remedies.do(
        "split-log", "Each training has a fit of its own.", "Diagnose each training of this log by itself."
    )
    if back:
        message = f"The epoch counter went back {back} times: this log holds more than one training."
        return found("restarted-log", "medium", message, evidence, [change])
    if case.run.stages:
        return clear("restarted-log", f"The log holds one training in {len(case.run.stages)} stages.", evidence)
    start = last_training(case)
    if start is not None:
        at = float(epoch[start])
        evidence.append(Evidence("epoch at which both losses start again", at, unit="epoch"))
        message = (
            f"At epoch {at:g} both losses jump back to near their start and descend again: the training started afresh."
        )
        return found("restarted-log", "medium", message, evidence, [change])
    return clear("restarted-log", "The log holds one training.", evidence)


def last_training(case: Case) -> int | None:
    """The place in the log's epochs where its last training starts; `None` where it holds one training."""
    epoch = np.asarray(case.run.epoch, dtype=np.float64)
    back = np.flatnonzero(np.diff(epoch) <= 0)
    if len(back):
        return int(back[-1]) + 1
    if case.run.stages:
        return None
    starts = [_restart(train, validation) for _, train, validation in case.reading.pairs()]
    known = [start for start in starts if start is not None]
    if not known or len(known) <= thresholds.SEED_SHARE * len(starts):
        return None
    return int(np.searchsorted(epoch, float(np.median(known))))


def since(run: Run, start: int) -> Run:
    """A run from one place of its epochs on, counted from 0; signals of epochs that may be another training's go."""
    epoch = np.asarray(run.epoch, dtype=np.float64)
    kept = run.kept_epoch
    return dataclasses.replace(
        run,
        curves={name: values[:, start:] for name, values in run.curves.items()},
        epoch=epoch[start:] - epoch[start],
        kept_epoch=None if kept is None or (np.asarray(kept) < start).any() else np.asarray(kept) - start,
        signals={},
        signal_layers=(),
        signal_epochs=np.zeros(0),
    )


def last_stage(run: Run) -> int | None:
    """The place in a run's epochs from which on it is read where it was trained in stages: where the last one begins
    that leaves enough epochs to read; `None` where that is the first."""
    known = [start for start in run.stages if len(run.epoch) - start >= thresholds.STAGE_EPOCHS]
    return (known[-1] or None) if known else None


def _restart(train: Series, validation: Series) -> float | None:
    """The epoch at which both curves jump back to near their start and fall again, or `None`."""
    if len(train.y) < 12 or len(validation.y) < 12:
        return None
    step = np.diff(train.y)
    at = int(np.argmax(step)) + 1
    few = 5
    if at < few or len(train.y) - at < few:
        return None
    jump, descent = float(step[at - 1]), float(train.y[0] - np.median(train.y[at - 3 : at]))
    near = noise_sd(train.y[max(0, at - NEAR) : at])  # where the loss is high it is noisier than at the end
    noise = max(train.noise, 0.0 if math.isnan(near) else near)
    if jump < thresholds.RESTART_HEIGHT * descent or jump <= thresholds.RESTART_Z * noise:
        return None
    place = float(train.t[at])
    falls_again = float(train.y[at] - np.min(train.y[at:])) >= 0.5 * jump
    there = int(np.searchsorted(validation.t, place))
    alike = _starts_again(train.y, at, few) and _starts_again(validation.y, there, few)
    return place if falls_again and alike else None


def _starts_again(y: np.ndarray, at: int, few: int) -> bool:
    """Whether the values from one place on resemble the first ones more than those before it do."""
    if at < few or len(y) - at < few:
        return False
    size = np.log(np.abs(y) + 1e-6 * float(np.abs(y).max()) + 1e-300)
    first = size[:few]
    return float(np.abs(size[at : at + few] - first).mean()) < float(np.abs(size[at - few : at] - first).mean())
