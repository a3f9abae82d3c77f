"""Comparisons against their closed forms, and against simulation."""

import numpy as np
import pytest
from scipy import stats

from goodfit.improvement import Arm, compare, holm
from goodfit.improvement.compare import joined
from goodfit.values import Comparison, Run


def arm(losses, train_rows=80):
    losses = np.asarray(losses, dtype=float)
    seeds = tuple(range(len(losses)))
    run = Run(curves={}, epoch=np.arange(0), seeds=seeds, outcomes=("finished",) * len(seeds))
    return Arm(run, losses, train_rows, 5)


def test_seeds_is_the_paired_t_test():
    draw = np.random.default_rng(0)
    a, b = draw.normal(3, 1, (8, 1)), draw.normal(2.5, 1, (8, 1))
    made = compare(arm(a), arm(b), "seeds")
    known = stats.ttest_rel(b[:, 0], a[:, 0], alternative="less")
    assert made.p == pytest.approx(known.pvalue)
    interval = stats.ttest_rel(b[:, 0], a[:, 0]).confidence_interval()
    assert (made.low, made.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (made.before, made.after, made.pairs) == (pytest.approx(a.mean()), pytest.approx(b.mean()), 8)


def test_splits_widen_by_the_share_of_judging_rows():
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(8, 20)), draw.normal(size=(8, 20))
    d = (b - a).mean(axis=1)
    error = np.sqrt((1 / 8 + 20 / 80) * d.var(ddof=1))
    made = compare(arm(a), arm(b), "splits")
    assert made.p == pytest.approx(stats.t.cdf(d.mean() / error, 7))
    assert made.high - made.effect == pytest.approx(stats.t.ppf(0.975, 7) * error)
    assert made.detectable == pytest.approx((stats.t.ppf(0.95, 7) + stats.t.ppf(0.8, 7)) * error)


@pytest.mark.parametrize("of", ["rows", "seeds", "both"])
def test_rows_covers_zero_as_often_as_said(of):
    """Crossed seeds and rows: the 5 % test of an effect that is zero is met by at most about 5 %."""
    draw = np.random.default_rng(2)
    met, repeats = 0, 2000
    for _ in range(repeats):
        seeds = draw.normal(size=(8, 1)) * (of != "rows")
        rows = draw.normal(size=(1, 60)) * (of != "seeds") * 3
        both = draw.normal(size=(8, 60))
        made = compare(arm(np.zeros((8, 60))), arm(seeds + rows + both), "rows")
        met += made.p <= 0.05
    assert 0.01 * repeats < met < 0.065 * repeats


def test_rows_that_did_not_judge_are_left_out():
    losses = np.array([[1.0, np.nan, 3.0], [np.nan, 2.0, 4.0]])
    made = compare(arm(losses), arm(losses - 1), "rows")
    assert (made.effect, made.before) == (-1.0, 2.5)


def test_losses_that_are_not_finite_count_as_the_worst():
    good = np.ones((4, 3))
    bad = np.array([[1.0, 1, 1], [np.inf, np.inf, np.inf], [1e9, 1e9, 1e9], [1, np.inf, 1]])
    made = compare(arm(bad), arm(good), "seeds", worst=10.0)
    assert made.before == pytest.approx((1 + 10 + 10 + 10) / 4)
    assert made.after == 1.0
    assert compare(arm(bad), arm(bad), "splits", worst=10.0).p == 1.0


def test_one_seed_tells_nothing():
    assert compare(arm([[2.0]]), arm([[1.0]]), "seeds").p == 1.0
    assert compare(arm([[2.0, 2.0]]), arm([[1.0, 0.9]]), "splits").p == 1.0


def test_holm():
    given = [Comparison("loss", -1, -2, 0, 8, False, p=p) for p in (0.01, 0.04, 0.03)]
    assert [c.adjusted_p for c in holm(given)] == pytest.approx([0.03, 0.06, 0.06])
    assert [c.better for c in holm(given)] == [True, False, False]
    assert [c.adjusted_p for c in holm(given, tried=6)] == pytest.approx([0.06, 0.16, 0.15])


def test_joined_seeds_of_unequal_length():
    def part(seeds, epochs):
        run = Run(
            curves={"loss": np.ones((len(seeds), epochs))},
            epoch=np.arange(epochs),
            seeds=seeds,
            outcomes=("stopped",) * len(seeds),
            kept_epoch=np.zeros(len(seeds), int),
        )
        return Arm(run, np.ones((len(seeds), 4)), 10, 7)

    whole = joined([part((0, 1), 3), part((2,), 5)])
    assert whole.run.seeds == (0, 1, 2)
    assert whole.run.curves["loss"].shape == (3, 5)
    assert np.isnan(whole.run.curves["loss"][0, 3:]).all()
    assert (whole.steps, whole.losses.shape) == (14, (3, 4))
