import numpy as np
import pytest

from goodfit.lab.faults import labels
from goodfit.lab.faults.labels import End, Gain, capped, gain, truth

ONE = np.ones(5)


def end(validation, hidden=None, train=0.5):
    validation = np.broadcast_to(np.asarray(validation, dtype=float), 5)
    hidden = validation if hidden is None else np.broadcast_to(np.asarray(hidden, dtype=float), 5)
    return End(train * ONE, validation, hidden, ONE)


NO_FACTS = labels.Facts(0.0, 0.0, False, False, False, False, False, True)


@pytest.mark.parametrize(
    ("before", "after", "works"),
    [
        (end(0.5), end(0.47), True),  # 6 %
        (end(0.5), end(0.48), False),  # 4 %
        (end(0.05), end(0.047), False),  # 3 % of the floor
        (end(0.5), end(0.4, hidden=0.5), False),  # hidden rows don't agree
        (end(0.5), end([0.4, 0.4, 0.6, 0.6, 0.6], hidden=0.4), False),  # in two of five seeds
        (end(5.0), end(1.1), False),  # still no better than chance
        (end(np.inf), end(0.5), True),
        (end(0.5), end(np.inf), False),
        (end(np.inf), end(np.nan), False),
    ],
)
def test_a_change_works_by_median_majority_and_hidden_rows(before, after, works):
    assert gain(before, after).works() is works


def test_losses_that_are_not_finite_count_as_the_worst():
    np.testing.assert_array_equal(capped(np.array([np.nan, np.inf, 99.0, 0.5])), [10.0, 10.0, 10.0, 0.5])


def nothing() -> dict[str, Gain]:
    return {name: Gain(0.0, 0.4, 0.0, 0.0, 0.5) for name in labels.STANDARD}


GOOD = Gain(0.2, 1.0, 0.2, 0.2, 0.4)


def test_balanced_is_where_no_standard_change_works_and_the_loss_is_acceptable():
    found = truth({}, nothing(), NO_FACTS, 0.5, behind=0.0)
    assert found.balanced
    assert found.verdicts == ("balanced",)
    assert not truth({}, nothing(), NO_FACTS, 0.5, behind=0.2).balanced
    assert not truth({}, nothing(), NO_FACTS, 0.97, behind=0.0).balanced


@pytest.mark.parametrize(
    ("change", "slug", "verdict"),
    [
        ("stop-at-best", "overfitting", "overfitting"),
        ("dropout-0.1", "overfitting", "overfitting"),
        ("epochs-x2", "unfinished", "unfinished"),
        ("rate-x3", "learning-rate-too-low", "unfinished"),
        ("rate-/3", "learning-rate-too-high", "unstable"),
        ("wider", "underfitting", "underfitting"),
    ],
)
def test_what_works_is_what_is_true(change, slug, verdict):
    found = truth({}, {**nothing(), change: GOOD}, NO_FACTS, 0.5, behind=0.0)
    assert slug in found.slugs
    assert verdict in found.verdicts
    assert not found.balanced


def test_a_working_cure_makes_the_planted_finding_true():
    cures = {"undo-dying-relu": "dying-relu"}
    gains = {**nothing(), "undo-dying-relu": GOOD}
    assert "dying-relu" in truth(cures, gains, NO_FACTS, 0.9, behind=0.0).slugs
    assert "dying-relu" not in truth(cures, nothing(), NO_FACTS, 0.9, behind=0.0).slugs


def test_a_diverged_run_has_that_verdict_alone():
    facts = labels.Facts(1.0, 0.0, False, False, True, True, False, False)
    assert truth({}, {**nothing(), "rate-/10": GOOD}, facts, 10.0, behind=np.inf).verdicts == ("diverged",)
