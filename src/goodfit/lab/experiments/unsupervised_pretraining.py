"""Fashion-MNIST with 100 labels: do layers that were pretrained on images without labels help?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.lab import data
from goodfit.lab.bench import Bench, ends, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.lab.figures import ranged
from goodfit.plots.chart import Chart, line

if TYPE_CHECKING:
    import keras

IMAGES, LABELS, TESTED = 4_000, 100, 5_000
PRETRAINED, TRAINED = 12, 60
"""Epochs on the images without labels, and on the labelled ones."""
UNITS = (128, 64)
METHODS = ("autoencoder", "denoising", "gan")


def _measure(bench: Bench) -> Result:
    from goodfit.lab import reuse
    from goodfit.training.transfer import transfer

    (x, y), (test_x, test_y) = data.fashion_mnist()
    chosen = np.random.default_rng(bench.seed).permutation(len(x))[:IMAGES]
    x, y, test_x, test_y = pooled(x[chosen]), y[chosen], pooled(test_x[:TESTED]), test_y[:TESTED]
    labelled = [labelled_rows(y, LABELS, seed) for seed in bench.seeds]
    starts: dict[str, Any] = {"from scratch": None}
    told: dict[str, np.ndarray] = {}
    for method in METHODS:
        keras_model, encoder = _pretraining(method)
        target = None if method == "gan" else x
        trained = reuse.train(bench, keras_model, x, target, epochs=PRETRAINED, batch_size=64)
        starts[method] = (encoder, reuse.weights_of(keras_model, trained, encoder))
        told[method] = trained.curves["loss"]
    starts["autoencoder, frozen"] = starts["autoencoder"]
    accuracy: dict[str, np.ndarray] = {}
    for name, start in starts.items():
        base, weights = (starts["autoencoder"][0], None) if start is None else start
        model: Any = transfer(base, head=10, reuse="all")
        if "frozen" not in name:
            for layer in model.layers:
                layer.trainable = True
        model.compile("adam", "sparse_categorical_crossentropy")
        trained = reuse.train(bench, model, x, y, epochs=TRAINED, batch_size=20, rows=labelled, starts=weights)
        predicted = [reuse.outputs(model, trained, test_x, m).argmax(axis=1) for m in range(len(bench.seeds))]
        accuracy[name] = np.array([(labels == test_y).mean() for labels in predicted])
    scratch = accuracy["from scratch"]
    gains = {name: interval(scratch, values) for name, values in accuracy.items() if name != "from scratch"}
    epochs = (bench.epochs(PRETRAINED) * len(METHODS) + bench.epochs(TRAINED) * len(accuracy)) * len(bench.seeds)
    return Result(
        held=together([judged(gains[name], claimed="more") for name in METHODS]),
        finding=(
            f"With {LABELS} labels the test accuracy from scratch is {median(scratch):.1%}. Layers pretrained on "
            f"{IMAGES:,} images without labels change it by {signed(gains['autoencoder'])} (autoencoder), "
            f"{signed(gains['denoising'])} (denoising), {signed(gains['gan'])} (discriminator of a GAN); the "
            f"autoencoder's layers kept frozen by {signed(gains['autoencoder, frozen'])}."
        ),
        columns=("start of the layers", "test accuracy", "lowest", "highest", "gain", "gain, low", "gain, high"),
        rows=tuple(
            (
                name,
                median(values),
                float(values.min()),
                float(values.max()),
                *((0.0, 0.0, 0.0) if name not in gains else ends(gains[name])),
            )
            for name, values in accuracy.items()
        ),
        charts=(
            Chart(
                f"test accuracy with {LABELS} labels",
                "",
                "accuracy",
                (ranged("median and range of the seeds", tuple(accuracy), list(accuracy.values())),),
                kind="points",
            ),
            Chart(
                "pretraining",
                "epoch",
                "loss (mean squared error)",
                tuple(line(name, told[name]) for name in METHODS if name != "gan"),
                log_y=True,
            ),
        ),
        numbers={f"gain_{name}": found.estimate for name, found in gains.items()},
        epochs=epochs,
    )


def pooled(images: np.ndarray) -> np.ndarray:
    """Images of 28 by 28 as the means of their squares of 2 by 2, flat: shape (rows, 196)."""
    return images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196).astype("float32")


def labelled_rows(y: np.ndarray, count: int, seed: int) -> np.ndarray:
    """So many rows, equally many of each class."""
    random = np.random.default_rng(seed)
    classes = np.unique(y)
    return np.concatenate([random.permutation(np.flatnonzero(y == one))[: count // len(classes)] for one in classes])


def _pretraining(method: str) -> tuple[Any, keras.Model]:
    """The compiled model of a way to pretrain, and the encoder within it: what `goodfit.pretrain` trains."""
    import keras

    from goodfit.training import autoencoders, gan

    encoder = autoencoders.encoder_network((196,), UNITS, "leaky_relu")
    if method == "gan":
        judge = keras.Sequential([encoder, keras.layers.Dense(1)])
        model: Any = gan.GAN(autoencoders.mirrored(encoder, "sigmoid", "generator"), judge, seed=0)
        model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    else:
        model = autoencoders.autoencoder(
            encoder, noise=0.3 if method == "denoising" else 0.0, output_activation="sigmoid"
        )
        model.compile("adam", "mean_squared_error")
    return model, encoder


EXPERIMENT = Experiment(
    name="unsupervised-pretraining",
    order=250,
    question="Do layers pretrained without labels help where labels are few?",
    claim="With few labels and many unlabelled images, layers pretrained by an autoencoder or as the discriminator of "
    "a GAN make the network better.",
    source="Géron (2019), Hands-on machine learning, chapter 11 (unsupervised pretraining); Erhan et al. (2010), Why "
    "does unsupervised pre-training help deep learning?",
    data="images",
    measure=_measure,
    about="196-128-64-10 with leaky ReLU on Fashion-MNIST at 14 by 14 pixels with 10 labels of each class, Adam at "
    "0.001, 60 epochs; the first two layers are drawn afresh, or pretrained for 12 epochs on 4,000 images, each seed "
    "by itself.",
)
