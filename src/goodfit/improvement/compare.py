"""Two arms of a study compared over paired seeds, honest about which rows they were judged on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from goodfit.values import Comparison, Run

Design = Literal["splits", "rows", "seeds"]
"""What varies from pair to pair: `splits`, each seed has a division of the rows of its own; `rows`, all seeds are
judged on rows of one validation set (the two are compared alike); `seeds`, a function was called, which gives one
number for each seed."""
LEVEL = 0.05
"""How often a study of changes that all do nothing may say that one is better."""
POWER = 0.8
"""Of the smallest detectable gain: the customary value (Cohen 1988)."""
WORST = 10.0
"""A loss over this many times chance counts as little more than this many times chance: how far a training went astray
says little of a change that keeps it from going astray. The same multiple marks a run as diverged."""
TAIL, DECADES = 0.1, 6.0
"""What a loss over the worst one counts as: the worst, and this share of it for each power of ten beyond, up to so many
of them (and so where it is not finite). So two faults at once, each of which leads that far astray by itself, can be
mended one after the other."""
_SWEEPS = 20
"""Of the additive fit of seeds and rows, where rows judge some of the seeds: it has converged long before."""


@dataclass(frozen=True, eq=False)
class Arm:
    """One recipe trained on every seed.

    Args:
        run: what happened.
        losses: the endpoint on each row by the weights that were kept, shape (seeds, rows), lower is better; NaN
            where a row did not judge that seed.
        steps: optimizer steps taken, over all seeds.
    """

    run: Run
    losses: np.ndarray
    steps: int = 0

    @property
    def interrupted(self) -> bool:
        """Whether the user ended it before its time."""
        return self.run.outcome == "interrupted"


def joined(arms: Sequence[Arm]) -> Arm:
    """The seeds of several arms of one recipe as one arm."""
    if len(arms) == 1:
        return arms[0]
    runs = [arm.run for arm in arms]
    length = max(len(run.epoch) for run in runs)

    def longer(values: np.ndarray) -> np.ndarray:
        return np.pad(values, ((0, 0), (0, length - values.shape[1])), constant_values=np.nan)

    kept = [run.kept_epoch for run in runs]
    run = dataclasses.replace(
        runs[0],
        curves={name: np.concatenate([longer(run.curves[name]) for run in runs]) for name in runs[0].curves},
        epoch=max((run.epoch for run in runs), key=len),
        seeds=tuple(seed for run in runs for seed in run.seeds),
        outcomes=tuple(outcome for run in runs for outcome in run.outcomes),
        kept_epoch=None if any(k is None for k in kept) else np.concatenate([k for k in kept if k is not None]),
        **_signals(runs),
    )
    losses = np.concatenate([arm.losses for arm in arms])
    return Arm(run, losses, sum(arm.steps for arm in arms))


def _signals(runs: Sequence[Run]) -> dict[str, Any]:
    """The signals of the seeds of several runs; none where not all runs have those of the same layers."""
    first = runs[0]
    if not first.signals or any(run.signal_layers != first.signal_layers or not run.signals for run in runs):
        return {"signals": {}, "signal_layers": (), "signal_epochs": np.zeros(0)}
    epochs = sorted({float(epoch) for run in runs for epoch in run.signal_epochs})
    values = {}
    for name in first.signals:
        values[name] = np.full((sum(len(run.seeds) for run in runs), len(epochs), len(first.signal_layers)), np.nan)
        start = 0
        for run in runs:
            places = [epochs.index(float(epoch)) for epoch in run.signal_epochs]
            values[name][start : start + len(run.seeds), places] = run.signals[name]
            start += len(run.seeds)
    return {"signals": values, "signal_layers": first.signal_layers, "signal_epochs": np.array(epochs)}


def compare(
    before: Arm,
    after: Arm,
    design: Design,
    *,
    endpoint: str = "loss",
    worst: float = math.inf,
    offset: float | None = None,
    level: float = LEVEL,
    as_if: float = 1.0,
) -> Comparison:
    """The effect of a change on the endpoint, over the seeds that both arms have and the rows that judged both.

    Losses have long tails: one seed in eight that ends at three times the others' loss hides from a t-test what the
    other seven agree on. So, where `offset` is given, the seeds' means are compared as log(loss + offset), which takes
    ratios of losses well above the offset and differences of those well below it (Box and Cox 1964, eq. 2, λ₁ = 0, λ₂
    the offset). What is told is in the endpoint's own unit again, at the baseline's mean on that scale. The rows' part
    of the variance is that of their influence on it (delta method).

    Seeds and rows are crossed, and both are samples: the variance is s² of the seeds' means over their number, plus s²
    of the rows' means over theirs, less what both of them contain, the part that seed and row have in common (Cameron,
    Gelbach and Miller 2011, eq. 2.9; that part from the residuals of the additive fit), with the degrees of freedom of
    Satterthwaite (1946). Where each seed divides the
    rows anew, rows judge for several seeds, and it is the second part that says what they share; the corrected
    resampled t-test (Nadeau and Bengio 2003, eq. 9) takes that share to be the judging rows' among all, whatever the
    seeds alone scatter, and finds far less at the same rate of wrong claims (`tests/improvement/test_compare.py` has
    both side by side). The rows that train are taken as they are: it is these that the model is trained on in the end.
    Of `seeds`, it is Student's paired t-test.

    Args:
        before: an arm.
        after: the other, judged on the same rows.
        design: what varies from pair to pair.
        endpoint: what it is called.
        worst: a larger mean loss of a seed, or one that is not finite, counts as little more (see `TAIL`); where it is
            infinite, one that is not finite counts as `WORST` times the largest of both arms.
        offset: of the logarithm, in the endpoint's unit, above zero; `None` compares plain differences.
        level: of the test in which the smallest detectable gain is to be found.
        as_if: times as many seeds, all that was seen being as it is: what more of them would tell.

    Returns:
        the comparison, not yet corrected for the number of changes tried: see `holm`.

    Example:
        >>> run = Run.from_history({"loss": [1.0]}, seeds=(0,))
        >>> run = dataclasses.replace(run, curves={}, seeds=(0, 1, 2), outcomes=("finished",) * 3)
        >>> one, other = (Arm(run, np.array([[1.0], [1.1], [0.9]]) - gain) for gain in (0.0, 0.5))
        >>> compare(one, other, "seeds").effect
        -0.5
    """
    count = min(len(before.losses), len(after.losses))
    scale = _Scale(offset)
    both = ~np.isnan(before.losses[:count]) & ~np.isnan(after.losses[:count])
    judged = [np.where(both, arm.losses[:count], np.nan) for arm in (before, after)]
    most = worst * (1 + TAIL * DECADES) if math.isfinite(worst) else _largest(np.concatenate(judged))  # of both arms
    (old, old_rows), (new, new_rows) = (scale.taken(_bounded(losses, worst, most)) for losses in judged)
    variance, freedom = _variance(new_rows - old_rows, new - old, design, as_if)
    effect, error = float((new - old).mean()), math.sqrt(variance)
    reach = _quantile(0.975, freedom) * error
    start = float(old.mean())
    return Comparison(
        endpoint=endpoint,
        effect=scale.told(start, effect),
        low=scale.told(start, effect - reach),
        high=scale.told(start, effect + reach),
        pairs=count,
        better=False,
        before=scale.back(start),
        after=scale.back(start + effect),
        p=_probability(effect, error, freedom),
        detectable=-scale.told(start, -(_quantile(1 - level, freedom) + _quantile(POWER, freedom)) * error)
        if math.isfinite(error)
        else math.inf,
    )


@dataclass(frozen=True)
class _Scale:
    """On which the losses of seeds are compared: their own, or the logarithm of them and an offset."""

    offset: float | None

    def taken(self, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each seed's mean on this scale, and each row's share in it: rows whose mean over a seed is the seed's."""
        means = np.nanmean(losses, axis=1)
        if self.offset is None:
            return means, losses
        above = np.maximum(means, 0.0) + self.offset
        return np.log(above), np.log(above)[:, None] + (losses - means[:, None]) / above[:, None]

    def back(self, value: float) -> float:
        """A mean on this scale in the endpoint's unit."""
        if self.offset is None:
            return value
        with np.errstate(over="ignore"):
            return float(np.exp(value)) - self.offset

    def told(self, start: float, effect: float) -> float:
        """In the endpoint's unit, what an effect on this scale makes of a mean there."""
        return effect if self.offset is None else self.back(start + effect) - self.back(start)


def holm(
    comparisons: Sequence[Comparison], weights: Sequence[float], total: float, share: float = 1.0
) -> list[Comparison]:
    """Each comparison with its p corrected for all, and whether it is better: one of them wrongly at most at `LEVEL`.

    Weights, fixed before anything was trained, say what share of that level each change is tested at: what the
    diagnosis puts first need not pay for all that is tried beside it.

    Args:
        comparisons: of the changes that were trained to the end.
        weights: of each of them, above zero; with equal ones it is Holm's own procedure.
        total: weight of all changes; those not among the comparisons count as ones that showed nothing.
        share: of the level, for this one of several looks at them.

    Example:
        >>> one = Comparison("loss", -1.0, -2.0, 0.0, 8, False, p=0.02)
        >>> holm([one], [1.0], total=1.0)[0].better, holm([one], [1.0], total=3.0)[0].better
        (True, False)
        >>> holm([one], [2.0], total=4.0)[0].better  # half of the level is its own
        True

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", section 4 for the weights.
    """
    order = sorted(range(len(comparisons)), key=lambda place: comparisons[place].p / weights[place])
    corrected: dict[int, float] = {}
    highest, left = 0.0, total
    for place in order:
        highest = max(highest, min(1.0, left * comparisons[place].p / weights[place] / share))
        corrected[place] = highest
        left -= weights[place]
    return [
        dataclasses.replace(one, adjusted_p=corrected[place], better=corrected[place] <= LEVEL and one.effect < 0)
        for place, one in enumerate(comparisons)
    ]


def _bounded(losses: np.ndarray, worst: float, most: float) -> np.ndarray:
    """Losses of which no seed's mean is far above `worst`, and none above `most`; rows of a seed are scaled together.

    Example:
        >>> _bounded(np.array([[2.0], [1e3], [np.inf]]), 10.0, 16.0).ravel().tolist()
        [2.0, 12.0, 16.0]
    """
    losses = np.asarray(losses, dtype=np.float64)
    judged = ~np.isnan(losses) | np.isinf(losses)
    with np.errstate(invalid="ignore", over="ignore"):
        means = np.array([row[on].mean() if on.any() else np.nan for row, on in zip(losses, judged, strict=True)])
    out = losses.copy()
    for seed, mean in enumerate(means):
        if not np.isfinite(mean):
            out[seed] = np.where(judged[seed], most, np.nan)
        elif mean > worst:
            counts = min(worst * (1 + TAIL * math.log10(mean / worst)), most)
            out[seed] = np.where(judged[seed], losses[seed] * (counts / mean), np.nan)
    return out


def _largest(losses: np.ndarray) -> float:
    finite = losses[np.isfinite(losses)]
    return WORST * float(np.abs(finite).max()) if finite.size else 1.0


def _variance(differences: np.ndarray, seeds: np.ndarray, design: Design, as_if: float) -> tuple[float, float]:
    """Variance of the mean effect, and its degrees of freedom, of `as_if` times as many seeds."""
    count = len(seeds)
    if design == "splits" and count < 2:  # another division would give another model
        return math.inf, 1.0
    of_seeds = float(seeds.var(ddof=1)) / count / as_if if count > 1 else 0.0
    if design == "seeds":
        return (of_seeds, count * as_if - 1.0) if count > 1 else (math.inf, 1.0)
    seen = differences[:, ~np.isnan(differences).all(axis=0)]
    rows = np.nanmean(seen, axis=0)
    if len(rows) < 2:
        return math.inf, 1.0
    of_rows, shared = float(rows.var(ddof=1)) / len(rows), 0.0
    if count > 1:
        shared = _interaction(seen)
        of_rows, shared = max(of_rows - shared, 0.0), shared / as_if
    total = max(of_seeds + of_rows, shared)
    if count < 2 or total == 0.0:
        return total, max(len(rows) - 1.0, 1.0)
    return total, total**2 / ((total - of_rows) ** 2 / (count * as_if - 1) + of_rows**2 / (len(rows) - 1))


def _interaction(differences: np.ndarray) -> float:
    """What seed and row have in common, as a part of the variance of the mean: that of the residuals of the additive
    fit of seeds and rows, over the number of differences.

    Example:
        >>> round(_interaction(np.add.outer([1.0, 2.0], [0.0, 3.0, 5.0])), 12)
        0.0
    """
    there = ~np.isnan(differences)
    count, (seeds, rows) = int(there.sum()), differences.shape
    freedom = count - seeds - rows + 1
    if freedom <= 0:
        return 0.0
    left = np.where(there, differences - np.nanmean(differences), 0.0)
    per_seed, per_row = (np.maximum(there.sum(axis=axis, keepdims=True), 1) for axis in (1, 0))
    for _ in range(_SWEEPS):  # one suffices where every row judges every seed
        left = np.where(there, left - left.sum(axis=1, keepdims=True) / per_seed, 0.0)
        left = np.where(there, left - left.sum(axis=0, keepdims=True) / per_row, 0.0)
    return float((left**2).sum()) / freedom / count


def _quantile(level: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))


def _probability(effect: float, error: float, freedom: float) -> float:
    """How probable so low an effect is where there is none."""
    if not math.isfinite(error):
        return 1.0
    if error == 0.0:
        return 0.0 if effect < 0 else 1.0
    from scipy.special import stdtr

    return float(stdtr(freedom, effect / error))
