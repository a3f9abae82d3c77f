"""Learning-rate schedules that Keras does not have: power decay and 1cycle, with the momentum's counterpart.

Keras has the others: `ExponentialDecay`, `PiecewiseConstantDecay`, `CosineDecay` (with `warmup_steps`),
`PolynomialDecay`, and the callback `ReduceLROnPlateau`. All of them count steps, not epochs.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import keras
import numpy as np

from goodfit.errors import InputError

ops: Any = keras.ops

LARGEST_RATE = 100.0
"""Learning rates above this are not meant: SGD on unit-scaled data diverges from 2 over the largest curvature on
(LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", section 4.6, eq. 25)."""


def check_rate(rate: float, name: str = "learning_rate") -> None:
    """Refuse a learning rate that can't be meant.

    Args:
        rate: per step.
        name: of the argument.

    Raises:
        InputError: it is not a finite number above 0, or above `LARGEST_RATE`.

    Example:
        >>> check_rate(1e9)
        Traceback (most recent call last):
        goodfit.errors.InputError: learning_rate is 1e+09. Give a positive number, at most 100; 0.001 is usual ...
    """
    if not (math.isfinite(rate) and 0 < rate <= LARGEST_RATE):
        raise InputError(
            f"{name} is {rate:g}.",
            f"Give a positive number, at most {LARGEST_RATE:g}; 0.001 is usual for Adam, 0.01 for SGD.",
        )


def _check_steps(steps: float, name: str) -> None:
    if not (math.isfinite(steps) and steps >= 1):
        raise InputError(f"{name} is {steps:g}.", "Give a number of steps, 1 at least.")


@keras.saving.register_keras_serializable(package="goodfit")
class PowerDecay(keras.optimizers.schedules.LearningRateSchedule):
    """The power schedule, η(t) = η₀ / (1 + t / s)^c.

    After s steps the rate is η₀ / 2^c; with c = 1 it falls to a half, a third, a fourth after s, 2s, 3s steps. Keras's
    `InverseTimeDecay` is the case c = 1. Source: Robbins and Monro (1951), whose conditions Ση = ∞ and Ση² < ∞ hold
    for 1/2 < c ≤ 1; Bottou (2012), "Stochastic gradient descent tricks", section 5.2, eq. 12 has the form.

    Args:
        initial_learning_rate: η₀.
        decay_steps: s.
        power: c.
        name: of the schedule.

    Raises:
        InputError: a rate, steps or power that can't be meant.

    Example:
        >>> schedule = PowerDecay(0.1, decay_steps=100)
        >>> [round(float(schedule(step)), 4) for step in (0, 100, 200, 300)]
        [0.1, 0.05, 0.0333, 0.025]
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, power: float = 1.0, name: str = "PowerDecay"
    ) -> None:
        super().__init__()
        check_rate(initial_learning_rate, "initial_learning_rate")
        _check_steps(decay_steps, "decay_steps")
        if not (math.isfinite(power) and power > 0):
            raise InputError(f"power is {power:g}.", "Give a positive number; 1 is usual.")
        self.initial_learning_rate = float(initial_learning_rate)
        self.decay_steps, self.power, self.name = float(decay_steps), float(power), name

    def __call__(self, step: Any) -> Any:
        """The learning rate of the step, counted from 0."""
        return self.initial_learning_rate / ops.power(1.0 + ops.cast(step, "float32") / self.decay_steps, self.power)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "power": self.power,
            "name": self.name,
        }


class _Cycle(keras.optimizers.schedules.LearningRateSchedule):
    """Straight lines through four points: start, top, start again, end; the end's value holds from then on."""

    total_steps: float
    rise: float
    fall: float

    def _check_shape(self) -> None:
        _check_steps(self.total_steps, "total_steps")
        if not (self.rise > 0 and self.fall > 0 and self.rise + self.fall <= 1):
            raise InputError(
                f"the shares of the cycle are rise {self.rise:g} and fall {self.fall:g}.",
                "Give positive shares whose sum is at most 1; the annihilation takes what is left.",
            )

    def _value(self, step: Any, heights: tuple[float, float, float, float]) -> Any:
        span = max(self.total_steps - 1, 1.0)  # steps are counted from 0: the last is total_steps - 1
        places = (0.0, self.rise * span, (self.rise + self.fall) * span, span)
        step = ops.cast(step, "float32")
        value: Any = heights[0]
        for place, (start, end) in enumerate(itertools.pairwise(places)):
            if end <= start:
                continue
            share = ops.clip((step - start) / (end - start), 0.0, 1.0)
            line = heights[place] * (1.0 - share) + heights[place + 1] * share
            value = ops.where(step >= start, line, value)
        return ops.cast(value, "float32")


@keras.saving.register_keras_serializable(package="goodfit")
class OneCycle(_Cycle):
    """The 1cycle schedule: up from η₁/10 to η₁, back down, then far below.

    The rate rises in a straight line from η₁ / `division` to the peak η₁ in the first `rise` of the steps, falls back
    to where it began in the next `fall`, and in what is left (the annihilation) to the initial rate over
    `final_division`. Source: Smith (2018), "A disciplined approach to neural network hyper-parameters: part 1",
    section 4.1; a momentum that goes the other way belongs to it: `CycleMomentum`.

    Args:
        peak_learning_rate: η₁, such as `goodfit.lr_find` suggests.
        total_steps: of the training: epochs times steps per epoch.
        division: the peak over the initial rate.
        final_division: the initial rate over the final one.
        rise: share of the steps that the rise takes.
        fall: share of the steps that the way back takes.
        name: of the schedule.

    Raises:
        InputError: an argument that can't be meant.

    Example:
        >>> schedule = OneCycle(1.0, total_steps=101)
        >>> [round(float(schedule(step)), 3) for step in (0, 45, 90, 100)]
        [0.1, 1.0, 0.1, 0.001]
    """

    def __init__(
        self,
        peak_learning_rate: float,
        total_steps: float,
        division: float = 10.0,
        final_division: float = 100.0,
        rise: float = 0.45,
        fall: float = 0.45,
        name: str = "OneCycle",
    ) -> None:
        super().__init__()
        check_rate(peak_learning_rate, "peak_learning_rate")
        if not (division >= 1 and final_division >= 1):
            raise InputError(
                f"the divisions of 1cycle are {division:g} and {final_division:g}.", "Give numbers of 1 or more."
            )
        self.peak_learning_rate, self.total_steps = float(peak_learning_rate), float(total_steps)
        self.division, self.final_division = float(division), float(final_division)
        self.rise, self.fall, self.name = float(rise), float(fall), name
        self._check_shape()

    def __call__(self, step: Any) -> Any:
        """The learning rate of the step, counted from 0."""
        low = self.peak_learning_rate / self.division
        return self._value(step, (low, self.peak_learning_rate, low, low / self.final_division))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "total_steps": self.total_steps,
            "division": self.division,
            "final_division": self.final_division,
            "rise": self.rise,
            "fall": self.fall,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package="goodfit")
class CycleMomentum(_Cycle):
    """The momentum of 1cycle: down from `high` to `low` while the learning rate rises, back up, then constant.

    For `goodfit.optimizers.MomentumScheduleSGD` and `MomentumScheduleAdam`. Source: Smith (2018), section 4.3: 0.95 to
    0.85 and back.

    Args:
        total_steps: as of the `OneCycle` beside it.
        high: momentum where the rate is lowest.
        low: momentum where the rate is highest.
        rise: share of the steps in which the learning rate rises.
        fall: share of the steps in which it falls back.
        name: of the schedule.

    Raises:
        InputError: momenta outside [0, 1), or `low` above `high`.

    Example:
        >>> momentum = CycleMomentum(101)
        >>> [round(float(momentum(step)), 3) for step in (0, 45, 90, 100)]
        [0.95, 0.85, 0.95, 0.95]
    """

    def __init__(
        self,
        total_steps: float,
        high: float = 0.95,
        low: float = 0.85,
        rise: float = 0.45,
        fall: float = 0.45,
        name: str = "CycleMomentum",
    ) -> None:
        super().__init__()
        if not 0 <= low <= high < 1:
            raise InputError(f"the momentum goes from {high:g} to {low:g}.", "Give 0 <= low <= high < 1.")
        self.total_steps, self.high, self.low = float(total_steps), float(high), float(low)
        self.rise, self.fall, self.name = float(rise), float(fall), name
        self._check_shape()

    def __call__(self, step: Any) -> Any:
        """The momentum of the step, counted from 0."""
        return self._value(step, (self.high, self.low, self.high, self.high))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "total_steps": self.total_steps,
            "high": self.high,
            "low": self.low,
            "rise": self.rise,
            "fall": self.fall,
            "name": self.name,
        }


def rates(schedule: Any, steps: int) -> np.ndarray:
    """What a schedule gives for each step of a training, computed as in the compiled program.

    Args:
        schedule: a Keras schedule, or a constant rate.
        steps: how many.

    Returns:
        Shape (steps,), float32.

    Example:
        >>> rates(keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5), 4).tolist()
        [1.0, 0.5, 0.25, 0.125]
    """
    import jax

    if not callable(schedule):
        return np.full(steps, schedule, np.float32)
    return np.asarray(jax.jit(lambda: jax.lax.map(schedule, jax.numpy.arange(steps)))(), dtype=np.float32)
