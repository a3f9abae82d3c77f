"""Fashion-MNIST with 300-100-10: ELU with L2, dropout, neither."""

from typing import Any

import numpy as np

from goodfit.lab import data
from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.plots.chart import Chart, line
from goodfit.values import Recipe

ROWS, VALIDATION, EPOCHS = 10_000, 5_000, 10
LAYER = {"activation": "elu", "kernel_initializer": "he_normal"}
"""The defaults of every hidden layer."""


def _measure(bench: Bench) -> Result:
    from goodfit.training import population

    (x, y), (test_x, test_y) = data.fashion_mnist()
    order = np.random.default_rng(bench.seed).permutation(len(x))
    train, held = order[:ROWS], order[ROWS : ROWS + VALIDATION]
    epochs = bench.epochs(EPOCHS)
    runs = {}
    for name, recipe in _recipes(epochs).items():
        runs[name] = population.train(
            recipe,
            x[train],
            y[train],
            (x[held], y[held]),
            bench.seeds,
            hidden=(test_x, test_y),
            validation_batch_size=1000,
            report=bench.report,
            stage=bench.stage,
        ).run
    accuracy = {name: run.curves["hidden_accuracy"][:, -1] for name, run in runs.items()}
    gap = {name: run.curves["val_accuracy"][:, -1] - _training(run) for name, run in runs.items()}
    against = {name: interval(accuracy["neither"], accuracy[name]) for name in ("L2 0.01", "dropout 0.2")}
    return Result(
        held=together([judged(found, claimed="more") for found in against.values()]),
        finding=(
            f"After {epochs} epochs on {ROWS:,} images the test accuracy is {median(accuracy['neither']):.1%} with "
            f"neither; "
            f"with L2 0.01 on every layer {median(accuracy['L2 0.01']):.1%} (difference "
            f"{signed(against['L2 0.01'])}), with "
            f"dropout 0.2 {median(accuracy['dropout 0.2']):.1%} ({signed(against['dropout 0.2'])})."
        ),
        columns=("network", "training accuracy", "validation", "test", "validation minus training"),
        rows=tuple(
            (
                name,
                median(_training(run)),
                median(run.curves["val_accuracy"][:, -1]),
                median(accuracy[name]),
                median(gap[name]),
            )
            for name, run in runs.items()
        ),
        charts=tuple(
            Chart(
                f"{label} accuracy",
                "epoch",
                "accuracy",
                tuple(line(name, run.curves[curve]) for name, run in runs.items()),
            )
            for label, curve in (("training", "accuracy"), ("validation", "val_accuracy"))
        ),
        epochs=epochs * len(runs) * len(bench.seeds),
    )


def _training(run) -> np.ndarray:
    """Each seed's reported training accuracy at the end."""
    return run.curves["accuracy"][:, -1]


def _recipes(epochs: int) -> dict[str, Recipe]:
    import keras

    from goodfit.training.recipes import serialize

    def recipe(dropout: float, l2: float) -> Recipe:
        penalty: dict[str, Any] = {"kernel_regularizer": keras.regularizers.L2(l2)} if l2 else {}
        layers = [keras.Input((784,), name="inputs")]
        for place, units in enumerate((300, 100)):
            if dropout:
                layers.append(keras.layers.Dropout(dropout, name=f"dropout_{place}"))
            layers.append(keras.layers.Dense(units, name=f"hidden_{place}", **LAYER, **penalty))
        if dropout:
            layers.append(keras.layers.Dropout(dropout, name="dropout_2"))
        layers.append(keras.layers.Dense(10, "softmax", name="output", **penalty))
        optimizer: dict = keras.optimizers.serialize(keras.optimizers.Nadam(0.001))  # pyright: ignore
        return Recipe(
            serialize(keras.Sequential(layers, name="network")),
            optimizer,
            "sparse_categorical_crossentropy",
            metrics=("accuracy",),
            batch_size=32,
            epochs=epochs,
        )

    return {"neither": recipe(0.0, 0.0), "L2 0.01": recipe(0.0, 0.01), "dropout 0.2": recipe(0.2, 0.0)}


EXPERIMENT = Experiment(
    name="fashion",
    order=200,
    question="L2 or dropout on Fashion-MNIST?",
    claim="L2 0.01 on every layer, or dropout 0.2 on inputs and hidden layers, makes a 300-100-10 net generalize "
    "better.",
    source="Géron (2019), Hands-on machine learning, chapter 11",
    data="images",
    measure=_measure,
    about="784-300-100-10, ELU with He initialization through one set of layer defaults, Nadam at 0.001, batches of "
    "32, "
    "10,000 training images, 10 epochs.",
    seeds=2,
)
