"""The L1 sparsity path: a penalty, and the soft threshold that leaves exact zeros."""

import numpy as np

from goodfit.lab.bench import Arm, Bench, median
from goodfit.lab.experiment import Experiment, Held, Result, together
from goodfit.lab.figures import ranged
from goodfit.plots.chart import Chart

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
THRESHOLDS = (3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""λ of the soft threshold: Adam divides each gradient, that of a penalty too, by its size, and leaves a threshold as it
is; so the same λ is another strength."""
RATE = 0.001


def _measure(bench: Bench) -> Result:
    from goodfit.training.constraints import SoftThreshold

    penalty = {f"penalty {s:g}": bench.dense((64, 64), l1=s, epochs=200) for s in STRENGTHS}
    threshold = {
        f"threshold {s:g}": bench.dense((64, 64), constraint=SoftThreshold(RATE * s), epochs=200) for s in THRESHOLDS
    }
    arms = bench.train({**penalty, **threshold})
    zeros = {name: _share(arm, 0.0) for name, arm in arms.items()}
    tiny = {name: _share(arm, 1e-3) for name, arm in arms.items()}
    none: Held = "held" if max(median(zeros[name]) for name in penalty) < 0.01 else "did not hold"
    grow = [median(zeros[name]) for name in threshold]
    rises: Held = "held" if grow[-1] > grow[0] and grow[-1] > 0.1 else "did not hold"
    strongest = list(threshold)[-1]
    return Result(
        held=together([none, rises]),
        finding=(
            f"Under Adam a penalty leaves {max(median(zeros[n]) for n in penalty):.1%} exact zeros at any strength, "
            f"though up "
            f"to {max(median(tiny[n]) for n in penalty):.0%} of the weights are below 0.001. The soft threshold leaves "
            f"{grow[0]:.0%} to {grow[-1]:.0%} exact zeros (λ from {THRESHOLDS[0]:g} to {THRESHOLDS[-1]:g}); at "
            f"{strongest.split()[1]} the test error is {median(bench.score(arms[strongest])):.3g}."
        ),
        columns=("L1", "exact zeros", "below 0.001", f"training {bench.unit}", "test"),
        rows=tuple(
            (name, median(zeros[name]), median(tiny[name]), median(bench.score(arm, "train")), median(bench.score(arm)))
            for name, arm in arms.items()
        ),
        charts=(
            Chart(
                "share of zero weights",
                "λ",
                "share of the hidden kernels",
                (
                    ranged("penalty, exactly 0", STRENGTHS, [zeros[n] for n in penalty]),
                    ranged("penalty, below 0.001", STRENGTHS, [tiny[n] for n in penalty]),
                    ranged("soft threshold, exactly 0", THRESHOLDS, [zeros[n] for n in threshold]),
                ),
                log_x=True,
            ),
            Chart(
                "test error",
                "λ",
                bench.unit,
                (
                    ranged("penalty", STRENGTHS, [bench.score(arms[n]) for n in penalty]),
                    ranged("soft threshold", THRESHOLDS, [bench.score(arms[n]) for n in threshold]),
                ),
                log_x=True,
            ),
        ),
    )


def _share(arm: Arm, below: float) -> np.ndarray:
    """Each seed's share of hidden kernel weights whose magnitude is at most `below`, shape (seeds,)."""
    kernels = [w.reshape(len(w), -1) for w in arm.trained.weights if w.ndim == 3][:-1]
    return (np.abs(np.concatenate(kernels, axis=1)) <= below).mean(axis=1)


EXPERIMENT = Experiment(
    name="l1-path",
    order=180,
    question="Does an L1 penalty make weights zero?",
    claim="A plain L1 penalty under SGD or Adam makes weights small but not zero; a proximal step makes exact zeros.",
    source="Beck and Teboulle (2009); Goodfellow, Bengio and Courville (2016), section 7.1.2",
    data="table",
    measure=_measure,
    about="64-64 ReLU units, Adam at 0.001, 200 epochs; a penalty λ Σ|w|, and a soft threshold of 0.001 λ after each "
    "step.",
)
