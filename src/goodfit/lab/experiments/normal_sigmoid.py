"""The sigmoid net with N(0, 1) weights."""

import numpy as np

from goodfit.lab.bench import Bench
from goodfit.lab.experiment import Experiment, Held, Result, together
from goodfit.lab.propagation import ACTIVATIONS, propagate
from goodfit.plots.chart import Chart, line

DEPTH, WIDTH, ROWS = 8, 100, 300


def _measure(bench: Bench) -> Result:
    inner, saturated = [], []
    for seed in bench.seeds:
        random = np.random.default_rng(seed)
        h = random.normal(size=(ROWS, WIDTH))
        variances, ends = [], []
        for _ in range(DEPTH):
            z = h @ random.normal(size=(WIDTH, WIDTH))
            h = ACTIVATIONS["sigmoid"][0](z)
            variances.append(z.var())
            ends.append(np.mean((h < 0.025) | (h > 0.975)))
        inner.append(variances)
        saturated.append(ends)
    backward = np.array([propagate("sigmoid", "N(0, 1)", depth=DEPTH, width=WIDTH, seed=s)[1] for s in bench.seeds])
    forward = np.array([propagate("sigmoid", "N(0, 1)", depth=DEPTH, width=WIDTH, seed=s)[0] for s in bench.seeds])
    pre, ends = np.median(inner, axis=0), np.median(saturated, axis=0)
    grows: Held = "held" if pre[0] > 10 else "did not hold"
    rises: Held = "held" if (np.diff(np.median(forward, axis=0)) > 0).mean() > 0.8 else "did not hold"
    full: Held = "held" if ends[-1] > 0.5 else "did not hold"
    return Result(
        held=together([grows, rises, full]),
        finding=(
            f"The first weighted sum already has {pre[0]:.0f} times the variance of the inputs (the fan-in), and "
            f"{ends[0]:.0%} of the first layer's units are saturated. The variance of the outputs is bounded by 1/4: "
            f"it "
            f"goes from {np.median(forward[:, 0]):.3f} to {np.median(forward[:, -1]):.3f} by layer {DEPTH}, that of "
            f"the "
            f"sums from {pre[0]:.0f} to {pre[-1]:.0f}: it does not grow layer by layer without end."
        ),
        columns=(
            "layer",
            "variance of the sum",
            "variance of the output",
            "share saturated",
            "variance of the gradient",
        ),
        rows=tuple(
            (
                place + 1,
                float(pre[place]),
                float(np.median(forward[:, place])),
                float(ends[place]),
                float(np.median(backward[:, place])),
            )
            for place in range(DEPTH)
        ),
        charts=(
            Chart("weighted sums", "layer", "variance", (line("before the sigmoid", np.array(inner)),), log_y=True),
            Chart(
                "outputs",
                "layer",
                "share",
                (line("saturated (outside 0.025 to 0.975)", np.array(saturated)), line("variance", forward)),
            ),
        ),
    )


EXPERIMENT = Experiment(
    name="normal-sigmoid",
    order=210,
    question="What was wrong with sigmoid units and weights from N(0, 1)?",
    claim="The variance of each layer's outputs is much greater than that of its inputs, and grows layer by layer "
    "until "
    "the last layers are saturated.",
    source="Glorot and Bengio (2010), as retold in courses",
    data="made",
    measure=_measure,
    about="8 layers of 100 sigmoid units before any training, weights and inputs from N(0, 1).",
)
