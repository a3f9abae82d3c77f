"""The statistics that curves and comparisons are read with: noise, smoothing, slopes, intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_MAD_TO_SD = 1.4826022185056018  # 1 / Φ⁻¹(3/4): median absolute deviation of a normal variable -> standard deviation


@dataclass(frozen=True)
class Interval:
    """An estimate between two ends.

    Args:
        estimate: the point estimate.
        low: lower end of the interval.
        high: upper end.
        level: its nominal coverage, 0 to 1.
        n: independent values (rows, pairs) behind it.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether both ends lie on the same side of zero."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True)
class Slope:
    """The slope of a straight line through a curve.

    Args:
        value: change of y per unit of x.
        error: its standard error, neighbours' correlation allowed for.
    """

    value: float
    error: float

    @property
    def t(self) -> float:
        """The slope over its error; 0 where both are 0."""
        if self.error > 0.0:
            return self.value / self.error
        return 0.0 if self.value == 0.0 else math.copysign(math.inf, self.value)


def noise_sd(y: np.ndarray) -> float:
    """The standard deviation of a curve's noise, from its second differences.

    A straight line drops out of second differences, and white noise of variance s² leaves 6 s² in them; the median
    absolute deviation keeps jumps and spikes from counting. Fewer than 4 values give `nan`.

    Args:
        y: shape (n,), finite.

    Returns:
        The noise's standard deviation, in the unit of `y`.

    Example:
        >>> noise_sd(np.linspace(1.0, 0.0, 50)) < 1e-12
        True

    Source: von Neumann, Kent, Bellinson and Hart (1941), "The mean square successive difference", here of second
    order and with the median absolute deviation as Rousseeuw and Croux (1993), eq. 1.1, scale it.
    """
    if len(y) < 4:
        return math.nan
    bend = np.diff(y, n=2)
    return float(_MAD_TO_SD * np.median(np.abs(bend - np.median(bend))) / math.sqrt(6.0))


def running_median(y: np.ndarray, window: int = 5) -> np.ndarray:
    """The median over a centred window that shrinks at both ends; takes out lone spikes.

    Args:
        y: shape (n,), finite.
        window: values in the window, odd.

    Returns:
        Shape (n,).

    Example:
        >>> running_median(np.array([1.0, 1.0, 9.0, 1.0, 1.0]), 3).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    half = min(window // 2, (len(y) - 1) // 2)
    if half < 1:
        return np.array(y, dtype=np.float64)
    out = np.array(y, dtype=np.float64)
    out[half:-half] = np.median(np.lib.stride_tricks.sliding_window_view(y, 2 * half + 1), axis=1)
    for i in range(1, half):
        out[i] = np.median(y[: 2 * i + 1])
        out[-i - 1] = np.median(y[-2 * i - 1 :])
    return out


def smooth(y: np.ndarray, window: int) -> np.ndarray:
    """A straight line fitted to each window, read at its centre; at the ends the window is cut and the line still
    fitted.

    A straight line passes unchanged, also at both ends, where a moving average would lag behind.

    Args:
        y: shape (n,), finite.
        window: values in a full window; made odd, and no longer than the curve.

    Returns:
        Shape (n,).

    Example:
        >>> smooth(np.array([0.0, 1.0, 2.0, 3.0]), 3).round(12).tolist()
        [0.0, 1.0, 2.0, 3.0]

    Source: Cleveland (1979), "Robust locally weighted regression", local line with equal weights and no robustness.
    """
    y = np.asarray(y, dtype=np.float64)
    n = len(y)
    half = min(window // 2, n - 1)
    if half < 1 or n < 3:
        return y.copy()
    scale = float(np.abs(y).max()) or 1.0
    offsets = np.arange(-half, half + 1, dtype=np.float64)
    padded = np.concatenate([np.zeros(half), y / scale, np.zeros(half)])
    y_sum = np.correlate(padded, np.ones_like(offsets), "valid")
    xy_sum = np.correlate(padded, offsets, "valid")
    index = np.arange(n)
    first = -np.minimum(index, half).astype(np.float64)
    last = np.minimum(n - 1 - index, half).astype(np.float64)
    count = last - first + 1
    x_sum = (first + last) * count / 2
    xx_sum = (last * (last + 1) * (2 * last + 1) + -first * (1 - first) * (1 - 2 * first)) / 6
    spread = count * xx_sum - x_sum**2
    return scale * (xx_sum * y_sum - x_sum * xy_sum) / spread


def least_squares_slope(x: np.ndarray, y: np.ndarray) -> Slope:
    """The least-squares slope, its error widened where neighbouring residuals resemble each other.

    The textbook error is multiplied by √((1 + r) / (1 - r)), r the residuals' correlation with their neighbours (0
    where negative, at most 0.95).

    Args:
        x: shape (n,), not all equal.
        y: shape (n,), finite.

    Returns:
        Slope and standard error; the error is infinite with fewer than 3 values.

    Example:
        >>> round(least_squares_slope(np.arange(4.0), np.array([1.0, 0.5, 0.0, -0.5])).value, 12)
        -0.5

    Source: Bartlett (1935); Santer et al. (2000), J. Geophys. Res. 105, eq. 6, for the effective sample size.
    """
    n = len(x)
    if n < 2:
        return Slope(0.0, math.inf)
    dx = x - x.mean()
    dy = y - y.mean()
    spread = float(dx @ dx)
    value = float(dx @ dy) / spread
    if n < 3:
        return Slope(value, math.inf)
    residual = dy - value * dx
    power = float(residual @ residual)
    likeness = float(residual[1:] @ residual[:-1]) / power if power > 0 else 0.0
    likeness = min(max(likeness, 0.0), 0.95)
    error = math.sqrt(power / (n - 2) / spread) * math.sqrt((1 + likeness) / (1 - likeness))
    return Slope(value, error)


def theil_sen_slope(x: np.ndarray, y: np.ndarray, points: int = 200) -> float:
    """The median of the slopes between all pairs of points; up to 29 % of outliers do not move it.

    Args:
        x: shape (n,), increasing.
        y: shape (n,), finite.
        points: a longer curve is first reduced to this many by the medians of equal blocks.

    Returns:
        The slope; 0 with fewer than 2 values.

    Example:
        >>> theil_sen_slope(np.arange(5.0), np.array([0.0, 1.0, 2.0, 3.0, 100.0]))
        1.0

    Source: Sen (1968), "Estimates of the regression coefficient based on Kendall's tau".
    """
    if len(x) < 2:
        return 0.0
    if len(x) > points:
        size = len(x) // points
        start = len(x) - size * points
        x = np.median(x[start:].reshape(points, size), axis=1)
        y = np.median(y[start:].reshape(points, size), axis=1)
    i, j = np.triu_indices(len(x), k=1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


def relative_gain(before: float, after: float, chance: float) -> float:
    """How much of a loss a change removes: (before - after) / max(before, 0.1 of chance).

    Args:
        before: the loss before the change, not negative.
        after: the loss after it.
        chance: the loss of predicting the mean or the prior: below a tenth of it, differences hardly matter.

    Example:
        >>> relative_gain(0.5, 0.4, 1.0)
        0.19999999999999996
    """
    return (before - after) / max(before, 0.1 * chance)


def mean_interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """The mean of independent values with Student's t interval.

    Args:
        values: shape (n,).
        level: nominal coverage.

    Returns:
        The interval; from minus to plus infinity with fewer than 2 values.

    Example:
        >>> interval = mean_interval(np.array([1.0, 2.0, 3.0]))
        >>> round(interval.low, 3), round(interval.high, 3)
        (-0.484, 4.484)

    Source: Student (1908).
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < 2:
        return Interval(mean, -math.inf, math.inf, level, n)
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, 0.5 + level / 2)) * float(values.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, level, n)


def paired_interval(before: np.ndarray, after: np.ndarray, level: float = 0.95) -> Interval:
    """The mean of after minus before over pairs, with Student's t interval of the differences.

    Args:
        before: shape (pairs,).
        after: shape (pairs,), in the same order.
        level: nominal coverage.

    Example:
        >>> paired_interval(np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.4, 2.6])).excludes_zero
        True

    Source: Student (1908).
    """
    return mean_interval(np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64), level)


def bootstrap_interval(
    statistic: Callable[..., float],
    *rows: np.ndarray,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A statistic with its percentile interval over rows drawn again with replacement.

    Args:
        statistic: takes as many arrays as are given, gives one number; a draw where that is not finite is left out.
        rows: arrays of the same first axis, drawn together (true and predicted).
        repeats: draws.
        level: nominal coverage.
        seed: of the draws, so that the interval is the same each time.

    Returns:
        The interval around the statistic of all rows.

    Example:
        >>> interval = bootstrap_interval(np.mean, np.arange(100.0))
        >>> interval.low < 49.5 < interval.high
        True

    Source: Efron (1979); Efron and Tibshirani (1993), chapter 13.
    """
    n = len(rows[0])
    estimate = float(statistic(*rows))
    generator = np.random.default_rng(seed)
    draws = np.empty(repeats)
    for i in range(repeats):
        index = generator.integers(0, n, n)
        draws[i] = statistic(*(array[index] for array in rows))
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Interval(estimate, -math.inf, math.inf, level, n)
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(estimate, float(low), float(high), level, n)
