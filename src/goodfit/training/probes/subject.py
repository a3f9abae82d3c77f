"""`Subject`: the model and the rows that probes measure on, and states of it to try things with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import engine, keras_internals, own_classes, program, recipes, seeds
from goodfit.training.interrupt import Postponed
from goodfit.training.probes.steps import Steps
from goodfit.training.program import State

EVALUATED_ROWS = (5_000, 1_250, 256)
"""Rows that a loss is measured on at most, drawn at random: the most of these that take `EVALUATED_SECONDS`. Of 5,000
rows the mean's standard error is 1.4 % of their spread, of 256 it is 6 %."""
EVALUATED_SECONDS = 0.3


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured. It is never changed: probes train copies of its state.

    Args:
        model: compiled and built.
        data: the training rows as `train_step` takes them, NumPy arrays, rows first.
        validation: the validation rows likewise, or `None`.
        batch_size: rows per step.
        epochs: that the run trained for; 0 where unknown.
        seed: of the draws of rows.
        interrupt: a Ctrl-C that waits for the end of a dispatch.
    """

    model: keras.Model
    data: Any
    validation: Any
    batch_size: int
    epochs: int = 0
    seed: int = 0
    interrupt: Postponed | None = None

    @property
    def rows(self) -> int:
        """Training rows."""
        return len(jax.tree.leaves(self.data)[0])

    @cached_property
    def steps(self) -> Steps:
        """The model's steps, compiled once for all probes."""
        return Steps(self.model, min(self.batch_size, self.rows), self.interrupt)

    @cached_property
    def state(self) -> State:
        """A copy of the model's state as it stands."""
        return jax.tree.map(lambda value: jnp.array(value, copy=True), program.read_state(self.model))

    @cached_property
    def finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(jnp.isfinite(value).all()) for value in self.state[0])

    def fresh(self, seed: int) -> State:
        """A state drawn afresh by the model's initializers, its optimizer as new.

        Raises:
            InputError: the model can't be rebuilt from its configuration.
        """
        return seeds.fresh_state(self.model, self.state, seed)

    def order(self, epochs: int, draw: int | tuple[int, ...] = 0) -> np.ndarray:
        """The row orders of some epochs, one after the other; each without what does not fill a batch."""
        random = np.random.default_rng([self.seed, *(draw if isinstance(draw, tuple) else (draw,))])
        whole = self.rows - self.rows % self.steps.batch_size
        return np.concatenate([random.permutation(self.rows)[:whole] for _ in range(epochs)])

    @cached_property
    def evaluated_rows(self) -> int:
        """How many rows a loss is measured on at most: this model's speed decides."""
        few = _some(self.data, self.seed, EVALUATED_ROWS[-1])
        self.steps.losses(self.state, few)  # compiles
        began = time.perf_counter()
        self.steps.losses(self.state, few)
        each = (time.perf_counter() - began) / len(jax.tree.leaves(few)[0])
        return next((rows for rows in EVALUATED_ROWS if rows * each <= EVALUATED_SECONDS), EVALUATED_ROWS[-1])

    @cached_property
    def evaluated(self) -> Any:
        """The training rows that losses are measured on."""
        return _some(self.data, self.seed, self.evaluated_rows)

    @cached_property
    def evaluated_validation(self) -> Any:
        """The validation rows that losses are measured on, or `None`."""
        return None if self.validation is None else _some(self.validation, self.seed, self.evaluated_rows)

    @cached_property
    def row_losses(self) -> np.ndarray:
        """The training rows' losses at the weights as they stand, in inference mode."""
        return self.steps.losses(self.state, self.evaluated)

    @cached_property
    def validation_row_losses(self) -> np.ndarray | None:
        """The validation rows' losses likewise."""
        return None if self.validation is None else self.steps.losses(self.state, self.evaluated_validation)


def take(data: Any, index: np.ndarray) -> Any:
    """Some rows of a tree of arrays."""
    return jax.tree.map(lambda leaf: leaf[index], data)


def _some(data: Any, seed: int, most: int) -> Any:
    count = len(jax.tree.leaves(data)[0])
    if count <= most:
        return data
    return take(data, np.sort(np.random.default_rng(seed).permutation(count)[:most]))


def subject_of(
    model: keras.Model, arguments: Mapping[str, Any], epochs: int = 0, interrupt: Postponed | None = None
) -> Subject:
    """A model and its rows, ready for probes.

    Args:
        model: compiled. One that was never trained or built is measured on a copy built for the rows.
        arguments: of `model.fit` by name, as far as they say which rows: `x`, `y`, `sample_weight`, `class_weight`,
            `validation_data`, `validation_split`, `batch_size`, `validation_batch_size`.
        epochs: that it was trained for.
        interrupt: a Ctrl-C that waits for the end of a dispatch.

    Raises:
        InputError: not a compiled Keras model on JAX, or rows that are not arrays.
    """
    refuse(model)
    names = ("x", "y", "sample_weight", "class_weight", "validation_data", "batch_size", "validation_batch_size")
    given = {name: arguments.get(name) for name in names}
    given |= {"shuffle": False, "validation_split": arguments.get("validation_split") or 0.0}
    problem = keras_internals.array_problem(given["x"], given["y"], given["sample_weight"])
    if problem or given["x"] is None:
        raise InputError(
            f"the model can't be probed: {problem or 'there are no rows'}.", "Give x and y as arrays, or leave out "
            "probe=True.",
        )  # fmt: skip
    if not keras_internals.built(model) or not model.optimizer.built:
        model = _copy(model)
    rows, validation = engine.prepare_rows(model, given)
    data = jax.tree.map(np.asarray, rows.arrays)
    held_out = None if validation is None else jax.tree.map(np.asarray, validation.arrays)
    return Subject(model, data, held_out, rows.batch_size, epochs, interrupt=interrupt)


def _copy(model: keras.Model) -> keras.Model:
    """A copy that may be built, with the model's weights where it has some."""
    try:
        config, known = recipes.serialize(model), own_classes.known_to(model)
        twin: Any = keras.saving.deserialize_keras_object(config, custom_objects=known)
        compile_as(twin, model)
    except Exception as problem:
        raise InputError(
            f"the model {model.name!r} was never trained and can't be copied ({type(problem).__name__}).",
            "Train it for an epoch first.",
        ) from problem
    if model.built and [v.shape for v in twin.weights] == [v.shape for v in model.weights]:
        twin.set_weights(model.get_weights())
        keras_internals.settle(twin)
    return twin


def compile_as(twin: keras.Model, model: keras.Model) -> None:
    """Compile a model with another's loss and an optimizer like its own, as new; without metrics."""
    given: Any = model.get_compile_config() or {}
    optimizer: Any = type(model.optimizer).from_config(model.optimizer.get_config())
    twin.compile(optimizer, model.loss, loss_weights=given.get("loss_weights"))


def refuse(model: keras.Model) -> None:
    """Raise `InputError` where a model can't be probed at all."""
    if not isinstance(model, keras.Model):
        raise InputError(f"probes need a Keras model, not {type(model).__name__}.", "Give the compiled model.")
    reason = keras_internals.unsupported(model)
    if reason:
        raise InputError(f"the model can't be probed: {reason}.", "Diagnose without probe=True.")
