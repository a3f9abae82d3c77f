"""A dataset split in training, validation and hidden rows, prepared as a healthy job would, or with a fault planted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from goodfit.lab.faults.sources import Source
from goodfit.values import Dataset

TRAINING_ROWS, VALIDATION_ROWS, HIDDEN_ROWS = 256, 160, 500
"""Rows of each part at most."""


@dataclass(frozen=True)
class Treatment:
    """What is done to the rows; the defaults are what a healthy job does.

    Args:
        input_spread: inputs are multiplied by factors between 1 and this and moved by so many of their deviations; 1
            leaves them standardized.
        input_scale: then all are multiplied by this.
        target_scale: a standardized regression target is multiplied by this and moved by five times as much.
        nonfinite: share of the training rows in which one input becomes NaN.
        constant: inputs that are replaced by a constant.
        leak: noise beside the target in the input that is replaced by it, in standard deviations; 0 is no leak.
        rare: share of the rows of all but one class that are left out.
        shift: training rows have the low values of an input and the others the high ones; the share of rows sorted so.
        copies: share of the validation rows that are replaced by training rows.
        rows: share of the training rows that are used.
        shuffled: share of the training targets that change places.
    """

    input_spread: float = 1.0
    input_scale: float = 1.0
    target_scale: float = 1.0
    nonfinite: float = 0.0
    constant: int = 0
    leak: float = 0.0
    rare: float = 0.0
    shift: float = 0.0
    copies: float = 0.0
    rows: float = 1.0
    shuffled: float = 0.0


def prepare(source: Source, treatment: Treatment, seed: int) -> Dataset:
    """Split and prepare a dataset.

    Args:
        source: rows as they come.
        treatment: what is done to them.
        seed: of the split and of every other draw.

    Returns:
        the rows as the network sees them; `test` are the hidden rows.

    Example:
        >>> from goodfit.lab.faults.sources import load
        >>> dataset = prepare(load("wine"), Treatment(), 0)
        >>> len(dataset.train), len(dataset.validation), len(dataset.test)
        (89, 40, 49)
        >>> bool(abs(dataset.part("train")[0].mean()) < 1e-6)
        True
    """
    source = _varied(source, seed)
    random = np.random.default_rng([seed, 1])
    parts = _split(source, treatment, random)
    order = np.concatenate(parts)
    x, y = source.x[order].astype(np.float64), source.y[order].copy()
    ends = np.cumsum([len(part) for part in parts])
    train, validation, test = np.split(np.arange(len(order)), ends[:-1])
    shape = x.shape
    x = x.reshape(len(x), -1)
    x = _standardize(x, train, images=len(shape) > 2)
    if source.task == "regression":
        y = ((y - y[train].mean()) / (y[train].std() or 1.0)).astype(np.float32)
    x = _plant_in_inputs(x, y, train, treatment, random)
    if treatment.copies:
        count = round(treatment.copies * len(validation))
        into, of = random.permutation(validation)[:count], random.permutation(train)[:count]
        x[into[: len(of)]], y[into[: len(of)]] = x[of], y[of]
    if treatment.shuffled:
        some = random.permutation(train)[: round(treatment.shuffled * len(train))]
        y[some] = y[random.permutation(some)]
    if source.task == "regression" and treatment.target_scale != 1.0:
        y = (treatment.target_scale * (y + 5.0)).astype(np.float32)
    return Dataset(
        x=x.reshape(shape).astype(np.float32),
        y=y if source.task == "regression" else y.astype(np.int32),
        task=source.task,
        feature_names=source.names,
        target="target",
        train=train,
        validation=validation,
        test=test,
        classes=source.classes,
    )


def _varied(source: Source, seed: int) -> Source:
    """A table without the inputs that hardly vary over the training rows of an untreated split."""
    if source.x.ndim > 2:
        return source
    rows = source.x[_split(source, Treatment(), np.random.default_rng([seed, 1]))[0]]
    others = (rows != np.median(rows, axis=0)).sum(axis=0)
    keep = np.flatnonzero(others >= 5)
    return dataclasses.replace(source, x=source.x[:, keep], names=tuple(source.names[i] for i in keep))


def _split(source: Source, treatment: Treatment, random: np.random.Generator) -> list[np.ndarray]:
    """Rows of the source for training, validation and the hidden part."""
    order = random.permutation(len(source.x))
    if treatment.rare and source.classes:
        keep = source.y[order] == np.bincount(source.y).argmax()
        keep |= random.random(len(order)) >= treatment.rare
        order = order[keep]
    n = len(order)
    train, validation = min(TRAINING_ROWS, n // 2), min(VALIDATION_ROWS, round(0.225 * n))
    hidden = min(HIDDEN_ROWS, n - train - validation)
    order = order[: train + validation + hidden]
    if treatment.shift:
        flat = source.x[order].reshape(len(order), -1)
        varied = [len(np.unique(column)) for column in flat.T]
        sorting = flat[:, int(np.argmax(varied))]
        rank = np.argsort(np.argsort(sorting, kind="stable"))
        noise = random.permutation(len(order))
        order = order[np.argsort(treatment.shift * rank + (1 - treatment.shift) * noise, kind="stable")]
    parts = [order[:train], order[train : train + validation], order[train + validation :]]
    if treatment.shift:  # validation and hidden rows alike
        rest = random.permutation(order[train:])
        parts = [random.permutation(order[:train]), rest[:validation], rest[validation:]]
    parts[0] = parts[0][: max(round(treatment.rows * train), 8)]
    return parts


def _standardize(x: np.ndarray, train: np.ndarray, *, images: bool) -> np.ndarray:
    """By the training rows: each column of a table, all pixels of an image alike."""
    rows = x[train]
    if images:
        return (x - rows.mean()) / rows.std()
    deviation = rows.std(axis=0)
    return (x - rows.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0)


def _plant_in_inputs(
    x: np.ndarray, y: np.ndarray, train: np.ndarray, treatment: Treatment, random: np.random.Generator
) -> np.ndarray:
    relevance = np.abs(_correlation(x[train], np.asarray(y[train], dtype=np.float64)))
    least = np.argsort(relevance, kind="stable")
    if treatment.constant:
        x[:, least[: treatment.constant]] = 3.0
    if treatment.leak:
        hint = np.asarray(y, dtype=np.float64)
        x[:, least[-1 if len(least) == 1 else 0]] = (
            hint - hint[train].mean() + treatment.leak * random.normal(size=len(x))
        )
    if treatment.input_spread != 1.0:
        factors = treatment.input_spread ** random.random(x.shape[1])
        factors[least[-1]] = treatment.input_spread  # the telling one is not among the small ones
        x = x * factors + factors * random.normal(size=x.shape[1]) * np.log10(treatment.input_spread)
    x = x * treatment.input_scale
    if treatment.nonfinite:
        rows = random.permutation(train)[: max(1, round(treatment.nonfinite * len(train)))]
        x[rows, random.integers(x.shape[1], size=len(rows))] = np.nan
    return x


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    dx, dy = x - x.mean(axis=0), y - y.mean()
    scale = np.sqrt((dx**2).sum(axis=0) * (dy**2).sum())
    return np.divide(dx.T @ dy, scale, out=np.zeros(x.shape[1]), where=scale > 1e-12)


def chance_losses(dataset: Dataset) -> dict[str, float]:
    """The loss of predicting the training rows' mean or prior, on each part of the rows.

    Example:
        >>> from goodfit.lab.faults.sources import load
        >>> round(chance_losses(prepare(load("diabetes"), Treatment(), 0))["train"], 3)
        1.0
    """
    losses = {}
    train = dataset.part("train")[1]
    for part in ("train", "validation", "test"):
        y = dataset.part(part)[1]
        if dataset.task == "regression":
            losses[part] = float(np.mean((y.astype(np.float64) - float(train.astype(np.float64).mean())) ** 2))
        else:
            share = (np.bincount(train, minlength=len(dataset.classes)) + 1e-3) / (len(train) + 1e-3)
            losses[part] = float(-np.mean(np.log(share[y])))
    return losses


def baseline_losses(dataset: Dataset) -> dict[str, dict[str, float]]:
    """For validation and test rows what a run's measurements hold: the loss of chance, a linear model and boosting."""
    from goodfit.tables import baselines

    finite = np.nan_to_num(dataset.x.reshape(len(dataset.x), -1))
    flat = dataclasses.replace(dataset, x=finite)
    names = {
        "mean": "chance_loss", "prior": "chance_loss", "linear": "linear_loss", "gradient boosting": "boosting_loss",
    }  # fmt: skip
    losses: dict[str, dict[str, float]] = {"validation": {}, "test": {}}
    for name, predicted in baselines(flat).items():
        for part, of in losses.items():
            rows = dataset.validation if part == "validation" else dataset.test
            y = dataset.y[rows]
            if dataset.task == "regression":
                of[names[name]] = float(np.mean((predicted[rows] - y) ** 2))
            else:
                chosen = predicted[rows][np.arange(len(rows)), y]
                of[names[name]] = float(-np.mean(np.log(np.clip(chosen, 1e-7, 1.0))))
    return losses
