"""Four learning rates with SGD, as one population."""

import dataclasses

import numpy as np

from goodfit.lab.bench import Bench, median
from goodfit.lab.experiment import Experiment, Held, Result, together
from goodfit.plots.chart import Chart, line

RATES = (1e-2, 1e-3, 1e-4, 1e-6)
LEAST, MOST = 5.0, 20.0
"""What counts as about ten times as long."""
STILL = 0.1
"""A loss that falls by less hardly moves."""


def _measure(bench: Bench) -> Result:
    recipe = bench.dense((32, 32), optimizer="sgd", epochs=300)
    arm = bench.train({"SGD": recipe}, learning_rates=RATES)["SGD"]
    count = len(bench.seeds)
    curves = {rate: bench.curve(arm, "train")[i * count : (i + 1) * count] for i, rate in enumerate(RATES)}
    tests = {rate: bench.curve(arm, "test")[i * count : (i + 1) * count] for i, rate in enumerate(RATES)}
    epochs = curves[1e-3].shape[1]

    def times(slow: float, fast: float) -> float:
        """How many times as long one rate takes for what it reaches in all epochs."""
        goal = median(curves[slow][:, -1])
        return epochs / median([int(np.argmax(c <= goal)) + 1 if (c <= goal).any() else np.inf for c in curves[fast]])

    ratios = {fast: times(fast / 10, fast) for fast in (1e-2, 1e-3)}
    moved = {rate: 1 - median(values[:, -1]) / median(values[:, 0]) for rate, values in curves.items()}
    tenfold: list[Held] = ["held" if LEAST <= ratio <= MOST else "did not hold" for ratio in ratios.values()]
    still: Held = "held" if moved[1e-6] < STILL else "did not hold"
    verdicts = []
    for place in range(len(RATES)):
        part = slice(place * count, (place + 1) * count)
        run = dataclasses.replace(
            arm.run,
            curves={name: values[part] for name, values in arm.run.curves.items()},
            seeds=bench.seeds,
            outcomes=arm.run.outcomes[part],
            kept_epoch=None,
        )
        one = dataclasses.replace(arm, trained=dataclasses.replace(arm.trained, run=run))
        verdicts.append(bench.diagnose(one).verdict)
    return Result(
        held=together([*tenfold, still]),
        finding=(
            f"For what 0.01 does, 0.001 takes {ratios[1e-2]:.1f} times as many epochs, and 0.0001 "
            f"{ratios[1e-3]:.1f} times those of 0.001; at 0.000001 the training error falls by {moved[1e-6]:.1%} in "
            f"{epochs} epochs."
        ),
        columns=("learning rate", f"first training {bench.unit}", "last", "last test", "verdict"),
        rows=tuple(
            (f"{rate:g}", median(curves[rate][:, 0]), median(curves[rate][:, -1]), median(tests[rate][:, -1]), verdict)
            for rate, verdict in zip(RATES, verdicts, strict=True)
        ),
        charts=(
            Chart(
                "SGD, four rates",
                "epoch",
                f"training {bench.unit}",
                tuple(line(f"{rate:g}", values) for rate, values in curves.items()),
                log_y=True,
            ),
        ),
        numbers={f"times_of_{rate:g}": value for rate, value in ratios.items()},
    )


EXPERIMENT = Experiment(
    name="learning-rates",
    order=60,
    question="What does the learning rate do?",
    claim="With a tenth of the learning rate a training takes about ten times as long; with far too small a rate the "
    "loss hardly moves.",
    source="Bengio (2012), Practical recommendations for gradient-based training, section 3.1.1",
    data="table",
    measure=_measure,
    about="32-32 ReLU units, SGD at four rates for 300 epochs, all rates and seeds in one program.",
)
