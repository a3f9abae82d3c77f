"""What is known of the changes of a round: the share of the level that each has, and what its looks said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from goodfit.values import Comparison


@dataclass(eq=False)
class Looks:
    """What is known of the changes of a round.

    Args:
        weights: of each that may be trained, by place: its share of the level.
        finished: places of those that were trained to the end.
        compared: with the baseline, at the last look.
        worth: places of those that are better beyond noise at the last look, and worth it.
        promising: of those that are at a laxer level, at the last look that each had.
    """

    weights: dict[int, float]
    finished: list[int] = field(default_factory=list)
    compared: dict[int, Comparison] = field(default_factory=dict)
    worth: list[int] = field(default_factory=list)
    promising: list[int] = field(default_factory=list)


def weights_of(asked: Sequence[bool]) -> list[float]:
    """What share of the level each change is tested at: the first that a finding asks for has as much as all others.

    Example:
        >>> weights_of([True, True, False]), weights_of([False, False])
        ([2.0, 1.0, 1.0], [1.0, 1.0])
    """
    weights = [1.0] * len(asked)
    if True in asked and len(asked) > 1:
        weights[asked.index(True)] = len(asked) - 1.0
    return weights


def note_of(made: Comparison, kept: bool, worth: bool, finished: bool, seeds: int, useless: bool) -> str:
    """What became of a change, one sentence."""
    if not finished:
        return f"Dropped after {seeds} seeds: no better so far." if made.effect >= 0 else "The budget ended before it."
    does = (
        f"removes {made.gain:.1%} of the {made.endpoint}"
        if made.has_share
        else f"takes the {made.endpoint} from {made.before:.4g} to {made.after:.4g}"
    )
    if kept:
        return f"Promising: {does}."
    if worth:
        other = (
            "no change comes below chance yet, and another was asked for first"
            if useless
            else "another change removes more"
        )
        return f"{does[0].upper()}{does[1:]}; {other}."
    if made.better:
        return f"{does[0].upper()}{does[1:]}: too little to be worth a change."
    if made.low > 0:
        return f"Worse: {does if not made.has_share else f'adds {-made.gain:.1%} to the {made.endpoint}'}."
    return "Not better beyond noise."
