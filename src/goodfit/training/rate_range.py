"""The learning-rate range test: a short training whose rate rises step by step, and the rate that it suggests."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit import arguments as given
from goodfit.errors import InputError
from goodfit.stats import noise_sd, smooth
from goodfit.training import engine, keras_internals, preflight, program
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.probes.untouched import untouched
from goodfit.training.schedules import LARGEST_RATE
from goodfit.training.seeds import fresh_state

STEPS = 200
"""Steps of one sweep where no number is asked for: 25 per factor of ten between the ends."""
SEEDS = 3
"""Sweeps where no number is asked for."""
SPAN = 0.5
"""Width of the smoothing window, in factors of ten."""
BLOWN_UP = 4.0
"""The sweep ends for the reading where the smoothed loss exceeds this many times its lowest so far, as in fastai
(Howard and Gugger 2020)."""
BELOW_MINIMUM = 10.0
"""The rate of the lowest loss over this factor: at the minimum itself the loss is about to rise (fastai)."""
BEGUN = 0.1
"""Share of the whole fall after which it has begun: where the loss falls fastest is looked for from there on."""
FALLEN = 4.0
"""Standard deviations of the noise by which the loss must fall before a rate is suggested."""


@dataclass(frozen=True, eq=False)
class RateRange:
    """What a learning-rate range test measured, and what it suggests.

    Args:
        learning_rates: shape (steps,), rising by equal factors.
        losses: shape (seeds, steps): the loss of each step's batch, before the step; `inf` where not finite.
        smoothed: shape (steps,): the median over the seeds, smoothed over the logarithm of the rate; NaN from where it
            has blown up.
        suggestion: the learning rate to begin with; `None` where the loss falls at none.
        reason: why, one sentence.
        candidates: other readings of the same curve: `steepest` (where the smoothed loss falls fastest), `valley` (the
            middle of the fall), `minimum / 10`.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    reason: str
    candidates: Mapping[str, float] = field(default_factory=dict)

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses over the rate with the suggestion marked; matplotlib axes come back."""
        import importlib

        return importlib.import_module("goodfit.plots.techniques").rate_range(self, ax)


def lr_find(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    sample_weight: Any = None,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = STEPS,
    seeds: int = SEEDS,
    seed: int = 0,
) -> RateRange:
    """Find a learning rate by a range test: train a little while the rate rises, and see where the loss falls.

    Each sweep starts from the weights that the model has (the first) or that its initializers draw (the others), with
    batches drawn at random; the rate rises by equal factors from `lowest` to `highest`. All of it is one compiled
    program. Afterwards the model, its optimizer and all random states are what they were, to the last bit (a model that
    was not built yet is built).

    The suggestion is the middle (on the logarithm) between where the smoothed loss falls fastest and a tenth of the
    rate of its minimum. Source: Smith (2017), "Cyclical learning rates for training neural networks", section 3.3; the
    two readings are those of fastai (Howard and Gugger 2020, "fastai: a layered API for deep learning").

    Args:
        model: compiled.
        x: inputs, as for `model.fit`.
        y: targets.
        batch_size: rows per step; 32 where `None`, or all rows where there are fewer.
        sample_weight: a weight per row.
        lowest: the first rate.
        highest: the last one.
        steps: of a sweep, 20 at least.
        seeds: sweeps.
        seed: of the batches and of the further sweeps' weights.

    Returns:
        the curve, the suggestion and its reason.

    Raises:
        InputError: arguments, rows or targets that can't be meant, or a model that can't be compiled as a whole.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> x = generator.normal(size=(256, 4)).astype("float32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> found = lr_find(model, x, x @ np.ones((4, 1), "float32"))
        >>> found.suggestion is not None and 1e-3 < found.suggestion < 1
        True
    """
    _check(lowest, highest, steps, seeds, batch_size, seed)
    preflight.check_model(model)
    problem = keras_internals.array_problem(x, y, sample_weight)
    reason = problem or keras_internals.unsupported(model)
    if reason:
        remedy = "Compile the model with goodfit's defaults." if model.compiled else "Compile it first."
        raise InputError(f"no range test can be made: {reason}.", "Give arrays." if problem else remedy)
    preflight.check(model, x, y, sample_weight=sample_weight)
    if batch_size is None:
        batch_size = min(32, len(jax.tree.leaves(x)[0]))
    arguments = {
        name: parameter.default
        for name, parameter in inspect.signature(engine.fit).parameters.items()
        if name != "model" and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    }
    arguments |= {"x": x, "y": y, "sample_weight": sample_weight, "batch_size": batch_size}
    grid = np.geomspace(lowest, highest, steps)
    with untouched(model), persistent_cache():
        rows, _ = engine.prepare_rows(model, arguments)
        size = min(rows.batch_size, rows.count)
        own = program.read_state(model)
        if seeds > 1:
            _check_rebuilt(model)
        states = [own, *(fresh_state(model, own, seed + place) for place in range(1, seeds))]
        sweep = jax.jit(lambda state, data, order: _sweep(model, state, data, order, grid, size))
        data = jax.tree.map(jnp.asarray, rows.arrays)
        losses = np.stack(
            [np.asarray(sweep(s, data, _batches(seed + i, rows.count, steps, size))) for i, s in enumerate(states)]
        )
    return read(grid, np.where(np.isfinite(losses), losses.astype(np.float64), np.inf))


def read(learning_rates: np.ndarray, losses: np.ndarray) -> RateRange:
    """The suggestion of a range test from its losses.

    Args:
        learning_rates: shape (steps,), rising by equal factors.
        losses: shape (seeds, steps), `inf` where not finite.

    Example:
        >>> rates = np.geomspace(1e-6, 10, 200)
        >>> found = read(rates, (1 / (1 + rates / 1e-3) + rates**2)[None])
        >>> 1e-3 < found.suggestion < 1e-2
        True
    """
    rates, losses = np.asarray(learning_rates), np.atleast_2d(losses)
    median = np.median(losses, axis=0)
    finite = np.isfinite(median)
    end = len(median) if finite.all() else int(np.argmin(finite))
    per_decade = (len(rates) - 1) / math.log10(rates[-1] / rates[0])
    window = max(5, round(SPAN * per_decade))
    smoothed = np.full(len(rates), np.nan)
    if end > window:
        curve = smooth(np.minimum(median[:end], 1e3 * np.median(median[: max(end // 4, 1)]) + 1e-12), window)
        lowest = np.minimum.accumulate(curve)
        blown = curve > BLOWN_UP * np.maximum(lowest, 1e-12)
        blown[: end // 10] = False
        end = int(np.argmax(blown)) if blown.any() else end
        smoothed[:end] = curve[:end]
    if np.isfinite(smoothed).sum() < window:
        return RateRange(
            rates, losses, smoothed, None, "The loss is not finite or blows up from the lowest rates on: go lower."
        )
    curve = smoothed[:end]
    bottom = int(np.argmin(curve))
    start = float(np.median(curve[: max(window, bottom // 4)]))
    noise = noise_sd(median[: max(bottom, 2 * window)]) / math.sqrt(window)
    fall = start - float(curve[bottom])
    needed = max(FALLEN * noise, 1e-3 * abs(start))
    if not fall > needed:
        return RateRange(
            rates, losses, smoothed, None,
            f"The loss falls at no rate clearly beyond its noise (by {fall:.3g} of {needed:.2g} needed): give more "
            "steps, larger batches, or look at the data.",
        )  # fmt: skip
    slope = smooth(np.gradient(curve, np.log10(rates[:end])), window)
    begun, half = (_last_above(curve[: bottom + 1], start - share * fall) for share in (BEGUN, 0.5))
    steepest = begun + int(np.argmin(slope[begun : bottom + 1]))  # before, noise falls too, steepest at the edge
    tenth = float(rates[bottom]) / BELOW_MINIMUM
    candidates = {
        "steepest": float(rates[steepest]),
        "valley": float(rates[half]),
        f"minimum / {BELOW_MINIMUM:g}": tenth,
    }
    suggestion = math.sqrt(min(float(rates[steepest]), float(rates[bottom]) / 2) * tenth)
    reason = (
        f"The loss falls fastest at {rates[steepest]:.2g} and is lowest at {rates[bottom]:.2g}, from where on it rises "
        f"or stands; {suggestion:.2g} lies in the middle between the steepest fall and a tenth of the lowest point."
    )
    return RateRange(rates, losses, smoothed, suggestion, reason, candidates)


def _last_above(curve: np.ndarray, level: float) -> int:
    """The last place at which a curve is above a level; 0 where it never is."""
    above = np.flatnonzero(curve > level)
    return int(above[-1]) if len(above) else 0


def _check(lowest: float, highest: float, steps: int, seeds: int, batch_size: int | None, seed: int) -> None:
    lowest, highest = given.number("lowest", lowest), given.number("highest", highest)
    if not 0 < lowest < highest <= LARGEST_RATE:
        raise InputError(
            f"the rates go from {lowest:g} to {highest:g}.", f"Give 0 < lowest < highest <= {LARGEST_RATE:g}."
        )
    given.whole("steps", steps, 20, remedy="Give 20 at least; 200 are usual.")
    given.whole("seeds", seeds, remedy="Make at least one sweep.")
    given.whole("seed", seed, 0)
    if batch_size is not None:
        given.whole("batch_size", batch_size, remedy="Give at least one row per step.")


def _check_rebuilt(model: keras.Model) -> None:
    """Why no further seeds can be drawn is said by `redraw` in its own words; `train_step` of its own is fine."""
    if model.optimizer is None:
        raise InputError("the model has no optimizer.", "Compile it.")


def _batches(seed: int, rows: int, steps: int, size: int) -> Any:
    """The rows of each step, shape (steps, size): orders of all rows, one after the other."""
    generator = np.random.default_rng([seed, 0x1F])
    per_pass = max(rows // size, 1)
    passes = -(-steps // per_pass)
    orders = [generator.permutation(rows)[: per_pass * size].reshape(per_pass, size) for _ in range(passes)]
    return jnp.asarray(np.concatenate(orders)[:steps], jnp.int32)


def _sweep(model: keras.Model, state: Any, data: Any, order: Any, grid: np.ndarray, size: int) -> Any:
    """The loss of each step's batch while the rate rises, shape (steps,)."""
    rates = jnp.asarray(grid, jnp.float32)
    chosen = jax.tree.map(lambda array: array[order.reshape(-1)], data)

    def step(carry: Any, batch: Any) -> Any:
        state, losses, place = carry
        with _rate(model, rates[place]):
            logs, state = model.train_step(program.reset_metrics(model, state), batch)
        return logs, (state, losses.at[place].set(logs["loss"]), place + 1)

    start = (state, jnp.zeros(len(grid), jnp.float32), jnp.int32(0))
    return program.repeat_step(step, start, chosen, size, len(grid))[1][1]


@contextmanager
def _rate(model: keras.Model, rate: Any) -> Iterator[None]:
    """While a step is traced, the optimizer has this learning rate, whatever it is set to."""
    held = vars(getattr(model.optimizer, "inner_optimizer", model.optimizer))
    before = held["_learning_rate"]
    held["_learning_rate"] = lambda: rate
    try:
        yield
    finally:
        held["_learning_rate"] = before
