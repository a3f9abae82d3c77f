"""What of a recipe's model its arms train: all of it, or what follows the layers whose outputs never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from goodfit.training import frozen_features
from goodfit.training.own_model import OwnModel
from goodfit.training.own_model import layers as weighted_layers
from goodfit.training.pretrained_networks import PRETRAINED
from goodfit.training.recipes import serialize
from goodfit.values._json import content_hash

BATCH_SIZE = 64
"""Rows that pass through frozen layers at a time."""
Groups = tuple[list[Any], list[Any]]
"""Trainable and non-trainable variables, or their values."""


@dataclass(frozen=True, eq=False)
class Part:
    """A model, and what of it is trained.

    Args:
        model: what is trained: all of it, or its rest behind the frozen layers.
        front: inputs to features; `None` where all of the model is run in every step.
        places: of the rest's non-trainable variables among those of the whole model; `None` where it is the whole.
        key: equal for fronts that make the same features.
    """

    model: keras.Model
    front: keras.Model | None = None
    places: tuple[int, ...] | None = None
    key: str = ""

    @classmethod
    def of(cls, model: keras.Model, own: OwnModel, rows: int) -> Part:
        """What of a model needs to be run in every step.

        Args:
            model: built, its layers frozen as in the training.
            own: whose given weights are the same for every seed; a layer that each seed draws is no front.
            rows: how many the features are to be kept of.
        """
        cut = frozen_features.halves(model, rows)
        if isinstance(cut, str) or not all(
            _same_for_all(path, layer, own) for path, layer in weighted_layers(cut.front)
        ):
            return cls(model)
        known = {id(variable): place for place, variable in enumerate(model.non_trainable_variables)}
        places = tuple(known[id(variable)] for variable in cut.rest.non_trainable_variables)
        config: Any = serialize(cut.front)
        config["config"]["name"] = ""  # Keras counts it on
        return cls(cut.rest, cut.front, places, content_hash([config, own.recipe.initial_weights]))

    def features(self, x: Any) -> Any:
        """What the front makes of rows: an array, or a list of them; the rows themselves where there is no front."""
        return x if self.front is None else self.front.predict(x, batch_size=BATCH_SIZE, verbose=0)


def groups(model: keras.Model, places: Sequence[int] | None) -> Groups:
    """The variables of a whole model that its part has too, in the part's order.

    Args:
        model: built from the recipe that the part was cut from.
        places: of the part.
    """
    others = model.non_trainable_variables
    return model.trainable_variables, others if places is None else [others[place] for place in places]


@dataclass(eq=False)
class Features:
    """What frozen layers made of the rows of a study: the last few fronts', for many arms share one."""

    most: int = 2
    _known: dict[str, Any] = field(default_factory=dict)

    def of(self, part: Part, x: Any) -> Any:
        """The features of all rows, computed once."""
        if part.front is None:
            return x
        if part.key not in self._known:
            while len(self._known) >= self.most:
                self._known.pop(next(iter(self._known)))
            self._known[part.key] = part.features(x)
        return self._known[part.key]


def _same_for_all(path: str, layer: Any, own: OwnModel) -> bool:
    if path.startswith(PRETRAINED):
        return True
    given = own.given.get(path)
    return given is not None and [np.shape(value) for value in given] == [tuple(v.shape) for v in layer.weights]
