"""Signals: what each layer's gradients, weights, updates and activations are like, sampled a few times per training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax

from goodfit.training import chunk, program, taps
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.program import State

NAMES = (
    "grad_rms",
    "grad_norm",
    "weight_rms",
    "update_ratio",
    "activation_mean",
    "activation_var",
    "activation_grad_var",
    "unit_spread",
    "dead_fraction",
    "saturated_fraction",
)
"""The signals of a `Run`, each of shape (seeds, samples, layers). NaN where a layer has none of it.

- `grad_rms`, `grad_norm`: root mean square and Euclidean norm of the gradient of the training loss (penalties included)
  with respect to the layer's kernels.
- `weight_rms`: root mean square of the kernels.
- `update_ratio`: ‖Δw‖/‖w‖ of the kernels in one step of the optimizer, as it stands, along that gradient.
- `activation_mean`, `activation_var`: over all rows and units of what the layer gives.
- `activation_grad_var`: variance over all rows and units of the gradient of one row's loss with respect to what the
  layer gives (Glorot and Bengio 2010, equation 6 and figure 7, there with respect to what goes into the nonlinearity).
- `unit_spread`: the share of the variance of what the layer gives that lies between its units, not its rows: 0 where
  all units give the same.
- `dead_fraction`, `saturated_fraction`: see `goodfit.training.taps`; no saturation of the model's outputs, where it is
  confidence.
"""
SAMPLES = 25
"""Samples of a training where no number is asked for."""
SHARE = 0.008
"""Rows measured over rows trained on, at most, where goodfit chooses. In small networks a row measured costs some six
times one trained on: the chunk of epochs is cut there, and statistics are many small operations."""
FEWEST = 3
"""Samples below which goodfit leaves them out: a start, an end and one between."""
STEPS = 2_000
"""Steps of a training below which goodfit leaves them out: tracing and compiling would be what takes the time."""
ROWS = 256
"""Rows that signals are measured on, at most."""
ELEMENTS = 1 << 20
"""Numbers in the inputs of these rows, at most (never fewer rows than a batch, which the memory must hold anyhow)."""


class Probe:
    """Measures the signals of a model on fixed rows: one compiled function of the model's state.

    Forward and backward pass run in training mode, as in a training step, on rows of the training data that are drawn
    once by a generator of their own; nothing of the model or of any random state is changed.

    Args:
        model: compiled and built.
        arrays: what `train_step` takes, rows first.
        batch_size: rows per training step.

    Raises:
        ValueError: no signals can be measured of this model; the message says why.
    """

    def __init__(self, model: keras.Model, arrays: Any, batch_size: int) -> None:
        self.rows = _drawn(arrays, batch_size)
        made, new = chunk.cached(model, self.rows, ("signals",), lambda: _Measure(model, self.rows))
        self._measure: Any = made.run
        self.seconds = made.seconds if new else 0.0
        """Spent on tracing and compiling; 0 where the function was at hand."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The path of each layer, in the order in which they are called."""
        return self._measure.layers

    @property
    def weights(self) -> int:
        """How many trainable variables its states have."""
        return self._measure.weights

    @property
    def row_count(self) -> int:
        """Rows that are measured on."""
        return _count(self.rows)

    def __call__(self, state: State) -> jax.Array:
        """The signals of a state, shape (names, layers); it may not be there yet when this returns."""
        return self._measure(state, self.rows)


class _Measure:
    """The compiled function of a model's state and rows that gives the signals, shape (names, layers)."""

    def __init__(self, model: keras.Model, rows: Any) -> None:
        if type(model).train_step is not keras.Model.train_step:
            raise ValueError("the model has a train_step of its own")
        self.model = model
        self.taps = taps.find(model)
        if not any(tap.kernels for tap in self.taps):
            raise ValueError("no layer of the model has trainable kernels")
        self.layers: tuple[str, ...] = ()
        self.weights = len(model.trainable_variables)
        try:
            lowered = jax.jit(self._measure).lower(program.read_state(model), rows)
            with persistent_cache():
                self._run: Callable[..., jax.Array] = lowered.compile()
        except Exception as problem:  # whatever can't be traced: the training goes on without
            text = str(problem).strip().splitlines() or [""]
            raise ValueError(f"{type(problem).__name__}: {text[0][:200]}") from problem

    def __call__(self, state: State, rows: Any) -> jax.Array:
        return self._run(state, rows)

    def _measure(self, state: State, rows: Any) -> jax.Array:
        model = self.model
        trainable, non_trainable, optimizer, metrics = state
        x, y, weights = keras.utils.unpack_x_y_sample_weight(rows)

        called: list[tuple[taps.Tap, int]] = []

        def loss(trainable: Any, sums: Any) -> Any:
            record = taps.Record(self.taps, sums, taps.trace())
            with taps.listening(record):
                scaled, (_, given, _, _) = model.compute_loss_and_updates(
                    trainable, non_trainable, metrics, x, y, weights, training=True, optimizer_variables=optimizer
                )
            ends = {id(leaf) for leaf in jax.tree.leaves(given)}
            called[:] = [(record.taps[place], place) for place in record.outputs]
            forward = []
            for place, outputs in record.outputs.items():
                end = any(id(output) in ends for output in outputs)
                forward.append(_of_outputs(record.taps[place], [lax.stop_gradient(o) for o in outputs], end))
            return scaled, forward

        (grads, sums), forward = jax.grad(loss, argnums=(0, 1), has_aux=True)(
            trainable, jnp.zeros((len(self.taps), 2), jnp.float32)
        )
        self.layers = tuple(tap.path for tap, _ in called)
        stepped, _ = model.optimizer.stateless_apply(optimizer, grads, trainable)
        with keras.StatelessScope(state_mapping=list(zip(model.optimizer.variables, optimizer, strict=True))):
            scale: Any = model.optimizer.scale_loss(1.0)
        per_row = jnp.float32(_count(rows)) / scale
        columns = []
        for (tap, place), column in zip(called, forward, strict=True):
            before, slopes, after = (
                [g[k].astype(jnp.float32) for k in tap.kernels] for g in (trainable, grads, stepped)
            )
            if column:
                mean, square = sums[place] * per_row / column.pop("size") * jnp.stack([1.0, per_row])
                column["activation_grad_var"] = jnp.maximum(square - mean**2, 0.0)
            column |= _of_kernels(before, slopes, after, scale) if tap.kernels else {}
            if model.optimizer.gradient_accumulation_steps:  # most steps then leave the weights as they are
                column.pop("update_ratio", None)
            columns.append(jnp.stack([column.get(name, jnp.float32(jnp.nan)) for name in NAMES]))
        return jnp.stack(columns, axis=1)


def _of_outputs(tap: taps.Tap, outputs: list[jax.Array], end: bool) -> dict[str, Any]:
    if not outputs:
        return {}
    values = taps.by_unit(tap, outputs)
    units = values.shape[1]
    return {
        "activation_mean": values.mean(),
        "activation_var": values.var(),
        "unit_spread": values.var(axis=1).mean() / values.var() if units > 1 else jnp.float32(jnp.nan),
        "dead_fraction": taps.dead_fraction(tap.activation, values),
        "saturated_fraction": jnp.float32(jnp.nan) if end else taps.saturated_fraction(tap.activation, values),
        "size": jnp.float32(sum(output.size for output in outputs)),
    }


def _of_kernels(weights: list[Any], grads: list[Any], stepped: list[Any], scale: Any) -> dict[str, Any]:
    size = sum(weight.size for weight in weights)
    weight, grad = _norm(weights), _norm(grads) / scale
    update = _norm([new - old for new, old in zip(stepped, weights, strict=True)])
    return {
        "grad_rms": grad / np.sqrt(size),
        "grad_norm": grad,
        "weight_rms": weight / np.sqrt(size),
        "update_ratio": update / weight,
    }


def _norm(arrays: list[jax.Array]) -> jax.Array:
    return jnp.sqrt(sum((jnp.square(array).sum() for array in arrays), jnp.float32(0.0)))


class Sampler:
    """The samples of one training, taken as it goes.

    Args:
        probe: measures them.
        epochs: after how many epochs a sample is due, 0 before the first step.
    """

    def __init__(self, probe: Probe, epochs: tuple[int, ...]) -> None:
        self.probe = probe
        self.due = epochs
        self._taken: dict[int, jax.Array] = {}

    def gap(self, epoch: int) -> int:
        """Epochs from `epoch` to the next one that a sample is due after."""
        return min((due - epoch for due in self.due if due > epoch), default=1 << 30)

    def take(self, state: State, epoch: int, *, end: bool = False) -> None:
        """Take a sample of the state after `epoch` epochs where one is due, or at the end of the training."""
        if (epoch in self.due or end) and epoch not in self._taken and len(state[0]) == self.probe.weights:
            self._taken[epoch] = self.probe(state)

    def forget(self, epoch: int) -> None:
        """Drop the samples after `epoch`: the training went back to it."""
        self._taken = {at: sample for at, sample in self._taken.items() if at <= epoch}

    def fields(self) -> dict[str, Any]:
        """What a `Run` of one seed holds of the samples: `signals`, `signal_layers`, `signal_epochs`."""
        epochs = sorted(self._taken)
        if not epochs:
            return {}
        samples = np.stack([np.asarray(self._taken[epoch], np.float64) for epoch in epochs], axis=1)
        return {
            "signals": {name: values[None] for name, values in zip(NAMES, samples, strict=True)},
            "signal_layers": self.probe.layers,
            "signal_epochs": np.array(epochs),
        }


def schedule(epochs: int, samples: int, first: int = 0) -> tuple[int, ...]:
    """After how many epochs to take a sample: at the start, at the end, and between by even ratios of epochs.

    Args:
        epochs: number of the last epoch.
        samples: how many at most.
        first: epochs trained before.

    Example:
        >>> schedule(700, 9)
        (0, 1, 3, 6, 17, 42, 108, 275, 700)
    """
    if samples < 2 or epochs <= first:
        return (first,)[: max(samples, 0)]
    ratios = np.geomspace(1, epochs - first, samples - 1) if samples > 2 else (epochs - first,)
    return tuple(sorted({first, *(first + round(r) for r in ratios)}))


def count(asked: bool | int | Literal["auto"], epochs: int, rows: int, batch_size: int, measured: int) -> int:
    """How many samples to take.

    Args:
        asked: how many; `True` for `SAMPLES`, `"auto"` for as many of these as cost little.
        epochs: passes over the rows.
        rows: to train on.
        batch_size: rows per step.
        measured: rows that a sample is measured on.

    Example:
        >>> count("auto", epochs=700, rows=251, batch_size=16, measured=251)
        5
        >>> count("auto", epochs=3, rows=251, batch_size=16, measured=251)
        0
    """
    if asked != "auto":
        return SAMPLES if asked is True else int(asked)
    if epochs * -(-rows // batch_size) < STEPS:
        return 0
    affordable = min(SAMPLES, int(SHARE * epochs * rows / measured))
    return affordable if affordable >= FEWEST else 0


def sampler(
    model: keras.Model,
    arrays: Any,
    batch_size: int,
    epochs: int,
    asked: bool | int | Literal["auto"],
    first: int = 0,
) -> Sampler | str:
    """What takes the samples of a training; or why none are taken, `""` where none are asked for.

    Args:
        model: compiled and built.
        arrays: what `train_step` takes, rows first.
        batch_size: rows per step.
        epochs: number of the last epoch.
        asked: see `count`.
        first: number of the first epoch.
    """
    measured = rows_measured(arrays, batch_size)
    samples = count(asked, epochs - first, _count(arrays), batch_size, measured)
    if not samples:
        return "the training is too short for them" if asked == "auto" else ""
    try:
        return Sampler(Probe(model, arrays, batch_size), schedule(epochs, samples, first))
    except ValueError as problem:
        return str(problem)


def rows_measured(arrays: Any, batch_size: int) -> int:
    """How many rows signals are measured on."""
    inputs = jax.tree.leaves(arrays[0] if isinstance(arrays, (tuple, list)) else arrays)
    elements = max(1, sum(int(np.prod(array.shape[1:])) for array in inputs))
    return min(inputs[0].shape[0], max(batch_size, min(ROWS, ELEMENTS // elements)))


def _count(arrays: Any) -> int:
    return jax.tree.leaves(arrays)[0].shape[0]


def _drawn(arrays: Any, batch_size: int) -> Any:
    """Some of the rows, drawn by a generator of their own."""
    index = np.sort(np.random.default_rng(0).choice(_count(arrays), rows_measured(arrays, batch_size), replace=False))
    if jax.default_backend() == "cpu":
        return jax.tree.map(lambda array: jnp.asarray(np.asarray(array)[index]), arrays)
    return jax.tree.map(lambda array: jnp.asarray(array[index]), arrays)
