"""Chart data of a `Study`: scores beside the baselines, predicted against true, the confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goodfit.plots.data import metric_label
from goodfit.values import Score, Study

MOST_ROWS = 1000
"""Test rows drawn at most in predicted against true; the largest errors are always among them."""


@dataclass(frozen=True)
class ScoreTable:
    """One metric on one part of the rows, for every model.

    Args:
        metric: as it is named in a `Score`.
        label: the metric in plain words.
        split: `test` or `validation`.
        unit: the target's own unit, or `""`.
        greater_is_better: which direction is better.
        scores: network first, then the baselines.
        best: the place of the best score.
        within_noise: whether the best score of the other models lies within the network's 95 % interval.
    """

    metric: str
    label: str
    split: str
    unit: str
    greater_is_better: bool
    scores: tuple[Score, ...]
    best: int
    within_noise: bool

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest of all values, interval ends and seeds."""
        values = [
            v for s in self.scores for v in (s.value, s.low, s.high, *s.spread) if v is not None and np.isfinite(v)
        ]
        return (min(values), max(values)) if values else (0.0, 1.0)


@dataclass(frozen=True)
class PredictionChart:
    """Predicted against true on the test rows, in the target's own units.

    Args:
        row: number of each drawn row in the table as read, shape (drawn,).
        true: shape (drawn,).
        predicted: shape (drawn,).
        target: the target's name.
        unit: its unit, or `""`.
        total: test rows in all, of which `len(row)` are drawn.
        limits: lowest and highest of both.
        summary: the chart in words.
    """

    row: tuple[int, ...]
    true: tuple[float, ...]
    predicted: tuple[float, ...]
    target: str
    unit: str
    total: int
    limits: tuple[float, float]
    summary: str

    @property
    def residual(self) -> tuple[float, ...]:
        """Predicted minus true."""
        return tuple(p - t for p, t in zip(self.predicted, self.true))


@dataclass(frozen=True)
class ConfusionChart:
    """How often each class was predicted for each true class, on the test rows.

    Args:
        classes: the labels.
        counts: rows are the true classes, columns the predicted ones.
        recall: of each class, its rows that were predicted as it; NaN for a class without a row.
        precision: of each class, the predictions of it that are right; NaN for a class never predicted.
        summary: the matrix in words.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    summary: str

    def confusions(self, most: int = 5) -> tuple[tuple[str, str, int], ...]:
        """The most frequent mistakes: true class, predicted class, rows."""
        counts = np.array(self.counts)
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="stable")[:most]
        pairs = (np.unravel_index(place, counts.shape) for place in order)
        return tuple((self.classes[i], self.classes[j], int(counts[i, j])) for i, j in pairs if counts[i, j])


def target_name(study: Study) -> str:
    """The name of the target column, or `"target"` where the study does not say."""
    return str(study.about.get("target") or (study.dataset.target if study.dataset else "") or "target")


def score_tables(study: Study) -> tuple[ScoreTable, ...]:
    """One table for each metric on each part of the rows, those of the test rows first."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for score in study.scores:
        groups.setdefault((score.split, score.metric), []).append(score)
    tables = [_score_table(scores) for scores in groups.values()]
    return tuple(sorted(tables, key=lambda table: table.split != "test"))


def _score_table(scores: list[Score]) -> ScoreTable:
    scores = sorted(scores, key=lambda score: score.model != "network")
    first = scores[0]
    sign = -1.0 if first.greater_is_better else 1.0
    finite = [sign * s.value if np.isfinite(s.value) else np.inf for s in scores]
    best = int(np.argmin(finite))
    low, high = first.low, first.high
    others = [place for place in range(1, len(scores)) if np.isfinite(finite[place])]
    rival = scores[min(others, key=lambda place: finite[place])].value if others else np.nan
    within = low is not None and high is not None and bool(low <= rival <= high)
    return ScoreTable(
        metric=first.metric,
        label=metric_label(first.metric),
        split=first.split,
        unit=first.unit,
        greater_is_better=first.greater_is_better,
        scores=tuple(scores),
        best=best,
        within_noise=within,
    )


def prediction_chart(study: Study) -> PredictionChart | None:
    """Predicted against true of a regression, or `None` where there are no such predictions."""
    if study.task != "regression" or not len(study.predictions.get("true", ())):
        return None
    true = np.asarray(study.predictions["true"], dtype=np.float64)
    predicted = np.asarray(study.predictions["predicted"], dtype=np.float64)
    row = np.asarray(study.predictions.get("row", np.arange(len(true))), dtype=np.int64)
    finite = np.flatnonzero(np.isfinite(true) & np.isfinite(predicted))
    if not len(finite):
        return None
    error = np.abs(predicted - true)
    shown = finite
    if len(finite) > MOST_ROWS:
        largest = finite[np.argsort(-error[finite], kind="stable")[: MOST_ROWS // 10]]
        spread = finite[np.linspace(0, len(finite) - 1, MOST_ROWS - len(largest)).astype(int)]
        shown = np.union1d(largest, spread)
    both = np.concatenate([true[finite], predicted[finite]])
    unit = str(study.about.get("target_unit") or "")
    name = target_name(study)
    worst = finite[int(error[finite].argmax())]
    in_unit = f" {unit}" if unit else ""
    summary = (
        f"Predicted against true {name} on {len(true)} test rows. Half of the rows are predicted to within "
        f"{np.median(error[finite]):.4g}{in_unit}, nine in ten to within "
        f"{np.quantile(error[finite], 0.9):.4g}{in_unit}; the largest error is "
        f"{error[worst]:.4g}{in_unit}, at row {row[worst]}."
    )
    return PredictionChart(
        row=tuple(row[shown].tolist()),
        true=tuple(true[shown].tolist()),
        predicted=tuple(predicted[shown].tolist()),
        target=name,
        unit=unit,
        total=len(true),
        limits=(float(both.min()), float(both.max())),
        summary=summary,
    )


def confusion_chart(study: Study) -> ConfusionChart | None:
    """The confusion matrix of the test rows, or `None` where the study has no predicted classes."""
    if study.task == "regression" or not len(study.predictions.get("true", ())):
        return None
    true = [str(label) for label in np.asarray(study.predictions["true"]).tolist()]
    predicted = [str(label) for label in np.asarray(study.predictions["predicted"]).tolist()]
    known = study.about.get("classes") or (study.dataset.classes if study.dataset else ())
    classes = tuple(dict.fromkeys([*(str(label) for label in known), *sorted({*true, *predicted})]))
    place = {label: index for index, label in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, ([place[label] for label in true], [place[label] for label in predicted]), 1)
    diagonal, rows, columns = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    recall = np.divide(diagonal, rows, out=np.full(len(classes), np.nan), where=rows > 0)
    precision = np.divide(diagonal, columns, out=np.full(len(classes), np.nan), where=columns > 0)
    right = int(diagonal.sum())
    chart = ConfusionChart(
        classes=classes,
        counts=tuple(tuple(int(n) for n in line) for line in counts),
        recall=tuple(recall.tolist()),
        precision=tuple(precision.tolist()),
        summary="",
    )
    frequent = ", ".join(f"{a} taken for {b} ({n} rows)" for a, b, n in chart.confusions(3))
    summary = f"{right} of {len(true)} test rows are predicted right ({right / len(true):.1%})."
    return ConfusionChart(
        chart.classes,
        chart.counts,
        chart.recall,
        chart.precision,
        summary + (f" Most frequent mistakes: {frequent}." if frequent else ""),
    )
