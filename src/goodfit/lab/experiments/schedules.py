"""Learning-rate schedules compared."""

import math
from typing import Any

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.lab.figures import arms_chart
from goodfit.plots.chart import Chart, line
from goodfit.values import Plateau

EPOCHS, PEAK = 100, 0.03
PLATEAU = Plateau(factor=0.5, patience=5, min_lr=PEAK / 100)


def _measure(bench: Bench) -> Result:
    import keras

    from goodfit.training.optimizers import MomentumScheduleSGD
    from goodfit.training.schedules import CycleMomentum, OneCycle, PowerDecay, rates

    per_epoch = math.ceil(len(bench.dataset.train) / 16)
    steps = bench.epochs(EPOCHS) * per_epoch
    decays = keras.optimizers.schedules
    schedules = {
        "constant": PEAK / 3,
        "power": PowerDecay(PEAK, steps / 9),
        "exponential": decays.ExponentialDecay(PEAK, steps, 0.01),
        "piecewise": decays.PiecewiseConstantDecay([steps // 2, 3 * steps // 4], [PEAK, PEAK / 10, PEAK / 100]),
        "cosine with warm-up": decays.CosineDecay(
            PEAK / 10, steps - steps // 20, warmup_target=PEAK, warmup_steps=max(steps // 20, 1)
        ),
        "1cycle": OneCycle(PEAK, steps),
    }
    recipes = {}
    for name, schedule in schedules.items():
        momentum: Any = CycleMomentum(steps) if name == "1cycle" else 0.9
        kind = MomentumScheduleSGD if name == "1cycle" else keras.optimizers.SGD
        recipes[name] = bench.dense((32, 32), epochs=EPOCHS, optimizer=kind(schedule, momentum=momentum))
    flat = bench.dense((32, 32), epochs=EPOCHS, optimizer=keras.optimizers.SGD(PEAK, momentum=0.9))
    recipes["performance"] = flat.replace(plateau=PLATEAU)
    arms = bench.train(recipes)
    lowered = np.median(arms["performance"].run.curves["learning_rate"], axis=0)
    constant = arms["constant"]
    gains = {name: bench.difference(constant, arm, "train") for name, arm in arms.items() if name != "constant"}
    test = {name: interval(bench.score(constant), bench.score(arm)) for name, arm in arms.items() if name != "constant"}
    return Result(
        held=together([judged(test[name]) for name in test]),
        finding=(
            "Against a constant rate the test error at the end differs by "
            + "; ".join(f"{name} {signed(found)}" for name, found in test.items())
            + f". The lowest training error has {min(gains, key=lambda n: gains[n].estimate)}."
        ),
        columns=("schedule", f"training {bench.unit}", "validation", "test", "change of test"),
        rows=tuple(
            (
                name,
                *(median(bench.score(arm, p)) for p in ("train", "validation", "test")),
                signed(test[name]) if name in test else "",
            )
            for name, arm in arms.items()
        ),
        charts=(
            Chart(
                "the schedules",
                "step",
                "learning rate",
                (
                    *(line(n, rates(s, steps)) for n, s in schedules.items()),
                    line("performance (median seed)", np.repeat(lowered, per_epoch)),
                ),
                log_y=True,
            ),
            arms_chart(bench, arms, "train", "training error"),
        ),
    )


EXPERIMENT = Experiment(
    name="schedules",
    order=150,
    question="What does a learning-rate schedule gain?",
    claim="A schedule that begins high and ends low reaches a lower error in the same number of epochs than a constant "
    "rate; 1cycle reaches it fastest.",
    source="Smith (2018), A disciplined approach to neural network hyper-parameters; Senior et al. (2013)",
    data="table",
    measure=_measure,
    about="32-32 ReLU units, SGD with momentum 0.9, batches of 16, 100 epochs; peak rate 0.03, the constant one "
    "0.01. The performance schedule halves the rate after 5 epochs without a lower validation loss.",
)
