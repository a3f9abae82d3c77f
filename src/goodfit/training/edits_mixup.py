"""Mixup as an edit of a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from goodfit.errors import InputError
from goodfit.training.edits_graph import Graph, is_graph
from goodfit.values import Recipe

CODES = frozenset(
    {"Embedding", "StringLookup", "IntegerLookup", "TextVectorization", "CategoryEncoding", "Hashing", "HashedCrossing"}
)
"""Layers whose inputs are no quantities: a blend of two codes is a third code."""


def mixed_up(recipe: Recipe, alpha: float) -> Recipe:
    """The recipe whose training steps blend pairs of rows, see `goodfit.training.blending`.

    Args:
        recipe: of a model with one loss.
        alpha: α of the Beta distribution that the shares are drawn from.

    Raises:
        InputError: an alpha that is not above 0, inputs that are codes, or a loss whose targets can't be blended.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not (math.isfinite(alpha) and alpha > 0):
        raise InputError(f"alpha of mixup is {alpha!r}.", "Give a positive number; 0.2 is usual.")
    if is_graph(recipe.model):
        coded = [place.path for place in Graph(dict(recipe.model)).places() if place.entry["class_name"] in CODES]
        if coded:
            raise InputError(f"the inputs of the layer {coded[0]!r} are codes, which can't be blended.", "Leave it.")
    name = name_of(recipe.loss)
    if name is None or "triplet" in name:
        raise InputError("the targets of this loss can't be blended.", "Blend those of a model with one plain loss.")
    return recipe.replace(preparation={**recipe.preparation, "mixup": float(alpha)})


def name_of(loss: Any) -> str | None:
    """The name of a recipe's single loss in small letters; `None` where there are several."""
    if isinstance(loss, str):
        return loss.lower()
    if not isinstance(loss, Mapping) or "class_name" not in loss:
        return None
    config = loss.get("config")
    given = config.get("name") if isinstance(config, Mapping) else config
    return f"{given or ''} {loss['class_name']}".lower()
