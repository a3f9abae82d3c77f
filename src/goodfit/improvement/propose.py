"""Which changes to try: those that findings ask for, most promising first, and a few that no finding asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from goodfit.values import Change, Diagnosis
from goodfit.values._json import content_hash

UNASKED = 4
"""Changes tried that no finding asked for: enough that a wrong diagnosis is found out, few beside those it asks for."""


def propose(
    diagnosis: Diagnosis,
    others: Iterable[Change] = (),
    *,
    again: Sequence[Change] = (),
    tried: Sequence[Change] = (),
    unasked: int | None = UNASKED,
) -> tuple[Change, ...]:
    """The changes to try next, in the order of the gain that is expected of them.

    Findings stand by importance and their changes by promise: first each finding's first one, then what helped before,
    then each one's second.
    Changes that edit nothing (they are for a person to do) are left out, and so is what has been tried.

    Args:
        diagnosis: what the checks say.
        others: changes that may help whatever the diagnosis.
        again: those that helped the recipe that this one was made from.
        tried: those not to propose again.
        unasked: at most so many of the others; all where `None`.

    Returns:
        changes, no two with the same edits.

    Example:
        >>> [change.name for change in propose(Diagnosis("balanced", "…"), [Change("wider", {"epochs": 2}, "", "")])]
        ['wider']
    """
    known = {edits_of(change) for change in tried}
    ranks = [
        (place, rank, change)
        for rank, finding in enumerate(diagnosis.found)
        for place, change in enumerate(c for c in finding.changes if c.edits)
    ]
    ranks.sort(key=lambda entry: entry[:2])
    first = [change for place, _, change in ranks if not place]
    asked = [*first, *again, *(change for place, _, change in ranks if place)]
    chosen: list[Change] = []
    for listed, most in ((asked, None), (others, unasked)):
        taken = 0
        for change in listed:
            if most is not None and taken >= most:
                break
            if not change.edits or edits_of(change) in known:
                continue
            known.add(edits_of(change))
            chosen.append(change)
            taken += 1
    return tuple(chosen)


def in_batches(
    diagnosis: Diagnosis, changes: Sequence[Change], unasked: int = UNASKED, again: Sequence[Change] = ()
) -> list[list[Change]]:
    """Each finding's first change, then what helped before and the others that findings ask for, then so many that none
    asks for, then the rest.

    Where one of the first mends the fault, the others are for later.

    Example:
        >>> from goodfit.values import Finding
        >>> made = [Change(name, {"epochs": number}, "", "") for number, name in enumerate(("one", "two", "three"))]
        >>> finding = Finding("unfinished", "found", "medium", "…", changes=(made[1], made[0]))
        >>> batches = in_batches(Diagnosis("unfinished", "…", (finding,)), made)
        >>> [[change.name for change in batch] for batch in batches]
        [['two'], ['one'], ['three'], []]
    """
    asked = [[edits_of(c) for c in finding.changes if c.edits] for finding in diagnosis.found]
    first = {edits[0] for edits in asked if edits}
    known = {edit for edits in asked for edit in edits} | {edits_of(change) for change in again}
    ranks = [0 if edits_of(change) in first else 1 if edits_of(change) in known else 2 for change in changes]
    batches = [[change for change, rank in zip(changes, ranks, strict=True) if rank == batch] for batch in range(3)]
    return [*batches[:2], batches[2][:unasked], batches[2][unasked:]]


def edits_of(change: Change) -> str:
    """Equal for changes that do the same, whatever they are called."""
    return content_hash(dict(change.edits))
