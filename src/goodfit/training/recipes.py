"""Recipe <-> Keras model: build the model of a recipe, draw a member's initial weights, compile it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

import keras

from goodfit.errors import InputError
from goodfit.training import own_classes
from goodfit.training.keras_internals import settle
from goodfit.values import Recipe

_FROM_EDIT = re.compile(r"(.*_(?:after|before|of)_|standardize_)?(.*?)((?:_again_\d+)*)", re.DOTALL)
"""What `edits` adds to the name of the layer that it starts from."""


def derive_seed(seed: int, path: str) -> int:
    """A seed of 31 bits for the stream called `path` of the member with `seed`.

    Streams depend on nothing but their name, so that a layer more or less leaves every other layer's draw as it was.

    Example:
        >>> derive_seed(0, "mlp/hidden_1/kernel_initializer") == derive_seed(0, "mlp/hidden_1/kernel_initializer")
        True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{path}".encode()).digest()[:4], "big") >> 1


def seeded(config: Any, seed: int) -> Any:
    """A Keras configuration with every `seed` in it derived from `seed` and the path of its layer.

    Names that Keras made up count on through a session (`dense_12`), so such a layer goes by its place among those of
    its class, and the outermost model by nothing. So does the part of a name that an edit took from such a layer
    (`dropout_after_dense_12`).
    """
    made_up: dict[str, set[int]] = {}
    ranked: dict[str, str] = {}

    def gather(part: Any) -> None:
        for item in part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else ():
            gather(item)
        if number := _number(part):
            made_up.setdefault(number[0], set()).add(number[1])

    def named(part: dict[str, Any], path: str) -> str:
        if part is config:
            return path
        if number := _number(part):
            return f"{path}/{number[0]}#{sorted(made_up[number[0]]).index(number[1])}"
        parts = _FROM_EDIT.fullmatch(part["config"]["name"])
        before, base, after = parts.groups(default="") if parts else ("", part["config"]["name"], "")
        return f"{path}/{before}{ranked.get(base, base) if before or after else base}{after}"

    def walk(part: Any, path: str) -> Any:
        if isinstance(part, (list, tuple)):
            return [walk(item, path) for item in part]
        if not isinstance(part, dict):
            return part
        if _layer_name(part):
            path = named(part, path)
        fresh = {}
        for key, value in part.items():
            if key == "seed" and (value is None or isinstance(value, int)):
                fresh[key] = derive_seed(seed, path)
            else:
                fresh[key] = walk(value, path if key in ("config", "layers") else f"{path}/{key}")
        return fresh

    gather(config)
    for kind, numbers in made_up.items():
        for rank, number in enumerate(sorted(numbers)):
            ranked[f"{kind}_{number}" if number else kind] = f"{kind}#{rank}"
    return walk(config, "")


def _layer_name(part: Any) -> str:
    """The name in a layer's configuration; `""` where it is none."""
    inner = part.get("config") if isinstance(part, dict) and "class_name" in part else None
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else ""


def _number(part: Any) -> tuple[str, int] | None:
    """Class and number of a name that Keras made up: `dense` is 0, `dense_12` is 12."""
    name = _layer_name(part)
    if not name:
        return None
    snake = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", part["class_name"])
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", snake).lower()
    found = re.fullmatch(re.escape(snake) + r"(?:_(\d+))?", name)
    return (snake, int(found[1] or 0)) if found else None


def build(recipe: Recipe, seed: int) -> keras.Model:
    """The recipe's model with the initial weights and dropout streams of one seed, not compiled.

    Every initializer and random layer gets a seed of its own, from `seed` and the layer's path.

    Args:
        recipe: whose `model` is a Keras configuration.
        seed: of the member.

    Returns:
        a built Keras model.
    """
    model: Any = keras.saving.deserialize_keras_object(seeded(dict(recipe.model), seed))
    return model


def redraw(model: keras.Model, seed: int) -> keras.Model:
    """A twin of a user's model with initial weights and random streams drawn afresh from one seed.

    What its initializers did not draw is carried over: the adapted state of preprocessing layers and all weights of
    frozen layers (a pretrained base).

    Args:
        model: built.
        seed: of the twin.

    Returns:
        a built model, not compiled, with the same variables in the same order.

    Raises:
        InputError: the model can't be rebuilt from its configuration; the message names the class.
    """
    name = type(model).__name__
    try:
        config = seeded(serialize(model), seed)
        twin: Any = keras.saving.deserialize_keras_object(config, custom_objects=own_classes.known_to(model))
    except Exception as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise InputError(
            f"no further seed of the model {model.name!r} can be drawn: {name} can't be rebuilt from its configuration "
            f"({reason[:160]}).",
            "Give its class a get_config, or train one seed.",
        ) from problem
    groups = (model.trainable_variables, model.non_trainable_variables)
    for ours, theirs in zip(groups, (twin.trainable_variables, twin.non_trainable_variables), strict=True):
        if [v.shape for v in ours] != [v.shape for v in theirs]:
            raise InputError(
                f"no further seed of the model {model.name!r} can be drawn: rebuilt from its configuration, {name} has "
                "other variables.",
                "Let get_config hold all that its layers are built from, or train one seed.",
            )
    carried = {
        id(v)
        for layer in model._flatten_layers()
        if hasattr(layer, "adapt") or not layer.trainable
        for v in layer.weights
    }
    for group, theirs in zip(groups, (twin.trainable_variables, twin.non_trainable_variables), strict=True):
        for variable, other in zip(group, theirs, strict=True):
            if id(variable) in carried:
                other.assign(variable.value)
    settle(twin)
    return twin


def serialize(model: keras.Model) -> dict[str, Any]:
    """A Keras model's configuration as a recipe holds it: the architecture, without how it was compiled."""
    own_classes.check_recorded(model)
    config: Any = own_classes.with_names(keras.saving.serialize_keras_object(model), model)
    return {key: value for key, value in config.items() if key != "compile_config"}


def compile_model(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Compile `model` with the recipe's optimizer, schedule, clipping, loss, metrics and mixup; it comes back."""
    optimizer = dict(recipe.optimizer)
    optimizer["config"] = {**optimizer["config"], **recipe.clipping}
    if recipe.schedule is not None:
        optimizer["config"]["learning_rate"] = dict(recipe.schedule)
    model.compile(
        optimizer=keras.optimizers.deserialize(optimizer),
        loss=loss_of(recipe.loss),
        loss_weights=recipe.loss_weights,
        metrics=[keras.metrics.deserialize(m) if isinstance(m, dict) else m for m in recipe.metrics],
    )
    if "mixup" in recipe.preparation:
        from goodfit.training.blending import blend_in_training

        blend_in_training(model, recipe.preparation["mixup"], classes="sparse" in str(recipe.loss).lower())
    return model


def loss_of(given: Any) -> Any:
    """A loss from what a recipe holds of it: a name of Keras's as it is, one of the user's own as the function or class
    in whose scope this is called; of several outputs, a list or a dict of them."""
    if isinstance(given, str):
        return keras.saving.get_registered_object(given) or given
    if isinstance(given, (list, tuple)):
        return [loss_of(one) for one in given]
    if isinstance(given, Mapping):
        if "class_name" not in given:
            return {name: loss_of(one) for name, one in given.items()}
        return keras.saving.deserialize_keras_object(dict(given))
    return given


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """A saved Keras model; one that would run code when loaded (a Lambda layer of Python bytes) is refused."""
    model: Any = keras.saving.load_model(path, safe_mode=True)
    return model
