"""Layers, constraints, mixup, pruning and Monte-Carlo dropout against closed forms and independent implementations."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

import goodfit
from goodfit import InputError
from goodfit.training import engine
from goodfit.training.augmentation import Mixup
from goodfit.training.constraints import KeepZeros, SoftThreshold
from goodfit.training.layers import MonteCarlo, RandomizedLeakyReLU
from goodfit.training.pruning import prune
from goodfit.training.uncertainty import uncertainty


def dense(*layers, features=6):
    return keras.Sequential([keras.Input((features,)), *layers, keras.layers.Dense(1)])


# --- randomized leaky ReLU


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 0.4), st.floats(0, 0.5), st.integers(0, 9))
def test_randomized_leaky_relu_draws_its_slopes_and_takes_their_mean(lower, width, seed):
    upper = min(lower + width, 0.99)
    x = np.random.default_rng(seed).normal(size=(40, 5)).astype("float32")
    layer = RandomizedLeakyReLU(lower, upper, seed=seed)
    drawn = np.asarray(layer(x, training=True))
    np.testing.assert_array_equal(drawn[x >= 0], x[x >= 0])
    slope = drawn[x < 0] / x[x < 0]
    assert lower - 1e-5 <= slope.min() <= slope.max() <= upper + 1e-5
    np.testing.assert_allclose(
        np.asarray(layer(x)), np.where(x >= 0, x, x * (lower + upper) / 2), rtol=1e-5, atol=1e-30
    )


def test_randomized_leaky_relu_is_that_of_pytorch():
    x = np.linspace(-3, 3, 60_000, dtype="float32").reshape(-1, 6)
    ours, theirs = RandomizedLeakyReLU(seed=0), torch.nn.RReLU()
    theirs.eval()
    np.testing.assert_allclose(np.asarray(ours(x)), theirs(torch.tensor(x)).numpy(), rtol=1e-6)
    theirs.train()
    torch.manual_seed(0)
    slopes = [np.asarray(ours(x, training=True))[x < 0] / x[x < 0]]
    slopes.append(theirs(torch.tensor(x)).numpy()[x < 0] / x[x < 0])
    np.testing.assert_allclose(*np.quantile(slopes, [0.1, 0.5, 0.9], axis=1).T, atol=4e-3)
    assert np.asarray(ours(x, training=True)).std() != np.asarray(ours(x, training=True))[::-1].std()


def test_randomized_leaky_relu_trains_compiled_and_is_saved(parity, rows, tmp_path):
    x, y = rows(50)

    def make():
        model = dense(keras.layers.Dense(8), RandomizedLeakyReLU(seed=3))
        model.compile("adam", "mse")
        return model

    model, _ = parity(make, x=x, y=y, batch_size=16, epochs=3, validation_split=0.2)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


def test_slopes_outside_the_unit_interval_are_refused():
    for lower, upper in ((-0.1, 0.3), (0.4, 0.3), (0.2, 1.0)):
        with pytest.raises(InputError, match="slopes"):
            RandomizedLeakyReLU(lower, upper)


@pytest.mark.parametrize("first", ["goodfit", "keras"])
def test_a_saved_model_loads_once_goodfit_is_imported(first, tmp_path):
    model = keras.Sequential([keras.Input((2,)), RandomizedLeakyReLU(), MonteCarlo(keras.layers.Dropout(0.5))])
    model.save(tmp_path / "m.keras")
    second = {"goodfit": "keras", "keras": "goodfit"}[first]
    code = (
        f"import {first}, {second}\n"
        "import keras\n"
        f"model = keras.saving.load_model({str(tmp_path / 'm.keras')!r})\n"
        "assert [type(layer).__name__ for layer in model.layers] == ['RandomizedLeakyReLU', 'MonteCarlo']\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=240)


def test_importing_goodfit_imports_no_keras():
    code = "import goodfit, sys; assert 'keras' not in sys.modules and 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- what Keras has: closed forms where notes often slip


def test_inverted_dropout_keeps_the_mean_and_needs_no_rescaling():
    x = np.ones((2000, 50), "float32")
    layer = keras.layers.Dropout(0.4, seed=1)
    kept = np.asarray(layer(x, training=True))
    assert set(np.unique(kept.round(5))) == {0.0, np.float32(1 / 0.6).round(5)}
    assert kept.mean() == pytest.approx(1.0, abs=0.01)
    np.testing.assert_array_equal(np.asarray(layer(x, training=False)), x)


def test_batch_norm_keeps_a_moving_mean_and_a_moving_variance():
    x = np.random.default_rng(0).normal(3, 2, size=(64, 4)).astype("float32")
    layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
    out = np.asarray(layer(x, training=True))
    mean, variance = x.mean(axis=0), np.mean((x - x.mean(axis=0)) ** 2, axis=0)  # mean of squared deviations
    np.testing.assert_allclose(out, (x - mean) / np.sqrt(variance + 1e-3), atol=1e-5)
    np.testing.assert_allclose(np.asarray(layer.moving_mean.value), 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(layer.moving_variance.value), 0.9 + 0.1 * variance, rtol=1e-4)
    assert layer.count_params() == 4 * 4  # four numbers a unit
    assert sum(int(np.prod(v.shape)) for v in layer.trainable_variables) == 2 * 4


def test_elu_is_smooth_at_zero_for_alpha_one_only():
    step = np.float64(1e-3)
    for alpha, smooth in ((1.0, True), (0.5, False)):
        values = np.asarray(keras.activations.elu(np.array([-step, 0, step], "float32"), alpha=alpha))
        left, right = (values[1] - values[0]) / step, (values[2] - values[1]) / step
        assert (abs(left - right) < 2e-3) == smooth
        assert left == pytest.approx(alpha, abs=2e-3)


def test_selu_keeps_mean_and_variance():
    x = np.random.default_rng(0).normal(size=100_000).astype("float32")
    out = np.asarray(keras.activations.selu(x), np.float64)
    assert out.mean() == pytest.approx(0, abs=0.02)
    assert out.var() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        ("glorot_uniform", 2 / (300 + 200)), ("glorot_normal", 2 / (300 + 200)),
        ("he_uniform", 2 / 300), ("he_normal", 2 / 300),
        ("lecun_uniform", 1 / 300), ("lecun_normal", 1 / 300),
    ],
)  # fmt: skip
def test_initializers_have_their_variance(initializer, variance):
    drawn = np.asarray(keras.initializers.get(initializer)((300, 200)))
    assert drawn.var() == pytest.approx(variance, rel=0.03)
    if initializer.endswith("uniform"):
        assert np.abs(drawn).max() == pytest.approx(np.sqrt(3 * variance), rel=1e-3)


def test_an_orthogonal_kernel_is_orthogonal():
    drawn = np.asarray(keras.initializers.Orthogonal(seed=0)((30, 20)), np.float64)
    np.testing.assert_allclose(drawn.T @ drawn, np.eye(20), atol=1e-5)


def test_the_l2_penalty_is_lambda_times_the_sum_of_squares():
    w = np.array([[1.0, -2.0]], "float32")
    assert float(keras.regularizers.L2(0.1)(w)) == pytest.approx(0.5)
    assert float(keras.regularizers.L1(0.1)(w)) == pytest.approx(0.3)


# --- exact zeros


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 2), st.integers(0, 9))
def test_soft_threshold_is_that_of_pytorch(amount, seed):
    w = np.random.default_rng(seed).normal(size=(7, 3)).astype("float32")
    expected = torch.nn.functional.softshrink(torch.tensor(w), float(np.float32(amount))).numpy()
    np.testing.assert_allclose(np.asarray(SoftThreshold(amount)(w)), expected, atol=1e-6)


def test_soft_threshold_under_sgd_is_the_lasso():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 10)).astype("float32")
    y = (x[:, :3] @ [[2.0], [-1.0], [0.5]] + 0.1 * generator.normal(size=(200, 1))).astype("float32")
    alpha, rate = 0.2, 0.1
    layer = keras.layers.Dense(1, use_bias=False, kernel_constraint=SoftThreshold(rate * 2 * alpha))
    model = keras.Sequential([keras.Input((10,)), layer])
    model.compile(keras.optimizers.SGD(rate), "mse")  # the mean square is twice scikit-learn's half mean square
    goodfit.fit(model, x, y, batch_size=200, epochs=300, verbose=0, checks="off")
    found = np.asarray(layer.kernel.value)[:, 0]
    expected = Lasso(alpha, fit_intercept=False, tol=1e-6, max_iter=100_000).fit(x, y[:, 0]).coef_
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(found == 0, expected == 0)
    penalized = keras.layers.Dense(1, use_bias=False, kernel_regularizer=keras.regularizers.L1(2 * alpha))
    plain = keras.Sequential([keras.Input((10,)), penalized])
    plain.compile(keras.optimizers.SGD(rate), "mse")
    goodfit.fit(plain, x, y, batch_size=200, epochs=300, verbose=0, checks="off")
    assert not (np.asarray(penalized.kernel.value) == 0).any()


def test_pruned_weights_are_the_smallest_and_stay_zero(rows, tmp_path):
    x, y = rows(50)
    model = dense(keras.layers.Dense(16, "relu"))
    before = np.concatenate([np.abs(layer.kernel.numpy()).ravel() for layer in model.layers])
    found = prune(model, sparsity=0.75)
    after = np.concatenate([layer.kernel.numpy().ravel() for layer in model.layers])
    assert found.sparsity == pytest.approx(0.75, abs=0.01)
    assert before[after == 0].max() <= before[after != 0].min() == pytest.approx(found.threshold)
    model.compile("adam", "mse")
    goodfit.fit(model, x, y, epochs=5, verbose=0)
    trained = np.concatenate([layer.kernel.numpy().ravel() for layer in model.layers])
    np.testing.assert_array_equal(trained == 0, after == 0)
    assert (trained != after).any()
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert isinstance(again.layers[0].kernel_constraint, KeepZeros)
    goodfit.fit(again, x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(np.concatenate([k.kernel.numpy().ravel() for k in again.layers]) == 0, after == 0)


def test_bad_pruning_is_refused():
    model = dense()
    for arguments in ({}, {"sparsity": 0.5, "threshold": 0.1}, {"sparsity": 1.0}, {"threshold": -1}):
        with pytest.raises(InputError):
            prune(model, **arguments)
    with pytest.raises(InputError, match="constraint MaxNorm"):
        prune(dense(keras.layers.Dense(4, kernel_constraint=keras.constraints.MaxNorm(2))), sparsity=0.5)


# --- mixup


def test_mixup_blends_pairs_with_one_share(rows):
    x, y = rows(32)
    model = Mixup(dense(), alpha=0.4, seed=5)
    blended_x, blended_y = (np.asarray(part) for part in model._blended((x, y)))
    both, mixed = np.concatenate([x, y], axis=1), np.concatenate([blended_x, blended_y], axis=1)
    differences = both[None] - both[:, None]  # other minus own
    shares = []
    for place in range(len(x)):
        moved = mixed[place] - both[place]
        share = np.einsum("kj,j->k", differences[place], moved) / np.maximum(
            (differences[place] ** 2).sum(axis=1), 1e-9
        )
        residual = np.abs(share[:, None] * differences[place] - moved).max(axis=1)
        best = int(residual.argmin())
        assert residual[best] < 1e-5
        shares.append(share[best] if best != place and np.abs(moved).max() > 1e-6 else np.nan)
    assert np.nanstd(shares) < 1e-4
    assert 0 <= np.nanmean(shares) <= 1


def test_mixup_without_blending_is_the_model_itself_and_with_it_trains_compiled(rows, tmp_path):
    x, y = rows(48)

    def make(alpha):
        keras.utils.set_random_seed(1)
        model = Mixup(dense(keras.layers.Dense(4, "tanh")), alpha=alpha, seed=2)
        model.compile("adam", "mse")
        return model

    plain = dense(keras.layers.Dense(4, "tanh"))
    none = make(0.0)
    plain.set_weights(none.model.get_weights())
    plain.compile("adam", "mse")
    histories = [m.fit(x, y, shuffle=False, epochs=3, verbose=0).history["loss"] for m in (none, plain)]
    np.testing.assert_allclose(*histories, rtol=1e-6)
    model, stock = make(0.3), make(0.3)
    np.random.seed(0)
    expected = stock.fit(x, y, batch_size=16, epochs=3, verbose=0).history["loss"]
    np.random.seed(0)
    found = engine.fit(model, x, y, batch_size=16, epochs=3, verbose=0)
    assert found.engine == "compiled", found.engine_reason
    # the share is drawn by a rejection loop, which XLA rounds in another way inside a larger program
    np.testing.assert_allclose(found.history["loss"], expected, rtol=1e-5)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.alpha == 0.3
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    with pytest.raises(InputError, match="alpha"):
        make(-0.1)


# --- Monte-Carlo dropout


def test_monte_carlo_dropout_has_the_moments_of_inverted_dropout():
    weights = np.random.default_rng(0).normal(size=(20, 1)).astype("float32")
    x = np.random.default_rng(1).normal(size=(5, 20)).astype("float32")
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dropout(0.3), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([weights])
    found = uncertainty(model, x, samples=4000)
    variance = 0.3 / 0.7 * (x.astype(np.float64) ** 2 @ weights.astype(np.float64) ** 2)
    np.testing.assert_allclose(found.mean, x @ weights, atol=4 * np.sqrt(variance.max() / 4000))
    np.testing.assert_allclose(found.sd**2, variance, rtol=0.12)
    low, high = found.interval(0.9, noise_sd=2.0)
    np.testing.assert_allclose((high - low) / 2, 1.6448536 * np.sqrt(found.sd**2 + 4), rtol=1e-6)


def test_monte_carlo_dropout_leaves_batch_norm_in_inference_mode_and_the_model_as_it_is(rows):
    x, _ = rows(40)
    model = dense(keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5))
    model.layers[1].moving_mean.assign(np.full(8, 5.0))
    before = [np.asarray(w) for w in model.get_weights()]
    state = np.random.get_state()[1].copy()
    one, other = uncertainty(model, x, samples=300), uncertainty(model, x, samples=300)
    np.testing.assert_array_equal(one.samples, other.samples)
    assert not np.array_equal(one.samples, uncertainty(model, x, samples=300, seed=1).samples)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(state, np.random.get_state()[1])
    # with batch statistics the mean of the hidden units would be 0, not far below it
    inference = model.predict(x, verbose=0)
    np.testing.assert_allclose(one.mean, inference, atol=6 * one.sd.max() / np.sqrt(300))


def test_functional_models_alpha_dropout_and_classes(rows):
    x, _ = rows(30)
    inputs = keras.Input((6,))
    hidden = keras.layers.AlphaDropout(0.2)(keras.layers.Dense(8, "selu", "he_normal")(inputs))
    joined = keras.layers.Concatenate()([hidden, inputs])
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(joined))
    found = uncertainty(model, x, samples=50)
    np.testing.assert_allclose(found.mean.sum(axis=1), 1, rtol=1e-5)
    assert (found.entropy >= 0).all()
    assert (found.entropy <= np.log(3) + 1e-9).all()
    assert (found.sd > 0).all()


def test_the_dropout_of_recurrent_layers_is_drawn_too():
    x = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")
    x[2:, 3:] = 0
    layers, count = keras.layers, 64
    for layer in (
        layers.GRU(4, recurrent_dropout=0.3),
        layers.Bidirectional(layers.LSTM(4, dropout=0.3)),
        layers.RNN([layers.LSTMCell(4), layers.LSTMCell(4, dropout=0.3)]),
    ):
        model = keras.Sequential([keras.Input((5, 3)), layers.Masking(), layer, layers.Dense(1)])
        found = uncertainty(model, x, samples=2000)
        drawn = np.stack([np.asarray(model(x, training=True)) for _ in range(count)])
        np.testing.assert_allclose(found.mean, drawn.mean(axis=0), atol=4 * found.sd.max() / np.sqrt(count))
        np.testing.assert_allclose(found.sd, drawn.std(axis=0, ddof=1), rtol=4 / np.sqrt(2 * count))


@pytest.fixture(params=["mixed_bfloat16", "mixed_float16"])
def mixed_precision(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("mixed_precision")
def test_numbers_of_words_stay_whole_in_mixed_precision():
    x = np.random.default_rng(0).integers(0, 5000, (20, 4))
    layers = [keras.Input((4,), dtype="int32"), keras.layers.Embedding(5000, 8), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dropout(1e-7), keras.layers.Dense(1, dtype="float32")])
    np.testing.assert_allclose(uncertainty(model, x, samples=2).mean, model.predict(x, verbose=0), rtol=1e-5)


def test_a_model_without_dropout_is_refused(rows):
    x, _ = rows(10)
    with pytest.raises(InputError, match="no dropout"):
        uncertainty(dense(), x)
    with pytest.raises(InputError, match="no dropout"):
        uncertainty(keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4)]), np.ones((2, 5, 3)))
    with pytest.raises(InputError, match="samples is 1"):
        uncertainty(dense(keras.layers.Dropout(0.5)), x, samples=1)


@pytest.mark.parametrize("before", ["goodfit", "keras"])
@pytest.mark.parametrize("after", ["goodfit", "keras"])
def test_zeros_stay_where_the_model_was_trained_before(before, after):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 6)).astype("float32")
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    fits = {"goodfit": lambda: goodfit.fit(model, x, x[:, 0], epochs=3, verbose=0)}
    fits["keras"] = lambda: model.fit(x, x[:, 0], epochs=3, verbose=0)
    fits[before]()
    goodfit.prune(model, sparsity=0.5)
    zeros = [w == 0 for w in model.get_weights() if w.ndim > 1]
    fits[after]()
    for was, now in zip(zeros, [w for w in model.get_weights() if w.ndim > 1], strict=True):
        assert (now[was] == 0).all()
        assert was.any()


def test_a_constraint_that_is_there_is_told_before_anything_is_pruned():
    bound = keras.constraints.MaxNorm(3)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(16), keras.layers.Dense(4, kernel_constraint=bound)]
    )
    model.compile("adam", "mse")
    before = model.get_weights()
    with pytest.raises(InputError, match="has the constraint MaxNorm already"):
        goodfit.prune(model, sparsity=0.5)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
