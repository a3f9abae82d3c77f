"""Another network in place of a model's own: goodfit's default one for such rows, or a pretrained one, frozen.

What is before it (input, normalization, rescaling) and after it (the output layer and what follows) stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import architectures, edits_layers, networks
from goodfit.training.edits_graph import Entry, Graph, is_graph, name_of
from goodfit.training.image_base import SIDE
from goodfit.training.pretrained_networks import PRETRAINED
from goodfit.training.recipes import serialize
from goodfit.values import Recipe

_SCALING = ("Normalization", "Rescaling")
_INPUT = ("InputLayer", *_SCALING)


def replaced(recipe: Recipe, value: str | Mapping[str, Any], x: Any) -> Recipe:
    """The recipe with another network between its input and its output layer.

    Args:
        recipe: of a model of one input and one dense output layer.
        value: `"default"`, or `{"pretrained": name of an architecture}`.
        x: the training rows' inputs.

    Raises:
        InputError: the model or its rows are not such, or the pretrained weights are not installed.
    """
    if not isinstance(x, np.ndarray) or x.ndim not in (2, 4) or x.dtype.kind not in "fiu":
        raise InputError(
            "another network can't take this one's place: its rows are neither one table of numbers nor images.",
            "Propose another change.",
        )
    before, after = _ends(recipe.model)
    inputs = keras.Input(x.shape[1:], name="rows")
    tensor: Any = inputs
    images = x.ndim == 4
    if isinstance(value, Mapping):
        if not images:
            raise InputError("a pretrained network takes images, and these rows are none.", "Propose another change.")
        tensor = _pretrained(str(value["pretrained"]), tensor, x)
    elif value == "default":
        body = networks.convolutions(x.shape[1:])[0] if images else networks.hidden_layers(len(x))
        for layer in [*(_layer(entry) for entry in before), *body]:
            tensor = layer(tensor)
    else:
        raise InputError(f"the network is {value!r}.", 'Give "default" or {"pretrained": an architecture\'s name}.')
    for entry in after:
        tensor = _layer(entry)(tensor)
    made = serialize(keras.Model(inputs, tensor, name="replaced"))
    return recipe if _layers_of(made) == _layers_of(recipe.model) else recipe.replace(model=made)


def _layers_of(model: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What the layers of a model are, in their order, whatever they are called."""
    return [
        (entry["class_name"], {name: value for name, value in entry["config"].items() if name != "name"})
        for entry in Graph(dict(model)).entries
        if entry["class_name"] != "InputLayer"
    ]


def _ends(model: Mapping[str, Any]) -> tuple[list[Entry], list[Entry]]:
    """The layers between a model's input and its first one that learns, and those from its output layer on."""
    graph = Graph(dict(model))
    outputs = edits_layers.select(graph, "output")
    if len(graph.outputs()) != 1 or len(graph.inputs()) > 1 or len(outputs) != 1:
        raise InputError(
            "another network can't take this one's place: it has several inputs or outputs.", "Propose another change."
        )
    output = outputs[0]
    if output.entry["class_name"] != "Dense" or output.graph is not graph:
        raise InputError(
            f"another network can't take this one's place: its output layer {output.path!r} is no dense one.",
            "Propose another change.",
        )
    after = [output.entry]
    while name_of(after[-1]) not in graph.outputs():
        following = graph.after(name_of(after[-1]))
        if len(following) != 1:
            raise InputError(f"the layer {name_of(after[-1])!r} branches.", "Propose another change.")
        after.append(graph.entry(following[0]))
    before: list[Entry] = []
    for entry in graph.entries:
        if entry["class_name"] not in _INPUT or is_graph(entry):
            break
        if entry["class_name"] in _SCALING:
            before.append(entry)
    return before, after


def _layer(entry: Entry) -> Any:
    """A fresh layer of the same name, built for whatever comes in."""
    plain = {name: value for name, value in entry.items() if name in ("class_name", "config", "module")}
    return keras.saving.deserialize_keras_object({**plain, "registered_name": entry.get("registered_name")})


def _pretrained(name: str, images: Any, x: np.ndarray) -> Any:
    """Features of images of any size, grey or coloured, of 0 to 1 or 0 to 255."""
    found = architectures.named(name)
    if not found.weights_file:
        raise InputError(
            f"no installed package carries weights of {found.name}.", "`goodfit architectures` says which have some."
        )
    if float(np.max(x)) <= 1.5:
        images = keras.layers.Rescaling(255.0, name="to_255")(images)
    if images.shape[-1] == 1:
        images = keras.layers.Concatenate(name="to_colours")([images] * 3)
    if images.shape[-1] != 3:
        raise InputError(f"{found.name} takes 3 colours, and these images have {images.shape[-1]}.", "Propose another.")
    height, width = (max(SIDE, found.smallest, side) for side in images.shape[1:3])
    if (height, width) != tuple(images.shape[1:3]):
        images = keras.layers.Resizing(height, width, name="enlarged")(images)
    base = architectures.build(found.name, (height, width, 3), weights="installed")
    base.trainable = False
    base.name = f"{PRETRAINED}{found.name}"
    return base(images)
