"""`Bench`: where experiments train their arms, on one table, each recipe once."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goodfit.errors import InputError
from goodfit.lab import data
from goodfit.stats import Interval, paired_interval
from goodfit.values import Dataset, Diagnosis, Progress, Recipe, Report, Run, silent

if TYPE_CHECKING:
    from goodfit.lab.experiment import Experiment
    from goodfit.training.population import Population
    from goodfit.training.programs import Programs, Weights

Part = Literal["train", "validation", "test"]
EVALUATED = 512
"""Rows per step of validation."""
_PREFIX = {"train": "", "validation": "val_", "test": "hidden_"}


@dataclass(frozen=True, eq=False)
class Arm:
    """One recipe on every seed.

    Args:
        name: in tables and legends.
        recipe: what was trained.
        trained: the population.
        seconds: it took, compiling not included.
    """

    name: str
    recipe: Recipe
    trained: Population
    seconds: float

    @property
    def run(self) -> Run:
        """What happened."""
        return self.trained.run

    @property
    def epochs(self) -> int:
        """Epochs trained, over all seeds."""
        return int(np.isfinite(self.run.curves["loss"]).sum() + np.isinf(self.run.curves["loss"]).sum())


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is to be trained on every seed: a recipe, on rows of a dataset, with learning rates where there are some."""

    recipe: Recipe
    dataset: Dataset
    rows: np.ndarray
    rates: tuple[float, ...]
    signals: bool | int

    def members(self, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """The seed of each member."""
        return seeds * max(len(self.rates), 1)

    def key(self, seeds: tuple[int, ...]) -> tuple[Any, ...]:
        """Equal for equal trainings."""
        return self.recipe.hash, id(self.dataset), self.rows.tobytes(), seeds, self.rates, self.signals

    def shape(self, seeds: tuple[int, ...]) -> tuple[Any, ...]:
        """Equal for trainings whose recipes may share a program."""
        data = self.dataset
        sizes = (len(part) for part in (self.rows, data.validation, data.test))
        return data.task, data.x.shape[1:], *sizes, self.recipe.batch_size, len(self.members(seeds))

    def part(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of rows; a column for two classes, as Keras's cross-entropy takes them as a metric."""
        y = self.dataset.y[rows]
        return self.dataset.x[rows], y[:, None] if self.dataset.task == "binary" else y

    @property
    def data(self) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Inputs and targets of the training rows, and both of the validation rows."""
        return *self.part(self.rows), self.part(self.dataset.validation)


class Bench:
    """Trains the arms of experiments on one table; an arm that two experiments share is trained once.

    Args:
        table: the user's own; Auto MPG where `None`.
        target: its column to predict.
        epochs: a cap on the epochs of every arm.
        seeds: members of every arm; each experiment's own number where `None`.
        seed: the first of them, and the seed of the split.
        report: told how far it has come.
    """

    def __init__(
        self,
        table: Any = None,
        target: str | None = None,
        *,
        epochs: int | None = None,
        seeds: int | None = None,
        seed: int = 0,
        report: Report = silent,
    ) -> None:
        self._table, self._target = table, target
        self.cap, self.given_seeds, self.seed, self.report = epochs, seeds, seed, report
        self.default_seeds = 8
        self.stage = "lab"
        self.spent: list[tuple[str, Arm]] = []
        self._arms: dict[tuple[Any, ...], Arm] = {}
        self._programs: dict[tuple[Any, ...], Programs] = {}
        self._weights: Weights = {}

    @cached_property
    def dataset(self) -> Dataset:
        """The table, split and prepared."""
        return data.table(self._table, self._target, self.seed)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of every arm."""
        return tuple(range(self.seed, self.seed + (self.given_seeds or self.default_seeds)))

    def epochs(self, count: int) -> int:
        """So many epochs, or the cap."""
        return min(count, self.cap or count)

    @property
    def regression(self) -> bool:
        """Whether the target is a quantity."""
        return self.dataset.task == "regression"

    @property
    def unit(self) -> str:
        """What `score` counts in, with its unit."""
        return f"RMSE ({self.dataset.target})" if self.regression else "cross-entropy (nats)"

    def dense(self, units: Sequence[int] = (32, 32), **settings: Any) -> Recipe:
        """The recipe of a multilayer perceptron for the table, see `goodfit.lab.networks.dense`."""
        from goodfit.lab import networks

        return networks.dense(self.dataset, units, **settings)

    def train(
        self,
        arms: Mapping[str, Recipe],
        *,
        rows: Mapping[str, np.ndarray] | np.ndarray | None = None,
        dataset: Dataset | None = None,
        learning_rates: Mapping[str, Sequence[float]] | Sequence[float] | None = None,
        signals: bool | int = False,
    ) -> dict[str, Arm]:
        """Train every arm on every seed, and measure validation and test rows after each epoch.

        All of them are compiled before the first is trained, one per core at a time.

        Args:
            arms: name -> recipe.
            rows: indices of the training rows, of all arms or of each by its name; those of the split where `None`.
            dataset: other rows than the table's.
            learning_rates: further members: every seed with each of these rates, rates first; likewise.
            signals: samples of the layers' signals to take.
        """
        asked = self._asked(arms, rows, dataset, learning_rates, signals)
        self._compile([(one, self.seeds) for one in asked.values() if one.key(self.seeds) not in self._arms])
        trained = {}
        for name, one in asked.items():
            key = one.key(self.seeds)
            if key not in self._arms:
                self._arms[key] = self._trained(name, one)
            trained[name] = dataclasses.replace(self._arms[key], name=name)
            self.spent.append((str(key), trained[name]))
            if trained[name].run.outcome == "interrupted":
                raise KeyboardInterrupt
        return trained

    def compile_ahead(self, experiments: Sequence[Experiment]) -> None:
        """Compile what experiments are to train, all of it together: two programs of one experiment fill no two cores.

        Args:
            experiments: each is rehearsed up to its first training.
        """
        self._compile(pair for experiment in experiments for pair in self._rehearsed(experiment))

    def _rehearsed(self, experiment: Experiment) -> list[tuple[_Asked, tuple[int, ...]]]:
        rehearsal = _Rehearsal(self, experiment.seeds)
        with contextlib.suppress(_Rehearsed, InputError):  # what is wrong is said when it is run
            experiment.measure(rehearsal)
        return [(one, rehearsal.seeds) for one in rehearsal.wanted]

    def _asked(
        self,
        arms: Mapping[str, Recipe],
        rows: Mapping[str, np.ndarray] | np.ndarray | None,
        dataset: Dataset | None,
        learning_rates: Mapping[str, Sequence[float]] | Sequence[float] | None,
        signals: bool | int,
    ) -> dict[str, _Asked]:
        """What `train` is asked for, arm by arm."""
        held = self.dataset if dataset is None else dataset
        asked = {}
        for name, recipe in arms.items():
            index = rows.get(name) if isinstance(rows, Mapping) else rows
            rates = learning_rates.get(name) if isinstance(learning_rates, Mapping) else learning_rates
            capped = recipe.replace(epochs=self.epochs(recipe.epochs))
            asked[name] = _Asked(capped, held, held.train if index is None else index, tuple(rates or ()), signals)
        return asked

    def _compile(self, asked: Iterable[tuple[_Asked, tuple[int, ...]]]) -> None:
        """Compile the programs of trainings that don't share one with an earlier one, one per core at a time."""
        from goodfit.training import population
        from goodfit.training.persistent_cache import persistent_cache
        from goodfit.training.programs import key_of

        futures: dict[tuple[Any, ...], Future[None]] = {}
        with persistent_cache(), ThreadPoolExecutor(os.cpu_count()) as pool:
            for one, seeds in asked:
                key, shared = (one.shape(seeds), key_of(one.recipe)), self._shared(one, seeds)
                if key not in futures and shared.find(one.recipe) is None:
                    futures[key] = pool.submit(
                        population.compile_ahead,
                        one.recipe,
                        *one.data,
                        one.members(seeds),
                        shared,
                        hidden=one.part(one.dataset.test),
                        validation_batch_size=EVALUATED,
                    )
            for done, future in enumerate(futures.values()):
                self.report(Progress(self.stage, "compiling", done=done, total=len(futures)))
                future.result()

    def _shared(self, one: _Asked, seeds: tuple[int, ...]) -> Programs:
        from goodfit.training.programs import Programs

        return self._programs.setdefault(one.shape(seeds), Programs(self._weights))

    def _trained(self, name: str, one: _Asked) -> Arm:
        from goodfit.training import population

        began = time.perf_counter()
        found = population.train(
            one.recipe,
            *one.data,
            one.members(self.seeds),
            learning_rates=[rate for rate in one.rates for _ in self.seeds] or None,
            hidden=one.part(one.dataset.test),
            validation_batch_size=EVALUATED,
            programs=self._shared(one, self.seeds),
            signals=one.signals,
            report=self.report,
            stage=self.stage,
        )
        return Arm(name, one.recipe, found, time.perf_counter() - began)

    def curve(self, arm: Arm | Run, part: Part) -> np.ndarray:
        """What `score` reads after each epoch, shape (seeds, epochs), without penalties."""
        run = arm.run if isinstance(arm, Arm) else arm
        assert run.recipe is not None
        plain = _PREFIX[part] + str(run.recipe.loss)
        values = run.curves[plain if plain in run.curves else _PREFIX[part] + "loss"]
        if run.recipe.loss != "mean_squared_error":
            return values
        scale = self.dataset.target_scale if self.regression else 1.0
        return np.sqrt(values) * scale

    def score(self, arm: Arm, part: Part = "test", at: Literal["end", "kept", "best"] = "end") -> np.ndarray:
        """Each seed's error, shape (seeds,): RMSE in the target's unit, or cross-entropy; lower is better.

        Args:
            arm: whose.
            part: on which rows; the training error is that which the training reports, with dropout on.
            at: the last epoch, the epoch whose weights were kept, or the one with the lowest validation error (on other
                rows than the validation rows that tells what stopping there would have given).
        """
        values = self.curve(arm, part)
        ran = ~np.isnan(arm.run.curves["loss"])
        place = ran.sum(axis=1) - 1
        if at == "kept" and arm.run.kept_epoch is not None:
            place = np.where(arm.run.kept_epoch >= 0, arm.run.kept_epoch, place)
        if at == "best":
            watched = self.curve(arm, "validation")
            place = np.where(np.isfinite(watched), watched, np.inf).argmin(axis=1)
        found = values[np.arange(len(values)), place]
        return np.where(np.isfinite(found), found, np.inf)

    def difference(
        self, before: Arm, after: Arm, part: Part = "test", at: Literal["end", "kept", "best"] = "end"
    ) -> Interval:
        """After minus before, over the seeds in pairs."""
        return interval(self.score(before, part, at), self.score(after, part, at))

    @cached_property
    def references(self) -> dict[str, float]:
        """Validation losses that need no network: chance, a linear model, gradient boosting."""
        from goodfit import tables

        return tables.baseline_losses(self.dataset, tables.baselines(self.dataset, seed=self.seed))

    def diagnose(self, arm: Arm) -> Diagnosis:
        """What goodfit says of the arm's curves."""
        from goodfit import checks

        run = dataclasses.replace(arm.run, task=self.dataset.task, measurements=dict(self.references), name=arm.name)
        return checks.diagnose(run, self.dataset)


class _Rehearsed(Exception):
    """An experiment has come to its first training."""


class _Rehearsal(Bench):
    """Trains nothing, and keeps what was to be trained first."""

    def __init__(self, bench: Bench, seeds: int) -> None:
        self.__dict__.update(bench.__dict__)
        self.default_seeds = seeds
        self.wanted: list[_Asked] = []

    def train(
        self,
        arms: Mapping[str, Recipe],
        *,
        rows: Mapping[str, np.ndarray] | np.ndarray | None = None,
        dataset: Dataset | None = None,
        learning_rates: Mapping[str, Sequence[float]] | Sequence[float] | None = None,
        signals: bool | int = False,
    ) -> dict[str, Arm]:
        """Keep what is asked for."""
        self.wanted = list(self._asked(arms, rows, dataset, learning_rates, signals).values())
        raise _Rehearsed


def interval(before: np.ndarray, after: np.ndarray) -> Interval:
    """The paired interval of a difference; infinite where a seed's number is not finite."""
    if np.isfinite(before).all() and np.isfinite(after).all():
        return paired_interval(before, after)
    lost = (~np.isfinite(after)).sum() - (~np.isfinite(before)).sum()
    sign = float(np.sign(lost))
    return Interval(sign * np.inf if sign else np.nan, -np.inf, np.inf, 0.95, len(before))


def median(values: np.ndarray | Sequence[float]) -> float:
    """The median over the seeds; infinite values stay what they are."""
    return float(np.median(values))


def ends(found: Interval) -> tuple[float, float, float]:
    """An interval as three cells of a table: estimate, low and high end."""
    return found.estimate, found.low, found.high


def signed(found: Interval, digits: int = 3) -> str:
    """An interval in words: `-0.3 [-0.5, -0.1]`."""
    return f"{found.estimate:+.{digits}g} [{found.low:.{digits}g}, {found.high:.{digits}g}]"
