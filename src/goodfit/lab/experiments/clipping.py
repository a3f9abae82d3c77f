"""Gradient clipping on a recurrent net."""

from typing import Any

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged
from goodfit.plots.chart import Chart, line
from goodfit.values import Recipe

STEPS, ROWS = 40, 512
GAIN = 2.0
"""What the recurrent matrix multiplies lengths by. Gradients of tanh units can explode only where its largest singular
value is above 1 (Pascanu et al. 2013, section 2.1); here every one is."""
THROWN = 2.0
"""A seed counts as thrown off where its training loss, once it has been below this many times chance, is above that
again or not finite. Setting and seeds were set down before anything was trained. The first count began with the second
epoch, and so took a slow way down from the start for being thrown; that was mended once, and nothing else."""
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
    orthogonal: Any = keras.initializers.Orthogonal(GAIN)
    network = keras.Sequential(
        [
            keras.Input((STEPS, 2), name="inputs"),
            keras.layers.SimpleRNN(32, activation="tanh", recurrent_initializer=orthogonal, name="recurrent"),
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
    chance = float(np.var(y))
    ends = {name: _finite(run.curves["val_loss"][:, -1]) for name, run in runs.items()}
    jumps = {name: _largest_jump(run.curves["loss"]) for name, run in runs.items()}
    thrown = {name: _thrown(run.curves["loss"], chance) for name, run in runs.items()}
    clipped = "by global norm 0.5"
    fewer = interval(thrown["none"], thrown[clipped])
    apart = interval(thrown["none"], thrown["by norm 0.5"])
    return Result(
        held=judged(fewer),
        finding=(
            f"Without clipping {int(thrown['none'].sum())} of {len(bench.seeds)} seeds are thrown off (a training loss "
            f"that comes back above {THROWN:g} times chance), clipped by global norm "
            f"{int(thrown[clipped].sum())} (difference of the shares {signed(fewer)}, by which the claim is judged), "
            f"clipped by the norm of each gradient {int(thrown['by norm 0.5'].sum())} ({signed(apart)}). "
            "Validation losses at the end: "
            + ", ".join(f"{name} {median(values):.3g}" for name, values in ends.items())
            + f"; chance is {chance:.3g}."
        ),
        columns=("clipping", "seeds thrown off", "largest jump", "validation loss", "seeds not finite"),
        rows=tuple(
            (
                name,
                int(thrown[name].sum()),
                median(jumps[name]),
                median(ends[name]),
                int((~np.isfinite(runs[name].curves["loss"][:, -1])).sum()),
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


def _thrown(curves: np.ndarray, chance: float) -> np.ndarray:
    """1 for each seed whose loss comes back above `THROWN` times chance, else 0.

    Example:
        >>> _thrown(np.array([[9.0, 1.0, 9.0], [9.0, 9.0, 1.0], [1.0, 1.0, np.inf]]), 1.0).tolist()
        [1.0, 0.0, 1.0]
    """
    above = _finite(curves) > THROWN * chance
    return (above & (np.cumsum(~above, axis=1) > 0)).any(axis=1).astype(float)


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
    about="A simple recurrent layer of 32 tanh units on the adding problem over 40 steps, its recurrent matrix "
    "orthogonal times 2 at the start, SGD at 0.02 with momentum 0.9, 60 epochs.",
    seeds=16,
)
