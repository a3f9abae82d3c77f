"""Before training: what Keras lets through silently, though it can't be meant."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError, PreflightWarning
from goodfit.training import keras_internals
from goodfit.training.heads import Head, as_array, heads_of
from goodfit.training.identity_batches import IdentityBatches
from goodfit.training.losses import check_identities

SPAN = 1e3
"""Ratio of the largest to the smallest standard deviation among the inputs, from which the pre-flight speaks of it.
Inputs of like scale train faster (LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", section 4.3)."""
SPAN_ROWS = 10_000
"""Rows from which the standard deviations are taken."""
BYTES = 100
"""A value of an image from which it is taken to be of 0 to 255, not of 0 to 1 or 0 to 16."""
_SCALING = (
    *(keras.layers.Rescaling, keras.layers.Normalization, keras.layers.BatchNormalization),
    *(keras.layers.LayerNormalization, keras.layers.GroupNormalization, keras.layers.Embedding),
)
"""Layers after which the scale of what came in no longer matters, or that take whole numbers."""
NUMBERS = (int, float, np.number)
"""Types of single numbers."""
NAMED = 5
"""Rows or columns that a message names at most."""


def check(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
    validation_data: Any = None,
) -> tuple[str, ...]:
    """Look at model and data before training.

    Args:
        model: a compiled model.
        x: inputs, as given to `fit`; what is not arrays is not looked at.
        y: targets.
        sample_weight: weights of the rows.
        class_weight: weights of the classes, by their numbers.
        validation_data: `(x, y)` or `(x, y, sample_weight)`.

    Returns:
        What is questionable but may be meant, one sentence each.

    Raises:
        InputError: for what can't be meant.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
        >>> model.compile("sgd", "binary_crossentropy")
        >>> check(model, np.zeros((2, 2)), np.array([0, 5]))
        Traceback (most recent call last):
        goodfit.errors.InputError: y holds labels other than 0 and 1 (5) with binary cross-entropy. ...
    """
    if isinstance(x, IdentityBatches):
        x, y = x.x, x.y
    _check_frozen(model)
    _check_list("x", x)
    _check_list("y", y)
    check_shape(model, "x", x)
    if isinstance(validation_data, (tuple, list)) and validation_data:
        check_shape(model, "validation x", validation_data[0])
    heads = heads_of(model, x)
    warnings = [note for head in heads for note in _check_output(head)]
    if isinstance(class_weight, Mapping) and class_weight:
        warnings += _check_class_weights(class_weight)
    sets: list[tuple[str, Any]] = [("", (x, y, sample_weight))]
    if isinstance(validation_data, (tuple, list)) and 2 <= len(validation_data) <= 3:
        sets.append(("validation ", (*validation_data, None)[:3]))
    for prefix, (inputs, targets, weights) in sets:
        for leaf in keras.tree.flatten((inputs, targets, weights)):
            if isinstance(leaf, np.ma.MaskedArray):
                raise InputError(
                    f"the {prefix}data hold a masked array, whose mask Keras doesn't know.",
                    "Give its values (filled()), and weights of 0 for rows that are not to count.",
                )
        if keras_internals.array_problem(inputs, targets, weights):
            continue
        for name, part, columns in _arrays(f"{prefix}x", inputs):
            _check_values(model, name, part, columns)
            if not prefix:
                warnings += _check_span(model, name, part, columns)
                warnings += _check_pixels(model, name, part)
        for name, part, columns in _arrays(f"{prefix}y", targets):
            _check_values(model, name, part, columns)
        for name, part, columns in _arrays(f"{prefix}sample_weight", weights):
            _check_values(model, name, part, columns)
            warnings += _check_weights(name, part)
        labels = list(_arrays(f"{prefix}y", targets))
        check_targets(heads, f"{prefix}y", targets)
        if len(labels) == 1:
            check_identities(model.loss, *labels[0][:2])
    return tuple(warnings)


def tell(notes: Sequence[str]) -> tuple[str, ...]:
    """Warn of what is questionable, at the line outside goodfit that asked for the training; the same notes.

    Args:
        notes: one sentence each.
    """
    frame, depth = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "goodfit":
        frame, depth = frame.f_back, depth + 1
    for note in notes:
        warnings.warn(note[:1].upper() + note[1:], PreflightWarning, stacklevel=depth)
    return tuple(notes)


def check_apart(model: keras.Model, name: str, x: Any, y: Any) -> None:
    """`InputError` where rows to judge by can't be meant for a model.

    Args:
        model: compiled.
        name: what to call them, such as `"test"`.
        x: inputs.
        y: targets.
    """
    inputs, targets = f"{name} x", f"{name} y"
    check_shape(model, inputs, x)
    check_values(model, inputs, x)
    check_values(model, targets, y)
    check_targets(heads_of(model, x), targets, y)


def check_values(model: keras.Model, name: str, data: Any) -> None:
    """`InputError` where arrays hold what is not finite, or no numbers.

    Args:
        model: that is to take them.
        name: what to call them.
        data: an array, or a structure of them; `None` where there are none.
    """
    for one, array, columns in _arrays(name, data):
        _check_values(model, one, array, columns)


def check_model(model: Any) -> None:
    """`InputError` where something else was given than a Keras model."""
    if not isinstance(model, keras.Model):
        raise InputError(f"a {type(model).__name__} was given in place of the model.", "Give a Keras model.")


def check_rows(model: keras.Model, x: Any, name: str = "x") -> None:
    """`InputError` where rows can't be what a model predicts from.

    Args:
        model: built.
        x: the rows, an array.
        name: what to call them.
    """
    check_shape(model, name, x if hasattr(x, "shape") else np.asarray(x))
    for one, array, columns in _arrays(name, x if hasattr(x, "shape") else np.asarray(x)):
        if array.size:
            _check_values(model, one, array, columns)


def check_targets(heads: Sequence[Head], name: str, targets: Any) -> None:
    """`InputError` where targets can't be meant for the outputs of a model.

    Args:
        heads: the outputs, see `heads_of`.
        name: what to call the targets.
        targets: an array; or one for each output, in their order or by their names.
    """
    parts = targets if isinstance(targets, Mapping) else {}
    if isinstance(targets, (list, tuple)) and len(targets) == len(heads) > 1:
        parts = {head.name: part for head, part in zip(heads, targets, strict=True)}
    for place, head in enumerate(heads):
        if len(heads) == 1 and not isinstance(targets, Mapping):
            called, part = name, targets
        else:
            called = f"{name}[{head.name!r}]" if isinstance(targets, Mapping) else f"{name}[{place}]"
            part = parts.get(head.name)
        for one, array, _ in _arrays(called, part):
            _check_targets(head, one, array)


def _arrays(name: str, data: Any) -> Iterator[tuple[str, np.ndarray, list[str]]]:
    """Each array in `data`, with what to call it and its columns."""
    if data is None:
        return
    if isinstance(data, Mapping):
        for key, part in data.items():
            yield from _arrays(f"{name}[{key!r}]", part)
    elif isinstance(data, (list, tuple)):
        for place, part in enumerate(data):
            yield from _arrays(f"{name}[{place}]" if len(data) > 1 else name, part)
    else:
        _check_kind(name, data)
        columns = [repr(column) for column in getattr(data, "columns", ())]
        if columns and "object" in str(getattr(data, "dtypes", "")) + str(np.asarray(data).dtype):
            texts = [n for n, kind in zip(columns, data.dtypes, strict=True) if not _is_number(kind)]
            if texts:
                raise _not_numbers(name, texts)
        mixed = [n for n, kind in zip(columns, data.dtypes, strict=True) if not _is_plain(kind)] if columns else []
        if mixed and np.asarray(data).dtype.kind == "O":
            raise InputError(
                f"{name} holds columns of types that Keras can't take as one array: {_some(mixed)}.",
                f"Give {name}.astype('float32').",
            )
        yield name, as_array(data), columns


def _check_kind(name: str, data: Any) -> None:
    """`InputError` for columns of pandas's own types."""
    kind = getattr(data, "dtype", None)
    if hasattr(kind, "na_value"):  # of pandas, not NumPy
        numbers = getattr(kind, "kind", "O") in "biuf"
        remedy = f"Give {name}.astype('float32') or .astype('int32')." if numbers else "Give numbers."
        if str(kind) == "category":
            remedy = f"Give {name}.cat.codes, the number of each category."
        elif not numbers and name.endswith("y"):
            remedy = "Number the classes: np.unique(y, return_inverse=True)[1]."
        raise InputError(f"{name} holds values of pandas's type {kind}, which Keras doesn't take.", remedy)


def _check_list(name: str, data: Any) -> None:
    """`InputError` for plain lists of numbers, which Keras takes for the arrays of many inputs."""
    first = data
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if isinstance(data, (list, tuple)) and isinstance(first, (bool, int, float, str)):
        raise InputError(f"{name} is a plain list, which Keras does not take.", f"Give np.asarray({name}).")


def check_shape(model: keras.Model, name: str, x: Any) -> None:
    """`InputError` where the rows of a single array are of another shape than the one input of the model."""
    graph = keras_internals.functional(model)
    if graph is None or not hasattr(x, "shape") or type(model).train_step is not keras.Model.train_step:
        return
    inputs = getattr(graph, "inputs", None) or []
    if len(inputs) != 1:
        return
    wanted, given = tuple(inputs[0].shape)[1:], tuple(x.shape)[1:]
    other = len(wanted) == len(given) and any(w is not None and w != g for w, g in zip(wanted, given))
    if other and not keras_internals.takes(model, given):  # a Sequential takes what its layers do
        raise InputError(
            f"the rows of {name} have the shape {given}, and the model takes {wanted}.",
            "Give rows of that shape, or a model that takes these.",
        )


def _is_plain(kind: Any) -> bool:
    return isinstance(kind, np.dtype) and kind.kind in "iuf"


def _is_number(kind: Any) -> bool:
    return getattr(kind, "kind", "O") in "biuf"


def _not_numbers(name: str, columns: list[str], array: Any = None) -> InputError:
    some = f" in column {_some(columns)}" if columns else ""
    if array is not None and array.dtype.kind == "O" and all(isinstance(one, NUMBERS) for one in array.flat[:1000]):
        return InputError(
            f"{name} is an array of Python objects (dtype object), though they are numbers.",
            f"Give {name}.astype('float32').",
        )
    remedy = "Leave such columns out, or encode them as numbers (one-hot for categories)."
    if name.endswith("y") and not columns:
        remedy = "Number the classes: np.unique(y, return_inverse=True)[1]."
    return InputError(f"{name} holds values that are not numbers{some}.", remedy)


def _check_values(model: keras.Model, name: str, array: np.ndarray, columns: list[str]) -> None:
    if array.dtype.kind not in "biufc":
        if not model.jit_compile:
            return  # a layer that takes text
        raise _not_numbers(name, columns, array)
    if array.shape[:1] == (0,) or array.size == 0:
        raise InputError(f"{name} is empty: its shape is {array.shape}.", "Give at least one row.")
    if array.dtype.kind != "f":
        return
    if np.isfinite(array).all():
        _check_magnitude(name, array)
        return
    bad = ~np.isfinite(array)
    kinds = [kind for kind, test in (("NaN", np.isnan(array)), ("infinity", np.isinf(array))) if test.any()]
    rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))
    where = f"in {len(rows)} of {len(array)} rows (row {_some(rows)})"
    if array.ndim == 2 and array.shape[1] > 1:
        places = np.flatnonzero(bad.any(axis=0))
        where += f", in column {_some([columns[p] for p in places] if columns else places)}"
    raise InputError(
        f"{name} holds {' and '.join(kinds)} {where}.",
        "Fill these values or leave the rows out: one of them makes the loss, and then every weight, not a number."
        + (' (checks="off" where the loss leaves them out.)' if name.endswith("y") else ""),
    )


def _check_magnitude(name: str, array: np.ndarray) -> None:
    """`InputError` for numbers that become infinite, or all of them 0, as the floats that Keras makes of them."""
    kept = np.finfo(keras.config.floatx() if keras.config.floatx() != "bfloat16" else "float32")
    if array.dtype.itemsize <= kept.dtype.itemsize:
        return
    largest = float(np.abs(array).max())
    if largest > float(kept.max) or 0 < largest < float(kept.tiny):
        raise InputError(
            f"{name} holds numbers up to {largest:.0e}, which {kept.dtype} can't hold: they would become "
            f"{'infinite' if largest > 1 else '0'}.",
            "Give them in another unit.",
        )


def _some(values: Any) -> str:
    listed = [str(value) for value in values]
    return ", ".join(listed[:NAMED]) + (", …" if len(listed) > NAMED else "")


def _check_span(model: keras.Model, name: str, array: np.ndarray, columns: list[str]) -> list[str]:
    """Whether inputs of one kind (a table's columns) are of very different scale."""
    tabular = array.ndim == 2 and array.dtype.kind in "iuf" and array.shape[1] > 1
    if not tabular or any(isinstance(layer, keras.layers.Normalization) for layer in model.layers):
        return []
    if any(isinstance(layer, keras.layers.Embedding) for layer in model.layers):
        return []
    spread = array[:SPAN_ROWS].std(axis=0, dtype=np.float64)
    varying = np.flatnonzero(spread > 0)
    if len(varying) < 2:
        return []
    small, large = varying[spread[varying].argmin()], varying[spread[varying].argmax()]
    ratio = spread[large] / spread[small]
    if ratio < SPAN:
        return []
    names = [columns[place] if columns else f"column {place}" for place in (large, small)]
    return [
        f"the inputs in {name} span many orders of magnitude: the standard deviation of {names[0]} is {ratio:.0e} "
        f"times that of {names[1]}; standardize them (keras.layers.Normalization)."
    ]


def _check_pixels(model: keras.Model, name: str, array: np.ndarray) -> list[str]:
    """Whether images go in as bytes, and nothing in the model scales them."""
    images = array.ndim == 4 or (array.ndim == 3 and array.dtype == np.uint8)
    if not images or array.dtype.kind not in "iuf":
        return []
    graph = keras_internals.functional(model)
    if graph is None:  # its own `call` may do anything
        return []
    parts = [*graph._flatten_layers(include_self=False), *getattr(graph, "operations", ())]
    if any(isinstance(part, _SCALING) or not _of_keras(part) for part in parts):
        return []
    if array.min() < 0 or not BYTES < array.max() <= 255:
        return []
    return [
        f"the images in {name} hold values up to {array.max():.0f}, and no layer scales them: first steps are large, "
        "and units may die; put keras.layers.Rescaling(1 / 255) in front."
    ]


def _of_keras(part: Any) -> bool:
    """Whether a part of a model is a layer of Keras's own, and no function of the user's."""
    kinds = isinstance(part, keras.layers.Layer) and not isinstance(part, keras.layers.Lambda)
    return kinds and type(part).__module__.startswith("keras.")


def _check_weights(name: str, array: np.ndarray) -> list[str]:
    if not array.any():
        raise InputError(f"{name} is zero in every row, so nothing would be learned.", "Give some row a weight.")
    if array.min() < 0:
        return [f"{name} is negative in {int((array < 0).sum())} places: there the loss is made larger, not smaller."]
    return []


def _check_class_weights(weights: Mapping[Any, Any]) -> list[str]:
    values = {key: float(as_array(value)) for key, value in weights.items()}
    bad = [key for key, value in values.items() if not np.isfinite(value)]
    if bad:
        raise InputError(
            f"class_weight is not a finite number for the class {_some(bad)}.", "Give each class a finite weight."
        )
    if not any(values.values()):
        raise InputError("class_weight is zero for every class, so nothing would be learned.", "Give some a weight.")
    negative = [key for key, value in values.items() if value < 0]
    if negative:
        return [f"class_weight is negative for the class {_some(negative)}: there the loss is made larger."]
    return []


def _check_frozen(model: keras.Model) -> None:
    changed = keras_internals.trainable_since_compile(model)
    if changed:
        raise InputError(
            f"the layer {_some(map(repr, changed))} was frozen or unfrozen since the model was compiled.",
            "Compile the model again, so that the optimizer knows which weights it trains.",
        )


def _check_output(head: Head) -> Iterator[str]:
    activation, loss = head.activation, head.loss
    if activation == "softmax" and head.width == 1:
        raise InputError(
            "the last layer is a softmax over one unit, which is 1 whatever the input.",
            "Use a sigmoid with binary cross-entropy, or one unit for each class.",
        )
    if not loss.endswith("crossentropy") or not activation:
        return
    if head.from_logits and activation in ("softmax", "sigmoid"):
        yield (
            f"the loss takes logits (from_logits=True), but the last layer has already applied a {activation}; "
            "leave one of the two out."
        )
    if not head.from_logits and activation == "linear" and head.dense:
        yield (
            f"the loss {loss} takes probabilities, but the last layer has no activation; "
            "set from_logits=True in the loss, or give the layer a sigmoid or softmax."
        )


def _check_targets(head: Head, name: str, array: np.ndarray) -> None:
    width, loss = head.width, head.loss
    if width is None or not loss:
        return
    if loss == "sparse_categorical_crossentropy":
        _check_classes(name, array, width)
        if len(head.shape) == 2 and array.ndim == 2 and array.shape[1] > 1:
            raise InputError(
                f"{name} has {array.shape[1]} columns, and the loss takes one: the number of each row's class.",
                f"Give np.argmax({name}, axis=1), or use categorical_crossentropy."
                if _is_one_hot(array)
                else "Give one column, or an output for each.",
            )
        return
    if loss in ("binary_crossentropy", "binary_focal_crossentropy"):
        outside = np.unique(array[(array < 0) | (array > 1)]) if array.dtype.kind != "b" else np.zeros(0)
        if outside.size:
            raise InputError(
                f"{name} holds labels other than 0 and 1 ({_some(outside)}) with binary cross-entropy.",
                "Map the labels to 0 and 1.",
            )
    columns = array.shape[1] if array.ndim == 2 else 1
    if len(head.shape) == 2 and array.ndim <= 2 and columns != width and 1 in (columns, width):
        raise InputError(
            f"{name} has {columns} column{'s' * (columns != 1)}, but the model has {width} "
            f"output{'s' * (width != 1)}: Keras would repeat the one along the other.",
            f"Give the last layer {columns} unit{'s' * (columns != 1)}, or the targets {width} "
            f"column{'s' * (width != 1)}.",
        )


def _is_one_hot(array: np.ndarray) -> bool:
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _check_classes(name: str, array: np.ndarray, width: int) -> None:
    outside = np.unique(array[(array < 0) | (array >= width)])
    if outside.size:
        shifted = array.min() == 1 and array.max() == width
        raise InputError(
            f"{name} holds labels ({_some(outside)}) outside 0..{width - 1}, the classes of the last layer.",
            "Subtract 1 from the labels." if shifted else f"Number the classes from 0 to {width - 1}.",
        )
    if array.dtype.kind == "f" and (array != np.round(array)).any():
        raise InputError(
            f"{name} holds labels that are not whole numbers with a loss for class numbers.",
            "Use a loss for quantities (mse), or give the number of each row's class.",
        )
