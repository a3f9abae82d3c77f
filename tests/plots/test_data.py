"""Chart data: medians and bands against NumPy, gaps, divergence, thinning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.plots import curve_chart, quantities
from goodfit.plots.data import MOST_POINTS, MOST_SEED_POINTS, MOST_SEEDS, thinned
from goodfit.values import Run


def run_of(values, **more) -> Run:
    values = np.asarray(values, dtype=float)
    seeds = tuple(range(len(values)))
    return Run({"loss": values}, np.arange(values.shape[1]), seeds, ("finished",) * len(seeds), **more)


def test_median_and_quartiles_are_numpys():
    values = np.random.default_rng(0).random((5, 30))
    (curve,) = curve_chart(run_of(values)).curves
    assert np.allclose(curve.median, np.median(values, axis=0))
    assert np.allclose(curve.low, np.quantile(values, 0.25, axis=0))
    assert np.allclose(curve.high, np.quantile(values, 0.75, axis=0))
    assert [line.seed for line in curve.seeds] == [0, 1, 2, 3, 4]
    assert np.allclose(curve.seeds[3].y, values[3])


def test_the_median_ends_where_most_seeds_have_stopped():
    values = np.ones((4, 10))
    values[:3, 6:] = np.nan
    (curve,) = curve_chart(run_of(values)).curves
    assert curve.x[-1] == 5
    assert max(line.x[-1] for line in curve.seeds) == 9


def test_validation_every_third_epoch_is_joined():
    values = np.full((1, 10), np.nan)
    values[0, ::3] = [4, 3, 2, 1]
    run = Run({"loss": np.ones((1, 10)), "val_loss": values}, np.arange(10))
    validation = curve_chart(run).curves[1]
    assert validation.x == (0, 3, 6, 9)
    assert validation.median == (4, 3, 2, 1)


def test_a_loss_that_was_not_finite_is_told_and_not_drawn():
    values = np.array([[1.0, 0.5, 0.4], [1.0, np.inf, np.nan], [1.0, 0.6, 0.5]])
    chart = curve_chart(run_of(values))
    (curve,) = chart.curves
    assert curve.broken == ((1, 1.0),)
    assert np.isfinite([*curve.median, *curve.low, *curve.high]).all()
    assert "not finite for 1 of 3 seeds" in chart.summary


def test_where_every_seed_but_one_diverged_that_one_is_drawn():
    values = np.full((3, 4), np.inf)
    values[1] = [4, 3, 2, 1]
    (curve,) = curve_chart(run_of(values)).curves
    assert curve.median == (4, 3, 2, 1)


def test_kept_epochs_of_each_seed_and_their_median():
    values = np.arange(30.0).reshape(3, 10)
    chart = curve_chart(run_of(values, kept_epoch=np.array([2, -1, 6])))
    assert [(point.seed, point.epoch, point.value) for point in chart.kept] == [(0, 2, 2.0), (2, 6, 26.0)]
    assert chart.kept_epoch == 4


@pytest.mark.parametrize(
    ("values", "can_log", "log"),
    [([1.0, 0.5], True, False), ([100.0, 0.5], True, True), ([1.0, 0.0], False, False), ([1.0, -9.0], False, False)],
)
def test_a_logarithmic_axis_only_where_it_can_be_and_where_it_helps(values, can_log, log):
    chart = curve_chart(Run.from_history({"loss": values}))
    assert (chart.can_log, chart.log) == (can_log, log)


def test_references_carry_the_words_of_the_task():
    measured = {"chance_loss": 2.3, "boosting_loss": 0.2, "linear_loss": float("nan"), "initial_loss": 2.4}
    run = Run.from_history({"loss": [1.0, 0.5]}, measurements=measured, task="multiclass")
    assert curve_chart(run).references == (("predicting the prior", 2.3), ("gradient boosting", 0.2))
    assert curve_chart(run, "mae").references == ()


def test_quantities_leave_out_what_was_never_finite():
    assert quantities(Run.from_history({"mae": [1.0], "val_loss": [1.0], "lr": [np.nan]})) == ("loss", "mae")


def test_many_seeds_and_epochs_are_bounded_and_the_median_is_of_all():
    values = np.random.default_rng(0).random((100, 5000))
    (curve,) = curve_chart(run_of(values)).curves
    assert len(curve.x) <= MOST_POINTS
    assert len(curve.seeds) == MOST_SEEDS
    assert sum(len(line.x) for line in curve.seeds) <= MOST_SEED_POINTS
    assert np.allclose(curve.median, np.median(values, axis=0)[np.array(curve.x, dtype=int)])


@given(st.integers(1, 3), st.integers(1, 400), st.integers(8, 60), st.randoms(use_true_random=False))
def test_thinning_keeps_both_ends_and_both_extremes(seeds, epochs, limit, random):
    values = np.array([[random.random() for _ in range(epochs)] for _ in range(seeds)])
    kept = thinned(values, limit)
    assert len(kept) <= max(limit, min(epochs, limit))
    assert kept[0] == 0
    assert kept[-1] == epochs - 1
    assert (np.diff(kept) > 0).all()
    assert values[:, kept].max() == values.max()
    assert values[:, kept].min() == values.min()


def test_further_stages_are_marked():
    run = Run.from_history({"loss": [1.0, 0.8, 0.5, 0.4, 0.3]}, stages=(0, 2, 4))
    chart = curve_chart(run)
    assert chart.stages == (2.0, 4.0)
    assert "A further stage begins at epoch 2, 4." in chart.summary
    assert curve_chart(Run.from_history({"loss": [1.0, 0.5]})).stages == ()


def test_the_summary_tells_the_best_value_of_what_is_better_high():
    run = Run(
        {"loss": np.array([[3.0, 1.0, 2.0]]), "val_accuracy": np.array([[0.5, 0.9, 0.8]])},
        np.arange(3),
        (0,),
        ("finished",),
    )
    assert "lowest 1 at epoch 1" in curve_chart(run, "loss").summary
    assert "highest 0.9 at epoch 1" in curve_chart(run, "accuracy").summary
