"""`fit`: what `model.fit` does, in compiled chunks of epochs where that is exact, else by Keras's own loop."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import keras
import numpy as np

from goodfit.training import keras_internals, loops, preflight_batches, preflight_setup
from goodfit.training.identity_batches import IdentityBatches
from goodfit.training.keras_internals import Rows
from goodfit.training.signals import Sampler, sampler
from goodfit.values import Outcome

Engine = Literal["compiled", "compiled-epoch", "stepwise", "keras"]


@dataclass(frozen=True, eq=False)
class EngineResult:
    """What came of a training.

    Args:
        history: name -> one number per epoch, as in Keras's `History.history`.
        epoch: the epochs trained, counted from 0.
        params: what Keras tells callbacks: `verbose`, `epochs`, `steps`.
        engine: the way it ran: `compiled` (chunks of epochs), `compiled-epoch` (one epoch per dispatch) or `keras`.
        engine_reason: why this way, one sentence.
        outcome: how it ended.
        seconds: wall time of the whole call.
        compile_seconds: of which tracing and compiling took this; 0 where the program was at hand.
        warnings: what the pre-flight found questionable, one sentence each.
        signals: what took the samples of the signals, or why none were taken.
    """

    history: Mapping[str, list[Any]]
    epoch: list[int]
    params: Mapping[str, Any]
    engine: Engine
    engine_reason: str
    outcome: Outcome
    seconds: float
    compile_seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    signals: Sampler | str = ""


def fit(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: Any = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: Any = True,
    class_weight: Any = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: Any = 1,
    *,
    chunk: int | None = None,
    checks: Literal["on", "off"] = "on",
    signals: bool | int | Literal["auto"] = False,
) -> EngineResult:
    """Train a compiled Keras model in place, exactly as `model.fit` does.

    Args:
        model: a compiled Keras model.
        x: inputs; this and the arguments to `validation_freq` are those of `model.fit`. Or `IdentityBatches`.
        y: targets.
        batch_size: rows per step.
        epochs: number of the last epoch.
        verbose: `0`, `1`, `2` or `"auto"`, as in Keras.
        callbacks: Keras callbacks.
        validation_split: the share of the last rows to validate on.
        validation_data: `(x, y)` or `(x, y, sample_weight)` to validate on.
        shuffle: `True`, `False` or `"batch"`.
        class_weight: class -> weight.
        sample_weight: a weight per row.
        initial_epoch: number of the first epoch.
        steps_per_epoch: steps per epoch.
        validation_steps: steps per validation.
        validation_batch_size: rows per validation step.
        validation_freq: validate every so many epochs, or after those listed.
        chunk: epochs per dispatch at most; by default as many as take a fraction of a second.
        checks: `"off"` leaves out the pre-flight.
        signals: how many samples of the signals to take; see `goodfit.training.signals`.

    Returns:
        The history, and how the training ran and ended.

    Raises:
        InputError: where the pre-flight finds that the training can't be meant.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> result = fit(model, np.ones((8, 3)), np.ones((8, 1)), epochs=5, verbose=0)
        >>> result.engine, result.outcome, len(result.history["loss"])
        ('compiled', 'finished', 5)
    """
    began = time.perf_counter()
    here = locals()
    arguments = {
        name: here[name]
        for name, parameter in inspect.signature(fit).parameters.items()
        if name != "model" and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    }
    found: tuple[str, ...] = ()
    if checks == "on":
        found = preflight_setup.look(model, arguments)
        arguments["x"] = preflight_batches.watched(model, x)
        arguments["validation_data"] = preflight_batches.watched(model, validation_data, "the validation's generator")
    reason = keras_internals.unsupported(model) or _unusual(model, arguments)
    if not reason:
        prepared = _prepare(model, arguments, chunk)
        if isinstance(prepared, loops.Plan):
            sampled = _listen(prepared, signals)
            outcome = loops.train(prepared)
            result = result_of(model, began, prepared.engine, prepared.reason, outcome, prepared.compile_seconds, found)
            return replace(result, signals=sampled)
        reason = prepared
    outcome = _train_by_keras(model, arguments)
    result = result_of(model, began, "keras", reason, outcome, 0.0, found)
    return replace(result, signals="Keras's own loop trained the model" if signals else "")


def _listen(plan: loops.Plan, asked: bool | int | Literal["auto"]) -> Sampler | str:
    """Have the signals sampled in a training that is ready to run; or why they are not."""
    if plan.epochs <= plan.initial_epoch:
        return ""
    made = sampler(plan.model, plan.rows.arrays, plan.rows.batch_size, plan.epochs, asked, plan.initial_epoch)
    if isinstance(made, Sampler):
        plan.sampler = made
        plan.compile_seconds += made.probe.seconds
    return made


def _unusual(model: keras.Model, arguments: Mapping[str, Any]) -> str:
    """Why these arguments are left to Keras's own loop; `""` if they need not be."""
    for name in ("steps_per_epoch", "validation_steps"):
        if arguments[name] and model.steps_per_execution != 1:
            return f"{name} is set, and steps_per_execution"
    callbacks = arguments["callbacks"]
    if isinstance(callbacks, keras.callbacks.CallbackList) and (
        type(callbacks) is not keras.callbacks.CallbackList or callbacks._history is None
    ):
        return "the callbacks are in a container of their own"
    for callback in keras_internals.listed(callbacks):
        method = keras_internals.batch_level(callback)
        if method and keras_internals.terminates(callback):
            method = keras_internals.told_of_steps(model, arguments["shuffle"])
        if method:
            return f"the callback {type(callback).__name__} sees every batch ({method})"
    validation = arguments["validation_data"]
    if validation is not None and not (isinstance(validation, (tuple, list)) and 2 <= len(validation) <= 3):
        return "the validation data are not (x, y) or (x, y, sample_weight)"
    data = [arguments[name] for name in ("x", "y", "sample_weight")]
    if isinstance(arguments["x"], IdentityBatches):
        for name in ("y", "sample_weight", "class_weight", "validation_split"):
            if arguments[name] is not None and not (name == "validation_split" and arguments[name] == 0):
                return f"{name} is given beside IdentityBatches"
        data = [arguments["x"].x, arguments["x"].y]
    return keras_internals.array_problem(*data, *(validation or ()))


def prepare_rows(model: keras.Model, arguments: Mapping[str, Any]) -> tuple[Rows, Rows | None]:
    """The rows to train on and to validate on, as `fit` would take them; the model is built for them.

    Args:
        model: compiled.
        arguments: of `fit`, by name.
    """
    iterator, validation_data = _begin(model, arguments)
    rows = _rows(iterator, arguments)
    return rows, None if validation_data is None else validation_rows(model, validation_data, arguments)


def _begin(model: keras.Model, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """Keras's iterator over the training rows, with the model built for them; and the validation data."""
    x, y, sample_weight = (arguments[name] for name in ("x", "y", "sample_weight"))
    validation_data = arguments["validation_data"]
    if arguments["validation_split"] and validation_data is None:
        (x, y, sample_weight), validation_data = keras_internals.split_validation(
            (x, y, sample_weight), arguments["validation_split"]
        )
    iterator = keras_internals.epoch_iterator(
        x,
        y,
        sample_weight=sample_weight,
        batch_size=arguments["batch_size"],
        shuffle=arguments["shuffle"],
        class_weight=arguments["class_weight"],
        steps_per_execution=model.steps_per_execution,
    )
    keras_internals.build(model, iterator)
    return iterator, validation_data


def _prepare(model: keras.Model, arguments: Mapping[str, Any], longest: int | None) -> loops.Plan | str:
    """All that `fit` does before the first epoch, and the compiled program; or why Keras's own loop must do it."""
    iterator, validation_data = _begin(model, arguments)
    try:
        rows = _rows(iterator, arguments)
        if arguments["steps_per_epoch"] not in (None, 0, rows.steps):
            return f"steps_per_epoch is {arguments['steps_per_epoch']}, and the rows make {rows.steps} steps"
        validation = None if validation_data is None else validation_rows(model, validation_data, arguments)
        steps = arguments["validation_steps"]
        if steps and validation is not None:
            if steps > validation.steps:
                return f"validation_steps is {steps}, and the rows to validate on make {validation.steps} steps"
            validation = validation.first(steps)
        plan = loops.Plan(
            model=model,
            rows=_on_device(rows),
            validation=None if validation is None else _on_device(validation),
            validation_freq=arguments["validation_freq"],
            epochs=arguments["epochs"],
            initial_epoch=arguments["initial_epoch"],
            callbacks=keras_internals.callback_list(
                model, arguments["callbacks"], arguments["verbose"], arguments["epochs"], rows.steps
            ),
            longest=longest,
        )
        if plan.epochs > plan.initial_epoch:
            keras_internals.validates(0, plan.validation_freq)
            plan.compile()
    except Exception as problem:
        # Whatever can't be traced is left to Keras: it trains the model, or raises what it would have raised.
        return f"the training could not be compiled: {type(problem).__name__}: {str(problem).splitlines()[0][:200]}"
    return plan


def validation_rows(model: keras.Model, validation_data: Any, arguments: Mapping[str, Any]) -> Rows:
    """The rows of arrays to validate on, as `fit` would take them."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(validation_data)
    iterator = keras_internals.epoch_iterator(
        x,
        y,
        sample_weight=sample_weight,
        batch_size=arguments["validation_batch_size"] or arguments["batch_size"],
        steps_per_execution=model.steps_per_execution,
        shuffle=False,
    )
    return keras_internals.rows_of(iterator, False)


def _rows(iterator: Any, arguments: Mapping[str, Any]) -> Rows:
    given = arguments["x"]
    return (
        given.rows() if isinstance(given, IdentityBatches) else keras_internals.rows_of(iterator, arguments["shuffle"])
    )


def _on_device(rows: Rows) -> Rows:
    # `jnp.asarray` would hold two copies for a moment
    return replace(rows, arrays=jax.tree.map(jax.device_put, rows.arrays))


def _train_by_keras(model: keras.Model, arguments: Mapping[str, Any]) -> Outcome:
    try:
        keras_internals.own_fit(model)(**arguments)
    except KeyboardInterrupt:
        return "interrupted"
    return "stopped" if model.stop_training else "finished"


def result_of(
    model: keras.Model,
    began: float,
    engine: Engine,
    reason: str,
    outcome: Outcome,
    compile_seconds: float,
    warnings: tuple[str, ...],
) -> EngineResult:
    """The result of a training that has just ended, from what Keras's `History` has recorded of it."""
    recorded = model.history
    losses = recorded.history.get("loss", [])
    if outcome in ("finished", "stopped") and losses and not np.all(np.isfinite(losses[-1])):
        outcome = "nonfinite"
    return EngineResult(
        history=recorded.history,
        epoch=recorded.epoch,
        params=recorded.params,
        engine=engine,
        engine_reason=reason,
        outcome=outcome,
        seconds=time.perf_counter() - began,
        compile_seconds=compile_seconds,
        warnings=warnings,
    )
