"""Models within an edited model: the shape of what comes into them, found anew after widths have changed."""

from __future__ import annotations

import copy
from typing import Any

import keras

from goodfit.training.edits_graph import Entry, Graph, name_of


def fit_nested(model: Entry) -> None:
    """Let each nested model take the shape that the layers before it now give, in place.

    A nested model states the shape of its inputs; Keras does not find it anew.
    """
    graph = Graph(model)
    for name in graph.names():
        inner = graph.nested(name)
        if inner is None:
            continue
        shapes = _shapes_into(graph, name)
        stated = [inner.entry(first)["config"] for first in inner.inputs()]
        if len(shapes) == len(stated):
            for config, shape in zip(stated, shapes, strict=True):
                config["batch_shape"] = shape
            if len(shapes) == 1 and "build_input_shape" in inner.model["config"]:
                inner.model["config"]["build_input_shape"] = shapes[0]
        fit_nested(inner.model)


def _shapes_into(graph: Graph, name: str) -> list[Any]:
    """The shapes of the tensors that a layer takes; empty where they can't be told."""
    part = copy.deepcopy(graph.model)
    config = part["config"]
    part.pop("build_config", None)
    try:
        if not graph.functional:
            config["layers"] = config["layers"][: graph.names().index(name)]
            if len(config["layers"]) == len(graph.inputs()):
                return []  # the model begins with it
            model: Any = keras.saving.deserialize_keras_object(part)
            return [list(model.output_shape)]
        histories = graph.tensors(name)
        needed: set[str] = set()
        queue = [history[0] for history in histories]
        while queue:
            one = queue.pop()
            if one not in needed:
                needed.add(one)
                queue.extend(graph.before(one))
        config["layers"] = [entry for entry in config["layers"] if name_of(entry) in needed]
        config["input_layers"] = [[one, 0, 0] for one in graph.inputs() if one in needed]
        config["output_layers"] = histories
        model = keras.saving.deserialize_keras_object(part)
        return [list(tensor.shape) for tensor in model.outputs]
    except Exception:  # the whole model can't be built either, and says why
        return []


def reason_of(problem: Exception) -> str:
    """Why Keras could not build a model: the first line that tells more than where."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception encountered", "Arguments received", "•", "*"))]
    return (telling or lines or [type(problem).__name__])[0][:300].rstrip(".")
