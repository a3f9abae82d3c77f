"""Pretrained networks nested in a recipe's model: their weights come from installed packages, never from a seed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from goodfit.training import architectures

PRETRAINED = "pretrained_"
"""With it begins the name of a nested network whose weights an installed package carries."""


def carry_weights(model: Any) -> None:
    """Give the pretrained networks inside a model the weights that installed packages carry."""
    for layer in getattr(model, "layers", None) or ():
        if isinstance(layer, keras.Model) and layer.name.startswith(PRETRAINED):
            values = _installed(layer.name.removeprefix(PRETRAINED), tuple(layer.input_shape[1:]))
            for variable, value in zip(layer.weights, values, strict=True):
                variable.assign(value)


@functools.lru_cache(maxsize=2)
def _installed(name: str, shape: Sequence[int]) -> list[np.ndarray]:
    return [np.asarray(v.value) for v in architectures.build(name, shape, weights="installed").weights]
