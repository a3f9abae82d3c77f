"""How often two labellings of the same cases, each with its own seeds, agree: no check can be more right than that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from goodfit.lab.faults.labels import judged_again
from goodfit.lab.faults.score import Tally


def agreement(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Tally]:
    """The agreement of blocks with themselves, labelled again.

    Args:
        blocks: finished; cases that were labelled once only are left out.

    Returns:
        Over the cases: planted faults that are faults again (or again are none), healthy runs that are healthy again,
        and kept cases of which some verdict is right both times.
    """
    names = ("planted fault is a fault", "healthy is healthy", "a verdict is right both times")
    found = {name: Tally() for name in names}
    for case in (case for block in blocks for case in block["cases"]):
        twin = judged_again(case)
        if twin is None:
            continue
        if case["planted"]:
            found[names[0]].add(case["kept"] == twin["kept"])
        if case["healthy"]:
            found[names[1]].add(twin["healthy"])
        if case["kept"]:
            found[names[2]].add(bool({*case["verdicts"]} & {*twin["verdicts"]}))
    return {name: tally for name, tally in found.items() if tally.tries}
