"""Is the spread of Monte-Carlo dropout the error that is made?"""

from typing import Any

import numpy as np

from goodfit.errors import InputError
from goodfit.lab.bench import Bench, median
from goodfit.lab.experiment import Experiment, Held, Result
from goodfit.plots.chart import Chart, Series, line

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def _measure(bench: Bench) -> Result:
    if not bench.regression:
        raise InputError(
            "the experiment 'mc-dropout' needs a quantity to predict.", "Give a table whose target is one."
        )
    from scipy.stats import spearmanr

    from goodfit.training.uncertainty import sampler

    data = bench.dataset
    arm = bench.train({"dropout 0.2": bench.dense((64, 64), dropout=0.2, normalization="before", epochs=200)})[
        "dropout 0.2"
    ]
    covered: dict[str, list[list[float]]] = {"spread alone": [], "spread and noise": []}
    ranks, gains = [], []
    sampled = sampler(arm.trained.model(0))
    plain = arm.trained.predict(data.part("test")[0])
    for member in range(len(bench.seeds)):
        weights = [values[member] for values in arm.trained.weights]
        validation, test = (sampled(data.part(p)[0], weights, seed=member) for p in ("validation", "test"))
        residual = data.part("validation")[1] - validation.mean[:, 0]
        # the target's noise: what the residuals spread beyond the model's own spread
        noise = float(np.sqrt(max(np.mean(residual**2) - np.mean(validation.sd**2), 0.0)))
        y = data.part("test")[1]
        for name, extra in (("spread alone", 0.0), ("spread and noise", noise)):
            ends = [test.interval(level, noise_sd=extra) for level in LEVELS]
            covered[name].append([float(np.mean((low[:, 0] <= y) & (y <= high[:, 0]))) for low, high in ends])
        error = np.abs(y - test.mean[:, 0])
        correlation: Any = spearmanr(test.sd[:, 0], error)
        ranks.append(float(correlation.statistic))
        without = np.sqrt(np.mean((y - plain[member, :, 0]) ** 2))
        gains.append(float(np.sqrt(np.mean((y - test.mean[:, 0]) ** 2)) - without))
    alone = float(np.median(np.array(covered["spread alone"])[:, 4]))
    both = float(np.median(np.array(covered["spread and noise"])[:, 4]))
    held: Held = "held" if abs(alone - 0.9) < 0.05 else "partly" if median(ranks) > 0.2 else "did not hold"
    return Result(
        held=held,
        finding=(
            f"Intervals of 90 % from the spread alone cover {alone:.0%} of the test rows; with the noise of the "
            f"validation "
            f"residuals added, {both:.0%}. Where the spread is larger the error tends to be (rank correlation "
            f"{median(ranks):.2f}). The mean of the samples changes the RMSE by "
            f"{median(gains) * data.target_scale:+.2g}."
        ),
        columns=("nominal", *covered),
        rows=tuple(
            (f"{level:.0%}", *(float(np.median(np.array(values)[:, place])) for values in covered.values()))
            for place, level in enumerate(LEVELS)
        ),
        charts=(
            Chart(
                "coverage on the test rows",
                "nominal coverage",
                "measured coverage",
                (
                    *(line(name, np.array(values), np.array(LEVELS)) for name, values in covered.items()),
                    Series("exact", LEVELS, LEVELS, dashed=True),
                ),
            ),
        ),
        numbers={"rank_correlation": median(ranks), "coverage_90_spread": alone, "coverage_90_with_noise": both},
    )


EXPERIMENT = Experiment(
    name="mc-dropout",
    order=190,
    question="Does Monte-Carlo dropout know how wrong it is?",
    claim="The spread of predictions with dropout on tells the uncertainty of a prediction.",
    source="Gal and Ghahramani (2016), Dropout as a Bayesian approximation",
    data="table",
    measure=_measure,
    about="64-64 ReLU units with batch normalization (in inference mode in every sample) and dropout 0.2, 200 "
    "epochs; 100 "
    "samples.",
)
