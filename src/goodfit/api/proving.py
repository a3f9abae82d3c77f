"""A study of changes on arrays: what `improve` does with a model, a table's run or a function, from start to end."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from goodfit import checks
from goodfit.api.changes import allowed, check_rows, rescuing, unasked
from goodfit.api.fingerprints import canonical
from goodfit.errors import InputError
from goodfit.improvement import Arm, Budget, Design, Ladder, Trials, propose, search
from goodfit.improvement.compare import WORST
from goodfit.improvement.propose import UNASKED, in_batches
from goodfit.improvement.search import in_turn
from goodfit.stats import bootstrap_interval
from goodfit.values import Change, Dataset, Diagnosis, Recipe, Report, Run, Score, silent
from goodfit.values._json import content_hash

if TYPE_CHECKING:
    from goodfit.improvement.on_ray import RayWorkers
    from goodfit.training.arms import Division, Rows, Trained
    from goodfit.training.endpoint import Endpoint
    from goodfit.training.own_model import OwnModel

Place = Literal["local", "ray"]
"""Where trials run: on the cores here, or on a Ray cluster."""
SIGNALS = 5
"""Samples of the layers' signals in the training of the recipe as it was given: the checks of the layers read them."""
LEAST_ROWS = 20
"""Validation rows below which nothing can be told apart: ten that choose the epoch, ten that judge."""
OFFSET = 0.1
"""Of the logarithm on which losses are compared, in multiples of that of chance: well below a tenth of chance it is
differences that count, well above it ratios."""
_MEMORY = 500_000_000
"""Bytes of trained weights held at most, so that what was trained need not be trained again for the final model."""


def check_place(on: str) -> None:
    """`InputError` where trials can't run on `on`: it is none of `Place`, or what it needs is not installed."""
    if on not in get_args(Place):
        raise InputError(f"on is {on!r}.", f"Give {' or '.join(map(repr, get_args(Place)))}.")
    if on == "ray":
        from goodfit.improvement import on_ray

        on_ray.imported()


@dataclass(eq=False)
class Proof:
    """A study of one model on given rows.

    Args:
        own: the model.
        rows: with each seed's division.
        endpoint: what judges.
        design: what varies from pair to pair.
        trials: where finished trials are kept, or `None`.
        data: what the trials depend on beside their recipes.
        dataset: the rows as the checks see them, or `None`.
        measurements: figures known before, for the checks.
        diagnosis: of the model as it is, where one was made with more at hand than a study has (layers' signals).
        report: told what is done.
        workers: where trials are trained; here where `None`.
        padding: inputs and targets -> the targets with the steps masked that are padding; `None` where there are none.
    """

    own: OwnModel
    rows: Rows
    endpoint: Endpoint
    design: Design
    trials: Trials | None
    data: Mapping[str, Any]
    dataset: Dataset | None = None
    measurements: Mapping[str, float] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    report: Report = silent
    workers: RayWorkers | None = None
    padding: Callable[[Any, Any], Any] | None = None
    _done: dict[str, Arm] = field(default_factory=dict)
    _trained: dict[str, Trained] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listened: frozenset[int] = frozenset()
    """Seeds of the search: the layers of the recipe that was given are listened to on these."""

    def alone(self) -> AbstractContextManager[Any]:
        """While entered, no other process studies in the folder of finished trials, where there is one."""
        return nullcontext() if self.trials is None else self.trials.held()

    @contextmanager
    def placed(self, on: Place) -> Iterator[Proof]:
        """While entered, trials are trained there. Compiled programs are let go at its end: each holds hundreds of the
        memory maps that a process may have (65,530 on Linux), and a finished study may be held for long."""
        if on == "local":
            try:
                yield self
            finally:
                self.rows.programs.clear()
            return
        from goodfit.improvement.on_ray import RayWorkers
        from goodfit.training.portable import PortableTraining

        with RayWorkers(PortableTraining(self.own, self.rows), self.report) as self.workers:
            try:
                yield self
            finally:
                self.workers = None

    def search(
        self,
        seeds: Sequence[int],
        *,
        budget: Budget,
        changes: tuple[Change, ...] | None,
        most: int | None,
        rounds: int,
        racing: bool = True,
    ) -> Ladder:
        """The ladder of this study."""
        from goodfit.training import arm_pretraining, edits

        check_rows(changes or (), self.rows.auxiliary is not None)
        self._listened = frozenset(seeds)
        constant = self.chance(seeds)
        chance = math.inf if constant is None else float(np.nanmean(constant.losses))
        x, y = self._fitting_rows(seeds[0])
        ratios = self.endpoint.non_negative and math.isfinite(chance) and chance > 0

        def apply(recipe: Recipe, change: Change) -> Recipe:
            with self.own.scope():
                after = edits.apply(recipe, change, x=x, y=y)
            arm_pretraining.check(after, self.own, self.rows)
            return after

        def proposals(
            diagnosis: Diagnosis, useless: Sequence[Change], stuck: bool, again: Sequence[Change]
        ) -> list[list[Change]]:
            if changes is not None:  # all that were listed are to be seen side by side
                plain = Diagnosis(diagnosis.verdict, diagnosis.reason)
                return [list(propose(plain, changes, again=again, tried=useless, unasked=None))]
            unlabeled, auxiliary = (given is not None for given in (self.rows.unlabeled, self.rows.auxiliary))
            listed = unasked(unlabeled=unlabeled, auxiliary=auxiliary)
            listed = [*rescuing(), *listed] if stuck else [*listed, *rescuing()] if budget.limited else listed
            others = allowed(listed, self.own.recipe, apply)
            beside = UNASKED + len(rescuing()) * stuck
            few = beside if most is None and not budget.limited else None
            found = propose(diagnosis, others, again=again, tried=useless, unasked=few)
            return in_batches(diagnosis, found[:most], beside, again)

        return search(
            self.own.recipe,
            train=self.train,
            apply=apply,
            diagnose=self.diagnose,
            propose=proposals,
            seeds=seeds,
            design=self.design,
            endpoint=self.endpoint.name,
            worst=WORST * chance if ratios else math.inf,
            offset=OFFSET * chance if ratios else None,
            chance=self.chance,
            cost=lambda recipe, count: self.rows.steps_at_most(recipe, seeds[:count]),
            budget=budget,
            rounds=rounds,
            racing=racing,
            each=in_turn if self.workers is None else self.workers.each,
            report=self.report,
        )

    def capped(self, arm: Arm) -> list[str]:
        """A sentence that tells what an arm's endpoint is, where it counts as less in comparisons."""
        constant = self.chance(arm.run.seeds)
        if constant is None or not self.endpoint.non_negative:
            return []
        most = WORST * float(np.nanmean(constant.losses))
        with np.errstate(all="ignore"):
            found = float(np.nanmean(arm.losses))
        if not most > 0 or found <= most:
            return []
        told = f"{found:.4g}" if np.isfinite(found) else "not finite"
        return [
            f"The baseline's {self.endpoint.name} is {told}. In comparisons a loss counts as little more than "
            f"{WORST:g} times that of predicting the mean or the prior ({most:.4g}), however far above that it is."
        ]

    def _fitting_rows(self, seed: int) -> tuple[Any, Any]:
        """The rows that a standardization is fitted to: those of the first seed's training part."""
        from goodfit.training.structures import take

        index = self.rows.divide(seed).train
        return take(self.rows.x, index), take(self.rows.y, index)

    def train(self, recipe: Recipe, seeds: tuple[int, ...]) -> Arm:
        """A recipe on seeds: found where it was trained before, else trained and kept at once."""
        key = content_hash([canonical(recipe), list(seeds), self.data])
        if key in self._done:
            return self._done[key]
        arm = self.trials.find(key) if self.trials is not None else None
        if arm is None:
            trained = self._run(recipe, seeds)
            arm = Arm(
                dataclasses.replace(trained.run, task=self.endpoint.task),
                self._judged(recipe, trained.outputs, seeds),
                trained.steps,
            )
            if arm.interrupted:
                return arm
            self._remember(key, trained)
            if self.trials is not None:
                self.trials.keep(key, arm)
        self._done[key] = arm
        return arm

    def _run(self, recipe: Recipe, seeds: tuple[int, ...]) -> Trained:
        from goodfit.training import arms
        from goodfit.training.programs import key_of

        signals = SIGNALS if recipe == self.own.recipe and self._listened.issuperset(seeds) else 0
        if self.workers is not None:
            return self.workers.run(recipe, seeds, signals, key=key_of(recipe))
        return arms.train(recipe, self.own, self.rows, seeds, signals=signals, report=self.report)

    def _remember(self, key: str, trained: Trained) -> None:
        with self._lock:  # trials on other machines are waited for in threads
            self._trained[key] = trained
            while len(self._trained) > 1 and sum(_bytes(one) for one in self._trained.values()) > _MEMORY:
                self._trained.pop(next(iter(self._trained)))

    def trained(self, recipe: Recipe, seeds: tuple[int, ...]) -> Trained:
        """The trained members of a recipe: at hand, or trained once more, to the same numbers."""
        key = content_hash([canonical(recipe), list(seeds), self.data])
        if key not in self._trained:
            self._remember(key, self._run(recipe, seeds))
        return self._trained[key]

    def _judged(self, recipe: Recipe, outputs: Any, seeds: Sequence[int]) -> np.ndarray:
        """The endpoint on the rows that judge each seed, NaN on the others."""
        out = np.full((len(seeds), self.rows.count), np.nan)
        for place, seed in enumerate(seeds):
            judge = self.rows.divide(seed).judging(recipe)
            out[place, judge] = self._losses(recipe, _member(outputs, place), judge)
        return out

    @cached_property
    def targets(self) -> Any:
        """The targets that trials are judged by: those of all rows, padding masked."""
        return self.rows.y if self.padding is None else self.padding(self.rows.x, self.rows.y)

    def _losses(self, recipe: Recipe, outputs: Any, index: np.ndarray) -> np.ndarray:
        from goodfit.training.structures import take

        return self.endpoint.losses(recipe, take(self.targets, index), take(outputs, index))

    def chance(self, seeds: Sequence[int]) -> Arm | None:
        """Predicting the mean or the prior of each seed's training rows."""
        from goodfit.training.structures import take

        out = np.full((len(seeds), self.rows.count), np.nan)
        for place, seed in enumerate(seeds):
            division = self.rows.divide(seed)
            outputs = self.endpoint.constant(take(self.targets, division.train), len(division.held))
            if outputs is None:
                return None
            true = take(self.targets, division.held)
            out[place, division.held] = self.endpoint.losses(self.own.recipe.replace(loss="mse"), true, outputs)
        run = Run(curves={}, epoch=np.arange(0), seeds=tuple(seeds), outcomes=("finished",) * len(seeds))
        return Arm(run, out)

    def diagnose(self, arm: Arm) -> Diagnosis:
        """What an arm's run says, with what is known of the data."""
        recipe = arm.run.recipe or self.own.recipe
        if self.diagnosis is not None and recipe.hash == self.own.recipe.hash:
            return self.diagnosis
        dataset = self.dataset
        scaling = recipe.preparation.get("standardize_target")
        measurements = dict(self.measurements)
        if dataset is not None:
            if scaling:
                y = ((dataset.y - scaling["mean"]) / scaling["scale"]).astype(np.float32)
                dataset = dataclasses.replace(dataset, y=y)
            if "chance_loss" not in measurements and self._same_loss(recipe):
                constant = self.chance(arm.run.seeds[:1])
                if constant is not None and "squared" in self.endpoint.name:
                    square = scaling["scale"] ** 2 if scaling else 1.0
                    measurements["chance_loss"] = float(np.nanmean(constant.losses)) / square
                elif constant is not None and not scaling:
                    measurements["chance_loss"] = float(np.nanmean(constant.losses))
        run = dataclasses.replace(arm.run, measurements={**arm.run.measurements, **measurements})
        return checks.diagnose(run, dataset)

    def _same_loss(self, recipe: Recipe) -> bool:
        """Whether the curves are of the loss that the endpoint is."""
        return recipe.loss == self.own.recipe.loss and self.loss_is_endpoint

    @cached_property
    def loss_is_endpoint(self) -> bool:
        from goodfit.training.endpoint import endpoint_of

        few = self.rows.divide(0).train[:2]
        from goodfit.training.structures import take

        y = take(self.targets, few)
        constant = self.endpoint.constant(y, len(few))
        if constant is None:
            return False
        with self.own.scope():
            own = endpoint_of(self.own.recipe, "loss", y, constant, self.endpoint.names)
        return own.name == self.endpoint.name

    def best_member(self, recipe: Recipe, arm: Arm, parts: Sequence[tuple[int, ...]]) -> tuple[Trained, int]:
        """Of the trained members, the one with the lowest endpoint on its own validation rows, over chance there."""
        found: tuple[float, Trained, int] | None = None
        for seeds in parts:
            trained = self.trained(recipe, seeds)
            for place, seed in enumerate(seeds):
                division = self.rows.divide(seed)
                index = division.held
                loss = float(self._losses(recipe, _member(trained.outputs, place), index).mean())
                loss /= self._chance_on(division, index)
                if found is None or loss < found[0]:
                    found = (loss, trained, place)
        assert found is not None
        del arm
        return found[1], found[2]

    def _chance_on(self, division: Division, index: np.ndarray) -> float:
        from goodfit.training.structures import take

        outputs = self.endpoint.constant(take(self.targets, division.train), len(index))
        if outputs is None:
            return 1.0
        plain = self.own.recipe.replace(loss="mse")
        return float(self.endpoint.losses(plain, take(self.targets, index), outputs).mean()) or 1.0

    def test(self, who: str, recipe: Recipe, parts: Sequence[tuple[int, ...]], x: Any, y: Any, best: int) -> Score:
        """The endpoint on test rows: of the kept member with its interval over rows, and of every seed."""
        y = y if self.padding is None else self.padding(x, y)
        losses = np.concatenate(
            [
                np.stack(
                    [
                        self.endpoint.losses(recipe, y, _member(outputs, place))
                        for outputs in [self.trained(recipe, seeds).predict(x, self.own)]
                        for place in range(len(seeds))
                    ]
                )
                for seeds in parts
            ]
        )
        interval = bootstrap_interval(np.mean, losses[best])
        return Score(
            model=who,
            split="test",
            metric=self.endpoint.name,
            value=interval.estimate,
            low=interval.low,
            high=interval.high,
            spread=tuple(float(value) for value in losses.mean(axis=1)),
        )


def _member(outputs: Any, place: int) -> Any:
    from goodfit.training.structures import each

    return each(outputs, lambda array: array[place])


def _bytes(trained: Trained) -> int:
    from goodfit.training.structures import leaves

    arrays = [*trained.kept[0], *trained.kept[1], *leaves(trained.outputs)]
    return sum(array.nbytes for array in arrays)
