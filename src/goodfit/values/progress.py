"""`Progress`: how far a stage of the work has come, for a progress bar or a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One message from work under way.

    Args:
        stage: the stage's name: `read`, `split`, `baselines`, `sanity`, `train`, `diagnose`, `test`, `save`.
        text: one line that says what the stage did or does.
        done: epochs finished, 0 at the start.
        total: epochs at most; 0 where the stage has no steps to count.
        loss: mean training loss over the seeds, where there is one.
        val_loss: mean validation loss over the seeds.
        finished: the stage is over, and `text` is its result.
    """

    stage: str
    text: str = ""
    done: int = 0
    total: int = 0
    loss: float | None = None
    val_loss: float | None = None
    finished: bool = False


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report nothing."""
