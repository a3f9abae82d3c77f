"""Signals against closed forms, against other implementations, and without a trace on the training."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
from keras import layers, ops

import goodfit
from goodfit.errors import InputError
from goodfit.training import engine, program, signals


def probe(model, x, y, batch_size=None):
    """Name -> layer -> value of the model as it stands, on all rows."""
    measure = signals.Probe(model, (x, y), batch_size or len(x))
    values = np.asarray(measure(program.read_state(model)))
    assert values.dtype == np.float32
    table = dict(zip(signals.NAMES, values, strict=True))
    return {name: dict(zip(measure.layers, row.tolist(), strict=True)) for name, row in table.items()}


def compiled(parts, optimizer="sgd", loss="mse", **options):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(parts)
    model.compile(optimizer, loss, **options)
    return model


@pytest.fixture
def linear(rows):
    x, y = rows(40)
    model = compiled([keras.Input((6,)), layers.Dense(1, name="only")], keras.optimizers.SGD(0.05))
    model.train_on_batch(x, y)  # builds all
    return model, x, y


def test_one_linear_layer_against_the_closed_form(linear):
    model, x, y = linear
    weights, bias = (np.asarray(w, np.float64) for w in model.get_weights())
    given = x @ weights + bias
    gradient = 2 / len(x) * x.T @ (given - y)
    got = {name: values["only"] for name, values in probe(model, x, y).items()}
    assert got["grad_norm"] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    assert got["grad_rms"] == pytest.approx(np.sqrt((gradient**2).mean()), rel=1e-5)
    assert got["weight_rms"] == pytest.approx(np.sqrt((weights**2).mean()), rel=1e-5)
    assert got["update_ratio"] == pytest.approx(0.05 * np.linalg.norm(gradient) / np.linalg.norm(weights), rel=1e-4)
    assert got["activation_mean"] == pytest.approx(given.mean(), rel=1e-5)
    assert got["activation_var"] == pytest.approx(given.var(), rel=1e-5)
    assert np.isnan(got["unit_spread"])
    assert got["activation_grad_var"] == pytest.approx((2 * (given - y)).var(), rel=1e-4)
    assert np.isnan(got["dead_fraction"])
    assert np.isnan(got["saturated_fraction"])


def test_a_deep_network_against_pytorch(rows):
    torch = pytest.importorskip("torch")
    x, y = rows(64)
    model = compiled(
        [
            keras.Input((6,)),
            layers.Dense(8, "tanh", kernel_initializer=keras.initializers.RandomNormal(0, 1.0, 1), name="first"),
            layers.Dense(7, name="second"),
            layers.BatchNormalization(epsilon=1e-5, name="norm"),
            layers.ReLU(name="relu"),
            layers.Dense(5, "sigmoid", kernel_initializer=keras.initializers.RandomNormal(0, 3.0, 2), name="third"),
            layers.Dense(1, name="last"),
        ]
    )
    model.train_on_batch(x, y)
    got = probe(model, x, y)

    def tensor(value):
        return torch.tensor(np.asarray(value, np.float64), requires_grad=True)

    w1, b1, w2, b2, scale, shift, _, _, w3, b3, w4, b4 = map(tensor, model.get_weights())
    first = torch.tanh(torch.tensor(x, dtype=torch.float64) @ w1 + b1)
    second = first @ w2 + b2
    normal = torch.nn.functional.batch_norm(second, None, None, scale, shift, training=True, eps=1e-5)
    relu = torch.relu(normal)
    third = torch.sigmoid(relu @ w3 + b3)
    last = third @ w4 + b4
    made = {"first": first, "second": second, "relu": relu, "third": third, "last": last}
    for value in made.values():
        value.retain_grad()
    torch.mean((last - torch.tensor(y, dtype=torch.float64)) ** 2).backward()

    assert list(got["grad_rms"]) == ["first", "second", "relu", "third", "last"]
    for name, kernel in (("first", w1), ("second", w2), ("third", w3), ("last", w4)):
        assert got["grad_norm"][name] == pytest.approx(kernel.grad.norm().item(), rel=1e-4)
        assert got["grad_rms"][name] == pytest.approx(kernel.grad.square().mean().sqrt().item(), rel=1e-4)
        assert got["weight_rms"][name] == pytest.approx(kernel.square().mean().sqrt().item(), rel=1e-5)
    for name, value in made.items():
        assert got["activation_mean"][name] == pytest.approx(value.mean().item(), rel=1e-4)
        assert got["activation_var"][name] == pytest.approx(value.var(correction=0).item(), rel=1e-4)
        if name != "last":
            spread = value.var(dim=1, correction=0).mean() / value.var(correction=0)
            assert got["unit_spread"][name] == pytest.approx(spread.item(), rel=1e-4)
        backward = (len(x) * value.grad).var(correction=0).item()
        assert got["activation_grad_var"][name] == pytest.approx(backward, rel=1e-3)
    assert got["saturated_fraction"]["first"] == pytest.approx((first.abs() > 0.95).double().mean().item())
    assert got["saturated_fraction"]["third"] == pytest.approx(
        ((third < 0.025) | (third > 0.975)).double().mean().item()
    )
    assert 0 < got["saturated_fraction"]["third"] < 1
    assert np.isnan(got["grad_rms"]["relu"])
    assert got["dead_fraction"]["relu"] == (relu == 0).all(dim=0).double().mean().item()


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        lambda: keras.optimizers.Adam(0.01),
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
        lambda: keras.optimizers.RMSprop(0.01, clipnorm=0.01),
    ],
)
def test_the_update_is_the_step_that_keras_takes(rows, optimizer):
    x, y = rows(40)
    model = compiled([keras.Input((6,)), layers.Dense(5, "relu", name="a"), layers.Dense(1, name="b")], optimizer())
    for _ in range(3):
        model.train_on_batch(x, y)
    got = probe(model, x, y)["update_ratio"]
    before = [np.asarray(layer.kernel.value) for layer in model.layers]
    model.train_on_batch(x, y)
    for layer, old in zip(model.layers, before, strict=True):
        ratio = np.linalg.norm(np.asarray(layer.kernel.value) - old) / np.linalg.norm(old)
        assert got[layer.name] == pytest.approx(ratio, rel=1e-3)


@pytest.mark.parametrize(
    ("make", "bias", "dead"),
    [
        (lambda: layers.Dense(8, "relu", name="it"), -100.0, 0.25),
        (lambda: layers.Dense(8, "relu6", name="it"), -100.0, 0.25),
        (lambda: layers.Dense(8, "silu", name="it"), -100.0, 0.25),
        (lambda: layers.Dense(8, "gelu", name="it"), -100.0, 0.25),
        (lambda: layers.Dense(8, "elu", name="it"), -100.0, 0.25),
        (lambda: layers.Dense(8, "selu", name="it"), -100.0, 0.25),
        (lambda: layers.Dense(8, "silu", name="it"), -3.0, 0.0),
        (lambda: layers.Dense(8, layers.ReLU(), name="it"), -100.0, 0.25),
        (lambda: layers.Dense(8, "leaky_relu", name="it"), -100.0, None),
        (lambda: layers.Dense(8, layers.ReLU(negative_slope=0.1), name="it"), -100.0, None),
        (lambda: layers.Dense(8, "tanh", name="it"), -100.0, None),
        (lambda: layers.Dense(8, name="it"), -100.0, None),
    ],
)
def test_units_killed_by_hand_are_counted(rows, make, bias, dead):
    x, y = rows(40)
    model = compiled([keras.Input((6,)), make(), layers.Dense(1)])
    kernel = np.abs(model.get_layer("it").get_weights()[0]) * 0.1
    model.get_layer("it").set_weights([kernel, np.array([bias] * 2 + [1.0] * 6)])
    model.optimizer.build(model.trainable_variables)
    got = probe(model, x, y)["dead_fraction"]["it"]
    assert np.isnan(got) if dead is None else got == dead


def test_an_activation_layer_of_its_own_holds_what_dies_and_what_saturates(rows):
    x, y = rows(40)
    parts = [keras.Input((6,)), layers.Dense(4, name="a"), layers.Activation("relu", name="b")]
    parts += [layers.Dense(4, name="c"), layers.Activation("tanh", name="d"), layers.LeakyReLU(name="e")]
    model = compiled([*parts, layers.Dense(1, "sigmoid", name="f")])
    model.get_layer("a").bias.assign([-100.0, 1.0, 1.0, 1.0])
    model.get_layer("c").bias.assign([100.0, 0.0, -100.0, 0.0])
    model.optimizer.build(model.trainable_variables)
    got = probe(model, x, y)
    assert {n: v for n, v in got["dead_fraction"].items() if not np.isnan(v)} == {"b": 0.25}
    saturated = {n: v for n, v in got["saturated_fraction"].items() if not np.isnan(v)}
    assert list(saturated) == ["d"]  # not the sigmoid that gives the model's outputs
    assert 0.5 <= saturated["d"] < 0.75


class Residual(layers.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.inner = layers.Dense(units, "relu", name="inner")

    def call(self, x):
        return x + self.inner(x)


class Written(keras.Model):
    """Layers are called in another order than they are named."""

    def __init__(self):
        super().__init__(name="written")
        self.head = layers.Dense(1, name="head")
        self.block = Residual(6, name="block")
        self.blocks = [layers.Dense(6, "tanh", name="more")]

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.block(x))


def functional(shape, build):
    inputs = keras.Input(shape)
    return keras.Model(inputs, build(inputs))


def shared(inputs):
    twice = layers.Dense(6, "relu", name="twice")
    return layers.Dense(1, name="end")(twice(twice(inputs)))


def two_outputs(inputs):
    hidden = layers.Dense(6, "relu", name="trunk")(inputs)
    return {"p": layers.Dense(1, name="p")(hidden), "q": layers.Dense(1, name="q")(hidden)}


def nested(inputs):
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, "relu", name="deep")], name="inner")
    return layers.Dense(1, name="end")(inner(inputs))


def image(inputs):
    picture = layers.Reshape((3, 2, 1))(inputs)
    picture = layers.Conv2D(4, 2, activation="relu", padding="same", name="conv")(picture)
    return layers.Dense(1, name="end")(layers.Flatten()(layers.MaxPooling2D(2, padding="same")(picture)))


def sequence(inputs):
    steps = layers.Reshape((3, 2))(inputs)
    steps = layers.LSTM(4, return_sequences=True, name="lstm")(steps)
    steps = layers.MultiHeadAttention(2, 3, name="attention")(steps, steps)
    return layers.Dense(1, name="end")(layers.GlobalAveragePooling1D()(steps))


def frozen(inputs):
    still = layers.Dense(6, "relu", name="still", trainable=False)
    return layers.Dense(1, name="end")(layers.Dense(6, "relu", name="moving")(still(inputs)))


@pytest.mark.parametrize(
    ("make", "names", "with_kernels"),
    [
        (lambda: Written(), ["more", "block/inner", "head"], 3),
        (lambda: functional((6,), shared), ["twice", "end"], 2),
        (lambda: functional((6,), two_outputs), ["trunk", "q", "p"], 3),
        (lambda: functional((6,), nested), ["inner/deep", "end"], 2),
        (lambda: functional((6,), image), ["conv", "end"], 2),
        (lambda: functional((6,), sequence), ["lstm", "attention", "end"], 3),
        (lambda: functional((6,), frozen), ["still", "moving", "end"], 2),
    ],
)
def test_every_kind_of_model(rows, make, names, with_kernels):
    x, y = rows(40)
    model = make()
    model.compile("adam", "mse")
    target = {"p": y, "q": y} if "q" in names else y
    result = goodfit.fit(model, x, target, epochs=3, verbose=0, signals=2)
    assert result.engine == "compiled"
    assert list(result.signal_layers) == names, result.provenance
    assert result.signal_epochs.tolist() == [0, 3]
    assert np.isfinite(result.signals["grad_rms"]).sum() == 2 * with_kernels
    assert np.isfinite(result.signals["update_ratio"]).sum() == 2 * with_kernels
    assert np.isfinite(result.signals["activation_var"]).all()
    assert (result.signals["activation_grad_var"] > 0).all()
    for layer in model._flatten_layers():
        assert "call" not in vars(layer)


def test_a_layer_called_twice_is_judged_by_both_calls(rows):
    x, y = rows(40)
    model = functional((6,), shared)
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    first, second = x, None
    kernel, bias = (np.asarray(w) for w in model.get_layer("twice").get_weights())
    first = np.maximum(x @ kernel + bias, 0)
    second = np.maximum(first @ kernel + bias, 0)
    got = probe(model, x, y)
    assert got["activation_mean"]["twice"] == pytest.approx(np.concatenate([first, second]).mean(), rel=1e-5)
    assert got["dead_fraction"]["twice"] == np.mean((first == 0).all(axis=0) & (second == 0).all(axis=0))


def test_scaled_losses_are_scaled_back(rows):
    x, y = rows(40)
    plain = compiled([keras.Input((6,)), layers.Dense(5, "relu", name="a"), layers.Dense(1, name="b")])
    scaled = compiled(
        [keras.Input((6,)), layers.Dense(5, "relu", name="a"), layers.Dense(1, name="b")],
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01)),
    )
    scaled.set_weights(plain.get_weights())
    for model in (plain, scaled):
        model.optimizer.build(model.trainable_variables)
    one, other = probe(plain, x, y), probe(scaled, x, y)
    for name in one:
        assert other[name] == pytest.approx(one[name], rel=1e-4, nan_ok=True), name


def test_penalties_count_in_the_gradient(rows):
    x, y = rows(40)
    model = compiled([keras.Input((6,)), layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.5), name="a")])
    model.optimizer.build(model.trainable_variables)
    weights, bias = (np.asarray(w, np.float64) for w in model.get_weights())
    gradient = 2 / len(x) * x.T @ (x @ weights + bias - y) + 2 * 0.5 * weights
    assert probe(model, x, y)["grad_norm"]["a"] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)


def network():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.GaussianNoise(0.1),
            layers.Dense(8, "tanh"),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.03), "mse", metrics=["mae"])
    return model


class Own(keras.callbacks.Callback):
    """Looks into the model after each epoch: one epoch per dispatch."""

    def on_epoch_end(self, epoch, logs=None):
        assert epoch >= 0
        assert logs["loss"] > 0
        self.seen = [np.asarray(w.value) for w in self.model.weights]


@pytest.mark.parametrize(
    "callbacks",
    [
        list,
        lambda: [Own()],
        lambda: [keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)],
        lambda: [keras.callbacks.ReduceLROnPlateau(patience=1), keras.callbacks.TerminateOnNaN()],
    ],
)
def test_the_training_is_the_same_to_the_last_bit(rows, callbacks):
    x, y = rows(70)
    remains = []
    for asked in (False, 7, True):
        keras.utils.clear_session()
        keras.utils.set_random_seed(5)
        model = network()
        result = goodfit.fit(model, x, y, 16, 40, 0, callbacks(), validation_split=0.2, signals=asked, engine="auto")
        assert ("grad_rms" in result.signals) == bool(asked)
        state = [np.asarray(v.value) for group in program.variables(model) for v in group]
        remains.append((result.history, state, np.random.random(), random.random()))
        if asked:
            last = int(result.epoch[-1]) + 1
            assert result.signal_epochs[[0, -1]].tolist() == [0, last]
            assert result.signals["grad_rms"].shape == (1, len(result.signal_epochs), 3)
            assert np.isfinite(result.signals["grad_rms"]).all()
    for other in remains[1:]:
        assert other[0] == remains[0][0]
        assert other[2:] == remains[0][2:]
        for one, two in zip(other[1], remains[0][1], strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_sample_is_of_the_epoch_it_says(rows):
    """Also where a callback stopped the training and went back: the last sample is that of a training as long."""
    x, y = rows(70)
    took = []
    for epochs, callbacks in ((40, [keras.callbacks.EarlyStopping("loss", patience=2)]), (None, None)):
        keras.utils.set_random_seed(5)
        model = network()
        result = goodfit.fit(model, x, y, 16, epochs or took[0].epoch[-1] + 1, 0, callbacks, signals=4)
        took.append(result)
    stopped, fresh = took
    assert stopped.outcome == "stopped"
    assert len(stopped.epoch) < 40
    assert stopped.signal_epochs[-1] == fresh.signal_epochs[-1] == len(stopped.epoch)
    for name in signals.NAMES:
        np.testing.assert_array_equal(stopped.signals[name][0, [0, -1]], fresh.signals[name][0, [0, -1]])


def test_it_compiles_once(rows):
    x, y = rows(70)
    model = network()
    first = engine.fit(model, x, y, epochs=5, verbose=0, signals=3)
    model.optimizer.learning_rate = 0.001
    again = engine.fit(model, x + 1, y, epochs=9, verbose=0, signals=5)
    assert first.compile_seconds > 0
    assert again.compile_seconds == 0
    one, two = (np.asarray(r.signals.probe.rows[0]) for r in (first, again))
    np.testing.assert_allclose(two, one + 1, rtol=1e-6)


def test_why_there_are_none(rows):
    x, y = rows(40)

    class Own(keras.Sequential):
        def train_step(self, *arguments):
            return super().train_step(*arguments)

    cases = [
        (Own([keras.Input((6,)), layers.Dense(1)]), {"signals": 3}, "train_step of its own"),
        (
            keras.Sequential([keras.Input((6,)), layers.Rescaling(2.0), layers.BatchNormalization()]),
            {"signals": 3},
            "kernels",
        ),
        (keras.Sequential([keras.Input((6,)), layers.Dense(1)]), {}, "too short"),
        (
            keras.Sequential([keras.Input((6,)), layers.Dense(1)]),
            {"signals": 3, "steps_per_epoch": 1},
            "Keras's own loop",
        ),
    ]
    for model, arguments, reason in cases:
        model.compile("sgd", "mse")
        result = goodfit.fit(model, x, x if "kernels" in reason else y, epochs=2, verbose=0, **arguments)
        assert reason in result.provenance["no_signals"]
        assert not result.signals
    model = cases[2][0]
    assert "no_signals" not in goodfit.fit(model, x, y, verbose=0, signals=False).provenance
    for wrong in (-1, "on", 2.5):
        with pytest.raises(InputError, match="signals is"):
            goodfit.fit(model, x, y, verbose=0, signals=wrong)


def test_a_layer_inside_a_loop_has_its_weights_measured_only(rows):

    class Loop(layers.Layer):
        def __init__(self):
            super().__init__()
            self.cell = layers.Dense(6, "tanh")

        def build(self, shape):
            self.cell.build(shape)

        def call(self, x):
            return ops.fori_loop(0, 3, lambda _, value: self.cell(value), x)

        def compute_output_shape(self, shape):
            return shape

    x, y = rows(40)
    model = keras.Sequential([keras.Input((6,)), Loop(), layers.Dense(1)])
    model.compile("sgd", "mse")
    result = goodfit.fit(model, x, y, epochs=2, verbose=0, signals=2)
    assert result.engine == "compiled"
    assert len(result.signal_layers) == 2
    assert np.isnan(result.signals["activation_var"][..., 0]).all()
    assert np.isfinite(result.signals["activation_var"][..., 1]).all()
    for name in ("grad_rms", "weight_rms", "update_ratio"):
        assert (result.signals[name] > 0).all()


@pytest.mark.parametrize(
    ("epochs", "samples", "first", "expected"),
    [
        (700, 9, 0, (0, 1, 3, 6, 17, 42, 108, 275, 700)),
        (3, 25, 0, (0, 1, 2, 3)),
        (10, 2, 4, (4, 10)),
        (10, 1, 0, (0,)),
        (10, 0, 0, ()),
        (5, 3, 5, (5,)),
    ],
)
def test_schedule(epochs, samples, first, expected):
    assert signals.schedule(epochs, samples, first) == expected


def test_auto_takes_what_costs_little():
    for epochs, rows, batch in ((700, 251, 16), (10, 50_000, 32), (2000, 60, 8)):
        measured = signals.rows_measured(np.zeros((rows, 9)), batch)
        samples = signals.count("auto", epochs, rows, batch, measured)
        assert signals.FEWEST <= samples <= signals.SAMPLES
        assert samples * measured <= 0.03 * epochs * rows
    assert signals.count("auto", 5, 251, 16, 251) == 0
    assert signals.count(True, 5, 251, 16, 251) == signals.SAMPLES
    assert signals.count(4, 5, 251, 16, 251) == 4
    assert signals.count(False, 5, 251, 16, 251) == 0


def test_memory_bounds_the_rows():
    assert signals.rows_measured(np.zeros((1000, 9)), 16) == signals.ROWS
    assert signals.rows_measured((np.zeros((100, 9)), np.zeros(100)), 16) == 100
    assert signals.rows_measured(np.zeros((300, 128, 128, 3)), 32) == 32
