"""The stages of `train` that train and test: sanity, training, the one look at the test rows."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import InputError
from goodfit.values import Dataset, Progress, Recipe, Report, Score

if TYPE_CHECKING:
    from goodfit.api.predictor import Predictor
    from goodfit.training.population import Population

CANNOT_LEARN = 0.95
"""A network whose loss on a small sample stays above this share of chance has learned nothing: training is no use."""
MEASURED = {"chance_loss": "chance", "linear_loss": "linear", "boosting_loss": "gradient boosting"}
"""Name of each baseline's validation loss in `Run.measurements` -> what to call it."""
BEFORE = "network before"
"""The model of a `Score` that is the network before its changes."""


@contextlib.contextmanager
def stage(name: str, report: Report) -> Iterator[Any]:
    """Report that a stage began, and what it came to; the block is given a function that takes that text."""
    said: list[str] = []
    report(Progress(name))
    yield said.append
    report(Progress(name, text=said[-1] if said else "", finished=True))


def check_sanity(recipe: Recipe, dataset: Dataset, members: Sequence[int], chance: float, report: Report) -> float:
    """The loss that the network reaches on a few rows; `InputError` where it can't learn even these by heart."""
    from goodfit.training import sanity

    with stage("sanity", report) as say:
        small = sanity.overfit_small_sample(recipe, dataset, tuple(members))
        if not small < CANNOT_LEARN * chance:
            raise InputError(
                f"the network can't learn even {sanity.SAMPLE_ROWS} training rows by heart: its loss on them stays at "
                f"{small:.3g}, and chance is {chance:.3g}.",
                "Look at what it was given: does anything in it tell of the target?",
            )
        say(f"loss on {sanity.SAMPLE_ROWS} rows learned by heart: {small:.2g} (chance {chance:.3g})")
    return small


def train_network(
    recipe: Recipe, dataset: Dataset, members: Sequence[int], measurements: Mapping[str, float], report: Report
) -> Population:
    """A network on every seed, its epochs chosen by the validation rows.

    Args:
        recipe: of the network.
        dataset: the rows.
        members: the seeds.
        measurements: what is known beside the curves; the run gets it, and its initial loss.
        report: told how far it has come.
    """
    from goodfit import tables
    from goodfit.training import population

    with stage("train", report) as say:
        parts = (*dataset.part("train"), dataset.part("validation"))
        trained = population.train(recipe, *parts, members, signals="auto", report=report)
        before = trained.predict(dataset.x[dataset.train], initial=True)
        initial = float(np.median([tables.loss(dataset, "train", p) for p in before]))
        run = dataclasses.replace(
            trained.run,
            measurements={**measurements, "initial_loss": initial, "validation_rows": float(len(dataset.validation))},
            task=dataset.task,
            name=dataset.target,
        )
        best = float(np.min(run.curves["val_loss"], where=np.isfinite(run.curves["val_loss"]), initial=np.inf))
        say(f"{len(run.epoch)} epochs, {len(members)} seeds: best validation loss {best:.3g}")
    return dataclasses.replace(trained, run=run)


def look_once(
    dataset: Dataset,
    trained: Population,
    baselines: Mapping[str, np.ndarray],
    kept: Predictor,
    before: Population | None = None,
) -> tuple[tuple[Score, ...], dict[str, np.ndarray]]:
    """The one look at the test rows: scores of all models there and on the validation rows, and predictions.

    Nothing is chosen by it: which network is kept stands before.

    Args:
        dataset: the rows.
        trained: the kept network, of every seed.
        baselines: the predictions of the other models for all rows.
        kept: turns outputs into the target's own units or labels.
        before: the network before its changes, where any was kept.
    """
    from goodfit import tables

    scores: list[Score] = []
    final: dict[str, np.ndarray] = {}
    for split in ("validation", "test"):
        index = getattr(dataset, split)
        for name, population in (("network", trained), (BEFORE, before)):
            if population is None:
                continue
            best, outputs = population.best_member, population.predict(dataset.x[index])
            each = [tables.score(dataset, name, split, member, bootstrap=0) for member in outputs]
            for place, score in enumerate(tables.score(dataset, name, split, outputs[best])):
                scores.append(dataclasses.replace(score, spread=tuple(member[place].value for member in each)))
            if population is trained:
                final = kept.columns(outputs[best])
        for model, predictions in baselines.items():
            scores.extend(tables.score(dataset, model, split, predictions))
    y = dataset.y[dataset.test]
    predictions = {
        "row": dataset.rows[dataset.test],
        "true": dataset.original_units(y) if dataset.task == "regression" else np.asarray(dataset.classes)[y],
        "predicted": final.pop(f"predicted {dataset.target}"),
    }
    if final:
        predictions["probability"] = np.column_stack(list(final.values()))
    return tuple(scores), predictions
