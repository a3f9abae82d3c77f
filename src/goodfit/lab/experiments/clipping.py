"""Gradient clipping on a recurrent net."""

from typing import Any

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged
from goodfit.plots.chart import Chart, line
from goodfit.values import Recipe

STEPS, ROWS = 40, 512
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
    optimizer: dict = keras.optimizers.serialize(keras.optimizers.SGD(0.02, momentum=0.9))  # pyright: ignore
    epochs = bench.epochs(60)
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
    jumps = {name: _largest_jump(run.curves["loss"]) for name, run in runs.items()}
    clipped = "by global norm 0.5"
    steadier = judged(interval(np.log10(jumps["none"]), np.log10(jumps[clipped])))
    return Result(
        held=steadier,
        finding=(
            f"Without clipping the training loss jumps by a factor of up to {median(jumps['none']):.3g} from one "
            f"epoch to the "
            f"next (median of the seeds' largest), clipped by global norm by {median(jumps[clipped]):.3g} "
            f"(difference of the "
            f"logarithms {signed(interval(np.log10(jumps['none']), np.log10(jumps[clipped])))}). Validation losses "
            f"at the end: "
            + ", ".join(f"{name} {median(values):.3g}" for name, values in ends.items())
            + f"; chance is {chance:.3g}."
        ),
        columns=("clipping", "largest jump", "validation loss", "seeds not finite", "seeds above chance"),
        rows=tuple(
            (
                name,
                median(jumps[name]),
                median(ends[name]),
                int((~np.isfinite(runs[name].curves["loss"][:, -1])).sum()),
                int((ends[name] > chance).sum()),
            )
            for name in runs
        ),
        charts=(
            Chart(
                f"sum of two marked numbers in {STEPS} steps",
                "epoch",
                "training loss",
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
    """Losses with what is not finite at a very large value."""
    return np.where(np.isfinite(values), np.minimum(values, 1e6), 1e6)


def _largest_jump(curves: np.ndarray) -> np.ndarray:
    """Each seed's largest factor from one epoch's loss to the next, 1 at least."""
    values = _finite(curves)
    return np.maximum((values[:, 1:] / values[:, :-1]).max(axis=1), 1.0)


EXPERIMENT = Experiment(
    name="clipping",
    order=160,
    question="What does gradient clipping do for a recurrent net?",
    claim="Recurrent nets have exploding gradients; clipping them by their norm keeps the training steady.",
    source="Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks",
    data="made",
    measure=_measure,
    about="A simple recurrent layer of 32 ReLU units on the adding problem over 40 steps, SGD at 0.02 with momentum "
    "0.9.",
    seeds=4,
)
