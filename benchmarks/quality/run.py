"""Test loss of the default network of a table beside scikit-learn's models, on the same splits.

    python benchmarks/quality/run.py                                  all tables, eight splits each
    python benchmarks/quality/run.py --data "Auto MPG" --splits 24    one of them, more splits

Each writes its rows of benchmarks/quality/table.md. A split has 60 % training, 20 % validation, 20 % test rows. On each
split the network is what `goodfit.train` keeps: the best of eight seeds by validation loss, every seed at its best
epoch. scikit-learn's multilayer perceptron runs with its default settings on the same prepared inputs and
(standardized) target, once on the training rows and once on training and validation rows together, which it has no
other use for. Linear model and gradient boosting are the baselines of `goodfit.train`. `goodfit.training.networks.mlp`
says how the default network was chosen. Loss: mean squared error of the standardized target, or cross-entropy in nats.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import goodfit
from goodfit import tables
from goodfit.stats import paired_interval
from goodfit.values import Dataset

HERE = Path(__file__).parent
AUTO_MPG = HERE.parent.parent / "examples" / "auto-mpg.csv"
HEAD = (
    "# Test loss of the default network beside scikit-learn's models, mean over splits",
    "",
    "`python benchmarks/quality/run.py`",
    "",
    "| data | splits | chance | linear | gradient boosting | scikit-learn MLP | MLP, training and validation rows "
    "| **goodfit** | MLP − goodfit, 95 % interval | linear − goodfit, 95 % interval |",
    "|---|---|---|---|---|---|---|---|---|---|",
)
NETWORK, MLP, MLP_ALL = "network", "MLP", "MLP, more rows"


def sources() -> Iterator[tuple[str, Any, str]]:
    """Name, table and target column of each data set."""
    from sklearn import datasets

    yield "Auto MPG", AUTO_MPG, "mpg"
    for name, load in (
        ("diabetes", datasets.load_diabetes),
        ("breast cancer", datasets.load_breast_cancer),
        ("wine", datasets.load_wine),
        ("digits", datasets.load_digits),
    ):
        yield name, load(as_frame=True).frame, "target"


def perceptron(dataset: Dataset, rows: np.ndarray, seed: int) -> np.ndarray:
    """What scikit-learn's multilayer perceptron predicts for every row, with its defaults."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if dataset.task == "regression":
            return MLPRegressor(random_state=seed).fit(dataset.x[rows], dataset.y[rows]).predict(dataset.x)
        return MLPClassifier(random_state=seed).fit(dataset.x[rows], dataset.y[rows]).predict_proba(dataset.x)


def losses(table: Any, target: str, seed: int) -> dict[str, float]:
    """Test loss of every model on one split."""
    study = goodfit.train(table, target, seed=seed)
    dataset = study.dataset
    assert dataset is not None
    x, _ = dataset.part("test")
    assert study.predictor is not None
    predictions = {NETWORK: study.predictor.outputs(x), **tables.baselines(dataset, seed=seed)}
    predictions[MLP] = perceptron(dataset, dataset.train, seed)
    predictions[MLP_ALL] = perceptron(dataset, np.concatenate([dataset.train, dataset.validation]), seed)
    return {model: tables.loss(dataset, "test", p) for model, p in predictions.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--splits", type=int, default=8)
    arguments.add_argument("--data", help="the name of one table")
    asked = arguments.parse_args()
    for name, table, target in sources():
        if asked.data in (None, name):
            write(row(name, table, target, asked.splits))


def row(name: str, table: Any, target: str, splits: int) -> str:
    """One table's line, measured."""
    runs = [losses(table, target, seed) for seed in range(splits)]
    column = {model: np.array([run[model] for run in runs]) for model in runs[0]}
    chance = column["mean"] if "mean" in column else column["prior"]
    shown = [chance, column["linear"], column["gradient boosting"], column[MLP], column[MLP_ALL], column[NETWORK]]
    gains = [paired_interval(column[NETWORK], column[peer]) for peer in (MLP, "linear")]
    cells = [f"{values.mean():.4f}" for values in shown]
    cells[-1] = f"**{cells[-1]}**"
    cells += [f"{gain.estimate:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})" for gain in gains]
    return "| " + " | ".join([name, str(splits), *cells]) + " |"


def write(line: str) -> None:
    """Put a line into the table, in place of the one of the same name."""
    print(line, flush=True)
    path = HERE / "table.md"
    old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = {
        each.split("|")[1].strip(): each for each in [*old, line] if each.startswith("| ") and "| data |" not in each
    }
    names = [name for name, _, _ in sources()]
    body = [rows[name] for name in names if name in rows]
    path.write_text("\n".join([*HEAD, *body]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
