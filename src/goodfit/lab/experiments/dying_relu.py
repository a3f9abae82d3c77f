"""Dying ReLUs, and what revives them."""

import numpy as np

from goodfit.lab.bench import Bench, interval, median, signed
from goodfit.lab.experiment import Experiment, Held, Result, judged, together
from goodfit.plots.chart import Chart, line

RATE = 0.1
UNITS = (32, 32, 32)


def _measure(bench: Bench) -> Result:
    import keras

    def arm(**settings):
        return bench.dense(UNITS, epochs=60, **settings)

    high = keras.optimizers.Adam(RATE)
    arms = bench.train(
        {
            "ReLU, rate 0.1": arm(optimizer=high),
            "ReLU, rate 0.001": arm(),
            "leaky ReLU, rate 0.1": arm(optimizer=high, activation="leaky_relu"),
            "ELU, rate 0.1": arm(optimizer=high, activation="elu"),
            "ReLU with batch norm, rate 0.1": arm(optimizer=high, normalization="before"),
            "ReLU, rate 0.1, clipped": arm(optimizer=high, clipping={"global_clipnorm": 1.0}),
        },
        signals=12,
    )
    dead = {name: _dead(found.run) for name, found in arms.items()}
    ends = {name: values[:, -1] for name, values in dead.items()}
    plain = "ReLU, rate 0.1"
    dies = judged(interval(ends["ReLU, rate 0.001"], ends[plain]), claimed="more")
    revived: list[Held] = [judged(interval(ends[plain], ends[name])) for name in arms if name != plain]
    helped = [name for name, part in zip(list(arms)[1:], revived, strict=True) if part == "held"]
    parts: list[Held] = [dies, *revived]
    return Result(
        held=together(parts),
        finding=(
            f"At a learning rate of {RATE} {median(ends[plain]):.0%} of the units give 0 for every row after "
            f"{arms[plain].run.epoch.size} epochs, at 0.001 {median(ends['ReLU, rate 0.001']):.0%} (difference "
            f"{signed(interval(ends['ReLU, rate 0.001'], ends[plain]))}). "
            f"Fewer die with: {', '.join(helped) or 'none of the remedies'}."
        ),
        columns=("network", "dead at the start", "dead at the end", f"training {bench.unit}", "test"),
        rows=tuple(
            (
                name,
                median(dead[name][:, 0]),
                median(ends[name]),
                median(bench.score(a, "train")),
                median(bench.score(a)),
            )
            for name, a in arms.items()
        ),
        charts=(
            Chart(
                "dead units",
                "epoch",
                "share of the hidden units",
                tuple(line(name, dead[name], arms[name].run.signal_epochs) for name in arms),
            ),
        ),
    )


def _dead(run) -> np.ndarray:
    """The mean share of dead units over the hidden layers at each sample, shape (seeds, samples)."""
    values = run.signals["dead_fraction"]
    known = ~np.isnan(values).all(axis=(0, 1))
    return np.nan_to_num(np.nanmean(values[:, :, known], axis=2)) if known.any() else np.zeros(values.shape[:2])


EXPERIMENT = Experiment(
    name="dying-relu",
    order=120,
    question="Do ReLUs die, and what revives them?",
    claim="With too high a learning rate many ReLU units end up giving 0 for every row; leaky units, ELU, batch "
    "normalization, clipping or a lower rate keep them alive.",
    source="Maas, Hannun and Ng (2013); Lu, Shin, Su and Karniadakis (2019)",
    data="table",
    measure=_measure,
    about="Three layers of 32 units, Adam at 0.1 and 0.001, 60 epochs; dead fraction measured on the training rows.",
)
