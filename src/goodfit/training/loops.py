"""The loops over epochs on the host: what is dispatched when, and what callbacks are told."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.training import chunk as chunks
from goodfit.training import keras_internals, metrics, nonfinite, program, spans
from goodfit.training.interrupt import Postponed
from goodfit.training.keras_internals import Rows
from goodfit.training.output import gathered
from goodfit.training.program import State
from goodfit.training.signals import Sampler
from goodfit.values import Outcome

CHUNK_SECONDS = 0.15
"""Seconds that a chunk should take: long against a dispatch, short enough for Ctrl-C and a progress bar."""
_GROWTH = 8
_SHORTEST = 8
"""Epochs below which the last chunks of a training are not made shorter still."""
_WORTH_REPLAYING = 4


@dataclass
class Plan:
    """A training ready to run: model built, data on the device, callbacks in Keras's container.

    Args:
        model: the model to train.
        rows: to train on.
        validation: to validate on, or `None`.
        validation_freq: as in `model.fit`.
        epochs: number of the last epoch.
        initial_epoch: number of the first.
        callbacks: Keras's `CallbackList`.
        longest: epochs per dispatch at most, or `None`.
        compile_seconds: spent on tracing and compiling so far.
        sampler: takes the samples of the signals, or `None`.
    """

    model: keras.Model
    rows: Rows
    validation: Rows | None
    validation_freq: Any
    epochs: int
    initial_epoch: int
    callbacks: Any
    longest: int | None = None
    compile_seconds: float = 0.0
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        listed = self.callbacks.callbacks
        users = [callback for callback in listed if not keras_internals.passive(callback)]
        names = ", ".join(sorted({type(callback).__name__ for callback in users}))
        self.terminators = [callback for callback in users if keras_internals.terminates(callback)]
        known = all(keras_internals.replayable(callback) or callback in self.terminators for callback in users)
        self.engine: Literal["compiled", "compiled-epoch"] = "compiled"
        self.keep_states = bool(users)
        self.splits_validation = self.validation is not None and any(map(keras_internals.watches_validation, users))
        self.tells = any(type(callback) is not keras.callbacks.History for callback in listed)
        self.length = self._chunk_length(self.keep_states)
        self.long = spans.is_long(self.model, self.rows)
        if self.long:
            self.engine, self.keep_states, self.length, self.splits_validation = "compiled-epoch", False, 1, True
            self.reason = "an epoch takes long: it runs in spans of steps, so that the bar moves and Ctrl-C is answered"
        elif not users:
            self.reason = "no callback looks into the training"
        elif known and self.length >= _WORTH_REPLAYING:
            self.reason = f"what {names} does is known, so that it can be told of each epoch afterwards"
        else:
            self.engine, self.keep_states, self.length = "compiled-epoch", False, 1
            self.reason = (
                f"several epochs' states of this model take too much memory to tell {names} of them afterwards"
                if known
                else f"the callback {names} may look into the model after each epoch"
            )

    def _chunk_length(self, keep_states: bool) -> int:
        state_bytes = chunks.state_bytes(self.model) if keep_states else 0
        rows = self.rows.count if self.rows.shuffle else 1
        length = chunks.length_of(rows, self.epochs - self.initial_epoch, state_bytes)
        return length if self.longest is None else min(length, max(1, self.longest))

    def evaluates(self, epoch: int) -> bool:
        """Whether it validates after this epoch."""
        return self.validation is not None and keras_internals.validates(epoch, self.validation_freq)

    def sample(self, state: State, epoch: int, *, end: bool = False) -> None:
        """Take a sample of the signals after `epoch` epochs, where one is due."""
        if self.sampler is not None:
            self.sampler.take(state, epoch, end=end)

    def program(self, rows: Rows | None = None) -> chunks.Program:
        """The compiled program for this plan, or for other rows."""
        rows = rows or self.rows
        validation = None if self.splits_validation else self.validation
        made, new = chunks.get(
            self.model,
            rows.arrays,
            None if validation is None else validation.arrays,
            batch_size=rows.batch_size,
            validation_batch_size=0 if validation is None else validation.batch_size,
            visited=rows.count if rows.shuffle else 0,
            always_validate=self.validation_freq == 1,
            length=self.length,
            keep_states=self.keep_states,
        )
        self.compile_seconds += made.seconds if new else 0.0
        return made

    def validation_program(self) -> chunks.Program:
        """The validation as a program of its own."""
        assert self.validation is not None
        made, new = chunks.get_validation(self.model, self.validation.arrays, self.validation.batch_size)
        self.compile_seconds += made.seconds if new else 0.0
        return made

    def compile(self) -> None:
        """Trace and compile ahead, so that what can't be compiled shows before anything has happened."""
        if self.long:
            self.compile_seconds += spans.compile_ahead(self.model, self.rows)
        else:
            self.program()
        if self.splits_validation and self.validation is not None:
            self.validation_program()


def train(plan: Plan) -> Outcome:
    """Run a plan to its end: the model is trained in place."""
    model, callbacks = plan.model, plan.callbacks
    keras_internals.make_functions(model, plan.validation is not None)
    model.stop_training = False
    callbacks.on_train_begin()
    first = keras_internals.first_epoch(model, plan.initial_epoch)
    loop = _chunks if plan.engine == "compiled" else _epochs
    logs: dict[str, Any] | None = None
    try:
        logs = loop(plan, first)
    except KeyboardInterrupt:
        return "interrupted"
    finally:
        keras_internals.finalize(model, plan.epochs)
        if logs is not None:
            callbacks.on_train_end(logs)
    return "stopped" if model.stop_training else "finished"


@dataclass(frozen=True)
class _Flight:
    """A dispatched chunk whose results may not be there yet."""

    first: int
    count: int
    evaluate: np.ndarray
    random_state: Any
    results: Any
    states: Any


def _chunks(plan: Plan, first: int) -> dict[str, Any]:
    """Many epochs per dispatch. While a chunk runs, the callbacks are told of the one before it.

    Where one of them stops the training or changes a variable, the state and NumPy's random state go back to the end of
    that epoch, and what ran beyond it is dropped.
    """
    model = plan.model
    logs: dict[str, Any] = {}
    epoch, size, seconds = first, 1, 0.0
    state = chunks.own_buffers(program.read_state(model))
    if plan.terminators:  # the first epoch may be taken back
        state = jax.tree.map(lambda value: jnp.array(value, copy=True), state)
    plan.sample(state, epoch)
    flight: _Flight | None = None
    with Postponed() as interrupt:
        try:
            ready = time.perf_counter()
            while True:
                ahead = None
                if epoch < plan.epochs and not (interrupt.requested or model.stop_training):
                    gap = plan.sampler.gap(epoch) if plan.sampler is not None else plan.length
                    state, ahead = _dispatch(plan, state, epoch, min(size, gap, plan.length, _left(plan, epoch)))
                    epoch += ahead.count
                    plan.sample(state, epoch)
                if flight is not None:
                    read = metrics.logs_of(model, flight.results)
                    now = time.perf_counter()
                    seconds, ready = (now - ready) / flight.count, now
                    with gathered():
                        logs, told, back = _tell(plan, flight, read, seconds)
                    if back is not None:
                        state, ahead, epoch = back, None, flight.first + told
                        if plan.sampler is not None:
                            plan.sampler.forget(epoch)
                elif ahead is not None and not seconds:  # the first chunk is timed alone
                    jax.block_until_ready(ahead.results)
                    seconds = (time.perf_counter() - ready) / ahead.count
                elif ahead is None:
                    break
                size = max(1, min(int(CHUNK_SECONDS / seconds), _GROWTH * size))
                flight = ahead
            plan.sample(state, epoch, end=True)
        finally:
            for variables, values in zip(program.variables(model), state, strict=True):
                keras_internals.set_values(variables, values)
    if interrupt.requested and epoch < plan.epochs:
        raise KeyboardInterrupt
    return logs


def _left(plan: Plan, epoch: int) -> int:
    """Epochs that the next chunk may hold at most, towards the end of the training.

    The callbacks are told of a chunk while the next one runs, and of the last one when nothing runs any more. So where
    there is something to tell, the chunks get shorter towards the end.
    """
    left = plan.epochs - epoch
    return left if not plan.tells or left <= _SHORTEST else max(_SHORTEST, left // 2)


def _dispatch(plan: Plan, state: State, epoch: int, count: int) -> tuple[State, _Flight]:
    """Begin a chunk of `count` epochs; its results are futures."""
    random_state = np.random.get_state()
    orders = chunks.orders_of(plan.rows, count, plan.length)
    evaluate = np.zeros(plan.length, np.bool_)
    evaluate[:count] = [plan.evaluates(epoch + place) for place in range(count)]
    validation = None if plan.validation is None or plan.splits_validation else plan.validation.arrays
    state, results, states = plan.program().run(state, plan.rows.arrays, validation, orders, evaluate, count)
    return state, _Flight(epoch, count, evaluate, random_state, results, states)


def _tell(plan: Plan, flight: _Flight, read: metrics.Read, seconds: float) -> tuple[dict[str, Any], int, State | None]:
    """Tell the callbacks of each epoch of a chunk: the last logs, the epochs told, a state to go back to if any."""
    model, callbacks = plan.model, plan.callbacks
    logs: dict[str, Any] = {}
    if not plan.keep_states:
        for place in range(flight.count):
            _tell_epoch(callbacks, flight.first + place, logs := read(place, flight.evaluate[place]), seconds)
        return logs, flight.count, None
    groups = program.variables(model)
    states = jax.device_get(flight.states)
    with keras_internals.compared_on_host(callbacks.callbacks):
        for place in range(flight.count):
            epoch = flight.first + place
            before = program.read_state(model) if plan.terminators else None
            given = [[values[place] for values in group] for group in states]
            for variables, values in zip(groups, given, strict=True):
                keras_internals.set_values(variables, values)
            logs = read(place, flight.evaluate[place])
            callbacks.on_epoch_begin(epoch)
            keras_internals.started(callbacks, seconds)
            if before is not None and not np.isfinite(logs["loss"]):
                logs = _terminate(plan, epoch, plan.rows, _draw_again(plan, flight, place), before, logs)
            callbacks.on_epoch_end(epoch, logs)
            now = [keras_internals.get_values(variables) for variables in groups]
            if model.stop_training or not all(map(_same, now, given)):
                _draw_again(plan, flight, place)
                trainable, non_trainable, optimizer, tracked = ([jnp.array(v, copy=True) for v in g] for g in now)
                return logs, place + 1, (trainable, non_trainable, optimizer, tracked)
    return logs, flight.count, None


def _draw_again(plan: Plan, flight: _Flight, place: int) -> np.ndarray | None:
    """Set NumPy's random state to what it was when this epoch of a chunk had drawn its order; that order."""
    if not plan.rows.shuffle:
        return None
    np.random.set_state(flight.random_state)
    return [plan.rows.order() for _ in range(place + 1)][-1]


def _terminate(
    plan: Plan, epoch: int, rows: Rows, order: np.ndarray | None, before: State, logs: dict[str, Any]
) -> dict[str, Any]:
    """Take the model back to the first step after which the loss is not finite, and tell who ends it; the logs."""
    model = plan.model
    step, state = nonfinite.first_step(model, rows, order, before)
    if state is not None:
        for variables, values in zip(program.variables(model), state, strict=True):
            keras_internals.set_values(variables, values)
        logs = model.get_metrics_result()
    for callback in plan.terminators:
        callback.on_train_batch_end(step, keras_internals.plain_logs(logs))
    if state is not None and plan.evaluates(epoch) and not plan.splits_validation:
        logs = {**logs, **_validate_one(plan)}
    return logs


def _same(one: list[Any], other: list[Any]) -> bool:
    return all(a is b for a, b in zip(one, other, strict=True))


def _tell_epoch(callbacks: Any, epoch: int, logs: dict[str, Any], seconds: float) -> None:
    callbacks.on_epoch_begin(epoch)
    keras_internals.started(callbacks, seconds)
    callbacks.on_epoch_end(epoch, logs)


def _epochs(plan: Plan, first: int) -> dict[str, Any]:
    """One epoch per dispatch, with the model in the state that each callback expects."""
    model, callbacks = plan.model, plan.callbacks
    model.reset_metrics()
    reset = program.read_state(model)[3]
    own_reset = keras_internals.has_own_reset(model)
    logs: dict[str, Any] = {}
    plan.sample(program.read_state(model), first)
    with Postponed() as interrupt:
        for epoch in range(first, plan.epochs):
            if interrupt.requested:
                raise KeyboardInterrupt
            if own_reset:
                model.reset_metrics()
            else:
                keras_internals.set_values(model.metrics_variables, reset)
            callbacks.on_epoch_begin(epoch)
            rows = _first_batch(plan.rows) if model.stop_training else plan.rows
            orders = chunks.orders_of(rows, 1, 1)
            before = jax.tree.map(jnp.copy, program.read_state(model)) if plan.terminators else None
            if plan.long:
                order = orders[0] if rows.shuffle else None
                logs = spans.train(model, rows, order, callbacks, interrupt)
            else:
                logs = _train_one(plan, rows, orders, plan.evaluates(epoch))
            if before is not None and not np.isfinite(logs["loss"]):
                logs = _terminate(plan, epoch, rows, orders[0] if rows.shuffle else None, before, logs)
            if plan.splits_validation and plan.evaluates(epoch):
                callbacks.on_test_begin()
                validated = _validate_one(plan)
                tested = {name.removeprefix("val_"): value for name, value in validated.items()}
                callbacks.on_test_end(keras_internals.plain_logs(tested))
                logs.update(keras_internals.plain_logs(validated))
            callbacks.on_epoch_end(epoch, logs)
            plan.sample(program.read_state(model), epoch + 1, end=model.stop_training)
            if model.stop_training:
                break
    return logs


def _train_one(plan: Plan, rows: Rows, orders: np.ndarray, evaluate: bool) -> dict[str, Any]:
    """Train the model for one epoch, in place; its logs."""
    model = plan.model
    validation = None if plan.validation is None or plan.splits_validation else plan.validation.arrays
    state, results, _ = plan.program(rows).run(
        chunks.own_buffers(program.read_state(model)), rows.arrays, validation, orders, np.array([evaluate]), 1
    )
    for variables, values in zip(program.variables(model), state, strict=True):
        keras_internals.set_values(variables, values)
    return metrics.logs_of(model, results)(0, evaluate and validation is not None)


def _validate_one(plan: Plan) -> dict[str, Any]:
    """Validate the model as it stands; its logs."""
    model = plan.model
    assert plan.validation is not None
    state, logs = plan.validation_program().run(program.read_state(model), plan.validation.arrays)
    for variables, values in zip(program.variables(model), state, strict=True):
        keras_internals.set_values(variables, values)
    exact = metrics.exact_inside(model)
    return jax.device_get(logs) if exact else {f"val_{n}": v for n, v in model.get_metrics_result().items()}


def _first_batch(rows: Rows) -> Rows:
    """The rows of the next epoch's first batch only: Keras stops after it where a callback asked to stop before."""
    count = min(rows.batch_size, rows.count)
    if not rows.shuffle:
        place = np.arange(count)
    elif rows.shuffle == "batch":
        place = np.random.permutation(count)
    else:
        place = rows.order()[:count]
    return Rows(jax.tree.map(lambda a: a[place], rows.arrays), count, count, False)
