"""Layers of the user's own classes, rebuilt also where their `__init__` takes no name, dtype or trainable."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from goodfit.training import keras_internals

_OF_EVERY_LAYER = ("name", "trainable", "dtype")
"""What Keras records of a layer, and what is set after it was made where its class does not take it."""


class Maker:
    """Stands for a class in a scope of custom objects: makes its layers from whole configurations.

    Keras passes all of a configuration to `__init__`, which fails where that takes no `**kwargs`.

    Args:
        kind: the class, with Keras's own `get_config`.

    Example:
        >>> class Plain(keras.layers.Layer):
        ...     def __init__(self, units):
        ...         super().__init__()
        ...         self.units = units
        >>> made = Maker(Plain).from_config({"units": 3, "name": "first", "trainable": False, "dtype": "bfloat16"})
        >>> made.units, made.name, made.trainable, made.dtype_policy.name
        (3, 'first', False, 'bfloat16')
    """

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.__name__, self.__module__ = kind.__name__, kind.__module__

    def from_config(self, config: Mapping[str, Any]) -> Any:
        """A layer of the class."""
        taken = inspect.signature(self.kind.__init__).parameters
        any_more = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
        later = {key: config[key] for key in _OF_EVERY_LAYER if key in config and key not in taken and not any_more}
        made = self.kind.from_config({key: value for key, value in config.items() if key not in later})  # pyright: ignore[reportAttributeAccessIssue]
        if "name" in later:
            made.name = later["name"]
        if later.get("trainable") is False:
            made.trainable = False
        if "dtype" in later:
            made.dtype_policy = keras.dtype_policies.get(later["dtype"])
        return made


def twin(layer: Any, name: str | None = None) -> Any:
    """A layer of the same configuration, not built.

    Args:
        layer: a layer or a model.
        name: of the new one; the same where `None`.
    """
    kind = type(layer)
    if not keras_internals.recorded_by_keras(kind):
        return kind.from_config({**layer.get_config(), **({} if name is None else {"name": name})})
    if unknown := keras_internals.unrecorded_arguments(layer):
        raise TypeError(f"its __init__ takes {', '.join(unknown)}, and Keras does not record what it was given")
    return Maker(kind).from_config({**layer.get_config(), "name": name or layer.name})


def makers(code: Mapping[str, Any]) -> dict[str, Any]:
    """Custom objects by name, with a `Maker` in place of each class that Keras records by itself."""
    return {
        name: Maker(one) if inspect.isclass(one) and keras_internals.recorded_by_keras(one) else one
        for name, one in code.items()
    }


def known_to(model: keras.Model) -> dict[str, Any]:
    """The classes of a model's layers, and its own, as custom objects."""
    return makers({type(part).__name__: type(part) for part in model._flatten_layers()})


def check_recorded(model: keras.Model) -> None:
    """`TypeError` where a model is of a class whose arguments Keras does not record."""
    for part in model._flatten_layers():
        if unknown := keras_internals.unrecorded_arguments(part):
            raise TypeError(
                f"the __init__ of {type(part).__name__} takes {', '.join(unknown)}, and Keras does not record what a "
                "model was given"
            )


def with_names(config: Any, layer: Any) -> Any:
    """A layer's configuration with its name, and those of the layers in it, also where Keras leaves them out.

    Layers without a `build` are built by their first call; to build them before makes Keras warn, so the shape for it
    is left out.

    Args:
        config: from `serialize_keras_object`.
        layer: that it is of.
    """
    inner = config.get("config") if isinstance(config, Mapping) else None
    if not isinstance(inner, Mapping):
        return config
    inner = dict(inner)
    if keras_internals.recorded_by_keras(type(layer)):
        inner.setdefault("name", layer.name)
        if not isinstance(layer, keras.Model) and keras_internals.builds_in_call(type(layer)):
            config = {key: value for key, value in config.items() if key != "build_config"}
    parts = inner.get("layers")
    if isinstance(layer, keras.Model) and isinstance(parts, list):
        held = keras_internals.listed_layers(layer)
        if len(held) == len(parts):
            inner["layers"] = [with_names(part, one) for part, one in zip(parts, held, strict=True)]
    return {**config, "config": inner}
