"""The rows of a log as `Run`s: which column is what, restarts split, epochs merged, seeds side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from goodfit.errors import InputError
from goodfit.logs.cells import plural
from goodfit.logs.formats import Log
from goodfit.logs.names import Roles, assign, tokens
from goodfit.values import Outcome, Run

Curves = dict[str, np.ndarray]
_PLAYERS = frozenset(
    {"d", "g", "disc", "gen", "dis", "discriminator", "generator", "critic", "actor", "adversarial", "adv"}
)
"""Words in the names of losses that are played against one another (Goodfellow et al. 2014)."""


@dataclass(frozen=True, eq=False)
class _Segment:
    """One training of one seed: its axis and its curves, shape (epochs,)."""

    axis: np.ndarray
    curves: Curves
    unit: Literal["epoch", "step"]


def runs_of(
    log: Log, source: str, form: str, name: str, *, loss: str | None = None, val_loss: str | None = None
) -> list[Run]:
    """The trainings in a log.

    Args:
        log: its columns.
        source: where it stands, for messages.
        form: the name of its format, for the provenance.
        name: what the runs are called; numbered where there are several.
        loss: the column of the training loss, where its name does not tell.
        val_loss: the column of the validation loss.

    Raises:
        InputError: no column is a curve, or none holds a value.
    """
    roles = assign(log.columns, loss=loss, val_loss=val_loss, source=source)
    curves = {curve: log.columns[column] for curve, column in roles.curves.items()}
    curves = {curve: values for curve, values in curves.items() if not np.isnan(values).all()}
    if not curves:
        raise InputError(f"no curve in {source} holds a value.", "Give the log of a training that has begun.")
    notes = [*log.notes, *roles.notes]
    curves = _with_total(curves, notes)
    base = {"source": source, "format": form}

    seed_of = log.columns[roles.seed] if roles.seed is not None else None
    if seed_of is not None and np.isfinite(seed_of).all():
        seeds = tuple(dict.fromkeys(int(seed) for seed in seed_of))
        segments = [_last(_segments(log, roles, curves, seed_of == seed, notes), notes) for seed in seeds]
        return [_aligned(segments, seeds, {**base, "notes": tuple(dict.fromkeys(notes))}, name)]

    segments = _segments(log, roles, curves, np.ones(len(next(iter(curves.values()))), dtype=bool), notes)
    runs = []
    for number, segment in enumerate(segments, 1):
        said = list(dict.fromkeys(notes))
        label = name
        if len(segments) > 1:
            said.append(f"the log holds {len(segments)} trainings, one after the other; this is number {number}.")
            label = f"{name}-{number}"
        runs.append(_aligned([segment], (0,), {**base, "notes": tuple(said)}, label))
    return runs


def _with_total(curves: Curves, notes: list[str]) -> Curves:
    """The curves, with the sum of several losses as their `loss` where each was measured on both sets of rows, and no
    total was logged: the parts of one objective (boxes, classes) are told apart by no verdict on a training. Losses of
    players against one another make no sum."""
    parts = [name.removeprefix("val_") for name in curves if "loss" in tokens(name)]
    parts = list(dict.fromkeys(parts))
    if len(parts) < 2 or "loss" in parts:
        return curves
    both = [name for name in parts if name in curves and f"val_{name}" in curves]
    played = any(word in _PLAYERS for name in parts for word in tokens(name))
    if len(both) > 1 and not played:
        notes.append(f"no loss of the whole was logged: loss is the sum of {', '.join(both)}.")
        total = {f"{part}loss": np.sum([curves[f"{part}{name}"] for name in both], axis=0) for part in ("", "val_")}
        return {**total, **curves}
    read = (both or parts)[0]
    others = ", ".join(name for name in parts if name != read)
    notes.append(f"no loss of the whole was logged: {read} is read, {others} not (choose with loss=…, --loss COLUMN).")
    if played:
        notes.append(
            "losses that are played against one another don't fall as a training gets better: none tells alone."
        )
    return curves


def _segments(log: Log, roles: Roles, curves: Curves, rows: np.ndarray, notes: list[str]) -> list[_Segment]:
    """The trainings among some rows, one after the other."""
    index = np.flatnonzero(rows)
    epoch = log.columns[roles.epoch][index] if roles.epoch is not None else None
    step = log.columns[roles.step][index] if roles.step is not None else None
    unit: Literal["epoch", "step"] = "epoch"
    counter = epoch
    if counter is None and step is not None:
        counter, unit = step, "step"
    if counter is None:
        bounds = [0, *(int(np.searchsorted(index, b)) for b in log.breaks), len(index)]
        bounds = sorted(set(bounds))
        parts = [
            _Segment(np.arange(b - a), {k: v[index[a:b]] for k, v in curves.items()}, unit) for a, b in pairwise(bounds)
        ]
        return [_ended(part, notes) for part in parts]
    counted = np.isfinite(counter)
    if not counted.all():
        if not counted.any():
            return [_Segment(np.arange(len(index)), {k: v[index] for k, v in curves.items()}, unit)]
        notes.append(f"left out: {plural(int((~counted).sum()), 'row')} without an epoch.")
        index, counter = index[counted], counter[counted]
        step = step[counted] if step is not None else None

    back = np.flatnonzero(np.diff(counter) < 0) + 1
    if len(back) > max(len(counter) // 3, 1) and len(np.unique(counter)) == len(counter):
        order = np.argsort(counter, kind="stable")
        notes.append("the rows were not in the order of their epochs and were sorted.")
        index, counter, back = index[order], counter[order], back[:0]
        step = step[order] if step is not None else None
    starts = [0, *(int(b) for b in back if counter[b] <= counter[0])]
    resumed = [int(b) for b in back if counter[b] > counter[0]]
    if resumed:
        keep = np.ones(len(counter), dtype=bool)
        for b in resumed:
            begin = max(s for s in starts if s < b)
            keep[begin:b] &= counter[begin:b] < counter[b]
        notes.append(
            f"the training was resumed ({plural(len(resumed), 'time')}): {plural(int((~keep).sum()), 'row')} of "
            "epochs that were trained again were left out."
        )
        starts = [int(keep[:s].sum()) for s in starts]
        index, counter = index[keep], counter[keep]
        step = step[keep] if step is not None else None
    segments = []
    for begin, stop in zip(starts, [*starts[1:], len(counter)]):
        part = {k: v[index[begin:stop]] for k, v in curves.items()}
        steps = step[begin:stop] if step is not None else None
        segments.append(_merged(counter[begin:stop], part, unit, steps, notes))
    return [_ended(segment, notes) for segment in segments]


def _ended(segment: _Segment, notes: list[str]) -> _Segment:
    """A training whose loss is empty from some row on to the end, while the rows go on.

    pandas writes NaN as an empty cell. Where another curve of the training rows goes on, the loss was computed too, and
    was not a number; where none does, the rows may be empty for any reason: it is said.
    """
    loss = segment.curves.get("loss", np.zeros(0))
    logged = np.flatnonzero(~np.isnan(loss))
    empty = len(loss) - len(logged)
    if empty < 2 or len(logged) < 2 or logged[-1] != len(logged) - 1 or not np.isfinite(loss[logged]).all():
        return segment
    others = [v for name, v in segment.curves.items() if name != "loss" and not name.startswith("val_")]
    if not any(np.isfinite(values).all() for values in others):
        notes.append(
            f"the last {empty} rows hold no loss. Where it was not a number (pandas writes NaN as an empty cell), the "
            "training diverged; write it as nan to have it read so."
        )
        return segment
    notes.append(f"the last {empty} rows hold no loss beside other curves: it is read as not a number.")
    curves = dict(segment.curves)
    for name in ("loss", "val_loss"):
        if name in curves and np.isnan(curves[name][len(logged) :]).all():
            curves[name] = np.where(np.arange(len(loss)) >= len(logged), np.inf, curves[name])
    return _Segment(segment.axis, curves, segment.unit)


def _merged(
    counter: np.ndarray, curves: Curves, unit: Literal["epoch", "step"], step: np.ndarray | None, notes: list[str]
) -> _Segment:
    """Rows of the same epoch as one, where they complete each other; else a log per step, or the later row."""
    values, place, count = np.unique(counter, return_inverse=True, return_counts=True)
    if len(values) == len(counter):
        return _Segment(counter, curves, unit)
    logged = {k: np.bincount(place, ~np.isnan(v), len(values)) for k, v in curves.items()}
    if all((number <= 1).all() for number in logged.values()):
        return _Segment(values, {k: _latest(v, place, len(values)) for k, v in curves.items()}, unit)
    losses = [number for name, number in logged.items() if name in ("loss", "val_loss")]
    if losses and all((number <= 1).all() for number in losses) and (losses[0] > 0).mean() > 0.5:
        notes.append("of what was logged several times in an epoch, the last value was taken.")
        return _Segment(values, {k: _latest(v, place, len(values)) for k, v in curves.items()}, unit)
    if np.median(count) >= 2:
        notes.append("the log has several rows per epoch: it is read per step.")
        if step is not None and np.isfinite(step).all() and (np.diff(step) >= 0).all():
            apart, place = np.unique(step, return_inverse=True)  # a validation has the step before it
            if all((np.bincount(place, ~np.isnan(v), len(apart)) <= 1).all() for v in curves.values()):
                return _Segment(apart, {k: _latest(v, place, len(apart)) for k, v in curves.items()}, "step")
        return _Segment(np.arange(len(counter), dtype=np.float64), curves, "step")
    notes.append(f"left out: {plural(len(counter) - len(values), 'row')} of an epoch that is logged again later.")
    return _Segment(values, {k: _latest(v, place, len(values)) for k, v in curves.items()}, unit)


def _latest(values: np.ndarray, place: np.ndarray, length: int) -> np.ndarray:
    """For each place the last value that was logged there."""
    out = np.full(length, np.nan)
    logged = ~np.isnan(values)
    out[place[logged]] = values[logged]
    return out


def _last(segments: list[_Segment], notes: list[str]) -> _Segment:
    if len(segments) > 1:
        notes.append("a seed's epochs start again: its last training was taken.")
    return segments[-1]


def _aligned(segments: list[_Segment], seeds: tuple[int, ...], provenance: dict, name: str) -> Run:
    """Trainings side by side on one axis."""
    axis = np.unique(np.concatenate([segment.axis for segment in segments]))
    names = dict.fromkeys(curve for segment in segments for curve in segment.curves)
    curves = {curve: np.full((len(segments), len(axis)), np.nan) for curve in names}
    for row, segment in enumerate(segments):
        place = np.searchsorted(axis, segment.axis)
        for curve, values in segment.curves.items():
            curves[curve][row, place] = values
    if (axis == np.round(axis)).all() and np.abs(axis).max(initial=0) < 2**62:
        axis = axis.astype(np.int64)
    outcomes: tuple[Outcome, ...] = tuple(_outcome(segment) for segment in segments)
    return Run(curves, axis, seeds, outcomes, unit=segments[0].unit, provenance=provenance, name=name)


def _outcome(segment: _Segment) -> Outcome:
    """A training ends not finite by its own loss; by that of the validation rows only where no other was logged."""
    for curve in ("loss", "val_loss"):
        logged = segment.curves.get(curve, np.zeros(0))
        logged = logged[~np.isnan(logged)]
        if len(logged):
            return "finished" if np.isfinite(logged[-1]) else "nonfinite"
    return "finished"
