"""What passes forward and backward through a deep net before any training, layer by layer, in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""Klambauer et al. (2017), eq. 14."""

Function = Callable[[np.ndarray], np.ndarray]


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(z / 2))


def _selu(z: np.ndarray) -> np.ndarray:
    return SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0)))


ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0))),
    ),
    "selu": (_selu, lambda z: SELU_SCALE * np.where(z > 0, 1, SELU_ALPHA * np.exp(np.minimum(z, 0)))),
}
"""Name -> the function and its derivative."""
VARIANCES: dict[str, Callable[[int, int], float]] = {
    "N(0, 1)": lambda fan_in, fan_out: 1.0,  # noqa: ARG005
    "N(0, 0.01²)": lambda fan_in, fan_out: 1e-4,  # noqa: ARG005
    "LeCun": lambda fan_in, fan_out: 1 / fan_in,  # noqa: ARG005
    "Glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "He": lambda fan_in, fan_out: 2 / fan_in,  # noqa: ARG005
}
"""Initialization -> the variance of the weights: LeCun et al. (1998), Glorot and Bengio (2010, eq. 12), He et al.
(2015, eq. 10)."""


def propagate(
    activation: str, initialization: str, *, depth: int = 30, width: int = 100, rows: int = 200, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The variance of each layer's outputs, and of the gradients of a loss at each layer's inputs to its activation.

    Inputs are drawn from N(0, 1), the gradient at the end likewise.

    Args:
        activation: one of `ACTIVATIONS`.
        initialization: one of `VARIANCES`.
        depth: layers.
        width: units of each.
        rows: inputs.
        seed: of the draws.

    Returns:
        forward, shape (depth,), and backward, shape (depth,), both from the first layer on.

    Example:
        >>> forward, backward = propagate("relu", "He", depth=3, width=400)
        >>> bool(np.all((0.3 < forward) & (forward < 1.5)))
        True

    Source: Glorot and Bengio (2010), eq. 5 and 6.
    """
    random = np.random.default_rng(seed)
    act, slope = ACTIVATIONS[activation]
    h = random.normal(size=(rows, width))
    weights, inputs, forward = [], [], []
    for _ in range(depth):
        weights.append(random.normal(0, np.sqrt(VARIANCES[initialization](width, width)), size=(width, width)))
        inputs.append(h @ weights[-1])
        h = act(inputs[-1])
        forward.append(h.var())
    gradient = random.normal(size=h.shape)
    backward = []
    for weight, z in zip(reversed(weights), reversed(inputs), strict=True):
        gradient = gradient * slope(z)
        backward.append(gradient.var())
        gradient = gradient @ weight.T
    return np.array(forward), np.array(backward[::-1])
