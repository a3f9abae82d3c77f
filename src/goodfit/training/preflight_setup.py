"""Before training: settings of optimizer, layers and batches that can't be meant, or that deserve a word."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from goodfit.arguments import whole
from goodfit.errors import InputError
from goodfit.training import preflight

HIGHEST_RATE = 1e3
"""Learning rates above this are refused: each step would throw the weights a thousand gradients away."""
SPANS = {
    "CosineDecay": ("decay_steps", "warmup_steps"),
    "PolynomialDecay": ("decay_steps",),
    "OneCycle": ("total_steps",),
}
"""Schedules that span a training -> the fields that add up to how many steps."""
JOINS = (
    *(keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply, keras.layers.Average, keras.layers.Dot),
    *(keras.layers.Concatenate, keras.layers.Maximum, keras.layers.Minimum),
)
"""Layers in which branches meet."""
MUCH_LONGER = 1.05
"""A schedule longer than the training by this factor does not come to its end."""


def check_setup(
    model: keras.Model, *, rows: int | None, batch_size: int | None, epochs: int | None, callbacks: bool = False
) -> tuple[str, ...]:
    """Look at optimizer, layers and batches before training.

    Args:
        model: compiled.
        rows: to train on, where that is known.
        batch_size: rows per step, as given; 32 where `None`.
        epochs: passes over the rows.
        callbacks: whether there are callbacks, which may set another learning rate.

    Returns:
        What is questionable but may be meant, one sentence each.

    Raises:
        InputError: for what can't be meant.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(1e9), "mse")
        >>> check_setup(model, rows=100, batch_size=32, epochs=1)
        Traceback (most recent call last):
        goodfit.errors.InputError: the learning rate is 1e+09. Give a positive number ...
        >>> model.compile("sgd", "mse")
        >>> check_setup(model, rows=100, batch_size=512, epochs=1)
        ('batch_size is 512, and there are 100 rows: every epoch is a single step on all of them.',)
    """
    _check_rate(model, callbacks)
    _check_dropout(model)
    said = [*_branches(model), *_batches(model, rows, batch_size)]
    if rows and epochs:
        said += _schedules(model, epochs * math.ceil(rows / (batch_size or 32)))
    return tuple(said)


def _check_callbacks(callbacks: Any) -> None:
    for one in [] if callbacks is None else keras.tree.flatten(callbacks):  # Keras flattens them too
        if isinstance(one, type):
            raise InputError(f"the class {one.__name__} stands among the callbacks.", f"Make one: {one.__name__}(…).")
        if not isinstance(one, keras.callbacks.Callback) and not hasattr(one, "set_model"):
            raise InputError(f"{one!r} stands among the callbacks.", "Give objects of keras.callbacks.Callback.")


def _optimizer(model: keras.Model) -> Any:
    optimizer = getattr(model, "optimizer", None)
    return getattr(optimizer, "inner_optimizer", optimizer)


def _check_rate(model: keras.Model, callbacks: bool) -> None:
    rate = getattr(_optimizer(model), "_learning_rate", None)
    if not isinstance(rate, keras.Variable):
        return
    held: Any = keras.ops.convert_to_numpy(rate.value)
    value = float(held)
    if not math.isfinite(value) or value < 0 or value > HIGHEST_RATE:
        raise InputError(
            f"the learning rate is {value:g}.",
            f"Give a positive number below {HIGHEST_RATE:g}; 0.001 is usual for Adam, 0.01 for SGD, or ask "
            "goodfit.lr_find.",
        )
    if value == 0 and not callbacks:
        raise InputError(
            "the learning rate is 0, so no weight would change.", "Give a positive number; 0.001 is usual for Adam."
        )


def _check_dropout(model: keras.Model) -> None:
    for layer in model._flatten_layers(include_self=False):
        rate = getattr(layer, "rate", None)
        if "Dropout" in type(layer).__name__ and isinstance(rate, (int, float)) and not 0 <= rate < 1:
            raise InputError(
                f"the layer {layer.name!r} drops a share of {rate:g}, so that nothing is left.",
                "Give a rate in [0, 1), such as 0.2.",
            )


def _branches(model: keras.Model) -> Iterator[str]:
    """SELU keeps mean and variance in plain stacks of layers; where branches are joined, nothing keeps them."""
    layers = model._flatten_layers(include_self=False)
    selu = [part.name for part in layers if getattr(getattr(part, "activation", None), "__name__", "") == "selu"]
    joins = [part.name for part in layers if isinstance(part, JOINS)]
    if selu and joins:
        yield (
            f"the layer {selu[0]!r} uses SELU in a model whose branches meet in {joins[0]!r}: mean 0 and variance 1 "
            "are kept in plain stacks of layers only (Klambauer et al. 2017); take another activation, or normalize "
            "behind the join."
        )


def _batches(model: keras.Model, rows: int | None, batch_size: int | None) -> Iterator[str]:
    if rows is None:
        return
    size = batch_size or 32
    if batch_size is not None and batch_size > rows:
        yield f"batch_size is {batch_size}, and there are {rows} rows: every epoch is a single step on all of them."
    layers = [part for part in model._flatten_layers() if isinstance(part, keras.layers.BatchNormalization)]
    flat = [part.name for part in layers if part.trainable and _rank(part) == 2]
    alone = "" if not flat else "every batch has" if size == 1 else "the last batch has" if rows % size == 1 else ""
    if alone:
        yield (
            f"{alone} a single row, for which the batch normalization {flat[0]!r} gives the same whatever the row "
            "holds (its deviation from the mean of one is 0); choose another batch size."
        )


def _rank(layer: Any) -> int:
    try:
        return len(layer.input.shape)
    except (AttributeError, ValueError):
        return 0


def _schedules(model: keras.Model, steps: int) -> Iterator[str]:
    optimizer = _optimizer(model)
    given = {"learning rate": getattr(optimizer, "_learning_rate", None)}
    given |= {name: getattr(optimizer, name, None) for name in ("momentum", "beta_1")}
    for name, schedule in given.items():
        config = schedule.get_config() if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule) else {}
        fields = SPANS.get(type(schedule).__name__)
        if type(schedule).__name__ == "CycleMomentum":
            fields = ("total_steps",)
        span = sum(config.get(field) or 0 for field in fields or ())
        if type(schedule).__name__ == "PiecewiseConstantDecay":
            span = max(config.get("boundaries") or [0])
        if span > MUCH_LONGER * steps:
            yield (
                f"the schedule {type(schedule).__name__} of the {name} spans {span:,.0f} steps, and the training makes "
                f"{steps:,}: it will not come to its end."
            )


def look(model: keras.Model, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The whole pre-flight of a `fit`: data, setup and model; what is questionable is warned of.

    Args:
        model: compiled.
        arguments: of `fit`, by name.

    Returns:
        What is questionable but may be meant.

    Raises:
        InputError: for what can't be meant.
    """
    given = {name: arguments[name] for name in ("sample_weight", "class_weight", "validation_data")}
    found = preflight.check(model, arguments["x"], arguments["y"], **given)
    return preflight.tell(found + check_arguments(model, arguments))


def check_arguments(model: keras.Model, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """`check_setup` of a model and the arguments of its `fit`.

    Args:
        model: compiled.
        arguments: of `fit`, by name.

    Returns:
        What is questionable but may be meant.

    Raises:
        InputError: for what can't be meant.
    """
    for name, least in (("epochs", 0), ("initial_epoch", 0), ("batch_size", 0)):
        if arguments[name] is not None:
            whole(name, arguments[name], least)
    _check_callbacks(arguments["callbacks"])
    split = arguments.get("validation_split")
    if isinstance(split, (int, float)) and not 0 <= split < 1:  # Keras takes a negative one for none
        raise InputError(
            f"validation_split is {split:g}.",
            "Give the share of the rows that is held out, at least 0 and below 1: 0.2.",
        )
    first, last = arguments["initial_epoch"], arguments["epochs"]
    if isinstance(first, int) and isinstance(last, int) and first >= last:
        return (f"nothing is trained: initial_epoch is {first}, and epochs is the number of the last one, {last}.",)
    leaves = [leaf for leaf in keras.tree.flatten(arguments["x"]) if getattr(leaf, "shape", None)]
    rows = int(leaves[0].shape[0]) if leaves and arguments["steps_per_epoch"] is None else None
    if rows is not None and arguments["validation_split"] and arguments["validation_data"] is None:
        rows = math.floor(rows * (1.0 - arguments["validation_split"]))
    return check_setup(
        model,
        rows=rows or None,
        batch_size=arguments["batch_size"],
        epochs=arguments["epochs"] - arguments["initial_epoch"],
        callbacks=bool(arguments["callbacks"]),
    )
