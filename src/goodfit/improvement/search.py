"""The search: each change alone against one baseline; the best is kept where it is better beyond noise, and so on."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from goodfit.errors import InputError
from goodfit.improvement.budget import UNLIMITED, Budget
from goodfit.improvement.compare import LEVEL, Arm, Design, compare, holm, joined
from goodfit.improvement.ladder import Ladder
from goodfit.improvement.propose import edits_of
from goodfit.improvement.trials import UnwritableError
from goodfit.values import Change, Comparison, Diagnosis, Progress, Recipe, Report, Trial, silent

LEAST_GAIN = 0.01
"""A change that removes less than this share of the endpoint is not worth it, however surely it does."""
ROUNDS = 6
"""Changes kept at most, one after the other."""
RACING_SEEDS = 4
"""Fewer seeds than this are not divided: a half of them would tell too little."""
FIRST_LOOK = 0.75
"""Share of the level for the first look at a round's changes; the rest is for a second one with more seeds."""
FIRST_PROOF = 0.5
"""Likewise of the level of the proof on fresh seeds: with one change to judge, the look with more seeds has as much."""
MORE_SEEDS = 3
"""Seeds at the second look, in multiples of those at the first."""
SECOND_LOOKS = 4
"""Changes of a round that get a second look, at most."""

Train = Callable[[Recipe, tuple[int, ...]], Arm]
Apply = Callable[[Recipe, Change], Recipe]
Diagnose = Callable[[Arm], Diagnosis]
Propose = Callable[[Diagnosis, Sequence[Change], bool], Sequence[Sequence[Change]]]
Each = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]


def in_turn(function: Callable[[Any], Any], trials: Sequence[Any]) -> list[Any]:
    """A function called for one trial after the other."""
    return [function(trial) for trial in trials]


def search(
    recipe: Recipe,
    *,
    train: Train,
    apply: Apply,
    diagnose: Diagnose,
    propose: Propose,
    seeds: Sequence[int],
    design: Design = "splits",
    endpoint: str = "loss",
    worst: float = math.inf,
    offset: float | None = None,
    chance: Callable[[Sequence[int]], Arm | None] = lambda _: None,
    cost: Callable[[Recipe, int], int] = lambda recipe, count: recipe.epochs * count,
    budget: Budget = UNLIMITED,
    least_gain: float = LEAST_GAIN,
    rounds: int = ROUNDS,
    racing: bool = True,
    each: Each = in_turn,
    report: Report = silent,
) -> Ladder:
    """Try changes one at a time, keep the best that is better beyond noise, and go on from there.

    In each round every change is tried alone against the same baseline; where the budget is limited, batch after batch,
    until one of them is better beyond noise. After half of the seeds, those that are no better so far are dropped; a
    change can only be lost by that, never wrongly kept. Those that remain are compared on all seeds, their p corrected
    for all changes of the round, dropped and untried ones included (`compare.holm`); half of the level is that of the
    change which the diagnosis puts first, where it asks for one. Where none is better beyond noise, those that would
    be, were their effect to stay what it is on `MORE_SEEDS` times the seeds, get these seeds and a second look at what
    the first left of the level. The best is kept; where even that is no better than chance, the one that was proposed
    first of those that are better. At the end the kept recipe is compared with the first baseline on as many fresh
    seeds, twice likewise; where they don't bear it out, nothing is kept.

    Args:
        recipe: the baseline.
        train: trains a recipe on seeds; what it raises counts as a failed trial, but for Ctrl-C.
        apply: a recipe after a change; `InputError` where it can't be changed so.
        diagnose: what an arm's run says.
        propose: changes to try in batches, most promising first, given a diagnosis, those that were of no use before,
            and whether the baseline is no better than chance.
        seeds: of all arms.
        design: what varies from pair to pair.
        endpoint: what is compared; lower is better.
        worst: a larger mean loss counts as this.
        offset: losses are compared as log(loss + offset), see `compare`; as they are where `None`.
        chance: an arm that predicts the mean or the prior on the same seeds, or `None`.
        cost: optimizer steps of a recipe on so many seeds, at most.
        budget: what all of it may cost.
        least_gain: smaller shares of the endpoint are not worth a change.
        rounds: changes kept at most.
        racing: drop what is no better after half of the seeds.
        each: calls a function for each of several trials, one after the other or several at a time, in threads.
        report: told what is tried.

    Returns:
        the ladder. Ctrl-C ends the search with what was finished.

    Raises:
        InputError: the budget doesn't suffice for the baseline and one change.
    """
    run = _Search(
        train, apply, diagnose, propose, tuple(seeds), design, endpoint, worst, offset, chance, cost, budget,
        least_gain, racing, each, report,
    )  # fmt: skip
    return run.climb(recipe, rounds)


@dataclass(eq=False)
class _Search:
    """A search under way."""

    train: Train
    apply: Apply
    diagnose: Diagnose
    propose: Propose
    seeds: tuple[int, ...]
    design: Design
    endpoint: str
    worst: float
    offset: float | None
    chance: Callable[[Sequence[int]], Arm | None]
    cost: Callable[[Recipe, int], int]
    budget: Budget
    least_gain: float
    racing: bool
    each: Each
    report: Report
    trials: list[Trial] = field(default_factory=list)
    recipes: list[Recipe] = field(default_factory=list)
    arms: list[Arm] = field(default_factory=list)
    refused: list[tuple[Change, str]] = field(default_factory=list)
    steps: int = 0
    reserve: int = 0
    began: float = field(default_factory=time.monotonic)

    def climb(self, recipe: Recipe, rounds: int) -> Ladder:
        arm = self.cost(recipe, len(self.seeds))
        self.budget.check(arm)
        self.reserve = 2 * arm
        ended, interrupted, gain, fresh = "", False, None, None
        try:
            self._baseline(recipe)
            ended = self._rounds(rounds)
            gain, fresh = self._confirm()
        except KeyboardInterrupt:
            if not self.trials:
                raise
            interrupted, ended = True, "It was interrupted."
            gain = fresh = None
        best = max(place for place, trial in enumerate(self.trials) if trial.kept)
        return Ladder(
            trials=tuple(self.trials),
            recipes=tuple(self.recipes),
            refused=tuple(self.refused),
            gain=gain,
            over_chance=self._over_chance(fresh[1] if fresh and best else self.arms[best]),
            ended=ended,
            steps=self.steps,
            fresh=fresh,
            arms=tuple(self.arms),
            interrupted=interrupted,
        )

    def _baseline(self, recipe: Recipe) -> None:
        self.report(Progress("baseline", "the recipe as it is"))
        arm = joined(self._counted(self.each(lambda part: self._trained(recipe, part), self._parts())))
        self.trials.append(Trial(arm.run, self.diagnose(arm), steps=arm.steps, note="The recipe as it was given."))
        self.recipes.append(recipe)
        self.arms.append(arm)

    def _parts(self, group: int = 0) -> list[tuple[int, ...]]:
        """Seeds in two halves, or whole: all arms are trained in the same parts.

        Args:
            group: 0 for the seeds of the search; above it, as many fresh ones: the first `MORE_SEEDS` groups are for
                the proof at the end, the others for second looks.
        """
        seeds = self.seeds
        if group:
            first = max(seeds) + 1 + (group - 1) * len(seeds)
            seeds = tuple(range(first, first + len(seeds)))
        if not self.racing or len(seeds) < RACING_SEEDS:
            return [seeds]
        half = -(-len(seeds) // 2)
        return [seeds[:half], seeds[half:]]

    def _rounds(self, rounds: int) -> str:
        base, useless = 0, []
        for _ in range(rounds):
            diagnosis = self.trials[base].diagnosis
            self.report(Progress("diagnose", f"{diagnosis.verdict}: {diagnosis.reason}", finished=True))
            over_chance = self._over_chance(self.arms[base])
            batches = self.propose(diagnosis, useless, over_chance is not None and not over_chance.better)
            if not any(batches):
                return "There was nothing left to try."
            kept, spent = self._round(
                base, batches, {edits_of(c) for finding in diagnosis.found for c in finding.changes}
            )
            if kept is None:
                return "The budget is spent." if spent else "No change was better beyond noise."
            losing = [t.change for t in self.trials if t.against == base and t.comparison and t.comparison.effect > 0]
            useless += [change for change in losing if change is not None]
            base = kept
            if spent:
                return "The budget is spent."
        return f"{rounds} changes were kept, as many as were asked for."

    def _round(self, base: int, batches: Sequence[Sequence[Change]], asked: Collection[str]) -> tuple[int | None, bool]:
        """Try changes against one baseline; the place of the kept one, and whether the budget is spent.

        Args:
            base: the place of the baseline.
            batches: of changes to try, most promising first.
            asked: the edits of those that a finding asks for.
        """
        candidates: list[tuple[Change, Recipe]] = []
        groups: list[range] = []
        known = {recipe.hash for recipe in self.recipes}
        for batch in batches:
            first = len(candidates)
            for change in batch:
                try:
                    after = self.apply(self.recipes[base], change)
                except InputError as problem:
                    self.refused.append((change, str(problem)))
                    continue
                if after.hash not in known:
                    known.add(after.hash)
                    candidates.append((change, after))
            groups.append(range(first, len(candidates)))
        looks = _Looks(dict(enumerate(_weights([edits_of(change) in asked for change, _ in candidates]))))
        arms: dict[int, list[Arm]] = {}
        spent = False
        for places in groups if self.budget.limited else [range(len(candidates))]:
            alive, short = self._race(base, candidates, places, arms)
            spent = spent or short
            looks.finished += alive
            self._look(looks, base, arms, looks.finished, FIRST_LOOK)
            if looks.worth:
                break
        if not looks.worth:
            recipes = {place: candidates[place][1] for place in looks.finished}
            again, short = self._seen_again(base, looks, recipes, arms)
            self._look(looks, base, arms, again, 1.0 - FIRST_LOOK)
            spent = spent or short
        return self._keep(base, candidates, arms, looks), spent

    def _compared(
        self, before: Arm, after: Arm, level: float = LEVEL, *, share: float = 1.0, as_if: float = 1.0
    ) -> Comparison:
        """Uncorrected but for the share of the level that this look has: better where p is below that share of it."""
        made = compare(
            before, after, self.design, endpoint=self.endpoint, worst=self.worst, offset=self.offset,
            level=level * share, as_if=as_if,
        )  # fmt: skip
        corrected = min(1.0, made.p / share)
        return dataclasses.replace(made, adjusted_p=corrected, better=corrected <= level and made.effect < 0)

    def _promising(self, base: int, arms: list[Arm]) -> bool:
        return self._compared(self.arms[base], joined(arms)).effect < 0

    def _race(
        self,
        base: int,
        candidates: Sequence[tuple[Change, Recipe]],
        places: Sequence[int],
        arms: dict[int, list[Arm]],
    ) -> tuple[list[int], bool]:
        """Train some of the candidates, dropping after the first part of the seeds what is no better so far; which of
        them were trained to the end, and whether the budget is spent."""
        parts, alive, spent = self._parts(), list(places), False
        for number, part in enumerate(parts):
            affordable = []
            for place in alive:
                after = candidates[place][1]
                more = max(0, self.cost(after, len(self.seeds)) - self.reserve // 2)  # were it the one that is kept
                price = sum(self.cost(candidates[other][1], len(part)) for other in [*affordable, place])
                if self._affords(price + more):
                    affordable.append(place)
                else:
                    spent = True
            results = self._counted(
                self.each(
                    lambda recipe, part=part: self._attempt(recipe, part),
                    [candidates[place][1] for place in affordable],
                )
            )
            begun = []
            for place, result in zip(affordable, results, strict=True):
                if result is None:
                    spent = True
                    continue
                begun.append(place)
                if isinstance(result, Arm):
                    arms.setdefault(place, []).append(result)
                else:
                    self.refused.append((candidates[place][0], result))
                    arms.pop(place, None)
            alive = [place for place in begun if place in arms]
            if number < len(parts) - 1:
                alive = [place for place in alive if self._promising(base, arms[place])]
        return alive, spent

    def _look(self, looks: _Looks, base: int, arms: dict[int, list[Arm]], places: Sequence[int], share: float) -> None:
        """Compare changes with their baseline, at a share of the level, and note which of them are worth keeping."""
        total = sum(looks.weights.values())
        for place in arms:
            level = LEVEL * share * looks.weights[place] / total
            if place in places or place not in looks.compared:
                looks.compared[place] = self._compared(self.arms[base], joined(arms[place]), level)
        corrected = holm(
            [looks.compared[place] for place in places], [looks.weights[place] for place in places], total, share
        )
        looks.compared |= dict(zip(places, corrected, strict=True))
        looks.worth = [
            place for place, made in looks.compared.items()
            if place in places and made.better and made.gain >= self.least_gain
        ]  # fmt: skip

    def _seen_again(
        self, base: int, looks: _Looks, recipes: dict[int, Recipe], arms: dict[int, list[Arm]]
    ) -> tuple[list[int], bool]:
        """Train more seeds of the baseline and of the changes that would be better beyond noise on so many, were their
        effect to stay what it is; the places of those changes, and whether the budget was too small."""
        total = sum(looks.weights.values())
        hoped = {}
        for place in looks.finished:
            level = LEVEL * (1.0 - FIRST_LOOK) * looks.weights[place] / total
            foreseen = self._compared(self.arms[base], joined(arms[place]), level, as_if=MORE_SEEDS)
            if foreseen.better and foreseen.gain >= self.least_gain:
                hoped[place] = foreseen.p / looks.weights[place]
        again = sorted(sorted(hoped, key=lambda place: hoped[place])[:SECOND_LOOKS])
        have = len(self.arms[base].losses) // len(self.seeds)
        groups = range(MORE_SEEDS + 1, 2 * MORE_SEEDS)
        parts = [part for group in groups for part in self._parts(group)]
        missing = [part for group in groups[have - 1 :] for part in self._parts(group)]
        wanted = [(None, self.recipes[base], part) for part in missing]
        wanted += [(place, recipes[place], part) for place in again for part in parts]
        if not again or not self._affords(sum(self.cost(recipe, len(part)) for _, recipe, part in wanted)):
            return [], bool(again)
        self.report(Progress("change", f"more seeds of {len(again)} that look promising"))
        results = self._counted(self.each(lambda trial: self._attempt(*trial[1:]), wanted))
        made: dict[int | None, list[Arm]] = {}
        for (place, _, _), result in zip(wanted, results, strict=True):
            if isinstance(result, Arm):
                made.setdefault(place, []).append(result)
        if len(made.get(None, [])) < len(missing):
            return [], True
        self.arms[base] = joined([self.arms[base], *made.get(None, [])])
        whole = [place for place in again if len(made.get(place, [])) == len(parts)]
        for place in whole:
            arms[place] += made[place]
        return whole, len(whole) < len(again)

    def _keep(
        self, base: int, candidates: list[tuple[Change, Recipe]], arms: dict[int, list[Arm]], looks: _Looks
    ) -> int | None:
        """Note all changes of a round as trials; the place of the one that is kept, if one is."""
        whole = {place: joined(parts) for place, parts in arms.items()}
        compared, worth = looks.compared, looks.worth
        best = min(worth, key=lambda place: compared[place].effect, default=None)
        above_chance = self._over_chance(whole[best]) if best is not None else None
        useless = above_chance is not None and not (above_chance.better and above_chance.gain >= self.least_gain)
        if useless:  # less bad than before is no merit yet: what the diagnosis puts first leads on
            best = min(worth)
        kept = None
        for place, arm in whole.items():
            change, recipe = candidates[place]
            if place == best:
                kept = len(self.trials)
            ended = place in looks.finished
            note = _note(compared[place], place == best, place in worth, ended, len(arm.losses), useless)
            self.trials.append(
                Trial(arm.run, self.diagnose(arm), change, compared[place], place == best, base, arm.steps, note)
            )
            self.recipes.append(recipe)
            self.arms.append(arm)
            self.report(Progress("change", f"{change.name}: {note}", finished=True))
        return kept

    def _confirm(self) -> tuple[Comparison | None, tuple[Arm, Arm] | None]:
        """The kept recipe against the first baseline, on seeds that had no part in choosing it."""
        best = max(place for place, trial in enumerate(self.trials) if trial.kept)
        if best == 0:
            return None, None
        self.report(Progress("confirm", "the kept recipe and the baseline on fresh seeds"))
        before, after = self._fresh(best, range(1, 2))
        gain = self._compared(before, after, share=FIRST_PROOF)
        if not gain.better:
            share = 1.0 - FIRST_PROOF
            groups = range(2, MORE_SEEDS + 1)
            price = sum(self.cost(self.recipes[place], len(groups) * len(self.seeds)) for place in (0, best))
            hoped = self._compared(before, after, share=share, as_if=MORE_SEEDS)
            self.reserve = 0
            if hoped.better and self._affords(price):
                more = self._fresh(best, groups)
                before, after = joined([before, more[0]]), joined([after, more[1]])
                gain = self._compared(before, after, share=share)
        if not gain.better:
            for place, trial in enumerate(self.trials):
                if place and trial.kept:
                    note = f"{trial.note} Fresh seeds did not bear it out."
                    self.trials[place] = dataclasses.replace(trial, kept=False, note=note)
        return gain, (before, after)

    def _fresh(self, best: int, groups: range) -> tuple[Arm, Arm]:
        """The first baseline and the kept recipe on groups of fresh seeds."""
        parts = [part for group in groups for part in self._parts(group)]
        trials = [(self.recipes[place], part) for place in (0, best) for part in parts]
        trained = self._counted(self.each(lambda trial: self._trained(*trial), trials))
        return joined(trained[: len(parts)]), joined(trained[len(parts) :])

    def _over_chance(self, arm: Arm) -> Comparison | None:
        constant = self.chance(arm.run.seeds)
        return None if constant is None else self._compared(constant, arm)

    def _affords(self, price: int) -> bool:
        """Whether a trial can be begun, with enough left for the fresh seeds at the end."""
        if self._late():
            return False
        if self.budget.steps is None:
            return True
        return self.steps + price + self.reserve <= self.budget.steps

    def _late(self) -> bool:
        return self.budget.seconds is not None and time.monotonic() - self.began > self.budget.seconds

    def _attempt(self, recipe: Recipe, seeds: tuple[int, ...]) -> Arm | str | None:
        """The trained arm, or why it could not be trained; `None` where the time is over."""
        if self._late():
            return None
        try:
            return self._trained(recipe, seeds)
        except UnwritableError:
            raise
        except Exception as problem:  # what a model or a function of the user's raises is no closed list
            reason = next(iter(str(problem).strip().splitlines()), "")
            return f"{type(problem).__name__}: {reason[:300]}" if not isinstance(problem, InputError) else reason

    def _trained(self, recipe: Recipe, seeds: tuple[int, ...]) -> Arm:
        arm = self.train(recipe, seeds)
        if arm.interrupted:
            raise KeyboardInterrupt
        return arm

    def _counted(self, results: list[Any]) -> list[Any]:
        """The results of trials, their steps added to the search's: here, for trials may run in several threads."""
        self.steps += sum(arm.steps for arm in results if isinstance(arm, Arm))
        return results


@dataclass(eq=False)
class _Looks:
    """What is known of the changes of a round.

    Args:
        weights: of each that may be trained, by place: its share of the level.
        finished: places of those that were trained to the end.
        compared: with the baseline, at the last look.
        worth: places of those that are better beyond noise, and worth it.
    """

    weights: dict[int, float]
    finished: list[int] = field(default_factory=list)
    compared: dict[int, Comparison] = field(default_factory=dict)
    worth: list[int] = field(default_factory=list)


def _weights(asked: Sequence[bool]) -> list[float]:
    """What share of the level each change is tested at: the first that a finding asks for has as much as all others.

    Example:
        >>> _weights([True, True, False]), _weights([False, False])
        ([2.0, 1.0, 1.0], [1.0, 1.0])
    """
    weights = [1.0] * len(asked)
    if True in asked and len(asked) > 1:
        weights[asked.index(True)] = len(asked) - 1.0
    return weights


def _note(made: Comparison, kept: bool, worth: bool, finished: bool, seeds: int, useless: bool) -> str:
    """What became of a change, one sentence."""
    if not finished:
        return f"Dropped after {seeds} seeds: no better so far." if made.effect >= 0 else "The budget ended before it."
    if kept:
        return f"Kept: removes {made.gain:.1%} of the {made.endpoint}."
    if worth:
        other = (
            "no change comes below chance yet, and another was asked for first"
            if useless
            else "another change removes more"
        )
        return f"Removes {made.gain:.1%} of the {made.endpoint}; {other}."
    if made.better:
        return f"Removes {made.gain:.1%} of the {made.endpoint}: too little to be worth a change."
    if made.low > 0:
        return f"Worse: adds {-made.gain:.1%} to the {made.endpoint}."
    return "Not better beyond noise."
