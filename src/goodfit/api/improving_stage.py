"""The last stage of `train`: the fresh network mended by one change at a time, before the test rows are looked at."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit import arguments, checks
from goodfit.api.improving import about_ladder
from goodfit.api.improving_table import proof_of_table
from goodfit.api.job_stages import MEASURED, stage, train_network
from goodfit.api.result import FitResult
from goodfit.improvement import Budget
from goodfit.improvement.search import ROUNDS
from goodfit.values import Dataset, Recipe, Report, Trial

if TYPE_CHECKING:
    from goodfit.api.proving import Proof
    from goodfit.training.population import Population


@dataclass(frozen=True, eq=False)
class Mended:
    """What came of it.

    Args:
        trials: the ladder. The runs of the baseline and of the kept network are those of the networks that were trained
            with all validation rows choosing the epoch, as `train` does; the runs of the others, and all comparisons,
            are those of the search, where half of these rows chose the epoch and half judged.
        trained: the kept network on every seed, with its run.
        about: what the report needs to know of it.
    """

    trials: tuple[Trial, ...]
    trained: Population
    about: dict[str, Any]


def prepared(
    recipe: Recipe,
    dataset: Dataset,
    plain: Dataset,
    seeds: int,
    budget: Budget,
    folder: Path | None,
    report: Report,
) -> Proof:
    """The study of a network that is not trained yet: what could stand in its way is said before the training.

    Args:
        recipe: of the network.
        dataset: the rows; those of the test are left out.
        plain: the same as lines of numbers, for the checks.
        seeds: how many.
        budget: of the search.
        folder: of the run, beside which finished trials are kept, or `None`.
        report: told what is done.

    Raises:
        InputError: too few seeds or validation rows, too small a budget, or finished trials of other rows.
    """
    from goodfit.training.arms import steps_at_most

    seeds = arguments.whole("seeds", seeds, 2, remedy="Give at least 2, or nothing can be told apart; 8 is usual.")
    budget.check(steps_at_most(recipe, len(dataset.train), seeds))
    held = np.concatenate([dataset.train, dataset.validation])
    beside = None if folder is None else folder.with_name(f"{folder.name}.trials")
    proof = proof_of_table(recipe, dataset.x[held], dataset.y[held], len(dataset.train), beside, report=report)
    proof.dataset = plain
    return proof


def mend(proof: Proof, dataset: Dataset, first: Population, trial: Trial, budget: Budget, report: Report) -> Mended:
    """Search from a network that was just trained, and train what is kept as that was.

    Args:
        proof: its study.
        dataset: the rows.
        first: the network as it is, on every seed.
        trial: its run and diagnosis.
        budget: of the search.
        report: told what is done.

    Raises:
        KeyboardInterrupt: Ctrl-C; finished trials are kept.
    """
    members = first.run.seeds
    known = {key: first.run.measurements[key] for key in MEASURED if key in first.run.measurements}
    proof.measurements, proof.diagnosis = known, trial.diagnosis
    with stage("improve", report) as say:
        ladder = proof.search(members, budget=budget, changes=None, most=None, rounds=ROUNDS)
        if ladder.interrupted:
            raise KeyboardInterrupt
        names = [one.change.name for one in ladder.trials if one.kept and one.change]
        tried = len(ladder.trials) - 1
        say(f"{', '.join(names) if names else 'no change'} kept of {tried} tried")
    trials = [dataclasses.replace(ladder.trials[0], run=trial.run, diagnosis=trial.diagnosis), *ladder.trials[1:]]
    trained = first
    if ladder.best:
        trained = train_network(ladder.recipe, dataset, members, known, report)
        if trained.run.outcome == "interrupted":
            raise KeyboardInterrupt
        kept = trained
        run = FitResult.of(trained.run, get_model=lambda: kept.model(kept.best_member))
        diagnosis = checks.diagnose(run, proof.dataset)
        trials[ladder.best] = dataclasses.replace(trials[ladder.best], run=run, diagnosis=diagnosis)
    return Mended(tuple(trials), trained, about_ladder(proof, ladder))
