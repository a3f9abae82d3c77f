"""The ladder of a study: baseline, every change with its effect, what was kept, what could have been found."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING, Any

from goodfit.report import words
from goodfit.values import Comparison, Study, Trial

if TYPE_CHECKING:
    from rich.console import Console

MOST_LINES = 12
"""Trials of a ladder told one by one where there is little room."""
SPENT = "The budget is spent."
"""How a search that its budget ended says so."""


def ladder_json(study: Study) -> dict[str, Any]:
    """The ladder as plain data: what `improve --json` prints.

    Returns:
        `name`, `folder`, `endpoint`, `improved`, `gain`, `over_chance`, `steps`, `ended`, `trials` (each with `change`,
        `edits`, `kept`, `against`, `effect`, `low`, `high`, `p`, `adjusted_p`, `detectable`, `seeds`, `steps`,
        `verdict`, `note`), `refused` and `test`.
    """
    about = study.about
    return {
        "name": study.name,
        "folder": study.folder,
        "endpoint": about.get("endpoint"),
        "improved": bool(about.get("improved")),
        "gain": about.get("gain"),
        "over_chance": about.get("over_chance"),
        "steps": about.get("steps"),
        "ended": about.get("ended"),
        "trials": [_trial(trial) for trial in study.trials],
        "refused": [{"change": name, "reason": reason} for name, reason in about.get("refused") or ()],
        "test": [score.to_dict() for score in study.scores if score.split == "test"],
        "notes": list(about.get("notes") or ()),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    data: dict[str, Any] = {
        "change": None if trial.change is None else trial.change.name,
        "edits": None if trial.change is None else dict(trial.change.edits),
        "kept": trial.kept,
        "against": trial.against,
        "verdict": trial.diagnosis.verdict,
        "seeds": len(trial.run.seeds),
        "steps": trial.steps,
        "note": trial.note,
    }
    return data if trial.comparison is None else data | trial.comparison.to_dict()


def searched(study: Study) -> bool:
    """Whether changes were tried: whether the study holds a ladder, be it of the baseline alone."""
    return "ended" in study.about


def ladder_text(study: Study, width: int = 100, brief: bool = False) -> str:
    """The ladder as plain text.

    Args:
        study: that `improve` made.
        width: of the lines, in characters.
        brief: only what was kept, where much was tried, and without the look at the test rows: a report stands beside.

    Returns:
        Lines without a trailing newline.
    """
    lines = textwrap.wrap(conclusion(study), width)
    for note in study.about.get("notes") or ():
        lines += textwrap.wrap(str(note), width)
    name = str(study.about.get("endpoint", "loss"))
    lines += ["", f"{'change':<28} {'effect on ' + name:>34}  seeds   steps"]
    brief_ladder = brief and len(study.trials) > MOST_LINES
    for trial in study.trials:
        if brief_ladder and not trial.kept:
            continue
        lines.append(_line(trial))
        if trial.comparison is not None or not trial.kept:
            lines += textwrap.wrap(trial.note, width, initial_indent="    ", subsequent_indent="    ")
    if brief_ladder:
        rest = sum(not trial.kept for trial in study.trials)
        lines.append(f"  and {words.count(rest, 'change')} tried and not kept: the report tells of each")
    for change, reason in () if brief else study.about.get("refused") or ():
        lines += textwrap.wrap(f"{change}: not tried. {reason}", width, subsequent_indent="    ")
    lines += ["", *textwrap.wrap(detectable(study), width)]
    for score in study.scores:
        if score.split == "test" and not brief:
            who = "kept" if score.model == "network" else score.model
            lines.append(f"test {score.metric} of the {who} model: {_score(score)}")
    return "\n".join(line.rstrip() for line in lines).strip()


def ladder_terminal(study: Study, console: Console) -> None:
    """Print the ladder."""
    from rich.text import Text

    for line in ladder_text(study, max(console.width, 60)).splitlines():
        style = "bold green" if line.startswith("+ ") else ""
        console.print(Text(line, style), highlight=False, soft_wrap=True)
    if study.folder:
        console.print(Text.assemble(("report  ", "dim"), f"{study.folder}/report.html"), soft_wrap=True)


def conclusion(study: Study) -> str:
    """What came of the study, a few sentences."""
    about = study.about
    changes = itertools.groupby(trial.change.describe for trial in study.trials if trial.kept and trial.change)
    kept = [_repeated(text, len(list(again))) for text, again in changes]
    ended = str(about.get("ended") or "")
    baseline = study.trials[0].diagnosis.verdict.replace("-", " ")
    if not kept:
        tried = words.count(len(study.trials) - 1, "change")
        if len(study.trials) < 2:
            return f"No change was tried: the model is as it was (its verdict: {baseline}). {ended}"
        if ended == SPENT:
            return f"The budget ended before a change was proven ({tried} begun): the model stays {baseline}."
        if baseline == "balanced":
            return f"No change helps: this fit is good as it is ({tried} tried). {ended}"
        return f"No change helps ({tried} tried): the model stays as it is, and its verdict is {baseline}. {ended}"
    ended = ended.replace("No change was", "No further change was")
    verdict = study.diagnosis.verdict.replace("-", " ")
    told = "Kept: " + " ".join(kept)
    told += f" The verdict {f'was {baseline} and is {verdict}' if verdict != baseline else f'stays {verdict}'}."
    if about.get("gain"):
        gain = Comparison.from_dict(about["gain"])
        name = str(about.get("endpoint", "loss"))
        told += (
            (f" On fresh seeds that removes {words.percent(gain.gain)} of the {name}" if gain.has_share else "")
            + (f" On fresh seeds that lowers the {name}" if not gain.has_share else "")
            + f" ({words.number(gain.before)} to {words.number(gain.after)}; 95 % interval of the effect"
            f" {words.number(gain.low)} to {words.number(gain.high)}, {gain.pairs} pairs)."
        )
    if not about.get("improved"):
        told += " It is not beyond noise better than predicting the mean or the prior: don't call it improved."
    return f"{told} {ended}"


def _repeated(text: str, times: int) -> str:
    """A change that was kept several times in a row, told once."""
    return text if times == 1 else f"{text.removesuffix('.')} ({'twice' if times == 2 else f'{times} times'} over)."


def _line(trial: Trial) -> str:
    mark = "+ " if trial.kept else "  "
    name = "baseline" if trial.change is None else trial.change.label
    made = trial.comparison
    effect = "" if made is None else f"{_signed(made.effect)} [{_signed(made.low)}, {_signed(made.high)}]"
    return f"{mark}{name:<26} {effect:>34}  {len(trial.run.seeds):>5}  {trial.steps:>6}"


def _signed(value: float) -> str:
    return words.number(value, 3) if value < 0 else f"+{words.number(value, 3)}"


def detectable(study: Study) -> str:
    """How small a gain could have been found, one sentence; `""` where nothing was compared on all seeds."""
    found = [
        t.comparison
        for t in study.trials
        if t.comparison is not None and t.comparison.pairs >= len(study.trials[0].run.seeds)
    ]
    if not found:
        return ""
    smallest = sorted(found, key=lambda made: made.detectable)[(len(found) - 1) // 2]
    standardized = study.task == "regression" and study.about.get("target_scale")
    share = smallest.detectable / smallest.before if smallest.before > 0 else float("nan")
    gain = words.number(smallest.detectable, 3)
    return (
        f"The smallest gain that would have been found in four of five such studies is {gain}"
        f" ({words.percent(share)}) for half of the changes; more seeds or rows find smaller ones."
        + (" All this is in units of the standardized target." if standardized else "")
    )


def _score(score: Any) -> str:
    ends = "" if score.low is None else f" [{words.number(score.low)}, {words.number(score.high)}]"
    spread = f", mean over seeds {words.number(sum(score.spread) / len(score.spread))}" if score.spread else ""
    return f"{words.number(score.value)}{ends}{spread}"
