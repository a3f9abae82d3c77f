"""Optimizers compared: speed, and where they end."""

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Result, judged, together
from goodfit.plots.chart import Chart, line

RATES = {
    "SGD": (0.01, 0.03, 0.1),
    "momentum": (0.003, 0.01, 0.03),
    "Nesterov": (0.003, 0.01, 0.03),
    "AdaGrad": (0.01, 0.03, 0.1),
    "RMSProp": (0.0003, 0.001, 0.003),
    "Adam": (0.001, 0.003, 0.01),
    "Nadam": (0.001, 0.003, 0.01),
    "AdamW": (0.001, 0.003, 0.01),
    "Lion": (0.0001, 0.0003, 0.001),
}
"""Each optimizer is given the best of three rates by the validation error: a comparison at one rate compares rates."""


def _measure(bench: Bench) -> Result:
    import keras

    make = {
        "SGD": keras.optimizers.SGD(0.01),
        "momentum": keras.optimizers.SGD(0.01, momentum=0.9),
        "Nesterov": keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        "AdaGrad": keras.optimizers.Adagrad(0.01),
        "RMSProp": keras.optimizers.RMSprop(0.001),
        "Adam": keras.optimizers.Adam(0.001),
        "Nadam": keras.optimizers.Nadam(0.001),
        "AdamW": keras.optimizers.AdamW(0.001, weight_decay=0.01),
        "Lion": keras.optimizers.Lion(0.001),
    }
    chosen, curves, seeds = {}, {}, len(bench.seeds)
    recipes = {name: bench.dense((32, 32), optimizer=optimizer, epochs=150) for name, optimizer in make.items()}
    for name, arm in bench.train(recipes, learning_rates=RATES).items():
        ends = np.nan_to_num(bench.curve(arm, "validation"), nan=np.inf).min(axis=1).reshape(-1, seeds)
        best = int(np.argmin(np.median(ends, axis=1)))
        chosen[name] = RATES[name][best]
        part = slice(best * seeds, (best + 1) * seeds)
        curves[name] = {p: bench.curve(arm, p)[part] for p in ("train", "validation", "test")}
    goal = 1.05 * median(curves["SGD"]["train"][:, -1])
    reached = {name: _first(c["train"], goal) for name, c in curves.items()}
    at_best = {name: _at_best(c) for name, c in curves.items()}
    quicker = judged(interval(reached["SGD"], reached["Adam"]))
    worse = judged(interval(at_best["momentum"], at_best["Adam"]), claimed="more")
    return Result(
        held=together([quicker, worse]),
        finding=(
            f"Each at the best of three rates, what plain SGD reaches in {median(reached['SGD']):.0f} epochs (a "
            f"training error of {goal:.3g}, 5 % above its last) momentum reaches in {median(reached['momentum']):.0f}, "
            f"Adam in {median(reached['Adam']):.0f}. The test error of Adam against momentum differs by "
            f"{signed(interval(at_best['momentum'], at_best['Adam']))}: here adaptive methods "
            f"{'generalize worse' if worse == 'held' else 'do not generalize worse beyond the noise of the seeds'}."
        ),
        columns=("optimizer", "rate", "epochs to the goal", f"training {bench.unit}", "test at best validation"),
        rows=tuple(
            (name, f"{chosen[name]:g}", median(reached[name]), median(c["train"][:, -1]), median(at_best[name]))
            for name, c in curves.items()
        ),
        charts=tuple(
            Chart(f"{name} error", "epoch", bench.unit, tuple(line(n, c[part]) for n, c in curves.items()), log_y=True)
            for part, name in (("train", "training"), ("test", "test"))
        ),
        numbers={"goal": goal},
    )


def _first(curves: np.ndarray, goal: float) -> np.ndarray:
    """The epoch, from 1, in which each seed reaches the goal; twice the epochs where it does not."""
    under = curves <= goal
    return np.where(under.any(axis=1), under.argmax(axis=1) + 1.0, 2.0 * curves.shape[1])


def _at_best(curves: dict[str, np.ndarray]) -> np.ndarray:
    """Each seed's test error at its epoch of lowest validation error."""
    place = np.nan_to_num(curves["validation"], nan=np.inf).argmin(axis=1)
    return curves["test"][np.arange(len(place)), place]


EXPERIMENT = Experiment(
    name="optimizers",
    order=140,
    question="Which optimizer is fastest, and which ends best?",
    claim="Adaptive optimizers such as Adam learn faster than SGD, but generalize worse than SGD with momentum.",
    source="Kingma and Ba (2015); Wilson, Roelofs, Stern, Srebro and Recht (2017)",
    data="table",
    measure=_measure,
    about="32-32 ReLU units, batches of 16, 150 epochs, each optimizer at three learning rates, of which the best by "
    "validation counts.",
)
