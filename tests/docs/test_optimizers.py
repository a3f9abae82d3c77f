"""What docs/optimizers.md says of three libraries, by one step of each."""

import keras
import numpy as np
import optax
import pytest
import torch

RATE = 0.01
GRADIENT = np.array([1e-8, 1e-5, 1e-3, 0.3, -2.0])
"""From far below ε to far above it."""


def by_keras(optimizer):
    weights = keras.Variable(np.zeros(5, "float32"))
    optimizer.build([weights])
    optimizer.apply([keras.ops.convert_to_tensor(GRADIENT, "float32")], [weights])
    return np.asarray(weights.value, np.float64)


def by_torch(make):
    weights = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    weights.grad = torch.tensor(GRADIENT)
    make([weights]).step()
    return weights.detach().numpy()


def by_optax(transform):
    weights = np.zeros(5, "float32")
    step, _ = transform.update(GRADIENT.astype("float32"), transform.init(weights), weights)
    return np.asarray(step, np.float64)


def over(denominator):
    return -RATE * GRADIENT / denominator


SQUARE = GRADIENT**2
ADAM_HAT = over(np.sqrt(SQUARE) + 1e-8)
CASES = {
    "adagrad-keras": (
        lambda: by_keras(keras.optimizers.Adagrad(RATE)),
        over(np.sqrt(0.1 + SQUARE + 1e-7)),
    ),
    "adagrad-torch": (
        lambda: by_torch(lambda w: torch.optim.Adagrad(w, RATE)),
        over(np.sqrt(SQUARE) + 1e-10),
    ),
    "adagrad-optax": (lambda: by_optax(optax.adagrad(RATE)), over(np.sqrt(0.1 + SQUARE + 1e-7))),
    "rmsprop-keras": (
        lambda: by_keras(keras.optimizers.RMSprop(RATE)),
        over(np.sqrt(0.1 * SQUARE + 1e-7)),
    ),
    "rmsprop-torch": (
        lambda: by_torch(lambda w: torch.optim.RMSprop(w, RATE)),
        over(np.sqrt(0.01 * SQUARE) + 1e-8),
    ),
    "rmsprop-optax": (lambda: by_optax(optax.rmsprop(RATE)), over(np.sqrt(0.1 * SQUARE + 1e-8))),
    "adam-keras": (
        lambda: by_keras(keras.optimizers.Adam(RATE)),
        -RATE * np.sqrt(0.001) / 0.1 * 0.1 * GRADIENT / (np.sqrt(0.001 * SQUARE) + 1e-7),
    ),
    "adam-torch": (lambda: by_torch(lambda w: torch.optim.Adam(w, RATE)), ADAM_HAT),
    "adam-optax": (lambda: by_optax(optax.adam(RATE)), ADAM_HAT),
}


@pytest.mark.parametrize("name", list(CASES))
def test_where_epsilon_stands_and_what_it_starts_from(name):
    made, expected = CASES[name]
    np.testing.assert_allclose(made(), expected, rtol=2e-4)


def test_the_first_steps_lengths():
    """Of a gradient far above ε: √(1 / (1 − ρ)) rates, and one rate where AdaGrad starts from nothing."""
    steps = {name: -made()[-1] / GRADIENT[-1] * 2.0 / RATE for name, (made, _) in CASES.items()}
    assert steps["rmsprop-keras"] == pytest.approx(np.sqrt(10), rel=1e-3)
    assert steps["rmsprop-torch"] == pytest.approx(10, rel=1e-3)
    assert by_torch(lambda w: torch.optim.Adagrad(w, RATE))[1] == pytest.approx(-RATE, rel=1e-3)
    assert abs(by_keras(keras.optimizers.Adagrad(RATE))[1]) < 1e-4 * RATE
