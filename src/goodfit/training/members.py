"""Many members of one model as one compiled program: early stopping, best epoch and lowered rates inside."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.extend import core

from goodfit.training import member_signals, plateau, program
from goodfit.training.member_signals import Samples, Sampling
from goodfit.values import EarlyStopping, Plateau, Progress, Report

CHUNK_STEPS = 400
"""Optimizer steps per dispatch, about: long enough that dispatching costs nothing, short enough to answer Ctrl-C."""
IMAGE_CHUNK_STEPS = 50
"""The same of images, whose steps take ten times as long."""
BATCHED_WEIGHTS = 8_000
"""On a CPU, networks with fewer trainable weights than this have their members' products batched: 1.4 times as fast as
one member after the other at 1,400 weights, 1.1 times at 5,000, no faster at 18,000 (benchmarks/population)."""
Draw = Callable[[], np.ndarray]
"""Gives the order of the rows in a member's next epoch, shape (rows,), int32."""


@dataclass(frozen=True, eq=False)
class Job:
    """What all members share.

    Args:
        model: compiled and built; it is not changed.
        data: what `train_step` takes, rows first.
        validation: likewise for `test_step`, or `None`.
        batch_size: rows per training step.
        validation_batch_size: rows per validation step.
        epochs: passes over the rows at most.
        stopping: when a member stops of itself.
        ordered: whether rows are visited in a drawn order.
        hidden: rows that decide nothing, like `validation`: their losses after each epoch are the curves `hidden_…`.
        visited: rows per epoch, where a drawn order has another number of them than the data.
        plateau: when a member's learning rate is lowered.
    """

    model: keras.Model
    data: Any
    validation: Any
    batch_size: int
    validation_batch_size: int
    epochs: int
    stopping: EarlyStopping | None
    ordered: bool = True
    hidden: Any = None
    visited: int | None = None
    plateau: Plateau | None = None

    @property
    def rows(self) -> int:
        """Rows per epoch."""
        return self.visited or jax.tree.leaves(self.data)[0].shape[0]


@dataclass(frozen=True, eq=False)
class Trained:
    """The members after their training.

    Args:
        curves: name -> shape (members, epochs), whatever they hold where a member did not run.
        ran: shape (members, epochs): whether it ran.
        stopped: shape (members,): whether it stopped of itself.
        state: trainable, non-trainable, optimizer and metrics variables' last values, each (members, …).
        kept: trainable and non-trainable variables' values at the best epoch where that is restored, else the last.
        signals: what a `Run` holds of the signals, by the names of its fields; empty where none were sampled.
    """

    curves: dict[str, np.ndarray]
    ran: np.ndarray
    stopped: np.ndarray
    state: tuple[list[np.ndarray], ...]
    kept: tuple[list[np.ndarray], ...]
    signals: dict[str, Any] = dataclasses.field(default_factory=dict)


def train(
    job: Job,
    states: Sequence[Any],
    draws: Sequence[Draw],
    threads: int | None,
    report: Report,
    stage: str,
    compiled: EpochsProgram | None = None,
    sampling: Sampling | None = None,
    at_once: int | None = None,
) -> Trained:
    """Train one member per state, each with its own orders of the rows.

    Args:
        job: what they share.
        states: where each member starts, as `program.State`.
        draws: its orders of the rows.
        threads: members are divided among so many; one per core where `None`.
        report: told how far the training has come.
        stage: under which name.
        compiled: the program of another job that differs in data, epochs and states only; a new one where `None`.
        sampling: what is to be sampled of the signals.
        at_once: so many of the threads run at a time; all where `None`.

    Returns:
        the trained members. A Ctrl-C ends the training after the chunk under way.
    """
    groups = _groups(len(states), threads)
    chunk = _Chunk(job, compiled, sampling)
    stop = threading.Event()
    tracks = [_Track(chunk, [states[i] for i in group], [draws[i] for i in group], stop) for group in groups]
    with ThreadPoolExecutor(at_once or len(tracks)) as pool:
        if compiled is None or compiled.ahead != len(groups[0]):
            tracks[0].advance()  # alone: compiles the program that all share
        futures = [pool.submit(track.finish) for track in tracks]
        while True:
            try:
                while not all(future.done() for future in futures):
                    report(_progress(stage, tracks, job.epochs))
                    wait(futures, timeout=0.1)
                break
            except KeyboardInterrupt:
                stop.set()
        for future in futures:
            future.result()
    longest = max(track.epochs_done for track in tracks)
    report(dataclasses.replace(_progress(stage, tracks, job.epochs), done=longest))
    return _join(tracks, groups, len(states))


def compile_ahead(job: Job, state: Any, count: int, threads: int | None, compiled: EpochsProgram) -> None:
    """Compile the program of a training without training, by a chunk of no epochs.

    Args:
        job: what the members share.
        state: where one of them starts.
        count: how many there are to be.
        threads: members are divided among so many; one per core where `None`.
        compiled: the program.
    """
    size = len(_groups(count, threads)[0])
    chunk = _Chunk(dataclasses.replace(job, epochs=0), compiled, None)
    _Track(chunk, [state] * size, [lambda: np.zeros(0, np.int32)] * size, threading.Event()).advance()
    compiled.ahead = size


def _groups(members: int, threads: int | None) -> list[list[int]]:
    """Members divided into groups of one size; -1 fills a last group that falls short."""
    count = max(1, min(threads or os.cpu_count() or 1, members))
    size = -(-members // count)
    groups = [list(range(start, min(start + size, members))) for start in range(0, members, size)]
    return [group + [-1] * (size - len(group)) for group in groups]


class _Chunk:
    """A job's data, and the program of a chunk of its epochs, shared by the threads."""

    def __init__(self, job: Job, compiled: EpochsProgram | None, sampling: Sampling | None) -> None:
        self.job, self.sampling = job, sampling
        self.data = jax.tree.map(jnp.asarray, (job.data, job.validation, job.hidden))
        images = any(leaf.ndim > 3 for leaf in jax.tree.leaves(job.data))
        longest = max(1, (IMAGE_CHUNK_STEPS if images else CHUNK_STEPS) // -(-job.rows // job.batch_size))
        self.length = min(job.epochs, longest) if compiled is None else longest  # another job's length is no new shape
        self.run = (compiled or EpochsProgram(job)).run


class EpochsProgram:
    """The epochs of a group of members as a function that is compiled once for each shape of its arguments.

    Args:
        job: whose model, batch sizes, early stopping and plateau it has; its data and epochs don't matter.

    Raises:
        InputError: the learning rate is to be lowered on a plateau, but follows a schedule.
    """

    def __init__(self, job: Job) -> None:
        self.job = dataclasses.replace(job, data=None, validation=None, hidden=None)
        self.rate = None if job.plateau is None else plateau.place_of(job.model.optimizer)
        self.run = jax.jit(self._run)
        self.ahead = 0
        """Members of a group that it was compiled for ahead."""

    def _run(self, members: Any, data: Any, orders: Any, active: Any) -> Any:
        """Every member's next epochs; all arguments but the data and `active` have the members first."""

        def member(carry: Any, order: Any) -> Any:
            epoch = lambda carry, inputs: self._epoch(carry, data, *inputs)  # noqa: E731
            return jax.lax.scan(epoch, carry, (order, active))

        shapes = [variable.shape for variable in self.job.model.trainable_variables]
        # a batch of convolutions, each with kernels of its own, misses XLA's fast path: ten times slower than in turn
        large = sum(map(math.prod, shapes)) >= BATCHED_WEIGHTS or any(len(shape) > 2 for shape in shapes)
        if jax.default_backend() == "cpu" and large:  # each bit for bit its single run
            return jax.lax.map(lambda inputs: member(*inputs), (members, orders))
        return jax.vmap(member)(members, orders)

    def _epoch(self, member: dict[str, Any], data: Any, order: Any, on: Any) -> Any:
        job, stopping = self.job, self.job.stopping

        def run(state: Any, data: Any, order: Any) -> Any:
            rows, validation, hidden = data
            logs, state = program.train_epoch(job.model, state, rows, order if job.ordered else None, job.batch_size)
            for part, prefix in ((validation, "val_"), (hidden, "hidden_")):
                if part is not None:
                    more, state = program.validate(job.model, state, part, job.validation_batch_size)
                    logs |= {prefix + name.removeprefix("val_"): value for name, value in more.items()}
            return logs, state

        jaxpr, shapes = jax.make_jaxpr(run, return_shape=True)(member["state"], data, order)  # traced once

        def go(state: Any) -> Any:
            found = core.jaxpr_as_fun(jaxpr)(*jax.tree.leaves((state, data, order)))
            return jax.tree.unflatten(jax.tree.structure(shapes), found)

        def rest(state: Any) -> Any:
            return jax.tree.map(lambda a: jnp.full(a.shape, jnp.nan, a.dtype), shapes[0]), state

        # what is the same for all members is a real branch, also where members are batched
        running = on if stopping is None else on & ~member["stopped"]
        logs, state = jax.lax.cond(running, go, rest, member["state"])
        after = {**member, "state": state}
        if stopping is not None:
            watched = logs[stopping.monitor]
            improved = running & plateau.falls(watched, member["best"], stopping.min_delta)
            wait = jnp.where(improved, 0, member["wait"] + 1)
            over = (~improved & (wait >= stopping.patience)) | ~jnp.isfinite(logs["loss"])
            after |= {
                "best": jnp.where(improved, watched, member["best"]),
                "wait": jnp.where(running, wait, member["wait"]),
                "stopped": member["stopped"] | (running & over),
            }
            if stopping.restore_best:
                keep = lambda new, old: jnp.where(improved, new, old)  # noqa: E731
                after["kept"] = jax.tree.map(keep, state[:2], member["kept"])
        if job.plateau is not None and self.rate is not None:
            rate = state[2][self.rate]
            carried, lower = plateau.step(job.plateau, member["plateau"], logs[job.plateau.monitor], rate)
            keep = lambda new, old: jnp.where(running, new, old)  # noqa: E731
            after["plateau"] = jax.tree.map(keep, carried, member["plateau"])
            slots = [keep(lower, rate) if place == self.rate else slot for place, slot in enumerate(state[2])]
            after["state"] = (*state[:2], slots, state[3])
            logs = {**logs, plateau.CURVE: rate}
        return after, (logs, running)


class _Track:
    """One thread's members, chunk after chunk."""

    def __init__(self, chunk: _Chunk, states: list[Any], draws: list[Draw], stop: threading.Event) -> None:
        self.chunk, self.draws, self.stop = chunk, draws, stop
        self.epochs_done = 0
        self.logs: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
        state = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
        count, stopping = len(states), chunk.job.stopping
        self.carry: Any = {
            "state": state,
            "kept": state[:2] if stopping is not None and stopping.restore_best else (),
            "best": np.full(count, np.inf, np.float32),
            "wait": np.zeros(count, np.int32),
            "stopped": np.zeros(count, bool),
        }
        if chunk.job.plateau is not None:
            self.carry["plateau"] = plateau.start(count)
        sampling, self.samples = chunk.sampling, None
        if sampling is not None:
            self.samples = Samples(sampling, sampling.due(chunk.job.epochs, chunk.length))
            self.samples.take(state, 0)

    def advance(self) -> None:
        """One chunk of epochs."""
        chunk = self.chunk
        active = self.epochs_done + np.arange(chunk.length) < chunk.job.epochs
        count = int(active.sum())
        orders = np.zeros((len(self.draws), chunk.length, chunk.job.rows if chunk.job.ordered else 0), np.int32)
        if chunk.job.ordered:
            for member, draw in enumerate(self.draws):
                for epoch in range(count):
                    orders[member, epoch] = draw()
        self.carry, (logs, running) = chunk.run(self.carry, chunk.data, orders, active)
        self.logs.append(({name: np.asarray(v)[:, :count] for name, v in logs.items()}, np.asarray(running)[:, :count]))
        self.epochs_done += count
        if self.samples is not None:
            self.samples.take(self.carry["state"], self.epochs_done)

    def finish(self) -> None:
        """Chunks of epochs until the budget is spent, every member has stopped, or the user has had enough."""
        while self.epochs_done < self.chunk.job.epochs and not self.stop.is_set():
            if bool(np.asarray(self.carry["stopped"]).all()):
                break
            self.advance()
        if self.samples is not None:
            self.samples.take(self.carry["state"], self.epochs_done, end=True)


def _progress(stage: str, tracks: list[_Track], epochs: int) -> Progress:
    done = min(track.epochs_done for track in tracks)
    return Progress(stage, done=done, total=epochs, loss=_recent(tracks, "loss"), val_loss=_recent(tracks, "val_loss"))


def _recent(tracks: list[_Track], name: str) -> float | None:
    """Mean of a curve over the last chunk and the members that still ran in it."""
    last = [track.logs[-1] for track in tracks if track.logs]
    values = [logs[name][running] for logs, running in last if name in logs]
    joined = np.concatenate(values) if values else np.zeros(0)
    return float(joined.mean()) if joined.size else None


def _join(tracks: list[_Track], groups: list[list[int]], members: int) -> Trained:
    """The members of all threads in their order."""
    length = max(track.epochs_done for track in tracks)
    names = sorted(tracks[0].logs[0][0], key=plateau.CURVE.__eq__)  # the rates last, as in Keras's history
    curves = {name: np.full((members, length), np.nan) for name in names}
    ran = np.zeros((members, length), dtype=bool)
    for track, group in zip(tracks, groups, strict=True):
        real = [place for place, member in enumerate(group) if member >= 0]
        mine = [group[place] for place in real]
        start = 0
        for logs, running in track.logs:
            span = slice(start, start + running.shape[1])
            ran[mine, span] = running[real]
            for name, values in logs.items():
                curves[name][mine, span] = values[real]
            start = span.stop
    real = [[place for place, member in enumerate(group) if member >= 0] for group in groups]

    def joined(pick: Callable[[Any], Any]) -> Any:
        parts = [pick(track.carry) for track in tracks]
        return jax.tree.map(
            lambda *leaves: np.concatenate([np.asarray(leaf)[p] for leaf, p in zip(leaves, real, strict=True)]), *parts
        )

    state = joined(lambda carry: carry["state"])
    kept = joined(lambda carry: carry["kept"]) or state[:2]
    samples = [track.samples for track in tracks if track.samples is not None]
    signals = member_signals.joined(samples, groups, ran.sum(axis=1)) if samples else {}
    return Trained(curves, ran, joined(lambda carry: carry["stopped"]), state, kept, signals)
