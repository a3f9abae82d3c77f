"""What a search may cost."""

from __future__ import annotations

import re
from dataclasses import dataclass

from goodfit.errors import InputError


@dataclass(frozen=True)
class Budget:
    """What a search may cost.

    Args:
        steps: optimizer steps over all trials and seeds; no limit where `None`. The same budget gives the same study.
        seconds: no trial is begun after so many; where the search ends then depends on the machine.

    Example:
        >>> Budget.of("2m"), Budget.of(50_000)
        (Budget(steps=None, seconds=120.0), Budget(steps=50000, seconds=None))
    """

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, given: int | str | None) -> Budget:
        """A number of steps, or a time such as `60s`, `5m`, `1h`; `InputError` for anything else."""
        if given is None:
            return cls()
        text = str(given).strip().lower()
        if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h)", text):
            seconds = float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
            if seconds > 0:
                return cls(seconds=seconds)
        if re.fullmatch(r"\d+", text) and int(text) > 0:
            return cls(steps=int(text))
        raise InputError(
            f"the budget is {given!r}.", "Give optimizer steps, such as 200000, or a time, such as 60s or 5m."
        )

    @property
    def limited(self) -> bool:
        """Whether it ends at all."""
        return self.steps is not None or self.seconds is not None

    def check(self, arm: int) -> None:
        """`InputError` where it doesn't suffice for baseline, one change, and both again on fresh seeds.

        Args:
            arm: optimizer steps of the baseline on all seeds, at most.
        """
        if self.steps is not None and self.steps < 4 * arm:
            raise InputError(
                f"a budget of {self.steps:,} steps doesn't suffice for baseline, change and fresh seeds.",
                f"Give at least {4 * arm:,} steps, or fewer seeds or epochs.",
            )


UNLIMITED = Budget()
"""As many steps and as much time as it takes."""
