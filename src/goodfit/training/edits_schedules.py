"""Edits of a recipe that depend on how long its training is, or on the loss that it has."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import keras

from goodfit.errors import InputError
from goodfit.training.schedules import OneCycle, PowerDecay
from goodfit.training.smoothed_loss import SparseCategoricalCrossentropy
from goodfit.values import Plateau, Recipe
from goodfit.values._json import plain

WARM_UP = 20
"""One in so many steps is the warm-up of a cosine schedule."""


def over_training(recipe: Recipe, value: Mapping[str, Any], rows: int | None) -> Mapping[str, Any]:
    """A schedule that spans the training of a recipe, as Keras serializes it.

    Args:
        recipe: whose epochs, batch size and learning rate count.
        value: `kind`, one of `SCHEDULES`, and `times`, the highest rate over the recipe's own.
        rows: training rows.

    Raises:
        InputError: an unknown kind, unknown rows, or a learning rate that is a schedule already.
    """
    kind = str(value.get("kind"))
    if kind not in SCHEDULES:
        raise InputError(f"there is no schedule called {kind!r}.", f"There are {', '.join(SCHEDULES)}.")
    if rows is None:
        raise InputError("a schedule can't span a training of unknown length.", "Give apply(…, x=…).")
    rate = dict(recipe.optimizer).get("config", {}).get("learning_rate")
    if recipe.schedule is not None or not isinstance(rate, (int, float)):
        raise InputError("the learning rate follows a schedule already.", "Propose another change.")
    steps = recipe.epochs * math.ceil(rows / recipe.batch_size)
    return plain(keras.optimizers.schedules.serialize(SCHEDULES[kind](rate * value.get("times", 1.0), steps)))


def plateau(fields: Mapping[str, Any]) -> Plateau:
    """When a learning rate is lowered for want of progress.

    Args:
        fields: of `Plateau`, those that differ from its defaults.

    Raises:
        InputError: a field that it doesn't have, or a value that can't be meant; it is named.

    Example:
        >>> plateau({"factor": 0.5, "patience": 5})
        Plateau(factor=0.5, patience=5, monitor='val_loss', min_delta=0.0001, cooldown=0, min_lr=0.0)
        >>> plateau({"factor": 2.0})
        Traceback (most recent call last):
        goodfit.errors.InputError: the factor of a plateau is 2. Give a number above 0 and below 1.
    """
    known = [field.name for field in dataclasses.fields(Plateau)]
    for name in fields:
        if name not in known:
            raise InputError(f"a plateau has no {name!r}.", f"It has {', '.join(known)}.")
    made = Plateau(**fields)
    if not 0 < made.factor < 1:
        raise InputError(f"the factor of a plateau is {made.factor:g}.", "Give a number above 0 and below 1.")
    for name in ("patience", "min_delta", "cooldown", "min_lr"):
        value = getattr(made, name)
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"the {name} of a plateau is {value:g}.", "Give a number that is not negative.")
    return made


def check_plateau(recipe: Recipe) -> None:
    """A rate that follows a schedule is not lowered on a plateau as well.

    Args:
        recipe: after its edits.

    Raises:
        InputError: it has both.
    """
    rate = dict(recipe.optimizer).get("config", {}).get("learning_rate", 0.0)
    if recipe.plateau is not None and (recipe.schedule is not None or isinstance(rate, Mapping)):
        raise InputError(
            "the learning rate follows a schedule, and is to be lowered on a plateau too.", "Take one of the two."
        )


def _cosine(peak: float, steps: int) -> Any:
    warm = max(steps // WARM_UP, 1)
    return keras.optimizers.schedules.CosineDecay(
        peak / 10, max(steps - warm, 1), warmup_target=peak, warmup_steps=warm
    )


SCHEDULES: Mapping[str, Any] = {
    "cosine": _cosine,
    "one-cycle": OneCycle,
    "power": lambda peak, steps: PowerDecay(peak, max(steps / 9, 1)),
    "piecewise": lambda peak, steps: keras.optimizers.schedules.PiecewiseConstantDecay(
        [max(steps // 2, 1), max(3 * steps // 4, 2)], [peak, peak / 10, peak / 100]
    ),
    "exponential": lambda peak, steps: keras.optimizers.schedules.ExponentialDecay(peak, steps, 0.01),
}
"""Kind -> a schedule of a highest rate and the steps of a training."""


def smoothed(loss: Any, share: float) -> Any:
    """A cross-entropy with smoothed labels, as Keras serializes it.

    Args:
        loss: as a recipe has it.
        share: of the label that is spread over all classes, in (0, 1).

    Raises:
        InputError: a loss that has no labels to smooth.
    """
    made: Any = keras.losses.deserialize(dict(loss)) if isinstance(loss, Mapping) else loss
    if isinstance(made, str):
        try:
            made = keras.losses.get(made)
        except ValueError as problem:
            raise InputError(f"{loss!r} is no loss of Keras's.", "Give one.") from problem
    name = getattr(made, "name", None) or getattr(made, "__name__", "")
    kinds = {
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    }
    if name not in kinds:
        raise InputError(
            f"the labels of the loss {name!r} can't be smoothed.",
            "Smooth those of a cross-entropy: binary, categorical or sparse categorical.",
        )
    config = made.get_config() if isinstance(made, keras.losses.Loss) else {}
    if config.get("ignore_class") is not None:
        raise InputError("labels of which one class is ignored can't be smoothed.", "Propose another change.")
    kept = {key: config[key] for key in ("from_logits", "reduction") if key in config}
    return plain(keras.losses.serialize(kinds[name](**kept, label_smoothing=share)))
