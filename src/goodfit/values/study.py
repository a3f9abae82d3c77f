"""`Trial` and `Study`: changes with the runs before and after, and the one look at the test rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from goodfit.values.change import Change
from goodfit.values.dataset import Dataset, Task
from goodfit.values.finding import Diagnosis
from goodfit.values.run import Run


@dataclass(frozen=True)
class Score:
    """How well one model did on one part of the rows, in one metric.

    Args:
        model: who: `network`, `linear`, `gradient boosting`, `mean` or `prior`.
        split: on which rows: `validation` or `test`.
        metric: the metric's name: `mae`, `rmse`, `r2`, `accuracy`, `log_loss`, `roc_auc`, `f1_macro`.
        value: the score, in `unit`.
        low: lower end of its 95 % bootstrap interval over the rows, where one was computed.
        high: upper end.
        unit: the target's own unit (its column's name), or `""` for a ratio.
        greater_is_better: whether more is better.
        spread: the same metric for each seed's network, in the order of the seeds.
    """

    model: str
    split: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    greater_is_better: bool = False
    spread: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Score:
        """The score that `to_dict` wrote."""
        return cls(**{**data, "spread": tuple(data.get("spread", ()))})


@dataclass(frozen=True)
class Comparison:
    """A change's effect on the endpoint, over paired seeds.

    Means are taken on the scale that seeds are compared on, which for losses is logarithmic (`improvement.compare`),
    and told in the endpoint's own unit: one seed that went astray weighs less than in a plain mean.

    Args:
        endpoint: what was compared; lower is better.
        effect: after minus before, mean over the pairs, in the endpoint's unit.
        low: lower end of its 95 % interval.
        high: upper end.
        pairs: number of pairs.
        better: whether the change is better beyond noise, the number of changes that were tried allowed for.
        before: the endpoint before the change, mean over the pairs; 0 where that is not known.
        after: and after it; likewise.
        p: how probable so low an effect or a lower one is where the change does nothing.
        adjusted_p: the same, corrected for the number of changes that were tried beside it.
        detectable: the smallest gain that would have been found in four of five such studies.
    """

    endpoint: str
    effect: float
    low: float
    high: float
    pairs: int
    better: bool
    before: float = 0.0
    after: float = 0.0
    p: float = 1.0
    adjusted_p: float = 1.0
    detectable: float = math.inf

    @property
    def gain(self) -> float:
        """The share of the endpoint before the change that it removes; negative where it adds.

        Where the endpoint is or comes below zero, the effect over the sum of both magnitudes.
        """
        if self.before > 0 and self.after >= 0:
            return -self.effect / self.before
        whole = abs(self.before) + abs(self.after)
        return -self.effect / whole if whole > 0 else math.nan

    @property
    def has_share(self) -> bool:
        """Whether the gain is a share of the endpoint: whether that has a floor at zero, as far as is seen."""
        return self.before > 0 and self.after >= 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: numbers that are none stand as text."""
        fields = dataclasses.asdict(self)
        return {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in fields.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Comparison:
        """The comparison that `to_dict` wrote."""
        read: dict[str, Any] = {}
        for name, value in data.items():
            read[name] = float(value) if isinstance(value, str) and name != "endpoint" else value
        return cls(**read)


@dataclass(frozen=True, eq=False)
class Trial:
    """One change with the run after it; the first trial of a study has no change: it is the baseline.

    Args:
        run: what happened.
        diagnosis: what that says.
        change: what was changed against the trial before, `None` for the baseline.
        comparison: with the run before, `None` for the baseline.
        kept: whether the study went on from here.
        against: the place in the study of the trial that it was compared with.
        steps: optimizer steps that it took, over all seeds.
        note: why it was kept, rejected or dropped, one sentence.
    """

    run: Run
    diagnosis: Diagnosis
    change: Change | None = None
    comparison: Comparison | None = None
    kept: bool = True
    against: int | None = None
    steps: int = 0
    note: str = ""

    def __repr__(self) -> str:
        what = "baseline" if self.change is None else self.change.label
        effect = "" if self.comparison is None else f", {self.comparison.endpoint} {self.comparison.effect:+.3g}"
        return f"<Trial {what}: {self.diagnosis.verdict}{effect}, {'kept' if self.kept else 'not kept'}>"


@dataclass(frozen=True, eq=False)
class Study:
    """The ladder of trials and the one look at the test rows at its end.

    Args:
        trials: the first is the baseline.
        task: what the target asks for.
        scores: of the network and of the baselines, on the validation rows and on the test rows.
        predictions: for the test rows: `row` (number in the table as read), `true` and `predicted` in the target's
            own units or labels, and for classes `probability` of shape (rows, classes).
        dataset: the rows, where they are at hand (not saved with the study).
        about: columns, notes, split, target, classes of the data, as plain data (saved with the study).
        name: what the study is called.
        folder: where it was saved, or `None`.
    """

    trials: tuple[Trial, ...]
    task: Task
    scores: tuple[Score, ...] = ()
    predictions: Mapping[str, np.ndarray] = field(default_factory=dict)
    dataset: Dataset | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    name: str = "study"
    folder: str | None = None

    @property
    def best(self) -> Trial:
        """The trial that the study ended with."""
        return [trial for trial in self.trials if trial.kept][-1]

    @property
    def run(self) -> Run:
        """The run that the study ended with."""
        return self.best.run

    @property
    def diagnosis(self) -> Diagnosis:
        """What that run's curves, data and setup say."""
        return self.best.diagnosis

    @property
    def test(self) -> tuple[Score, ...]:
        """The network's scores on the test rows."""
        return tuple(s for s in self.scores if s.split == "test" and s.model == "network")
