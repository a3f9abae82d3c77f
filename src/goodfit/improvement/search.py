"""The search: each change alone against one baseline; the best is kept where it is better beyond noise, and so on."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from goodfit.errors import InputError
from goodfit.improvement.budget import UNLIMITED, Budget
from goodfit.improvement.compare import LEVEL, Arm, Design, compare, holm, joined
from goodfit.improvement.ladder import Ladder
from goodfit.improvement.looks import Looks, note_of, weights_of
from goodfit.improvement.propose import edits_of
from goodfit.improvement.trials import UnwritableError
from goodfit.values import Change, Comparison, Diagnosis, Progress, Recipe, Report, Trial, silent

LEAST_GAIN = 0.01
"""A change that removes less than this share of the endpoint is not worth it, however surely it does."""
ROUNDS = 6
"""Changes kept at most, one after the other."""
RACING_SEEDS = 4
"""Fewer seeds than this are not divided: a half of them would tell too little."""
SEARCH_LEVEL = 0.2
"""A change is promising where its p, corrected for all of the round, is at most this: the search goes on from it where
none is better beyond noise. To be kept in the end it has to be that on fresh seeds."""
FIRST_LOOK = 0.75
"""Share of the level for the first look at a round's changes; the rest is for a second one with more seeds."""
FIRST_PROOF = 0.5
"""Likewise of the level of the proof on fresh seeds: with one change to judge, the look with more seeds has as much."""
MORE_SEEDS = 3
"""Seeds at the second look, in multiples of those at the first."""
SECOND_LOOKS = 4
"""Changes of a round that get a second look, at most."""
RUNNERS_UP = 3
"""Changes that were better beyond noise beside the one that was kept, and come first in the next round, at most."""

Train = Callable[[Recipe, tuple[int, ...]], Arm]
Apply = Callable[[Recipe, Change], Recipe]
Diagnose = Callable[[Arm], Diagnosis]
Propose = Callable[[Diagnosis, Sequence[Change], bool, Sequence[Change]], Sequence[Sequence[Change]]]
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
    change which the diagnosis puts first, where it asks for one. Where none is better beyond noise, those that would be
    promising, were their effect to stay what it is on `MORE_SEEDS` times the seeds, get these seeds and a second look
    at what the first left of the level. The search goes on from the best; where even that is no better than chance,
    from the one that was proposed first of those that are better; and where none is, from the surest of those that are
    promising (`SEARCH_LEVEL`).

    At the end all that the search went on from is trained on as many fresh seeds, and where that tells too little, on
    `MORE_SEEDS` times as many. What is kept has to be better than the first baseline there, beyond noise. Its last
    change has to be better than what it was tried against: beyond noise there, or at all, where it was beyond noise in
    the search. A last change that isn't is taken back, and the one before is looked at likewise.

    Args:
        recipe: the baseline.
        train: trains a recipe on seeds; what it raises counts as a failed trial, but for Ctrl-C.
        apply: a recipe after a change; `InputError` where it can't be changed so.
        diagnose: what an arm's run says.
        propose: changes to try in batches, most promising first, given a diagnosis, those that were of no use before,
            whether the baseline is no better than chance, and the changes that were better beyond noise in the round
            before, the kept one first: what they mend may be there still.
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
    fresh: dict[int, list[Arm]] = field(default_factory=dict)
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
            self.reserve = 2 * self.cost(recipe, len(self.seeds))  # of a function, known by now
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
        base, useless, again = 0, [], []
        for _ in range(rounds):
            diagnosis = self.trials[base].diagnosis
            self.report(Progress("diagnose", f"{diagnosis.verdict}: {diagnosis.reason}", finished=True))
            batches = self.propose(diagnosis, useless, self._at_chance(self.arms[base]), again)
            if not any(batches):
                return "There was nothing left to try."
            asked = {edits_of(c) for finding in diagnosis.found for c in finding.changes}
            kept, spent = self._round(base, batches, asked)
            if kept is None:
                return "The budget is spent." if spent else "No change was better beyond noise."
            if not self._at_chance(self.arms[base]):  # beside another fault that keeps it there, nothing helps
                losing = [
                    t.change for t in self.trials if t.against == base and t.comparison and t.comparison.effect > 0
                ]
                useless += [change for change in losing if change is not None]
            again = self._helpful(base, kept)
            base = kept
            self.reserve += self.cost(self.recipes[kept], len(self.seeds))
            if spent:
                return "The budget is spent."
        kept = "1 change was" if rounds == 1 else f"{rounds} changes were"
        return f"{kept} kept, as many as were asked for."

    def _helpful(self, base: int, kept: int) -> list[Change]:
        """The change that was kept, and the largest of those that were better beyond noise beside it: what they mend
        may be there still."""
        beside = [
            (trial.comparison.effect, place)
            for place, trial in enumerate(self.trials)
            if trial.against == base and place != kept and trial.comparison
            if trial.comparison.better and trial.comparison.gain >= self.least_gain
        ]
        places = [kept, *(place for _, place in sorted(beside)[:RUNNERS_UP])]
        return [change for place in places if (change := self.trials[place].change) is not None]

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
                    told = {(other.label, why) for other, why in self.refused}
                    if (change.label, str(problem)) not in told and not self._has(base, change):
                        self.refused.append((change, str(problem)))
                    continue
                if after.hash not in known:
                    known.add(after.hash)
                    candidates.append((change, after))
            groups.append(range(first, len(candidates)))
        looks = Looks(dict(enumerate(weights_of([edits_of(change) in asked for change, _ in candidates]))))
        arms: dict[int, list[Arm]] = {}
        spent, undecided = False, []
        if not self.budget.limited:
            groups = [range(len(candidates))]
        for number, places in enumerate(groups):
            alive, short = self._race(base, candidates, places, arms)
            spent = spent or short
            looks.finished += alive
            undecided += alive
            self._look(looks, base, arms, alive, FIRST_LOOK)
            if not looks.worth and (number or len(groups) == 1):  # all that findings ask for has been tried
                recipes = {place: candidates[place][1] for place in undecided}
                again, short = self._seen_again(base, looks, recipes, arms)
                self._look(looks, base, arms, again, 1.0 - FIRST_LOOK)
                spent, undecided = spent or short, []
            if looks.worth:
                break
        return self._keep(base, candidates, arms, looks), spent

    def _has(self, base: int, change: Change) -> bool:
        """Whether what a change sets was set on the way to a baseline: there is nothing to tell of it any more."""
        place: int | None = base
        while place:
            kept = self.trials[place].change
            if kept and all(kept.edits.get(path) == value for path, value in change.edits.items()):
                return True
            place = self.trials[place].against
        return False

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
                more = max(0, self.cost(after, len(self.seeds)) - self.cost(self.recipes[0], len(self.seeds)))
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

    def _look(self, looks: Looks, base: int, arms: dict[int, list[Arm]], places: Sequence[int], share: float) -> None:
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
        worth = [place for place in sorted(places) if looks.compared[place].gain >= self.least_gain]
        looks.worth = [place for place in worth if looks.compared[place].better]
        looks.promising = [place for place in looks.promising if place not in places]
        looks.promising += [place for place in worth if looks.compared[place].adjusted_p <= SEARCH_LEVEL]

    def _seen_again(
        self, base: int, looks: Looks, recipes: dict[int, Recipe], arms: dict[int, list[Arm]]
    ) -> tuple[list[int], bool]:
        """Train more seeds of the baseline and of the changes that would be better beyond noise on so many, were their
        effect to stay what it is; the places of those changes, and whether the budget was too small for some.

        Args:
            base: the place of the baseline.
            looks: what is known of the changes.
            recipes: of those that have had their first look only, by place.
            arms: of all changes so far.
        """
        total = sum(looks.weights.values())
        hoped = {}
        for place in recipes:
            level = SEARCH_LEVEL * (1.0 - FIRST_LOOK) * looks.weights[place] / total
            foreseen = self._compared(self.arms[base], joined(arms[place]), level, as_if=MORE_SEEDS)
            if foreseen.better and foreseen.gain >= self.least_gain:
                hoped[place] = foreseen.p / looks.weights[place]
        have = len(self.arms[base].losses) // len(self.seeds)
        groups = range(MORE_SEEDS + 1, 2 * MORE_SEEDS)
        parts = [part for group in groups for part in self._parts(group)]
        missing = [part for group in groups[have - 1 :] for part in self._parts(group)]
        wanted = [(None, self.recipes[base], part) for part in missing]
        again: list[int] = []
        for place in sorted(hoped, key=lambda place: hoped[place])[:SECOND_LOOKS]:
            more = [(place, recipes[place], part) for part in parts]
            if self._affords(sum(self.cost(recipe, len(part)) for _, recipe, part in [*wanted, *more])):
                again.append(place)
                wanted += more
        if not again:
            return [], bool(hoped)
        self.report(Progress("change", f"more seeds of {len(again)} that look promising"))
        results = self._counted(self.each(lambda trial: self._attempt(*trial[1:]), wanted))
        made: dict[int | None, list[Arm]] = {}
        for (place, _, _), result in zip(wanted, results, strict=True):
            if isinstance(result, Arm):
                made.setdefault(place, []).append(result)
        if len(made.get(None, [])) < len(missing):
            return [], True
        self.arms[base] = joined([self.arms[base], *made.get(None, [])])
        whole = sorted(place for place in again if len(made.get(place, [])) == len(parts))
        for place in whole:
            arms[place] += made[place]
        return whole, len(whole) < len(again)

    def _keep(
        self, base: int, candidates: list[tuple[Change, Recipe]], arms: dict[int, list[Arm]], looks: Looks
    ) -> int | None:
        """Note all changes of a round as trials; the place of the one that is kept, if one is."""
        whole = {place: joined(parts) for place, parts in arms.items()}
        compared, worth = looks.compared, looks.worth or looks.promising
        best = min(worth, key=lambda p: compared[p].effect if looks.worth else compared[p].adjusted_p, default=None)
        useless = best is not None and self._at_chance(whole[best])
        if useless:  # less bad than before is no merit yet: what the diagnosis puts first leads on
            best = min(worth)
        kept = None
        for place, arm in whole.items():
            change, recipe = candidates[place]
            if place == best:
                kept = len(self.trials)
            ended = place in looks.finished
            note = note_of(compared[place], place == best, place in worth, ended, len(arm.losses), useless)
            self.trials.append(
                Trial(arm.run, self.diagnose(arm), change, compared[place], place == best, base, arm.steps, note)
            )
            self.recipes.append(recipe)
            self.arms.append(arm)
            self.report(Progress("change", f"{change.label}: {note}", finished=True))
        return kept

    def _confirm(self) -> tuple[Comparison | None, tuple[Arm, Arm] | None]:
        """The kept recipe against the first baseline, on seeds that had no part in choosing it.

        What was kept last is taken back where it is not better than what it was tried against there too.
        """
        kept = [place for place, trial in enumerate(self.trials) if trial.kept]
        if len(kept) == 1:
            return None, None
        self.report(Progress("confirm", "the kept recipes and the baseline on fresh seeds"))
        kept = self._trained_anew(kept)
        if len(kept) == 1:
            return None, None
        own = {after: self._proven(before, after) for before, after in itertools.pairwise(kept)}
        best, gain, proven = kept[1], own[kept[1]], []
        for number in range(len(kept) - 1, 0, -1):
            best = kept[number]
            gain = own[best] if number == 1 else self._proven(0, best)
            if self._holds(best, own[best]) and gain.better:
                proven = kept[1 : number + 1]
                break
            self._settle(best, "Fresh seeds did not bear it out.", better=False, kept=False)
        for place in proven:
            held = self._holds(place, own[place])
            more = "" if held else ", within noise; what builds on it is better beyond it"
            self._settle(place, f"On fresh seeds: {own[place].gain:.1%}{more}.", held)
        groups = gain.pairs // len(self.seeds)
        return gain, (joined(self.fresh[0][:groups]), joined(self.fresh[best][:groups]))

    def _trained_anew(self, kept: list[int]) -> list[int]:
        """Train what was kept on fresh seeds; what could not be is taken back, and what builds on it."""
        for number, place in enumerate(kept):
            try:
                self._train_fresh([place], range(1, 2))
            except UnwritableError:
                raise
            except Exception as problem:  # what a model or a function of the user's raises is no closed list
                if not number:
                    raise
                for other in kept[number:]:
                    self._settle(other, f"On fresh seeds it failed: {_told(problem)}", better=False, kept=False)
                return kept[:number]
        return kept

    def _holds(self, place: int, fresh: Comparison) -> bool:
        """Whether a change is better beyond noise, all others allowed for, on the seeds of the search or on fresh ones,
        and better at all on fresh ones."""
        made = self.trials[place].comparison
        return fresh.better or (fresh.effect < 0 and made is not None and made.better)

    def _settle(self, place: int, more: str, better: bool, kept: bool = True) -> None:
        """Say of a change that was promising what fresh seeds made of it."""
        trial = self.trials[place]
        made = None if trial.comparison is None else dataclasses.replace(trial.comparison, better=better)
        note = f"{trial.note.replace('Promising:', 'Kept:', kept)} {more}"
        self.trials[place] = dataclasses.replace(trial, comparison=made, kept=kept, note=note)

    def _proven(self, before: int, after: int) -> Comparison:
        """One recipe against another on fresh seeds; where that tells too little, on `MORE_SEEDS` times as many."""

        def compared(groups: int, share: float, as_if: float = 1.0) -> Comparison:
            old, new = (joined(self.fresh[place][:groups]) for place in (before, after))
            return self._compared(old, new, share=share, as_if=as_if)

        made = compared(1, FIRST_PROOF)
        if made.better or not compared(1, 1.0 - FIRST_PROOF, MORE_SEEDS).better:
            return made
        groups = range(2, MORE_SEEDS + 1)
        count = len(groups) * len(self.seeds)
        missing = [place for place in (before, after) if len(self.fresh[place]) == 1]
        self.reserve = 0
        if not self._affords(sum(self.cost(self.recipes[place], count) for place in missing)):
            return made
        self._train_fresh(missing, groups)
        return compared(MORE_SEEDS, 1.0 - FIRST_PROOF)

    def _train_fresh(self, places: Sequence[int], groups: range) -> None:
        """Train recipes on groups of fresh seeds."""
        parts = [self._parts(group) for group in groups]
        trials = [(place, part) for place in places for group in parts for part in group]
        trained = iter(self._counted(self.each(lambda trial: self._trained(self.recipes[trial[0]], trial[1]), trials)))
        for place in places:
            arms = [joined([next(trained) for _ in group]) for group in parts]
            self.fresh.setdefault(place, []).extend(arms)

    def _over_chance(self, arm: Arm) -> Comparison | None:
        constant = self.chance(arm.run.seeds)
        return None if constant is None else self._compared(constant, arm)

    def _at_chance(self, arm: Arm) -> bool:
        """Whether an arm is no better than the mean or the prior, or by too little to be worth a change."""
        made = self._over_chance(arm)
        return made is not None and not (made.better and made.gain >= self.least_gain)

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
            return _told(problem)

    def _trained(self, recipe: Recipe, seeds: tuple[int, ...]) -> Arm:
        arm = self.train(recipe, seeds)
        if arm.interrupted:
            raise KeyboardInterrupt
        return arm

    def _counted(self, results: list[Any]) -> list[Any]:
        """The results of trials, their steps added to the search's: here, for trials may run in several threads."""
        self.steps += sum(arm.steps for arm in results if isinstance(arm, Arm))
        return results


def _told(problem: Exception) -> str:
    """Why a trial failed, one line."""
    reason = next(iter(str(problem).strip().splitlines()), "")
    return f"{type(problem).__name__}: {reason[:300]}" if not isinstance(problem, InputError) else reason
