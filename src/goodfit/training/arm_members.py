"""The members of one compiled training of arms: where they start, how they visit rows, what their layers hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import members
from goodfit.training.arm_parts import Groups, Part, groups
from goodfit.training.members import Job
from goodfit.training.own_model import layers as weighted_layers
from goodfit.training.programs import learning_rate_place
from goodfit.values import Recipe

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


def starting_state(model: keras.Model, weights: Weights, part: Part, recipe: Recipe) -> tuple[list[np.ndarray], ...]:
    """A member before its first step: its own weights and random streams, a fresh optimizer at the recipe's rate.

    Args:
        model: the member's whole model, as its seed drew it.
        weights: what a stage before this one left in some of its layers.
        part: what of it is trained.
        recipe: of the stage.

    Raises:
        InputError: the model has other variables than the part's.
    """
    for path, layer in weighted_layers(model) if weights else ():
        for variable, value in zip(layer.weights, weights.get(path, ()), strict=False):
            variable.assign(value)
    template = part.model
    optimizer = [np.asarray(variable.value) for variable in template.optimizer.variables]
    config = recipe.optimizer["config"]
    rate = config.get("learning_rate")
    if isinstance(rate, float) and recipe.schedule is None:
        place = learning_rate_place(template.optimizer)  # the template may have been compiled for another rate
        optimizer[place] = np.asarray(rate, optimizer[place].dtype)
    mine: Groups = groups(model, part.places)
    theirs = (template.trainable_variables, template.non_trainable_variables)
    for group, other in zip(mine, theirs, strict=True):
        if [v.shape for v in group] != [v.shape for v in other]:
            raise InputError("rebuilt from its configuration, the model has other variables.", "Check its get_config.")
    values = [[np.asarray(variable.value) for variable in group] for group in mine]
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
