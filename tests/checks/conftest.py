"""Curves whose truth is known because it was put in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from goodfit.checks import all_checks
from goodfit.checks.case import Case
from goodfit.values import Dataset, Finding, Run


def run(loss=None, val_loss=None, *, seeds=1, noise=0.01, draw=0, **fields) -> Run:
    """A run of these mean curves, each seed with noise of its own, relative to the level."""
    generator = np.random.default_rng(draw)
    curves = {}
    for name, mean in (("loss", loss), ("val_loss", val_loss)):
        if mean is not None:
            mean = np.asarray(mean, dtype=float)
            curves[name] = mean * np.exp(noise * generator.normal(size=(seeds, len(mean))))
    length = len(next(iter(curves.values()))[0])
    fields.setdefault("outcomes", ("finished",) * seeds)
    return Run(curves, np.arange(length), seeds=tuple(range(seeds)), **fields)


def fall(epochs=100, start=1.0, floor=0.1, time=10.0):
    """An exponential fall from `start` to `floor`."""
    return floor + (start - floor) * np.exp(-np.arange(epochs) / time)


def healthy(**fields) -> Run:
    """Both losses fall together and settle."""
    return run(fall(floor=0.1), fall(floor=0.12), **fields)


def dataset(rows=400, features=5, task="regression", draw=0, **changes) -> Dataset:
    """Standard normal inputs, a target that a noisy line through them gives, a random split."""
    generator = np.random.default_rng(draw)
    x = generator.normal(size=(rows, features))
    y = x @ generator.normal(size=features)
    y = (y - y.mean()) / y.std() + 0.5 * generator.normal(size=rows)
    classes = ()
    if task != "regression":
        classes = ("no", "yes") if task == "binary" else ("a", "b", "c")
        y = np.digitize(y, np.quantile(y, np.arange(1, len(classes)) / len(classes)))
    order = generator.permutation(rows)
    fields = {
        "x": x.astype(np.float32),
        "y": y.astype(np.float32 if task == "regression" else np.int32),
        "task": task,
        "feature_names": tuple(f"x{i}" for i in range(features)),
        "target": "y",
        "train": order[: rows * 6 // 10],
        "validation": order[rows * 6 // 10 : rows * 8 // 10],
        "test": order[rows * 8 // 10 :],
        "classes": classes,
    }
    return Dataset(**{**fields, **changes})


def finding(slug: str, run: Run, dataset: Dataset | None = None) -> Finding:
    """What one check says of a run."""
    (check,) = (check for check in all_checks() if check.slug == slug)
    return check(Case(run, dataset))


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The makers of this file."""
    return SimpleNamespace(run=run, fall=fall, healthy=healthy, dataset=dataset, finding=finding)
