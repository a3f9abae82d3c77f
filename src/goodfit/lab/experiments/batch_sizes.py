"""Batch sizes from 8 to 256."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.lab.figures import arms_chart, ranged
from goodfit.plots.chart import Chart
from goodfit.values import Recipe

SIZES = (8, 16, 64, 256)


def _measure(bench: Bench) -> Result:
    train = bench.dataset.train
    rows = bench.dataset.x[train], bench.dataset.y[train]
    sizes = [size for size in SIZES if size < 2 * max(len(train), 8)]  # the last may be all rows in one step
    arms = bench.train({str(size): bench.dense((32, 32), batch_size=size, epochs=200) for size in sizes})
    jumps = {name: _roughness(bench.curve(arm, "validation")) for name, arm in arms.items()}
    first, last = str(sizes[0]), str(sizes[-1])
    ends = [median(bench.score(arm, "train")) for arm in arms.values()]
    slower = judged(interval(bench.score(arms[first], "train"), bench.score(arms[last], "train")), claimed="more")
    calmer = judged(interval(jumps[first], jumps[last]))
    seconds = {name: arm.seconds / max(arm.epochs, 1) * 1e6 for name, arm in arms.items()}
    with ThreadPoolExecutor() as pool:  # each is compiled, on one core
        held = pool.map(lambda arm: step_memory(arm.recipe, *rows), arms.values())
        memory = dict(zip(arms, held, strict=True))
    return Result(
        held=together([slower, calmer]),
        finding=(
            f"After {arms[first].run.epoch.size} epochs batches of {first} have a training error of {ends[0]:.3g}, "
            f"batches of {last} of "
            f"{ends[-1]:.3g}: a larger batch makes fewer steps. From one epoch to the next the validation error "
            f"moves by "
            f"{median(jumps[first]):.2g} and {median(jumps[last]):.2g} (difference "
            f"{signed(interval(jumps[first], jumps[last]))}). A step takes {memory[first] / 1024:.0f} KiB of memory "
            f"with batches of {first}, {memory[last] / 1024:.0f} KiB with {last}, weights and optimizer state included."
        ),
        columns=(
            "batch size",
            f"training {bench.unit}",
            "test",
            "step of validation",
            "steps per epoch",
            "µs per epoch",
            "KiB per step",
        ),
        rows=tuple(
            (
                name,
                median(bench.score(arm, "train")),
                median(bench.score(arm)),
                median(jumps[name]),
                -(-len(train) // int(name)),
                seconds[name],
                memory[name] / 1024,
            )
            for name, arm in arms.items()
        ),
        charts=(
            arms_chart(bench, arms, "validation", "validation error by batch size"),
            Chart(
                "at the end",
                "batch size",
                bench.unit,
                (
                    ranged("training", tuple(map(float, sizes)), [bench.score(a, "train") for a in arms.values()]),
                    ranged("test", tuple(map(float, sizes)), [bench.score(a) for a in arms.values()]),
                ),
                log_x=True,
            ),
        ),
        numbers={f"step_bytes_{name}": float(count) for name, count in memory.items()},
    )


def step_memory(recipe: Recipe, x: np.ndarray, y: np.ndarray) -> int:
    """Bytes of a compiled training step: weights and optimizer state before and after it, the batch, what lies between.

    Args:
        recipe: whose batch size counts.
        x: rows, a batch of them at least.
        y: their targets.

    Returns:
        the compiler's own figure for all of its buffers.
    """
    import jax

    from goodfit.training import keras_internals, program, recipes

    model: Any = recipes.compile_model(recipes.build(recipe, 0), recipe)
    rows = (x[: recipe.batch_size], y[: recipe.batch_size].reshape(-1, 1))
    keras_internals.build_for(model, rows)
    step = jax.jit(model.train_step).lower(program.read_state(model), rows).compile()
    held: Any = step.memory_analysis()
    return int(held.argument_size_in_bytes + held.output_size_in_bytes + held.temp_size_in_bytes)


def _roughness(curves: np.ndarray) -> np.ndarray:
    """The mean step of a curve from one epoch to the next, over its second half and its level there."""
    half = curves[:, curves.shape[1] // 2 :]
    return np.abs(np.diff(half, axis=1)).mean(axis=1) / half.mean(axis=1)


EXPERIMENT = Experiment(
    name="batch-sizes",
    order=70,
    question="What does the batch size do?",
    claim="At one learning rate, smaller batches learn more in an epoch and their curves are noisier.",
    source="Bengio (2012), Practical recommendations for gradient-based training, section 3.1.1; Keskar et al. (2017)",
    data="table",
    measure=_measure,
    about="32-32 ReLU units, Adam at 0.001, 200 epochs, batches of 8 to 256 (times without compiling).",
)
