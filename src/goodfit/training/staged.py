"""Trainings in turn on one model: first the new head on frozen layers, then unfrozen ones at a lower rate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import keras

from goodfit.errors import InputError
from goodfit.training import frozen_features, keras_internals
from goodfit.training.engine import EngineResult
from goodfit.training.frozen_features import Halves
from goodfit.training.own_model import layers as weighted_layers
from goodfit.values import Stage

LOWER = 10.0
"""A stage that unfreezes layers has its learning rate divided by this, where none is given: the rates of lower layers
are to be smaller (Howard and Ruder 2018, section 3.2, go down by 2.6 per layer)."""
HARMLESS = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.TerminateOnNaN,
    keras.callbacks.CSVLogger,
    keras.callbacks.History,
)
"""Callbacks that do the same with the rest of a model as with the whole of it."""


@dataclass(frozen=True, eq=False)
class Staged:
    """What came of the stages of a training.

    Args:
        results: one per stage that began.
        described: what was done in each, plain data.
    """

    results: tuple[EngineResult, ...]
    described: tuple[Mapping[str, Any], ...]

    @property
    def starts(self) -> tuple[int, ...]:
        """The place of each stage's first epoch among all epochs."""
        return (0, *itertools.accumulate(len(result.epoch) for result in self.results[:-1]))

    @property
    def history(self) -> dict[str, list[Any]]:
        """The curves of all stages, one after the other."""
        joined: dict[str, list[Any]] = {}
        for result in self.results:
            for name, values in result.history.items():
                joined.setdefault(name, []).extend(values)
        return joined

    @property
    def epoch(self) -> list[int]:
        """The epochs of all stages."""
        return [epoch for result in self.results for epoch in result.epoch]


def fit(
    model: keras.Model,
    stages: Sequence[Stage],
    arguments: Mapping[str, Any],
    train: Callable[[keras.Model, dict[str, Any]], EngineResult],
) -> Staged:
    """Train a compiled model in place, stage after stage, each compiled anew with an optimizer of its own.

    Args:
        model: compiled and built; how it was compiled holds in every stage but for the learning rate.
        stages: in their order.
        arguments: of `model.fit`, by name; `epochs` and `initial_epoch` come from the stages.
        train: what trains one stage.

    Returns:
        the results of the stages; after one that was interrupted or met a loss that is not finite, none follows.

    Raises:
        InputError: a stage that unfreezes nothing, or a layer that is not there.
    """
    results: list[EngineResult] = []
    described: list[Mapping[str, Any]] = []
    done = 0
    for prepared in prepare(model, stages, arguments):
        result = train(prepared.model, {**prepared.arguments, "initial_epoch": done, "epochs": done + prepared.epochs})
        prepared.hand_back()
        results.append(result)
        described.append(prepared.described)
        done = result.epoch[-1] + 1 if result.epoch else done
        if result.outcome not in ("finished", "stopped"):
            break
    return Staged(tuple(results), tuple(described))


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model made ready for one stage.

    Args:
        whole: the model.
        model: what is trained: the model, or its upper part where the features of the frozen one are kept.
        arguments: of `model.fit` for that.
        epochs: passes over the rows, at most.
        described: what the stage does, plain data.
    """

    whole: keras.Model
    model: keras.Model
    arguments: Mapping[str, Any]
    epochs: int
    described: Mapping[str, Any]

    def hand_back(self) -> None:
        """Give the whole model the optimizer and the history of its upper part."""
        if self.model is self.whole:
            return
        arguments = {**keras_internals.compiled_with(self.whole), "optimizer": self.model.optimizer}
        self.whole.compile(**arguments)
        self.whole.stop_training = self.model.stop_training
        if getattr(self.model, "history", None) is not None:
            self.whole.history = self.model.history


def prepare(model: keras.Model, stages: Sequence[Stage], arguments: Mapping[str, Any]) -> Iterator[Prepared]:
    """Make a model ready for one stage after the other; each is to be trained before the next is asked for.

    Args:
        model: compiled and built.
        stages: in their order; all are checked before the first is made ready.
        arguments: of `model.fit`, by name.
    """
    _check(model, stages)
    compiled = keras_internals.compiled_with(model)
    settings = model.optimizer.get_config()
    lowered = False
    for stage in stages:
        unfreeze(model, stage)
        lowered |= stage.unfreeze is not None
        rate = stage.learning_rate
        if rate is None and isinstance(settings.get("learning_rate"), float):
            rate = float(f"{settings['learning_rate'] / (LOWER if lowered else 1.0):.7g}")  # it was a float32
        optimizer: Any = type(model.optimizer).from_config(dict(settings))
        if rate is not None:
            optimizer.learning_rate = rate
        model.compile(**{**compiled, "optimizer": optimizer})
        described: dict[str, Any] = {
            "epochs": stage.epochs,
            "learning_rate": rate,
            "trained": [path for path, layer in weighted_layers(model) if layer.trainable_weights],
        }
        part, given = model, dict(arguments)
        cut = _halves(model, stage, arguments)
        if isinstance(cut, Halves):
            part = cut.rest
            part.compile(**{**compiled, "optimizer": optimizer})
            given |= _features(cut, arguments)
            described["frozen_features"] = "computed once"
        elif cut:
            described["frozen_features"] = f"computed in every epoch: {cut}"
        yield Prepared(model, part, given, stage.epochs, described)


def unfreeze(model: keras.Model, stage: Stage) -> None:
    """Unfreeze what a stage asks for.

    Args:
        model: whose layers' `trainable` is set.
        stage: which ones.

    Raises:
        InputError: that is nothing, or a layer that is not there.
    """
    if stage.unfreeze is None:
        return
    weighted = list(weighted_layers(model))
    frozen = {path: layer for path, layer in weighted if not _trains(model, path)}
    fixed = (keras.layers.BatchNormalization, keras.layers.Normalization)
    several = [path for path, layer in frozen.items() if not isinstance(layer, fixed)]
    if stage.unfreeze == "all":
        chosen = several
    elif isinstance(stage.unfreeze, int):
        chosen = several[-stage.unfreeze :]
        if stage.unfreeze > len(several) > 0:
            raise InputError(
                f"a stage unfreezes {stage.unfreeze} layers, but only {len(several)} are frozen then.",
                f'Unfreeze {len(several)} at most, or "all".',
            )
    else:
        named = (stage.unfreeze,) if isinstance(stage.unfreeze, str) else stage.unfreeze
        chosen = []
        for name in named:
            meant = [path for path, _ in weighted if path == name or path.startswith(f"{name}/")]
            meant = meant or [path for path, _ in weighted if path.rsplit("/", 1)[-1] == name]
            if not meant:
                near = get_close_matches(name, [path for path, _ in weighted], 1)
                raise InputError(
                    f"a stage unfreezes the layer {name!r}, but the model {model.name!r} has none with weights of that "
                    "name" + (f"; there is {near[0]!r}." if near else "."),
                    f"The frozen ones are {', '.join(list(frozen)[-5:]) or 'none'}.",
                )
            chosen += [path for path in meant if path in frozen]
    if not chosen:
        raise InputError(
            f"a stage with unfreeze={stage.unfreeze!r} unfreezes nothing: "
            + (
                "no layer is frozen then."
                if not frozen
                else "what it names is trained already, or batch normalization."
            ),
            "Leave that stage out, or give unfreeze=None to go on with the same layers.",
        )
    for path in chosen:
        _set_trainable(model, path)


def _trains(model: Any, path: str) -> bool:
    """Whether a layer and all the models it is nested in are trainable."""
    part = model
    for name in path.split("/"):
        part = next(layer for layer in part.layers if layer.name == name)
        if not part.trainable:
            return False
    return True


def _set_trainable(model: Any, path: str) -> None:
    """Unfreeze one layer; the models that it is nested in too, with all else in them as it was."""
    part = model
    for name in path.split("/"):
        part = next(layer for layer in part.layers if layer.name == name)
        if not part.trainable:
            inner = [(layer, layer.trainable) for layer in part._flatten_layers() if layer is not part]
            part.trainable = True
            _restore(inner)  # Keras passes it on to all


def _restore(flags: Sequence[tuple[Any, bool]]) -> None:
    """Set what was trainable, outer layers first: Keras passes it on to those within."""
    for layer, trainable in flags:
        layer.trainable = trainable


def _check(model: keras.Model, stages: Sequence[Stage]) -> None:
    """Go through the stages without training; the model is as before afterwards."""
    if not stages:
        raise InputError("there are no stages.", "Give one goodfit.Stage at least.")
    for stage in stages:
        if not isinstance(stage, Stage):
            raise InputError(f"a stage is {stage!r}, no goodfit.Stage.", "Give goodfit.Stage(epochs=…, unfreeze=…).")
    if not model.compiled:
        raise InputError(f"the model {model.name!r} is not compiled.", "Compile it with optimizer and loss first.")
    if not model.built:
        raise InputError(f"the model {model.name!r} has no weights yet.", "Build it, or call it on one row first.")
    before = [(layer, layer.trainable) for layer in model._flatten_layers()]
    try:
        for stage in stages:
            unfreeze(model, stage)
            if not model.trainable_variables:
                raise InputError(
                    f"every layer of the model {model.name!r} is frozen, so nothing would be trained.",
                    "Give it a head (goodfit.transfer), or let the first stage unfreeze layers.",
                )
    finally:
        _restore(before)


def _halves(model: keras.Model, stage: Stage, arguments: Mapping[str, Any]) -> Halves | str:
    """The model cut where features are worth keeping; or why not, `""` where nothing is frozen."""
    data = (
        [arguments["x"], *(arguments["validation_data"] or ())[:1]] if _pair(arguments["validation_data"]) else [None]
    )
    problem = keras_internals.array_problem(*data) if data[0] is not None else "the rows are no arrays"
    if stage.epochs < 2:
        problem = "one epoch takes as long as computing them"
    for callback in keras_internals.listed(arguments["callbacks"]):
        if type(callback) not in HARMLESS:
            problem = f"the callback {type(callback).__name__} may need the whole model"
    if keras_internals.own_training(model):
        problem = "the model trains in a way of its own"
    rows = 0 if problem else sum(frozen_features.row_count(x) for x in data)
    cut = frozen_features.halves(model, rows)
    return problem if problem and cut else cut


def _pair(validation: Any) -> bool:
    return validation is None or (isinstance(validation, (tuple, list)) and 2 <= len(validation) <= 3)


def _features(cut: Halves, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `model.fit` that hold inputs, with features in their place."""
    size = arguments["batch_size"] or 32
    given: dict[str, Any] = {"x": cut.features(arguments["x"], size)}
    validation = arguments["validation_data"]
    if validation is not None:
        x, *others = validation
        given["validation_data"] = (cut.features(x, arguments["validation_batch_size"] or size), *others)
    if arguments.get("hidden") is not None:
        x, y = arguments["hidden"]
        given["hidden"] = (cut.features(x, size), y)
    return given
