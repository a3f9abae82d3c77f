"""What a search found: its trials, the recipe that it ended with, and the proof on fresh seeds."""

from __future__ import annotations

from dataclasses import dataclass

from goodfit.improvement.compare import Arm
from goodfit.values import Change, Comparison, Recipe, Trial


@dataclass(frozen=True, eq=False)
class Ladder:
    """What a search found.

    Args:
        trials: the first is the baseline; then all changes that were trained, in their order.
        recipes: of each trial.
        refused: changes that could not be applied or trained, each with the reason.
        gain: the kept recipe against the baseline on seeds that had no part in choosing it; `None` where nothing was
            kept, or the budget did not reach.
        over_chance: the kept recipe against predicting the mean or the prior; `None` where chance is not known.
        ended: why the search ended, one sentence.
        steps: optimizer steps, over all trials and seeds.
        fresh: the arms of baseline and kept recipe on the fresh seeds.
        arms: of each trial.
        interrupted: whether the user ended it.
    """

    trials: tuple[Trial, ...]
    recipes: tuple[Recipe, ...]
    refused: tuple[tuple[Change, str], ...] = ()
    gain: Comparison | None = None
    over_chance: Comparison | None = None
    ended: str = ""
    steps: int = 0
    fresh: tuple[Arm, Arm] | None = None
    arms: tuple[Arm, ...] = ()
    interrupted: bool = False

    @property
    def best(self) -> int:
        """The place of the trial that the search ended with."""
        return max(place for place, trial in enumerate(self.trials) if trial.kept)

    @property
    def recipe(self) -> Recipe:
        """The recipe that the search ended with."""
        return self.recipes[self.best]

    @property
    def improved(self) -> bool:
        """Whether the kept recipe is better than the baseline, and better than chance, beyond noise."""
        proven = self.gain is not None and self.gain.better
        return proven and (self.over_chance is None or self.over_chance.better)
