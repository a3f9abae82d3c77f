"""A sheet: one setup on one treatment of the rows, trained with many learning rates and seeds for many epochs.

Every training that a case or its counterfactuals need is a row of a sheet, cut at some epoch: fewer epochs are the
start of more, and early stopping with the best epoch restored is a rule that reads the curves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from goodfit.lab.faults.data import chance_losses
from goodfit.lab.faults.labels import End
from goodfit.lab.faults.setups import TASK_LOSS, Setup, recipe
from goodfit.training.population import train
from goodfit.training.programs import Programs
from goodfit.values import Dataset

FACTORS = (1 / 100, 1 / 30, 1 / 10, 1 / 3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Learning rates of a sheet, over the sensible one."""


LAST = 5
"""Epochs whose mean loss is that of the last; a quarter of them where there are fewer than four times as many."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """The curves of one setup.

    Args:
        curves: name -> shape (learning rates, seeds, epochs); `inf` where a loss was not finite. The first seeds label,
            those after them are shown.
        penalized: name -> likewise with penalties, as Keras logs them.
        rates: the places in `FACTORS` of its learning rates.
        chance: the loss of predicting the mean or the prior on the rows of each curve.
        setup: that was trained.
        dataset: on what.
        labelling: how many seeds label.
    """

    curves: dict[str, np.ndarray]
    penalized: dict[str, np.ndarray]
    rates: tuple[int, ...]
    chance: dict[str, float]
    setup: Setup
    dataset: Dataset
    labelling: int


def fill(
    setup: Setup,
    dataset: Dataset,
    base_rate: float,
    epochs: int,
    seeds: tuple[int, ...],
    programs: Programs,
    places: tuple[int, ...] = tuple(range(len(FACTORS))),
    shown: tuple[int, ...] = (),
) -> Sheet:
    """Train a sheet.

    Args:
        setup: what to train.
        dataset: on what; its test rows are the hidden ones.
        base_rate: the learning rate of factor 1.
        epochs: of every training.
        seeds: of the members that label.
        programs: compiled so far.
        places: in `FACTORS`, of the learning rates to train with.
        shown: seeds of the members that users see.
    """
    labelling, seeds = len(seeds), (*seeds, *shown)
    rates = [base_rate * FACTORS[place] for place in places for _ in seeds]
    population = train(
        recipe(setup, dataset, base_rate, epochs),
        *_columns(dataset, "train"),
        validation=_columns(dataset, "validation"),
        seeds=list(seeds) * len(places),
        learning_rates=rates,
        hidden=_columns(dataset, "test"),
        validation_batch_size=1024,  # all at once
        programs=programs,
        threads=1,
    )
    if "interrupted" in population.run.outcomes:
        raise KeyboardInterrupt  # half a sheet is none
    shape = (len(places), len(seeds), epochs)
    curves = {name: _whole(values, epochs).reshape(shape) for name, values in population.run.curves.items()}
    metric = TASK_LOSS[dataset.task] if setup.l2 else "loss"
    losses = {"train": curves[metric], "validation": curves[f"val_{metric}"], "hidden": curves[f"hidden_{metric}"]}
    chance = chance_losses(dataset)
    return Sheet(
        losses,
        {"loss": curves["loss"], "val_loss": curves["val_loss"]},
        places,
        {"train": chance["train"], "validation": chance["validation"], "hidden": chance["test"]},
        setup,
        dataset,
        labelling,
    )


def end(sheet: Sheet, rate: int, epochs: int, patience: int | None, place: int | None = None) -> End:
    """How a training of the sheet ends.

    Args:
        sheet: the curves.
        rate: the place of its learning rate in `FACTORS`.
        epochs: at most; as many as the sheet has, where it has fewer.
        patience: of early stopping with the best epoch restored; `None` keeps the last epoch's weights. Their loss is
            read as the mean of the last `LAST` epochs: which of them is the last is chance.
        place: of one seed; by default the seeds that label.
    """
    row, seeds = sheet.rates.index(rate), slice(sheet.labelling) if place is None else slice(place, place + 1)
    watched = sheet.penalized["val_loss"][row, seeds, :epochs]
    if patience is None:
        last = slice(watched.shape[1] - min(LAST, max(watched.shape[1] // 4, 1)), watched.shape[1])
        with np.errstate(invalid="ignore", over="ignore"):
            levels = {name: curve[row, seeds, last].mean(axis=1) for name, curve in sheet.curves.items()}
        losses = {name: level / sheet.chance[name] for name, level in levels.items()}
        return End(losses["train"], losses["validation"], losses["hidden"], np.full(len(watched), watched.shape[1] - 1))
    epoch = np.array([kept_epoch(curve, patience)[0] for curve in watched])
    each = np.arange(len(watched))
    losses = {name: curve[row, seeds][each, epoch] / sheet.chance[name] for name, curve in sheet.curves.items()}
    return End(losses["train"], losses["validation"], losses["hidden"], epoch)


def _columns(dataset: Dataset, part: Literal["train", "validation", "test"]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a part; those of two classes as a column, as the metric asks for."""
    x, y = dataset.part(part)
    return x, y[:, None] if dataset.task == "binary" else y


def _whole(curves: np.ndarray, epochs: int) -> np.ndarray:
    """Curves of so many epochs; the engine leaves out those in which no member ran."""
    return np.pad(curves, ((0, 0), (0, epochs - curves.shape[1])), constant_values=np.inf)


def kept_epoch(curve: np.ndarray, patience: int) -> tuple[int, int]:
    """The epoch that Keras's early stopping restores, and how many epochs it ran.

    Example:
        >>> import numpy as np
        >>> kept_epoch(np.array([3.0, 2.0, 2.5, 2.4, 1.0]), patience=2)
        (1, 4)
    """
    best, kept, wait = np.inf, 0, 0
    for epoch, value in enumerate(curve):
        if value < best:
            best, kept, wait = value, epoch, 0
        else:
            wait += 1
            if wait >= patience:
                return kept, epoch + 1
    return kept, len(curve)
