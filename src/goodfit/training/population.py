"""Many seeds of one recipe trained as one compiled program, with early stopping and best-epoch restore inside."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.training import members
from goodfit.training.keras_internals import build_for, settle
from goodfit.training.member_signals import Sampling, sampling
from goodfit.training.members import Job
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.plateau import place_of
from goodfit.training.programs import Programs, initial_weights
from goodfit.training.recipes import build, compile_model
from goodfit.values import Outcome, Recipe, Report, Run, silent

DIVERGED = 10
"""A training whose last loss is more than this many times its first has diverged."""
BLOCK_ROWS = 1024
"""Rows per prediction: one compiled shape serves every part of the data."""
IMAGE_ROWS = 128
"""The same of inputs that are more than a line of numbers."""


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
        settle(model)
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

        with persistent_cache():
            if x.ndim > 2:  # convolutions with a kernel per member are slow, and what they give is large
                one = jax.jit(lambda values, block: member(values, block)[None])
                members = range(len(self.run.seeds))
                apart = [
                    self._in_blocks(one, [values[m] for values in weights], x, min(IMAGE_ROWS, len(x))) for m in members
                ]
                return np.concatenate(apart)
            return self._in_blocks(jax.jit(jax.vmap(member, in_axes=(0, None))), weights, x)

    @staticmethod
    def _in_blocks(predict: Any, weights: list[Any], x: np.ndarray, size: int = BLOCK_ROWS) -> np.ndarray:
        blocks = []
        for start in range(0, len(x), size):
            block = np.asarray(x[start : start + size], dtype=np.float32)
            padded = np.pad(block, ((0, size - len(block)), *((0, 0),) * (block.ndim - 1)))
            blocks.append(np.asarray(predict(weights, padded))[:, : len(block)])
        return np.concatenate(blocks, axis=1)


def train(
    recipe: Recipe,
    x: np.ndarray,
    y: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    seeds: Sequence[int],
    *,
    learning_rates: Sequence[float] | None = None,
    hidden: tuple[np.ndarray, np.ndarray] | None = None,
    validation_batch_size: int | None = None,
    programs: Programs | None = None,
    signals: bool | int | Literal["auto"] = False,
    threads: int | None = None,
    report: Report = silent,
    stage: str = "train",
) -> Population:
    """Train one member per seed, all in one compiled program.

    The member of seed s starts from weights drawn by the recipe's initializers with seeds derived from s and each
    layer's path, and shuffles as Keras does after `numpy.random.seed(s)`; early stopping and plateau act as Keras's
    callbacks `EarlyStopping` and `ReduceLROnPlateau` do, on each member apart.

    Args:
        recipe: what to train.
        x: training inputs, shape (rows, …).
        y: training targets, shape (rows,) or (rows, outputs).
        validation: inputs and targets of the validation rows.
        seeds: one per member.
        learning_rates: one per member, where members differ in it; the recipe's where `None`.
        hidden: inputs and targets of rows that decide nothing: the curves `hidden_loss`, … tell their losses.
        validation_batch_size: rows per step of validation; the recipe's batch size where `None`.
        programs: shared with other trainings: what was compiled for a recipe that differs only in learning rate,
            initializers or epochs is not compiled again.
        signals: how many samples of each layer's signals to take, at the ends of chunks of epochs; `True` for
            `goodfit.training.signals.SAMPLES`, `"auto"` for as many of these as cost little.
        threads: members are divided among so many threads; one per core where `None`.
        report: told how far the training has come.
        stage: under which name.

    Returns:
        the trained population. A Ctrl-C ends the training early, with outcome `interrupted`.
    """
    with persistent_cache():
        seeds = tuple(int(seed) for seed in seeds)
        size = validation_batch_size or recipe.batch_size
        return _train(
            recipe, (x, y), validation, hidden, size, seeds, learning_rates, programs, signals, threads, report, stage
        )


def compile_ahead(
    recipe: Recipe,
    x: np.ndarray,
    y: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    seeds: Sequence[int],
    programs: Programs,
    *,
    hidden: tuple[np.ndarray, np.ndarray] | None = None,
    validation_batch_size: int | None = None,
    threads: int | None = None,
) -> None:
    """Compile what `train` with the same arguments would compile, draw its initial weights, and keep both.

    Compiling uses one core for the most part, so that two recipes are compiled at a time in less time than in turn;
    whoever calls this from several threads holds `persistent_cache` around all of them.

    Args:
        recipe: to be trained.
        x: training inputs, shape (rows, …).
        y: training targets, shape (rows,) or (rows, outputs).
        validation: inputs and targets of the validation rows.
        seeds: one per member.
        programs: where the program is kept.
        hidden: inputs and targets of rows that decide nothing.
        validation_batch_size: rows per step of validation; the recipe's batch size where `None`.
        threads: members are divided among so many threads.
    """
    with persistent_cache():
        size = validation_batch_size or recipe.batch_size
        job, compiled = _job(recipe, (x, y), validation, hidden, size, int(seeds[0]), programs)
        assert compiled is not None
        for seed in seeds:
            programs.weights(recipe, int(seed))
        state = _initial_state(programs.weights(recipe, int(seeds[0])), job.model, None)
        members.compile_ahead(job, state, len(seeds), threads, compiled)


def _job(
    recipe: Recipe,
    data: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    hidden: tuple[np.ndarray, np.ndarray] | None,
    validation_batch_size: int,
    seed: int,
    programs: Programs | None,
) -> tuple[Job, members.EpochsProgram | None]:
    """What the members share, and the program that is shared with other recipes, which is kept."""
    shared = programs.find(recipe) if programs is not None else None
    if shared is None:
        template = compile_model(build(recipe, seed), recipe)
        build_for(template, tuple(part[:1] for part in data))
    else:
        template = shared[0]
    job = Job(
        template,
        data,
        validation,
        recipe.batch_size,
        validation_batch_size,
        recipe.epochs,
        recipe.early_stopping,
        recipe.shuffle,
        hidden,
        plateau=recipe.plateau,
    )
    if programs is None:
        return job, None
    compiled = shared[1] if shared is not None else members.EpochsProgram(job)
    programs.keep(recipe, template, compiled)
    return job, compiled


def _train(
    recipe: Recipe,
    data: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    hidden: tuple[np.ndarray, np.ndarray] | None,
    validation_batch_size: int,
    seeds: tuple[int, ...],
    learning_rates: Sequence[float] | None,
    programs: Programs | None,
    signals: bool | int | Literal["auto"],
    threads: int | None,
    report: Report,
    stage: str,
) -> Population:
    began = time.perf_counter()
    job, compiled = _job(recipe, data, validation, hidden, validation_batch_size, seeds[0], programs)
    template = job.model
    weights, rates = initial_weights, learning_rates
    if programs is not None:
        weights = programs.weights
        rate = recipe.optimizer["config"].get("learning_rate")
        if rates is None and isinstance(rate, float) and recipe.schedule is None:  # it may be compiled for another rate
            rates = [rate] * len(seeds)
    states = [
        _initial_state(weights(recipe, seed), template, None if rates is None else rates[member])
        for member, seed in enumerate(seeds)
    ]
    draws = [_orders(seed, len(data[0])) for seed in seeds]
    sampled = sampling(template, data, recipe.batch_size, recipe.epochs, signals)
    listening = sampled if isinstance(sampled, Sampling) else None
    trained = members.train(job, states, draws, threads, report, stage, compiled, listening)
    run = dataclasses.replace(
        run_of(trained, job, seeds),
        recipe=recipe,
        provenance={
            "engine": "compiled",
            "engine_reason": f"{len(seeds)} seeds in one program",
            "train_seconds": time.perf_counter() - began,
            **({"no_signals": sampled} if isinstance(sampled, str) and sampled else {}),
        },
    )
    variables = [*template.trainable_variables, *template.non_trainable_variables]
    place = {id(variable): index for index, variable in enumerate(variables)}
    order = [place[id(variable)] for variable in template.weights]
    kept = [leaf for group in trained.kept for leaf in group]
    before = [np.stack(leaves) for leaves in zip(*([*s[0], *s[1]] for s in states), strict=True)]
    return Population(run, recipe, [kept[i] for i in order], [before[i] for i in order])


def _initial_state(
    weights: tuple[list[np.ndarray], list[np.ndarray]], template: keras.Model, learning_rate: float | None
) -> tuple[list[np.ndarray], ...]:
    """The state of one member before its first step: its weights and random streams, a fresh optimizer."""
    optimizer = [np.asarray(variable.value) for variable in template.optimizer.variables]
    if learning_rate is not None:
        place = place_of(template.optimizer)
        optimizer[place] = np.asarray(learning_rate, optimizer[place].dtype)
    return (*weights, optimizer, [np.asarray(variable.value) for variable in template.metrics_variables])


def _orders(seed: int, rows: int) -> members.Draw:
    """The orders that Keras draws after `numpy.random.seed(seed)`."""
    state = np.random.RandomState(seed)
    return lambda: state.permutation(rows).astype(np.int32)


def run_of(trained: members.Trained, job: Job, seeds: tuple[int, ...]) -> Run:
    """What happened, as a `Run`: NaN where a member did not run, `inf` where its loss was not finite."""
    length = int(trained.ran.any(axis=0).sum())
    ran = trained.ran[:, :length]
    curves = {}
    for name, values in trained.curves.items():
        finite = np.where(np.isfinite(values[:, :length]), values[:, :length], np.inf)
        curves[name] = np.where(ran, finite, np.nan)
    epochs = ran.sum(axis=1)
    run = Run(
        curves=curves,
        epoch=np.arange(length),
        seeds=seeds,
        outcomes=tuple(
            _outcome(loss[on], bool(stopped), count < job.epochs)
            for loss, on, stopped, count in zip(curves["loss"], ran, trained.stopped, epochs, strict=True)
        ),
        kept_epoch=epochs - 1,
        **trained.signals,
    )
    if job.stopping is not None and job.stopping.restore_best:
        return dataclasses.replace(run, kept_epoch=run.best_epoch(job.stopping.monitor))
    return run


def _outcome(loss: np.ndarray, stopped: bool, cut: bool) -> Outcome:
    if not np.isfinite(loss).all():
        return "nonfinite"
    if len(loss) > 1 and loss[-1] > DIVERGED * loss[0] > 0:
        return "diverged"
    if stopped:
        return "stopped"
    return "interrupted" if cut else "finished"
