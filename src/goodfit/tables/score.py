"""`score`: the task's usual metrics in the target's own units, with bootstrap intervals; `loss`: the plain endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from goodfit.values import Dataset, Score

Part = Literal["train", "validation", "test"]
_GROUPS = 2000  # rows beyond this many are resampled in as many random groups
_UNDEFINED = 0.025  # resamples on which a measure may not be defined: as many as the interval leaves out on either side
_IMBALANCE = 0.5  # the rarest class, as a share of an equal one, below which balanced accuracy is told


def loss(dataset: Dataset, split: Part, predictions: np.ndarray) -> float:
    """The plain loss that a network minimises, without penalties.

    Args:
        dataset: prepared rows.
        split: which rows.
        predictions: as for `score`.

    Returns:
        Mean squared error of the standardized target, or cross-entropy in nats.
    """
    y, predicted = _aligned(dataset, split, predictions)
    if dataset.task == "regression":
        return float(np.mean((predicted - y) ** 2))
    return float(np.mean(_cross_entropy(y, predicted)))


def score(
    dataset: Dataset,
    model: str,
    split: Part,
    predictions: np.ndarray,
    bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[Score, ...]:
    """How well one model's predictions fit one part of the rows.

    Args:
        dataset: prepared rows.
        model: whose predictions they are.
        split: which rows.
        predictions: for the rows of that part or for all rows of the data set: the standardized target, (rows,) or
            (rows, 1), for a regression; otherwise each class's probability, (rows, classes), or the second class's
            alone for two classes, (rows,) or (rows, 1).
        bootstrap: resamples of the rows for the 95 % percentile interval (Efron 1979); 0 for none. More than 2000
            rows are resampled in 2000 random groups, which leaves the interval of a mean over rows unchanged. There is
            none where more than 2.5 % of the resamples lack a class, and with it the measure (see below).
        seed: of the resamples.

    Returns:
        Regression: `mae`, `rmse` (in the target's unit), `r2`. Classes: `accuracy`, `log_loss` (nats), `roc_auc` (two
        classes, both present), `f1_macro`, and `balanced_accuracy` where the training rows are imbalanced.

        The last two are means over the classes that the part holds (for `f1_macro` also those predicted there), as
        scikit-learn's are. A resample without one of them has no such mean: averaging the other classes, as
        scikit-learn would, is another quantity, whose interval reaches towards the recall of the frequent classes.
        Nor would stratified resamples help, which hold the number of rows of each class fixed: of classes with 2 to 4
        rows their nominal 95 % cover the truth 53 to 74 % of the time (measured), for two rows that are both right
        show no spread. So these resamples are left out where they are few, which takes classes of about 4 rows or
        more, and otherwise no interval is told.

    Example:
        >>> data = Dataset(np.zeros((4, 1)), np.array([0, 1, 1, 0]), "binary", ("x",), "y", np.arange(0), np.arange(0),
        ...                np.arange(4), classes=("no", "yes"))
        >>> [(s.metric, s.value) for s in score(data, "network", "test", np.array([0.2, 0.9, 0.4, 0.1]))][:1]
        [('accuracy', 0.75)]
    """
    y, predicted = _aligned(dataset, split, predictions)
    if dataset.task == "regression":
        truth, predicted = dataset.original_units(y), dataset.original_units(predicted)
        error, centred = predicted - truth, truth - truth.mean()
        rows = np.stack([np.abs(error), error**2, centred, centred**2], axis=1)
        measures: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, bool]] = {
            "mae": (lambda m: m[..., 0], dataset.target, False),
            "rmse": (lambda m: np.sqrt(m[..., 1]), dataset.target, False),
            "r2": (_r2, "", True),
        }
    else:
        rows, measures = _class_rows(dataset, y, predicted)
    return _scored(model, split, rows, measures, bootstrap, seed)


def _aligned(dataset: Dataset, split: Part, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truth and predictions of one part: (rows,) and (rows,) or (rows, classes), float64."""
    index = getattr(dataset, split)
    predicted = np.asarray(predictions)
    if len(predicted) not in (len(index), len(dataset.x)):
        raise ValueError(
            f"{len(predicted)} predictions for the {len(index)} {split} rows of {len(dataset.x)} rows in all"
        )
    if len(predicted) == len(dataset.x):
        predicted = predicted[index]
    if dataset.task == "regression":
        return dataset.y[index].astype(np.float64), predicted.reshape(len(index)).astype(np.float64)
    predicted = predicted.reshape(len(index), -1)
    least = float(np.finfo(predicted.dtype).eps) if np.issubdtype(predicted.dtype, np.floating) else 0.0
    predicted = predicted.astype(np.float64)
    if predicted.shape[1] == 1:
        predicted = np.hstack([1 - predicted, predicted])
    predicted = np.clip(predicted / predicted.sum(axis=1, keepdims=True), least, 1.0)
    return dataset.y[index], predicted


def _cross_entropy(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return -np.log(predicted[np.arange(len(y)), y])


def _r2(means: np.ndarray) -> np.ndarray:
    """1 - residual over total sum of squares; NaN where the truth is constant."""
    total = means[..., 3] - means[..., 2] ** 2
    return 1 - means[..., 1] / np.where(total > 0, total, np.nan)


def _class_rows(
    dataset: Dataset, y: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, bool]]]:
    """Per row: correct, loss, and per class hit, true, said; for two classes the placements of the ROC curve."""
    classes = len(dataset.classes)
    said = predicted.argmax(axis=1)
    true_in, said_in = np.eye(classes)[y], np.eye(classes)[said]
    parts = [(said == y)[:, None], _cross_entropy(y, predicted)[:, None], true_in * said_in, true_in, said_in]
    k = classes
    present = true_in.any(axis=0)
    named = present | said_in.any(axis=0)

    def f1(m: np.ndarray) -> np.ndarray:
        both = (m[..., 2 + k : 2 + 2 * k] + m[..., 2 + 2 * k : 2 + 3 * k])[..., named]
        return (2 * m[..., 2 : 2 + k][..., named] / np.where(both > 0, both, np.nan)).mean(axis=-1)

    def recall(m: np.ndarray) -> np.ndarray:
        true = m[..., 2 + k : 2 + 2 * k][..., present]
        return (m[..., 2 : 2 + k][..., present] / np.where(true > 0, true, np.nan)).mean(axis=-1)

    measures: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, bool]] = {
        "accuracy": (lambda m: m[..., 0], "", True),
        "log_loss": (lambda m: m[..., 1], "", False),
    }
    if classes == 2 and 0 < y.mean() < 1 and np.isfinite(predicted).all():
        placed, area = _placements(y, predicted[:, 1])
        parts.append(placed)
        at = 2 + 3 * k

        def roc_auc(m: np.ndarray) -> np.ndarray:
            positive, negative = m[..., 2 + k + 1], m[..., 2 + k]
            mean = m[..., at] / np.where(positive > 0, positive, np.nan)
            mean = mean + m[..., at + 1] / np.where(negative > 0, negative, np.nan)
            return np.clip(mean - area, 0, 1)

        measures["roc_auc"] = (roc_auc, "", True)
    measures["f1_macro"] = (f1, "", True)
    held = np.bincount(dataset.y[dataset.train], minlength=classes)
    if held.sum() and held.min() * classes < _IMBALANCE * held.sum():
        measures["balanced_accuracy"] = (recall, "", True)
    return np.hstack(parts).astype(np.float64), measures


def _placements(y: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, float]:
    """Each row's placement: of a positive, the share of negatives below it; of a negative, of positives above it.

    The area under the ROC curve is the mean over the positives, and equally over the negatives (DeLong, DeLong and
    Clarke-Pearson 1988, eq. 5); resampling both means is its bootstrap to first order.
    """
    from scipy.stats import rankdata

    positive = y == 1
    ranks = rankdata(value)
    inside = np.empty(len(y))
    inside[positive] = rankdata(value[positive])
    inside[~positive] = rankdata(value[~positive])
    other = np.where(positive, (~positive).sum(), positive.sum())
    below = (ranks - inside) / other
    placed = np.zeros((len(y), 2))
    placed[positive, 0] = below[positive]
    placed[~positive, 1] = 1 - below[~positive]
    return placed, float(below[positive].mean())


def _scored(
    model: str,
    split: str,
    rows: np.ndarray,
    measures: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, bool]],
    bootstrap: int,
    seed: int,
) -> tuple[Score, ...]:
    """Each measure of the mean of `rows`, shape (rows, quantities), and its interval over resampled rows."""
    from threadpoolctl import threadpool_limits

    n = len(rows)
    whole = rows.mean(axis=0)
    resampled = None
    if bootstrap and n > 1 and np.isfinite(whole).all():
        rng = np.random.default_rng(seed)
        sums, sizes = rows, np.ones(n)
        if n > _GROUPS:
            group = rng.permutation(np.arange(n) % _GROUPS)
            order = np.argsort(group, kind="stable")
            sizes = np.bincount(group, minlength=_GROUPS).astype(float)
            starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)
            sums = np.add.reduceat(rows[order], starts, axis=0)
        weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=bootstrap).astype(float)
        with threadpool_limits(1, user_api="blas"):  # waiting threads cost more than they save on products this small
            resampled = (weights @ sums) / (weights @ sizes)[:, None]
    scores = []
    for metric, (measure, unit, greater) in measures.items():
        value = float(measure(whole))
        low = high = None
        if resampled is not None:
            drawn = measure(resampled)
            drawn = drawn[np.isfinite(drawn)]
            if len(drawn) >= (1 - _UNDEFINED) * bootstrap:
                low, high = (float(edge) for edge in np.quantile(drawn, [0.025, 0.975]))
        scores.append(Score(model, split, metric, value, low, high, unit, greater))
    return tuple(scores)
