"""The rewritten convolutions and max-pooling against JAX's own, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from goodfit.training.convolution import canonicalize

R = np.random.default_rng(0)


def draw(*shape):
    return jnp.array(R.normal(size=shape), jnp.float32)


def rewritten(function, *arguments):
    """The function's outputs computed by the rewritten jaxpr, and the primitives that it is made of now."""
    jaxpr = jax.make_jaxpr(function)(*arguments)
    run = canonicalize(jaxpr)
    return jax.jit(run)(*arguments), str(jax.make_jaxpr(run)(*arguments))


CONVOLUTIONS = {
    "1d": ((4, 9, 3), (3, 3, 5), ("NWC", "WIO", "NWC"), {}),
    "2d": ((4, 9, 8, 3), (3, 2, 3, 5), ("NHWC", "HWIO", "NHWC"), {}),
    "3d": ((2, 5, 5, 4, 2), (2, 2, 2, 2, 3), ("NDHWC", "DHWIO", "NDHWC"), {}),
    "channels-first": ((4, 3, 9, 8), (5, 3, 3, 2), ("NCHW", "OIHW", "NCHW"), {}),
    "strided": ((4, 9, 8, 3), (3, 2, 3, 5), ("NHWC", "HWIO", "NHWC"), {"window_strides": (2, 3)}),
    "dilated": ((4, 9, 8, 3), (3, 2, 3, 5), ("NHWC", "HWIO", "NHWC"), {"rhs_dilation": (2, 2)}),
    "transposed": ((4, 9, 8, 3), (3, 2, 3, 5), ("NHWC", "HWIO", "NHWC"), {"lhs_dilation": (2, 2)}),
    "grouped": ((4, 9, 8, 4), (3, 2, 2, 6), ("NHWC", "HWIO", "NHWC"), {"feature_group_count": 2}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_convolution_and_its_gradients(name, padding):
    left, right, numbers, options = CONVOLUTIONS[name]
    options = {"window_strides": (1,) * (len(left) - 2), **options}
    if name == "transposed":
        padding = [(2, 1), (1, 2)] if padding == "SAME" else [(0, 0), (0, 0)]

    def both(x, k):
        value, back = jax.vjp(
            lambda x, k: lax.conv_general_dilated(x, k, padding=padding, dimension_numbers=numbers, **options), x, k
        )
        return value, *back(jnp.cos(value))

    arguments = draw(*left), draw(*right)
    got, _ = rewritten(both, *arguments)
    for a, b in zip(got, jax.jit(both)(*arguments), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def test_convolutions_in_inner_loops_and_branches():
    kernel = draw(3, 3, 2, 2)

    def convolve(x):
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NCHW", "HWIO", "NCHW"))

    def function(x):
        x, _ = lax.scan(lambda c, _: (jnp.tanh(convolve(c)), None), x, None, length=3)
        x = lax.fori_loop(0, x.shape[0], lambda _, c: 0.5 * convolve(c), x)
        return lax.cond(x.sum() > 0, convolve, lambda y: -convolve(y), x)

    x = draw(2, 2, 5, 5)
    (got,), text = rewritten(function, x)
    np.testing.assert_allclose(got, function(x), rtol=1e-5, atol=1e-6)
    assert "out_spec=(0, 3, 1, 2)" in text
    assert "out_spec=(0, 1, 2, 3)" not in text


POOLS = {
    "2d": ((3, 8, 6, 2), (1, 2, 2, 1), "VALID"),
    "rest": ((3, 9, 7, 2), (1, 2, 2, 1), "VALID"),
    "padded": ((3, 9, 7, 2), (1, 2, 2, 1), "SAME"),
    "three": ((3, 9, 9, 2), (1, 3, 3, 1), "VALID"),
    "channels-first": ((3, 2, 8, 6), (1, 1, 2, 2), "VALID"),
    "1d": ((3, 9, 4), (1, 3, 1), "VALID"),
    "3d": ((2, 4, 4, 6, 2), (1, 2, 2, 3, 1), "VALID"),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("values", ["random", "ties", "nan"])
def test_gradient_of_max_pooling(name, values):
    shape, window, padding = POOLS[name]
    x = draw(*shape)
    if values == "ties":
        x = jnp.round(x)
    if values == "nan":
        x = jnp.where(draw(*shape) > 1, jnp.nan, x)

    def pool(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, padding)

    gradient = draw(*jax.eval_shape(pool, x).shape)

    def back(x, g):
        return jax.vjp(pool, x)[1](g)[0]

    (got,), text = rewritten(back, x, gradient)
    np.testing.assert_array_equal(got, jax.jit(back)(x, gradient))
    assert "select_and_scatter" not in text


def test_overlapping_windows_are_left_alone():
    x = draw(2, 9, 9, 1)

    def back(x):
        pool = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")  # noqa: E731
        return jax.grad(lambda x: jnp.sum(pool(x) ** 2))(x)

    (got,), text = rewritten(back, x)
    np.testing.assert_array_equal(got, jax.jit(back)(x))
    assert "select_and_scatter" in text


def test_without_a_slow_form_nothing_is_rewritten():
    jaxpr = jax.make_jaxpr(lambda x: jnp.tanh(x) @ x)(draw(3, 3))
    again = jax.make_jaxpr(canonicalize(jaxpr))(draw(3, 3))
    assert [e.primitive.name for e in again.eqns] == [e.primitive.name for e in jaxpr.eqns]
