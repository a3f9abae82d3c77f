"""Recipe <-> Keras model: build the model of a recipe, draw a member's initial weights, compile it."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import keras

from goodfit.values import Recipe


def derive_seed(seed: int, path: str) -> int:
    """A seed of 31 bits for the stream called `path` of the member with `seed`.

    Streams depend on nothing but their name, so that a layer more or less leaves every other layer's draw as it was.

    Example:
        >>> derive_seed(0, "mlp/hidden_1/kernel_initializer") == derive_seed(0, "mlp/hidden_1/kernel_initializer")
        True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{path}".encode()).digest()[:4], "big") >> 1


def _seeded(config: Any, seed: int, path: str) -> Any:
    if isinstance(config, (list, tuple)):
        return [_seeded(item, seed, path) for item in config]
    if not isinstance(config, dict):
        return config
    inner = config.get("config")
    if "class_name" in config and isinstance(inner, dict) and isinstance(inner.get("name"), str):
        path = f"{path}/{inner['name']}"
    fresh = {}
    for key, value in config.items():
        if key == "seed" and (value is None or isinstance(value, int)):
            fresh[key] = derive_seed(seed, path)
        else:
            fresh[key] = _seeded(value, seed, path if key in ("config", "layers") else f"{path}/{key}")
    return fresh


def build(recipe: Recipe, seed: int) -> keras.Model:
    """The recipe's model with the initial weights and dropout streams of one seed, not compiled.

    Every initializer and random layer gets a seed of its own, from `seed` and the layer's path.

    Args:
        recipe: whose `model` is a Keras configuration.
        seed: of the member.

    Returns:
        a built Keras model.
    """
    model: Any = keras.saving.deserialize_keras_object(_seeded(dict(recipe.model), seed, ""))
    return model


def serialize(model: keras.Model) -> dict[str, Any]:
    """A Keras model's configuration as a recipe holds it: the architecture, without how it was compiled."""
    config: Any = keras.saving.serialize_keras_object(model)
    return {key: value for key, value in config.items() if key != "compile_config"}


def compile_model(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Compile `model` with the recipe's optimizer, schedule, clipping, loss and metrics; the same model comes back."""
    optimizer = dict(recipe.optimizer)
    optimizer["config"] = {**optimizer["config"], **recipe.clipping}
    if recipe.schedule is not None:
        optimizer["config"]["learning_rate"] = dict(recipe.schedule)
    model.compile(
        optimizer=keras.optimizers.deserialize(optimizer),
        loss=keras.saving.deserialize_keras_object(recipe.loss) if isinstance(recipe.loss, dict) else recipe.loss,
        metrics=[keras.metrics.deserialize(m) if isinstance(m, dict) else m for m in recipe.metrics],
    )
    return model


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """A saved Keras model; one that would run code when loaded (a Lambda layer of Python bytes) is refused."""
    model: Any = keras.saving.load_model(path, safe_mode=True)
    return model
