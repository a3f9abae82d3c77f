"""The page of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import autotrainer_rules
import sagemaker_rules
import umlaut_rules
from judging import Line
from meanings import GOODFIT, MEANINGS

from goodfit.lab.faults.score import Tally

_SEEN = {
    "curves": "From `loss` and `val_loss` alone",
    "signals": "From these and samples of the layers",
    "rows": "From these, the network and its training rows",
}
_GIVEN = {
    "curves": "",
    "signals": "Gradients, weights, updates and activations of each layer at up to 12 moments, and to runmedic and "
    "gradsnitch the learning rate; goodfit is not given the recipe. What these two have of rules of gradients asks for "
    "10 to 40 logged values, and hardly ever applies to so few.",
    "rows": "goodfit is given recipe and rows and no baselines. What UMLAUT asks of inputs (−1 to 1) standardized ones "
    "never meet, so it is scored without that rule as well.",
}
_MEASURES = (
    ("first", True),
    ("any", True),
    ("silent", False),
    ("alarms", False),
    ("precision", True),
    ("recall", True),
)
_NAMES = {
    "first": "first answer right",
    "any": "any answer right",
    "silent": "silent on faulty runs",
    "alarms": "alarms on healthy runs",
    "precision": "precision",
    "recall": "recall",
}
_RULES = {
    "SageMaker Debugger": sagemaker_rules,
    "AutoTrainer": autotrainer_rules,
    "UMLAUT": umlaut_rules,
}
_GENEROUS = "goodfit, read as generously"
_NO_TOOL = ("one answer for all",)


def page(
    tables: Mapping[str, Sequence[Line]],
    versions: Mapping[str, str],
    *,
    command: str,
    half: str,
    where: str,
    blocks: int,
    constant: str,
) -> str:
    """The whole page.

    Args:
        tables: for each view its lines.
        versions: of what ran.
        command: that made it.
        half: of the lab that was scored.
        where: the cases are from.
        blocks: they are of.
        constant: the finding that is answered to every run, for comparison.
    """
    lines = [
        "# Other tools on the same runs",
        "",
        f"Made by `{command}` from {where} of the fault lab, the {half} half: {blocks} blocks (a dataset and a healthy "
        "setup each). "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ". Nothing is trained; "
        "what is true of a run was found by what mends it on five seeds (`docs/faults.md`). Intervals are Wilson's at "
        "95 %.",
        "",
        *_in_words(tables),
        "",
        "An answer of another tool is right where any finding is true that it may stand for (the list below; generous "
        "on purpose: also what its explanation or advice names). A finding of goodfit stands for itself alone; the "
        f"line “{_GENEROUS}” treats it as the others are. Remarks (severity `info`) count where they are right and "
        "cost nothing where they are not. Precision leaves out answers whose remedy the lab has not tried on that run. "
        "Recall is of the planted faults, under any name of the cause. The logs hold one value an epoch, as Keras's "
        "history does: rules made for logs of every step may do better on those. “One answer for all” says "
        f"`{constant}` of every run, the finding that is true most often in the other half: so much of “first answer "
        "right” is had for nothing.",
    ]
    for view, found in tables.items():
        lines += ["", f"## {_SEEN[view]}", ""]
        lines += [f"{found[0].first.tries} faulty and {found[0].alarms.tries} healthy runs. {_GIVEN[view]}".strip(), ""]
        lines += ["| tool | " + " | ".join(_NAMES.values()) + " | answers to a faulty run |"]
        lines += ["|" + "---|" * (len(_NAMES) + 2)]
        order = sorted(found, key=lambda line: (line.tool in _NO_TOOL, -line.first.share))
        for line in order:
            cells = [_cell(getattr(line, name)) for name in _NAMES]
            lines.append(f"| {line.tool} | " + " | ".join(cells) + f" | {line.per_run:.1f} |")
    return "\n".join([*lines, "", *_restated(), "", *_meanings()]) + "\n"


def _in_words(tables: Mapping[str, Sequence[Line]]) -> list[str]:
    """What the tables say: goodfit beside the best of the others, and everything that one of them does better."""
    sentences = []
    for view, found in tables.items():
        own = next(line for line in found if line.tool == "goodfit")
        others = [line for line in found if line.tool not in ("goodfit", _GENEROUS, *_NO_TOOL)]
        best = max(others, key=lambda line: line.first.share)
        sentences.append(
            f"{_SEEN[view]}, goodfit's first answer is right in {own.first.share:.0%} of the faulty runs with a false "
            f"alarm on {own.alarms.share:.0%} of the healthy ones; the best of the others, {best.tool}, in "
            f"{best.first.share:.0%} with alarms on {best.alarms.share:.0%}."
        )
        better = [_better(name, more, own, others) for name, more in _MEASURES]
        told = "; ".join(text for text in better if text)
        sentences.append(f"Better than goodfit there: {told or 'none in anything'}.")
    return ["- " + " ".join(sentences[i : i + 2]) for i in range(0, len(sentences), 2)]


def _better(name: str, more: bool, own: Line, others: Sequence[Line]) -> str:
    mine = getattr(own, name).share
    theirs = [(line.tool, getattr(line, name)) for line in others]
    ahead = [
        f"{tool} ({tally.share:.0%})" for tool, tally in theirs
        if tally.tries and round(tally.share, 2) != round(mine, 2) and (tally.share > mine) is more
    ]  # fmt: skip
    return f"{_NAMES[name]} ({mine:.0%}): {', '.join(ahead)}" if ahead else ""


def _cell(tally: Tally) -> str:
    if not tally.tries:
        return "–"
    low, high = tally.interval()
    return f"{tally.share:.0%} ({low:.0%}–{high:.0%})"


def _restated() -> list[str]:
    lines = ["## The re-stated rules"]
    for tool, module in _RULES.items():
        text = " ".join((module.__doc__ or "").split())
        lines += ["", f"**{tool}.** {text}", "", "| rule | fires at |", "|---|---|"]
        lines += [f"| {rule.name} | {rule.definition} |" for rule in module.RULES]
        lines += [f"| {name} | left out: {why} |" for name, why in module.LEFT_OUT.items()]
    return lines


def _meanings() -> list[str]:
    lines = ["## What each answer may stand for", "", "| tool | answer | findings |", "|---|---|---|"]
    for tool, known in {**MEANINGS, _GENEROUS: GOODFIT}.items():
        lines += [f"| {tool} | {name} | {', '.join(dict.fromkeys(slugs))} |" for name, slugs in known.items()]
    return lines
