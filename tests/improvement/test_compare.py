"""Comparisons against their closed forms, and against simulation."""

import numpy as np
import pytest
from scipy import stats

from goodfit.improvement import Arm, compare, holm
from goodfit.improvement.compare import joined
from goodfit.values import Comparison, Run


def arm(losses):
    losses = np.asarray(losses, dtype=float)
    seeds = tuple(range(len(losses)))
    run = Run(curves={}, epoch=np.arange(0), seeds=seeds, outcomes=("finished",) * len(seeds))
    return Arm(run, losses, 5)


def test_seeds_is_the_paired_t_test():
    draw = np.random.default_rng(0)
    a, b = draw.normal(3, 1, (8, 1)), draw.normal(2.5, 1, (8, 1))
    made = compare(arm(a), arm(b), "seeds")
    known = stats.ttest_rel(b[:, 0], a[:, 0], alternative="less")
    assert made.p == pytest.approx(known.pvalue)
    interval = stats.ttest_rel(b[:, 0], a[:, 0]).confidence_interval()
    assert (made.low, made.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (made.before, made.after, made.pairs) == (pytest.approx(a.mean()), pytest.approx(b.mean()), 8)


def test_seeds_and_rows_are_crossed():
    """The mean squares of a two-way analysis of variance with one observation a cell: (A + B - AB) / n."""
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(8, 20)), draw.normal(size=(8, 20)) + draw.normal(size=20) + draw.normal(size=(8, 1))
    d = b - a
    seeds, rows = d.mean(axis=1, keepdims=True), d.mean(axis=0, keepdims=True)
    of_seeds, of_rows = 20 * seeds.var(ddof=1) / d.size, 8 * rows.var(ddof=1) / d.size
    both = ((d - seeds - rows + d.mean()) ** 2).sum() / (7 * 19) / d.size
    error = np.sqrt(of_seeds + of_rows - both)
    freedom = error**4 / (of_seeds**2 / 7 + (of_rows - both) ** 2 / 19)
    for design in ("rows", "splits"):
        made = compare(arm(a), arm(b), design)
        assert made.p == pytest.approx(stats.t.cdf(d.mean() / error, freedom))
        assert made.high - made.effect == pytest.approx(stats.t.ppf(0.975, freedom) * error)
        found = stats.t.ppf(0.95, freedom) + stats.t.ppf(0.8, freedom)
        assert made.detectable == pytest.approx(found * error)


def test_as_if_there_were_more_seeds():
    draw = np.random.default_rng(3)
    a, b = draw.normal(size=(8, 1)), draw.normal(size=(8, 1)) - 1.0
    made = compare(arm(a), arm(b), "seeds", as_if=3.0)
    d = (b - a)[:, 0]
    assert made.p == pytest.approx(stats.t.cdf(d.mean() / (d.std(ddof=1) / np.sqrt(24)), 23))
    a, b = draw.normal(size=(8, 20)), draw.normal(size=(8, 20)) + draw.normal(size=20) - 0.5
    drawn = [compare(arm(a), arm(b), "rows", as_if=times).detectable for times in (1.0, 3.0, 1e6)]
    assert drawn[0] > drawn[1] > drawn[2]
    rows = (b - a).mean(axis=0).std(ddof=1) / np.sqrt(20)  # what no seed can lessen
    assert 0.5 * rows < drawn[2] / (stats.t.ppf(0.95, 19) + stats.t.ppf(0.8, 19)) < rows


def of_two_learners(draw, better):
    """Losses of least squares on either half of the inputs, alike but for `better`, over 8 splits of 150 rows."""
    x = draw.normal(size=(150, 8))
    y = x @ np.array([0.5] * 4 + [0.5 + better] * 4) + draw.standard_t(5, 150)
    out = np.full((2, 8, 150), np.nan)
    for seed in range(8):
        order = draw.permutation(150)
        train, judge = order[:120], order[120:]
        for place, half in enumerate((x[:, :4], x[:, 4:])):
            weights = np.linalg.lstsq(half[train], y[train], rcond=None)[0] + 0.05 * draw.normal(size=4)
            out[place, seed, judge] = (y[judge] - half[judge] @ weights) ** 2
    return out


def corrected_resampled_t(one, other):
    """Nadeau and Bengio (2003), eq. 9: the one-sided p."""
    d = np.nanmean(other, axis=1) - np.nanmean(one, axis=1)
    return stats.t.cdf(d.mean() / np.sqrt((1 / 8 + 30 / 120) * d.var(ddof=1)), 7)


def test_splits_claim_as_seldom_as_the_corrected_t_test_where_nothing_is_and_find_more_where_something_is():
    draw = np.random.default_rng(7)
    null, effect = ([of_two_learners(draw, better) for _ in range(300)] for better in (0.0, 0.3))

    def claims(pairs, level):
        ours = sum(compare(arm(a), arm(b), "splits", offset=0.1).p <= level for a, b in pairs)
        return ours, sum(corrected_resampled_t(a, b) <= level for a, b in pairs)

    assert claims(null, 0.05)[0] <= 0.07 * 300  # 5 % and what 300 draws allow
    ours, theirs = claims(effect, 0.005)  # what remains of the level among ten changes
    assert ours > 1.15 * theirs


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
    assert made.before == pytest.approx((1 + 16 + 16 + 16) / 4)  # six powers of ten beyond at most
    assert made.after == 1.0
    assert compare(arm(bad), arm(bad), "splits", worst=10.0).p == 1.0


def test_one_seed_tells_nothing():
    assert compare(arm([[2.0]]), arm([[1.0]]), "seeds").p == 1.0
    assert compare(arm([[2.0, 2.0]]), arm([[1.0, 0.9]]), "splits").p == 1.0


def test_holm():
    given = [Comparison("loss", -1, -2, 0, 8, False, p=p) for p in (0.01, 0.04, 0.03)]
    assert [c.adjusted_p for c in holm(given, [1, 1, 1], 3)] == pytest.approx([0.03, 0.06, 0.06])
    assert [c.better for c in holm(given, [1, 1, 1], 3)] == [True, False, False]
    assert [c.adjusted_p for c in holm(given, [1, 1, 1], 6)] == pytest.approx([0.06, 0.16, 0.15])


def test_weighted_holm_rejects_one_wrongly_as_often_as_said():
    """The definition: with all hypotheses true, some p times (sum of the weights over its own) is at or below the level
    in at most 5 %; and where the weighty one is false and found, the others share its weight."""
    draw = np.random.default_rng(3)
    weights = [3.0, 1.0, 1.0, 1.0]
    wrong = 0
    for p in draw.uniform(size=(4000, 4)):
        wrong += any(c.better for c in holm([Comparison("l", -1, -2, 0, 8, False, p=q) for q in p], weights, 6.0))
    assert 0.035 * 4000 < wrong < 0.06 * 4000
    found = holm([Comparison("l", -1, -2, 0, 8, False, p=p) for p in (1e-9, 0.016, 0.9, 0.9)], weights, 6.0)
    assert [c.better for c in found] == [True, True, False, False]
    assert found[1].adjusted_p == pytest.approx(3 * 0.016)


def test_ratios_are_the_t_test_of_logarithms():
    draw = np.random.default_rng(4)
    a = np.exp(draw.normal(0, 1.0, (8, 1)))
    b = a * np.exp(draw.normal(-0.5, 0.2, (8, 1)))
    made = compare(arm(a), arm(b), "seeds", offset=1e-9)
    logs = np.log(b / a)[:, 0]
    assert made.p == pytest.approx(stats.ttest_1samp(logs, 0, alternative="less").pvalue, rel=1e-6)
    assert made.before == pytest.approx(stats.gmean(a[:, 0]))
    assert made.after == pytest.approx(stats.gmean(b[:, 0]))
    assert made.effect == pytest.approx(made.after - made.before)
    low, high = stats.ttest_1samp(logs, 0).confidence_interval()
    assert (made.low, made.high) == pytest.approx(made.before * np.expm1([low, high]))
    assert made.p < compare(arm(a), arm(b), "seeds").p  # one large loss no longer hides it


def test_differences_far_below_the_offset():
    draw = np.random.default_rng(5)
    a, b = draw.normal(3, 1, (8, 20)), draw.normal(2.5, 1, (8, 20))
    for design in ("splits", "rows", "seeds"):
        plain, made = (compare(arm(a), arm(b), design, offset=offset) for offset in (None, 1e6))
        for name in ("effect", "low", "high", "p", "before", "after", "detectable"):
            assert getattr(made, name) == pytest.approx(getattr(plain, name), rel=1e-4), (design, name)


@pytest.mark.parametrize("design", ["rows", "splits"])
def test_ratios_cover_one_as_often_as_said(design):
    """Long-tailed losses that seeds and rows share: a change that does nothing is called better in at most 5 %."""
    draw = np.random.default_rng(6)
    met, repeats = 0, 1500
    for _ in range(repeats):
        row = draw.chisquare(1, (1, 60)) if design == "rows" else draw.chisquare(1, (8, 60))
        one, other = (row * np.exp(draw.normal(0, 0.7, (8, 1)) + draw.normal(0, 0.3, (8, 60))) for _ in range(2))
        met += compare(arm(one), arm(other), design, offset=0.1).p <= 0.05
    assert met < 0.065 * repeats


def test_only_rows_that_judged_both_count():
    before = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    after = np.array([[0.5, np.nan, 2.0], [np.nan, 1.0, 2.5]])
    made = compare(arm(before), arm(after), "seeds")
    assert made.before == pytest.approx((2.0 + 2.5) / 2)
    assert made.effect == pytest.approx((-0.75 - 0.75) / 2)


def test_joined_seeds_of_unequal_length():
    def part(seeds, epochs):
        run = Run(
            curves={"loss": np.ones((len(seeds), epochs))},
            epoch=np.arange(epochs),
            seeds=seeds,
            outcomes=("stopped",) * len(seeds),
            kept_epoch=np.zeros(len(seeds), int),
        )
        return Arm(run, np.ones((len(seeds), 4)), 7)

    whole = joined([part((0, 1), 3), part((2,), 5)])
    assert whole.run.seeds == (0, 1, 2)
    assert whole.run.curves["loss"].shape == (3, 5)
    assert np.isnan(whole.run.curves["loss"][0, 3:]).all()
    assert (whole.steps, whole.losses.shape) == (14, (3, 4))


def test_what_went_far_astray_in_both_arms_still_tells_them_apart():
    rng = np.random.default_rng(0)
    bad, less = (arm(factor * np.exp(0.1 * rng.normal(size=(8, 3)))) for factor in (4e4, 4e2))
    made = compare(bad, less, "seeds", worst=10.0, offset=1.0)
    assert made.before == pytest.approx(10 * (1 + 0.1 * np.log10(4e3)), rel=1e-2)
    assert made.after == pytest.approx(10 * (1 + 0.1 * np.log10(4e1)), rel=1e-2)
    assert holm([made], [1.0], total=20.0)[0].better
