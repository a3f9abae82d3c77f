"""Which blocks there are and in which order they are worked."""

from __future__ import annotations

from typing import Literal

from goodfit.lab.faults import sources

VARIANTS = 4
"""Healthy setups per dataset."""
CI = (("wine", 0), ("default", 0))
"""The blocks that are trained in CI."""


def names(half: Literal["scored", "calibration", "both"] = "both", subset: str = "full") -> list[tuple[str, int]]:
    """Dataset and variant of each block, so ordered that every start of the list is balanced.

    Example:
        >>> names()[:3]
        [('auto-mpg', 1), ('bikeshare', 0), ('shirts', 1)]
        >>> len(names("scored"))
        76
    """
    if subset == "ci":
        return [name for name in CI if half in ("both", sources.half(name[0]))]
    ordered: list[tuple[str, int]] = []
    for turn in range(VARIANTS):
        scored = [(name, (turn + place) % VARIANTS) for place, name in enumerate(sources.SCORED)]
        calibration = [(name, (turn + place + 1) % VARIANTS) for place, name in enumerate(sources.CALIBRATION)]
        while scored or calibration:
            ordered += calibration[:1] + scored[:2]
            calibration, scored = calibration[1:], scored[2:]
    return [name for name in ordered if half in ("both", sources.half(name[0]))]
