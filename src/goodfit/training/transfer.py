"""`transfer`: the lower layers of a trained model, cloned and frozen, under a new head."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import keras_internals, own_classes
from goodfit.training.edits_shapes import reason_of
from goodfit.training.own_model import layers as weighted_layers

Reuse = int | str | Sequence[str] | Literal["all-but-last", "all"]


def transfer(
    source: Any,
    head: Any,
    reuse: Reuse = "all-but-last",
    *,
    input_shape: Sequence[int | None] | None = None,
    name: str | None = None,
) -> keras.Model:
    """A new model of a trained one's lower layers, cloned and frozen, and a new head. The source is never changed.

    Compile it as any model, and train it in stages: `goodfit.fit(model, x, y, stages=[...])`. The order of it, first
    the head on frozen layers, then unfrozen ones from the top at a lower rate, is Yosinski et al. 2014 ("How
    transferable are features in deep neural networks?") and Howard and Ruder 2018 (gradual unfreezing, section 3.3).

    Args:
        source: a built Keras model, or the path of a `.keras` or `.h5` file.
        head: what stands on the reused layers: a number of classes (2 or more: global average pooling where they end
            in images or sequences, and a softmax), a Keras layer, or several in their order.
        reuse: how much of it: `"all-but-last"` (the last layer with weights and what follows are left out), `"all"`,
            the first n layers with weights, -n for all but the last n; the name of the last layer to reuse; or several
            names: the layers up to the last of them, of which only these keep their weights and are frozen, the others
            being drawn afresh.
        input_shape: of one row, where it differs from the source's: other widths and heights where no weights depend
            on them, and grey images in a network of colour images (the one channel is given three times).
        name: of the new model.

    Returns:
        the model, not compiled; the reused layers are not trainable.

    Raises:
        InputError: the source can't be read or cut there, a layer is unknown, or weights don't fit; the layer is named.

    Example:
        >>> import keras
        >>> source = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])
        >>> model = transfer(source, head=2)
        >>> [(layer.name == source.layers[0].name, layer.trainable) for layer in model.layers[1:]]
        [(True, False), (False, True)]
    """
    model = loaded(source)
    graph = keras_internals.functional(model)
    if graph is None:
        if reuse != "all":
            raise InputError(
                f"the model {model.name!r} (class {type(model).__name__}) is subclassed: it can't be cut.",
                'Give reuse="all", which puts the head on its output, or the part of it that is a Functional model.',
            )
        base, frozen = _whole(model, input_shape), None
    else:
        cut, frozen = _cut(model, graph, reuse)
        base = _cloned(graph, cut, input_shape)
        _copy(graph, base, frozen)
    features = base.outputs[0]
    for path, layer in weighted_layers(base):
        if frozen is None or path in frozen:
            layer.trainable = False
    taken = {layer.name for layer in base.layers}
    for layer in _head(head, len(features.shape), taken):
        try:
            features = layer(features)
        except Exception as problem:
            raise InputError(
                f"the head's layer {layer.name!r} does not fit on the reused layers, which end in shape "
                f"{_row(features)} ({reason_of(problem)}).",
                "Begin the head with Flatten or a global pooling, or give a number of classes.",
            ) from problem
    return keras.Model(base.input, features, name=name or f"{model.name}_transfer")


def loaded(source: Any) -> keras.Model:
    """A built model, from a file where a path is given.

    Args:
        source: the model, or the path of a `.keras` or `.h5` file.

    Raises:
        InputError: it is neither, has no weights yet, or can't be loaded.
    """
    if isinstance(source, keras.Model):
        if not source.built:
            raise InputError(f"the model {source.name!r} has no weights yet.", "Build it, or call it on one row first.")
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"the source is {type(source).__name__}, no Keras model.", "Give a model or a file's path.")
    path = Path(source)
    if path.is_dir():
        raise InputError(
            f"{str(path)!r} is a folder.",
            f"Give the file {str(path / 'model.keras')!r} in it."
            if (path / "model.keras").is_file()
            else "Give the path of a saved model (.keras or .h5).",
        )
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}.", "Give the path of a saved model (.keras or .h5).")
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise InputError(f"{str(path)!r} is no saved Keras model.", "Give a .keras or .h5 file.")
    try:
        model: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as problem:
        raise InputError(
            f"{str(path)!r} can't be loaded as a Keras model ({reason_of(problem)}).",
            "Save it whole (model.save), and import what defines its own layers first; weights alone go into a model "
            "that is built: model.load_weights.",
        ) from problem
    return model


def _whole(model: keras.Model, input_shape: Sequence[int | None] | None) -> keras.Model:
    """A subclassed model as one layer, cloned."""
    if input_shape is None:
        raise InputError(f"what the subclassed model {model.name!r} takes is not known.", "Give input_shape.")
    try:
        twin: Any = own_classes.twin(model)
        inputs = keras.Input(tuple(input_shape))
        outputs = twin(inputs)
        twin.set_weights(model.get_weights())
        keras_internals.settle(twin)
    except Exception as problem:
        raise InputError(
            f"the model {model.name!r} (class {type(model).__name__}) can't be cloned ({reason_of(problem)}).",
            "Give its class a get_config that holds all its arguments, or give a Functional model.",
        ) from problem
    return keras.Model(inputs, outputs)


def _cut(model: keras.Model, graph: Any, reuse: Reuse) -> tuple[Any, set[str] | None]:
    """The tensor where the reused part ends, and the paths of the layers that keep their weights; `None` is all."""
    if len(graph.outputs) != 1 and not (isinstance(reuse, str) and reuse not in ("all", "all-but-last")):
        names = ", ".join(layer.name for layer in model.layers[-3:])
        raise InputError(
            f"the model {model.name!r} has {len(graph.outputs)} outputs, so it has no last layer.",
            f"Give as reuse the name of the last layer to reuse (its last ones are {names}).",
        )
    weighted = [layer for layer in graph.layers if layer.weights]
    if reuse == "all":
        return graph.outputs[0], None
    if reuse == "all-but-last":
        reuse = -1
    if isinstance(reuse, bool) or reuse == 0:
        raise InputError(f"reuse={reuse!r} reuses nothing.", 'Give "all-but-last", a number of layers, or names.')
    if isinstance(reuse, int):
        if not -len(weighted) < reuse <= len(weighted):
            raise InputError(
                f"reuse={reuse} asks for more than the {len(weighted)} layers with weights of {model.name!r}.",
                f"Give a number from {1 - len(weighted)} to {len(weighted)}, not 0.",
            )
        if reuse == len(weighted):
            return graph.outputs[0], None
        after = weighted[reuse]  # the first one that is left out
        if isinstance(after.input, (list, tuple, dict)):
            raise InputError(
                f"the model {model.name!r} can't be cut before {after.name!r}, which has several inputs.",
                "Give as reuse the name of the last layer to reuse.",
            )
        if any(after.input is tensor for tensor in graph.inputs):
            raise InputError(f"nothing stands before the layer {after.name!r}.", "Reuse more layers.")
        return after.input, None
    named = [reuse] if isinstance(reuse, str) else list(reuse)
    known = [layer.name for layer in graph.layers]
    for one in named:
        if one not in known:
            near = get_close_matches(str(one), known, 1)
            raise InputError(
                f"the model {model.name!r} has no layer {one!r}" + (f"; there is {near[0]!r}." if near else "."),
                f"Its layers are {', '.join(known[:8])}{', …' if len(known) > 8 else ''}.",
            )
    if not named:
        raise InputError("reuse names no layer.", 'Give "all-but-last", a number of layers, or names.')
    last = graph.layers[max(known.index(one) for one in named)]
    if isinstance(last.output, (list, tuple, dict)):
        raise InputError(f"the layer {last.name!r} has several outputs.", "Reuse up to a layer with one output.")
    if isinstance(reuse, str):
        return last.output, None
    chosen = {one for one in named if graph.get_layer(one).weights}
    if not chosen:
        raise InputError(f"none of the layers {', '.join(named)} has weights to reuse.", "Name one that has.")
    paths = {path for path, _ in weighted_layers(graph)}
    return last.output, {path for path in paths if path.split("/")[0] in chosen}


def _cloned(graph: Any, cut: Any, input_shape: Sequence[int | None] | None) -> Any:
    """The part up to a tensor with layers of its own; the weights are still other ones."""
    whole = keras.Model(graph.inputs, cut)
    used = {id(tensor) for node in keras_internals.graph_nodes(whole) for tensor in node.input_tensors}
    entries = [tensor for tensor in graph.inputs if id(tensor) in used]
    part: Any = keras.Model(entries[0] if len(entries) == 1 else entries, cut)
    shapes = [tensor.shape[1:] for tensor in entries]
    grey = False
    if input_shape is not None:
        given = tuple(input_shape)
        if len(entries) != 1:
            raise InputError(f"the source has {len(entries)} inputs.", "Leave out input_shape.")
        if len(given) != len(shapes[0]):
            raise InputError(
                f"input_shape is {given}, but the source takes rows of shape {shapes[0]}.",
                f"Give {len(shapes[0])} numbers.",
            )
        grey = len(given) == 3 and given[-1] == 1 and shapes[0][-1] == 3
        shapes = [given]
    inputs: list[Any] = [
        keras.Input(shape, dtype=tensor.dtype, name=tensor._keras_history.operation.name)
        for shape, tensor in zip(shapes, entries, strict=True)
    ]
    fed = [keras.layers.Concatenate(name="grey_to_colour")(inputs * 3)] if grey else inputs
    culprit = ""

    def clone(layer: Any) -> Any:
        nonlocal culprit
        culprit = layer.name
        return own_classes.twin(layer)

    try:
        output = keras_internals.called_on(part, fed[0] if len(fed) == 1 else fed, clone)
    except Exception as problem:
        raise InputError(
            f"the source can't be cloned: its layer {culprit!r} ({reason_of(problem)}).",
            "Give the layer's class a get_config that holds all its arguments"
            + ("." if input_shape is None else ", or leave out input_shape."),
        ) from problem
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, output)


def _copy(graph: Any, base: keras.Model, kept: set[str] | None) -> None:
    """Put the source's weights into the clone."""
    theirs = dict(weighted_layers(graph))
    for path, layer in weighted_layers(base):
        if kept is not None and path not in kept:
            continue
        values = [np.asarray(variable.value) for variable in theirs[path].weights]
        for value, variable in zip(values, layer.weights, strict=True):
            if value.shape != tuple(variable.shape):
                raise InputError(
                    f"the weights of the layer {path!r} don't fit: they have shape {value.shape}, and with this input "
                    f"shape {tuple(variable.shape)} is needed.",
                    "Leave out input_shape, resize the inputs, or reuse only layers before it.",
                )
            variable.assign(value)
    keras_internals.settle(base)


def _head(head: Any, rank: int, taken: set[str]) -> list[Any]:
    """The layers of the head, under names that are not taken."""
    if isinstance(head, bool) or (isinstance(head, int) and head < 2):
        raise InputError(
            f"head={head!r} is no number of classes.",
            "Give 2 or more; for a regression keras.layers.Dense(1), for one probability Dense(1, 'sigmoid').",
        )
    if isinstance(head, int):
        pool = {4: keras.layers.GlobalAveragePooling2D, 3: keras.layers.GlobalAveragePooling1D}.get(rank)
        made = [] if pool is None else [pool(name="pool")]
        if rank > 4:
            made = [keras.layers.Flatten(name="flat")]
        head = [*made, keras.layers.Dense(head, activation="softmax", name="head")]
    given = list(head) if isinstance(head, (list, tuple)) else [head]
    if not given:
        raise InputError("the head has no layers.", "Give a number of classes, or a Keras layer.")
    free = []
    for layer in given:
        if not isinstance(layer, keras.layers.Layer):
            raise InputError(
                f"the head holds a {type(layer).__name__}, which is no Keras layer.",
                "Give a number of classes, a Keras layer, or a list of layers.",
            )
        if layer.name in taken and not layer.built:
            fresh, count = f"head_{layer.name}", 1
            while fresh in taken:
                fresh, count = f"head_{layer.name}_{count}", count + 1
            layer = own_classes.twin(layer, fresh)
        taken.add(layer.name)
        free.append(layer)
    return free


def _row(tensor: Any) -> tuple[int | None, ...]:
    return tuple(tensor.shape[1:])
