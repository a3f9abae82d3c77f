"""Many seeds of one recipe trained as one compiled program, with early stopping and best-epoch restore inside."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.training import program
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.recipes import build, compile_model
from goodfit.values import EarlyStopping, Outcome, Progress, Recipe, Report, Run, silent

CHUNK_STEPS = 400
"""Optimizer steps per dispatch, about: long enough that dispatching costs nothing, short enough to answer Ctrl-C."""
BLOCK_ROWS = 1024
"""Rows per prediction: one compiled shape serves every part of the data."""


@dataclass(frozen=True, eq=False)
class Population:
    """The members of one recipe after their training.

    Args:
        run: what happened, one row of curves per member.
        recipe: what was asked for.
        weights: per model variable (in the order of `model.weights`), shape (members, …): the weights that were kept.
        initial_weights: likewise, before the first step.
    """

    run: Run
    recipe: Recipe
    weights: list[np.ndarray]
    initial_weights: list[np.ndarray]

    @property
    def best_member(self) -> int:
        """The place of the member whose kept weights have the lowest validation loss."""
        kept = self.run.kept_epoch
        assert kept is not None
        losses = self.run.curves["val_loss"][np.arange(len(kept)), kept]
        return int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))

    def model(self, member: int) -> keras.Model:
        """One member as a compiled Keras model of its own with the weights that were kept."""
        model = compile_model(build(self.recipe, self.run.seeds[member]), self.recipe)
        model.set_weights([values[member] for values in self.weights])
        model.optimizer.build(model.trainable_variables)  # fresh: its state at the kept epoch is not kept
        return model

    def predict(self, x: np.ndarray, *, initial: bool = False) -> np.ndarray:
        """What every member predicts, shape (members, rows, outputs).

        Args:
            x: inputs, shape (rows, features).
            initial: with the weights before the first step.
        """
        model = build(self.recipe, self.run.seeds[0])
        place = {id(variable): index for index, variable in enumerate(model.weights)}
        weights = [jnp.asarray(values) for values in (self.initial_weights if initial else self.weights)]

        def member(values: list[Any], block: Any) -> Any:
            pick = lambda v: values[place[id(v)]] if id(v) in place else v.value  # noqa: E731  (random streams aren't weights)
            trainable = [pick(v) for v in model.trainable_variables]
            non_trainable = [pick(v) for v in model.non_trainable_variables]
            return model.stateless_call(trainable, non_trainable, block, training=False)[0]

        predict = jax.jit(jax.vmap(member, in_axes=(0, None)))
        with persistent_cache():
            return self._in_blocks(predict, weights, x)

    @staticmethod
    def _in_blocks(predict: Any, weights: list[Any], x: np.ndarray) -> np.ndarray:
        blocks = []
        for start in range(0, len(x), BLOCK_ROWS):
            block = np.asarray(x[start : start + BLOCK_ROWS], dtype=np.float32)
            padded = np.pad(block, ((0, BLOCK_ROWS - len(block)), *((0, 0),) * (block.ndim - 1)))
            blocks.append(np.asarray(predict(weights, padded))[:, : len(block)])
        return np.concatenate(blocks, axis=1)


def train(
    recipe: Recipe,
    x: np.ndarray,
    y: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    seeds: Sequence[int],
    *,
    threads: int | None = None,
    report: Report = silent,
    stage: str = "train",
) -> Population:
    """Train one member per seed, all in one compiled program.

    The member of seed s starts from weights drawn by the recipe's initializers with seeds derived from s and each
    layer's path, and shuffles as Keras does after `numpy.random.seed(s)`; early stopping acts as Keras's callback of
    that name does, on each member apart.

    Args:
        recipe: what to train.
        x: training inputs, shape (rows, …).
        y: training targets, shape (rows,) or (rows, outputs).
        validation: inputs and targets of the validation rows.
        seeds: one per member.
        threads: members are divided among so many threads; one per core where `None`.
        report: told how far the training has come.
        stage: under which name.

    Returns:
        the trained population. A Ctrl-C ends the training early, with outcome `interrupted`.
    """
    with persistent_cache():
        return _train(recipe, x, y, validation, tuple(int(seed) for seed in seeds), threads, report, stage)


def _train(
    recipe: Recipe,
    x: np.ndarray,
    y: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    seeds: tuple[int, ...],
    threads: int | None,
    report: Report,
    stage: str,
) -> Population:
    began = time.perf_counter()
    groups = _groups(len(seeds), threads)
    template = compile_model(build(recipe, seeds[0]), recipe)
    template._symbolic_build(data_batch=(x[:1], y[:1]))
    members = [_initial_state(recipe, seed, template) for seed in seeds]
    trainer = _Trainer(recipe, template, (x, y), validation)
    stop = threading.Event()
    tracks = [_Track(trainer, [members[i] for i in group], [seeds[i] for i in group], stop) for group in groups]
    with ThreadPoolExecutor(len(tracks)) as pool:
        tracks[0].advance()  # alone: compiles the program that all share
        futures = [pool.submit(track.finish) for track in tracks]
        while True:
            try:
                while not all(future.done() for future in futures):
                    report(_progress(stage, tracks, recipe.epochs))
                    wait(futures, timeout=0.1)
                break
            except KeyboardInterrupt:
                stop.set()
        for future in futures:
            future.result()
    run = _run(recipe, tracks, groups, seeds, time.perf_counter() - began)
    return Population(run, recipe, *_weights(template, tracks, groups, len(seeds), members))


def _groups(members: int, threads: int | None) -> list[list[int]]:
    """Members divided into groups of one size; a last group that falls short repeats its last member."""
    import os

    count = max(1, min(threads or os.cpu_count() or 1, members))
    size = -(-members // count)
    groups = [list(range(start, min(start + size, members))) for start in range(0, members, size)]
    return [group + [group[-1]] * (size - len(group)) for group in groups]


def _initial_state(recipe: Recipe, seed: int, template: keras.Model) -> tuple[list[np.ndarray], ...]:
    """The state of one member before its first step: weights and random streams of its seed, a fresh optimizer."""
    model = build(recipe, seed)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        template.optimizer.variables,
        template.metrics_variables,
    )
    return tuple([np.asarray(variable.value) for variable in group] for group in groups)


class _Trainer:
    """The compiled chunk of epochs of a recipe, shared by the threads."""

    def __init__(self, recipe: Recipe, model: keras.Model, train: Any, validation: Any) -> None:
        self.recipe, self.model = recipe, model
        self.stopping = recipe.early_stopping or EarlyStopping(patience=recipe.epochs + 1, restore_best=False)
        self.rows = len(train[0])
        self.data = tuple(jnp.asarray(part) for part in train)
        self.validation = tuple(jnp.asarray(part) for part in validation)
        steps = -(-self.rows // recipe.batch_size)
        self.chunk = max(1, min(recipe.epochs, CHUNK_STEPS // steps or 1))
        self.run_chunk = jax.jit(self._run_chunk)

    def _run_chunk(self, members: Any, data: Any, validation: Any, orders: Any, active: Any) -> Any:
        """Every member's next epochs; all arguments but the data and `active` have the members first."""

        def member(carry: Any, order: Any) -> Any:
            epoch = lambda carry, inputs: self._epoch(carry, data, validation, *inputs)  # noqa: E731
            return jax.lax.scan(epoch, carry, (order, active))

        if jax.default_backend() == "cpu":  # one after the other: as fast, and each bit for bit its single run
            return jax.lax.map(lambda inputs: member(*inputs), (members, orders))
        return jax.vmap(member)(members, orders)

    def _epoch(self, member: dict[str, Any], data: Any, validation: Any, order: Any, on: Any) -> Any:
        recipe, stopping = self.recipe, self.stopping

        def run(state: Any) -> Any:
            logs, state = program.train_epoch(self.model, state, data, order, recipe.batch_size)
            val_logs, state = program.validate(self.model, state, validation, recipe.batch_size)
            return {**logs, **val_logs}, state

        def rest(state: Any) -> Any:
            return jax.tree.map(lambda a: jnp.full(a.shape, jnp.nan, a.dtype), jax.eval_shape(run, state)[0]), state

        running = on & ~member["stopped"]
        logs, state = jax.lax.cond(running, run, rest, member["state"])
        improved = running & (logs[stopping.monitor] < member["best"] - stopping.min_delta)
        wait = jnp.where(improved, 0, member["wait"] + 1)
        over = (wait >= stopping.patience) | ~jnp.isfinite(logs["loss"])
        after = {
            "state": state,
            "kept": jax.tree.map(lambda new, old: jnp.where(improved, new, old), state[:2], member["kept"]),
            "best": jnp.where(improved, logs[stopping.monitor], member["best"]),
            "wait": jnp.where(running, wait, member["wait"]),
            "stopped": member["stopped"] | (running & over),
        }
        return after, (logs, running)


class _Track:
    """One thread's members, chunk after chunk."""

    def __init__(self, trainer: _Trainer, members: list[Any], seeds: list[int], stop: threading.Event) -> None:
        self.trainer, self.stop = trainer, stop
        self.epochs_done = 0
        self.logs: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
        self.orders = [np.random.RandomState(seed) for seed in seeds]
        state = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
        count = len(seeds)
        self.carry: Any = {
            "state": state,
            "kept": state[:2],
            "best": np.full(count, np.inf, np.float32),
            "wait": np.zeros(count, np.int32),
            "stopped": np.zeros(count, bool),
        }

    def advance(self) -> None:
        """One chunk of epochs."""
        trainer = self.trainer
        active = self.epochs_done + np.arange(trainer.chunk) < trainer.recipe.epochs
        self.carry, (logs, running) = trainer.run_chunk(
            self.carry, trainer.data, trainer.validation, self._draw(int(active.sum())), active
        )
        count = int(active.sum())
        self.logs.append(({name: np.asarray(v)[:, :count] for name, v in logs.items()}, np.asarray(running)[:, :count]))
        self.epochs_done += count

    def _draw(self, count: int) -> np.ndarray:
        rows, shape = self.trainer.rows, (len(self.orders), self.trainer.chunk, self.trainer.rows)
        orders = np.broadcast_to(np.arange(rows, dtype=np.int32), shape).copy()
        if self.trainer.recipe.shuffle:
            for member, draw in enumerate(self.orders):
                for epoch in range(count):
                    orders[member, epoch] = draw.permutation(rows)
        return orders

    def finish(self) -> None:
        """Chunks of epochs until the budget is spent, every member has stopped, or the user has had enough."""
        while self.epochs_done < self.trainer.recipe.epochs and not self.stop.is_set():
            if bool(np.asarray(self.carry["stopped"]).all()):
                break
            self.advance()

    def curves(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Every curve and whether the member was running, each of shape (members, epochs)."""
        join = lambda parts: np.concatenate(parts, axis=1)  # noqa: E731
        names = self.logs[0][0]
        return {name: join([part[name] for part, _ in self.logs]) for name in names}, join([on for _, on in self.logs])


def _progress(stage: str, tracks: list[_Track], epochs: int) -> Progress:
    done = min(track.epochs_done for track in tracks)
    return Progress(stage, done=done, total=epochs, loss=_recent(tracks, "loss"), val_loss=_recent(tracks, "val_loss"))


def _recent(tracks: list[_Track], name: str) -> float | None:
    """Mean of a curve over the last chunk and the members that still ran in it."""
    values = np.concatenate([track.logs[-1][0][name][track.logs[-1][1]] for track in tracks if track.logs])
    return float(values.mean()) if values.size else None


def _run(recipe: Recipe, tracks: list[_Track], groups: list[list[int]], seeds: tuple[int, ...], seconds: float) -> Run:
    length = max(track.epochs_done for track in tracks)
    curves: dict[str, np.ndarray] = {}
    ran = np.zeros((len(seeds), length), dtype=bool)
    stopped = np.zeros(len(seeds), dtype=bool)
    for track, group in zip(tracks, groups):
        logs, running = track.curves()
        stopped[group] = np.asarray(track.carry["stopped"])
        for place, member in enumerate(group):
            count = running.shape[1]
            ran[member, :count] = running[place]
            for name, values in logs.items():
                curve = curves.setdefault(name, np.full((len(seeds), length), np.nan))
                logged = np.where(np.isfinite(values[place]), values[place].astype(np.float64), np.inf)
                curve[member, :count] = np.where(running[place], logged, np.nan)
    length = int(ran.any(axis=0).sum())
    curves = {name: values[:, :length] for name, values in curves.items()}
    run = Run(
        curves=curves,
        epoch=np.arange(length),
        seeds=seeds,
        outcomes=tuple(
            _outcome(curves["loss"][m], ran[m, :length], bool(stopped[m]), ran[m].sum() < recipe.epochs)
            for m in range(len(seeds))
        ),
        recipe=recipe,
        provenance={
            "engine": "compiled",
            "engine_reason": f"{len(seeds)} seeds in one program",
            "train_seconds": seconds,
        },
    )
    if recipe.early_stopping is not None and recipe.early_stopping.restore_best:
        return Run(**{**run.__dict__, "kept_epoch": run.best_epoch(recipe.early_stopping.monitor)})
    return Run(**{**run.__dict__, "kept_epoch": ran[:, :length].sum(axis=1) - 1})


def _outcome(loss: np.ndarray, ran: np.ndarray, stopped: bool, cut: bool) -> Outcome:
    logged = loss[ran]
    if not np.isfinite(logged).all():
        return "nonfinite"
    if len(logged) > 1 and logged[-1] > 10 * max(logged[0], 1e-12):
        return "diverged"
    if stopped:
        return "stopped"
    return "interrupted" if cut else "finished"


def _weights(
    model: keras.Model, tracks: list[_Track], groups: list[list[int]], members: int, initial: list[Any]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Kept and initial weights in the order of `model.weights`, each of shape (members, …)."""
    restore = tracks[0].trainer.recipe.early_stopping is not None and tracks[0].trainer.stopping.restore_best
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    where = {id(v): index for index, v in enumerate(variables)}
    kept, before = [], []
    parts = [
        [np.asarray(leaf) for part in (track.carry["kept"] if restore else track.carry["state"][:2]) for leaf in part]
        for track in tracks
    ]
    for variable in model.weights:
        index = where[id(variable)]
        values = np.zeros((members, *variable.shape), dtype=parts[0][index].dtype)
        for part, group in zip(parts, groups):
            for place, member in enumerate(group):
                values[member] = part[index][place]
        kept.append(values)
        before.append(np.stack([np.asarray([*m[0], *m[1]][index]) for m in initial]))
    return kept, before
