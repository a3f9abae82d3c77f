"""`baselines`: what the mean or the prior, a linear model and gradient boosting predict."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from goodfit.tables.score import loss
from goodfit.values import Dataset

_STOPS_EARLY = 10_000  # rows beyond which gradient boosting sets a tenth of them aside, each class in equal shares
MOST_ROWS = 100_000  # training rows that the linear model and gradient boosting are fitted on, drawn at random


def baselines(dataset: Dataset, seed: int = 0) -> dict[str, np.ndarray]:
    """Predictions of three models that need no network, fitted on the training rows, for every row.

    Args:
        dataset: prepared rows.
        seed: of gradient boosting, and of the draw where there are more than `MOST_ROWS` training rows.

    Returns:
        By name (`mean` or `prior`, `linear`, `gradient boosting`): the standardized target, shape (rows,), for a
        regression; the probability of each class, shape (rows, classes), otherwise. They are scikit-learn's
        `RidgeCV` or `LogisticRegression`, and `HistGradientBoosting` with its defaults. Of more than 10 000 rows these
        set a tenth aside to stop by, which needs two rows of each class: one with a single row gets its share of the
        rows as its probability everywhere, and the others share the rest (where only one is left, all is the prior).
    """
    from threadpoolctl import threadpool_limits

    train = dataset.train
    if len(train) > MOST_ROWS:
        train = np.sort(np.random.default_rng(seed).choice(train, MOST_ROWS, replace=False))
    # Threads that wait for one another cost more than they save: up to twenty times as much where the cores are busy.
    with threadpool_limits(1):
        if dataset.task == "regression":
            return _regression(dataset, train, seed)
        return _classes(dataset, train, seed)


_MEASURED = {
    "mean": "chance_loss",
    "prior": "chance_loss",
    "linear": "linear_loss",
    "gradient boosting": "boosting_loss",
}


def baseline_losses(dataset: Dataset, predictions: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The validation loss of each baseline, under its name in `Run.measurements`.

    `train_chance_loss` is that of the mean or the prior on the training rows, which a training loss is read against.

    Args:
        dataset: whose validation rows are judged.
        predictions: of every row, by the name that `baselines` gives them.
    """
    losses = {_MEASURED[name]: loss(dataset, "validation", made) for name, made in predictions.items()}
    unlearned = predictions["mean" if dataset.task == "regression" else "prior"]
    return {**losses, "train_chance_loss": loss(dataset, "train", unlearned)}


def _regression(dataset: Dataset, train: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge, RidgeCV

    x, y = dataset.x[train].astype(np.float64), dataset.y[train].astype(np.float64)
    mean = float(dataset.y[dataset.train].astype(np.float64).mean())
    small = x.size <= 5_000_000
    linear = RidgeCV(alphas=np.logspace(-3, 3, 13)) if small else Ridge()
    boosting = HistGradientBoostingRegressor(random_state=seed)
    return {
        "mean": np.full(len(dataset.x), mean),
        "linear": linear.fit(x, y).predict(dataset.x.astype(np.float64)),
        "gradient boosting": boosting.fit(x, y).predict(dataset.x),
    }


def _classes(dataset: Dataset, train: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classes = len(dataset.classes)
    share = np.bincount(dataset.y[dataset.train], minlength=classes) / len(dataset.train)
    found = {"prior": np.tile(share, (len(dataset.x), 1))}
    x, y = dataset.x[train].astype(np.float64), dataset.y[train]
    models = {
        "linear": LogisticRegression(C=1.0, max_iter=1000),
        "gradient boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    for name, model in models.items():
        alone = np.zeros(classes, dtype=bool)
        if name == "gradient boosting" and len(y) > _STOPS_EARLY:
            alone = np.bincount(y, minlength=classes) == 1
        rows = ~alone[y] if alone.any() else slice(None)
        if len(np.unique(y[rows])) < 2:
            found[name] = found["prior"]
            continue
        with warnings.catch_warnings():
            # A baseline that stopped a step before its optimum is a baseline all the same.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x[rows], y[rows])
        table = np.zeros((len(dataset.x), classes))
        table[:, model.classes_] = model.predict_proba(dataset.x.astype(np.float64)) * (1 - alone.sum() / len(y))
        table[:, alone] = 1 / len(y)
        found[name] = table
    return found
