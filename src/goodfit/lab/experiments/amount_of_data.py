"""The overfit net with less and with more data."""

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged
from goodfit.lab.figures import ranged
from goodfit.plots.chart import Chart
from goodfit.values import Recipe

SHARES = (0.25, 0.5, 1.0)
BATCH = 16
"""Rows per step."""


def _measure(bench: Bench) -> Result:
    train = bench.dataset.train
    order = np.random.default_rng(bench.seed).permutation(train)  # smaller sets are parts of the larger ones
    recipe = bench.dense((128, 128))
    recipes: dict[str, Recipe] = {}
    rows: dict[str, np.ndarray] = {}
    unit = BATCH if len(train) >= 8 * BATCH else 1  # whole batches: a smaller last one would be compiled apart
    for share in SHARES:
        count = len(train) if share == 1.0 else max(round(share * len(train) / unit) * unit, 8)
        name = f"{count} rows"
        if share < 1.0:
            rows[name] = np.sort(order[:count])
        # as many steps for all, so that more data is not also more training
        steps = -(-len(train) // BATCH) / -(-count // BATCH)
        recipes[name] = recipe.replace(epochs=round(recipe.epochs * steps))
    arms = bench.train(recipes, rows=rows)
    scores = {name: bench.score(arm) for name, arm in arms.items()}
    fewest, *_, most = arms
    change = interval(scores[fewest], scores[most])
    gaps = [median(bench.score(arm) - bench.score(arm, "train")) for arm in arms.values()]
    held = judged(change)
    counts = [float(len(rows.get(name, train))) for name in arms]
    return Result(
        held=held if gaps[-1] < gaps[0] or held != "held" else "partly",
        finding=(
            f"From {fewest} to {most} the test error changes by {signed(change)}, and the gap to the training error "
            f"from {gaps[0]:.3g} to {gaps[-1]:.3g}."
        ),
        columns=("training", f"training {bench.unit}", "test", "gap"),
        rows=tuple(
            (name, median(bench.score(arm, "train")), median(bench.score(arm)), gap)
            for (name, arm), gap in zip(arms.items(), gaps, strict=True)
        ),
        charts=(
            Chart(
                "the same network on more rows",
                "training rows",
                bench.unit,
                (
                    ranged("training", tuple(counts), [bench.score(arm, "train") for arm in arms.values()]),
                    ranged("test", tuple(counts), list(scores.values())),
                ),
            ),
        ),
    )


EXPERIMENT = Experiment(
    name="amount-of-data",
    order=50,
    question="Does more data mend an overfit?",
    claim="More training data narrows the gap between training and validation error, and lowers the latter.",
    source="Goodfellow, Bengio and Courville (2016), Deep learning, section 5.2 and figure 5.4",
    data="table",
    measure=_measure,
    about="128-128 ReLU units on about a quarter, half and all of the training rows, the same number of steps each.",
)
