"""The words and numbers that every renderer shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from goodfit.plots import ScoreTable, metric_label
from goodfit.values import Evidence, Run, Study, Verdict

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
    "balanced": "The network fits the training rows and holds up on rows that it has not seen.",
    "overfitting": "The network learns the training rows by heart: it gets better on them and not on others.",
    "underfitting": "The network has stopped improving and still misses what the data could tell it.",
    "unfinished": "The network was still getting better when the training ended.",
    "unstable": "The loss jumps about instead of settling.",
    "diverged": "The loss grew without bound.",
    "not-learning": "The network does no better than one that ignores its inputs.",
    "insufficient-evidence": "What was recorded is not enough to tell.",
}
"""What each verdict means, one sentence."""

MODELS = {
    "mean": "predicting the mean",
    "prior": "predicting the prior",
    "network before": "the network before the changes",
}
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


def percent(share: float) -> str:
    """A share in whole percent.

    Example:
        >>> percent(0.256), percent(float("nan"))
        ('26 %', '–')
    """
    return "–" if math.isnan(share) else f"{share:.0%}".replace("%", " %")


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
    side = {">": "above", ">=": "at or above", "<": "below", "": "at"}[evidence.relation]
    return f"found {side} {measured(evidence.threshold, evidence.unit, 3)}"


def model_words(name: str) -> str:
    """What a model of the score table is called."""
    return MODELS.get(name, name)


@dataclass(frozen=True)
class ScoreLine:
    """One model's line of a score table, in words: all numbers of a table have the same decimals."""

    model: str
    value: str
    interval: str
    seeds: str
    best: bool


def score_lines(table: ScoreTable, to: str = " – ") -> tuple[ScoreLine, ...]:
    """The lines of a score table, to be shown as they are.

    Args:
        table: scores of all models in one metric.
        to: what stands between the two ends of an interval.

    Example:
        >>> from goodfit.plots import score_tables
        >>> from goodfit.values import Score
        >>> scores = (Score("network", "test", "mae", 2.0, 1.8, 2.25), Score("mean", "test", "mae", 6.01))
        >>> table = score_tables(Study((), "regression", scores))[0]
        >>> [(line.model, line.value, line.interval, line.best) for line in score_lines(table)]
        [('network', '2.000', '1.80 – 2.25', True), ('mean', '6.010', '', False)]
    """
    places = decimals(table.scores[0].value)
    best = fixed(table.scores[table.best].value, places)

    def ends(low: float | None, high: float | None) -> str:
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            return ""
        return f"{fixed(low, max(places - 1, 0))}{to}{fixed(high, max(places - 1, 0))}"

    return tuple(
        ScoreLine(
            model=score.model,
            value=fixed(score.value, places),
            interval=ends(score.low, score.high),
            seeds=ends(min(score.spread), max(score.spread)) if len(score.spread) > 1 else "",
            best=fixed(score.value, places) == best and len(table.scores) > 1,  # of one there is no best
        )
        for score in table.scores
    )


def decimals(value: float) -> int:
    """Decimals that show four significant digits of a number.

    Example:
        >>> decimals(2.34567), decimals(0.0123), decimals(98765.4)
        (3, 5, 0)
    """
    if not math.isfinite(value) or value == 0:
        return 3
    return min(max(3 - math.floor(math.log10(abs(value))), 0), 8)


def fixed(value: float, places: int) -> str:
    """A number with that many decimals; one too large for them as `number` has it.

    Example:
        >>> fixed(6.0, 3), fixed(-0.0001, 3), fixed(1.5e12, 3)
        ('6.000', '0.000', '1.5e+12')
    """
    if not math.isfinite(value) or abs(value) >= 1e9:
        return number(value)
    text = f"{value:,.{places}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", "−")


def direction(table: ScoreTable) -> str:
    """Which way the metric is better."""
    return "higher is better" if table.greater_is_better else "lower is better"


def judgement(table: ScoreTable) -> str:
    """How the network stands beside the other models, one sentence; `""` without others."""
    network, best = table.scores[0], table.scores[table.best]
    if len(table.scores) < 2 or network.model != "network":
        return ""
    name = model_words(best.model).capitalize()
    same = [line for line in score_lines(table) if line.best]
    if len(same) > 1 and same[0].model == "network" and math.isfinite(best.value):
        return f"The network and {model_words(same[1].model)} have the same score."
    if network.low is None and math.isfinite(network.value):
        ahead = "The network has the best score" if table.best == 0 else f"{name} is ahead"
        return f"{ahead}, without an interval to judge the difference by."
    noise = ", but within the network's 95 % interval: no clear difference."
    if table.best == 0:
        return "The network has the best score" + (
            ", but the next one lies within its 95 % interval: no clear difference." if table.within_noise else "."
        )
    return f"{name} is ahead{noise}" if table.within_noise else f"{name} is better than the network."


def title_of(thing: Study | Run) -> str:
    """The name that a report carries."""
    return thing.name or "run"


def run_of(thing: Study | Run) -> Run:
    """The run that a report shows."""
    return thing.run if isinstance(thing, Study) else thing


def saved_seed(run: Run) -> tuple[int, float] | None:
    """Seed and kept epoch of the network with the lowest validation loss, `None` where that is not known."""
    if run.kept_epoch is None or "val_loss" not in run.curves:
        return None
    kept = [(row, int(index)) for row, index in enumerate(run.kept_epoch) if 0 <= index < len(run.epoch)]
    losses = [float(run.curves["val_loss"][row, index]) for row, index in kept]
    finite = [(loss, row, index) for loss, (row, index) in zip(losses, kept) if math.isfinite(loss)]
    if not finite:
        return None
    _, row, index = min(finite)
    return run.seeds[row], float(run.epoch[index])


def loss_label(run: Run, standardized: bool) -> str:
    """The label of the loss axis: which loss it is, where that is known."""
    loss = run.recipe.loss if run.recipe else None
    name = loss if isinstance(loss, str) else loss.get("config", {}).get("name") if isinstance(loss, dict) else None
    if not name:
        return "loss"
    words = metric_label(str(name)).replace("_", " ")
    return f"loss ({words}{', standardized target' if standardized else ''})"
