"""Logs that early stopping ended, penalties beside the loss, few validation rows: what the checks read them as."""

from __future__ import annotations

import numpy as np
import pytest

from goodfit.checks import diagnose, thresholds
from goodfit.values import Recipe, Run

EPOCH = np.arange(60)
LOSS = 0.1 + np.exp(-EPOCH / 8)
RISING = 0.15 + np.exp(-EPOCH / 5) + np.where(EPOCH > 20, 0.02 * (EPOCH - 20), 0.0)


def log(epochs: int, **fields) -> Run:
    return Run.from_history({"loss": LOSS[:epochs], "val_loss": RISING[:epochs]}, **fields)


@pytest.mark.parametrize("patience", thresholds.PATIENCES[:5])
def test_a_log_that_ends_a_usual_patience_after_its_best_epoch_was_stopped(patience) -> None:
    best = int(np.argmin(RISING))
    stopped = diagnose(log(best + 1 + patience))
    assert stopped.verdict == "balanced"
    assert f"ends {patience} epochs after its lowest validation loss" in stopped.reason
    assert diagnose(log(best + 1 + patience + 1)).verdict == "overfitting"  # an epoch more: no early stopping


def test_what_the_recipe_says_comes_before_what_the_log_looks_like() -> None:
    best = int(np.argmin(RISING))
    recipe = Recipe(model={}, optimizer={}, loss="mse", epochs=best + 21)
    assert diagnose(log(best + 21, recipe=recipe)).verdict == "overfitting"
    assert diagnose(log(best + 21, recipe=recipe, kept_epoch=np.array([best]))).verdict == "balanced"


def penalized(loss="mse", **curves) -> Run:
    config = {"layers": [{"config": {"kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.1}}}}]}
    curves = {"loss": LOSS + 2, "val_loss": LOSS + 2.05, **curves}
    measured = {"chance_loss": 1.0, "linear_loss": 0.1, "boosting_loss": 0.1}
    return Run.from_history(curves, recipe=Recipe(config, {}, loss), measurements=measured)


@pytest.mark.parametrize("name", ["mse", "mean_squared_error"])
def test_the_loss_without_penalties_is_read_where_it_was_logged(make, name) -> None:
    good = penalized(**{name: LOSS, f"val_{name}": LOSS + 0.01})
    assert make.finding("underfitting", good).status == "clear"
    assert diagnose(good).verdict == "balanced"
    poor = penalized(**{name: LOSS + 0.3, f"val_{name}": LOSS + 0.31})
    assert make.finding("underfitting", poor).status == "found"
    assert make.finding("underfitting", penalized()).status == "not-applicable"


@pytest.mark.parametrize(("rows", "status"), [(40, "clear"), (4_000, "found")])
def test_few_validation_rows_make_no_baseline_clearly_better(make, rows, status) -> None:
    """The baseline is 25 % better, 15 % beyond the 10. A mean of 40 squares errs by 22 %, one of 4,000 by 2 %."""
    run = make.run(
        make.fall(floor=0.4), make.fall(floor=0.4),
        measurements={"chance_loss": 1.0, "linear_loss": 0.3, "boosting_loss": 0.5, "validation_rows": rows},
    )  # fmt: skip
    assert make.finding("underfitting", run).status == status
    split = make.dataset(rows=2 * rows, train=np.arange(rows), validation=np.arange(rows, 2 * rows), test=np.arange(0))
    assert make.finding("underfitting", run, split).status == status


def test_a_loss_far_above_chance_that_does_not_arrive_there_is_not_learning(make) -> None:
    run = make.run(make.fall(floor=40, start=100), make.fall(floor=40, start=100), measurements={"chance_loss": 1.0})
    assert diagnose(run).verdict == "not-learning"
    soon = make.run(
        make.fall(60, start=30, time=12), make.fall(60, start=30, time=12), measurements={"chance_loss": 1.0}
    )
    assert diagnose(soon).verdict == "unfinished"


def test_a_kept_epoch_that_is_the_last_one_excuses_no_rise() -> None:
    rising = log(60, kept_epoch=np.array([59]))
    assert diagnose(rising).verdict == "overfitting"
    best = int(np.argmin(RISING))
    assert diagnose(log(60, kept_epoch=np.array([best]))).verdict == "balanced"
