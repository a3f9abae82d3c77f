"""`Run`: what happened in a training, of one seed or of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from goodfit.values.dataset import Task
from goodfit.values.recipe import Recipe

Outcome = Literal["finished", "stopped", "diverged", "nonfinite", "interrupted"]
_WORST_FIRST: tuple[Outcome, ...] = ("nonfinite", "diverged", "interrupted", "stopped", "finished")


@dataclass(frozen=True, eq=False)
class Run:
    """What happened in a training. A log of another tool becomes a `Run` with less in it.

    Args:
        curves: name -> shape (seeds, epochs), float64, named as Keras names them (`loss`, `val_loss`, `mae`,
            `val_mae`). NaN where nothing was logged (a validation every k-th epoch, a seed that had stopped);
            a loss that was itself not finite stands as `inf`.
        epoch: shape (epochs,): the epoch (or step) of each entry, from 0 as Keras counts them, or as a log does.
        seeds: one per row of the curves.
        outcomes: how each seed ended.
        unit: what `epoch` counts.
        stages: the place in `epoch` where each stage begins of a training in several; empty where it is one.
        kept_epoch: shape (seeds,): the index into `epoch` whose weights were kept, where that is known.
        signals: name -> shape (seeds, samples, layers), see `goodfit.training.signals`; NaN where a layer has none of
            it, or a seed had stopped.
        signal_layers: the path of each layer of the signals, in the order in which they are called.
        signal_epochs: shape (samples,): how many epochs had been trained before each sample; 0 is the initialization.
        measurements: figures that were measured beside the curves, each by name: `chance_loss` (the loss of
            predicting the mean or the prior on the validation rows), `train_chance_loss` (on the training rows),
            `linear_loss`, `boosting_loss`, `small_sample_loss`, `initial_loss`.
        task: what the target asks for, where that is known.
        recipe: what was asked for, where that is known.
        provenance: versions, data path and fingerprint, split, looks at the test rows, engine, seconds.
        name: what the run is called.

    Example:
        >>> run = Run.from_history({"loss": [1.0, 0.5], "val_loss": [1.1, 0.7]})
        >>> run.curve("val_loss").tolist()
        [1.1, 0.7]
    """

    curves: Mapping[str, np.ndarray]
    epoch: np.ndarray
    seeds: tuple[int, ...] = (0,)
    outcomes: tuple[Outcome, ...] = ("finished",)
    unit: Literal["epoch", "step"] = "epoch"
    stages: tuple[int, ...] = ()
    kept_epoch: np.ndarray | None = None
    signals: Mapping[str, np.ndarray] = field(default_factory=dict)
    signal_layers: tuple[str, ...] = ()
    signal_epochs: np.ndarray = field(default_factory=lambda: np.zeros(0))
    measurements: Mapping[str, float] = field(default_factory=dict)
    task: Task | None = None
    recipe: Recipe | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    name: str = "run"

    def __post_init__(self) -> None:
        shape = (len(self.seeds), len(self.epoch))
        for name, values in self.curves.items():
            if np.shape(values) != shape:
                raise ValueError(f"the curve {name!r} has shape {np.shape(values)}, not (seeds, epochs) = {shape}")
        if len(self.outcomes) != len(self.seeds):
            raise ValueError(f"{len(self.outcomes)} outcomes for {len(self.seeds)} seeds")

    def __repr__(self) -> str:
        sizes = f"{len(self.epoch)} {self.unit}s, {len(self.seeds)} seed{'s' if len(self.seeds) != 1 else ''}"
        outcome = self.outcome if self.outcomes else "empty"
        return f"<Run {self.name}: {sizes}, {', '.join(self.curves) or 'no curves'}, {outcome}>"

    @classmethod
    def from_history(cls, history: Mapping[str, Any], epoch: Any = None, **fields: Any) -> Run:
        """A run of one seed from a mapping of curve names to lists, as in Keras's `History.history`."""
        curves = {name: np.asarray(values, dtype=np.float64).reshape(1, -1) for name, values in history.items()}
        length = next((values.shape[1] for values in curves.values()), 0)
        return cls(curves=curves, epoch=np.arange(length) if epoch is None else np.asarray(epoch), **fields)

    @property
    def outcome(self) -> Outcome:
        """The worst of the seeds' outcomes."""
        return min(self.outcomes, key=_WORST_FIRST.index)

    @property
    def history(self) -> dict[str, list[float]]:
        """The first seed's curves as Keras's `History.history` has them: a list each, unlogged entries left out."""
        return {name: values[0][~np.isnan(values[0])].tolist() for name, values in self.curves.items()}

    def curve(self, name: str, seed: int = 0) -> np.ndarray:
        """One seed's curve, shape (epochs,), NaN where nothing was logged. `seed` is its place in `seeds`."""
        return self.curves[name][seed]

    def best_epoch(self, monitor: str | None = None) -> np.ndarray:
        """Each seed's index of its lowest `monitor` (default `val_loss`, or `loss` without it); shape (seeds,).

        -1 for a seed without one finite value.
        """
        name = monitor or ("val_loss" if "val_loss" in self.curves else "loss")
        values = np.where(np.isfinite(self.curves[name]), self.curves[name], np.inf)
        return np.where(np.isfinite(values).any(axis=1), values.argmin(axis=1), -1)
