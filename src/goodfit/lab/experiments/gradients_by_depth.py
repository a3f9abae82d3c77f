"""Vanishing and exploding gradients by depth, initialization and activation."""

import numpy as np

from goodfit.lab.bench import Bench
from goodfit.lab.experiment import Experiment, Held, Result, together
from goodfit.lab.propagation import VARIANCES, propagate
from goodfit.plots.chart import Chart, line

PAIRS = (("sigmoid", "Glorot"), ("tanh", "Glorot"), ("relu", "He"), ("selu", "LeCun"))
"""What belongs together, but for the sigmoid, for which nothing does."""
DEPTH = 30


def _measure(bench: Bench) -> Result:
    found = {}
    for activation in ("sigmoid", "tanh", "relu", "elu", "selu"):
        for initialization in VARIANCES:
            with np.errstate(over="ignore", under="ignore"):
                each = [propagate(activation, initialization, depth=DEPTH, seed=seed) for seed in bench.seeds]
            found[activation, initialization] = tuple(np.array(part) for part in zip(*each, strict=True))

    def ratio(activation: str, initialization: str) -> float:
        """The first layer's gradient over the last one's, both as standard deviations; the median of the seeds."""
        backward = found[activation, initialization][1]
        return float(np.median(np.sqrt(backward[:, 0] / np.maximum(backward[:, -1], 1e-300))))

    vanish = [ratio("sigmoid", "Glorot"), ratio("relu", "N(0, 0.01²)")]
    explode = [ratio("relu", "N(0, 1)")]
    kept = [ratio("relu", "He"), ratio("tanh", "Glorot"), ratio("selu", "LeCun")]
    parts: list[Held] = [
        "held" if max(vanish) < 1e-3 else "did not hold",
        "held" if min(explode) > 1e3 else "did not hold",
        "held" if all(0.1 < r < 10 for r in kept) else "partly" if any(0.1 < r < 10 for r in kept) else "did not hold",
    ]
    return Result(
        held=together(parts),
        finding=(
            f"Over {DEPTH} layers the gradient of a sigmoid net with Glorot's weights shrinks to {vanish[0]:.1e} of "
            f"itself; "
            f"ReLU with N(0, 1) lets it grow to {explode[0]:.1e}, with N(0, 0.01²) shrink to {vanish[1]:.1e}; "
            f"ReLU with He's keeps {kept[0]:.2g}, tanh with Glorot's {kept[1]:.2g}, SELU with LeCun's {kept[2]:.2g}."
        ),
        columns=("activation", "initialization", "first over last gradient", "last over first output"),
        rows=tuple(
            (
                activation,
                initialization,
                ratio(activation, initialization),
                float(np.median(np.sqrt(forward[:, -1] / np.maximum(forward[:, 0], 1e-300)))),
            )
            for (activation, initialization), (forward, _) in found.items()
        ),
        charts=tuple(
            Chart(
                title,
                "layer",
                "variance",
                tuple(
                    line(f"{a}, {i}", found[a, i][place])
                    for a, i in (*PAIRS, ("relu", "N(0, 1)"), ("relu", "N(0, 0.01²)"))
                ),
                log_y=True,
            )
            for place, title in enumerate(("forward: outputs", "backward: gradients"))
        ),
        numbers={f"{a}, {i}": ratio(a, i) for a, i in found},
    )


EXPERIMENT = Experiment(
    name="gradients-by-depth",
    order=110,
    question="When do gradients vanish or explode?",
    claim="In deep nets gradients vanish or explode unless the initialization fits the activation: Glorot for tanh, He "
    "for ReLU, LeCun for SELU; with the sigmoid they vanish.",
    source="Glorot and Bengio (2010); He et al. (2015); Klambauer et al. (2017)",
    data="made",
    measure=_measure,
    about="30 layers of 100 units before any training, inputs from N(0, 1); variances per layer.",
)
