"""Compiled programs that recipes share which differ only in what such a program takes as an argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from goodfit.training.members import EpochsProgram
from goodfit.training.recipes import build
from goodfit.values import Recipe
from goodfit.values._json import content_hash

Weights = dict[tuple[str, int], tuple[list[np.ndarray], list[np.ndarray]]]
"""Trainable and non-trainable variables before the first step, by the hash of the model's configuration and a seed."""


class Programs:
    """What trainings of many recipes share: compiled programs, and initial weights.

    Recipes share a program where they differ only in learning rate, initializers, seed and epochs. Whoever made a
    `Programs` keeps it, with all that is in it; the size of the validation's batches is always the same.

    Args:
        weights: initial ones, shared with other `Programs`.
    """

    def __init__(self, weights: Weights | None = None) -> None:
        self._programs: dict[str, tuple[keras.Model, EpochsProgram]] = {}
        self._weights: Weights = {} if weights is None else weights

    def __len__(self) -> int:
        """How many programs there are."""
        return len(self._programs)

    def clear(self) -> None:
        """Forget all of them."""
        self._programs.clear()
        self._weights.clear()

    def find(self, recipe: Recipe) -> tuple[keras.Model, EpochsProgram] | None:
        """The compiled model and the program of a recipe, if one that can share it was trained before."""
        return self._programs.get(key_of(recipe))

    def keep(self, recipe: Recipe, model: keras.Model, compiled: EpochsProgram) -> None:
        """Keep a recipe's compiled model and program."""
        self._programs[key_of(recipe)] = (model, compiled)

    def weights(self, recipe: Recipe, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The initial trainable and non-trainable variables of one member, drawn once."""
        key = (content_hash(recipe.model), seed)
        if key not in self._weights:
            self._weights[key] = initial_weights(recipe, seed)
        return self._weights[key]


def initial_weights(recipe: Recipe, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The trainable and the non-trainable variables of one member before its first step."""
    model = build(recipe, seed)
    trainable, rest = (
        [np.asarray(v.value) for v in g] for g in (model.trainable_variables, model.non_trainable_variables)
    )
    return trainable, rest


def key_of(recipe: Recipe) -> str:
    """Equal for recipes that can share a program."""
    fields = recipe.replace(epochs=1, seed=0, model=_without_draws(recipe.model)).to_dict()
    config = fields["optimizer"]["config"]
    config.pop("name", None)  # Keras counts them on
    if isinstance(config.get("learning_rate"), float):
        config["learning_rate"] = 0.0
    return content_hash(fields)


def _without_draws(part: Any) -> Any:
    """A model's configuration without its initializers and seeds, which only set where a training starts."""
    if isinstance(part, Mapping):
        drawn = ("_initializer",)
        return {k: _without_draws(v) for k, v in part.items() if not str(k).endswith(drawn) and k != "seed"}
    return [_without_draws(item) for item in part] if isinstance(part, (list, tuple)) else part
