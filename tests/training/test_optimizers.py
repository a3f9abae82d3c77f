"""Optimizers step by step against their closed form, Keras's own and those with a momentum that follows a schedule."""

import keras
import numpy as np
import optax
import pytest

from goodfit.training.optimizers import MomentumScheduleAdam, MomentumScheduleSGD
from goodfit.training.schedules import CycleMomentum, OneCycle, PowerDecay, rates

STEPS = 12
START = np.array([1.0, -2.0, 0.5, 3.0])


def gradients():
    return np.random.default_rng(3).normal(size=(STEPS, 4))


def walked(optimizer):
    """The weights after each step."""
    variable = keras.Variable(START.astype("float32"))
    optimizer.build([variable])
    found = []
    for gradient in gradients():
        optimizer.apply([gradient.astype("float32")], [variable])
        found.append(np.asarray(variable.value))
    return np.array(found)


def closed(step):
    """The weights after each step of a rule `(t from 1, w, g) -> w` in double precision."""
    w, found = START.copy(), []
    for t, gradient in enumerate(gradients(), start=1):
        w = step(t, w, gradient)
        found.append(w.copy())
    return np.array(found)


def sgd(rate, momentum=0.0, nesterov=False):
    velocity = np.zeros(4)

    def step(t, w, g):
        nonlocal velocity
        eta = rate(t) if callable(rate) else rate
        mu = momentum(t) if callable(momentum) else momentum
        velocity = mu * velocity - eta * g
        return w + (mu * velocity - eta * g if nesterov else velocity)

    return step


def adagrad(rate, start, epsilon):
    total = np.full(4, start)

    def step(_, w, g):
        nonlocal total
        total = total + g**2  # the squared gradient is added, without a decay
        return w - rate * g / np.sqrt(total + epsilon)

    return step


def rmsprop(rate, rho, epsilon):
    mean = np.zeros(4)

    def step(_, w, g):
        nonlocal mean
        mean = rho * mean + (1 - rho) * g**2
        return w - rate * g / np.sqrt(mean + epsilon)

    return step


def adam(rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7, decay=0.0):
    m, v, product = np.zeros(4), np.zeros(4), 1.0

    def step(t, w, g):
        nonlocal m, v, product
        eta = rate(t) if callable(rate) else rate
        beta = beta_1(t) if callable(beta_1) else beta_1
        product *= beta
        m = beta * m + (1 - beta) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        w = w - eta * decay * w
        corrected = np.sqrt(1 - beta_2**t)  # β to the power t
        return w - eta * corrected / (1 - product) * m / (np.sqrt(v) + epsilon)

    return step


def nadam(rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Dozat (2016), algorithm 1, with its schedule of β₁."""
    m, v, product = np.zeros(4), np.zeros(4), 1.0

    def step(t, w, g):
        nonlocal m, v, product
        now, after = (beta_1 * (1 - 0.5 * 0.96**place) for place in (t, t + 1))
        product *= now
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        ahead = after * m / (1 - product * after) + (1 - now) * g / (1 - product)
        return w - rate * ahead / (np.sqrt(v / (1 - beta_2**t)) + epsilon)

    return step


def lion(rate, beta_1=0.9, beta_2=0.99):
    """Chen et al. (2023), algorithm 2."""
    m = np.zeros(4)

    def step(_, w, g):
        nonlocal m
        w = w - rate * np.sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g
        return w

    return step


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        (lambda: keras.optimizers.SGD(0.1), lambda: sgd(0.1)),
        (lambda: keras.optimizers.SGD(0.1, momentum=0.9), lambda: sgd(0.1, 0.9)),
        (lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), lambda: sgd(0.1, 0.9, True)),
        (lambda: keras.optimizers.Adagrad(0.1), lambda: adagrad(0.1, 0.1, 1e-7)),
        (lambda: keras.optimizers.RMSprop(0.1), lambda: rmsprop(0.1, 0.9, 1e-7)),
        (lambda: keras.optimizers.Adam(0.1), lambda: adam(0.1)),
        (lambda: keras.optimizers.AdamW(0.1, weight_decay=0.02), lambda: adam(0.1, decay=0.02)),
        (lambda: keras.optimizers.Nadam(0.1), lambda: nadam(0.1)),
        (lambda: keras.optimizers.Lion(0.1), lambda: lion(0.1)),
    ],
    ids=["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "nadam", "lion"],
)
def test_keras_optimizers_are_their_closed_form(optimizer, rule):
    np.testing.assert_allclose(walked(optimizer()), closed(rule()), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("optimizer", "oracle"),
    [
        (lambda: keras.optimizers.Adam(0.1), optax.adam(0.1, eps=1e-7)),
        (lambda: keras.optimizers.Lion(0.1), optax.lion(0.1, weight_decay=0.0)),
        (lambda: keras.optimizers.RMSprop(0.1), optax.rmsprop(0.1, decay=0.9, eps=1e-7, eps_in_sqrt=True)),
    ],
    ids=["adam", "lion", "rmsprop"],
)
def test_keras_optimizers_walk_as_optax(optimizer, oracle):
    weights = np.asarray(START, "float32")
    state, found = oracle.init(weights), []
    for gradient in gradients().astype("float32"):
        update, state = oracle.update(gradient, state, weights)
        weights = optax.apply_updates(weights, update)
        found.append(np.asarray(weights))
    np.testing.assert_allclose(walked(optimizer()), found, rtol=1e-3, atol=1e-4)


def test_l2_penalty_is_weight_decay_for_plain_sgd_only():
    rate, strength = 0.1, 0.05

    def with_penalty(optimizer):
        variable = keras.Variable(START.astype("float32"))
        optimizer.build([variable])
        for gradient in gradients():
            penalty = 2 * strength * np.asarray(variable.value)  # the gradient of λ Σw² is 2λw
            optimizer.apply([(gradient + penalty).astype("float32")], [variable])
        return np.asarray(variable.value)

    decayed = walked(keras.optimizers.SGD(rate, weight_decay=2 * strength))[-1]
    np.testing.assert_allclose(with_penalty(keras.optimizers.SGD(rate)), decayed, rtol=1e-5)
    adamw = walked(keras.optimizers.AdamW(rate, weight_decay=2 * strength))[-1]
    assert np.abs(with_penalty(keras.optimizers.Adam(rate)) - adamw).max() > 1e-2


def test_a_constant_momentum_is_keras_own():
    for ours, theirs in (
        (MomentumScheduleSGD(0.1, 0.9), keras.optimizers.SGD(0.1, momentum=0.9)),
        (MomentumScheduleAdam(0.1), keras.optimizers.Adam(0.1)),
    ):
        np.testing.assert_allclose(walked(ours), walked(theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_that_follows_a_schedule_is_its_closed_form(nesterov):
    rate, momentum = OneCycle(0.1, STEPS), CycleMomentum(STEPS)
    optimizer = MomentumScheduleSGD(rate, momentum, nesterov=nesterov)
    eta, mu = rates(rate, STEPS), rates(momentum, STEPS)
    expected = closed(sgd(lambda t: eta[t - 1], lambda t: mu[t - 1], nesterov))
    np.testing.assert_allclose(walked(optimizer), expected, rtol=1e-4, atol=1e-5)


def test_beta_1_that_follows_a_schedule_is_its_closed_form():
    rate, momentum = PowerDecay(0.1, 5), CycleMomentum(STEPS)
    eta, beta = rates(rate, STEPS), rates(momentum, STEPS)
    expected = closed(adam(lambda t: eta[t - 1], lambda t: beta[t - 1]))
    np.testing.assert_allclose(walked(MomentumScheduleAdam(rate, momentum)), expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("kind", [MomentumScheduleSGD, MomentumScheduleAdam])
def test_it_trains_compiled_as_model_fit_does_and_is_saved(kind, parity, rows, tmp_path):
    x, y = rows(50)

    def make():
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(1)])
        model.compile(kind(OneCycle(0.05, 20), CycleMomentum(20)), "mse")
        return model

    model, _ = parity(make, x=x, y=y, batch_size=10, epochs=4)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    config = again.optimizer.get_config()
    assert config == model.optimizer.get_config()
    for ours, theirs in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.value), np.asarray(theirs.value))
