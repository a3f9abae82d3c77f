"""The words and numbers that every renderer shares."""

from __future__ import annotations

import math
from typing import Literal

from goodfit.plots import ScoreTable
from goodfit.values import Evidence, Run, Score, Study, Verdict

Tone = Literal["good", "attention", "bad", "unknown"]

TONES: dict[Verdict, Tone] = {
    "balanced": "good",
    "overfitting": "attention",
    "underfitting": "attention",
    "unfinished": "attention",
    "unstable": "attention",
    "diverged": "bad",
    "not-learning": "bad",
    "insufficient-evidence": "unknown",
}
"""How good or bad each verdict is."""

MEANINGS: dict[Verdict, str] = {
    "balanced": "The network fits the training rows and does as well on rows that it has not seen.",
    "overfitting": "The network learns the training rows by heart: it gets better on them and not on others.",
    "underfitting": "The network has stopped improving and still misses what the data could tell it.",
    "unfinished": "The network was still getting better when the training ended.",
    "unstable": "The loss jumps about instead of settling.",
    "diverged": "The loss grew without bound.",
    "not-learning": "The network does no better than one that ignores its inputs.",
    "insufficient-evidence": "What was recorded is not enough to tell.",
}
"""What each verdict means, one sentence."""

MODELS = {"mean": "predicting the mean", "prior": "predicting the prior"}
"""Plain words for the models of a score, where its own name does not say it."""

TASKS = {"regression": "regression", "binary": "classification, 2 classes", "multiclass": "classification"}


def number(value: float | None, digits: int = 4) -> str:
    """A number for a person: `digits` significant ones, thousands separated by a comma.

    Example:
        >>> number(2.34567), number(12345.6), number(0.00001234), number(3.0), number(float("nan"))
        ('2.346', '12,346', '1.234e-05', '3', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0 or 1e-4 <= abs(value) < 10 ** max(digits, 4):
        text = f"{value:.{digits}g}"
    elif abs(value) < 1e9 and abs(value) >= 1:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{digits}g}"
    return text.replace("-", "−", 1) if value < 0 else text


def count(n: int, noun: str, plural: str = "") -> str:
    """A count with its noun.

    Example:
        >>> count(1, "row"), count(1234, "row"), count(2, "class", "classes")
        ('1 row', '1,234 rows', '2 classes')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def measured(value: float, unit: str, digits: int = 4) -> str:
    """A number with its unit."""
    return f"{number(value, digits)} {unit}".strip()


def threshold(evidence: Evidence) -> str:
    """Where the finding begins, in words; `""` for a number that stands for information only."""
    if evidence.threshold is None:
        return ""
    side = {">": "above", "<": "below", "": "at"}[evidence.relation]
    return f"found {side} {measured(evidence.threshold, evidence.unit, 3)}"


def model_words(name: str) -> str:
    """What a model of the score table is called."""
    return MODELS.get(name, name)


def interval(score: Score) -> str:
    """The 95 % interval of a score, `""` where there is none.

    Example:
        >>> interval(Score("network", "test", "mae", 2.0, 1.8, 2.25))
        '1.8 – 2.25'
    """
    if score.low is None or score.high is None:
        return ""
    return f"{number(score.low, 3)} – {number(score.high, 3)}"


def spread(score: Score) -> str:
    """The range over the seeds, `""` for fewer than two.

    Example:
        >>> spread(Score("network", "test", "mae", 2.0, spread=(2.0, 2.5, 1.9)))
        '1.9 – 2.5'
    """
    if len(score.spread) < 2:
        return ""
    return f"{number(min(score.spread), 3)} – {number(max(score.spread), 3)}"


def direction(table: ScoreTable) -> str:
    """Which way the metric is better."""
    return "higher is better" if table.greater_is_better else "lower is better"


def judgement(table: ScoreTable) -> str:
    """How the network stands beside the other models, one sentence; `""` without others."""
    network, best = table.scores[0], table.scores[table.best]
    if len(table.scores) < 2 or network.model != "network":
        return ""
    name = model_words(best.model).capitalize()
    if table.best == 0:
        return "The network has the best score."
    if table.within_noise:
        return f"{name} is ahead, but within the network's 95 % interval: no clear difference."
    return f"{name} is better than the network."


def title_of(thing: Study | Run) -> str:
    """The name that a report carries."""
    return thing.name or "run"


def run_of(thing: Study | Run) -> Run:
    """The run that a report shows."""
    return thing.run if isinstance(thing, Study) else thing


def loss_label(run: Run, standardized: bool) -> str:
    """The label of the loss axis: which loss it is, where that is known."""
    loss = run.recipe.loss if run.recipe else None
    name = loss if isinstance(loss, str) else loss.get("config", {}).get("name") if isinstance(loss, dict) else None
    if not name:
        return "loss"
    from goodfit.plots import metric_label

    words = metric_label(str(name)).replace("_", " ")
    return f"loss ({words}{', standardized target' if standardized else ''})"
