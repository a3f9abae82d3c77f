"""The default network of a table: a multilayer perceptron with a size that fits the number of rows."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from goodfit.training.recipes import serialize
from goodfit.values import Dataset, EarlyStopping, Recipe

STEPS_AT_MOST = 30_000
"""Optimizer steps of the longest training: what keeps a table of a million rows within minutes."""


def mlp(dataset: Dataset, *, epochs: int | None = None, seed: int = 0) -> Recipe:
    """The recipe of a sensible first network for a table.

    Two hidden layers with SiLU activation (Elfwing, Uchibe and Doya 2018), He initialization (He et al. 2015, eq. 10)
    and a dropout of 0.3 (Srivastava et al. 2014); AdamW (Loshchilov and Hutter 2019) at Adam's default rate with a
    weight decay of 0.3 for a regression and 1 for classes, where it keeps probabilities from overconfidence; early
    stopping on the validation loss with the best epoch's weights kept. Width and activation were chosen on other small
    tables (Boston, Carseats, Hitters, College, OJ, Fashion-MNIST at 8 by 8 pixels); dropout and decay on those and on
    other splits of Auto MPG and wine than `benchmarks/quality` scores. The output layer starts with small weights and a
    bias at the mean or the prior of the training rows, so that the initial loss is chance's.

    Args:
        dataset: prepared rows; sizes and the prior are taken from its training rows.
        epochs: passes over the training rows at most; chosen by the number of rows where `None`.
        seed: of the first member.

    Returns:
        a portable recipe.
    """
    rows = len(dataset.train)
    features = dataset.x.shape[1]
    decay = 0.3 if dataset.task == "regression" else 1.0
    units = 128 if rows < 10_000 else 256
    batch_size = int(np.clip(2 ** round(math.log2(max(rows / 16, 1))), 8, 256))
    steps = math.ceil(rows / batch_size)
    if epochs is None:
        epochs = int(np.clip(STEPS_AT_MOST // steps, 20, 1000))
    loss, metrics, outputs, activation, bias = _head(dataset)
    small: Any = keras.initializers.VarianceScaling(1e-4, "fan_in", "truncated_normal")
    optimizer: Any = keras.optimizers.serialize(keras.optimizers.AdamW(learning_rate=0.001, weight_decay=decay))
    model = keras.Sequential(
        [
            keras.Input((features,), name="inputs"),
            keras.layers.Dense(units, "silu", kernel_initializer="he_normal", name="hidden_1"),
            keras.layers.Dropout(0.3, name="dropout_1"),
            keras.layers.Dense(units, "silu", kernel_initializer="he_normal", name="hidden_2"),
            keras.layers.Dropout(0.3, name="dropout_2"),
            keras.layers.Dense(
                outputs,
                activation,
                kernel_initializer=small,
                bias_initializer=bias,
                name="output",
            ),
        ],
        name="mlp",
    )
    return Recipe(
        model=serialize(model),
        optimizer=optimizer,
        loss=loss,
        metrics=metrics,
        batch_size=batch_size,
        epochs=epochs,
        early_stopping=EarlyStopping(patience=max(10, epochs // 20)),
        seed=seed,
    )


def _head(dataset: Dataset) -> tuple[str, tuple[str, ...], int, str, Any]:
    """Loss, metrics, output units, output activation and the output bias's initializer of a task."""
    y, constant = dataset.y[dataset.train], keras.initializers.Constant
    if dataset.task == "regression":
        return "mean_squared_error", ("mean_absolute_error",), 1, "linear", constant(float(np.mean(y)))
    counts = np.bincount(y, minlength=len(dataset.classes)) + 1.0  # one imagined row of each keeps the logarithm finite
    prior = counts / counts.sum()
    if dataset.task == "binary":
        return "binary_crossentropy", ("accuracy",), 1, "sigmoid", constant(float(np.log(prior[1] / prior[0])))
    return "sparse_categorical_crossentropy", ("accuracy",), len(prior), "softmax", constant(np.log(prior).tolist())
