"""`fit` on rows that memory need not hold: compiled blocks of steps; the next block is read while one trains."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import chunk as chunks
from goodfit.training import engine, keras_internals, preflight, preflight_setup, program
from goodfit.training.blocks import Block, Held, Streamed, parts_of
from goodfit.training.engine import EngineResult
from goodfit.training.interrupt import Postponed
from goodfit.training.parquet import ParquetRows
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.spans import SHOWN_EVERY, bar_of, logs_after
from goodfit.values import Outcome


@dataclass
class _Plan:
    """A training ready to run: model built, callbacks in Keras's container."""

    model: keras.Model
    training: Streamed
    validation: Streamed | Held | None
    validation_freq: Any
    epochs: int
    initial_epoch: int
    callbacks: Any
    compile_seconds: float = 0.0

    def program(self, kind: Literal["train", "test"], block: Block) -> Any:
        """The compiled steps of a block: `(weights, tracked, data, steps)` -> `(logs, weights, tracked)`."""
        made, new = chunks.cached(
            self.model, block.data, ("block", kind, block.size), lambda: _compile(self.model, kind, block)
        )
        self.compile_seconds += made.seconds if new else 0.0
        return made.run

    def compile(self) -> None:
        """Trace and compile ahead, so that what can't be compiled shows before anything has happened."""
        for block in self.training.shapes():
            self.program("train", block)
        for block in self.validation.shapes() if self.validation is not None else ():
            self.program("test", block)


def _compile(model: keras.Model, kind: Literal["train", "test"], block: Block) -> Any:
    steps = program.train_steps if kind == "train" else program.validation_steps

    def run(weights: Any, tracked: Any, data: Any, count: Any) -> tuple[Any, Any, Any]:
        logs, state = steps(model, (*weights, tracked), data, block.size, count)
        return logs, state[:3], state[3]

    state = program.read_state(model)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    lowered = jax.jit(run, donate_argnums=0, keep_unused=True).lower(state[:3], state[3], block.data, count)
    with persistent_cache():
        return lowered.compile()


def fit(model: keras.Model, arguments: Mapping[str, Any], checks: Literal["on", "off"] = "on") -> EngineResult:
    """Train a compiled Keras model in place on `ParquetRows`, as `model.fit` would on the same rows in memory.

    With `shuffle=False` history, weights and optimizer state are those of `model.fit` on the rows in memory. The rows
    are trained on in compiled blocks of steps; the metrics go on from block to block, the last, smaller batch of an
    epoch has its real shape, and callbacks are told of each epoch. A Ctrl-C is answered after the block in training.

    Args:
        model: a compiled Keras model that takes one array of inputs.
        arguments: of `model.fit`, by name; `x` is the rows, `validation_data` arrays or other `ParquetRows`.
        checks: `"off"` leaves out the pre-flight, which looks at the model, the validation arrays and the first rows.

    Returns:
        The history, and how the training ran and ended.

    Raises:
        InputError: where the arguments or the pre-flight say that the training can't be meant, or where a value in the
            files is empty or not a number. Where this is found in the middle of an epoch, the model has the weights of
            the last block before it.
    """
    began = time.perf_counter()
    _check_arguments(arguments)
    rows: ParquetRows = arguments["x"]
    batch_size = 32 if arguments["batch_size"] is None else int(arguments["batch_size"])
    x, y = _first_rows(rows)
    found: tuple[str, ...] = ()
    if checks == "on":
        found = preflight.check(model, x, y, validation_data=_arrays(arguments["validation_data"]))
        found += preflight_setup.check_setup(
            model,
            rows=rows.count,
            batch_size=batch_size,
            epochs=arguments["epochs"] - arguments["initial_epoch"],
            callbacks=bool(arguments["callbacks"]),
        )
        preflight.tell(found)
    reason = keras_internals.unsupported(model) or _batch_level(arguments["callbacks"])
    if not reason:
        keras_internals.build_for(model, (x[:batch_size], y[:batch_size]))
    training = Streamed(rows, batch_size, _seed(rows) if arguments["shuffle"] else None)
    if not reason:
        plan = _prepare(model, training, arguments)
        if isinstance(plan, _Plan):
            outcome = _train(plan)
            steps = training.parts[0][2]
            reason = f"blocks of {steps} step{'s' * (steps != 1)}; the next is read while one trains"
            return engine.result_of(model, began, "compiled", reason, outcome, plan.compile_seconds, found)
        reason = plan
    outcome = _train_by_keras(model, training, arguments)
    return engine.result_of(model, began, "keras", reason, outcome, 0.0, found)


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    if not isinstance(arguments["x"], ParquetRows):
        raise InputError(
            "validation_data is ParquetRows, but x is not.",
            "Give x as ParquetRows too, or the validation rows as arrays.",
        )
    for name, remedy in (
        ("y", "It is the target of the ParquetRows."),
        ("validation_split", "Give validation_data: arrays, or ParquetRows of other files."),
        ("sample_weight", "Leave it out."),
        ("class_weight", "Leave it out."),
        ("steps_per_epoch", "Leave it out: an epoch takes every row once."),
        ("validation_steps", "Leave it out: the validation takes every row once."),
    ):
        if arguments[name] is not None and not (name == "validation_split" and arguments[name] == 0):
            raise InputError(f"{name} is given, but x is ParquetRows.", remedy)
    if not isinstance(arguments["shuffle"], (bool, np.bool_)):
        raise InputError(f"shuffle is {arguments['shuffle']!r}, but x is ParquetRows.", "Give True or False.")
    for name in ("batch_size", "validation_batch_size"):
        if arguments[name] is not None and arguments[name] < 1:
            raise InputError(f"{name} is {arguments[name]}.", "Give how many rows a step takes, 1 or more.")
    validation = arguments["validation_data"]
    if isinstance(validation, ParquetRows):
        rows = arguments["x"]
        if (validation.inputs, validation.target) != (rows.inputs, rows.target):
            raise InputError(
                f"validation_data reads the columns {', '.join(validation.columns)}, x {', '.join(rows.columns)}.",
                "Give both the same inputs and target.",
            )


def _first_rows(rows: ParquetRows) -> tuple[np.ndarray, np.ndarray]:
    reading = rows.tables()
    table = next(reading)
    reading.close()
    return table[:, : len(rows.inputs)], table[:, len(rows.inputs) :]


def _arrays(validation_data: Any) -> Any:
    return None if isinstance(validation_data, ParquetRows) else validation_data


def _batch_level(callbacks: Any) -> str:
    for callback in keras_internals.listed(callbacks):
        if method := keras_internals.batch_level(callback):
            return f"the callback {type(callback).__name__} sees every batch ({method})"
    return ""


def _seed(rows: ParquetRows) -> int:
    return int(np.random.randint(2**31)) if rows.seed is None else rows.seed


def _prepare(model: keras.Model, training: Streamed, arguments: Mapping[str, Any]) -> _Plan | str:
    """All that is done before the first epoch, and the compiled programs; or why Keras's own loop must train."""
    given = arguments["validation_data"]
    validation: Streamed | Held | None = None
    try:
        if isinstance(given, ParquetRows):
            validation = Streamed(given, arguments["validation_batch_size"] or training.batch_size)
        elif given is not None:
            arguments = {**arguments, "batch_size": training.batch_size}
            validation = Held.of(engine.validation_rows(model, given, arguments))
        steps = -(-training.rows.count // training.batch_size)
        plan = _Plan(
            model=model,
            training=training,
            validation=validation,
            validation_freq=arguments["validation_freq"],
            epochs=arguments["epochs"],
            initial_epoch=arguments["initial_epoch"],
            callbacks=keras_internals.callback_list(
                model, arguments["callbacks"], arguments["verbose"], arguments["epochs"], steps
            ),
        )
        keras_internals.validates(0, plan.validation_freq)
        plan.compile()
    except Exception as problem:
        return f"the training could not be compiled: {type(problem).__name__}: {str(problem).splitlines()[0][:200]}"
    return plan


def _train(plan: _Plan) -> Outcome:
    model, callbacks = plan.model, plan.callbacks
    keras_internals.make_functions(model, plan.validation is not None)
    model.stop_training = False
    callbacks.on_train_begin()
    epochs = range(keras_internals.first_epoch(model, plan.initial_epoch), plan.epochs)
    logs: dict[str, Any] | None = None
    try:
        with plan.training.reading(epochs) as blocks:
            told: dict[str, Any] = {}
            for epoch in epochs:
                told = _epoch(plan, epoch, blocks)
                if model.stop_training:
                    break
        logs = told
    except KeyboardInterrupt:
        return "interrupted"
    finally:
        keras_internals.finalize(model, plan.epochs)
        if logs is not None:
            callbacks.on_train_end(logs)
    return "stopped" if model.stop_training else "finished"


def _epoch(plan: _Plan, epoch: int, blocks: Iterator[Block]) -> dict[str, Any]:
    """One epoch and its validation, as callbacks see them; the logs."""
    model, callbacks = plan.model, plan.callbacks
    model.reset_metrics()
    callbacks.on_epoch_begin(epoch)
    of_epoch = itertools.islice(blocks, len(plan.training.parts))
    logs = _steps(plan, "train", of_epoch)
    if plan.validation is not None and keras_internals.validates(epoch, plan.validation_freq):
        model.reset_metrics()
        callbacks.on_test_begin()
        with plan.validation.reading() as held:
            tested = _steps(plan, "test", held)
        callbacks.on_test_end(tested)
        logs.update({f"val_{name}": value for name, value in tested.items()})
    callbacks.on_epoch_end(epoch, logs)
    if not model.stop_training:
        deque(of_epoch, maxlen=0)  # nothing, unless a callback asked to stop before the epoch and then thought better
    return logs


def _steps(plan: _Plan, kind: Literal["train", "test"], blocks: Iterator[Block]) -> dict[str, Any]:
    """Train or evaluate on blocks, one after the other; the model always has the state after the last one dispatched.

    While one runs, the next is dispatched, and no more: this bounds the memory.
    """
    model = plan.model
    groups = program.variables(model)
    bar = bar_of(plan.callbacks) if kind == "train" else None
    shown, step = time.perf_counter(), 0
    state = chunks.own_buffers(program.read_state(model))
    before: tuple[int, Any, Any] | None = None
    with Postponed() as interrupt:
        for block in blocks:
            only_first = kind == "train" and model.stop_training  # as Keras, where a callback asked before the epoch
            steps = 1 if only_first else block.steps
            run = plan.program(kind, block)
            logs, weights, tracked = run(state[:3], state[3], block.data, np.int32(steps))
            state = (*weights, tracked)
            for variables, values in zip(groups, state, strict=True):
                keras_internals.set_values(variables, values)
            if before is not None:
                jax.block_until_ready(before)
                if bar is not None and time.perf_counter() - shown > SHOWN_EVERY:
                    bar.on_train_batch_end(before[0] - 1, logs_after(model, *before[1:]))
                    shown = time.perf_counter()
            step += steps
            before = (step, tracked, logs)
            if only_first or interrupt.requested:
                break
        assert before is not None  # there is at least one row
        read = logs_after(model, *before[1:])
    if interrupt.requested:
        raise KeyboardInterrupt
    return read


class _Batches(keras.utils.PyDataset):
    """The same batches one by one, for Keras's own loop, which asks for them in order."""

    def __init__(self, streamed: Streamed) -> None:
        super().__init__()
        self._streamed = streamed
        self.epoch = 0
        self._reading: Iterator[tuple[np.ndarray, np.ndarray, int, int]] = iter(())

    def __len__(self) -> int:
        return -(-self._streamed.rows.count // self._streamed.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == 0:
            parts = parts_of(self._streamed.rows.count, self._streamed.batch_size, self._streamed.batch_size)
            self._reading = self._streamed.arrays(self.epoch, parts)
        x, y, _, _ = next(self._reading)
        return x, y


def _train_by_keras(model: keras.Model, training: Streamed, arguments: Mapping[str, Any]) -> Outcome:
    given = arguments["validation_data"]
    batches = _Batches(training)
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: setattr(batches, "epoch", epoch))
    callbacks = arguments["callbacks"]
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.callbacks.append(count)
    else:
        callbacks = [*keras_internals.listed(callbacks), count]
    arguments = {**arguments, "x": batches, "callbacks": callbacks, "shuffle": False, "batch_size": None}
    if isinstance(given, ParquetRows):
        validation = Streamed(given, arguments["validation_batch_size"] or training.batch_size)
        arguments |= {"validation_data": _Batches(validation), "validation_batch_size": None}
    else:
        arguments["validation_batch_size"] = arguments["validation_batch_size"] or training.batch_size
    try:
        keras_internals.own_fit(model)(**arguments)
    except KeyboardInterrupt:
        return "interrupted"
    return "stopped" if model.stop_training else "finished"
