"""Chart data of a `Run`: learning curves as plain numbers, from which every renderer draws the same picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from goodfit.values import Run
from goodfit.values.metric_names import better

Part = Literal["training", "validation"]

MOST_POINTS = 400
"""Epochs drawn of one curve at most; a longer curve is thinned to the extremes of equal stretches."""

MOST_SEED_POINTS = 1600
"""Points drawn at most of all seeds' lines of one curve together."""

MOST_SEEDS = 32
"""Seeds drawn one by one at most; median and band are of all of them."""

LOG_RATIO = 10.0
"""A loss that spans more than this factor is first shown on a logarithmic axis."""

METRIC_LABELS = {
    "loss": "loss",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "mean_absolute_error": "mean absolute error",
    "mean_squared_error": "mean squared error",
    "root_mean_squared_error": "root mean squared error",
    "r2_score": "R²",
    "accuracy": "accuracy",
    "acc": "accuracy",
    "binary_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "log_loss": "log loss",
    "roc_auc": "area under the ROC curve",
    "auc": "area under the curve",
    "f1": "F1",
    "f1_macro": "F1, mean over the classes",
    "binary_crossentropy": "binary cross-entropy",
    "categorical_crossentropy": "cross-entropy",
    "sparse_categorical_crossentropy": "cross-entropy",
    "learning_rate": "learning rate",
    "lr": "learning rate",
}
"""The plain words for metrics as Keras and scikit-learn name them."""


def metric_label(name: str) -> str:
    """The plain words for a metric's name, or the name itself.

    Example:
        >>> metric_label("mae")
        'mean absolute error'
    """
    return METRIC_LABELS.get(name, name)


@dataclass(frozen=True)
class SeedLine:
    """One seed's curve: `x` the epochs and `y` the finite values, equally long."""

    seed: int
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """One quantity on one part of the rows, over all seeds.

    Args:
        part: on which rows it was measured.
        x: epochs of the median, shape (points,).
        median: median over the seeds, shape (points,), shown where at least half of the seeds have a value.
        low: lower quartile over the seeds, shape (points,); empty for a single seed.
        high: upper quartile.
        seeds: each seed's own line, at most `MOST_SEEDS` of them; empty for a single seed.
        broken: seed and epoch where the quantity first was not finite.
    """

    part: Part
    x: tuple[float, ...]
    median: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    seeds: tuple[SeedLine, ...] = ()
    broken: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class KeptPoint:
    """The epoch whose weights were kept for one seed, and the quantity there (`None` where it was not logged)."""

    seed: int
    epoch: float
    value: float | None


@dataclass(frozen=True)
class CurveChart:
    """Everything that a chart of one quantity over the epochs shows.

    Args:
        quantity: as Keras names it: `loss`, `mae`.
        label: of the vertical axis.
        unit: of the horizontal axis: `epoch` or `step`.
        curves: training first, then validation; one of them may be missing.
        seed_count: seeds in all.
        kept: the kept epoch of each seed, where that is known.
        kept_epoch: the median of them.
        stages: the epoch at which each further stage of the training begins.
        references: name and height of horizontal lines to compare with: what chance, a linear model, boosting reach.
        can_log: every drawn value is positive.
        log: a logarithmic axis shows it better.
        summary: the chart in words, for those who can't see it.
    """

    quantity: str
    label: str
    unit: str
    curves: tuple[Curve, ...]
    seed_count: int
    kept: tuple[KeptPoint, ...] = ()
    kept_epoch: float | None = None
    stages: tuple[float, ...] = ()
    references: tuple[tuple[str, float], ...] = ()
    can_log: bool = False
    log: bool = False
    summary: str = ""

    @property
    def x_range(self) -> tuple[float, float]:
        """First and last drawn epoch."""
        ends = [x for curve in self.curves for x in (curve.x[0], curve.x[-1])]
        return min(ends), max(ends)

    @property
    def y_range(self) -> tuple[float, float]:
        """Lowest and highest drawn value of median, band and seeds."""
        values = [v for curve in self.curves for v in (*curve.median, *(y for line in curve.seeds for y in line.y))]
        return min(values), max(values)


def quantities(run: Run) -> tuple[str, ...]:
    """The names of the quantities with a curve that can be drawn, `loss` first and `val_` prefixes left away.

    Example:
        >>> quantities(Run.from_history({"mae": [2.0, 1.0], "val_loss": [1.1, 0.7], "loss": [1.0, 0.5]}))
        ('loss', 'mae')
    """
    names = dict.fromkeys(name.removeprefix("val_") for name, values in run.curves.items() if np.isfinite(values).any())
    return tuple(sorted(names, key=lambda name: name != "loss"))


def curve_chart(run: Run, quantity: str = "loss", label: str = "") -> CurveChart:
    """The chart of one quantity over the epochs.

    Args:
        run: what happened.
        quantity: a name that `quantities` gives.
        label: of the vertical axis; the quantity's plain words by default.

    Returns:
        The chart; it has no curves where the run has no finite value of the quantity.

    Example:
        >>> chart = curve_chart(Run.from_history({"loss": [1.0, 0.5, 0.25], "val_loss": [1.1, 0.7, 0.6]}))
        >>> [curve.part for curve in chart.curves], chart.curves[1].median
        (['training', 'validation'], (1.1, 0.7, 0.6))
    """
    named: tuple[tuple[Part, str], ...] = (("training", quantity), ("validation", f"val_{quantity}"))
    curves = tuple(
        _curve(run, part, run.curves[name])
        for part, name in named
        if name in run.curves and np.isfinite(run.curves[name]).any()
    )
    kept = _kept(run, quantity)
    drawn = [v for curve in curves for v in (*curve.median, *(y for line in curve.seeds for y in line.y))]
    can_log = bool(drawn) and min(drawn) > 0
    chart = CurveChart(
        quantity=quantity,
        label=label or metric_label(quantity),
        unit=run.unit,
        curves=curves,
        seed_count=len(run.seeds),
        kept=kept,
        kept_epoch=float(np.median([point.epoch for point in kept])) if kept else None,
        stages=tuple(float(run.epoch[start]) for start in run.stages[1:] if start < len(run.epoch)),
        references=_references(run) if quantity == "loss" else (),
        can_log=can_log,
        log=can_log and max(drawn) / min(drawn) > LOG_RATIO,
    )
    return _with_summary(chart)


def thinned(values: np.ndarray, limit: int) -> np.ndarray:
    """Positions along the last axis that keep a long curve's shape.

    Args:
        values: shape (seeds, epochs); entries that are not finite are passed over.
        limit: positions at most, at least 8.

    Returns:
        Increasing positions: the first, the last, and of each of equal stretches where the highest and the lowest
        value over the seeds stand.

    Example:
        >>> spike = np.zeros((1, 1000)); spike[0, 777] = 5.0
        >>> 777 in thinned(spike, 20)
        True
    """
    count = values.shape[1]
    if count <= limit:
        return np.arange(count)
    finite = np.isfinite(values)
    highest = np.where(finite, values, -np.inf).max(axis=0)
    lowest = np.where(finite, values, np.inf).min(axis=0)
    kept = {0, count - 1}
    for stretch in np.array_split(np.arange(count), limit // 2 - 1):
        kept.add(int(stretch[highest[stretch].argmax()]))
        kept.add(int(stretch[lowest[stretch].argmin()]))
    return np.array(sorted(kept))


def _curve(run: Run, part: Part, values: np.ndarray) -> Curve:
    """Median, quartiles and lines of one curve, shape (seeds, epochs)."""
    values = np.asarray(values, dtype=np.float64)
    logged = ~np.isnan(values)
    broken = tuple(
        (seed, float(run.epoch[np.flatnonzero(logged[row] & ~np.isfinite(values[row]))[0]]))
        for row, seed in enumerate(run.seeds)
        if (logged[row] & ~np.isfinite(values[row])).any()
    )
    finite = np.flatnonzero(np.isfinite(values).any(axis=0))
    columns = finite[thinned(values[:, finite], MOST_POINTS)]
    epoch, shown = np.asarray(run.epoch, dtype=np.float64)[columns], values[:, columns]
    enough = np.flatnonzero(2 * logged[:, columns].sum(axis=0) >= logged[:, columns].any(axis=1).sum())
    with np.errstate(invalid="ignore"):  # quartiles between two infinite losses
        low, median, high = np.nanquantile(shown[:, enough], (0.25, 0.5, 0.75), axis=0)
    drawn = np.isfinite(median)
    x, low, median, high = epoch[enough][drawn], low[drawn], median[drawn], high[drawn]
    single = len(run.seeds) == 1
    if not len(x):  # more than half of the seeds never had a finite value: show those that had
        x, median = epoch[np.isfinite(shown).any(axis=0)], np.array([c[np.isfinite(c)].min() for c in shown.T])
        low = high = median
    lines: tuple[SeedLine, ...] = ()
    if not single:
        drawn_seeds = min(len(run.seeds), MOST_SEEDS)
        few = finite[thinned(values[:drawn_seeds, finite], min(MOST_POINTS, MOST_SEED_POINTS // drawn_seeds))]
        at = np.asarray(run.epoch, dtype=np.float64)[few]
        lines = tuple(_line(seed, at, row) for seed, row in zip(run.seeds[:drawn_seeds], values[:drawn_seeds, few]))
    low, high = np.where(np.isfinite(low), low, median), np.where(np.isfinite(high), high, median)
    return Curve(
        part=part,
        x=tuple(x.tolist()),
        median=tuple(median.tolist()),
        low=() if single else tuple(low.tolist()),
        high=() if single else tuple(high.tolist()),
        seeds=tuple(line for line in lines if line.x),
        broken=broken,
    )


def _line(seed: int, epoch: np.ndarray, values: np.ndarray) -> SeedLine:
    finite = np.isfinite(values)
    return SeedLine(seed, tuple(epoch[finite].tolist()), tuple(values[finite].tolist()))


def _kept(run: Run, quantity: str) -> tuple[KeptPoint, ...]:
    """The kept epoch of each seed that has one."""
    if run.kept_epoch is None:
        return ()
    values = run.curves.get(f"val_{quantity}", run.curves.get(quantity))
    points = []
    for row, (seed, index) in enumerate(zip(run.seeds, np.asarray(run.kept_epoch).tolist())):
        if 0 <= index < len(run.epoch):
            value = float("nan") if values is None else float(values[row, int(index)])
            points.append(KeptPoint(seed, float(run.epoch[int(index)]), value if np.isfinite(value) else None))
    return tuple(points)


def _references(run: Run) -> tuple[tuple[str, float], ...]:
    """Losses measured beside the curves, by the words that a chart calls them."""
    chance = "predicting the mean" if run.task in ("regression", None) else "predicting the prior"
    names = {"chance_loss": chance, "linear_loss": "linear model", "boosting_loss": "gradient boosting"}
    return tuple(
        (words, float(run.measurements[name]))
        for name, words in names.items()
        if name in run.measurements and np.isfinite(run.measurements[name])
    )


def _with_summary(chart: CurveChart) -> CurveChart:
    """The chart with its summary written out."""
    unit = chart.unit
    of = f" (median of {chart.seed_count} seeds)" if chart.seed_count > 1 else ""
    parts, rises = [], better(chart.quantity) == "higher"
    for curve in chart.curves:
        first, last = curve.median[0], curve.median[-1]
        extreme = max(curve.median) if rises else min(curve.median)
        where = curve.x[curve.median.index(extreme)]
        parts.append(
            f"{curve.part.capitalize()} {metric_label(chart.quantity)}{of}: {first:.4g} at {unit} {curve.x[0]:g}, "
            f"{last:.4g} at {unit} {curve.x[-1]:g}; {'highest' if rises else 'lowest'} {extreme:.4g} at "
            f"{unit} {where:g}."
        )
        if curve.broken:
            seed, epoch = min(curve.broken, key=lambda pair: pair[1])
            whose = f"for {len(curve.broken)} of {chart.seed_count} seeds, " if chart.seed_count > 1 else ""
            which = f" (seed {seed})" if chart.seed_count > 1 else ""
            parts.append(f"It was not finite {whose}first at {unit} {epoch:g}{which}.")
    if chart.kept_epoch is not None:
        parts.append(f"Kept: {unit} {chart.kept_epoch:g}{' (median)' if len(chart.kept) > 1 else ''}.")
    if chart.stages:
        parts.append(f"A further stage begins at {unit} {', '.join(f'{start:g}' for start in chart.stages)}.")
    return replace(chart, summary=" ".join(parts))
