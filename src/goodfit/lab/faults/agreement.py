"""How often two labellings of the same cases, each with its own seeds, agree: no check can be more right than that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from goodfit.lab.faults.score import Tally


def agreement(pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Tally]:
    """The agreement of blocks with themselves, labelled again.

    Args:
        pairs: each block as it was labelled first, and again.

    Returns:
        Over the cases: planted faults that are faults again (or again are none), healthy runs that are healthy again,
        and kept cases of which some verdict is right both times.
    """
    names = ("planted fault is a fault", "healthy is healthy", "a verdict is right both times")
    found = {name: Tally() for name in names}
    for first, again in pairs:
        other = {case["name"]: case for case in again["cases"]}
        for case in first["cases"]:
            twin = other[case["name"]]
            if case["planted"]:
                found[names[0]].add(case["kept"] == twin["kept"])
            if case["healthy"]:
                found[names[1]].add(twin["healthy"])
            if case["kept"]:
                found[names[2]].add(bool({*case["verdicts"]} & {*twin["verdicts"]}))
    return {name: tally for name, tally in found.items() if tally.tries}
