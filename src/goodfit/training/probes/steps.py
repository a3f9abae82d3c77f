"""`Steps`: a model's training and evaluation as compiled steps on a state of its own, which a clock can cut short."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.training import program
from goodfit.training.interrupt import Postponed
from goodfit.training.program import State

BLOCK_BYTES = 8 << 20
"""Bytes of rows in one dispatch, about."""
BLOCK_STEPS = 64
"""Steps in one dispatch at most."""
BLOCK_SECONDS = 0.25
"""Seconds of one dispatch, about: between dispatches the clock is read and Ctrl-C is answered."""
BLOCK_ROWS = 256
"""Rows in one dispatch of an evaluation."""


@dataclass
class Clock:
    """Seconds that a probe may take, counted from its first question.

    Args:
        seconds: in all.
    """

    seconds: float
    _end: float = field(default=0.0, repr=False)

    @property
    def over(self) -> bool:
        """Whether they are spent."""
        now = time.perf_counter()
        if not self._end:
            self._end = now + self.seconds
        return now > self._end


class Steps:
    """Training and evaluation of a model as functions of a state; the model itself is not changed.

    Args:
        model: compiled and built.
        batch_size: rows per training step.
        interrupt: a Ctrl-C that waits for the end of a dispatch.

    Raises:
        KeyboardInterrupt: between two dispatches, where a Ctrl-C has arrived.
    """

    def __init__(self, model: keras.Model, batch_size: int, interrupt: Postponed | None = None) -> None:
        self.model, self.batch_size, self.interrupt = model, batch_size, interrupt
        self._train = jax.jit(self._train_block)
        self._held = jax.jit(self._held_block)
        self._rows = jax.jit(self._row_losses)
        self._pace = 0  # steps per dispatch; 0 until one was timed

    def train(
        self, state: State, data: Any, order: np.ndarray, *, rate: float = 1.0, clock: Clock | None = None
    ) -> tuple[State, int]:
        """Train in steps of full batches.

        Args:
            state: where to start; it is left as it is.
            data: what `train_step` takes, as NumPy arrays, rows first.
            order: shape (rows,): the rows to visit, in that order; what does not fill a batch at the end is left out.
            rate: the learning rate is multiplied by this, whether it is a number or follows a schedule.
            clock: ends the training when it is over.

        Returns:
            The state afterwards, and the steps that were made.
        """
        done, carry, batches = 0, (state, jnp.float32(rate)), len(order) // self.batch_size
        if not self._pace and batches:  # compiled by itself, so that the clock counts none of it
            jax.block_until_ready(self._train(carry, self._block(data, order, 0, 1), np.int32(1)))
            self._pace = 1
        while done < batches and not (clock is not None and clock.over):
            self._answer()
            began = time.perf_counter()
            count = min(self._pace, self._most(data), batches - done)
            carry = jax.block_until_ready(self._train(carry, self._block(data, order, done, count), np.int32(count)))
            done += count
            swift = int(BLOCK_SECONDS * count / (time.perf_counter() - began))
            self._pace = int(np.clip(swift, 1, 8 * self._pace))
        return carry[0], done

    def loss_in_training(self, state: State, data: Any, order: np.ndarray, seconds: float) -> float:
        """The mean loss over rows in training mode, with dropout and statistics of batches, at weights that stay.

        Args:
            state: of the weights.
            data: as for `train`.
            order: likewise.
            seconds: after which the rows that are left are left out.
        """
        total, done, batches, clock = 0.0, 0, len(order) // self.batch_size, Clock(seconds)
        while done < batches and not (done and clock.over):
            self._answer()
            count = min(max(self._pace, 1), self._most(data), batches - done)
            losses, state = self._held(state, self._block(data, order, done, count), np.int32(count))
            total, done = total + float(losses), done + count
        return total / done - self.penalty(state) if done else float("nan")

    def losses(self, state: State, data: Any) -> np.ndarray:
        """The loss of each row in inference mode, without weight penalties, shape (rows,).

        Args:
            state: of the weights.
            data: what `test_step` takes, as NumPy arrays, rows first.
        """
        count = len(jax.tree.leaves(data)[0])
        size = min(BLOCK_ROWS, count)
        parts = []
        for start in range(0, count, size):
            self._answer()
            place = np.minimum(np.arange(start, start + size), count - 1)
            block = jax.tree.map(lambda a, place=place: a[place], data)
            parts.append(np.asarray(self._rows(state, block), dtype=np.float64)[: count - start])
        return np.concatenate(parts) - self.penalty(state)

    def loss(self, state: State, data: Any) -> float:
        """The mean of `losses`."""
        return float(self.losses(state, data).mean())

    def penalty(self, state: State) -> float:
        """The weights' penalties (L1, L2), which Keras adds to the training and the validation loss alike."""
        pairs = zip(self.model.trainable_variables, state[0], strict=True)
        return float(sum((float(v.regularizer(value)) for v, value in pairs if v.regularizer is not None), 0.0))

    def _answer(self) -> None:
        if self.interrupt is not None and self.interrupt.requested:
            raise KeyboardInterrupt

    def _most(self, data: Any) -> int:
        """Steps whose rows one dispatch may hold."""
        row = sum(leaf.nbytes // max(len(leaf), 1) for leaf in jax.tree.leaves(data))
        return int(np.clip(BLOCK_BYTES // max(row * self.batch_size, 1), 1, BLOCK_STEPS))

    def _block(self, data: Any, order: np.ndarray, first: int, count: int) -> Any:
        """The rows of `count` steps from step `first` on, filled up to one shape."""
        size = self.batch_size
        place = np.zeros(self._most(data) * size, dtype=np.int64)
        place[: count * size] = order[first * size : (first + count) * size]
        return jax.tree.map(lambda leaf: leaf[place], data)

    def _train_block(self, carry: tuple[State, Any], data: Any, count: Any) -> tuple[State, Any]:
        def step(carry: tuple[State, Any], batch: Any) -> Any:
            state, rate = carry
            with self._multiplied(rate):
                logs, new = self.model.train_step(state, batch)
            return logs, (new, rate)

        return program.repeat_step(step, carry, data, self.batch_size, count)[1]

    def _held_block(self, state: State, data: Any, count: Any) -> tuple[Any, State]:
        """The sum of the steps' losses; the random streams go on, the weights and the optimizer stay."""

        def step(carry: tuple[State, Any], batch: Any) -> Any:
            state, total = carry
            logs, new = self.model.train_step(program.reset_metrics(self.model, state), batch)
            return logs, ((state[0], self._streams(state[1], new[1]), state[2], state[3]), total + logs["loss"])

        _, (state, total) = program.repeat_step(step, (state, jnp.float32(0)), data, self.batch_size, count)
        return total, state

    def _streams(self, before: Any, after: Any) -> list[Any]:
        """The non-trainable values before a step, but the random streams (no weights of the model) after it."""
        weights = {id(v) for v in self.model.weights}
        variables = self.model.non_trainable_variables
        return [b if id(v) in weights else a for v, b, a in zip(variables, before, after, strict=True)]

    def _row_losses(self, state: State, data: Any) -> Any:
        trainable, non_trainable, _, metrics = program.reset_metrics(self.model, state)

        def one(row: Any) -> Any:
            batch = jax.tree.map(lambda a: a[None], row)
            return self.model.test_step((trainable, non_trainable, metrics), batch)[0]["loss"]

        return jax.vmap(one)(data)

    @contextmanager
    def _multiplied(self, rate: Any) -> Iterator[None]:
        """While a step is traced, the optimizer's learning rate is multiplied."""
        held = vars(self._optimizer)
        before = held["_learning_rate"]
        held["_learning_rate"] = lambda: (
            (
                before(self._optimizer.iterations)
                if self._scheduled(before)
                else before()
                if callable(before)
                else before
            )
            * rate
        )
        try:
            yield
        finally:
            held["_learning_rate"] = before

    @staticmethod
    def _scheduled(rate: Any) -> bool:
        return isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)

    @cached_property
    def _optimizer(self) -> Any:
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
