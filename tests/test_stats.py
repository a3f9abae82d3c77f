"""The statistics against closed forms, SciPy and NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from goodfit import stats


def test_noise_of_white_noise_on_any_straight_line():
    draw = np.random.default_rng(0)
    for slope in (0.0, -3.0):
        y = slope * np.arange(20_000) + draw.normal(0.0, 0.7, 20_000)
        assert stats.noise_sd(y) == pytest.approx(0.7, rel=0.02)


def test_noise_does_not_count_a_few_spikes():
    y = np.random.default_rng(1).normal(size=2000)
    spiked = y.copy()
    spiked[::100] += 1000.0
    assert stats.noise_sd(spiked) == pytest.approx(stats.noise_sd(y), rel=0.1)


def test_noise_needs_four_values():
    assert math.isnan(stats.noise_sd(np.zeros(3)))


@pytest.mark.parametrize(("n", "window"), [(3, 3), (10, 3), (50, 9), (50, 200), (7, 7)])
def test_smooth_is_a_straight_line_fitted_to_each_window(n, window):
    y = np.random.default_rng(n).normal(size=n)
    half = min(window // 2, n - 1)
    expected = []
    for i in range(n):
        places = np.arange(max(0, i - half), min(n, i + half + 1))
        expected.append(np.polyval(np.polyfit(places, y[places], 1), i))
    np.testing.assert_allclose(stats.smooth(y, window), expected, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2])
def test_smooth_leaves_the_shortest_curves_alone(n):
    y = np.arange(float(n)) + 1
    assert stats.smooth(y, 9).tolist() == y.tolist()


def test_smooth_keeps_numbers_of_any_size_finite():
    y = np.geomspace(1e140, 1e-140, 200)
    assert np.isfinite(stats.smooth(y, 21)).all()


def test_running_median_against_scipy():
    from scipy.ndimage import median_filter

    y = np.random.default_rng(2).normal(size=101)
    ours = stats.running_median(y, 5)
    np.testing.assert_array_equal(ours[2:-2], median_filter(y, 5)[2:-2])
    assert ours[0] == y[0]
    assert ours[1] == np.median(y[:3])


def test_least_squares_slope_against_scipy():
    draw = np.random.default_rng(3)
    x = np.arange(40.0)
    # residuals whose neighbours differ, so that the textbook error holds
    y = 0.3 * x + np.where(x % 2 == 0, 1.0, -1.0) * draw.uniform(0.5, 1.0, 40)
    expected = scipy.stats.linregress(x, y)
    ours = stats.least_squares_slope(x, y)
    assert ours.value == pytest.approx(expected.slope)
    assert ours.error == pytest.approx(expected.stderr)
    assert ours.t == pytest.approx(expected.slope / expected.stderr)


def test_least_squares_slope_is_honest_where_neighbours_resemble_each_other():
    draw = np.random.default_rng(4)
    x = np.arange(200.0)
    far, naive_far = 0, 0
    for _ in range(400):
        noise = np.zeros(200)
        for i in range(1, 200):
            noise[i] = 0.7 * noise[i - 1] + draw.normal()
        far += abs(stats.least_squares_slope(x, noise).t) > 3
        fit = scipy.stats.linregress(x, noise)
        naive_far += abs(fit.slope / fit.stderr) > 3
    assert naive_far > 60
    assert far < 20


def test_least_squares_slope_of_two_values_has_no_certainty():
    assert stats.least_squares_slope(np.array([0.0, 1.0]), np.array([1.0, 0.0])).t == 0.0
    assert stats.least_squares_slope(np.array([0.0]), np.array([1.0])).t == 0.0


def test_a_perfect_line_is_certain():
    assert stats.Slope(-1.0, 0.0).t == -math.inf
    assert stats.Slope(0.0, 0.0).t == 0.0


def test_theil_sen_against_scipy():
    draw = np.random.default_rng(5)
    x = np.sort(draw.uniform(0, 10, 60))
    y = -2.0 * x + draw.standard_t(2, 60)
    assert stats.theil_sen_slope(x, y) == pytest.approx(scipy.stats.theilslopes(y, x).slope)


def test_theil_sen_of_a_long_curve():
    x = np.arange(10_000.0)
    y = 0.01 * x + np.random.default_rng(6).normal(size=10_000)
    assert stats.theil_sen_slope(x, y) == pytest.approx(0.01, rel=0.01)


def test_paired_interval_against_scipy():
    draw = np.random.default_rng(7)
    before, after = draw.normal(1.0, 0.2, 8), draw.normal(0.9, 0.2, 8)
    ours = stats.paired_interval(before, after, level=0.9)
    expected = scipy.stats.ttest_rel(after, before).confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high))
    assert ours.estimate == pytest.approx((after - before).mean())
    assert ours.n == 8


@pytest.mark.parametrize("values", [[], [1.0]])
def test_the_interval_of_too_few_values_is_everything(values):
    interval = stats.mean_interval(np.array(values))
    assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert not interval.excludes_zero


def test_bootstrap_interval_against_the_normal_one():
    y = np.random.default_rng(8).normal(3.0, 2.0, 500)
    ours = stats.bootstrap_interval(np.mean, y, repeats=4000)
    half = 1.96 * y.std() / math.sqrt(500)
    assert ours.low == pytest.approx(y.mean() - half, abs=0.15 * half)
    assert ours.high == pytest.approx(y.mean() + half, abs=0.15 * half)
    assert ours.excludes_zero


def test_bootstrap_draws_the_rows_of_all_arrays_together_and_repeats_itself():
    true = np.arange(50.0)
    ours = stats.bootstrap_interval(lambda a, b: float(np.abs(a - b).max()), true, true + 2.0)
    assert (ours.low, ours.estimate, ours.high) == (2.0, 2.0, 2.0)
    y = np.random.default_rng(9).normal(size=30)
    assert stats.bootstrap_interval(np.median, y, seed=4) == stats.bootstrap_interval(np.median, y, seed=4)


def test_bootstrap_leaves_out_draws_without_a_number():
    rows = np.array([0, 0, 0, 1])
    ours = stats.bootstrap_interval(lambda r: 1.0 if r.any() else math.nan, rows)
    assert (ours.low, ours.high) == (1.0, 1.0)


def test_relative_gain_counts_small_losses_as_a_tenth_of_chance():
    assert stats.relative_gain(0.5, 0.25, 1.0) == 0.5
    assert stats.relative_gain(0.01, 0.005, 1.0) == pytest.approx(0.05)
