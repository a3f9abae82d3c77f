"""The performance schedule inside a compiled program of members: each one's rate is lowered where it stands still.

What `keras.callbacks.ReduceLROnPlateau` does on the host, to the last bit: Keras multiplies the rate and takes
`min_delta` off in double precision, and rounds what comes out.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from goodfit.errors import InputError
from goodfit.values import Plateau

CURVE = "learning_rate"
"""The curve of the rates: as Keras's callback logs it, that of the epoch, before it is lowered."""


def place_of(optimizer: Any) -> int:
    """The place of the learning rate among an optimizer's variables; of the inner one's where it scales the loss.

    Args:
        optimizer: built.

    Raises:
        InputError: it is no variable.

    Example:
        >>> import keras
        >>> place_of(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 100)))
        Traceback (most recent call last):
        goodfit.errors.InputError: the learning rate of SGD is no number of its own: it can be neither set for a ...
    """
    rate = getattr(optimizer, "learning_rate", None)
    for place, variable in enumerate(optimizer.variables):
        if variable is rate:
            return place
    raise InputError(
        f"the learning rate of {type(optimizer).__name__} is no number of its own: it can be neither set for a member "
        "nor lowered on a plateau.",
        "Give the optimizer a number in place of a schedule.",
    )


def start(count: int) -> dict[str, np.ndarray]:
    """What so many members carry from epoch to epoch, each of shape (count,)."""
    return {
        "seen": np.zeros(count, bool),
        "best": np.full(count, np.inf, np.float32),
        "wait": np.zeros(count, np.int32),
        "cooldown": np.zeros(count, np.int32),
    }


def step(plateau: Plateau, carried: dict[str, Any], watched: Any, rate: Any) -> tuple[dict[str, Any], Any]:
    """One member after an epoch, as `ReduceLROnPlateau.on_epoch_end` leaves it.

    Args:
        plateau: what is asked.
        carried: of the member.
        watched: the curve's value after the epoch.
        rate: the learning rate of the epoch.

    Returns:
        what it carries on, and the rate of the next epoch.
    """
    cooling = jnp.maximum(carried["cooldown"] - 1, 0)
    wait = jnp.where(carried["cooldown"] > 0, 0, carried["wait"])
    improved = ~carried["seen"] | falls(watched, carried["best"], plateau.min_delta)
    wait = jnp.where(improved, 0, jnp.where(cooling > 0, wait, wait + 1))
    least = np.float32(plateau.min_lr)
    lowers = ~improved & (cooling == 0) & (wait >= plateau.patience) & (rate > least)
    with jax.enable_x64(True):
        wide = lax.convert_element_type(rate, jnp.float64) * jnp.float64(plateau.factor)
        lower = lax.convert_element_type(jnp.maximum(wide, jnp.float64(plateau.min_lr)), rate.dtype)
    after = {
        "seen": jnp.ones_like(carried["seen"]),
        "best": jnp.where(improved, watched, carried["best"]).astype(carried["best"].dtype),
        "wait": jnp.where(lowers, 0, wait),
        "cooldown": jnp.where(lowers, plateau.cooldown, cooling),
    }
    return after, jnp.where(lowers, lower, rate)


def falls(watched: Any, best: Any, min_delta: float) -> Any:
    """Whether a curve's value lies below the best so far by `min_delta`, as Keras's callbacks see it."""
    if not min_delta:
        return watched < best
    with jax.enable_x64(True):
        wide = lax.convert_element_type(watched, jnp.float64) + jnp.float64(min_delta)
        return lax.convert_element_type(wide, jnp.float32) < best
