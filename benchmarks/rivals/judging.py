"""How answers are judged: as the lab's score judges goodfit, with several findings that an answer may stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from goodfit.lab.faults.plants import FAMILY
from goodfit.lab.faults.score import Tally, _undecided, natural


@dataclass(frozen=True)
class Answer:
    """One answer of a tool.

    Args:
        name: as the tool calls it.
        slugs: the findings that it may stand for.
        remark: it counts where it is right only.
    """

    name: str
    slugs: frozenset[str]
    remark: bool = False


@dataclass
class Line:
    """A tool's line of the table."""

    tool: str
    first: Tally = field(default_factory=Tally)
    any: Tally = field(default_factory=Tally)
    silent: Tally = field(default_factory=Tally)
    alarms: Tally = field(default_factory=Tally)
    precision: Tally = field(default_factory=Tally)
    recall: Tally = field(default_factory=Tally)
    answers: int = 0

    @property
    def per_run(self) -> float:
        """Answers for a faulty run, on average."""
        return self.answers / self.first.tries if self.first.tries else float("nan")


def true_of(case: Mapping[str, Any]) -> frozenset[str]:
    """The findings that are true of a case."""
    return frozenset(case["slugs"]) | natural(case)


def judge(line: Line, case: Mapping[str, Any], true: frozenset[str], given: Sequence[Answer]) -> None:
    """Add what a tool answered to a case.

    Args:
        line: the tool's.
        case: of the lab.
        true: findings that are.
        given: the answers, the tool's first first.
    """
    for answer in given:
        if answer.slugs & true:
            line.precision.add(True)
        elif answer.remark or (not case["healthy"] and any(_undecided(slug, case) for slug in answer.slugs)):
            continue  # the remedy of one that it may stand for was not tried
        else:
            line.precision.add(False)
    if case["healthy"]:
        line.alarms.add(any(not answer.slugs & true and not answer.remark for answer in given))
        return
    line.answers += len(given)
    line.first.add(bool(given) and bool(given[0].slugs & true))
    line.any.add(any(answer.slugs & true for answer in given))
    line.silent.add(not given)
    if case["planted"]:
        same = {case["planted"], *(set(FAMILY.get(case["planted"], ())) & true)}
        line.recall.add(any(answer.slugs & same for answer in given))
