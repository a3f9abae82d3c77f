"""`Experiment`: a question of the subject with its claim as usually taught; `Result`: what came out here."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from goodfit.stats import Interval

if TYPE_CHECKING:
    from goodfit.lab.bench import Bench
    from goodfit.plots.chart import Chart

Held = Literal["held", "partly", "did not hold", "undecided"]


@dataclass(frozen=True)
class Result:
    """What an experiment measured.

    Args:
        held: whether the claim held here.
        finding: what was measured, in one or two sentences with the numbers.
        columns: of the table of numbers.
        rows: one tuple per line of it: words and numbers.
        charts: the figure.
        numbers: further measured numbers by name.
        recipes: each arm's recipe as plain data.
        seeds: members of each arm.
        epochs: epochs trained, over all arms and seeds.
        seconds: the measurement took.
    """

    held: Held
    finding: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    charts: tuple[Chart, ...]
    numbers: Mapping[str, float] = field(default_factory=dict)
    recipes: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 0
    epochs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Experiment:
    """A question of the subject.

    Args:
        name: a slug.
        order: its place in the list.
        question: one sentence.
        claim: the answer as usually taught, one sentence.
        source: where it is taught, or was first shown.
        data: what it is run on: `table` (Auto MPG, or the user's own), `images` (Fashion-MNIST), `made` (drawn,
            or the digits of scikit-learn).
        measure: runs it.
        seeds: members of each arm where no number is asked for.
        about: what is trained, one sentence.
        ahead: whether it begins with `Bench.train`, so that its programs can be compiled together with others'.
    """

    name: str
    order: int
    question: str
    claim: str
    source: str
    data: Literal["table", "images", "made"]
    measure: Callable[[Bench], Result]
    about: str
    seeds: int = 8
    ahead: bool = True


def experiments() -> tuple[Experiment, ...]:
    """All experiments in their order: each module of `goodfit.lab.experiments` has one, called `EXPERIMENT`.

    Example:
        >>> [experiment.name for experiment in experiments()][:3]
        ['underfit', 'balanced', 'overfit']
    """
    package = importlib.import_module("goodfit.lab.experiments")
    found = [
        importlib.import_module(f"{package.__name__}.{module.name}").EXPERIMENT
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return tuple(sorted(found, key=lambda experiment: experiment.order))


def judged(interval: Interval, *, claimed: Literal["less", "more"] = "less") -> Held:
    """Whether a difference lies where the claim says, beyond the noise of the seeds.

    Args:
        interval: of the paired difference.
        claimed: its sign.

    Example:
        >>> judged(Interval(-1.0, -1.5, -0.5, 0.95, 8))
        'held'
    """
    if not interval.excludes_zero or math.isnan(interval.estimate):
        return "undecided"
    return "held" if (interval.estimate < 0) == (claimed == "less") else "did not hold"


def together(parts: list[Held]) -> Held:
    """What several parts of a claim come to: all, some, or none of them held.

    Example:
        >>> together(["held", "undecided"]), together(["held", "held"]), together(["undecided", "undecided"])
        ('partly', 'held', 'undecided')
    """
    if all(part == parts[0] for part in parts):
        return parts[0]
    if "held" in parts or "partly" in parts:
        return "partly"
    return "did not hold"
