"""A `Change` applied to a `Recipe`: configurations in, a configuration out; no model is touched.

`Change.edits` maps the dotted path of a recipe's field to its new value, all of it JSON data. A value stands for
itself, `{"times": f}` multiplies what is there (whole numbers stay whole, 1 at least).

| path | value |
|---|---|
| `optimizer` | a name, which keeps rate, decay and clipping; or an optimizer's whole Keras config |
| `optimizer.learning_rate`, `optimizer.weight_decay`, … | of the optimizer, or of the schedule that gives the rate |
| `schedule` | a learning-rate schedule's Keras config, or `None` |
| `schedule.over_training` | `{"kind": "cosine", "times": 3.0}`: a schedule over all steps, see `edits_schedules` |
| `batch_size`, `epochs`, `shuffle` | of the recipe; a schedule that spans the training is stretched with it |
| `early_stopping` | the fields of `EarlyStopping`, or `None` |
| `plateau` | the fields of `Plateau`, or `None` |
| `clipping` | `{"global_clipnorm": 1.0}`, or `{}` |
| `loss`, `metrics` | as Keras serializes them |
| `loss.label_smoothing` | the share of the label that is spread over all classes |
| `network` | `"default"` or `{"pretrained": name}`: another in place of the hidden layers, see `edits_architecture` |
| `layers` | `{path or role: operations}`, see `edits_layers` |
| `layers.unfreeze` | how many frozen layers with a kernel are trained too, counted from the output, or `"all"` |
| `stages.unfreeze` | the same for the second half of the epochs only, at a tenth of the rate, see `edits_frozen` |
| `stages.pretrain` | `{"pretrain": "autoencoder", "epochs": 20, …}`: a stage before all others, see `edits_pretrain` |
| `preparation.mixup` | α: the training steps blend pairs of rows, see `edits_mixup` |
| `preparation.standardize` | `True`: the inputs pass a Normalization of the training rows' mean and variance first |
| `preparation.output_prior` | `True`: the output layer's bias starts at the mean, or at the classes' log odds |
| `preparation.standardize_target` | `True`: trained on the standardized target; `in_own_units` gives the final model |
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import (
    edits_architecture,
    edits_frozen,
    edits_images,
    edits_layers,
    edits_mixup,
    edits_pretrain,
    edits_schedules,
    edits_shapes,
    edits_values,
)
from goodfit.training.edits_graph import Entry, Graph, is_graph
from goodfit.training.edits_layers import times
from goodfit.training.recipes import build
from goodfit.values import Change, Recipe
from goodfit.values._json import plain

_PLAIN = ("batch_size", "epochs", "shuffle", "loss", "metrics", "schedule", "clipping", "seed", "stages")
_SPANNING = {
    "CosineDecay": ("decay_steps", "warmup_steps"),
    "CosineDecayRestarts": ("first_decay_steps",),
    "PolynomialDecay": ("decay_steps",),
    "PiecewiseConstantDecay": ("boundaries",),
    "OneCycle": ("total_steps",),
}
_RATES = ("initial_learning_rate", "warmup_target", "end_learning_rate", "values", "peak_learning_rate")
_KEPT = ("weight_decay", "clipnorm", "global_clipnorm", "clipvalue")


def apply(recipe: Recipe, change: Change, *, x: Any = None, y: Any = None) -> Recipe:
    """The recipe after a change. Layers that it doesn't touch keep their names, and so their initial weights.

    Args:
        recipe: before.
        change: what to do.
        x: the training rows' inputs, an array or a list or dict of them, rows first; `preparation.standardize` takes
            mean and variance from them.
        y: their targets, for `preparation.standardize_target`.

    Returns:
        the recipe after it; a model whose layers were edited has been built once, to see that it can be.

    Raises:
        InputError: an unknown field, a layer that can't be edited, or nothing that changes; the message names it.

    Example:
        >>> import keras
        >>> from goodfit.training.recipes import serialize
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, name="first"), keras.layers.Dense(1)])
        >>> adam = keras.optimizers.serialize(keras.optimizers.Adam())
        >>> recipe = Recipe(model=serialize(model), optimizer=adam, loss="mse")
        >>> wider = Change("wider", {"layers": {"hidden": {"set": {"units": {"times": 2}}}}}, "…", "…")
        >>> apply(recipe, wider).model["config"]["layers"][1]["config"]["units"]
        16
    """
    if not change.edits:
        raise InputError(f"the change {change.name!r} edits no field of a recipe.", change.describe)
    after = recipe
    for path, value in change.edits.items():
        try:
            after = edits_frozen.restaged(after, _edit(after, path, value, x, y))
        except InputError:
            raise
        except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError) as problem:
            raise InputError(
                f"the change {change.name!r} sets {path!r} to {value!r}, which can't be done: "
                f"{edits_shapes.reason_of(problem)}.",
                "See goodfit.training.edits for what each field takes.",
            ) from problem
    edits_values.check(after)
    edits_schedules.check_plateau(after)
    if after == recipe:
        raise InputError(f"the change {change.name!r} would leave the recipe as it is.", "Propose another.")
    if after.model != recipe.model:
        _check(after, change)
        edits_frozen.stages_of(after)  # each still unfreezes something
    return after


def in_own_units(recipe: Recipe) -> Recipe:
    """The recipe of the final model: where the target was standardized, a Rescaling at the end undoes it.

    Args:
        recipe: possibly after `preparation.standardize_target`.

    Returns:
        the recipe whose model predicts in the target's own units; weights are the same, in the same order.
    """
    scaling = recipe.preparation.get("standardize_target")
    if not scaling:
        return recipe
    model: Entry = copy.deepcopy(dict(recipe.model))
    layer = {"class_name": "Rescaling", "config": {"scale": scaling["scale"], "offset": scaling["mean"]}}
    Graph(model).append(layer, "own_units")
    rest = {key: value for key, value in recipe.preparation.items() if key != "standardize_target"}
    return recipe.replace(model=model, preparation=rest)


def _edit(recipe: Recipe, path: str, value: Any, x: Any, y: Any) -> Recipe:
    head, _, field = path.partition(".")
    if path == "layers":
        model: Entry = copy.deepcopy(dict(recipe.model))
        for selector, operations in value.items():
            edits_layers.edit(model, selector, operations)
        edits_shapes.fit_nested(model)
        return recipe.replace(model=model)
    if path == "network":
        return edits_architecture.replaced(recipe, value, x)
    if path == "layers.unfreeze":
        unfrozen: Entry = copy.deepcopy(dict(recipe.model))
        edits_frozen.unfreeze(unfrozen, value)
        return recipe.replace(model=unfrozen)
    if path == "stages.unfreeze":
        return edits_frozen.unfreeze_later(recipe, value)
    if path == "stages.pretrain":
        return edits_pretrain.pretrain_first(recipe, value)
    if path == "optimizer":
        return recipe.replace(optimizer=_optimizer(recipe.optimizer, value))
    if head == "optimizer":
        return _optimizer_field(recipe, field, value)
    if path == "early_stopping":
        return recipe.replace(early_stopping=None if value is None else edits_values.early_stopping(value))
    if head == "early_stopping" and recipe.early_stopping is not None:
        old = getattr(recipe.early_stopping, field, None)
        return recipe.replace(
            early_stopping=dataclasses.replace(recipe.early_stopping, **{field: times(value, path, old)})
        )
    if path == "plateau":
        return recipe.replace(plateau=None if value is None else edits_schedules.plateau(value))
    if head == "plateau" and recipe.plateau is not None:
        old = getattr(recipe.plateau, field, None)
        fields = {**dataclasses.asdict(recipe.plateau), field: times(value, path, old)}
        return recipe.replace(plateau=edits_schedules.plateau(fields))
    if path == "preparation.mixup":
        return edits_mixup.mixed_up(recipe, value)
    if path == "preparation.standardize":
        return _standardize(recipe, x) if value else recipe
    if path == "preparation.standardize_target":
        return _standardize_target(recipe, y) if value else recipe
    if path == "preparation.output_prior":
        return _output_prior(recipe, y) if value else recipe
    if path == "schedule.over_training":
        rows = None if x is None else len(keras.tree.flatten(x)[0])
        return recipe.replace(schedule=edits_schedules.over_training(recipe, value, rows))
    if path == "loss.label_smoothing":
        return recipe.replace(loss=edits_schedules.smoothed(recipe.loss, value))
    if path == "clipping":
        return recipe.replace(clipping=dict(value), optimizer=_without_clipping(recipe.optimizer))
    if path in _PLAIN:
        after = recipe.replace(**{path: times(value, path, getattr(recipe, path))})
        edits_values.check(after)
        return _stretched(after, recipe)
    raise InputError(f"a recipe has no field {path!r} that a change can edit.", "See goodfit.training.edits.")


def _inner(optimizer: Any) -> Entry:
    """The optimizer itself, where it is wrapped in one that scales the loss (mixed precision)."""
    inner = optimizer["config"].get("inner_optimizer")
    return _inner(inner) if isinstance(inner, dict) else optimizer


def _optimizer(before: Mapping[str, Any], value: Any) -> Entry:
    after: Entry = copy.deepcopy(dict(before))
    inner = _inner(after)
    if isinstance(value, str):
        fresh: Any = plain(keras.optimizers.serialize(keras.optimizers.get(value)))
        if fresh["class_name"] == inner["class_name"]:
            return after
        old = inner["config"]
        fresh["config"] |= {k: old[k] for k in ("learning_rate",) if k in old}
        fresh["config"] |= {k: old[k] for k in _KEPT if old.get(k) is not None and k in fresh["config"]}
    else:
        fresh = copy.deepcopy(dict(value))
    inner.clear()
    inner.update(fresh)
    return after


def _without_clipping(optimizer: Mapping[str, Any]) -> Entry:
    """Keras takes one way of clipping only: the recipe's takes the place of the optimizer's own."""
    after: Entry = copy.deepcopy(dict(optimizer))
    inner = _inner(after)
    inner["config"] |= {k: None for k in ("clipnorm", "global_clipnorm", "clipvalue") if k in inner["config"]}
    return after


def _optimizer_field(recipe: Recipe, field: str, value: Any) -> Recipe:
    optimizer: Entry = copy.deepcopy(dict(recipe.optimizer))
    config = _inner(optimizer)["config"]
    if field not in config:
        raise InputError(
            f"the optimizer {_inner(optimizer)['class_name']} has no {field!r}.", "Name a field of its config."
        )
    multiplied = isinstance(value, Mapping) and set(value) == {"times"}
    if field == "learning_rate" and multiplied and (recipe.schedule or isinstance(config[field], dict)):
        if recipe.schedule:
            return recipe.replace(schedule=_faster(recipe.schedule, value["times"]))
        config[field] = _faster(config[field], value["times"])
    else:
        config[field] = times(value, f"optimizer.{field}", config[field])
        if field == "learning_rate" and recipe.schedule:
            return recipe.replace(optimizer=optimizer, schedule=None)
    return recipe.replace(optimizer=optimizer)


def _faster(schedule: Mapping[str, Any], factor: float) -> Entry:
    """A schedule with all of its rates multiplied."""
    after: Entry = copy.deepcopy(dict(schedule))
    config = after["config"]
    known = [name for name in _RATES if config.get(name) is not None]
    if not known:
        raise InputError(
            f"the rate of the schedule {after['class_name']} can't be multiplied: its fields are not known.",
            "Give another schedule.",
        )
    for name in known:
        old = config[name]
        config[name] = [one * factor for one in old] if isinstance(old, (list, tuple)) else old * factor
    return after


def _stretched(after: Recipe, before: Recipe) -> Recipe:
    """Schedules that are counted in steps and span the training span the longer or shorter one as well."""
    factor = (after.epochs / before.epochs) * (before.batch_size / after.batch_size)
    if factor == 1.0:
        return after

    def stretch(schedule: Any) -> Any:
        if not isinstance(schedule, Mapping) or schedule.get("class_name") not in _SPANNING:
            return schedule
        fresh: Entry = copy.deepcopy(dict(schedule))
        for name in _SPANNING[fresh["class_name"]]:
            old = fresh["config"].get(name)
            if isinstance(old, (list, tuple)):
                fresh["config"][name] = [max(1, round(one * factor)) for one in old]
            elif old:
                fresh["config"][name] = max(1, round(old * factor))
        return fresh

    optimizer: Entry = copy.deepcopy(dict(after.optimizer))
    config = _inner(optimizer)["config"] if "config" in optimizer else {}
    if isinstance(config.get("learning_rate"), dict):
        config["learning_rate"] = stretch(config["learning_rate"])
    return after.replace(optimizer=optimizer, schedule=stretch(after.schedule))


def _standardize(recipe: Recipe, x: Any) -> Recipe:
    model: Entry = copy.deepcopy(dict(recipe.model))
    graph = Graph(model)
    if x is None:
        raise InputError("inputs can't be standardized without the training rows.", "Give apply(…, x=…).")
    done = 0
    if not graph.inputs():  # a Sequential model that was built without an Input
        first = graph.names()[0]
        done += _normalize(graph, first, _input_of(x, "", 0), behind=False)
    for place, name in enumerate(graph.inputs()):
        done += _normalize(graph, name, _input_of(x, name, place), behind=True)
    if not done:
        raise InputError(
            "no input can be standardized: each is normalized already, or holds codes or text.", "Propose another."
        )
    edits_layers._forget_shapes(model)
    return recipe.replace(model=model, preparation={**recipe.preparation, "standardize": True})


def _input_of(x: Any, name: str, place: int) -> np.ndarray:
    if isinstance(x, Mapping):
        return np.asarray(x[name] if name in x else list(x.values())[place])
    return np.asarray(x[place]) if isinstance(x, (list, tuple)) else np.asarray(x)


def _normalize(graph: Graph, name: str, values: np.ndarray, *, behind: bool) -> int:
    """A Normalization of these values behind an input, or before a first layer; 0 where there is no place for one."""
    takers = [graph.entry(other) for other in (graph.after(name) if behind else [name])]
    if behind and takers and is_graph(takers[0]) and len(takers) == 1:
        inner = Graph(takers[0])
        takers += [inner.entry(other) for first in inner.inputs()[:1] for other in inner.after(first)]
    if any(taker["class_name"] in {"Normalization", *edits_mixup.CODES} for taker in takers):
        return 0
    if not np.issubdtype(values.dtype, np.number) or values.ndim < 2:
        return 0
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    flat = np.where(np.isfinite(flat), flat, np.nan)
    known = ~np.isnan(flat).all(axis=0)
    mean, variance = np.zeros(flat.shape[1]), np.ones(flat.shape[1])
    mean[known], variance[known] = np.nanmean(flat[:, known], axis=0), np.nanvar(flat[:, known], axis=0)
    constant = variance <= np.finfo(np.float32).eps * mean**2
    variance = np.where(constant, 1.0, variance)
    layer = {"class_name": "Normalization", "config": {"mean": mean.tolist(), "variance": variance.tolist()}}
    if behind:
        graph.insert_after(name, layer, f"standardize_{name}")
    else:
        graph.insert_before(name, layer, "standardize_inputs")
    return 1


_NO_DISTANCES = ("crossentropy", "hinge", "focal", "poisson", "kl_divergence", "kldivergence", "dice", "tversky", "ctc")
"""Losses of classes, counts and shares, by parts of their names."""


def _standardize_target(recipe: Recipe, y: Any) -> Recipe:
    graph = Graph(dict(recipe.model))
    if y is None:
        raise InputError("the target can't be standardized without the training rows.", "Give apply(…, y=…).")
    if recipe.preparation.get("standardize_target"):
        return recipe
    if isinstance(y, (Mapping, list, tuple)) or len(graph.outputs()) != 1:
        raise InputError("the target can't be standardized: the model has several outputs.", "Scale them yourself.")
    loss = str(recipe.loss.get("class_name") if isinstance(recipe.loss, Mapping) else recipe.loss).lower()
    if any(word in loss for word in _NO_DISTANCES):
        raise InputError(f"the target can't be standardized: {loss} is no distance.", "Standardize quantities only.")
    values = np.asarray(y, dtype=np.float64)
    if values.ndim > 1 and values.shape[-1] != 1:
        raise InputError(f"the target can't be standardized: it has shape {values.shape}.", "Scale it yourself.")
    mean, scale = float(np.nanmean(values)), float(np.nanstd(values))
    if not scale > 0:
        raise InputError("the target can't be standardized: it is the same in every row.", "Look at the data.")
    scaling = {"mean": mean, "scale": scale}
    return recipe.replace(preparation={**recipe.preparation, "standardize_target": scaling})


def _output_prior(recipe: Recipe, y: Any) -> Recipe:
    """The output layer's bias at what predicts the mean, or the classes' frequencies, whatever comes in."""
    if y is None:
        raise InputError("the output's bias can't be set without the training rows.", "Give apply(…, y=…).")
    model: Entry = copy.deepcopy(dict(recipe.model))
    outputs = edits_layers.select(Graph(model), "output")
    values = np.asarray(y) if not isinstance(y, (Mapping, list, tuple)) else np.zeros(0)
    config = outputs[0].entry["config"] if len(outputs) == 1 else {}
    units, activation = config.get("units"), config.get("activation")
    if len(outputs) != 1 or not units or not config.get("use_bias", True) or not values.size:
        raise InputError("the output's bias can't be set: it is not one dense layer with a bias.", "Set it yourself.")
    name = recipe.loss if isinstance(recipe.loss, str) else str(recipe.loss.get("class_name", ""))
    flat = values.reshape(len(values), -1).astype(np.float64)
    if "crossentropy" in name.replace("_", "").lower():
        classes = units if units > 1 else 2
        share = flat.mean(axis=0) if flat.shape[1] > 1 else np.bincount(flat[:, 0].astype(int), minlength=classes)
        share = np.asarray(share, dtype=np.float64) * (len(flat) if flat.shape[1] > 1 else 1) + 1.0
        share /= share.sum()
        bias: Any = float(np.log(share[1] / share[0])) if units == 1 else np.log(share).tolist()
    elif activation in (None, "linear"):
        scaling = recipe.preparation.get("standardize_target")
        mean = flat.mean(axis=0) if not scaling else (flat.mean(axis=0) - scaling["mean"]) / scaling["scale"]
        bias = mean.tolist() if len(mean) == units > 1 else float(mean[0])
    else:
        raise InputError(f"the bias of an output with activation {activation!r} can't be set.", "Set it yourself.")
    config["bias_initializer"] = plain(keras.initializers.serialize(keras.initializers.Constant(bias)))
    return recipe.replace(model=model, preparation={**recipe.preparation, "output_prior": True})


def _check(recipe: Recipe, change: Change) -> None:
    """The edited model can be built."""
    try:
        edits_images.check_images(build(recipe, recipe.seed))
    except Exception as problem:
        raise InputError(
            f"the change {change.name!r} doesn't suit this model: {edits_shapes.reason_of(problem)}.",
            "Propose another.",
        ) from problem
