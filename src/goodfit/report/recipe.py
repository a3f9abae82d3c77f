"""A recipe in readable form: its layers, and its settings one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goodfit.report.words import count, number
from goodfit.values import Recipe

_SHOWN = (
    "units",
    "filters",
    "kernel_size",
    "strides",
    "pool_size",
    "rate",
    "stddev",
    "activation",
    "kernel_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "momentum",
    "trainable",
)
_USUAL = {
    "strides": (1, [1, 1]),
    "trainable": (True,),
    "activation": ("linear",),
    "kernel_initializer": ("GlorotUniform",),
}


def layers(recipe: Recipe) -> list[dict[str, str]]:
    """One entry for each layer of the model: `name`, `kind` and `settings`, as far as its config tells.

    Example:
        >>> dense = {"class_name": "Dense", "config": {"name": "dense", "units": 8, "activation": "relu"}}
        >>> model = {"class_name": "Sequential", "config": {"layers": [dense]}}
        >>> layers(Recipe(model=model, optimizer={}, loss="mse"))
        [{'name': 'dense', 'kind': 'Dense', 'settings': 'units 8, activation relu'}]
    """
    config = recipe.model.get("config")
    listed = config.get("layers", ()) if isinstance(config, Mapping) else ()
    found = []
    for layer in listed:
        if not isinstance(layer, Mapping):
            continue
        settings = layer.get("config")
        settings = settings if isinstance(settings, Mapping) else {}
        kind = str(layer.get("class_name", ""))
        if kind == "InputLayer":
            shape = settings.get("batch_shape") or settings.get("batch_input_shape") or ()
            text = "shape " + " × ".join(str(n) for n in shape[1:]) if len(shape) > 1 else ""
        else:
            text = ", ".join(
                f"{name.replace('_', ' ')} {brief(settings[name])}"
                for name in _SHOWN
                if settings.get(name) is not None and brief(settings[name]) not in map(brief, _USUAL.get(name, ()))
            )
        found.append({"name": str(settings.get("name") or layer.get("name") or ""), "kind": kind, "settings": text})
    return found


def settings(recipe: Recipe) -> list[tuple[str, str]]:
    """The recipe's other settings in words, name and value."""
    rows = [("optimizer", brief(recipe.optimizer)), ("loss", brief(recipe.loss))]
    if recipe.metrics:
        rows.append(("metrics", ", ".join(brief(metric) for metric in recipe.metrics)))
    rows += [("batch size", count(recipe.batch_size, "row")), ("epochs", f"at most {recipe.epochs:,}")]
    stopping = recipe.early_stopping
    if stopping is None:
        rows.append(("early stopping", "none"))
    else:
        kept = "; the weights of the best epoch are kept" if stopping.restore_best else ""
        least = f" (a fall of less than {number(stopping.min_delta)} is none)" if stopping.min_delta else ""
        patience = count(stopping.patience, "epoch")
        rows.append(("early stopping", f"after {patience} without a lower {stopping.monitor}{least}{kept}"))
    if recipe.plateau is not None:
        asked = recipe.plateau
        least = f" (a fall of less than {number(asked.min_delta)} is none)" if asked.min_delta else ""
        after = f"; {count(asked.cooldown, 'epoch')} after that are not counted" if asked.cooldown else ""
        floor = f"; no lower than {number(asked.min_lr)}" if asked.min_lr else ""
        patience = f"{count(asked.patience, 'epoch')} without a lower {asked.monitor}{least}"
        rows.append(("learning rate on a plateau", f"times {number(asked.factor)} after {patience}{after}{floor}"))
    if recipe.schedule:
        rows.append(("learning-rate schedule", brief(recipe.schedule)))
    if recipe.clipping:
        rows.append(("clipping", brief(recipe.clipping)))
    for place, stage in enumerate(recipe.stages, start=1):
        rows.append((f"stage {place}", brief(stage)))
    rows.append(("initial weights", "drawn afresh" if recipe.initial_weights == "fresh" else recipe.initial_weights))
    rows.append(("shuffling", "a new order of the training rows each epoch" if recipe.shuffle else "none"))
    rows.append(("seed of the first network", str(recipe.seed)))
    rows.append(("recipe hash", recipe.hash))
    return rows


def brief(value: Any) -> str:
    """A value of a config in a few words; what Keras serialized is told by its class and its settings.

    Example:
        >>> brief({"class_name": "Adam", "config": {"name": "adam", "learning_rate": 0.001, "clipnorm": None}})
        'Adam (learning rate 0.001)'
        >>> brief({"class_name": "function", "config": "relu"})
        'relu'
    """
    if isinstance(value, Mapping):
        if "class_name" not in value:
            told = {key: item for key, item in value.items() if item is not None}
            return ", ".join(f"{str(key).replace('_', ' ')} {brief(item)}" for key, item in told.items())
        config = value.get("config")
        if isinstance(config, str):
            return config
        config = config if isinstance(config, Mapping) else {}
        told = ", ".join(
            f"{key.replace('_', ' ')} {brief(item)}"
            for key, item in config.items()
            if item is not None
            and item is not False
            and key not in ("name", "dtype", "seed", "loss_scale_factor")
            and (not key.startswith("ema_") or config.get("use_ema"))
        )
        return f"{value['class_name']} ({told})" if told else str(value["class_name"])
    if isinstance(value, (list, tuple)):
        return ", ".join(brief(item) for item in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if any(char.isalnum() for char in text) else repr(text)
