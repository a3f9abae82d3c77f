"""The overfit net with less and with more data."""

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged
from goodfit.lab.figures import ranged
from goodfit.plots.chart import Chart
from goodfit.values import Recipe

SHARES = (0.25, 0.5, 1.0)


def _measure(bench: Bench) -> Result:
    train = bench.dataset.train
    order = np.random.default_rng(bench.seed).permutation(train)  # smaller sets are parts of the larger ones
    recipe = bench.dense((128, 128))
    recipes: dict[str, Recipe] = {}
    rows: dict[str, np.ndarray] = {}
    for share in SHARES:
        count, name = max(round(share * len(train)), 8), f"{share:.0%}"
        if share < 1.0:
            rows[name] = np.sort(order[:count])
        # as many steps for all, so that more data is not also more training
        steps = -(-len(train) // 16) / -(-count // 16)
        recipes[name] = recipe.replace(epochs=round(recipe.epochs * steps))
    arms = bench.train(recipes, rows=rows)
    scores = {name: bench.score(arm) for name, arm in arms.items()}
    change = interval(scores["25%"], scores["100%"])
    gaps = [median(bench.score(arm) - bench.score(arm, "train")) for arm in arms.values()]
    held = judged(change)
    counts = tuple(float(max(round(share * len(train)), 8)) for share in SHARES)
    return Result(
        held=held if gaps[-1] < gaps[0] or held != "held" else "partly",
        finding=(
            f"From a quarter of the training rows to all of them the test error changes by {signed(change)}, and the "
            f"gap "
            f"to the training error from {gaps[0]:.3g} to {gaps[-1]:.3g}."
        ),
        columns=("training rows", "rows", f"training {bench.unit}", "test", "gap"),
        rows=tuple(
            (name, int(count), median(bench.score(arm, "train")), median(bench.score(arm)), gap)
            for (name, arm), count, gap in zip(arms.items(), counts, gaps, strict=True)
        ),
        charts=(
            Chart(
                "the same network on more rows",
                "training rows",
                bench.unit,
                (
                    ranged("training", counts, [bench.score(arm, "train") for arm in arms.values()]),
                    ranged("test", counts, list(scores.values())),
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
    about="128-128 ReLU units on a quarter, half and all of the training rows, the same number of steps each.",
)
