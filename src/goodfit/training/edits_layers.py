"""Edits of the layers of a serialized Keras model: which layers are meant, and what is done to them.

A layer is named by its path (`encoder/dense_1`; the bare name where only one has it), or by its role:

| role | layers |
|---|---|
| `all` | every layer |
| `hidden` | every trainable layer with a kernel (dense, convolutional, recurrent, attention), but the outputs |
| `first_hidden`, `last_hidden` | the first and the last of them |
| `output` | the last layer with a kernel on the way to each output |
| `dropout` | every layer that drops or disturbs at random while it trains |
| `normalization` | every batch, layer or group normalization |
| `penalized` | every layer with a penalty |
| `class:Name` | every layer of that class |
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from goodfit.errors import InputError
from goodfit.training.edits_graph import Entry, Graph, Place, is_graph
from goodfit.values._json import plain

RANDOM = frozenset(
    {
        *("Dropout", "AlphaDropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        *("GaussianDropout", "GaussianNoise"),
    }
)
NORMALIZATION = frozenset({"BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization"})
ACTIVATION = frozenset({"Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"})
_INNER = ("layer", "forward_layer", "backward_layer", "cell")
_KERNELS = ("kernel_initializer", "depthwise_initializer")
_WHOLE = ("units", "filters", "num_heads", "key_dim", "kernel_size")
Values = dict[str, Any]


def edit(model: Entry, selector: str, operations: Mapping[str, Any]) -> int:
    """Edit layers of a serialized model in place.

    Args:
        model: Sequential or Functional.
        selector: a path or a role.
        operations: `set` {field: value}, `activate` name, `penalties` value, `insert_before`, `insert_after` or
            `insert_before_activation` layers, `repeat` times, `remove` true, `replace` layer. A value may be
            `{"times": f}`.

    Returns:
        how many layers were edited.

    Raises:
        InputError: no such layer or operation, or a layer that can't be edited in that way; its name is told.
    """
    root = Graph(model)
    total = 0
    for name, value in operations.items():
        if name not in _OPERATIONS:
            raise InputError(
                f"{name!r} is nothing that can be done to a layer.", f"There are {', '.join(sorted(_OPERATIONS))}."
            )
        by_role = selector in _ROLES or selector.startswith("class:")
        for place in select(root, selector):
            total += _OPERATIONS[name](place, value, by_role)
    if total:
        _forget_shapes(model)
    return total


def select(root: Graph, selector: str) -> list[Place]:
    """The layers that a path or a role means; `InputError` where a path means none or several."""
    places = list(root.places())
    if selector in _ROLES:
        return _ROLES[selector](root, places)
    if selector.startswith("class:"):
        return [place for place in places if place.entry["class_name"] == selector.removeprefix("class:")]
    found = [place for place in places if place.path == selector] or [p for p in places if p.name == selector]
    if len(found) != 1:
        paths = ", ".join(place.path for place in found or places[:20])
        problem = f"{len(found)} layers are called {selector!r}" if found else f"no layer is called {selector!r}"
        raise InputError(f"{problem}.", f"Name one of {paths}.")
    return found


def has_kernel(entry: Entry) -> bool:
    """Whether the layer multiplies its inputs by weights."""
    return any(name in values for values in settings(entry) for name in _KERNELS)


def settings(entry: Entry) -> list[Values]:
    """The fields of a layer, and of the layers and cells that it wraps."""
    config = entry.get("config")
    if not isinstance(config, dict) or is_graph(entry):
        return []
    inner = [config[name] for name in _INNER if isinstance(config.get(name), dict) and "config" in config[name]]
    return [config, *(values for one in inner for values in settings(one))]


def _hidden(root: Graph, places: list[Place]) -> list[Place]:
    last = {place.path for place in _outputs(root)}
    frozen = tuple(f"{place.path}/" for place in places if is_graph(place.entry) and not trainable(place.entry))
    return [
        place
        for place in places
        if has_kernel(place.entry)
        and trainable(place.entry)
        and place.path not in last
        and not place.path.startswith(frozen)
    ]


def trainable(entry: Entry) -> bool:
    """Whether a layer is not frozen."""
    return entry["config"].get("trainable", True) is not False


def _outputs(graph: Graph) -> list[Place]:
    """The last layer with a kernel on the way to each output."""
    found: dict[str, Place] = {}
    seen: set[str] = set()
    queue = graph.outputs()
    while queue:
        name = queue.pop(0)
        if name in seen:
            continue
        seen.add(name)
        inner = graph.nested(name)
        ends = _outputs(inner) if inner is not None else []
        if not ends and has_kernel(graph.entry(name)):
            ends = [next(place for place in graph.places() if place.graph is graph and place.name == name)]
        if ends:
            found.update({place.path: place for place in ends})
        else:
            queue.extend(graph.before(name))
    return list(found.values())


def _penalized(entry: Entry) -> bool:
    return any(name.endswith("_regularizer") and value for values in settings(entry) for name, value in values.items())


_ROLES: dict[str, Callable[[Graph, list[Place]], list[Place]]] = {
    "all": lambda _, places: places,
    "hidden": _hidden,
    "first_hidden": lambda root, places: _hidden(root, places)[:1],
    "last_hidden": lambda root, places: _hidden(root, places)[-1:],
    "output": lambda root, _: _outputs(root),
    "dropout": lambda _, places: [place for place in places if place.entry["class_name"] in RANDOM],
    "normalization": lambda _, places: [place for place in places if place.entry["class_name"] in NORMALIZATION],
    "penalized": lambda _, places: [place for place in places if _penalized(place.entry)],
}


def times(value: Any, field: str, old: Any) -> Any:
    """What a field becomes: `value` itself, or `{"times": f}` of what it was; whole numbers stay whole, 1 at least."""
    if not (isinstance(value, Mapping) and set(value) == {"times"}):
        return copy.deepcopy(value)
    if isinstance(old, bool) or not isinstance(old, (int, float)):
        raise InputError(f"{field} is {old!r}, which can't be multiplied.", "Give its new value.")
    factor = value["times"]
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not (math.isfinite(factor) and factor >= 0):
        raise InputError(f"{field} is to be {factor!r} times what it is.", "Give a number that is not negative.")
    product = old * factor
    return max(1, round(product)) if isinstance(old, int) or field in _WHOLE else product


def _set(place: Place, fields: Any, by_role: bool) -> int:
    """Fields that the layer has; by role, layers without the field are left as they are."""
    _refuse_code(place)
    changed = 0
    for field, value in fields.items():
        holders = [values for values in settings(place.entry) if field in values]
        if not holders and not by_role:
            raise InputError(f"the layer {place.path!r} has no {field!r}.", "Name a field that its config has.")
        for values in holders:
            after = times(value, field, values[field])
            if field.endswith("_initializer") and after is not None:
                after = _initializer(place, after)
            changed += after != values[field]
            values[field] = after
    return int(changed > 0)


def _initializer(place: Place, given: Any) -> Entry:
    """An initializer's name or configuration with all of its fields, `seed` among them: `build` derives it."""
    try:
        return plain(keras.initializers.serialize(keras.initializers.get(given)))
    except (ValueError, TypeError) as problem:
        raise InputError(
            f"{given!r} is no initializer for the layer {place.path!r}.", "Name one of Keras's."
        ) from problem


def complete(layer: Entry, place: Place) -> Entry:
    """A layer's configuration with all of its fields, so that `build` can derive its seeds; without a name."""
    config = {**layer.get("config", {}), "name": f"{layer['class_name'].lower()}_of_{place.name}"}
    try:
        whole: Any = keras.saving.serialize_keras_object(
            keras.saving.deserialize_keras_object(
                {"module": "keras.layers", "registered_name": None, **layer, "config": config}
            )
        )
    except Exception as problem:
        reason = str(problem).strip().splitlines()[0][:200].rstrip(".")
        raise InputError(
            f"the layer {layer['class_name']!r} at {place.path!r} can't be made: {reason}.", "Give another layer."
        ) from problem
    fields = {key: value for key, value in plain(whole["config"]).items() if key not in ("name", "dtype")}
    return {
        "module": whole["module"],
        "class_name": whole["class_name"],
        "registered_name": whole["registered_name"],
        "config": fields,
    }


def _activate(place: Place, activation: Any, by_role: bool) -> int:
    """Another activation: the layer's own, or that of an activation layer behind it; recurrent ones keep theirs."""
    _refuse_code(place)
    if by_role and any("recurrent_initializer" in values for values in settings(place.entry)):
        return 0
    config = place.entry["config"]
    for name in _following(place):
        entry = place.graph.entry(name)
        if entry["class_name"] in ACTIVATION:
            keep = {key: entry["config"][key] for key in ("name", "dtype", "trainable") if key in entry["config"]}
            entry |= {"module": "keras.layers", "class_name": "Activation", "registered_name": None}
            before, entry["config"] = entry["config"], {**keep, "activation": copy.deepcopy(activation)}
            return int(before != entry["config"])
    if "activation" not in config:
        if by_role:
            return 0
        raise InputError(f"the layer {place.path!r} has no activation.", "Insert an Activation layer after it.")
    changed = config["activation"] != activation
    config["activation"] = copy.deepcopy(activation)
    return int(changed)


def _following(place: Place) -> list[str]:
    """The normalizations and activations that a layer's output alone goes through."""
    found: list[str] = []
    name = place.name
    while True:
        after = place.graph.after(name)
        if len(after) != 1 or place.graph.entry(after[0])["class_name"] not in NORMALIZATION | ACTIVATION:
            return found
        if name in place.graph.outputs() or place.graph.shared(after[0]):
            return found
        name = after[0]
        found.append(name)


def _penalties(place: Place, value: Any, by_role: bool) -> int:
    """Every penalty of the layer multiplied by `{"times": f}`, or taken away by `None`."""
    changed = 0
    for values in settings(place.entry):
        for field, penalty in values.items():
            if not field.endswith("_regularizer") or not penalty:
                continue
            changed = 1
            if value is None:
                values[field] = None
                continue
            strengths = penalty.get("config") if isinstance(penalty, dict) else None
            if not isinstance(strengths, dict) or not {"l1", "l2", "factor"} & set(strengths):
                raise InputError(
                    f"the strength of {field} of the layer {place.path!r} can't be told: it is no L1 or L2 penalty.",
                    "Take it away, or give another.",
                )
            for name in {"l1", "l2", "factor"} & set(strengths):
                strengths[name] = float(strengths[name] or 0.0) * value["times"]
    if not changed and not by_role:
        raise InputError(f"the layer {place.path!r} has no penalty.", "Name a layer that has one.")
    return changed


def _insert_after(place: Place, layers: Any, by_role: bool) -> int:
    """Behind the layer with its normalization and activation; by role, not where one of that class stands already."""
    anchor = ([place.name, *_following(place)] if has_kernel(place.entry) else [place.name])[-1]
    return _inserted(place, layers, by_role, anchor, behind=True)


def _insert_before(place: Place, layers: Any, by_role: bool) -> int:
    return _inserted(place, layers, by_role, place.name, behind=False)


def _insert_before_activation(place: Place, layers: Any, by_role: bool) -> int:
    """Between the layer's weights and its activation, which becomes a layer of its own."""
    _refuse_code(place)
    config = place.entry["config"]
    following = _following(place)
    if any(place.graph.entry(name)["class_name"] in NORMALIZATION for name in following) and by_role:
        return 0
    if any("recurrent_initializer" in values for values in settings(place.entry)):
        if by_role:
            return 0
        raise InputError(f"the activation of {place.path!r} lies inside its steps.", "Insert behind the layer.")
    if config.get("activation") not in (None, "linear"):
        if place.graph.shared(place.name):
            place.graph.insert_after(place.name, {"class_name": "Activation"}, place.name)  # says why it can't be
        layer = {"class_name": "Activation", "config": {"activation": config["activation"]}}
        place.graph.insert_after(place.name, complete(layer, place), f"activation_of_{place.name}")
        config["activation"] = "linear"
    return _inserted(place, layers, by_role, place.name, behind=True)


def _inserted(place: Place, layers: Any, by_role: bool, anchor: str, *, behind: bool) -> int:
    given: Sequence[Entry] = layers if isinstance(layers, (list, tuple)) else [layers]
    listed = [complete(layer, place) for layer in given]
    graph = place.graph
    if by_role:
        if behind and not graph.after(anchor):
            return 0
        near = graph.after(anchor) if behind else graph.before(anchor)
        if any(graph.entry(name)["class_name"] == layer["class_name"] for name in near for layer in listed):
            return 0
        if place.graph.shared(anchor):
            graph.insert_after(anchor, listed[0], anchor)  # raises, with the layer's name
    for layer in reversed(listed) if behind else listed:
        word = layer["class_name"].lower()
        if behind:
            graph.insert_after(anchor, layer, f"{word}_after_{place.name}")
        else:
            graph.insert_before(anchor, layer, f"{word}_before_{place.name}")
    return 1


def _repeat(place: Place, count: Any, _: bool) -> int:
    """So many further layers like this one behind it, each with what follows the layer: normalization, activation."""
    _refuse_code(place)
    graph = place.graph
    parts = [place.name, *_following(place)]
    after = graph.after(parts[-1])
    while len(after) == 1 and graph.entry(after[0])["class_name"] in RANDOM:
        parts.append(after[0])
        after = graph.after(after[0])
    anchor = parts[-1]
    for number in range(1, int(count) + 1):
        for name in parts:
            config = copy.deepcopy(graph.entry(name)["config"])
            config.pop("name")
            if name == place.name and "strides" in config:  # only the first one shrinks its input
                config["strides"] = [1] * len(config["strides"]) if isinstance(config["strides"], list) else 1
                config["padding"] = "same"
            anchor = graph.insert_after(anchor, {**graph.entry(name), "config": config}, f"{name}_again_{number}")
    return 1


def _remove(place: Place, really: Any, _: bool) -> int:
    """Out of the model, with the normalization, activation and dropout that belong to a layer with a kernel."""
    if really is not True:
        raise InputError(f'"remove" of {place.path!r} is {really!r}.', "Give true.")
    names = [place.name]
    if has_kernel(place.entry):
        names += _following(place)
        after = place.graph.after(names[-1])
        if len(after) == 1 and place.graph.entry(after[0])["class_name"] in RANDOM:
            names.append(after[0])
    for name in reversed(names):
        place.graph.remove(name)
    return 1


def _replace(place: Place, layer: Any, _: bool) -> int:
    """Another layer in the same place, under the same name."""
    entry = place.entry
    keep = {key: entry["config"][key] for key in ("name", "dtype", "trainable") if key in entry["config"]}
    whole = complete(layer, place)
    entry |= {**whole, "config": {**whole["config"], **keep}}
    return 1


def _refuse_code(place: Place) -> None:
    if place.entry["class_name"] == "Lambda":
        raise InputError(
            f"the layer {place.path!r} can't be edited: it is a Lambda, Python code without fields.",
            "Name another layer; layers around it can be edited.",
        )


def _forget_shapes(model: Entry) -> None:
    """Leave out the shapes that layers were built for: Keras finds them anew."""
    model.pop("build_config", None)
    for entry in model["config"]["layers"]:
        if is_graph(entry):
            _forget_shapes(entry)
        else:
            _forget_shape(entry)


def _forget_shape(entry: Entry) -> None:
    """The same of one layer, and of those that it wraps."""
    entry.pop("build_config", None)
    for inner in (entry.get("config") or {}).values():
        if isinstance(inner, dict) and "class_name" in inner and "build_config" in inner:
            _forget_shape(inner)


_OPERATIONS: dict[str, Callable[[Place, Any, bool], int]] = {
    "set": _set,
    "activate": _activate,
    "penalties": _penalties,
    "insert_after": _insert_after,
    "insert_before": _insert_before,
    "insert_before_activation": _insert_before_activation,
    "repeat": _repeat,
    "remove": _remove,
    "replace": _replace,
}
