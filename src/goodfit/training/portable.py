"""The training of arms as a value that another process can be sent: recipes and seeds in, trained members out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax
import keras

from goodfit.training import arms
from goodfit.training.arms import Rows, Trained
from goodfit.training.own_model import OwnModel
from goodfit.values import Recipe


class PortableTraining:
    """Trains a model's recipes on rows, in whatever process it is called, to the numbers of the one that made it.

    It holds the rows, the model's code and given weights, Keras's and JAX's settings, and into how many groups members
    are divided: members of a group are trained in one product, so that the size of a group shows in the last bits.
    Compiled programs stay in the process where they were made.

    Args:
        own: the model.
        rows: to train on.

    Example:
        >>> import numpy as np
        >>> from goodfit.training import own_model
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> own = own_model.read(model, batch_size=4, epochs=2)
        >>> x, rows = np.arange(8, dtype="float32")[:, None], np.arange(8)
        >>> train = PortableTraining(own, Rows(x, x, lambda _: arms.Division(rows[:4], rows[4:6], rows[6:])))
        >>> train(own.recipe, (0, 1)).outputs.shape
        (2, 8, 1)
    """

    def __init__(self, own: OwnModel, rows: Rows) -> None:
        self.own = own
        self.rows = rows.plain()
        self.groups = os.cpu_count() or 1
        self.settings = _settings()

    def __call__(self, recipe: Recipe, seeds: tuple[int, ...], signals: int = 0) -> Trained:
        """Train one member per seed, one group after the other: a worker has one core."""
        _apply(self.settings)
        return arms.train(recipe, self.own, self.rows, seeds, threads=self.groups, at_once=1, signals=signals)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "rows": self.rows.plain()}


def _settings() -> dict[str, Any]:
    return {
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        **{name: getattr(jax.config, name) for name in ("jax_enable_x64", "jax_default_matmul_precision")},
    }


def _apply(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if name.startswith("jax_"):
            jax.config.update(name, value)
        else:
            getattr(keras.config, f"set_{name}")(value)
