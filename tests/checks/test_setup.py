"""Sanity: the loss on a small sample, and the loss before training."""

from __future__ import annotations

import math

import pytest

from goodfit.checks import diagnose


@pytest.mark.parametrize("loss", [0.3, 0.9, math.inf, math.nan])
def test_a_small_sample_that_can_not_be_learned(make, loss):
    run = make.healthy(measurements={"chance_loss": 1.0, "small_sample_loss": loss})
    found = make.finding("cannot-overfit-small-sample", run)
    assert found.status == "found"
    assert found.severity == ("medium" if loss == 0.3 else "high")


def test_a_small_sample_that_can(make):
    run = make.healthy(measurements={"chance_loss": 2.0, "small_sample_loss": 0.1})
    found = make.finding("cannot-overfit-small-sample", run)
    assert found.status == "clear"
    assert found.evidence[0].value == pytest.approx(0.05)


def test_the_root_of_not_learning(make):
    known = {"chance_loss": 1.0, "small_sample_loss": 0.95}
    answer = diagnose(make.run([1.0] * 60, [1.0] * 60, measurements=known))
    assert [f.slug for f in answer.found][:2] == ["cannot-overfit-small-sample", "not-learning"]


@pytest.mark.parametrize(("initial", "status"), [(1.1, "clear"), (0.7, "clear"), (5.0, "found"), (math.inf, "found")])
def test_initial_loss(make, initial, status):
    run = make.healthy(measurements={"chance_loss": 1.0, "initial_loss": initial})
    assert make.finding("initial-loss-off-chance", run).status == status


@pytest.mark.parametrize("slug", ["cannot-overfit-small-sample", "initial-loss-off-chance"])
def test_not_measured(make, slug):
    assert make.finding(slug, make.healthy()).status == "not-applicable"
    assert make.finding(slug, make.healthy(measurements={"chance_loss": 0.0})).status == "not-applicable"


def test_what_training_rows_lose_is_read_against_their_chance(make):
    """Of a target that is mostly zero, few rows hold the variance, and validation rows may have little of it."""
    run = make.healthy(measurements={"chance_loss": 0.2, "train_chance_loss": 1.0, "initial_loss": 1.0})
    assert make.finding("initial-loss-off-chance", run).status == "clear"
    run = make.healthy(measurements={"chance_loss": 0.2, "train_chance_loss": 1.0, "small_sample_loss": 0.08})
    assert make.finding("cannot-overfit-small-sample", run).status == "clear"
