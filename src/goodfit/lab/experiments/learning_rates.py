"""Four learning rates with SGD, as one population."""

import dataclasses

import numpy as np

from goodfit.lab.bench import Bench, median
from goodfit.lab.experiment import Experiment, Result, together
from goodfit.plots.chart import Chart, line

RATES = (1e-2, 1e-3, 1e-4, 1e-6)


def _measure(bench: Bench) -> Result:
    recipe = bench.dense((32, 32), optimizer="sgd", epochs=300)
    arm = bench.train({"SGD": recipe}, learning_rates=RATES)["SGD"]
    count = len(bench.seeds)
    curves = {rate: bench.curve(arm, "train")[i * count : (i + 1) * count] for i, rate in enumerate(RATES)}
    tests = {rate: bench.curve(arm, "test")[i * count : (i + 1) * count] for i, rate in enumerate(RATES)}
    goal = 1.05 * median(curves[1e-3][:, -1])
    reached = {
        rate: median([int(np.argmax(c <= goal)) + 1 if (c <= goal).any() else np.inf for c in values])
        for rate, values in curves.items()
    }
    moved = {rate: 1 - median(values[:, -1]) / median(values[:, 0]) for rate, values in curves.items()}
    faster = "held" if reached[1e-2] < reached[1e-3] else "did not hold"
    slower = "held" if median(curves[1e-4][:, -1]) > median(curves[1e-3][:, -1]) else "did not hold"
    still = "held" if moved[1e-6] < 0.1 else "did not hold"
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
        held=together([faster, slower, still]),
        finding=(
            f"What 0.001 reaches in {curves[1e-3].shape[1]} epochs, 0.01 reaches in {reached[1e-2]:.0f}; 0.0001 ends "
            f"at "
            f"{median(curves[1e-4][:, -1]):.3g} against {median(curves[1e-3][:, -1]):.3g}; at 0.000001 the training "
            f"error "
            f"falls by {moved[1e-6]:.1%} in all."
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
        numbers={f"epochs_to_goal_{rate:g}": value for rate, value in reached.items()},
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
