"""The layers of a serialized Keras model, Sequential or Functional, nested ones entered: found, inserted, removed.

A `Graph` works on the plain configuration (`keras.saving.serialize_keras_object`), in place; whoever edits takes a deep
copy first. Nothing here knows what an edit is for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from goodfit.errors import InputError

Entry = dict[str, Any]
"""A layer as Keras serializes it: `class_name`, `config`, and in a Functional model `name` and `inbound_nodes`."""
SEQUENTIAL, FUNCTIONAL = "Sequential", "Functional"


@dataclass(frozen=True)
class Place:
    """Where a layer stands.

    Args:
        graph: the model that holds it.
        name: its name there.
        path: the names that lead to it from the outermost model, with `/` between.
    """

    graph: Graph
    name: str
    path: str

    @property
    def entry(self) -> Entry:
        """The layer's configuration."""
        return self.graph.entry(self.name)


class Graph:
    """One serialized Sequential or Functional model.

    Args:
        model: as Keras serializes it; edited in place.
        path: the names that lead to it.

    Raises:
        InputError: it is neither, so that its layers can't be edited; the message names the class.
    """

    def __init__(self, model: Entry, path: str = "") -> None:
        if not is_graph(model):
            raise InputError(
                f"the layers of {path or model.get('class_name', 'the model')!r} can't be edited: a "
                f"{model.get('class_name', 'model')} is Python code, not a graph of layers.",
                "Only optimizer, learning rate, batch size, epochs, clipping and early stopping can be changed; or "
                "build it as a Sequential or Functional model.",
            )
        self.model, self.path = model, path
        self.entries: list[Entry] = model["config"]["layers"]
        self.functional = "output_layers" in model["config"]

    def names(self) -> list[str]:
        """The layers' names, in the order of the configuration."""
        return [name_of(entry) for entry in self.entries]

    def entry(self, name: str) -> Entry:
        """The configuration of the layer called `name`."""
        return next(entry for entry in self.entries if name_of(entry) == name)

    def places(self) -> Iterator[Place]:
        """All layers, those of nested models after the nested model itself."""
        for entry in self.entries:
            place = Place(self, name_of(entry), self._path(name_of(entry)))
            yield place
            if is_graph(entry):
                yield from Graph(entry, place.path).places()

    def nested(self, name: str) -> Graph | None:
        """The model that stands where a layer could, or `None` where it is a layer."""
        entry = self.entry(name)
        return Graph(entry, self._path(name)) if is_graph(entry) else None

    def shared(self, name: str) -> bool:
        """Whether the layer is called more than once."""
        return len(self.entry(name).get("inbound_nodes", ())) > 1

    def before(self, name: str) -> list[str]:
        """The layers whose outputs the layer takes."""
        if not self.functional:
            place = self.names().index(name)
            return self.names()[place - 1 : place] if place else []
        return list(dict.fromkeys(history[0] for history in self.tensors(name)))

    def tensors(self, name: str) -> list[list[Any]]:
        """`[layer, node, output]` of each tensor that a layer of a Functional model takes."""
        return _tensors(self.entry(name).get("inbound_nodes", ()))

    def after(self, name: str) -> list[str]:
        """The layers that take the layer's outputs."""
        if not self.functional:
            place = self.names().index(name)
            return self.names()[place + 1 : place + 2]
        return [other for other in self.names() if name in self.before(other)]

    def outputs(self) -> list[str]:
        """The layers that give the model's outputs."""
        if not self.functional:
            return self.names()[-1:]
        return list(dict.fromkeys(history[0] for history in _histories(self.model["config"]["output_layers"])))

    def inputs(self) -> list[str]:
        """The input layers; empty for a Sequential model that was given none."""
        return [name_of(entry) for entry in self.entries if entry["class_name"] == "InputLayer"]

    def insert_after(self, name: str, layer: Entry, base: str) -> str:
        """Put a layer behind another one, before all that take its output.

        Args:
            name: of the layer that comes before.
            layer: `class_name` and `config`, without a name.
            base: what to call it; a number is added where that is taken.

        Returns:
            its name.

        Raises:
            InputError: the layer before is shared, gives several outputs, or is itself an output of the whole model.
        """
        fresh = self._fresh(layer, base, self.entry(name))
        if not self.functional:
            self.entries.insert(self.names().index(name) + 1, fresh)
            return name_of(fresh)
        self._refuse_ambiguous(name, "behind")
        if name in self.outputs() and not self.path:
            raise InputError(
                f"nothing can be inserted behind the layer {self._path(name)!r}: it is an output of the model.",
                "Outputs keep their names; insert before it.",
            )
        found = [t for other in self.after(name) for t in _tensors(self.entry(other)["inbound_nodes"]) if t[0] == name]
        if {tensor[2] for tensor in found} - {0}:
            raise InputError(
                f"nothing can be inserted behind the layer {self._path(name)!r}: it gives several outputs.",
                "Name a layer with one output.",
            )
        history = found[0] if found else [name, 0, 0]
        self._redirect(name, [fresh["name"], 0, 0])
        fresh["inbound_nodes"] = [{"args": [_tensor(history)], "kwargs": {}}]
        self.entries.insert(self.names().index(name) + 1, fresh)
        return name_of(fresh)

    def append(self, layer: Entry, base: str) -> None:
        """Put a layer behind the model's one output, in whose place it comes."""
        (last,) = self.outputs()
        fresh = self._fresh(layer, base, self.entry(last))
        if self.functional:
            (history,) = _histories(self.model["config"]["output_layers"])
            fresh["inbound_nodes"] = [{"args": [_tensor(history)], "kwargs": {}}]
            self.model["config"]["output_layers"] = [[fresh["name"], 0, 0]]
        self.entries.append(fresh)

    def insert_before(self, name: str, layer: Entry, base: str) -> str:
        """Put a layer before another one, which then takes its output; else as `insert_after`."""
        fresh = self._fresh(layer, base, self.entry(name))
        if not self.functional:
            self.entries.insert(self.names().index(name), fresh)
            return name_of(fresh)
        self._refuse_ambiguous(name, "before")
        nodes = self.entry(name).get("inbound_nodes", [])
        tensors = _tensors(nodes)
        if len(tensors) != 1:
            raise InputError(
                f"nothing can be inserted before the layer {self._path(name)!r}: it takes {len(tensors)} inputs.",
                "Name a layer with one input.",
            )
        fresh["inbound_nodes"] = [{"args": [_tensor(tensors[0])], "kwargs": {}}]
        _redirect(nodes, tensors[0][0], [fresh["name"], 0, 0])
        self.entries.insert(self.names().index(name), fresh)
        return name_of(fresh)

    def remove(self, name: str) -> None:
        """Take a layer out: what took its output takes its input.

        Its class and name stay noted beside the configuration, so that initial weights that go by a layer's place
        among its class (`recipes.build`) stay as they were.

        Raises:
            InputError: it is shared, has several inputs, or gives an output of the model.
        """
        path = self._path(name)
        if name in self.inputs() or (name in self.outputs() and not self.path):
            raise InputError(f"the layer {path!r} can't be removed: the model begins or ends with it.", "Name another.")
        entry = self.entry(name)
        if self.functional:
            self._refuse_ambiguous(name, "in place of")
            tensors = _tensors(entry["inbound_nodes"])
            if len(tensors) != 1:
                raise InputError(
                    f"the layer {path!r} can't be removed: it takes {len(tensors)} inputs.", "Name another."
                )
            self._redirect(name, tensors[0])
        elif self.names().index(name) == 0:
            raise InputError(
                f"the layer {path!r} can't be removed: the model begins with it.", "Give the model an Input."
            )
        self.entries.remove(entry)
        gone = {"class_name": entry["class_name"], "config": {"name": name}}
        self.model.setdefault("removed", []).append(gone)

    def _fresh(self, layer: Entry, base: str, neighbour: Entry) -> Entry:
        taken = {name_of(entry) for entry in self.entries}
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        config = {**layer.get("config", {}), "name": name}
        policy = neighbour["config"].get("dtype") if isinstance(neighbour.get("config"), dict) else None
        if isinstance(policy, dict):  # a policy such as mixed_float16; an InputLayer's dtype is another thing
            config.setdefault("dtype", copy.deepcopy(policy))
        fresh = {
            "module": layer.get("module", "keras.layers"),
            "class_name": layer["class_name"],
            "config": config,
            "registered_name": layer.get("registered_name"),
        }
        return {**fresh, "name": name, "inbound_nodes": []} if self.functional else fresh

    def _redirect(self, name: str, to: list[Any]) -> None:
        """Let all that take the layer's output, and the model's outputs, take another one."""
        for other in self.entries:
            if name_of(other) != name:
                _redirect(other.get("inbound_nodes"), name, to)
        for history in _histories(self.model["config"]["output_layers"]):
            if history[0] == name:
                history[:] = to

    def _refuse_ambiguous(self, name: str, where: str) -> None:
        if self.shared(name):
            raise InputError(
                f"nothing can be put {where} the layer {self._path(name)!r}: it is shared, called "
                f"{len(self.entry(name)['inbound_nodes'])} times.",
                "Name a layer that is called once.",
            )

    def _path(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name


def is_graph(entry: Any) -> bool:
    """Whether a serialized layer is a model whose layers are listed in its configuration."""
    config = entry.get("config") if isinstance(entry, dict) else None
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        return False
    return entry["class_name"] == SEQUENTIAL or "output_layers" in config


def name_of(entry: Entry) -> str:
    """The name of a serialized layer or operation."""
    return entry["name"] if "inbound_nodes" in entry else entry["config"]["name"]


def _whole(part: Any) -> Iterator[Entry]:
    """The serialized tensors in the arguments of a call."""
    if isinstance(part, dict):
        if part.get("class_name") == "__keras_tensor__":
            yield part
        else:
            for item in part.values():
                yield from _whole(item)
    elif isinstance(part, (list, tuple)):
        for item in part:
            yield from _whole(item)


def _tensors(nodes: Any) -> list[list[Any]]:
    """`[layer, node, output]` of each tensor in the arguments of a call."""
    return [list(tensor["config"]["keras_history"]) for tensor in _whole(nodes)]


def _redirect(nodes: Any, name: str, to: list[Any]) -> None:
    for tensor in _whole(nodes):
        if tensor["config"]["keras_history"][0] == name:
            tensor["config"]["keras_history"] = list(to)


def _tensor(history: list[Any]) -> Entry:
    """The output of a layer as an argument of a call; its shape and type Keras finds anew."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None], "dtype": "float32", "keras_history": list(history)},
    }


def _histories(part: Any) -> Iterator[list[Any]]:
    """The `[layer, node, output]` in `output_layers`, which is one of them, or a list or dict."""
    if isinstance(part, list) and len(part) == 3 and isinstance(part[0], str):
        yield part
    elif isinstance(part, dict):
        for item in part.values():
            yield from _histories(item)
    elif isinstance(part, (list, tuple)):
        for item in part:
            yield from _histories(item)
