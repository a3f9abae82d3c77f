"""The pure functions against `model.fit`, bit for bit, in one jitted scan over epochs."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from goodfit.training import program

layers = keras.layers
ROWS, BATCH, EPOCHS = 37, 8, 3


def mlp():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(1)])


def dropout():
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="tanh"), layers.Dropout(0.3, seed=3), layers.Dense(1)]
    )


def batch_normalization():
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8), layers.BatchNormalization(), layers.ReLU(), layers.Dense(1)]
    )


def cnn():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(64),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(6, 2, padding="same"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1),
        ]
    )


def compiled(make):
    keras.utils.set_random_seed(1)
    model = make()
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def rows(count=ROWS, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 6)).astype("float32")
    return x, (x[:, :1] * x[:, 1:2] + 0.1 * random.normal(size=(count, 1))).astype("float32")


def equal(one, other):
    leaves, tree = jax.tree.flatten(one)
    assert tree == jax.tree.structure(other)
    for a, b in zip(leaves, jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def built(model):
    model.train_on_batch(*(a[:2] for a in rows()))  # Keras's own way to build optimizer and metrics
    return model


@pytest.mark.parametrize("make", [mlp, dropout, batch_normalization, pytest.param(cnn, marks=pytest.mark.slow)])
def test_equals_model_fit_bit_for_bit(make):
    x, y = rows()
    vx, vy = rows(11, seed=1)
    one, other = built(compiled(make)), built(compiled(make))
    np.random.seed(5)
    history = one.fit(
        x, y, batch_size=BATCH, epochs=EPOCHS, validation_data=(vx, vy), validation_batch_size=4, verbose=0
    ).history

    np.random.seed(5)
    orders = np.stack([np.random.permutation(ROWS) for _ in range(EPOCHS)]).astype("int32")

    @jax.jit
    def run(state, data, validation, orders):
        def epoch(state, order):
            logs, state = program.train_epoch(other, state, data, order, BATCH)
            val_logs, state = program.validate(other, state, validation, 4)
            return state, {**logs, **val_logs}

        return jax.lax.scan(epoch, state, orders)

    state, logs = run(program.read_state(other), (x, y), (vx, vy), orders)
    equal({name: np.asarray(values, "float32") for name, values in history.items()}, logs)
    equal(program.read_state(one), state)
    program.write_state(other, state)
    equal(program.read_state(one), program.read_state(other))


def test_without_shuffling_and_without_a_smaller_last_batch():
    x, y = rows(32)
    one, other = built(compiled(mlp)), built(compiled(mlp))
    history = one.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0).history
    logs, state = jax.jit(lambda s, d: program.train_epoch(other, s, d, None, BATCH))(program.read_state(other), (x, y))
    equal({name: np.asarray(values[0], "float32") for name, values in history.items()}, logs)
    equal(program.read_state(one), state)


def test_fewer_rows_than_a_batch():
    x, y = rows(5)
    one, other = built(compiled(mlp)), built(compiled(mlp))
    history = one.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0).history
    logs, state = jax.jit(lambda s, d: program.train_epoch(other, s, d, None, BATCH))(program.read_state(other), (x, y))
    assert history["loss"] == [float(logs["loss"])]
    equal(program.read_state(one), state)


@pytest.mark.parametrize("make", [dropout, *(pytest.param(m, marks=pytest.mark.slow) for m in (mlp, cnn))])
def test_members_under_vmap_equal_single_runs(make):
    x, y = rows()
    model = built(compiled(make))
    state = program.read_state(model)
    orders = np.stack([np.random.default_rng(seed).permutation(ROWS) for seed in range(3)]).astype("int32")
    states = jax.tree.map(lambda a: jnp.stack([a, a, a]), state)
    logs, after = jax.jit(jax.vmap(lambda s, o: program.train_epoch(model, s, (x, y), o, BATCH)))(states, orders)
    single = jax.jit(lambda s, o: program.train_epoch(model, s, (x, y), o, BATCH))
    for member, order in enumerate(orders):
        logs_of_one, state_of_one = single(state, order)
        for a, b in zip(jax.tree.leaves((logs_of_one, state_of_one)), jax.tree.leaves((logs, after)), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b)[member], rtol=2e-4, atol=1e-6)


def test_tracing_leaves_the_model_alone():
    model = built(compiled(dropout))
    before = jax.tree.map(np.asarray, program.read_state(model))
    jax.jit(lambda s, d: program.train_epoch(model, s, d, None, BATCH))(program.read_state(model), rows())
    equal(before, program.read_state(model))


def test_a_step_that_logs_no_dict_is_refused():
    class Odd(keras.Model):
        def train_step(self, state, data):
            return 0.0, super().train_step(state, data)[1]

    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    model = Odd(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    model.evaluate(*rows(), verbose=0)
    with pytest.raises(TypeError, match="dict of logs"):
        jax.jit(lambda s, d: program.train_epoch(model, s, d, None, BATCH))(program.read_state(model), rows())
