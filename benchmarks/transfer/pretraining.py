"""What pretraining brings as a change of `improve`: Fashion-MNIST, 100 labels and 2,000 images without.

    python benchmarks/transfer/pretraining.py            # writes benchmarks/transfer/pretraining.md

A dense and a small convolutional network, on images of 14 x 14 pixels. Each of 16 seeds draws its own 100 labelled
images of 500 and is judged on the other 400; early stopping chooses the epoch on half of these. Two endpoints, each a
study of its own, in which `pretrain-autoencoder` and `pretrain-denoising` are the only changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import goodfit
from goodfit.lab import data

LABELLED, TRAINED, UNLABELED, SEEDS = 500, 100, 2_000, 16


def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labelled images and their classes, and images without labels."""
    (x, y), _ = data.fashion_mnist()
    chosen = np.random.default_rng(0).permutation(len(x))[: LABELLED + UNLABELED]
    small = x[chosen].reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))
    return small[:LABELLED], y[chosen[:LABELLED]], small[LABELLED:]


def networks() -> dict[str, Any]:
    """The models as they are, compiled."""
    import keras

    L = keras.layers
    dense = [L.Flatten(), L.Dense(128, "relu"), L.Dense(64, "relu")]
    convolutional = [L.Conv2D(16, 3, 2, "same", activation="relu"), L.Conv2D(32, 3, 2, "same", activation="relu")]
    convolutional += [L.Flatten(), L.Dense(64, "relu")]
    made = {"dense": dense, "convolutional": convolutional}
    models = {
        name: keras.Sequential([keras.Input((14, 14, 1)), *body, L.Dense(10, "softmax")]) for name, body in made.items()
    }
    for model in models.values():
        model.compile("adam", "sparse_categorical_crossentropy")
    return models


def main() -> None:
    x, y, more = images()
    lines = [
        "# Pretraining as a change of improve",
        "",
        f"Fashion-MNIST at 14 x 14 pixels, {TRAINED} labels, {UNLABELED:,} images without. Lower is better.",
        "",
        "| network | endpoint | as it is | change | adds (95 % interval) | p, corrected | seeds | |",
        "|---" * 8 + "|",
    ]
    for name, model in networks().items():
        for metric in ("loss", "error_rate"):
            study = goodfit.improve(
                model, x, y, unlabeled=more, validation_split=1 - TRAINED / LABELLED, metric=metric, batch_size=20,
                epochs=100, early_stopping=10, seeds=SEEDS, rounds=1,
                changes=["pretrain-autoencoder", "pretrain-denoising"],
            )  # fmt: skip
            for trial in study.trials[1:]:
                made = trial.comparison
                lines.append(
                    f"| {name} | {made.endpoint} | {made.before:.3f} | `{trial.change.name}` | {made.effect:+.3f} "
                    f"({made.low:+.3f} to {made.high:+.3f}) | {made.adjusted_p:.3f} | {made.pairs} | {trial.note} |"
                )
                print(lines[-1], flush=True)
            if study.gain is not None:
                change = study.best.change
                kept = f"kept: `{change.name}`" if change else "none kept"
                gain = study.gain
                lines.append(
                    f"| {name} | {gain.endpoint} | {gain.before:.3f} | {kept} | {gain.effect:+.3f} "
                    f"({gain.low:+.3f} to {gain.high:+.3f}) | | {gain.pairs} | On fresh seeds. |"
                )
                print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
