"""The outputs of a model: how wide they are, what they end with, and which loss each has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from goodfit.training import keras_internals


@dataclass(frozen=True)
class Head:
    """An output of a model.

    Args:
        name: of the output.
        shape: of what it gives, rows first; `()` where that is not known.
        activation: by its name, that it ends with; `""` where that is not known.
        dense: whether a dense layer gives it.
        loss: the name of its loss; `""` where it is not one of Keras's own.
        from_logits: whether that takes logits.
    """

    name: str
    shape: tuple[Any, ...]
    activation: str
    dense: bool
    loss: str
    from_logits: bool

    @property
    def width(self) -> int | None:
        """The size of the last axis, where that is known."""
        return self.shape[-1] if len(self.shape) > 1 else None


def heads_of(model: keras.Model, x: Any = None) -> list[Head]:
    """The outputs of a model as far as they are known before it is trained.

    Args:
        model: compiled.
        x: inputs: they say what a subclassed model that is built gives.
    """
    found = [(name, shape, _activation(operation), operation) for name, shape, operation in _ends(model, x)]
    names = [name for name, *_ in found]
    return [
        Head(name, shape, activation, isinstance(operation, keras.layers.Dense), *_loss(model, names, place))
        for place, (name, shape, activation, operation) in enumerate(found)
    ]


def _ends(model: keras.Model, x: Any) -> list[tuple[str, tuple[Any, ...], Any]]:
    """Name and shape of each output, and the layer or operation that gives it."""
    if getattr(model, "outputs", None):
        return keras_internals.outputs_of(model)
    layers = getattr(model, "layers", None) or [None]
    if isinstance(model, keras.Sequential):  # not built yet
        units = getattr(layers[-1], "units", None)
        return [(model.name, (None, units) if units else (), layers[-1])]
    shape = getattr(x, "shape", None)
    if not keras_internals.built_alone(model) or shape is None:
        return []
    try:
        given: Any = model.compute_output_spec(keras.KerasTensor(shape, str(as_array(x[:1]).dtype)))
    except Exception:  # a `call` of the user's may ask for anything
        return []
    return [(model.name, tuple(given.shape), None)] if hasattr(given, "shape") else []


def _activation(operation: Any) -> str:
    kind = type(operation).__name__
    if kind in ("Softmax", "Sigmoid"):  # the layer, or the operation of `keras.ops`
        return kind.lower()
    return getattr(getattr(operation, "activation", None), "__name__", "")


def _loss(model: keras.Model, names: Sequence[str], place: int) -> tuple[str, bool]:
    """The name of an output's loss, and whether it takes logits; `""` where it is not one of Keras's own."""
    given = model.loss
    if isinstance(given, Mapping):
        given = given.get(names[place], next(iter(given.values())) if len(names) == len(given) == 1 else None)
    elif isinstance(given, (list, tuple)):
        given = given[place] if len(given) == len(names) else None
    if given is None:
        return "", False
    try:
        loss = keras.losses.get(given)
    except (ValueError, TypeError):
        return "", False
    function = getattr(loss, "fn", loss)  # a loss object of Keras's carries its function
    if not getattr(function, "__module__", "").startswith("keras."):
        return "", False
    name = getattr(function, "__name__", "")
    return name, bool(getattr(loss, "_fn_kwargs", {}).get("from_logits", False))


def as_array(data: Any) -> np.ndarray:
    """An array as NumPy has it; numbers of kinds that NumPy lacks (bfloat16) as float32."""
    if hasattr(data, "detach"):
        data = data.detach().cpu()
        data = (data.float() if "bfloat16" in str(data.dtype) else data).numpy()
    array = np.asarray(data)
    return array.astype(np.float32) if array.dtype.kind == "V" and array.dtype.names is None else array
