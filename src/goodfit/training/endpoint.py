"""The one plain number by which all trials of a study are judged: a loss per row, without penalties or smoothing."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
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
"""Targets and predictions of the same rows -> one number per row, lower is better. Of targets that are a masked array,
what is masked (padding) has no part in it."""


@dataclass(frozen=True)
class Output:
    """What one output of a model predicts.

    Args:
        task: what its target asks for; a quantity for each label where a row has several labels at once.
        classes: how many, where the targets are whole numbers; 2 of a single probability, 0 of a quantity.
        shape: of a row's prediction.
        name: of the loss that it is judged by.
    """

    task: Task
    classes: int
    shape: tuple[int, ...]
    name: str

    def constant(self, y: Any) -> np.ndarray:
        """The best single prediction for all of these rows, shape (1, *shape): mean or median, or the shares of the
        classes, the same for each place of a row that has a class for each."""
        true = np.ma.asarray(y)
        if self.task == "multiclass" and not _one_hot(true, self.shape):
            counts = np.bincount(true.compressed().astype(int), minlength=self.classes) + 0.5
            return np.broadcast_to(counts / counts.sum(), (1, *self.shape))
        values = true.reshape(len(true), -1).astype(np.float64)
        median = "absolute" in self.name and self.task == "regression"
        middle = np.ma.filled(np.ma.median(values, axis=0) if median else values.mean(axis=0), 0.0)
        if middle.size == math.prod(self.shape):
            return middle.reshape(1, *self.shape)
        return middle[None]


@dataclass(frozen=True, eq=False)
class Endpoint:
    """What trials are judged by, fixed before the first of them.

    Args:
        name: what it is called.
        per_row: targets and predictions of the same rows -> shape (rows,).
        outputs: what the model predicts, in the order of its outputs.
        names: of the outputs, by which targets, losses and weights may be given.
        non_negative: whether a row's loss is known never to be below zero: then ratios of losses have a meaning.
        of_logits: the same of logits: the losses that take them, in the order of the outputs, `None` where an output
            gives probabilities -> a function as `per_row`. Probabilities lose how far off a confident mistake is.
    """

    name: str
    per_row: PerRow
    outputs: tuple[Output, ...]
    names: tuple[str, ...] = ()
    non_negative: bool = False
    of_logits: Callable[[Sequence[Any]], PerRow] | None = None

    @property
    def task(self) -> Task:
        """What the target asks for; of several outputs, quantities."""
        return self.outputs[0].task if len(self.outputs) == 1 else "regression"

    @property
    def classes(self) -> int:
        """Of a single output, how many."""
        return self.outputs[0].classes if len(self.outputs) == 1 else 0

    def losses(self, recipe: Recipe, y: Any, outputs: Any) -> np.ndarray:
        """The endpoint on each row.

        Args:
            recipe: whose outputs they are; where its loss takes logits, they are logits.
            y: targets.
            outputs: what a model predicts for the same rows.

        Returns:
            shape (rows,), float64; `inf` where it is not finite.
        """
        of_each = _loss_of_each(recipe.loss, len(_listed(outputs, self.names)), self.names)
        takers = [loss if _from_logits(loss) else None for loss in of_each]
        per_row = self.per_row
        if self.of_logits is not None and any(takers):
            per_row = self.of_logits(takers)
        elif any(takers):
            outputs = _as_probabilities(outputs, takers, self.names)
        with np.errstate(all="ignore"):
            values = np.asarray(per_row(y, outputs), dtype=np.float64)
        return np.where(np.isfinite(values), values, np.inf)

    def constant(self, y: Any, rows: int = 1) -> Any:
        """The best single prediction for all of these rows, so many times: an array, or a list of one for each output.

        `None` where the targets are in another form than the outputs.
        """
        targets = _listed(y, self.names)
        if len(targets) != len(self.outputs):
            return None
        made = [
            np.repeat(one.constant(target), rows, axis=0) for one, target in zip(self.outputs, targets, strict=True)
        ]
        return made[0] if len(made) == 1 else made


def endpoint_of(
    recipe: Recipe, metric: str | Callable[[Any, Any], Any], y: Any, outputs: Any, names: Sequence[str] = ()
) -> Endpoint:
    """The endpoint of a study.

    Args:
        recipe: the baseline, whose plain loss it is where `metric` is `"loss"`.
        metric: `"loss"`, `"mse"`, `"mae"`, `"error_rate"`, `"log_loss"`, or a function of targets and predictions that
            gives one number per row, lower is better.
        y: targets of a few rows.
        outputs: what the model predicts for them.
        names: of the outputs, where there are several.

    Raises:
        InputError: the metric is not known, or doesn't give a number for each row.
    """
    names = tuple(outputs) if isinstance(outputs, Mapping) else tuple(names)
    listed = _listed(outputs, names)
    of_each = _loss_of_each(recipe.loss, len(listed), names)
    weights = _loss_of_each(recipe.loss_weights, len(listed), names)
    weights = [1.0 if one is None else float(one) for one in weights]
    parts = tuple(_output(one, np.asarray(out)) for one, out in zip(of_each, listed, strict=True))
    if callable(metric):
        called = getattr(metric, "__name__", "metric")
        made = Endpoint(called, metric, tuple(dataclasses.replace(part, name=called) for part in parts), names)
    else:
        name = _SAME.get(metric, metric)
        if name == "loss":
            called = _name(recipe.loss) if len(parts) == 1 else "sum of the outputs' losses"
            if all(loss is None for loss in of_each):
                raise InputError(
                    "the model is compiled without a loss, so that there is none to judge by.",
                    "Give metric='mse' or another.",
                )
            judged = [one for one, loss in zip(parts, of_each, strict=True) if loss is not None]
            bounded = all(one.name in NON_NEGATIVE for one in judged) and min(weights) >= 0
            of_logits = functools.partial(_sum_of_losses, of_each, weights, names)
            made = Endpoint(called, of_logits([None] * len(of_each)), parts, names, bounded, of_logits)
        elif name not in METRICS:
            raise InputError(
                f"the metric is {metric!r}.",
                f"Give 'loss', {', '.join(map(repr, METRICS))}, or a function of targets and predictions that gives "
                "one number per row (rmse orders as mse does).",
            )
        elif len(parts) > 1:
            raise InputError(
                f"the metric is {metric!r}, and the model has {len(parts)} outputs.",
                "Give 'loss', or a function of targets and predictions that gives one number per row.",
            )
        else:
            called = METRICS[name]
            own = next(iter(parts))
            part = dataclasses.replace(own, name=called)
            signed = own.task == "binary" and "hinge" in own.name
            made = Endpoint(called, _metric(name, part, names, signed), (part,), names, called in NON_NEGATIVE)
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


def _listed(structure: Any, names: Sequence[str]) -> list[Any]:
    """The parts of targets or predictions, in the order of the outputs."""
    if isinstance(structure, Mapping):
        known = set(names) == set(structure)
        return [structure[name] for name in names] if known else list(structure.values())
    return list(structure) if isinstance(structure, (list, tuple)) else [structure]


def _loss_of_each(given: Any, count: int, names: Sequence[str]) -> list[Any]:
    """Losses or their weights, in the order of the outputs; `None` of an output that has none."""
    if isinstance(given, Mapping) and "class_name" not in given:
        if not set(given) <= set(names):
            return [*given.values(), *[None] * count][:count]
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        return [*given, *[None] * count][:count]
    return [given] * count  # Keras: one loss is that of every output


def _name(loss: Any) -> str:
    if isinstance(loss, str):
        found: Any = loss_of(loss)
        found = keras.losses.get(found) if isinstance(found, str) else found
        return str(getattr(found, "name", None) or getattr(found, "__name__", loss))
    if isinstance(loss, Mapping):
        if "class_name" not in loss:
            return _name(next(iter(loss.values())))
        return (
            str(loss["config"].get("name", loss["class_name"])) if isinstance(loss["config"], dict) else loss["config"]
        )
    if isinstance(loss, (list, tuple)) and loss:
        return _name(loss[0])
    return str(loss)


def _output(loss: Any, outputs: np.ndarray) -> Output:
    """What an output predicts, as its loss tells."""
    name, width = _name(loss), outputs.shape[-1] if outputs.ndim > 1 else 1
    task: Task = "regression"
    if any(word in name for word in ("crossentropy", "hinge", "focal")):
        if width == 1:
            task = "binary"
        elif "binary" not in name and name not in ("hinge", "squared_hinge"):
            task = "multiclass"  # several probabilities of their own are several labels at once
    classes = {"binary": 2, "multiclass": width}.get(task, 0)
    return Output(task, classes, outputs.shape[1:], name)


def _from_logits(loss: Any) -> bool:
    return (
        isinstance(loss, Mapping) and isinstance(loss.get("config"), dict) and bool(loss["config"].get("from_logits"))
    )


def _as_probabilities(outputs: Any, takers: Sequence[Any], names: Sequence[str]) -> Any:
    """The outputs, with probabilities in place of the logits that some losses take."""
    listed = _listed(outputs, names)
    made = [out if loss is None else _probabilities(out, _name(loss)) for out, loss in zip(listed, takers, strict=True)]
    if isinstance(outputs, Mapping):
        return dict(zip(names, made, strict=True))
    return made if isinstance(outputs, (list, tuple)) else made[0]


def _probabilities(outputs: Any, loss: str) -> np.ndarray:
    values = np.asarray(outputs, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if values.ndim < 2 or values.shape[-1] == 1 or "binary" in loss:
            return 1 / (1 + np.exp(-values))
        exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _sum_of_losses(
    losses: Sequence[Any], weights: Sequence[float], names: Sequence[str], takers: Sequence[Any]
) -> PerRow:
    """The losses of all outputs per row, each times its weight; of logits where `takers` has a loss that takes them."""
    parts = [None if loss is None else _plain_loss(loss, taker) for loss, taker in zip(losses, takers, strict=True)]

    def total(y: Any, outputs: Any) -> np.ndarray:
        true, predicted = _listed(y, names), _listed(outputs, names)
        if len(true) != len(parts):
            raise ValueError(f"the model has {len(parts)} outputs and there are targets for {len(true)}")
        each = zip(parts, weights, true, predicted, strict=True)
        return np.sum([part(a, b) * weight for part, weight, a, b in each if part is not None], axis=0)

    return total


def _plain_loss(loss: Any, taker: Any) -> PerRow:
    """A Keras loss per row, without label smoothing; its weight in the whole where it has one.

    Args:
        loss: the loss.
        taker: the loss that takes the outputs as logits; `None` where they are what `loss` takes without such.
    """
    logits = taker is not None and _takes_logits(loss)
    if isinstance(loss, Mapping):
        config: Any = copy.deepcopy(dict(loss))
        if isinstance(config.get("config"), dict):
            fields = config["config"]
            changed = {"reduction": None, "label_smoothing": 0.0, "from_logits": logits}
            fields |= {name: value for name, value in changed.items() if name in fields}
        made: Any = loss_of(config)
    else:
        made = loss_of(loss)
        made = keras.losses.get(made) if isinstance(made, str) else made
        made = functools.partial(made, from_logits=True) if logits else made

    def one(y: Any, outputs: Any) -> np.ndarray:
        true, predicted = np.asarray(y), np.asarray(outputs, dtype=np.float32)
        if taker is not None and not logits:
            predicted = _probabilities(predicted, _name(taker)).astype(np.float32)
        if true.ndim == predicted.ndim - 1 and predicted.shape[-1] == 1:
            true = true[..., None]
        return _mean_of_rows(np.asarray(made(true, predicted), np.float64), y)

    return one


def _mean_of_rows(values: np.ndarray, y: Any) -> np.ndarray:
    """The mean over the places of each row, shape (rows,); without those that are masked in the targets."""
    values = values.reshape(len(values), -1)
    if not isinstance(y, np.ma.MaskedArray):
        return values.mean(axis=1)
    counts = ~np.ma.getmaskarray(y).reshape(len(values), -1)
    places = values.shape[1]
    if counts.shape[1] < places:  # a value for each class of a place
        counts = np.repeat(counts, places // counts.shape[1], axis=1)
    counts = counts.reshape(len(values), places, -1)[..., 0]
    return np.where(counts, values, 0.0).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)


def _takes_logits(loss: Any) -> bool:
    """Whether a loss can be told that it is given logits."""
    if isinstance(loss, Mapping):
        return isinstance(loss.get("config"), dict) and "from_logits" in loss["config"]
    made: Any = loss_of(loss)
    made = keras.losses.get(made) if isinstance(made, str) else made
    return inspect.isfunction(made) and "from_logits" in inspect.signature(made).parameters


def _one_hot(true: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether targets hold a number for each class, not the class's."""
    return len(shape) > 0 and true.shape[1:] == shape and shape[-1] > 1


def _metric(name: str, part: Output, names: Sequence[str], signed: bool) -> PerRow:
    """One of `METRICS` per row; of a row with a class for each of its places, the mean over these.

    Args:
        name: of the metric.
        part: what the output predicts.
        names: of the outputs.
        signed: whether the labels are -1 and 1, told apart at 0, as with a hinge loss.
    """

    def per_row(y: Any, outputs: Any) -> np.ndarray:
        (given,), (predicted,) = _listed(y, names), _listed(outputs, names)
        true, predicted = np.asarray(given), np.asarray(predicted, np.float64)
        rows = len(true)
        if name in ("mse", "mae") and part.task == "multiclass" and not _one_hot(true, predicted.shape[1:]):
            true = np.eye(part.classes)[true.reshape(predicted.shape[:-1]).astype(int)]
        if name in ("mse", "mae"):
            error = true.reshape(rows, -1).astype(np.float64) - predicted.reshape(rows, -1)
            return _mean_of_rows(error**2 if name == "mse" else np.abs(error), given)
        if part.task == "regression":
            raise ValueError(f"{name} is for classes, one for each row")
        if signed and name == "error_rate":
            return _mean_of_rows((predicted > 0) != (true.reshape(predicted.shape) > 0), given)
        if signed:
            raise ValueError(f"{name} is for probabilities, and a hinge loss gives none")
        if predicted.ndim < 2:
            predicted = predicted[:, None]
        labels = true.argmax(axis=-1) if _one_hot(true, predicted.shape[1:]) else true.astype(int)
        labels = labels.reshape(predicted.shape[:-1])
        if predicted.shape[-1] == 1:
            predicted = np.concatenate([1 - predicted, predicted], axis=-1)
        if name == "error_rate":
            return _mean_of_rows(predicted.argmax(axis=-1) != labels, given)
        share = np.take_along_axis(predicted, labels[..., None], axis=-1)[..., 0]
        return _mean_of_rows(-np.log(np.clip(share, keras.config.epsilon(), 1.0)), given)

    return per_row
