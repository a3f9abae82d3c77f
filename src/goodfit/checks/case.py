"""`Case`: what a check looks at; `check`: what makes a function a check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from goodfit.checks.reading import Reading, read
from goodfit.values import Change, Dataset, Evidence, Finding, Run, Severity


@dataclass(frozen=True, eq=False)
class Case:
    """What a check looks at.

    Args:
        run: what happened.
        dataset: the rows it was trained on, where they are at hand.
        chance: what stands for the loss of chance where that was not measured; found in the curves where `None`.
    """

    run: Run
    dataset: Dataset | None = None
    chance: float | None = None

    @cached_property
    def reading(self) -> Reading:
        """The run's loss curves, read once for all checks."""
        return read(self.run, self.chance)

    @property
    def training_chance(self) -> float | None:
        """The measured loss of chance on the training rows, which their losses are read against; on the validation rows
        where that alone is known. They differ where a few rows make up most of the target's variance."""
        known = self.run.measurements
        chance = known.get("train_chance_loss", known.get("chance_loss"))
        return None if chance is None else float(chance)


@dataclass(frozen=True)
class Check:
    """A check: calling it with a case gives its finding.

    Args:
        slug: the finding's name.
        function: gives the finding of a case.
        explains: slugs of findings that this one is the root of, where both are found.
    """

    slug: str
    function: Callable[[Case], Finding]
    explains: tuple[str, ...] = ()

    def __call__(self, case: Case) -> Finding:
        return self.function(case)


def check(slug: str, *, explains: Iterable[str] = ()) -> Callable[[Callable[[Case], Finding]], Check]:
    """Make a function of a module of this package the check of that slug.

    Args:
        slug: the finding's name, one of the design's.
        explains: slugs of symptoms that this finding is the root of: it is put before them.

    Example:
        >>> @check("no-validation")
        ... def no_validation(case):
        ...     return clear("no-validation", "There is a validation loss.")
        >>> no_validation(Case(Run.from_history({"loss": [1.0]}))).status
        'clear'
    """

    def decorate(function: Callable[[Case], Finding]) -> Check:
        return Check(slug, function, tuple(explains))

    return decorate


def found(
    slug: str, severity: Severity, message: str, evidence: Iterable[Evidence] = (), changes: Iterable[Change] = ()
) -> Finding:
    """A finding of status `found`."""
    return Finding(slug, "found", message, severity, tuple(evidence), tuple(changes))


def clear(slug: str, message: str, evidence: Iterable[Evidence] = ()) -> Finding:
    """A finding of status `clear`: looked, and not there."""
    return Finding(slug, "clear", message, "none", tuple(evidence))


def not_applicable(slug: str, reason: str) -> Finding:
    """A finding of status `not-applicable`: could not look, because."""
    return Finding(slug, "not-applicable", reason)
