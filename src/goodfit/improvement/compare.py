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
judged on rows of one validation set; `seeds`, a function was called, which gives one number for each seed."""
LEVEL = 0.05
"""How often a study of changes that all do nothing may say that one is better."""
POWER = 0.8
"""Of the smallest detectable gain: the customary value (Cohen 1988)."""
WORST = 10.0
"""A loss over this many times chance, or none that is finite, counts as this many times chance: how far a training went
astray says nothing of a change that keeps it from going astray. The same multiple marks a run as diverged."""


@dataclass(frozen=True, eq=False)
class Arm:
    """One recipe trained on every seed.

    Args:
        run: what happened.
        losses: the endpoint on each row by the weights that were kept, shape (seeds, rows), lower is better; NaN
            where a row did not judge that seed.
        train_rows: rows that each seed was trained on.
        steps: optimizer steps taken, over all seeds.
    """

    run: Run
    losses: np.ndarray
    train_rows: int = 0
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
    return Arm(run, losses, arms[0].train_rows, sum(arm.steps for arm in arms))


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
    before: Arm, after: Arm, design: Design, *, endpoint: str = "loss", worst: float = math.inf, tried: int = 1
) -> Comparison:
    """The effect of a change on the endpoint, over the seeds that both arms have.

    Of `splits`, the variance of the mean over seeds is multiplied for the training rows that the splits share: with J
    splits of n₁ training and n₂ judging rows it is (1/J + n₂/n₁) s² (Nadeau and Bengio 2003, eq. 9). Of `rows`, seeds
    and rows are crossed, and both are samples: s² of the seeds' means over J, plus s² of the rows' means over their
    number, with the degrees of freedom of Satterthwaite (1946). Of `seeds`, it is Student's paired t-test.

    Args:
        before: an arm.
        after: the other, judged on the same rows.
        design: what varies from pair to pair.
        endpoint: what it is called.
        worst: a larger mean loss of a seed, or one that is not finite, counts as this.
        tried: number of changes that are tried beside it; the smallest detectable gain allows for them.

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
    old, new = (_bounded(arm.losses[:count], worst) for arm in (before, after))
    seeds = np.nanmean(new, axis=1) - np.nanmean(old, axis=1)
    variance, freedom = _variance(new - old, seeds, design, before.train_rows)
    effect, error = float(seeds.mean()), math.sqrt(variance)
    return Comparison(
        endpoint=endpoint,
        effect=effect,
        low=effect - _quantile(0.975, freedom) * error,
        high=effect + _quantile(0.975, freedom) * error,
        pairs=count,
        better=False,
        before=float(np.nanmean(old, axis=1).mean()),
        after=float(np.nanmean(new, axis=1).mean()),
        p=_probability(effect, error, freedom),
        detectable=(_quantile(1 - LEVEL / max(tried, 1), freedom) + _quantile(POWER, freedom)) * error,
    )


def holm(comparisons: Sequence[Comparison], tried: int | None = None) -> list[Comparison]:
    """Each comparison with its p corrected for all, and whether it is better: one of them wrongly at most at `LEVEL`.

    Args:
        comparisons: of the changes that were trained to the end.
        tried: number of all changes; those not among the comparisons count as ones that showed nothing.

    Example:
        >>> one = Comparison("loss", -1.0, -2.0, 0.0, 8, False, p=0.02)
        >>> holm([one], tried=1)[0].better, holm([one], tried=3)[0].better
        (True, False)

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    tried = tried or len(comparisons)
    order = sorted(range(len(comparisons)), key=lambda place: comparisons[place].p)
    corrected: dict[int, float] = {}
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (tried - rank) * comparisons[place].p))
        corrected[place] = highest
    return [
        dataclasses.replace(one, adjusted_p=corrected[place], better=corrected[place] <= LEVEL and one.effect < 0)
        for place, one in enumerate(comparisons)
    ]


def _bounded(losses: np.ndarray, worst: float) -> np.ndarray:
    """Losses of which no seed's mean is above `worst`; rows of a seed are scaled together."""
    losses = np.asarray(losses, dtype=np.float64)
    judged = ~np.isnan(losses) | np.isinf(losses)
    with np.errstate(invalid="ignore", over="ignore"):
        means = np.array([row[on].mean() if on.any() else np.nan for row, on in zip(losses, judged, strict=True)])
    out = losses.copy()
    for seed, mean in enumerate(means):
        if not np.isfinite(mean) or mean > worst:
            flat = worst if math.isfinite(worst) else _largest(losses)
            out[seed] = np.where(judged[seed], flat if not np.isfinite(mean) else losses[seed] * (flat / mean), np.nan)
    return out


def _largest(losses: np.ndarray) -> float:
    finite = losses[np.isfinite(losses)]
    return WORST * float(np.abs(finite).max()) if finite.size else 1.0


def _variance(differences: np.ndarray, seeds: np.ndarray, design: Design, train_rows: int) -> tuple[float, float]:
    """Variance of the mean effect, and its degrees of freedom."""
    count = len(seeds)
    of_seeds = float(seeds.var(ddof=1)) if count > 1 else 0.0
    if design == "splits":
        if count < 2:
            return math.inf, 1.0
        judging = float((~np.isnan(differences)).sum(axis=1).mean())
        return of_seeds * (1 / count + judging / max(train_rows, 1)), count - 1.0
    if design == "seeds":
        return (of_seeds / count, count - 1.0) if count > 1 else (math.inf, 1.0)
    seen = ~np.isnan(differences).all(axis=0)
    rows = np.nanmean(differences[:, seen], axis=0)
    a, b = of_seeds / count, float(rows.var(ddof=1)) / len(rows) if len(rows) > 1 else math.inf
    if not math.isfinite(b):
        return math.inf, 1.0
    total = a + b
    if count < 2 or total == 0.0:
        return total, max(len(rows) - 1.0, 1.0)
    return total, total**2 / (a**2 / (count - 1) + b**2 / (len(rows) - 1))


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
