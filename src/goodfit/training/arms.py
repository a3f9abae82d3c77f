"""Many seeds of a recipe as one program, each with its own division of the rows: the arms of a comparison.

Every seed divides the rows into those it trains on, those that choose the epoch (early stopping), and those that judge
the weights that were kept. The last two are apart, for the lowest of many losses on some rows flatters on those rows.
"""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.training import arm_pretraining, edits, edits_frozen, edits_pretrain, members, stage_runs
from goodfit.training.arm_members import SplitProgram, Starts, Weights, kept_by_layer
from goodfit.training.arm_parts import Features, Part, groups
from goodfit.training.keras_internals import build_for
from goodfit.training.member_signals import Sampling, sampling
from goodfit.training.members import Job
from goodfit.training.own_model import OwnModel
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.population import run_of
from goodfit.training.programs import key_of
from goodfit.training.recipes import compile_model
from goodfit.values import Recipe, Report, Run, silent

BLOCK_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Division:
    """How one seed divides the rows.

    Args:
        train: places of the rows it trains on.
        stop: of those that choose the epoch.
        judge: of those that judge it.
    """

    train: np.ndarray
    stop: np.ndarray
    judge: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """All of them, one part after the other."""
        return np.concatenate([self.train, self.held])

    @property
    def held(self) -> np.ndarray:
        """Those that it doesn't train on."""
        return np.concatenate([self.stop, self.judge])

    def judging(self, recipe: Recipe) -> np.ndarray:
        """Those that had no part in what a recipe's training keeps: all that are held, where it asks none of them when
        to stop or to slow down."""
        return self.judge if recipe.early_stopping or recipe.plateau else self.held


@dataclass(frozen=True, eq=False)
class Trained:
    """The seeds of one recipe after their training.

    Args:
        run: what happened.
        recipe: what was asked for.
        kept: trainable and non-trainable variables that were kept, in the model's order, each of shape (seeds, …); of
            the layers behind the frozen ones alone, where only these were run.
        outputs: what each seed predicts for all rows, in the target's own units: shape (seeds, rows, …), or a list of
            them, one for each output.
        steps: optimizer steps, over all seeds.
        places: of the kept variables among the model's non-trainable ones, where these are not all.
    """

    run: Run
    recipe: Recipe
    kept: tuple[list[np.ndarray], ...]
    outputs: Any
    steps: int
    places: tuple[int, ...] | None = None

    def model(self, member: int, own: OwnModel) -> keras.Model:
        """One seed as a compiled Keras model that predicts in the target's own units."""
        recipe = edits.in_own_units(edits_frozen.stages_of(self.recipe)[-1])
        with own.scope():
            model = compile_model(own.build(recipe, self.run.seeds[member]), recipe)
        model.optimizer.build(model.trainable_variables)  # fresh: its state at the kept epoch is not kept
        for group, values in zip(groups(model, self.places), self.kept, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value[member])
        return model

    def predict(self, x: Any, own: OwnModel) -> Any:
        """What each seed predicts for other rows, in the target's own units; as `outputs`."""
        with persistent_cache():
            model = own.build(edits_frozen.stages_of(self.recipe)[-1], self.run.seeds[0])
            part = Part(model) if self.places is None else Part.of(model, own, 0)
            return _in_own_units(self.recipe, _outputs(part.model, self.kept, part.features(x)))


@dataclass(eq=False)
class Rows:
    """Rows to train arms on.

    Args:
        x: inputs, an array or a structure of them, rows first.
        y: targets, likewise.
        divide: how a seed divides them.
        unlabeled: inputs of other rows, whose targets are not known: to pretrain on.
        auxiliary: inputs of other rows, and another target of theirs: to pretrain on.
    """

    x: Any
    y: Any
    divide: Callable[[int], Division]
    unlabeled: np.ndarray | None = None
    auxiliary: tuple[np.ndarray, np.ndarray] | None = None
    programs: dict[str, tuple[Part, members.EpochsProgram]] = field(default_factory=dict)
    features: Features = field(default_factory=Features)
    starts: Starts = field(default_factory=Starts)

    @property
    def count(self) -> int:
        """Number of rows."""
        return jax.tree.leaves(self.y)[0].shape[0]

    def plain(self) -> Rows:
        """The same without what was compiled and computed for them."""
        return Rows(self.x, self.y, self.divide, self.unlabeled, self.auxiliary)

    def steps_at_most(self, recipe: Recipe, seeds: Sequence[int]) -> int:
        """Optimizer steps of a recipe on these seeds where none stops early, those that pretrain included."""
        beside = [0 if part is None else len(part) for part in (self.unlabeled, (self.auxiliary or (None,))[0])]
        return steps_at_most(recipe, len(self.divide(seeds[0]).train), len(seeds), *beside)


def train(
    recipe: Recipe,
    own: OwnModel,
    rows: Rows,
    seeds: Sequence[int],
    *,
    threads: int | None = None,
    at_once: int | None = None,
    signals: int = 0,
    report: Report = silent,
    stage: str = "train",
) -> Trained:
    """Train one member per seed, all in one program, and predict every row with the weights that were kept.

    Args:
        recipe: what to train.
        own: the model's code and given weights.
        rows: to train on; compiled programs are kept with them.
        seeds: one per member; each draws its weights, its division of the rows, their order and its dropout.
        threads: members are divided among so many.
        at_once: so many of the threads run at a time; all where `None`.
        signals: samples of each layer's signals to take, on training rows of the first seed.
        report: told how far the training has come.
        stage: under which name.

    Returns:
        the trained members. A Ctrl-C ends the training early, with outcome `interrupted`.
    """
    with persistent_cache(), own.scope():
        return _train(recipe, own, rows, tuple(int(seed) for seed in seeds), threads, at_once, signals, report, stage)


def steps_at_most(recipe: Recipe, train_rows: int, seeds: int, unlabeled: int = 0, auxiliary: int = 0) -> int:
    """Optimizer steps of a recipe on so many seeds where none stops early, those that pretrain included.

    Args:
        recipe: to be trained.
        train_rows: of each seed.
        seeds: how many.
        unlabeled: rows that are there to pretrain on.
        auxiliary: likewise, with another target.
    """
    before = edits_pretrain.steps_of(recipe, train_rows, unlabeled, auxiliary)
    return (before + recipe.epochs * -(-train_rows // recipe.batch_size)) * seeds


def _train(
    recipe: Recipe,
    own: OwnModel,
    rows: Rows,
    seeds: tuple[int, ...],
    threads: int | None,
    at_once: int | None,
    signals: int,
    report: Report,
    stage: str,
) -> Trained:
    began = time.perf_counter()
    stages = edits_frozen.stages_of(recipe)
    done: list[Trained] = []
    weights: list[Weights] = [{} for _ in seeds]
    before = None
    if edits_pretrain.pretraining_of(recipe) is not None:
        before = arm_pretraining.pretrained(recipe, own, rows, seeds, threads, at_once, report, f"{stage}, pretraining")
        weights = before.weights
    for number, one in enumerate(stages, start=1):
        name = stage if len(stages) == 1 else f"{stage}, stage {number} of {len(stages)}"
        asked = signals if len(stages) == 1 else 0
        done.append(_train_stage(one, own, rows, seeds, weights, threads, at_once, asked, report, name))
        if done[-1].run.outcome == "interrupted":
            break
        if number < len(stages):
            built = own.build(one, seeds[0])
            weights = kept_by_layer(built, done[-1].kept, done[-1].places, len(seeds))
    run = done[0].run if len(done) == 1 else stage_runs.joined([one.run for one in done])
    run = dataclasses.replace(
        run,
        recipe=recipe,
        provenance={
            "engine": "compiled",
            "engine_reason": f"{len(seeds)} seeds in one program",
            "train_seconds": time.perf_counter() - began,
            **({} if before is None else {"pretraining": before.told()}),
        },
    )
    steps = sum(one.steps for one in done) + (0 if before is None else before.steps)
    return dataclasses.replace(done[-1], run=run, recipe=recipe, steps=steps)


def _train_stage(
    recipe: Recipe,
    own: OwnModel,
    rows: Rows,
    seeds: tuple[int, ...],
    weights: list[Weights],
    threads: int | None,
    at_once: int | None,
    signals: int,
    report: Report,
    name: str,
) -> Trained:
    divisions = [rows.divide(seed) for seed in seeds]
    sizes = (len(divisions[0].train), len(divisions[0].stop))
    key = key_of(recipe)
    shared = rows.programs.get(key)
    if shared is None:
        whole = own.build(recipe, seeds[0])
        blends = "mixup" in recipe.preparation  # rows, not features
        part = Part(whole) if blends else Part.of(whole, own, rows.count)
        compile_model(part.model, recipe)
    else:
        part = shared[0]
    x, y = rows.features.of(part, rows.x), _target(recipe, rows.y)
    template = part.model
    if shared is None:
        build_for(template, jax.tree.map(lambda a: a[:1], (x, y)))
    job = Job(
        template,
        (x, y),
        None,
        recipe.batch_size,
        max(recipe.batch_size, min(BLOCK_ROWS, sizes[1])),
        recipe.epochs,
        recipe.early_stopping,
        plateau=recipe.plateau,
    )
    compiled = shared[1] if shared is not None else SplitProgram(job, sizes)
    rows.programs[key] = (part, compiled)
    states = rows.starts.of(recipe, own, seeds, weights, part)
    draws = [_orders(seed, division) for seed, division in zip(seeds, divisions, strict=True)]
    first = jax.tree.map(lambda a: a[divisions[0].train], (x, y))
    sampled = sampling(template, first, recipe.batch_size, recipe.epochs, signals)
    listening = sampled if isinstance(sampled, Sampling) else None
    trained = members.train(job, states, draws, threads, report, name, compiled, listening, at_once)
    steps = int(trained.ran.sum()) * -(-sizes[0] // recipe.batch_size)
    outputs = _in_own_units(recipe, _outputs(template, trained.kept, x))
    return Trained(run_of(trained, job, seeds), recipe, trained.kept, outputs, steps, part.places)


def _target(recipe: Recipe, y: Any) -> Any:
    scaling = recipe.preparation.get("standardize_target")
    if not scaling:
        return y
    return ((np.asarray(y, np.float64) - scaling["mean"]) / scaling["scale"]).astype(np.float32)


def _in_own_units(recipe: Recipe, outputs: Any) -> Any:
    scaling = recipe.preparation.get("standardize_target")
    return outputs * scaling["scale"] + scaling["mean"] if scaling else outputs


def _orders(seed: int, division: Division) -> members.Draw:
    """The division's rows in the order of the next epoch: the training rows drawn as Keras draws them."""
    state = np.random.RandomState(seed)

    def draw() -> np.ndarray:
        order = division.train[state.permutation(len(division.train))]
        return np.concatenate([order, division.stop, division.judge]).astype(np.int32)

    return draw


def _outputs(template: keras.Model, kept: tuple[list[np.ndarray], ...], x: Any) -> Any:
    """What every member predicts for all rows: shape (members, rows, …) for each output."""

    inference = {"training": False} if has_training_argument(template) else {}

    def block(state: Any, part: Any) -> Any:
        return template.stateless_call(*state, part, **inference)[0]

    predict = jax.jit(lambda states, part: jax.lax.map(lambda state: block(state, part), states))
    states = jax.tree.map(jnp.asarray, (list(kept[0]), list(kept[1])))
    count = jax.tree.leaves(x)[0].shape[0]
    size = min(BLOCK_ROWS, count)
    pieces = []
    for start in range(0, count, size):
        part = jax.tree.map(lambda a, start=start: _padded(a[start : start + size], size), x)
        out = predict(states, part)
        pieces.append(jax.tree.map(lambda a, start=start: np.asarray(a)[:, : count - start], out))
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *pieces)


def has_training_argument(model: keras.Model) -> bool:
    """Whether the model's `call` asks if it trains."""
    return "training" in inspect.signature(model.call).parameters


def _padded(part: np.ndarray, size: int) -> np.ndarray:
    return np.pad(part, ((0, size - len(part)), *((0, 0),) * (part.ndim - 1)))
