"""The frozen labels, judged by the checks of today: a change that makes the checks worse is seen here."""

import pytest

from goodfit.lab.faults import sources
from goodfit.lab.faults.frozen import read_frozen
from goodfit.lab.faults.score import score

pytestmark = pytest.mark.slow

BUNDLED = ("auto-mpg", "diabetes", "cancer", "wine", "digits", "iris", "digit-images")
"""Datasets that need no other package's files."""


@pytest.fixture(scope="module")
def report():
    blocks = read_frozen()
    return score(block for block in blocks if block["cases"][0]["dataset"] in BUNDLED)


def test_the_frozen_labels_are_of_both_halves():
    blocks = read_frozen()
    halves = {
        half: {b["cases"][0]["dataset"] for b in blocks if b["half"] == half} for half in ("scored", "calibration")
    }
    assert halves["scored"] <= set(sources.SCORED)
    assert halves["calibration"] <= set(sources.CALIBRATION)
    assert len(halves["scored"]) >= 12


@pytest.mark.parametrize(
    ("view", "verdict", "alarms", "precision", "recall"),
    [("curves", 0.56, 0.22, 0.84, 0.2), ("everything", 0.73, 0.28, 0.9, 0.68), ("measured", 0.77, 0.18, 0.9, 0.83)],
)
def test_the_checks_are_as_good_as_they_were(report, view, verdict, alarms, precision, recall):
    (scores,) = (scores for scores in report.scores if scores.view == view)
    assert scores.faulty > 100
    assert scores.healthy > 20
    assert scores.verdict.share >= verdict
    assert scores.healthy_alarms.share <= alarms
    assert scores.pooled("precision").share >= precision
    assert scores.pooled("recall").share >= recall
