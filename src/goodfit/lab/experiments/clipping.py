"""Gradient clipping on a recurrent net."""

from typing import Any

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged
from goodfit.plots.chart import Chart, line
from goodfit.values import Recipe

STEPS, ROWS, RATE = 40, 512, 0.1
BLOWN_UP = 10.0
"""What a loss counts for that is larger, or not finite: far above chance."""
WAYS = {
    "none": {},
    "by value 0.1": {"clipvalue": 0.1},
    "by norm 0.5": {"clipnorm": 0.5},
    "by global norm 0.5": {"global_clipnorm": 0.5},
}


def _measure(bench: Bench) -> Result:
    import keras

    from goodfit.training import population
    from goodfit.training.recipes import serialize

    x, y = sums(ROWS, bench.seed)
    held = sums(ROWS, bench.seed + 1)
    orthogonal: Any = keras.initializers.Orthogonal(1.05)
    network = keras.Sequential(
        [
            keras.Input((STEPS, 2), name="inputs"),
            keras.layers.SimpleRNN(32, activation="relu", recurrent_initializer=orthogonal, name="recurrent"),
            keras.layers.Dense(1, name="output"),
        ],
        name="network",
    )
    optimizer: dict = keras.optimizers.serialize(keras.optimizers.SGD(RATE, momentum=0.9))  # pyright: ignore
    epochs = bench.epochs(40)
    runs = {}
    for name, clipping in WAYS.items():
        recipe = Recipe(
            serialize(network), optimizer, "mean_squared_error", batch_size=32, epochs=epochs, clipping=clipping
        )
        runs[name] = population.train(
            recipe, x, y, held, bench.seeds, validation_batch_size=ROWS, report=bench.report, stage=bench.stage
        ).run
    chance = float(np.var(held[1]))
    ends = {name: _finite(run.curves["val_loss"][:, -1]) for name, run in runs.items()}
    blown = {name: int((_finite(run.curves["loss"]) >= BLOWN_UP).any(axis=1).sum()) for name, run in runs.items()}
    clipped = "by global norm 0.5"
    difference = interval(np.log10(ends["none"]), np.log10(ends[clipped]))
    return Result(
        held=judged(difference),
        finding=(
            f"Without clipping the training blows up in {blown['none']} of {len(bench.seeds)} seeds, clipped by global "
            f"norm in {blown[clipped]}. Validation losses at the end, {BLOWN_UP:g} for what blew up: "
            + ", ".join(f"{name} {median(values):.3g}" for name, values in ends.items())
            + f"; chance is {chance:.3g}. By global norm against none the logarithm to base 10 differs by "
            f"{signed(difference)}."
        ),
        columns=("clipping", "validation loss", "lowest", "highest", "seeds blown up", "seeds above chance"),
        rows=tuple(
            (
                name,
                median(ends[name]),
                float(ends[name].min()),
                float(ends[name].max()),
                blown[name],
                int((ends[name] > chance).sum()),
            )
            for name in runs
        ),
        charts=(
            Chart(
                f"sum of two marked numbers in {STEPS} steps",
                "epoch",
                f"training loss ({BLOWN_UP:g} at most)",
                tuple(line(name, _finite(run.curves["loss"])) for name, run in runs.items()),
                log_y=True,
                references=(("chance", chance),),
            ),
        ),
        epochs=epochs * len(WAYS) * len(bench.seeds),
    )


def sums(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The adding problem: the sum of the two numbers that are marked in a row of numbers.

    Source: Hochreiter and Schmidhuber (1997), Long short-term memory, experiment 4.

    Args:
        rows: how many.
        seed: of the draws.

    Returns:
        inputs, shape (rows, STEPS, 2): number and mark; targets, shape (rows,).

    Example:
        >>> x, y = sums(3, 0)
        >>> bool(np.allclose((x[..., 0] * x[..., 1]).sum(axis=1), y, atol=1e-6))
        True
    """
    random = np.random.default_rng(seed)
    numbers = random.uniform(0, 1, size=(rows, STEPS))
    marks = np.zeros((rows, STEPS))
    places = np.argsort(random.random((rows, STEPS)), axis=1)[:, :2]
    np.put_along_axis(marks, places, 1.0, axis=1)
    x = np.stack([numbers, marks], axis=2).astype(np.float32)
    return x, (numbers * marks).sum(axis=1).astype(np.float32)


def _finite(values: np.ndarray) -> np.ndarray:
    """Losses with what is larger or not finite at `BLOWN_UP`."""
    return np.where(np.isfinite(values), np.minimum(values, BLOWN_UP), BLOWN_UP)


EXPERIMENT = Experiment(
    name="clipping",
    order=160,
    question="What does gradient clipping do for a recurrent net?",
    claim="Recurrent nets have exploding gradients; clipping them by their norm keeps the training steady.",
    source="Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks",
    data="made",
    measure=_measure,
    about="A simple recurrent layer of 32 ReLU units on the adding problem over 40 steps, SGD at 0.1 with momentum "
    "0.9, 40 epochs.",
)
