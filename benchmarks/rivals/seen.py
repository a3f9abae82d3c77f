"""What a rule of another tool sees of a training: curves, samples of the layers, the network and its training rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Layer:
    """A layer that samples were taken of.

    Args:
        name: of the layer.
        activation: Keras's name of its nonlinearity; `"linear"` where it has none.
        kernel_size: numbers in its kernel; 0 where it has none.
        units: biases.
        penalized: its kernel has a penalty, whose gradient is part of the loss's.
    """

    name: str
    activation: str = "relu"
    kernel_size: int = 0
    units: int = 0
    penalized: bool = False


@dataclass(frozen=True, eq=False)
class Seen:
    """One training.

    Args:
        loss: per epoch; NaN where it was not finite.
        val_loss: likewise.
        samples: epochs after which the layers were sampled, 0 before the first step.
        layers: that were sampled, in the order in which they are called.
        signals: name -> shape (samples, layers), as `goodfit.training.signals` defines them.
        network: Keras's configurations of all layers, in order.
        loss_name: Keras's name of the loss.
        learning_rate: of the optimizer.
        x: training inputs, rows first.
        classes: of each training row; `None` for a regression.
    """

    loss: np.ndarray
    val_loss: np.ndarray
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0))
    layers: tuple[Layer, ...] = ()
    signals: Mapping[str, np.ndarray] = field(default_factory=dict)
    network: Sequence[Mapping[str, Any]] = ()
    loss_name: str = ""
    learning_rate: float = 0.001
    x: np.ndarray | None = None
    classes: np.ndarray | None = None

    @property
    def kernels(self) -> np.ndarray:
        """The places of the layers with kernels."""
        return np.array([place for place, layer in enumerate(self.layers) if layer.kernel_size], dtype=int)

    def of(self, activation: str) -> np.ndarray:
        """The places of the layers with an activation."""
        return np.array([place for place, layer in enumerate(self.layers) if layer.activation == activation], dtype=int)


@dataclass(frozen=True)
class Rule:
    """A rule of another tool.

    Args:
        name: as its authors call it.
        definition: when it fires, with its published thresholds, and how it is read here.
        fires: whether it does.
        needs: the least that it must see.
    """

    name: str
    definition: str
    fires: Callable[[Seen], bool]
    needs: str


def answers(rules: Sequence[Rule], seen: Seen, needs: Sequence[str]) -> list[str]:
    """The names of the rules that fire, in their order, of those that need no more than is given."""
    return [rule.name for rule in rules if rule.needs in needs and rule.fires(seen)]


def layers_of(names: Sequence[str], network: Sequence[Mapping[str, Any]]) -> tuple[Layer, ...]:
    """The sampled layers, from Keras's configurations of the network."""
    by_name = {layer["config"]["name"]: layer for layer in network}
    return tuple(_layer(name, by_name[name]) for name in names)


def _layer(name: str, layer: Mapping[str, Any]) -> Layer:
    config = layer["config"]
    activation = config.get("activation") or "linear"
    units = int(config.get("units") or config.get("filters") or 0)
    if not units:
        return Layer(name, activation)
    inputs = int(layer["build_config"]["input_shape"][-1])
    places = math.prod(config.get("kernel_size", (1,)))
    return Layer(name, activation, places * inputs * units, units, config.get("kernel_regularizer") is not None)
