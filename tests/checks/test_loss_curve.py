"""Overfitting, underfitting, unfinished: fire, stay clear, are not applicable."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from goodfit.checks import diagnose
from goodfit.checks.case import Case
from goodfit.values import Recipe

EPOCH = np.arange(100)


@pytest.fixture
def overfit(make):
    def overfit(**fields):
        rise = np.maximum(EPOCH - 30, 0) / 200
        return make.run(make.fall(floor=0.02), make.fall(floor=0.2) + rise, **fields)

    return overfit


@pytest.mark.parametrize("seeds", [1, 8])
@pytest.mark.parametrize("measurements", [{}, {"chance_loss": 1.0}])
def test_a_rising_validation_loss_is_overfitting(make, overfit, seeds, measurements):
    run = overfit(seeds=seeds, noise=0.03, measurements=measurements)
    found = make.finding("overfitting", run)
    assert found.status == "found"
    assert found.severity == "high"
    gain = found.evidence[0]
    true = overfit(noise=0.0).curves["val_loss"][0]
    assert gain.value == pytest.approx((true[-1] - true.min()) / true[-1], abs=0.06)
    assert gain.value > gain.threshold
    assert found.changes[0].name == "early-stopping"
    assert diagnose(run).verdict == "overfitting"


@pytest.mark.parametrize("seeds", [1, 8])
@pytest.mark.parametrize("epochs", [8, 20, 100])
def test_a_rise_within_the_noise_is_not(make, seeds, epochs):
    flat = make.fall(epochs, floor=0.3, time=epochs / 12)
    alarms = sum(
        make.finding("overfitting", make.run(flat, flat * 1.1, noise=0.08, draw=draw, seeds=seeds)).status == "found"
        for draw in range(60)
    )
    assert alarms <= 1


def test_a_small_rise_that_most_of_many_seeds_share_is(make):
    mild = make.fall(floor=0.3) + np.maximum(EPOCH - 30, 0) / 1800
    runs = [make.run(make.fall(floor=0.2), mild, noise=0.05, seeds=8, draw=draw) for draw in range(10)]
    assert sum(make.finding("overfitting", run).status == "found" for run in runs) >= 9


def test_penalties_in_the_losses_are_not_compared_with_baselines(make):
    layer = {"class_name": "Dense", "config": {"kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.1}}}}
    recipe = Recipe({"class_name": "Sequential", "config": {"layers": [layer]}}, {"class_name": "Adam"}, "mse")
    run = make.run(make.fall(floor=0.55), make.fall(floor=0.58), measurements=BASELINES)
    assert make.finding("underfitting", run).status == "found"
    assert make.finding("underfitting", dataclasses.replace(run, recipe=recipe)).status == "not-applicable"


def test_what_follows_the_kept_epoch_is_not_the_kept_fit(make, overfit):
    run = overfit(outcomes=("stopped",), kept_epoch=np.array([30]))
    assert make.finding("overfitting", run).status == "clear"
    assert diagnose(run).verdict == "balanced"


def test_a_wide_gap_is_overfitting_though_validation_does_not_rise(make):
    run = make.run(make.fall(floor=0.02), make.fall(floor=0.5), measurements={"chance_loss": 1.0})
    assert make.finding("overfitting", run).status == "found"
    assert diagnose(run).verdict == "overfitting"


def test_a_gap_that_no_baseline_avoids_is_no_fault(make):
    known = {"chance_loss": 1.0, "linear_loss": 0.6, "boosting_loss": 0.49}
    run = make.run(make.fall(floor=0.1), make.fall(floor=0.5), measurements=known)
    assert make.finding("overfitting", run).status == "clear"
    assert diagnose(run).verdict == "balanced"


def test_a_kept_epoch_with_a_gap_that_a_baseline_avoids_is_overfitting(make):
    known = {"chance_loss": 1.0, "linear_loss": 0.3, "boosting_loss": 0.4}
    run = make.run(
        make.fall(floor=0.1), make.fall(floor=0.5), measurements=known, outcomes=("stopped",), kept_epoch=np.array([99])
    )
    found = make.finding("overfitting", run)
    assert found.status == "found"
    assert "the linear model does better (0.3)" in found.message


def test_validation_at_chance_with_training_far_below_is_memorized(make):
    run = make.run(make.fall(floor=0.05), np.ones(100), measurements={"chance_loss": 1.0})
    found = make.finding("overfitting", run)
    assert found.status == "found"
    assert "memorized" in found.message


def test_overfitting_needs_validation(make):
    for run in (make.run(make.fall()), make.run(None, make.fall()), make.run(make.fall(4), make.fall(4))):
        answer = make.finding("overfitting", run)
        assert answer.status == "not-applicable"
        assert answer.message


def test_healthy_runs_are_balanced_whatever_the_noise(make):
    for draw in range(30):
        for noise in (0.0, 0.01, 0.04):
            run = make.healthy(draw=draw, noise=noise, measurements={"chance_loss": 1.0})
            assert diagnose(run).verdict == "balanced"


@pytest.mark.parametrize("seeds", [1, 8])
def test_a_loss_that_still_falls_is_unfinished(make, seeds):
    run = make.run(make.fall(time=80), make.fall(time=80) * 1.05, seeds=seeds)
    found = make.finding("unfinished", run)
    assert found.status == "found"
    assert diagnose(run).verdict == "unfinished"
    twice = 1.05 * make.fall(200, time=80)
    true = (twice[99] - twice[199]) / twice[99]
    assert 0.4 * true < found.evidence[0].value < 1.6 * true


@pytest.mark.parametrize("exponent", [0.3, 0.6, 1.0])
def test_the_gain_to_expect_of_a_power_law(make, exponent):
    law = 0.1 + (1.0 + np.arange(400)) ** -exponent
    run = make.run(law[:200], law[:200], noise=0.0)
    true = (law[199] - law[399]) / law[199]
    assert make.finding("unfinished", run).evidence[0].value == pytest.approx(true, rel=0.15)


def test_a_settled_loss_is_finished(make):
    for draw in range(20):
        assert make.finding("unfinished", make.healthy(draw=draw, noise=0.05)).status != "found"


def test_a_run_that_stopped_by_itself_is_not_unfinished(make):
    run = make.run(make.fall(time=80), make.fall(time=80), outcomes=("stopped",))
    assert make.finding("unfinished", run).status == "not-applicable"
    assert make.finding("unfinished", make.run([1.0, 0.5])).status == "not-applicable"


def test_without_validation_only_a_strong_fall_is_unfinished(make):
    assert diagnose(make.run(make.fall(time=80))).verdict == "unfinished"
    settled = diagnose(make.run(make.fall()))
    assert settled.verdict == "insufficient-evidence"
    assert "validation_split" in settled.reason


BASELINES = {"chance_loss": 1.0, "linear_loss": 0.5, "boosting_loss": 0.3}


def test_behind_a_baseline_on_the_training_rows_is_underfitting(make):
    run = make.run(make.fall(floor=0.55), make.fall(floor=0.58), seeds=5, measurements=BASELINES)
    found = make.finding("underfitting", run)
    assert found.status == "found"
    assert found.evidence[0].value == pytest.approx((0.58 - 0.3) / 0.58, abs=0.01)
    assert "gradient boosting" in found.message
    assert diagnose(run).verdict == "underfitting"


def test_level_with_the_baselines_is_balanced(make):
    run = make.run(make.fall(floor=0.25), make.fall(floor=0.31), measurements=BASELINES)
    assert make.finding("underfitting", run).status == "clear"
    assert diagnose(run).verdict == "balanced"


def test_behind_a_baseline_for_want_of_generalization_is_overfitting(make):
    run = make.run(make.fall(floor=0.1), make.fall(floor=0.5), measurements=BASELINES)
    assert make.finding("underfitting", run).status == "clear"
    assert diagnose(run).verdict == "overfitting"


def test_curves_alone_do_not_tell_underfitting(make):
    answer = make.finding("underfitting", make.healthy())
    assert answer.status == "not-applicable"
    assert "linear model" in answer.message


def test_a_loss_that_settled_just_below_a_measured_chance_is_underfitting(make):
    run = make.run(make.fall(floor=0.87), make.fall(floor=0.88), measurements={"chance_loss": 1.0})
    assert diagnose(run).verdict == "underfitting"


def test_a_loss_that_hardly_fell_without_measured_chance_asks_for_a_baseline(make):
    answer = diagnose(make.run(make.fall(floor=0.85), make.fall(floor=0.87)))
    assert answer.verdict == "insufficient-evidence"
    assert "linear model" in answer.reason


def test_validation_every_fifth_epoch(overfit):
    run = overfit()
    run.curves["val_loss"][0, np.arange(100) % 5 != 4] = math.nan
    assert diagnose(run).verdict == "overfitting"


def test_accuracy_alone(make):
    rising = 1 - make.fall(floor=0.05, start=0.5)
    falling = 1 - (make.fall(floor=0.1, start=0.5) + np.maximum(EPOCH - 30, 0) / 500)
    for name in ("accuracy", "acc", "auc"):
        for factor in (1.0, 100.0):
            run = make.run(rising * factor, falling * factor, noise=0.002)
            run = type(run).from_history({name: run.curves["loss"][0], f"val_{name}": run.curves["val_loss"][0]})
            assert Case(run).reading.quantity.endswith(name)
            assert diagnose(run).verdict == "overfitting"


def test_losses_that_cross_zero(make):
    train, val = make.fall(floor=-3.0), make.fall(floor=-2.5)
    jitter = np.random.default_rng(0).normal(scale=0.02, size=(2, 100))
    assert diagnose(make.run(train + jitter[0], val + jitter[1], noise=0.0)).verdict == "balanced"
    rise = np.maximum(EPOCH - 30, 0) / 50
    assert diagnose(make.run(train + jitter[0], val + rise + jitter[1], noise=0.0)).verdict == "overfitting"
    slow = make.fall(floor=-3.0, time=80)
    assert diagnose(make.run(slow + jitter[0], slow + jitter[1], noise=0.0)).verdict == "unfinished"


def test_the_unit_of_the_loss_does_not_matter(overfit):
    for factor in (1e-6, 1.0, 1e6):
        run = overfit(measurements={"chance_loss": factor})
        scaled = {name: values * factor for name, values in run.curves.items()}
        again = type(run)(scaled, run.epoch, measurements={"chance_loss": factor})
        assert diagnose(again).verdict == "overfitting"
