"""The members of one compiled training of arms: where they start, how they visit rows, what their layers hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import members
from goodfit.training.arm_parts import Groups, Part, groups
from goodfit.training.members import Job
from goodfit.training.own_model import OwnModel
from goodfit.training.own_model import layers as weighted_layers
from goodfit.training.plateau import place_of
from goodfit.values import Recipe
from goodfit.values._json import content_hash

LARGEST = 250_000_000
"""Bytes of initial weights kept at most."""
Weights = dict[str, list[np.ndarray]]
"""Values of layers' variables, by the layer's path."""


class SplitProgram(members.EpochsProgram):
    """Epochs of members with divisions of their own: the order that is drawn tells each one's parts of the rows.

    Args:
        job: what they share.
        sizes: how many rows of an order train, and how many after them choose the epoch.
    """

    def __init__(self, job: Job, sizes: tuple[int, int]) -> None:
        super().__init__(job)
        self.job = dataclasses.replace(self.job, ordered=False)
        self.sizes = sizes

    def _epoch(self, member: dict[str, Any], data: Any, order: Any, on: Any) -> Any:
        train, stop = self.sizes
        pool = data[0]
        first = jax.tree.map(lambda a: a[order[:train]], pool)
        second = jax.tree.map(lambda a: a[order[train : train + stop]], pool)
        return super()._epoch(member, (first, second, None), None, on)


@dataclass(eq=False)
class Starts:
    """What the seeds of a study drew, kept while there is room: many arms differ in other things than their model.

    Args:
        most: bytes that are kept at most; the oldest go first.
    """

    most: int = LARGEST
    _known: dict[tuple[str, int, tuple[int, ...] | None], tuple[list[np.ndarray], ...]] = field(default_factory=dict)

    def of(
        self, recipe: Recipe, own: OwnModel, seeds: Sequence[int], weights: Sequence[Weights], part: Part
    ) -> list[tuple[list[np.ndarray], ...]]:
        """Each seed before its first step, see `starting_state`.

        Args:
            recipe: of the stage.
            own: the model's code and given weights, the same for all of the study.
            seeds: one per member.
            weights: what a stage before this one left in some of each one's layers.
            part: what of the model is trained.
        """
        model = content_hash(recipe.model)
        return [
            starting_state(self._drawn((model, seed, part.places), recipe, own, one, part), part, recipe)
            for seed, one in zip(seeds, weights, strict=True)
        ]

    def _drawn(
        self, key: tuple[str, int, tuple[int, ...] | None], recipe: Recipe, own: OwnModel, weights: Weights, part: Part
    ) -> tuple[list[np.ndarray], ...]:
        if weights:
            return drawn(own.build(recipe, key[1]), weights, part)
        if key not in self._known:
            made = drawn(own.build(recipe, key[1]), {}, part)
            while self._known and _bytes([*self._known.values(), made]) > self.most:
                self._known.pop(next(iter(self._known)))
            self._known[key] = made
        return self._known[key]


def drawn(model: keras.Model, weights: Weights, part: Part) -> tuple[list[np.ndarray], ...]:
    """A member's trainable and non-trainable variables before its first step.

    Args:
        model: the member's whole model, as its seed drew it.
        weights: what a stage before this one left in some of its layers.
        part: what of it is trained.

    Raises:
        InputError: the model has other variables than the part's.
    """
    for path, layer in weighted_layers(model) if weights else ():
        for variable, value in zip(layer.weights, weights.get(path, ()), strict=False):
            variable.assign(value)
    mine: Groups = groups(model, part.places)
    theirs = (part.model.trainable_variables, part.model.non_trainable_variables)
    for group, other in zip(mine, theirs, strict=True):
        if [v.shape for v in group] != [v.shape for v in other]:
            raise InputError("rebuilt from its configuration, the model has other variables.", "Check its get_config.")
    return tuple([np.asarray(variable.value) for variable in group] for group in mine)


def starting_state(values: tuple[list[np.ndarray], ...], part: Part, recipe: Recipe) -> tuple[list[np.ndarray], ...]:
    """A member before its first step: its own weights and random streams, a fresh optimizer at the recipe's rate.

    Args:
        values: its variables, from `drawn`.
        part: what of the model is trained.
        recipe: of the stage.
    """
    template = part.model
    optimizer = [np.asarray(variable.value) for variable in template.optimizer.variables]
    config = recipe.optimizer["config"]
    rate = config.get("learning_rate")
    if isinstance(rate, float) and recipe.schedule is None:
        place = place_of(template.optimizer)  # the template may have been compiled for another rate
        optimizer[place] = np.asarray(rate, optimizer[place].dtype)
    return (*values, optimizer, [np.asarray(variable.value) for variable in template.metrics_variables])


def kept_by_layer(
    model: keras.Model, kept: Sequence[Sequence[np.ndarray]], places: Sequence[int] | None, count: int
) -> list[Weights]:
    """What each member's layers with kept variables hold after a stage, by the layer's path.

    Args:
        model: built from the stage's recipe.
        kept: trainable and non-trainable variables, each of shape (members, …).
        places: of the kept variables among the model's non-trainable ones, where these are not all.
        count: of the members.
    """
    known = {
        id(variable): value
        for group, values in zip(groups(model, places), kept, strict=True)
        for variable, value in zip(group, values, strict=True)
    }
    layers = [(path, layer) for path, layer in weighted_layers(model) if all(id(v) in known for v in layer.weights)]
    return [{path: [known[id(v)][member] for v in layer.weights] for path, layer in layers} for member in range(count)]


def _bytes(members: Sequence[tuple[list[np.ndarray], ...]]) -> int:
    return sum(array.nbytes for groups in members for group in groups for array in group)
