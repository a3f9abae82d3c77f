"""Restarted logs, wasted epochs, validation below training, noisy validation."""

from __future__ import annotations

import numpy as np
import pytest

from goodfit.checks import diagnose
from goodfit.values import Run


def test_wasted_epochs(make):
    run = make.run(make.fall(200, time=5), make.fall(200, time=5, floor=0.12))
    found = make.finding("wasted-epochs", run)
    assert found.status == "found"
    true = np.flatnonzero(make.fall(200, time=5, floor=0.12) < 0.12 / 0.95)[0]
    assert found.evidence[1].value == pytest.approx(199 - true, abs=6)
    assert diagnose(run).verdict == "balanced"


def test_no_wasted_epochs(make):
    assert make.finding("wasted-epochs", make.run(make.fall(time=40), make.fall(time=40))).status == "clear"
    assert make.finding("wasted-epochs", make.run(make.fall())).status == "not-applicable"


def test_validation_below_training(make):
    run = make.run(make.fall(floor=0.3), make.fall(floor=0.2))
    found = make.finding("validation-below-training", run)
    assert found.status == "found"
    assert found.evidence[1].value == pytest.approx(1 / 3, abs=0.03)
    assert make.finding("validation-below-training", make.healthy()).status == "clear"
    assert make.finding("validation-below-training", make.run(make.fall())).status == "not-applicable"


def test_the_lag_of_the_epochs_mean_is_not_validation_below_training(make):
    """Keras's training loss is the mean over the epoch; the same rows validated at its end lie below it."""
    weights = 1.0 * np.exp(-np.arange(0, 40, 0.1) / 12)  # ten steps per epoch
    train, end = weights.reshape(40, 10).mean(axis=1), np.append(weights[10::10], weights[-1])
    run = make.run(train, end, noise=0.001)
    assert (run.curves["val_loss"] < run.curves["loss"]).mean() > 0.9
    assert make.finding("validation-below-training", run).status == "clear"


def test_noisy_validation(make):
    steady = make.fall(floor=0.3)
    jumping = steady * np.exp(0.3 * np.random.default_rng(0).normal(size=100))
    found = make.finding("noisy-validation", make.run(steady, jumping))
    assert found.status == "found"
    assert found.evidence[0].value == pytest.approx(0.3, rel=0.4)
    assert make.finding("noisy-validation", make.healthy()).status == "clear"
    assert make.finding("noisy-validation", make.run(make.fall())).status == "not-applicable"


def test_an_epoch_counter_that_goes_back(make):
    run = Run.from_history({"loss": [1.0, 0.5, 1.0, 0.5]}, epoch=[0, 1, 0, 1])
    assert make.finding("restarted-log", run).status == "found"
    assert make.finding("restarted-log", Run.from_history({"loss": [1.0]})).status == "not-applicable"


def test_a_restart_under_a_counter_that_runs_on(make):
    loss = np.concatenate([make.fall(40), make.fall(40)])
    found = make.finding("restarted-log", make.run(loss, loss * 1.2))
    assert found.status == "found"
    assert found.evidence[1].value == 40


def test_no_restart(make):
    spike = make.fall()
    spike[50] = 1.0
    for run in (make.healthy(), make.run(spike, make.fall()), make.run(make.fall(5))):
        assert make.finding("restarted-log", run).status == "clear"
