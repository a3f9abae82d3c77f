"""Techniques that Keras has: activations, normalization, clipping, schedules and more against their closed forms."""

import keras
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, ndtr

A, D = keras.activations, keras.optimizers.schedules
NUMBERS = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=8).map(lambda v: np.array(v, "float32"))
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        (A.sigmoid, expit),
        (A.tanh, np.tanh),
        (A.relu, lambda z: np.maximum(z, 0)),
        (lambda z: A.leaky_relu(z, 0.1), lambda z: np.where(z > 0, z, 0.1 * z)),
        (A.elu, lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0)))),
        (A.selu, lambda z: SCALE * np.where(z > 0, z, ALPHA * np.expm1(np.minimum(z, 0)))),
        (lambda z: A.gelu(z, approximate=False), lambda z: z * ndtr(z)),
        (A.silu, lambda z: z * expit(z)),
    ],
    ids=["logistic", "tanh", "relu", "leaky", "elu", "selu", "gelu", "silu"],
)
@settings(deadline=None, max_examples=20)
@given(z=NUMBERS)
def test_activations_are_their_closed_form(activation, formula, z):
    np.testing.assert_allclose(np.asarray(activation(z)), formula(z.astype(np.float64)), rtol=2e-5, atol=2e-6)


def test_a_parametric_relu_learns_one_slope_for_each_unit():
    layer = keras.layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25))
    z = np.array([[-4.0, 2.0]], "float32")
    np.testing.assert_allclose(layer(z), [[-1.0, 2.0]])
    assert [variable.shape for variable in layer.trainable_variables] == [(2,)]


def test_layer_normalization_takes_mean_and_variance_of_each_row():
    x = np.random.default_rng(0).normal(3, 2, (5, 7)).astype("float32")
    mean = x.mean(axis=1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(keras.layers.LayerNormalization(epsilon=1e-3)(x), expected, rtol=1e-4, atol=1e-5)


def test_gaussian_noise_has_its_deviation_in_training_only():
    x, layer = np.zeros((400, 50), "float32"), keras.layers.GaussianNoise(0.3, seed=1)
    np.testing.assert_array_equal(layer(x, training=False), x)
    assert np.asarray(layer(x, training=True)).std() == pytest.approx(0.3, rel=0.02)


def clipped(**clipping):
    """What SGD at rate 1 subtracts for two gradients."""
    optimizer = keras.optimizers.SGD(1.0, **clipping)
    variables = [keras.Variable(np.zeros(2, "float32")), keras.Variable(np.zeros(1, "float32"))]
    optimizer.apply([np.array([3.0, -4.0], "float32"), np.array([12.0], "float32")], variables)
    return [-np.asarray(variable.value) for variable in variables]


def test_gradients_are_clipped_by_value_by_norm_and_by_global_norm():
    for found, expected in (
        (clipped(clipvalue=3.5), ([3.0, -3.5], [3.5])),
        (clipped(clipnorm=1.0), ([0.6, -0.8], [1.0])),  # each gradient by its own norm: 5 and 12
        (clipped(global_clipnorm=6.5), ([1.5, -2.0], [6.0])),  # all by their common norm, 13
        (clipped(global_clipnorm=100.0), ([3.0, -4.0], [12.0])),
    ):
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_max_norm_bounds_each_units_incoming_weights():
    weights = np.array([[3.0, 0.3], [4.0, 0.4]], "float32")  # units in columns, of norm 5 and 0.5
    np.testing.assert_allclose(keras.constraints.MaxNorm(1.0, axis=0)(weights), [[0.6, 0.3], [0.8, 0.4]], rtol=1e-4)


@settings(deadline=None, max_examples=15)
@given(rate=st.floats(1e-4, 1.0), steps=st.integers(5, 400), step=st.integers(0, 399))
def test_schedules_are_those_of_optax(rate, steps, step):
    pairs = (
        (D.ExponentialDecay(rate, steps, 0.1), optax.exponential_decay(rate, steps, 0.1)),
        (D.PolynomialDecay(rate, steps, rate / 10), optax.polynomial_schedule(rate, rate / 10, 1.0, steps)),
        (D.CosineDecay(rate, steps), optax.cosine_decay_schedule(rate, steps)),
    )
    for ours, theirs in pairs:
        assert float(ours(step)) == pytest.approx(float(theirs(step)), rel=1e-3, abs=1e-7)


def test_a_piecewise_schedule_holds_its_first_value_up_to_and_with_the_boundary():
    schedule = D.PiecewiseConstantDecay([3, 6], [1.0, 0.1, 0.01])
    assert [round(float(schedule(step)), 3) for step in range(8)] == [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01]
