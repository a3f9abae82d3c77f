"""Models, layers, losses, metrics and optimizers: goodfit's `fit` against Keras's own, bit for bit."""

import keras
import numpy as np
import pytest
from keras import layers

slow = pytest.mark.slow


def build(*inner, optimizer="adam", outputs=1, features=6, loss="mse", metrics=("mae",), **compile_arguments):
    model = keras.Sequential([keras.Input((features,)), *inner, layers.Dense(outputs)])
    model.compile(optimizer, loss, metrics=list(metrics), **compile_arguments)
    return model


def mlp(**arguments):
    return build(layers.Dense(8, activation="relu"), **arguments)


o = keras.optimizers
OPTIMIZERS = {
    "sgd": lambda: o.SGD(0.05),
    "momentum": lambda: o.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: o.Adam(0.01),
    "amsgrad": lambda: o.Adam(0.01, amsgrad=True),
    "adamw": lambda: o.AdamW(0.01, weight_decay=0.1),
    "adamax": lambda: o.Adamax(0.01),
    "nadam": lambda: o.Nadam(0.01),
    "rmsprop": lambda: o.RMSprop(0.01, momentum=0.5, centered=True),
    "adagrad": lambda: o.Adagrad(0.05),
    "adadelta": lambda: o.Adadelta(0.5),
    "adafactor": lambda: o.Adafactor(0.01),
    "ftrl": lambda: o.Ftrl(0.05, l1_regularization_strength=0.01),
    "lion": lambda: o.Lion(0.001),
    "lamb": lambda: o.Lamb(0.01),
    "muon": lambda: o.Muon(0.01),
    "clipnorm": lambda: o.Adam(0.01, clipnorm=0.1),
    "clipvalue": lambda: o.Adam(0.01, clipvalue=0.01),
    "global-clipnorm": lambda: o.Adam(0.01, global_clipnorm=0.1),
    "weight-decay": lambda: o.Adam(0.01, weight_decay=0.05),
    "ema": lambda: o.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "ema-overwrite": lambda: o.SGD(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3),
    "accumulation": lambda: o.Adam(0.01, gradient_accumulation_steps=3),
    "loss-scale": lambda: o.LossScaleOptimizer(o.Adam(0.01), initial_scale=8.0, dynamic_growth_steps=4),
    "exponential-decay": lambda: o.Adam(o.schedules.ExponentialDecay(0.01, 4, 0.9)),
    "cosine-decay": lambda: o.SGD(o.schedules.CosineDecay(0.05, 9, warmup_target=0.1, warmup_steps=2)),
    "piecewise": lambda: o.SGD(o.schedules.PiecewiseConstantDecay([3, 6], [0.1, 0.05, 0.01])),
    "schedule-free": lambda: o.ScheduleFreeAdamW(0.01),
    "multi": lambda: o.MultiOptimizer(o.OptimizerMap(o.SGD(0.01), {".*dense_1.*": o.Adam(0.01)})),
}
FAST_OPTIMIZERS = {"ema"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST_OPTIMIZERS else slow) for n in OPTIMIZERS])
def test_optimizer(parity, rows, name):
    x, y = rows()
    parity(lambda: mlp(optimizer=OPTIMIZERS[name]()), x=x, y=y, batch_size=16, epochs=3, validation_split=0.2)


def add_loss_model():
    class Penalty(layers.Layer):
        def call(self, inputs):
            self.add_loss(0.01 * keras.ops.mean(inputs**2))
            return inputs

    return build(layers.Dense(8), Penalty())


class Gate(layers.Layer):
    """A layer with a state of its own and random numbers of its own."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(4)

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, inputs, training=False):
        if training:
            self.calls.assign_add(1.0)
            inputs = inputs + 0.1 * keras.random.normal(keras.ops.shape(inputs), seed=self.seeds)
        return self.scale * inputs


def frozen():
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(8), layers.Dense(1)]
    )
    model.layers[0].trainable = False
    model.layers[1].trainable = False
    model.compile("adam", "mse")
    return model


def regularized():
    r = keras.regularizers
    return build(
        layers.Dense(8, kernel_regularizer=r.L1(0.01), activity_regularizer=r.L2(0.01)),
        layers.Dense(8, kernel_regularizer=r.L1L2(0.01, 0.01), bias_regularizer=r.L2(0.1)),
        layers.Dense(4, kernel_constraint=keras.constraints.MaxNorm(0.5), kernel_regularizer=r.OrthogonalRegularizer()),
    )


def unbuilt():
    model = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dropout(0.2), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def attention():
    inputs = keras.Input((6,))
    steps = layers.Reshape((3, 2))(inputs)
    seen = layers.MultiHeadAttention(2, 4, dropout=0.1)(steps, steps)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.LayerNormalization()(seen))))
    model.compile("adam", "mse")
    return model


def mixed(policy):
    def make():
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            model = keras.Sequential(
                [keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(1, dtype="float32")]
            )
            model.compile("adam", "mse", metrics=["mae"])
        finally:
            keras.config.set_dtype_policy(before)
        return model

    return make


NETWORKS = {
    "mlp": mlp,
    "unbuilt": unbuilt,
    "batch-normalization": lambda: build(layers.Dense(8), layers.BatchNormalization(), layers.ReLU()),
    "layer-normalization": lambda: build(layers.Dense(8), layers.LayerNormalization(), layers.Activation("gelu")),
    "dropout": lambda: build(layers.Dense(8, activation="relu"), layers.Dropout(0.4)),
    "alpha-dropout": lambda: build(layers.Dense(8, activation="selu"), layers.AlphaDropout(0.2)),
    "gaussian-noise": lambda: build(layers.GaussianNoise(0.3), layers.Dense(8), layers.GaussianDropout(0.2)),
    "regularized": regularized,
    "add-loss": add_loss_model,
    "own-layer": lambda: build(layers.Dense(8), Gate()),
    "frozen": frozen,
    "mixed-bfloat16": mixed("mixed_bfloat16"),
    "mixed-float16": mixed("mixed_float16"),
    "lstm": lambda: build(layers.Reshape((3, 2)), layers.LSTM(5)),
    "lstm-dropout": lambda: build(layers.Reshape((3, 2)), layers.LSTM(5, dropout=0.2, recurrent_dropout=0.1)),
    "gru": lambda: build(layers.Reshape((3, 2)), layers.GRU(5, return_sequences=True), layers.GlobalMaxPooling1D()),
    "bidirectional": lambda: build(layers.Reshape((3, 2)), layers.Bidirectional(layers.SimpleRNN(4))),
    "attention": attention,
    "conv1d": lambda: build(layers.Reshape((6, 1)), layers.Conv1D(4, 3, padding="causal"), layers.Flatten()),
    "cnn": lambda: build(
        layers.Dense(64),
        layers.Reshape((8, 8, 1)),
        layers.Conv2D(4, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(6, 2, padding="same", strides=2),
        layers.Flatten(),
    ),
    "separable": lambda: build(
        layers.Dense(64),
        layers.Reshape((8, 8, 1)),
        layers.Conv2D(4, 3, dilation_rate=2),
        layers.SeparableConv2D(6, 2),
        layers.DepthwiseConv2D(2),
        layers.GlobalAveragePooling2D(),
    ),
    "transposed": lambda: build(
        layers.Dense(16), layers.Reshape((4, 4, 1)), layers.Conv2DTranspose(3, 2, strides=2), layers.Flatten()
    ),
    "conv3d": lambda: build(layers.Dense(64), layers.Reshape((4, 4, 4, 1)), layers.Conv3D(2, 2), layers.Flatten()),
    "channels-first": lambda: build(
        layers.Dense(32), layers.Reshape((2, 4, 4)), layers.Conv2D(3, 2, data_format="channels_first"), layers.Flatten()
    ),
    "augmentation": lambda: build(
        layers.Dense(64), layers.Reshape((8, 8, 1)), layers.RandomFlip(seed=2), layers.Flatten()
    ),
    "normalization": lambda: build(layers.Normalization(mean=0.1, variance=2.0), layers.Dense(8)),
    "spectral": lambda: build(layers.SpectralNormalization(layers.Dense(8))),
}
FAST_NETWORKS = {"unbuilt", "batch-normalization", "own-layer", "cnn"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST_NETWORKS else slow) for n in NETWORKS])
def test_network(parity, rows, name):
    x, y = rows()
    parity(NETWORKS[name], x=x, y=y, batch_size=16, epochs=3, validation_split=0.2)


@pytest.mark.parametrize("share", [0.3, 0.08])  # several validation steps, and one
def test_penalties_in_many_validation_steps(parity, rows, share):
    """What is made of weights that don't change from step to step is rounded as in Keras's own step."""
    x, y = rows(130)
    parity(regularized, x=x, y=y, batch_size=16, epochs=8, validation_split=share)


@slow
@pytest.mark.parametrize("network", ["mlp", "batch-normalization", "dropout", "cnn"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adamw", "ema", "global-clipnorm"])
@pytest.mark.parametrize(("count", "batch_size"), [(48, 16), (50, 16), (9, 32), (33, 1)])
def test_network_optimizer_rows(parity, rows, network, optimizer, count, batch_size):
    x, y = rows(count)

    def make():
        model = NETWORKS[network]()
        model.compile(OPTIMIZERS[optimizer](), "mse")
        return model

    parity(make, x=x, y=y, batch_size=batch_size, epochs=2, validation_data=rows(11, seed=1))


@slow
def test_grouped_convolutions_differ_in_the_last_bits_only(rows):
    from goodfit.training import engine

    x, y = rows()
    histories = []
    for train in (lambda m, **a: m.fit(**a), engine.fit):
        keras.utils.set_random_seed(7)
        model = build(layers.Dense(64), layers.Reshape((4, 4, 4)), layers.Conv2D(4, 2, groups=2), layers.Flatten())
        histories.append(train(model, x=x, y=y, batch_size=16, epochs=3, verbose=0).history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-5)


# Losses and metrics --------------------------------------------------------------------------------------------------

m = keras.metrics


def classifier(loss, metrics, outputs=1, activation="sigmoid", **compile_arguments):
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(outputs, activation=activation)]
    )
    model.compile("adam", loss, metrics=metrics, **compile_arguments)
    return model


BINARY = {
    "accuracy": lambda: ["accuracy"],
    "auc": lambda: [m.AUC(), m.AUC(curve="PR", name="pr")],
    "precision-recall": lambda: [m.Precision(), m.Recall(), m.F1Score(threshold=0.5)],
    "counts": lambda: [m.TruePositives(), m.FalseNegatives(thresholds=[0.3, 0.6])],
    "at": lambda: [m.PrecisionAtRecall(0.5), m.SensitivityAtSpecificity(0.5), m.BinaryIoU()],
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=slow) for n in BINARY])
def test_binary_metrics(parity, rows, name):
    x, y = rows()
    parity(
        lambda: classifier("binary_crossentropy", BINARY[name]()),
        x=x,
        y=(y > 0).astype("float32"),
        batch_size=16,
        epochs=3,
        validation_split=0.2,
    )


@pytest.mark.parametrize("metric", [m.AUC, lambda: m.AUC(curve="PR", summation_method="majoring"), m.F1Score])
def test_results_of_many_epochs_are_rounded_as_those_of_one(parity, rows, metric):
    """Sums over an epoch's counts and over many epochs' at once differ in the last bit in every third epoch or so."""
    x, y = rows(500)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=30)
    parity(
        lambda: classifier("binary_crossentropy", [metric()]),
        x=x,
        y=(y > 0).astype("float32"),
        batch_size=16,
        epochs=30,
        validation_split=0.2,
        callbacks=[stop],
    )


@pytest.mark.parametrize("outputs", [2, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_sums_over_the_rows_of_a_batch_for_each_output(parity, rows, outputs, shuffle):
    x, y = rows(300, outputs=outputs)
    made = [m.R2Score(), m.MeanAbsoluteError(), m.PearsonCorrelation(axis=0)]
    parity(
        lambda: mlp(outputs=outputs, metrics=[type(one).from_config(one.get_config()) for one in made]),
        x=x,
        y=y,
        batch_size=32,
        epochs=12,
        validation_split=0.2,
        shuffle=shuffle,
    )


REGRESSION = {
    "r2": lambda: [m.R2Score(), m.RootMeanSquaredError()],
    "errors": lambda: ["mae", "mape", "msle", m.LogCoshError(), m.CosineSimilarity()],
    "pearson": lambda: [m.PearsonCorrelation(), m.ConcordanceCorrelation()],
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "r2" else slow) for n in REGRESSION])
def test_regression_metrics(parity, rows, name):
    x, y = rows()
    parity(lambda: mlp(metrics=REGRESSION[name]()), x=x, y=y, batch_size=16, epochs=3, validation_split=0.2)


@pytest.mark.parametrize(
    ("loss", "metrics", "sparse"),
    [
        pytest.param(
            "sparse_categorical_crossentropy",
            ["accuracy", m.SparseTopKCategoricalAccuracy(2, name="top")],
            True,
            marks=slow,
        ),
        pytest.param("categorical_crossentropy", ["accuracy", m.CategoricalCrossentropy()], False, marks=slow),
        pytest.param("categorical_focal_crossentropy", [m.F1Score(), m.MeanIoU(3)], False, marks=slow),
        pytest.param("kl_divergence", ["kl_divergence"], False, marks=slow),
    ],
)
def test_classes(parity, rows, loss, metrics, sparse):
    x, y = rows()
    labels = np.digitize(y[:, 0], [-0.2, 0.2])

    def make():
        fresh = [type(k).from_config(k.get_config()) if isinstance(k, m.Metric) else k for k in metrics]
        return classifier(loss, fresh, outputs=3, activation="softmax")

    targets = labels if sparse else np.eye(3, dtype="float32")[labels]
    parity(make, x=x, y=targets, batch_size=16, epochs=3, validation_split=0.2)


LOSSES = ["mae", "huber", "log_cosh", "mape", "msle", "cosine_similarity", "poisson", "hinge"]


@slow
@pytest.mark.parametrize("loss", LOSSES)
def test_loss(parity, rows, loss):
    x, y = rows()
    parity(lambda: mlp(loss=loss), x=x, y=np.abs(y), batch_size=16, epochs=2)


# Several inputs and outputs ------------------------------------------------------------------------------------------


def two_in_two_out(**compile_arguments):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    joined = layers.Concatenate()([layers.Dense(4)(a), layers.Dense(4)(b)])
    outputs = {"u": layers.Dense(1, name="u")(joined), "v": layers.Dense(2, name="v")(joined)}
    model = keras.Model({"a": a, "b": b}, outputs)
    given = {"loss": {"u": "mse", "v": "mae"}, "loss_weights": {"u": 1.0, "v": 0.3}, "metrics": {"u": ["mae"]}}
    model.compile("adam", **{**given, **compile_arguments})
    return model


def test_dicts_in_and_out(parity, rows):
    x, y = rows()
    parity(
        two_in_two_out,
        x={"a": x[:, :3], "b": x[:, 3:]},
        y={"u": y, "v": np.hstack([y, -y])},
        sample_weight={"u": np.linspace(0, 1, 50), "v": np.linspace(1, 2, 50)},
        batch_size=16,
        epochs=3,
        validation_split=0.2,
    )


@slow
def test_lists_in_and_out(parity, rows):
    def make():
        a, b = keras.Input((3,)), keras.Input((3,))
        joined = layers.Concatenate()([layers.Dense(4)(a), layers.Dense(4)(b)])
        model = keras.Model([a, b], [layers.Dense(1)(joined), layers.Dense(1)(joined)])
        model.compile("adam", ["mse", "mae"], metrics=[["mae"], ["mse"]], weighted_metrics=[["mse"], ["mae"]])
        return model

    x, y = rows()
    parity(make, x=[x[:, :3], x[:, 3:]], y=[y, -y], batch_size=16, epochs=3, sample_weight=np.linspace(0, 1, 50))


@slow
def test_embedding(parity):
    tokens = np.random.default_rng(0).integers(0, 20, size=(50, 5))

    def make():
        model = keras.Sequential(
            [keras.Input((5,), dtype="int32"), layers.Embedding(20, 4, mask_zero=True), layers.LSTM(3), layers.Dense(1)]
        )
        model.compile("adam", "binary_crossentropy")
        return model

    parity(make, x=tokens, y=tokens[:, 0] % 2, batch_size=16, epochs=3)


@slow
def test_autoencoder_without_targets(parity, rows):
    class Autoencoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(3)
            self.outer = layers.Dense(6)

        def call(self, x):
            y = self.outer(self.inner(x))
            self.add_loss(keras.ops.mean((x - y) ** 2))
            return y

    def make():
        model = Autoencoder()
        model.compile("adam")
        return model

    parity(make, x=rows()[0], batch_size=16, epochs=3)


# Subclassed models ---------------------------------------------------------------------------------------------------


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(8, activation="relu")
        self.drop = layers.Dropout(0.3)
        self.last = layers.Dense(1)

    def call(self, x, training=False):
        return self.last(self.drop(self.first(x), training=training))


class OwnLoss(Subclassed):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # noqa: ARG002
        return keras.ops.mean(keras.ops.abs(y - y_pred)) + 0.1 * keras.ops.mean(y_pred**2)


class OwnMetrics(Subclassed):
    def __init__(self):
        super().__init__()
        self.tracked = m.Mean(name="tracked")

    @property
    def metrics(self):
        return [*super().metrics, self.tracked]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.tracked.update_state(keras.ops.max(y_pred))
        return super().compute_metrics(x, y, y_pred, sample_weight)


class OwnStep(Subclassed):
    """Logs of its own, one of them not a scalar."""

    def train_step(self, state, data):
        logs, state = super().train_step(state, data)
        return {"first": logs["loss"], "both": keras.ops.stack([logs["loss"], logs["loss"]])}, state


def subclassed(kind):
    def make():
        model = kind()
        model.compile("adam", "mse", metrics=["mae"])
        return model

    return make


@pytest.mark.parametrize("kind", [OwnStep, *(pytest.param(k, marks=slow) for k in (Subclassed, OwnLoss, OwnMetrics))])
def test_subclassed(parity, rows, kind):
    x, y = rows()
    parity(subclassed(kind), x=x, y=y, batch_size=16, epochs=3, validation_data=rows(20, seed=1))


@slow
def test_steps_per_execution_changes_nothing(parity, rows):
    x, y = rows()
    parity(lambda: mlp(steps_per_execution=3), x=x, y=y, batch_size=16, epochs=3, validation_split=0.2)
