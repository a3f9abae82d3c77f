"""`LayerSignals`: a run's signals as the checks read them, and whether the training was harmed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goodfit.checks import thresholds
from goodfit.checks.case import Case
from goodfit.checks.loss_curve import best_baseline
from goodfit.values import Evidence, Run


@dataclass(frozen=True, eq=False)
class LayerSignals:
    """A run's signals.

    Args:
        run: that has them.
    """

    run: Run

    def of(self, name: str) -> np.ndarray:
        """One signal, shape (seeds, samples, layers), float64; NaN throughout where the run has none of that name."""
        shape = (len(self.run.seeds), len(self.run.signal_epochs), len(self.run.signal_layers))
        values = self.run.signals.get(name)
        return np.full(shape, np.nan) if values is None else np.asarray(values, dtype=np.float64)

    @property
    def kernels(self) -> np.ndarray:
        """The places of the layers with trainable kernels, in the order of their calls."""
        return np.flatnonzero(~np.isnan(self.of("weight_rms")).all(axis=(0, 1)))

    @property
    def hidden(self) -> np.ndarray:
        """Likewise, without the last: the model's outputs."""
        return self.kernels[:-1]

    @property
    def starts(self) -> bool:
        """Whether the first sample is of the initialization."""
        return len(self.run.signal_epochs) > 0 and int(self.run.signal_epochs[0]) == 0

    def last(self, name: str) -> np.ndarray:
        """Each seed's and layer's last value that is known, shape (seeds, layers)."""
        values = self.of(name)
        known = ~np.isnan(values)
        place = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
        return np.take_along_axis(values, place[:, None], axis=1)[:, 0]

    def layer(self, place: int) -> str:
        """A layer's path, quoted."""
        return f"'{self.run.signal_layers[place]}'"


def read(case: Case) -> LayerSignals | str:
    """The signals of a run, or why there are none."""
    run = case.run
    if run.signals and len(run.signal_layers) and len(run.signal_epochs):
        return LayerSignals(run)
    why = run.provenance.get("no_signals")
    return f"no signals were sampled: {why}." if why else "no signals of the layers were sampled in this run."


def harm(case: Case) -> tuple[bool, Evidence]:
    """Whether the training went badly enough for a fault of the layers to matter, and the number that says so.

    With a baseline: its validation loss beats the network's training loss by `UNDERFITTING_GAIN`. Without: the training
    loss stays above `HARMED` of chance. In most seeds; a seed that diverged was harmed.
    """
    reading = case.reading
    baseline = best_baseline(case)
    levels = [c.at(float(reading.kept[s])) for s, c in (reading.trains() or reading.validations())]
    levels += [np.inf] * int(reading.diverged.sum())
    if not levels:
        return False, Evidence("training loss over chance", np.nan, thresholds.HARMED, ">")
    level = float(np.median(levels))
    if baseline is not None:
        gain = reading.gain(level, baseline[1]) if np.isfinite(level) else 1.0
        name = f"gain of {baseline[0]} over the network's training loss"
        return gain > thresholds.UNDERFITTING_GAIN, Evidence(name, gain, thresholds.UNDERFITTING_GAIN, ">")
    share = level / reading.chance if reading.ratios else np.inf if not np.isfinite(level) else 0.0
    return share > thresholds.HARMED, Evidence("training loss over chance", share, thresholds.HARMED, ">")


def agreed(values: np.ndarray) -> bool:
    """Whether most seeds agree; shape (seeds,), bool."""
    return bool(len(values)) and float(np.mean(values)) >= thresholds.SEED_SHARE
