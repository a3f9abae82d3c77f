"""Pruning: the smallest weights of a model become exact zeros, and can be kept there in further training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from goodfit.arguments import number
from goodfit.errors import InputError
from goodfit.training import keras_internals
from goodfit.training.constraints import KeepZeros
from goodfit.training.preflight import check_model


@dataclass(frozen=True)
class Pruned:
    """What pruning did.

    Args:
        sparsity: share of zeros among all kernels' weights, 0 to 1.
        threshold: the magnitude below which weights became 0.
        layers: each layer's path -> its share of zeros.
    """

    sparsity: float
    threshold: float
    layers: Mapping[str, float]


def prune(
    model: keras.Model, *, sparsity: float | None = None, threshold: float | None = None, keep: bool = True
) -> Pruned:
    """Set the smallest weights of a model's kernels to 0, in place.

    All kernels (trainable weights of two or more dimensions) are ranked together by magnitude. Train on afterwards: the
    weights that are left make up for those that are gone. Source: Han, Pool, Tran and Dally (2015), "Learning both
    weights and connections for efficient neural networks", section 3.

    Args:
        model: built.
        sparsity: share of the weights to set to 0, in [0, 1).
        threshold: or the magnitude below which weights are set to 0.
        keep: put a `KeepZeros` on each kernel, so that training on keeps the zeros; it is saved with the model where
            the layer has a field for it.

    Returns:
        what was pruned.

    Raises:
        InputError: not exactly one of `sparsity` and `threshold`, one outside its range, a threshold above every
            weight, a model without kernels, or a kernel with another constraint where the zeros are to be kept.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
        >>> prune(model, sparsity=0.5).sparsity
        0.5
    """
    check_model(model)
    if (sparsity is None) == (threshold is None):
        raise InputError("prune takes one of sparsity and threshold.", "Give sparsity=0.5, for example.")
    if sparsity is not None and not 0 <= number("sparsity", sparsity) < 1:
        raise InputError(f"sparsity is {sparsity:g}.", "Give a share of the weights in [0, 1).")
    if threshold is not None and number("threshold", threshold) < 0:
        raise InputError(f"threshold is {threshold:g}.", "Give a magnitude of 0 or more.")
    kernels = [v for v in model.trainable_variables if len(v.shape) >= 2]
    if not kernels:
        raise InputError(
            f"the model {model.name!r} has no kernels to prune.", "Build it first, or unfreeze its layers."
        )
    sizes = np.concatenate([np.abs(np.asarray(v.value, np.float64)).ravel() for v in kernels])
    if sparsity is not None:
        count = round(sparsity * sizes.size)
        gone = np.zeros(sizes.size, bool)
        gone[np.argsort(sizes, kind="stable")[:count]] = True
        least = float(np.partition(sizes, count)[count]) if count < sizes.size else math.inf
    else:
        least = float(threshold or 0.0)
        gone = sizes < least
        if gone.all():
            raise InputError(
                f"the threshold {least:g} is above every weight (the largest is {sizes.max():.3g}): none is left.",
                "Give a smaller one, or a sparsity.",
            )
    if keep:  # before anything is changed
        for variable in kernels:
            _check_free(variable)
    zeros, all_weights, start = {}, 0, 0
    for variable in kernels:
        mask = ~gone[start : start + math.prod(variable.shape)].reshape(variable.shape)
        start += mask.size
        variable.assign(np.where(mask, np.asarray(variable.value), 0))
        if keep:
            _constrain(model, variable, mask)
        zero = float(np.mean(np.asarray(variable.value) == 0))
        zeros[str(variable.path)] = zero
        all_weights += round(zero * mask.size)
    if keep:
        keras_internals.forget_programs(model)
    return Pruned(all_weights / sizes.size, least, zeros)


def _check_free(variable: Any) -> None:
    """`InputError` where a weight has a constraint already, beside which zeros can't be kept."""
    if variable.constraint is not None and not isinstance(variable.constraint, KeepZeros):
        raise InputError(
            f"the weight {variable.path!r} has the constraint {type(variable.constraint).__name__} already.",
            "Give prune(…, keep=False) and prune once more after the training.",
        )


def _constrain(model: keras.Model, variable: Any, mask: np.ndarray) -> None:
    """Keep the variable's zeros, in the layer's configuration too where it has a field for that."""
    constraint = KeepZeros(mask)
    variable.constraint = constraint
    for layer in model._flatten_layers(include_self=False):
        for name, value in list(vars(layer).items()):
            if value is variable and hasattr(layer, f"{name.lstrip('_')}_constraint"):
                setattr(layer, f"{name.lstrip('_')}_constraint", constraint)
