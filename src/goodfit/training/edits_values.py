"""What the edited fields of a recipe may hold, looked at before anything is trained with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from goodfit import arguments
from goodfit.errors import InputError
from goodfit.values import EarlyStopping, Recipe

_NEVER_NEGATIVE = ("weight_decay", "clipnorm", "global_clipnorm", "clipvalue")


def check(recipe: Recipe) -> None:
    """`InputError` where a recipe asks for what can't be meant: no rows per step, a rate that is no positive number.

    Example:
        >>> check(Recipe(model={}, optimizer={}, loss="mse", batch_size=0))
        Traceback (most recent call last):
        goodfit.errors.InputError: batch_size is 0. Give a whole number, 1 or more.
    """
    arguments.whole("batch_size", recipe.batch_size)
    arguments.whole("epochs", recipe.epochs)
    if recipe.early_stopping is not None:
        arguments.whole("the patience of early stopping", recipe.early_stopping.patience, 0)
        arguments.number("the min_delta of early stopping", recipe.early_stopping.min_delta)
    config = recipe.optimizer.get("config", {})
    while isinstance(config.get("inner_optimizer"), Mapping):  # it scales the loss of another
        config = config["inner_optimizer"]["config"]
    rate = config.get("learning_rate")
    if rate is not None and not isinstance(rate, Mapping):
        remedy = "Give a positive number."
        if arguments.number("the learning rate", rate, remedy) <= 0:
            raise InputError(f"the learning rate is {rate:g}.", remedy)
    limits = {**{name: config.get(name) for name in _NEVER_NEGATIVE}, **recipe.clipping}
    for name, value in limits.items():
        remedy = "Give a number that is not negative."
        if value not in (None, False) and arguments.number(name, value, remedy) < 0:
            raise InputError(f"{name} is {value:g}.", remedy)


def early_stopping(fields: Any) -> EarlyStopping:
    """When a training stops of itself.

    Args:
        fields: of `EarlyStopping`, the patience and those that differ from its defaults.

    Raises:
        InputError: a field that it doesn't have, or no patience.

    Example:
        >>> early_stopping({"patience": 10}).restore_best
        True
    """
    known = [field.name for field in dataclasses.fields(EarlyStopping)]
    if not isinstance(fields, Mapping) or "patience" not in fields or not set(fields) <= set(known):
        raise InputError(
            f"early stopping is {fields!r}.", f'Give a dict, such as {{"patience": 10}}; it has {", ".join(known)}.'
        )
    return EarlyStopping(**fields)
