"""The one plain number by which all trials of a study are judged: a loss per row, without penalties or smoothing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training.recipes import loss_of
from goodfit.values import Recipe, Task

METRICS = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "error_rate": "error_rate",
    "log_loss": "log_loss",
}
"""Short names of endpoints, all of them lower is better, and what they are called in reports."""
_SAME = {"mean_squared_error": "mse", "mean_absolute_error": "mae", "accuracy": "error_rate", "acc": "error_rate"}

NON_NEGATIVE = frozenset(
    {
        "mean_squared_error", "mean_absolute_error", "mean_squared_logarithmic_error", "mean_absolute_percentage_error",
        "huber", "huber_loss", "log_cosh", "binary_crossentropy", "categorical_crossentropy", "log_loss",
        "sparse_categorical_crossentropy", "binary_focal_crossentropy", "categorical_focal_crossentropy",
        "kl_divergence", "hinge", "squared_hinge", "categorical_hinge", "error_rate",
    }
)  # fmt: skip
"""Endpoints that are zero of a perfect prediction and never below."""

PerRow = Callable[[Any, Any], np.ndarray]
"""Targets and predictions of the same rows -> one number per row, lower is better."""


@dataclass(frozen=True, eq=False)
class Endpoint:
    """What trials are judged by, fixed before the first of them.

    Args:
        name: what it is called.
        per_row: targets and predictions of the same rows -> shape (rows,).
        task: what the target asks for.
        classes: of a classification with whole-number targets, how many.
        non_negative: whether a row's loss is known never to be below zero: then ratios of losses have a meaning.
    """

    name: str
    per_row: PerRow
    task: Task
    classes: int = 0
    non_negative: bool = False

    def losses(self, recipe: Recipe, y: Any, outputs: Any) -> np.ndarray:
        """The endpoint on each row.

        Args:
            recipe: whose outputs they are: where its loss takes logits, they are made probabilities first.
            y: targets.
            outputs: what a model predicts for the same rows.

        Returns:
            shape (rows,), float64; `inf` where it is not finite.
        """
        if _from_logits(recipe.loss) and not isinstance(outputs, (list, tuple, dict)):
            outputs = _probabilities(outputs)
        with np.errstate(all="ignore"):
            values = np.asarray(self.per_row(y, outputs), dtype=np.float64)
        return np.where(np.isfinite(values), values, np.inf)

    def constant(self, y: Any) -> np.ndarray | None:
        """The best single prediction for all of these rows, shape (1, outputs): mean or median, or the classes' shares.

        `None` where the target is more than one array.
        """
        if isinstance(y, (list, tuple, dict)):
            return None
        flat = np.asarray(y).reshape(len(y), -1)
        if self.task == "multiclass" and flat.shape[1] == 1:
            counts = np.bincount(flat[:, 0].astype(int), minlength=self.classes) + 0.5
            return (counts / counts.sum())[None]
        values = flat.astype(np.float64)
        if self.task == "regression" and "absolute" in self.name:
            return np.median(values, axis=0)[None]
        return values.mean(axis=0)[None]


def endpoint_of(recipe: Recipe, metric: str | Callable[[Any, Any], Any], y: Any, outputs: Any) -> Endpoint:
    """The endpoint of a study.

    Args:
        recipe: the baseline, whose plain loss it is where `metric` is `"loss"`.
        metric: `"loss"`, `"mse"`, `"mae"`, `"error_rate"`, `"log_loss"`, or a function of targets and predictions that
            gives one number per row, lower is better.
        y: targets of a few rows.
        outputs: what the model predicts for them.

    Raises:
        InputError: the metric is not known, or doesn't give a number for each row.
    """
    task, classes = _task(recipe, y, outputs)
    if callable(metric):
        made = Endpoint(getattr(metric, "__name__", "metric"), metric, task, classes)
    else:
        name = _SAME.get(metric, metric)
        if name == "loss":
            called = _name(recipe.loss)
            made = Endpoint(called, _plain_loss(recipe.loss), task, classes, called in NON_NEGATIVE)
        elif name in METRICS:
            made = Endpoint(METRICS[name], _metric(name, task), task, classes, METRICS[name] in NON_NEGATIVE)
        else:
            raise InputError(
                f"the metric is {metric!r}.",
                f"Give 'loss', {', '.join(map(repr, METRICS))}, or a function of targets and predictions that gives "
                "one number per row (rmse orders as mse does).",
            )
    try:
        values = made.losses(recipe, y, outputs)
    except Exception as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0][:200].rstrip(".")
        raise InputError(
            f"the endpoint {made.name!r} can't be computed: {reason}.", "Give another metric."
        ) from problem
    count = jax.tree.leaves(y)[0].shape[0]
    if values.shape != (count,):
        raise InputError(
            f"the metric {made.name!r} gives an array of shape {values.shape} for {count} rows.",
            "Let it give one number per row.",
        )
    if callable(metric) and not np.isfinite(values).any():
        raise InputError(f"the metric {made.name!r} gives no finite number.", "Let it give one number per row.")
    return made


def _name(loss: Any) -> str:
    if isinstance(loss, str):
        found: Any = loss_of(loss)
        found = keras.losses.get(found) if isinstance(found, str) else found
        return str(getattr(found, "name", None) or getattr(found, "__name__", loss))
    if isinstance(loss, Mapping) and "class_name" in loss:
        return (
            str(loss["config"].get("name", loss["class_name"])) if isinstance(loss["config"], dict) else loss["config"]
        )
    return "sum of the outputs' losses"


def _from_logits(loss: Any) -> bool:
    return (
        isinstance(loss, Mapping) and isinstance(loss.get("config"), dict) and bool(loss["config"].get("from_logits"))
    )


def _probabilities(outputs: Any) -> np.ndarray:
    values = np.asarray(outputs, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if values.ndim < 2 or values.shape[-1] == 1:
            return 1 / (1 + np.exp(-values))
        exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _plain_loss(loss: Any) -> PerRow:
    """A Keras loss per row, without label smoothing, of probabilities; of several outputs, the sum."""
    if isinstance(loss, (list, tuple)) or (isinstance(loss, Mapping) and "class_name" not in loss):
        named = isinstance(loss, Mapping)
        parts = {key: _plain_loss(one) for key, one in (loss.items() if named else enumerate(loss)) if one is not None}

        def total(y: Any, outputs: Any) -> np.ndarray:
            keys = list(parts)
            ours = y if isinstance(y, Mapping) else dict(zip(keys, y, strict=False))
            theirs = outputs if isinstance(outputs, Mapping) else dict(zip(keys, outputs, strict=False))
            return np.sum([parts[key](ours[key], theirs[key]) for key in keys], axis=0)

        return total
    if isinstance(loss, Mapping):
        config: Any = copy.deepcopy(dict(loss))
        if isinstance(config.get("config"), dict):
            fields = config["config"]
            fields |= {"reduction": None} if "reduction" in fields else {}
            fields |= {name: off for name, off in (("label_smoothing", 0.0), ("from_logits", False)) if name in fields}
        made: Any = loss_of(config)
    else:
        made = loss_of(loss)
        made = keras.losses.get(made) if isinstance(made, str) else made

    def one(y: Any, outputs: Any) -> np.ndarray:
        if isinstance(y, (list, tuple)) and isinstance(outputs, (list, tuple)):  # one loss for several outputs
            return np.sum([one(a, b) for a, b in zip(y, outputs, strict=True)], axis=0)
        true, predicted = np.asarray(y), np.asarray(outputs, dtype=np.float32)
        if true.ndim == predicted.ndim - 1 and predicted.shape[-1] == 1:
            true = true[..., None]
        values = np.asarray(made(true, predicted), np.float64)
        return values.reshape(len(true), -1).mean(axis=1)

    return one


def _metric(name: str, task: Task) -> PerRow:
    def per_row(y: Any, outputs: Any) -> np.ndarray:
        true, predicted = np.asarray(y), np.asarray(outputs, np.float64)
        true = true.reshape(len(true), -1)
        predicted = predicted.reshape(len(predicted), -1)
        if name in ("mse", "mae"):
            error = true.astype(np.float64) - predicted
            return (error**2 if name == "mse" else np.abs(error)).mean(axis=1)
        if task == "regression":
            raise ValueError(f"{name} is for classes")
        if predicted.shape[1] == 1:
            predicted = np.concatenate([1 - predicted, predicted], axis=1)
        labels = true[:, 0].astype(int) if true.shape[1] == 1 else true.argmax(axis=1)
        if name == "error_rate":
            return (predicted.argmax(axis=1) != labels).astype(np.float64)
        share = np.take_along_axis(predicted, labels[:, None], axis=1)[:, 0]
        return -np.log(np.clip(share, keras.config.epsilon(), 1.0))

    return per_row


def _task(recipe: Recipe, y: Any, outputs: Any) -> tuple[Task, int]:
    name = _name(recipe.loss)
    if isinstance(outputs, (list, tuple, dict)) or isinstance(y, (list, tuple, dict)):
        return "regression", 0
    width = outputs.shape[-1] if outputs.ndim > 1 else 1
    if "crossentropy" in name or "hinge" in name or "focal" in name:
        return ("binary", 2) if width == 1 else ("multiclass", width)
    return "regression", 0
