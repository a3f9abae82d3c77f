"""Dropout rates from 0 to 0.8."""

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Held, Result, judged, together
from goodfit.lab.figures import ends_chart, ranged
from goodfit.plots.chart import Chart

RATES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.65, 0.8)


def _measure(bench: Bench) -> Result:
    recipes = {f"{rate:g}": bench.dense((128, 128), dropout=rate, epochs=300) for rate in RATES}
    inputs = bench.dense((128, 128), input_dropout=0.2, epochs=300)
    every = bench.train({**recipes, "inputs 0.2": inputs})
    arms = {name: every[name] for name in recipes}
    scores = {name: bench.score(arm) for name, arm in every.items()}
    best = min(arms, key=lambda name: median(scores[name]))
    gain = interval(scores["0"], scores[best])
    strong = interval(scores[best], scores["0.8"])
    inner: Held = "held" if 0.2 <= float(best) <= 0.5 else "did not hold"
    return Result(
        held=together([judged(gain) if best != "0" else "did not hold", inner, judged(strong, claimed="more")]),
        finding=(
            f"The lowest test error has a rate of {best}: against none it changes by {signed(gain)}; 0.8 is worse than "
            f"that by {signed(strong)}. Dropout of 0.2 on the inputs alone gives {median(scores['inputs 0.2']):.3g} "
            f"against "
            f"{median(scores['0']):.3g} without."
        ),
        columns=("rate", f"training {bench.unit}", "test", "test at best validation"),
        rows=tuple(
            (name, median(bench.score(arm, "train")), median(scores[name]), median(bench.score(arm, at="best")))
            for name, arm in every.items()
        ),
        charts=(
            Chart(
                "128-128 after 300 epochs",
                "dropout rate",
                bench.unit,
                (
                    ranged("training, dropout on", RATES, [bench.score(a, "train") for a in arms.values()]),
                    ranged("test", RATES, [scores[name] for name in arms]),
                ),
            ),
            ends_chart(bench, every, "all rates"),
        ),
        numbers={"best_rate": float(np.float64(best))},
    )


EXPERIMENT = Experiment(
    name="dropout-rates",
    order=170,
    question="Which dropout rate is best?",
    claim="Rates between 0.2 and 0.5 of the hidden units are best; too much underfits.",
    source="Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), Dropout, section 7 and appendix A",
    data="table",
    measure=_measure,
    about="128-128 ReLU units, Adam at 0.001, batches of 16, 300 epochs, a rate behind every hidden layer.",
)
