"""The frozen lower part of a model, whose outputs need to be computed only once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from goodfit.training import keras_internals

LARGEST = 2**31
"""Bytes of features kept in memory at most; beyond that the frozen part is computed again in every epoch."""


@dataclass(frozen=True, eq=False)
class Halves:
    """A model cut in two; both halves consist of its own layers.

    Args:
        front: inputs to features: nothing in it trains, and nothing in it is random.
        rest: features to outputs, not compiled.
    """

    front: keras.Model
    rest: keras.Model

    def features(self, x: Any, batch_size: int) -> Any:
        """What the front makes of rows: an array, or a list of them where several tensors cross the cut.

        Args:
            x: inputs as the model takes them, rows first.
            batch_size: rows at a time; that of the training, so that products are rounded alike.
        """
        return self.front.predict(x, batch_size=batch_size, verbose=0)


def halves(model: keras.Model, rows: int) -> Halves | str:
    """The largest frozen part of a model and the rest; or why its outputs can't be kept, `""` where nothing is frozen.

    Args:
        model: whose layers are frozen as they will be in the training.
        rows: how many the features are to be kept of.
    """
    graph = keras_internals.functional(model)
    if graph is None:
        return "the model has no graph of layers" if _frozen(model) else ""
    if not model.trainable_variables:
        return "nothing of the model is trained"
    reasons: list[str] = []
    fixed = {id(tensor) for tensor in graph.inputs}
    crossing: dict[int, Any] = {}
    useful = False
    for node in keras_internals.graph_nodes(graph):
        if not node.input_tensors:
            continue
        operation = node.operation
        known = all(id(tensor) in fixed for tensor in node.input_tensors)
        reason = _moves(operation)
        if known and not reason:
            fixed.update(id(tensor) for tensor in node.output_tensors)
            useful |= bool(getattr(operation, "weights", None))
            continue
        if known and reason != _TRAINS:
            reasons.append(reason)
        crossing |= {id(tensor): tensor for tensor in node.input_tensors if id(tensor) in fixed}
    crossing |= {id(tensor): tensor for tensor in graph.outputs if id(tensor) in fixed}
    tensors = list(crossing.values())
    if not useful:
        return reasons[0] if reasons and _frozen(model) else ""
    if any(tensor.dtype != "float32" for tensor in tensors if not any(tensor is given for given in graph.inputs)):
        return "the frozen layers compute in less than 32 bits"
    sizes = [math.prod(tensor.shape[1:]) if None not in tensor.shape[1:] else 0 for tensor in tensors]
    if 0 in sizes:
        return "the features have no fixed shape"
    if 4 * rows * sum(sizes) > LARGEST:
        return f"the features of {rows:,} rows would take {4 * rows * sum(sizes) / 2**30:.1f} GiB"
    cut = tensors[0] if len(tensors) == 1 else tensors
    front = keras.Model(graph.input, cut)
    rest = keras.Model(cut, graph.output)
    ours, theirs = ([id(variable) for variable in part.trainable_variables] for part in (model, rest))
    if ours != theirs:
        return "the layers that train do not all follow the frozen ones"
    return Halves(front, rest)


_TRAINS = "it trains"


def _moves(operation: Any) -> str:
    """Why the outputs of a layer differ from epoch to epoch; `""` where they can't."""
    if not isinstance(operation, keras.layers.Layer):
        return ""  # a function of keras.ops
    name = operation.name
    for part in operation._flatten_layers():
        if part.trainable_weights:
            return _TRAINS
        if not type(part).__module__.startswith("keras."):
            return f"the layer {name!r} is not one of Keras's own, which are known to give the same in every epoch"
        if part.non_trainable_weights and part.trainable and not hasattr(part, "adapt"):
            return f"the layer {name!r} updates its statistics"
        if getattr(part, "activity_regularizer", None) is not None:
            return f"the layer {name!r} adds a penalty on its output"
        if getattr(part, "stateful", False):
            return f"the layer {name!r} keeps a state from batch to batch"
        if isinstance(part, keras.layers.Masking) or getattr(part, "mask_zero", False):
            return f"the layer {name!r} makes a mask"
        if isinstance(part, keras.layers.Lambda):
            return f"the layer {name!r} holds a function that may be random"
    if keras_internals.draws_at_random(operation):
        return f"the layer {name!r} is random"
    return ""


def _frozen(model: keras.Model) -> bool:
    """Whether some layer that initializers drew is not trained."""
    return any(layer.non_trainable_weights and not layer.trainable for layer in model._flatten_layers())


def row_count(x: Any) -> int:
    """How many rows inputs have."""
    return int(np.shape(keras.tree.flatten(x)[0])[0])
