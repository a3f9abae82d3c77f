"""The default networks: of a table a multilayer perceptron, of images a small convolutional network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from goodfit.training.augmentation import RandomShift
from goodfit.training.recipes import serialize
from goodfit.values import Dataset, EarlyStopping, Recipe

STEPS_AT_MOST = 30_000
"""Optimizer steps of the longest training: what keeps a table of a million rows within minutes."""
WORK_AT_MOST = 5e10
"""Multiplications of the longest training on images, of one seed, forward: what keeps it within minutes on a CPU."""
AUGMENTED_BELOW = 5_000
"""Training images below which they are shifted at random."""
HALVED_FROM = 40
"""Pixels of the longer side above which the first convolution halves an image."""
FILTERS, MOST_FILTERS, MOST_CONVOLUTIONS = 16, 64, 5
"""Filters of the first convolution, and at most; convolutions at most."""
SMALLEST = 4
"""Pixels of the longer side from which on nothing is pooled any more."""


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
            *hidden_layers(rows),
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


def hidden_layers(rows: int) -> list[Any]:
    """The hidden layers of `mlp` for so many training rows."""
    units = 128 if rows < 10_000 else 256
    return [
        keras.layers.Dense(units, "silu", kernel_initializer="he_normal", name="hidden_1"),
        keras.layers.Dropout(0.3, name="dropout_1"),
        keras.layers.Dense(units, "silu", kernel_initializer="he_normal", name="hidden_2"),
        keras.layers.Dropout(0.3, name="dropout_2"),
    ]


def cnn(dataset: Dataset, *, epochs: int | None = None, seed: int = 0) -> Recipe:
    """The recipe of a sensible first network for images.

    Convolutions of 3 by 3 with twice as many filters after each pooling (Simonyan and Zisserman 2015), as many of them
    as halve the image to about 4 pixels, and two at least; larger images are halved at once by the first convolution
    (He et al. 2016 do likewise). SiLU, He initialization, dropout before the output, AdamW and the output layer's start
    are those of `mlp`. Few training images are shifted at random by up to a twelfth of their size, in every epoch anew.

    Args:
        dataset: images, shape (rows, height, width, channels), from 0 to 1, with classes.
        epochs: passes over the training images at most; chosen by their number and size where `None`.
        seed: of the first member.

    Returns:
        a portable recipe.
    """
    rows = len(dataset.train)
    height, width, channels = dataset.x.shape[1:]
    batch_size = int(np.clip(2 ** round(math.log2(max(rows / 16, 1))), 8, 64))
    loss, metrics, outputs, activation, bias = _head(dataset)
    small: Any = keras.initializers.VarianceScaling(1e-4, "fan_in", "truncated_normal")
    layers: list[Any] = [keras.Input((height, width, channels), name="images")]
    if rows < AUGMENTED_BELOW and min(height, width) >= 12:
        layers.append(RandomShift(1 / 12, name="shift"))
    body, work = convolutions((height, width, channels))
    layers += [
        *body,
        keras.layers.Dense(outputs, activation, kernel_initializer=small, bias_initializer=bias, name="output"),
    ]
    if epochs is None:
        epochs = int(np.clip(WORK_AT_MOST / (rows * work), 10, 100))
    optimizer: Any = keras.optimizers.serialize(keras.optimizers.AdamW(learning_rate=0.001, weight_decay=0.1))
    return Recipe(
        model=serialize(keras.Sequential(layers, name="cnn")),
        optimizer=optimizer,
        loss=loss,
        metrics=metrics,
        batch_size=batch_size,
        epochs=epochs,
        early_stopping=EarlyStopping(patience=max(8, epochs // 10)),
        seed=seed,
    )


def convolutions(shape: Sequence[int]) -> tuple[list[Any], float]:
    """The layers of `cnn` between its input and its output layer, and the multiplications of one image in them.

    Args:
        shape: height, width and channels of an image.
    """
    height, width, before = shape
    strides = 2 if max(height, width) > HALVED_FROM else 1
    filters, work = FILTERS, 0.0
    layers: list[Any] = []
    for place in range(1, MOST_CONVOLUTIONS + 1):
        height, width = -(-height // strides), -(-width // strides)
        work += height * width * 9 * before * filters
        layers.append(
            keras.layers.Conv2D(
                filters, 3, strides, "same", activation="silu", kernel_initializer="he_normal", name=f"conv_{place}"
            )
        )
        if max(height, width) > SMALLEST:
            layers.append(keras.layers.MaxPooling2D(2, padding="same", name=f"pool_{place}"))
            height, width = -(-height // 2), -(-width // 2)
        elif place > 1:
            break
        strides, before, filters = 1, filters, min(2 * filters, MOST_FILTERS)
    layers += [keras.layers.Flatten(name="flatten"), keras.layers.Dropout(0.5, name="dropout")]
    return layers, work


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
