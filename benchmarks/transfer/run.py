"""Training in stages on reused layers: frozen features kept or not, and against the same stages in Keras.

    python benchmarks/transfer/run.py            # writes benchmarks/transfer/table.md

A convolutional base (32 and 64 filters, some 1,000 images of 28 x 28 pixels), drawn at random, for what it has learned
changes no time; a head of two classes. All ways are interleaved in one run, medians of five rounds.

1. Time per epoch of a head on the frozen base: the difference between a long and a short stage, so that compiling and
   the one computation of the features don't count.
2. Whole jobs, compiling included: 10 epochs of the head, then 3 of all layers, by `goodfit.fit(stages=…)` and by Keras
   as a user would write it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import goodfit
from goodfit.training import frozen_features

ROWS, BATCH, ROUNDS, SHORT = 1_000, 32, 5, 2
LONG = {"features kept": 402, "features computed in every epoch": 12, "Keras, 16 steps per execution": 12}
"""Epochs of the long stage: enough that the difference stands out of the noise."""
KEPT = frozen_features.LARGEST


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 28, 28, 1)).astype("float32")
    return x, (x.mean((1, 2, 3)) > 0).astype("int32")


def source() -> Any:
    """The base with a head of its own."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, "relu"),
            layers.Dense(8, "softmax"),
        ]
    )


def model_of(base: Any) -> Any:
    """A new head on the frozen base."""
    import keras

    keras.utils.set_random_seed(1)
    model = goodfit.transfer(base, 2)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def staged(base: Any, stages: list[goodfit.Stage], largest: int) -> tuple[float, Any]:
    """Seconds of goodfit's stages, and the last loss."""
    x, y = rows()
    model = model_of(base)
    frozen_features.LARGEST = largest  # pyright: ignore[reportAttributeAccessIssue]
    np.random.seed(0)
    began = time.perf_counter()
    run = goodfit.fit(model, x, y, batch_size=BATCH, verbose=0, stages=stages, signals=False)
    frozen_features.LARGEST = KEPT  # pyright: ignore[reportAttributeAccessIssue]
    return time.perf_counter() - began, run.history["loss"][-1]


def by_keras(base: Any, lengths: list[int]) -> tuple[float, Any]:
    """Seconds of the same stages in Keras, at its best number of steps per execution."""
    import keras

    x, y = rows()
    model = model_of(base)
    np.random.seed(0)
    began, done, history = time.perf_counter(), 0, None
    for place, epochs in enumerate(lengths):
        if place:
            for layer in model.layers:
                layer.trainable = True
        optimizer: Any = keras.optimizers.Adam(1e-3 if place == 0 else 1e-4)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], steps_per_execution=16)
        history = model.fit(x, y, batch_size=BATCH, verbose=0, initial_epoch=done, epochs=done + epochs)
        done += epochs
    assert history is not None
    return time.perf_counter() - began, history.history["loss"][-1]


def main() -> None:
    base = source()
    stage = goodfit.Stage
    ways: dict[str, Callable[[int], tuple[float, Any]]] = {
        "features kept": lambda epochs: staged(base, [stage(epochs)], KEPT),
        "features computed in every epoch": lambda epochs: staged(base, [stage(epochs)], 0),
        "Keras, 16 steps per execution": lambda epochs: by_keras(base, [epochs]),
    }
    per_epoch: dict[str, list[float]] = {way: [] for way in ways}
    losses: dict[str, float] = {}
    for _ in range(ROUNDS):
        for way, train in ways.items():
            (short, losses[way]), (long, _) = train(SHORT), train(LONG[way])
            per_epoch[way].append(1000 * (long - short) / (LONG[way] - SHORT))
    median = {way: statistics.median(values) for way, values in per_epoch.items()}
    kept = median["features kept"]
    lines = ["| head on a frozen base | ms per epoch | times the first | loss after two |", "|---|---|---|---|"]
    lines += [f"| {way} | {value:.2f} | {value / kept:.1f} | {losses[way]:.7f} |" for way, value in median.items()]
    whole: dict[str, list[float]] = {"goodfit": [], "Keras, 16 steps per execution": []}
    ends: dict[str, float] = {}
    for _ in range(ROUNDS):
        seconds, ends["goodfit"] = staged(base, [stage(10), stage(3, unfreeze="all")], KEPT)
        whole["goodfit"].append(seconds)
        seconds, ends["Keras, 16 steps per execution"] = by_keras(base, [10, 3])
        whole["Keras, 16 steps per execution"].append(seconds)
    first = statistics.median(whole["goodfit"])
    lines += [
        "",
        "| 10 epochs of the head, 3 of all layers | seconds | times the first | loss at the end |",
        "|---|---|---|---|",
    ]
    for way, values in whole.items():
        middle = statistics.median(values)
        lines.append(f"| {way} | {middle:.2f} | {middle / first:.2f} | {ends[way]:.7f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    Path(__file__).with_name("table.md").write_text(
        "Written by `python benchmarks/transfer/run.py`: 1,000 images of 28 x 28 pixels, batches of 32, medians of "
        f"{ROUNDS} rounds, interleaved.\n\n{text}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
