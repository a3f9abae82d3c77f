"""`ModelLayers`: what a recipe's model is made of, read from its Keras configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from goodfit.values import Recipe

DROPOUTS = (
    "Dropout", "AlphaDropout", "GaussianDropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
)  # fmt: skip
_BETWEEN = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "Dropout", "AlphaDropout")
_ALONE = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "PReLU": "prelu", "ELU": "elu", "Softmax": "softmax"}


@dataclass(frozen=True, eq=False)
class ModelLayer:
    """A layer as Keras serializes it.

    Args:
        kind: its class.
        config: its arguments.
        activation: Keras's name of the nonlinearity that follows its weights, in the layer or in one of its own.
        inputs: how many numbers each of its units takes; `None` where that is not known.
    """

    kind: str
    config: Mapping[str, Any]
    activation: str
    inputs: int | None

    @property
    def name(self) -> str:
        """The layer's name, quoted."""
        return f"'{self.config.get('name', self.kind)}'"

    @property
    def units(self) -> int | None:
        """Its units or filters."""
        size = self.config.get("units", self.config.get("filters"))
        return int(size) if isinstance(size, (int, float)) else None

    @property
    def weighted(self) -> bool:
        """Whether it has a kernel."""
        return "kernel_initializer" in self.config

    def made_by(self, what: str) -> tuple[str, Mapping[str, Any]]:
        """Class and arguments of an initializer or a penalty; an empty class where there is none."""
        return named(self.config.get(what))


def named(given: Any) -> tuple[str, Mapping[str, Any]]:
    """Class and arguments of something serialized: a name, or a mapping of the two; an empty class for nothing."""
    if isinstance(given, Mapping):
        config = given.get("config")
        if isinstance(config, str):  # a function by its name
            return config, {}
        return str(given.get("class_name", "")), config if isinstance(config, Mapping) else {}
    return (given if isinstance(given, str) else ""), {}


def read(recipe: Recipe | None) -> tuple[ModelLayer, ...]:
    """The layers of a recipe's model in their order, nested models entered; none without a recipe."""
    if recipe is None:
        return ()
    raw = list(_raw(recipe.model))
    layers = []
    inputs: int | None = None
    for place, (kind, config) in enumerate(raw):
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        if shape and len(shape) == 2 and isinstance(shape[-1], int):
            inputs = shape[-1]
        layer = ModelLayer(kind, config, _activation(raw, place), _fan_in(kind, config, inputs))
        layers.append(layer)
        if layer.weighted:
            inputs = layer.units
        elif kind not in (*_BETWEEN, *_ALONE, "Activation", "InputLayer", "Normalization", "GaussianNoise"):
            inputs = None  # a shape that is not followed
    return tuple(layers)


def _raw(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    config = model.get("config")
    inner = config.get("layers") if isinstance(config, Mapping) else None
    if not isinstance(inner, (list, tuple)):
        return
    for part in inner:
        if not isinstance(part, Mapping) or not isinstance(part.get("config"), Mapping):
            continue
        if isinstance(part["config"].get("layers"), (list, tuple)):
            yield from _raw(part)
        else:
            yield str(part.get("class_name", "")), part["config"]


def _activation(raw: list[tuple[str, Mapping[str, Any]]], place: int) -> str:
    kind, config = raw[place]
    own = _own_activation(kind, config)
    if own or "kernel_initializer" not in config:
        return own
    for kind, config in raw[place + 1 :]:
        if kind in _ALONE or kind == "Activation":
            return _own_activation(kind, config)
        if kind not in _BETWEEN:
            return ""
    return ""


def _own_activation(kind: str, config: Mapping[str, Any]) -> str:
    if kind in _ALONE:
        return _ALONE[kind]
    name = named(config.get("activation"))[0]
    name = _ALONE.get(name, name)
    return "" if name == "linear" else name


def _fan_in(kind: str, config: Mapping[str, Any], inputs: int | None) -> int | None:
    if inputs is None or kind == "Dense":
        return inputs
    size = config.get("kernel_size")
    return None if not isinstance(size, (list, tuple)) else inputs * math.prod(size)


def hidden(layers: tuple[ModelLayer, ...]) -> tuple[ModelLayer, ...]:
    """The layers with kernels but the last, which gives the outputs."""
    return tuple(layer for layer in layers if layer.weighted)[:-1]


def hidden_activations(recipe: Recipe | None) -> set[str]:
    """The names of the hidden layers' nonlinearities."""
    return {layer.activation for layer in hidden(read(recipe))} - {""}


def output(recipe: Recipe) -> ModelLayer | None:
    """The layer that gives the outputs; `None` where the model has several or is not a graph of layers."""
    config = recipe.model.get("config")
    ends = config.get("output_layers") if isinstance(config, Mapping) else None
    if isinstance(ends, Mapping) and len(ends) > 1:
        return None
    if isinstance(ends, (list, tuple)) and len(ends) > 1 and isinstance(ends[0], (list, tuple)):
        return None
    layers = [layer for layer in read(recipe) if layer.weighted]
    return layers[-1] if layers else None


def penalties(layers: tuple[ModelLayer, ...]) -> dict[str, float]:
    """The strongest penalty on weights or activations, by its kind: `l1` and `l2`; empty where there is none."""
    strongest: dict[str, float] = {}
    for layer in layers:
        for what in layer.config:
            if not what.endswith("_regularizer"):
                continue
            kind, given = layer.made_by(what)
            default = {"l1": 0.01} if kind in ("L1", "l1") else {"l2": 0.01} if kind in ("L2", "l2") else {}
            for norm in ("l1", "l2"):
                strength = given.get(norm, default.get(norm, 0.0)) if kind else 0.0
                if isinstance(strength, (int, float)) and strength > 0:
                    strongest[norm] = max(strongest.get(norm, 0.0), float(strength))
    return strongest
