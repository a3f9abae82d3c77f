"""A user's own compiled model as a recipe, and what a recipe can't hold of it: its code, and weights it was given."""

from __future__ import annotations

import hashlib
import inspect
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import keras_internals, own_classes, pretrained_networks
from goodfit.training.recipes import build, derive_seed, serialize
from goodfit.values import EarlyStopping, Plateau, Recipe
from goodfit.values._json import content_hash, plain
from goodfit.values._told import told_of

_GIVEN = 1e-6
"""Weights count as given where the chance that their initializer drew them is below this."""
_OF_EVERY_LOSS = ("self", "name", "reduction", "dtype", "args", "kwargs")
"""Arguments that Keras's own configuration of a loss holds."""
_KERAS = {name: getattr(keras.Model, name) for name in ("compute_loss", "train_step")}
"""What a model may replace of how Keras trains."""


@dataclass(frozen=True, eq=False)
class OwnModel:
    """A user's model, ready to be edited and trained many times; the model itself is never touched.

    Args:
        recipe: all of it that is data.
        code: classes and functions that the recipe's configurations name, by that name.
        given: weights that every seed starts from: those of adapted, frozen or trained layers, by the layer's path.
        notes: what was taken over, one sentence each.
        sample: one row of inputs, for models that are built by their first call.
    """

    recipe: Recipe
    code: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, list[np.ndarray]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sample: Any = None

    def scope(self) -> AbstractContextManager[Any]:
        """Within it, configurations may name the model's own classes and functions."""
        return keras.saving.custom_object_scope(own_classes.makers(self.code))

    def build(self, recipe: Recipe, seed: int) -> keras.Model:
        """A member of a recipe: drawn from its seed, with the given weights in layers that have kept their shape."""
        state = random.getstate()
        random.seed(derive_seed(seed, "code"))  # whence Keras seeds what has no seed in its configuration
        try:
            with self.scope():
                model = build(recipe, seed)
                if self.sample is not None and not (model.built and model.weights):
                    model(self.sample, training=False)
        finally:
            random.setstate(state)
        pretrained_networks.carry_weights(model)
        if self.given:
            for path, layer in layers(model):
                values = self.given.get(path)
                if values is not None and [v.shape for v in layer.weights] == [v.shape for v in values]:
                    for variable, value in zip(layer.weights, values, strict=True):
                        variable.assign(value)
            keras_internals.settle(model)
        return model


def read(
    model: keras.Model,
    *,
    batch_size: int,
    epochs: int,
    early_stopping: EarlyStopping | None = None,
    seed: int = 0,
    sample: Any = None,
) -> OwnModel:
    """What a compiled model is, as data.

    Args:
        model: compiled and built.
        batch_size: rows per step.
        epochs: passes over the rows at most.
        early_stopping: when to stop before that.
        seed: of the first member.
        sample: one row of inputs, for a model that is built by its first call.

    Returns:
        the model as a recipe with its code and given weights.

    Raises:
        InputError: it is not compiled or built, or can't be rebuilt from its configuration; the layer is named.
    """
    if not model.compiled:
        raise InputError(f"the model {model.name!r} is not compiled.", "Compile it with optimizer and loss first.")
    code = _code(model)
    _check_losses(model)
    config = _serialized(model, code)
    loss = keras_internals.compiled_with(model).get("loss")
    recipe = Recipe(
        model=config,
        optimizer=plain(keras.optimizers.serialize(model.optimizer)),
        loss=_named(loss, code),
        metrics=(),
        batch_size=batch_size,
        epochs=epochs,
        early_stopping=early_stopping,
        seed=seed,
        code_fingerprint=_fingerprint(code) if code else None,
        portable=not code,
        loss_weights=_loss_weights(model),
    )
    own = OwnModel(recipe, code, sample=sample)
    _check(model, own)
    given, notes = _given(model, own)
    notes += _own_steps(model)
    if given:
        digest = hashlib.sha256()
        places = {path: place for place, (path, _) in enumerate(layers(model))}  # names that Keras makes up count on
        for path, values in given.items():
            digest.update(f"{places[path]}".encode())
            for value in values:
                digest.update(np.ascontiguousarray(value).tobytes())
        recipe = recipe.replace(initial_weights=f"sha256:{digest.hexdigest()[:16]}")
    return OwnModel(recipe, code, given, notes, sample)


def pads(model: keras.Model) -> Callable[[Any, np.ndarray], np.ma.MaskedArray] | None:
    """A function of inputs and targets that masks the targets of steps that the model takes for padding, as its loss
    does; `None` where it masks none.

    Example:
        >>> words = keras.layers.Embedding(9, 2, mask_zero=True)
        >>> model = keras.Sequential([keras.Input((3,)), words, keras.layers.Dense(1)])
        >>> pads(model)(np.array([[4, 7, 0]]), np.array([[1, 0, 0]])).compressed().tolist()
        [1, 0]
    """
    steps = keras_internals.step_mask(model)
    if steps is None:
        return None

    def padded(x: Any, y: np.ndarray) -> np.ma.MaskedArray:
        quiet: Any = 0
        counts = np.asarray(steps.predict(x, verbose=quiet), bool)
        counts = counts.reshape(*counts.shape, *[1] * (y.ndim - counts.ndim))
        return np.ma.masked_array(y, mask=np.broadcast_to(~counts, y.shape))

    return padded


def metrics_of(model: keras.Model) -> dict[str, Any]:
    """Copies of the metrics that a model was compiled with, as arguments of `compile`; none where one is the user's
    own, which a saved model could not be loaded with."""
    compiled = keras_internals.compiled_with(model)
    given = {name: compiled.get(name) for name in ("metrics", "weighted_metrics") if compiled.get(name)}
    leaves = keras.tree.flatten(given)
    if not all(one is None or isinstance(one, str) or type(one).__module__.startswith("keras.") for one in leaves):
        return {}
    copies: Any = keras.tree.map_structure(
        lambda one: type(one).from_config(one.get_config()) if isinstance(one, keras.metrics.Metric) else one, given
    )
    return copies


def with_metrics(model: keras.Model, metrics: dict[str, Any]) -> keras.Model:
    """A compiled model, compiled again with metrics, see `metrics_of`; it comes back.

    Args:
        model: compiled without any.
        metrics: arguments of `compile`.
    """
    if metrics:
        compiled = keras_internals.compiled_with(model)
        model.compile(**{**compiled, "optimizer": model.optimizer, **metrics})
    return model


def asked_of(model: keras.Model) -> dict[str, Any]:
    """What is asked of a compiled model before it is trained, which changes its optimizer: fields of a `Recipe`."""
    loss = keras_internals.compiled_with(model).get("loss")
    return {
        "optimizer": plain(keras.optimizers.serialize(model.optimizer)),
        "loss": _named(loss, {}),
        "loss_weights": _loss_weights(model),
    }


def described(
    model: keras.Model,
    asked: Mapping[str, Any],
    batch_size: int,
    epochs: int,
    early_stopping: EarlyStopping | None,
    plateau: Plateau | None = None,
) -> Recipe:
    """What was asked of a training as data, to be read: the model can't always be rebuilt from it.

    Args:
        model: that was trained.
        asked: of it before the training, from `asked_of`.
        batch_size: rows per step.
        epochs: at most.
        early_stopping: that a callback asked for.
        plateau: likewise.
    """
    code = _code(model)
    return Recipe(
        model=_serialized(model, code), batch_size=batch_size, epochs=epochs, early_stopping=early_stopping,
        code_fingerprint=_fingerprint(code) if code else None, portable=False, initial_weights="unknown",
        plateau=plateau, **asked,
    )  # fmt: skip


def layers(model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The layers of a model that hold weights themselves, each with its path; nested models are entered."""
    listed = getattr(model, "layers", None) or []
    for layer in listed:
        where = f"{path}/{layer.name}" if path else layer.name
        if isinstance(layer, keras.Model) and layer.layers:
            yield from layers(layer, where)
        elif layer.weights:
            yield where, layer


def _code(model: keras.Model) -> dict[str, Any]:
    """Classes and functions of the model that are not Keras's, under the names that configurations give them."""
    found: dict[str, Any] = {}
    for part in keras_internals.all_layers(model):
        kind = type(part)
        if not kind.__module__.startswith("keras."):
            found[keras.saving.get_registered_name(kind)] = kind
            found[kind.__name__] = kind
        if isinstance(part, keras.layers.Lambda):
            found[f"lambda of {part.name}"] = part.function
        for name in ("activation", "kernel_initializer", "kernel_regularizer", "kernel_constraint"):
            value = getattr(part, name, None)
            home = getattr(value, "__module__", "") if inspect.isfunction(value) else type(value).__module__
            if value is not None and not home.startswith(("keras.", "builtins", "jax")):
                named = value if inspect.isfunction(value) else type(value)
                found[keras.saving.get_registered_name(named)] = named
                found[named.__name__] = named
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    for part in (model.optimizer, optimizer, getattr(optimizer, "_learning_rate", None)):
        kind = type(part)
        if part is not None and not kind.__module__.startswith(("keras.", "builtins", "jax", "goodfit.")):
            found[keras.saving.get_registered_name(kind)] = kind
            found[kind.__name__] = kind
    for loss in keras_internals.compile_arguments(model):
        if inspect.isfunction(loss) and not (loss.__module__ or "").startswith("keras."):
            found[loss.__name__] = loss
        elif isinstance(loss, keras.losses.Loss) and not type(loss).__module__.startswith("keras."):
            found[keras.saving.get_registered_name(type(loss))] = type(loss)
            found[type(loss).__name__] = type(loss)
    return found


def _check_losses(model: keras.Model) -> None:
    """`InputError` for a loss of the user's own whose configuration does not tell what it was made with."""
    for loss in keras_internals.compile_arguments(model):
        kind = type(loss)
        if not isinstance(loss, keras.losses.Loss) or kind.get_config is not keras.losses.Loss.get_config:
            continue
        taken = [name for name in inspect.signature(kind.__init__).parameters if name not in _OF_EVERY_LOSS]
        if taken:
            raise InputError(
                f"the loss {kind.__name__} takes {', '.join(taken)}, which its get_config does not tell.",
                "Give its class a get_config that returns these, or give the loss as a function.",
            )


def _serialized(model: keras.Model, code: Mapping[str, Any]) -> dict[str, Any]:
    """The model's configuration, with functions of Lambda layers by name in place of their bytes."""
    try:
        config = plain(_renamed(serialize(model), code))
    except Exception as problem:
        raise _not_rebuildable(model, problem) from problem
    return config


def _renamed(part: Any, code: Mapping[str, Any]) -> Any:
    if isinstance(part, (list, tuple)):
        return [_renamed(item, code) for item in part]
    if not isinstance(part, dict):
        return part
    if part.get("class_name") == "Lambda" and isinstance(part.get("config"), dict):
        name = f"lambda of {part['config'].get('name')}"
        if name in code:
            function = {"module": None, "class_name": "function", "config": name, "registered_name": name}
            return {**part, "config": {**part["config"], "function": function}}
    return {key: _renamed(value, code) for key, value in part.items()}


def _named(loss: Any, code: Mapping[str, Any]) -> Any:
    """A loss as a recipe holds it: a name, a Keras configuration, or a list or dict of them."""
    if isinstance(loss, (list, tuple)):
        return [_named(one, code) for one in loss]
    if isinstance(loss, Mapping) and "class_name" not in loss:
        return {key: _named(one, code) for key, one in loss.items()}
    if loss is None or isinstance(loss, str):
        return loss
    if inspect.isfunction(loss):
        return loss.__name__
    return plain(keras.losses.serialize(loss) if isinstance(loss, keras.losses.Loss) else loss)


def _loss_weights(model: keras.Model) -> Any:
    """What each output's loss counts for; `None` where all count for 1."""
    weights = keras_internals.compiled_with(model).get("loss_weights")
    if all(weight is None or float(weight) == 1.0 for weight in keras.tree.flatten(weights)):
        return None
    return plain(keras.tree.map_structure(lambda weight: 1.0 if weight is None else float(weight), weights))


def _check(model: keras.Model, own: OwnModel) -> None:
    """The model can be rebuilt, with the same weights in the same layers."""
    try:
        twin = own.build(own.recipe, own.recipe.seed)
    except Exception as problem:
        raise _not_rebuildable(model, problem) from problem
    if [v.shape for v in twin.weights] != [v.shape for v in model.weights]:
        raise _not_rebuildable(model, ValueError("rebuilt from its configuration, it has other variables"))


def _not_rebuildable(model: keras.Model, problem: Exception) -> InputError:
    """Names the layer that is not data."""
    culprit = f"the model {model.name!r} (class {type(model).__name__})"
    for part in keras_internals.all_layers(model)[1:]:
        if type(part).__module__.startswith("keras."):
            continue
        try:
            own_classes.Maker(type(part)).from_config(part.get_config())
        except Exception as own:
            culprit, problem = f"the layer {part.name!r} (class {type(part).__name__})", own
            break
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return InputError(
        f"{culprit} can't be rebuilt from its configuration ({(lines or ['no reason given'])[0][:160].rstrip('.')}).",
        "Give its class a get_config that holds all its arguments; or give a function that builds and trains the model "
        "in its place, of which optimizer, learning rate, batch size and epochs can be changed.",
    )


def _given(model: keras.Model, own: OwnModel) -> tuple[dict[str, list[np.ndarray]], tuple[str, ...]]:
    """The weights that its initializers did not draw: adapted, frozen, or trained before."""
    fresh = dict(layers(own.build(own.recipe, 1)))
    trained = bool(model.optimizer.built and int(np.asarray(model.optimizer.iterations.value)) > 0)
    given: dict[str, list[np.ndarray]] = {}
    redrawn = []
    for path, layer in layers(model):
        values = [np.asarray(v.value) for v in layer.weights]
        frozen = not layer.trainable or not layer.trainable_weights
        others = [np.asarray(v.value) for v in fresh[path].weights] if path in fresh else []
        if frozen or hasattr(layer, "adapt") or not (trained or _drawn(values, others)):
            given[path] = values
        elif trained:
            redrawn.append(path)
    notes = []
    if redrawn:
        notes.append(
            f"The model was trained before, on rows that these may be. So every seed draws weights of its own for"
            f" {_listed(redrawn)}; to start from the trained ones, compile the model again first."
        )
    if given:
        notes.append(
            f"Every seed starts from the model's own weights in {_listed(given)}: they were adapted, frozen or trained."
        )
    return given, tuple(notes)


def _own_steps(model: keras.Model) -> tuple[str, ...]:
    """What a model does in training that is not seen from its configuration."""
    own = [name for name in ("compute_loss", "train_step") if getattr(type(model), name) is not _KERAS[name]]
    if not own:
        return ()
    return (
        f"The model trains by its own {' and '.join(own)}; all trials are judged by the loss that it was compiled with,"
        " or by the metric that was given.",
    )


def _listed(paths: Iterable[str]) -> str:
    names = list(paths)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _drawn(values: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """Whether weights may have been drawn by the initializers that drew others."""
    from scipy import stats

    if [v.shape for v in values] != [v.shape for v in others]:
        return True
    for one, other in zip(values, others, strict=True):
        if not np.issubdtype(one.dtype, np.floating):
            continue
        a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
        if np.ptp(b) == 0.0:  # a constant, such as a bias of zeros
            if not np.array_equal(a, b):
                return False
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it goes on from exact to asymptotic by itself
                tested: Any = stats.ks_2samp(a[:100_000], b[:100_000])
            if tested.pvalue < _GIVEN:
                return False
    return True


def _fingerprint(code: Mapping[str, Any]) -> str:
    """A hash of classes and functions, and of what functions are bound to."""
    return content_hash([[name, told_of(code[name])] for name in sorted(code)])
