"""Trainings in stages: read from their last stage on, and asked whether it undid the ones before."""

import numpy as np
import pytest

from goodfit import checks
from goodfit.values import Run

EPOCHS = np.arange(20)
SETTLED = 0.3 + 0.5 * np.exp(-EPOCHS / 4)


def staged(second, stages=(0, 20), noise=0.01, first=SETTLED):
    draw = np.random.default_rng(0)
    train = np.concatenate([first, second])
    seeds = [1 + noise * draw.normal(size=(3, len(train))) for _ in range(2)]
    return Run(
        curves={"loss": train * seeds[0], "val_loss": (train + 0.02) * seeds[1]},
        epoch=np.arange(len(train)),
        seeds=(0, 1, 2),
        outcomes=("finished",) * 3,
        stages=stages,
    )


def slugs(run):
    return [finding.slug for finding in checks.diagnose(run).found]


def finding(run, slug):
    return next(one for one in checks.diagnose(run).findings if one.slug == slug)


@pytest.mark.parametrize("level", [0.25, 0.3])
def test_a_second_stage_that_settles_is_balanced_and_no_restart(level):
    bump = 0.5 * np.exp(-EPOCHS)  # unfreezing throws the loss up for some epochs
    run = staged(level + bump)
    diagnosis = checks.diagnose(run)
    assert diagnosis.verdict == "balanced", diagnosis.reason
    assert finding(run, "restarted-log").status == "clear"
    assert finding(run, "catastrophic-forgetting").status == "clear"
    unmarked = staged(level + bump, stages=())
    assert finding(unmarked, "catastrophic-forgetting").status == "not-applicable"


def test_a_flat_second_stage_learned_something_in_the_first():
    assert "not-learning" not in slugs(staged(np.full(20, 0.3)))


def test_a_second_stage_that_stays_above_the_first_forgot():
    run = staged(np.full(20, 0.6))
    diagnosis = checks.diagnose(run)
    assert (diagnosis.verdict, diagnosis.found[0].slug) == ("unstable", "catastrophic-forgetting")
    assert "begins at epoch 20" in diagnosis.reason
    assert diagnosis.found[0].changes[0].name == "gentler-stage"


def test_a_stage_that_is_higher_by_noise_only_did_not():
    run = staged(np.full(20, 0.302), noise=0.05)
    assert finding(run, "catastrophic-forgetting").status == "clear"


def test_a_last_stage_of_few_epochs_is_read_with_the_one_before():
    fall = np.concatenate([SETTLED, 0.2 + 0.11 * np.exp(-np.arange(30) / 3)])
    run = staged(np.full(5, 0.2), stages=(0, 20, 50), first=fall)
    assert checks.diagnose(run).verdict == "balanced"


def test_a_counter_that_goes_back_is_another_training_all_the_same():
    run = staged(SETTLED)
    back = Run(
        curves=dict(run.curves), epoch=np.concatenate([EPOCHS, EPOCHS]), seeds=run.seeds, outcomes=run.outcomes,
        stages=(0, 20),
    )  # fmt: skip
    assert "restarted-log" in slugs(back)


def test_a_stage_that_diverged_is_diverged():
    assert checks.diagnose(staged(0.3 * 1.5**EPOCHS)).verdict == "diverged"
