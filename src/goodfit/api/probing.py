"""Probing: a run enriched by what its model and rows say when they are asked."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from goodfit.values import Dataset, Progress, Report, Run

_MOST_WORK = 10_000_000
"""Rows × inputs × classes that the baselines are fitted to at most: a few seconds."""
_LOSSES = {
    "mse": "regression",
    "mean_squared_error": "regression",
    "binary_crossentropy": "classes",
    "categorical_crossentropy": "classes",
    "sparse_categorical_crossentropy": "classes",
}
"""The losses that baselines can be compared in."""
_TOLD = ("chance_loss", "linear_loss", "boosting_loss")


def probed(run: Run, model: Any, arguments: Mapping[str, Any], report: Report) -> tuple[Run, Dataset | None]:
    """A run with what probes measured of its model and rows, and these rows as a `Dataset` where they form one.

    Args:
        run: of the model's training, or one without curves.
        model: compiled Keras model.
        arguments: of `model.fit` by name, as far as they say which rows.
        report: told what is being measured.

    Raises:
        InputError: the model or its rows can't be probed.
    """
    from goodfit.training import probes

    dataset = dataset_of(model, arguments)
    measurements = dict(run.measurements)
    if dataset is not None and "chance_loss" not in measurements and _comparable(model, arguments):
        report(Progress("probe headroom"))
        measurements |= _headroom(dataset)
        told = {name.removesuffix("_loss"): value for name, value in measurements.items() if name in _TOLD}
        said = ", ".join(f"{name} {value:.3g}" for name, value in told.items())
        report(Progress("probe headroom", text=f"validation loss: {said}", finished=True))
    epochs = len(run.epoch) if run.unit == "epoch" else 0
    answers = probes.measure(model, arguments, epochs=epochs, report=report)
    for answer in answers:
        measurements |= {name: value for name, value in answer.measured.values.items() if name not in run.measurements}
    told = [{"probe": a.name, "settled": a.measured.settled, "seconds": round(a.seconds, 3)} for a in answers]
    fields: dict[str, Any] = {"measurements": measurements, "provenance": {**run.provenance, "probes": told}}
    listened = next((a.measured for a in answers if a.measured.signals), None)
    if listened is not None and not run.signals and len(run.seeds) == 1:
        fields |= {
            "signals": {name: values[None] for name, values in listened.signals.items()},
            "signal_layers": listened.signal_layers,
            "signal_epochs": listened.signal_epochs,
        }
    return dataclasses.replace(run, **fields), dataset


def dataset_of(model: Any, arguments: Mapping[str, Any]) -> Dataset | None:
    """The rows as a `Dataset`: one array of inputs, one target per row; `None` where they are something else."""
    task = _LOSSES.get(_loss_name(model))
    x, y = (_array(arguments.get(name)) for name in ("x", "y"))
    if task is None or x is None or y is None or len(x) != len(y) or x.ndim < 2:
        return None
    count, held_out = len(x), arguments.get("validation_data")
    if held_out is not None:
        x_held, y_held = (_array(part) for part in (*held_out, None, None)[:2])
        if x_held is None or y_held is None or x_held.shape[1:] != x.shape[1:] or y_held.shape[1:] != y.shape[1:]:
            return None
        x, y = np.concatenate([x, x_held]), np.concatenate([y, y_held])
    else:  # the last rows, as Keras takes them
        count = math.floor(len(x) * (1.0 - (arguments.get("validation_split") or 0.0)))
    codes, classes = _target(y, task)
    if codes is None:
        return None
    return Dataset(
        x=x,
        y=codes,
        task="regression" if task == "regression" else "binary" if len(classes) == 2 else "multiclass",
        feature_names=(),
        target="y",
        train=np.arange(count),
        validation=np.arange(count, len(x)),
        test=np.arange(0),
        classes=classes,
    )


def _headroom(dataset: Dataset) -> dict[str, float]:
    """What the mean or the prior, a linear model and gradient boosting lose on the validation rows."""
    from goodfit import tables

    if len(dataset.validation) < 2 or not np.isfinite(dataset.x).all():
        return {}
    x = dataset.x.reshape(len(dataset.x), -1)
    most = max(_MOST_WORK // (x.shape[1] * max(len(dataset.classes), 1)), 50)
    draw = np.random.default_rng(0)
    train = dataset.train if len(dataset.train) <= most else np.sort(draw.permutation(dataset.train)[:most])
    if len(dataset.classes) and len(np.unique(dataset.y[train])) < 2:
        return {}
    smaller = dataclasses.replace(dataset, x=x, train=train)
    return tables.baseline_losses(smaller, tables.baselines(smaller))


def _comparable(model: Any, arguments: Mapping[str, Any]) -> bool:
    """Whether the losses of baselines are of the same kind as the model's: smoothed labels have a loss that even
    perfect predictions don't get below, weighted rows another mean."""
    weighted = arguments.get("sample_weight") is not None or arguments.get("class_weight")
    smoothed = hasattr(model.loss, "get_config") and model.loss.get_config().get("label_smoothing")
    return not weighted and not smoothed


def _loss_name(model: Any) -> str:
    loss = getattr(model, "loss", None)
    if isinstance(loss, str):
        return loss
    name = getattr(loss, "__name__", None) or type(loss).__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _array(value: Any) -> np.ndarray | None:
    """A dense array of numbers, or `None`."""
    if value is None or (isinstance(value, (Mapping, list, tuple)) and not _numbers(value)):
        return None
    try:
        array = np.asarray(value)
    except Exception:
        return None
    return array if array.dtype.kind in "biuf" and array.ndim else None


def _numbers(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and not hasattr(value[0], "shape")


def _target(y: np.ndarray, task: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """A target per row: numbers, or the codes of classes; `None` where there are several."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if task == "regression":
        return (y.astype(np.float32), ()) if y.ndim == 1 else (None, ())
    if y.ndim == 2:
        if not (((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()):
            return None, ()
        y = y.argmax(axis=1)
    if y.ndim != 1 or not np.isfinite(y).all() or (y != np.round(y)).any() or y.min() < 0 or y.max() > 10_000:
        return None, ()
    return y.astype(np.int32), tuple(str(code) for code in range(max(int(y.max()) + 1, 2)))
