"""Diverged, not learning, unstable, spikes: fire, stay clear, are not applicable."""

from __future__ import annotations

import numpy as np
import pytest

from goodfit.checks import diagnose
from goodfit.values import Run


@pytest.mark.parametrize(
    "loss",
    [
        [np.inf] * 10,
        [1.0, 0.5, 0.4, np.inf, np.inf, np.inf],
        list(1.5 ** np.arange(30)),
        [1.0, 0.8, 0.7, 5.0, 200.0, 1e5, 1e8, 1e10],
        [1.0, np.inf],
    ],
)
def test_diverged(make, loss):
    run = make.run(loss, noise=0.0)
    assert make.finding("diverged", run).status == "found"
    assert make.finding("diverged", run).severity == "high"
    assert diagnose(run).verdict == "diverged"


@pytest.mark.parametrize("outcome", ["diverged", "nonfinite"])
def test_diverged_by_its_outcome(make, outcome):
    assert diagnose(make.healthy(outcomes=(outcome,))).verdict == "diverged"


def test_a_lone_diverged_seed_is_said_and_the_others_are_judged(make):
    run = make.healthy(seeds=8, outcomes=("finished",) * 7 + ("nonfinite",))
    answer = diagnose(run)
    assert answer.verdict == "balanced"
    assert "1 of 8 seeds diverged" in answer.reason
    assert answer.finding("diverged").severity == "low"
    assert "in 1 of 8 seeds" in answer.finding("diverged").message


def test_two_diverged_seeds_of_eight_are_unstable_and_four_diverged(make):
    for count, verdict in ((2, "unstable"), (3, "unstable"), (4, "diverged"), (8, "diverged")):
        run = make.healthy(seeds=8, outcomes=("finished",) * (8 - count) + ("nonfinite",) * count)
        assert diagnose(run).verdict == verdict


def test_validation_alone_that_is_not_finite_points_at_its_rows(make):
    answer = diagnose(make.run(make.fall(), np.full(100, np.inf)))
    assert answer.verdict == "diverged"
    assert "validation rows" in answer.reason


def test_a_high_validation_loss_is_no_divergence(make):
    val = make.fall(floor=0.3) + np.maximum(np.arange(100) - 20, 0) / 10
    assert diagnose(make.run(make.fall(floor=0.01), val)).verdict == "overfitting"


def test_not_diverged(make):
    assert make.finding("diverged", make.healthy()).status == "clear"
    assert make.finding("diverged", Run({}, np.zeros(0))).status == "not-applicable"


@pytest.mark.parametrize("seeds", [1, 8])
def test_a_flat_loss_at_chance_is_not_learning(make, seeds):
    flat = np.full(60, 0.693)
    run = make.run(flat, flat, seeds=seeds, noise=0.005, measurements={"chance_loss": 0.693})
    assert make.finding("not-learning", run).status == "found"
    assert diagnose(run).verdict == "not-learning"


def test_a_flat_loss_without_a_measured_chance_is_not_learning_unless_accuracy_is_high():
    flat = np.full((1, 60), 0.693) + np.random.default_rng(0).normal(scale=0.003, size=(1, 60))
    assert diagnose(Run({"loss": flat, "val_loss": flat}, np.arange(60))).verdict == "not-learning"
    fit = Run({"loss": flat, "val_loss": flat, "accuracy": np.full((1, 60), 0.97)}, np.arange(60))
    assert diagnose(fit).verdict == "insufficient-evidence"
    assert "chance" in diagnose(fit).reason


def test_where_no_baseline_learns_either_it_is_said(make):
    known = {"chance_loss": 1.0, "linear_loss": 1.02, "boosting_loss": 1.1}
    message = diagnose(make.run(np.ones(60), np.ones(60), measurements=known)).reason
    assert "may not tell the target" in message


def test_a_slow_start_is_unfinished_rather_than_not_learning(make):
    slow = 1.0 - 0.04 * (np.arange(60) / 60) ** 2
    far = np.linspace(8.0, 3.0, 60)
    for curve in (far, slow):
        assert diagnose(make.run(curve, curve, noise=0.001, measurements={"chance_loss": 1.0})).verdict == "unfinished"


def test_learning(make):
    assert make.finding("not-learning", make.healthy()).status == "clear"
    assert make.finding("not-learning", make.run([1.0, 0.9])).status == "not-applicable"


@pytest.mark.parametrize("seeds", [1, 8])
def test_a_loss_that_jumps_is_unstable(make, seeds):
    run = make.run(make.fall(floor=0.4), make.fall(floor=0.45), noise=0.35, seeds=seeds)
    found = make.finding("unstable", run)
    assert found.status == "found"
    assert found.evidence[0].value == pytest.approx(0.35, rel=0.4)
    assert diagnose(run).verdict == "unstable"


def test_noise_far_below_chance_does_not_matter(make):
    run = make.run(make.fall(floor=0.001), make.fall(floor=0.05), noise=0.3, measurements={"chance_loss": 1.0})
    assert make.finding("unstable", run).status == "clear"


def test_a_log_per_step_is_not_unstable_for_its_batches(make):
    run = make.run(make.fall(4000, time=300, floor=0.3), noise=0.4, unit="step")
    assert make.finding("unstable", run).status == "clear"


def test_unstable_needs_a_curve(make):
    assert make.finding("unstable", make.run([1.0, 0.5])).status == "not-applicable"


def test_spikes(make):
    loss = make.fall()
    loss[[40, 70]] += 2.0
    run = make.run(loss, make.fall(floor=0.12))
    found = make.finding("loss-spikes", run)
    assert found.status == "found"
    assert found.evidence[1].value == pytest.approx(2.0, rel=0.1)
    assert diagnose(run).verdict == "balanced"
    loss[20::9] += 2.0
    assert diagnose(make.run(loss, make.fall(floor=0.12))).verdict == "unstable"


def test_no_spikes(make):
    for draw in range(20):
        assert make.finding("loss-spikes", make.healthy(noise=0.05, draw=draw)).status == "clear"
    assert make.finding("loss-spikes", make.run(make.fall(8))).status == "not-applicable"
