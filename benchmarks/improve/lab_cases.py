"""Faulty trainings of the fault lab with their healthy twins, as `improve` is given them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MENDABLE = (
    "unscaled-inputs", "unscaled-target", "regularization-on-unscaled-inputs", "poor-initialization", "large-weights",
    "dying-relu", "saturated-units", "vanishing-gradients", "exploding-gradients",
    "initialization-activation-mismatch", "selu-conditions", "batch-norm-small-batch", "output-loss-mismatch",
    "dropout-too-strong", "regularization-too-strong", "underfitting", "overfitting", "learning-rate-too-low",
    "learning-rate-too-high", "unfinished", "unstable", "diverged",
)  # fmt: skip
"""Faults that a change of the recipe can mend. Those of the rows themselves (leaked targets, doubled rows, a shift, too
few rows, shuffled targets) are none: only other rows mend them."""
_SCALES = ("input_spread", "input_scale", "target_scale")


@dataclass(frozen=True, eq=False)
class Faulty:
    """A training, and its healthy twin.

    Args:
        name: of the lab's case.
        fault: what was planted; "" where the training is healthy itself.
        case: as the lab wrote it.
        twin: the block's healthy training of the lowest validation loss.
    """

    name: str
    fault: str
    case: dict[str, Any]
    twin: dict[str, Any]

    def recipe(self) -> Any:
        """What is mended."""
        return _recipe(self.case)

    def healthy_recipe(self) -> Any:
        """What it is measured against."""
        return _recipe(self.twin)

    def cured_recipe(self) -> Any:
        """The same training without the fault, at its rate and for its epochs; that of the twin where the fault is the
        rate or the epochs, or where there is none."""
        from goodfit.lab.faults import sources
        from goodfit.lab.faults.blocks import Block, healthy_setup
        from goodfit.lab.faults.plants import plants
        from goodfit.lab.faults.setups import recipe

        base = healthy_setup(Block(self.case["dataset"], self.case["variant"]))
        dataset, own = self.healthy_dataset(), self.recipe()
        images = self.case["dataset"] in sources.IMAGES
        cures = {one.slug: one.cure for one in plants(base, dataset.task, self.case["variant"], images=images)}
        if self.fault not in cures:
            return self.healthy_recipe()
        rate, stopping = own.optimizer["config"]["learning_rate"], own.early_stopping
        made = recipe(cures[self.fault], dataset, rate, own.epochs, None if stopping is None else stopping.patience)
        return made.replace(metrics=())

    def dataset(self) -> Any:
        """The rows with the fault."""
        from goodfit.lab.faults.score import rows_of

        return rows_of(self.case)

    def healthy_dataset(self) -> Any:
        """The same rows, on the scales of a healthy job."""
        from goodfit.lab.faults.score import rows_of

        kept = {name: value for name, value in self.case["treatment"].items() if name not in _SCALES}
        return rows_of({**self.case, "treatment": kept})


def _recipe(case: dict[str, Any]) -> Any:
    from goodfit.values import Recipe

    return Recipe.from_dict(case["run"]["recipe"]).replace(metrics=())


def faulty(folder: Path, done: Collection[str], *, healthy_every: int = 0) -> Iterator[Faulty]:
    """Cases of the lab's scored datasets that are not done, so ordered that all faults come equally often.

    Args:
        folder: the lab's finished blocks.
        done: names of cases.
        healthy_every: every how many cases one is healthy itself; none where 0.
    """
    from goodfit.lab.faults.folder import Folder

    found: list[Faulty] = []
    for block in Folder(folder).read():
        healthy = [case for case in block["cases"] if case["healthy"] and case["loss"][1] is not None]
        if block["half"] != "scored" or not healthy:
            continue
        twin = min(healthy, key=lambda case: case["loss"][1])
        found += [
            Faulty(case["name"], case["planted"], case, twin)
            for case in block["cases"]
            if case["kept"] and (case["planted"] in MENDABLE or case["healthy"])
            if set(case["treatment"]) <= set(_SCALES)
        ]
    found.sort(key=lambda one: hashlib.sha256(one.name.encode()).hexdigest())
    seen = Counter(one.fault for one in found if one.name in done)
    left = [one for one in found if one.name not in done]
    count = sum(seen.values())
    while left:
        wants_healthy = bool(healthy_every) and count % healthy_every == healthy_every - 1
        fit = [one for one in left if (one.fault == "") == wants_healthy]
        if not fit:
            return
        chosen = min(fit, key=lambda one: seen[one.fault])
        left.remove(chosen)
        seen[chosen.fault] += 1
        count += 1
        yield chosen


@dataclass(frozen=True, eq=False)
class Study:
    """A recipe on a dataset as `improve` has it.

    Args:
        proof: trains and judges.
        x: inputs of the hidden rows, in which the search has no part.
        y: their targets.
    """

    proof: Any
    x: np.ndarray
    y: np.ndarray

    def validation_loss(self, recipe: Any, parts: list[tuple[int, ...]]) -> float:
        """The endpoint on the judging rows over that of chance, mean over the seeds, none above ten times chance.

        It is the half of each seed's validation rows that judges whatever the training asks of the others.
        """
        judge = [self.proof.rows.divide(seed).judge for seeds in parts for seed in seeds]
        losses, chance = (
            np.stack([made[place, rows] for place, rows in enumerate(judge)])
            for made in (
                np.concatenate([self.proof.train(recipe, seeds).losses for seeds in parts]),
                np.concatenate([self.proof.chance(seeds).losses for seeds in parts]),
            )
        )
        over = np.nanmean(losses, axis=1) / np.nanmean(chance, axis=1)
        return float(np.mean(np.minimum(over, 10.0)))

    def hidden_loss(self, recipe: Any, parts: list[tuple[int, ...]]) -> float:
        """The same on the hidden rows."""
        proof = self.proof
        constant = proof.endpoint.constant(proof.rows.y[proof.rows.divide(0).train])
        plain = proof.own.recipe.replace(loss="mse")
        chance = proof.endpoint.losses(plain, self.y, np.repeat(constant, len(self.y), axis=0)).mean()
        over = [
            proof.endpoint.losses(recipe, self.y, np.asarray(outputs)).mean() / chance
            for seeds in parts
            for outputs in proof.trained(recipe, seeds).predict(self.x, proof.own)
        ]
        return float(np.mean(np.minimum(over, 10.0)))


def study(recipe: Any, dataset: Any) -> Study:
    """The study of a recipe as `improve(model, x, y)` makes it: each seed divides training and validation rows anew, in
    the dataset's proportion."""
    from goodfit.api.improving import dataset_of_rows, divided_rows
    from goodfit.api.proving import Proof
    from goodfit.training.arms import Rows
    from goodfit.training.endpoint import endpoint_of
    from goodfit.training.own_model import OwnModel
    from goodfit.training.recipes import build

    order = np.concatenate([dataset.train, dataset.validation])
    x, y = np.asarray(dataset.x)[order], np.asarray(dataset.y)[order]
    rows = Rows(x, y, divided_rows(len(x), len(dataset.validation) / len(x)))
    outputs = np.asarray(build(recipe, 0)(x[:2], training=False))
    endpoint = endpoint_of(recipe, "loss", y[:2], outputs)
    shown = dataset_of_rows(x, y, endpoint.task, endpoint.classes, rows.divide(0))
    proof = Proof(OwnModel(recipe), rows, endpoint, "splits", None, {}, shown)
    return Study(proof, np.asarray(dataset.x)[dataset.test], np.asarray(dataset.y)[dataset.test])


def halves(seeds: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The seeds in the parts in which a search trains them."""
    half = -(-len(seeds) // 2)
    return [seeds[:half], seeds[half:]]
