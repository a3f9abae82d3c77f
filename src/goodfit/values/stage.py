"""`Stage`: one of several trainings in turn, each with more layers unfrozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from goodfit.errors import InputError


@dataclass(frozen=True)
class Stage:
    """One of several trainings in turn: which frozen layers it unfreezes, for how long, at which learning rate.

    Args:
        epochs: passes over the training rows, at most.
        unfreeze: which of the layers that are still frozen are trained from here on: so many with weights, counted
            from the output; `"all"`; names or paths (`"block/conv"`) of layers; `None` for no more than before.
            Batch normalization stays as it is, in inference mode, unless it is named: its statistics belong to the
            weights that it was trained with.
        learning_rate: of this stage. `None` is the rate that the model was compiled with, and a tenth of it from the
            first stage on that unfreezes something: large steps would undo what the layers have learned.

    Raises:
        InputError: an argument that can't be meant.

    Example:
        >>> Stage(epochs=5, unfreeze=2, learning_rate=1e-4)
        Stage(epochs=5, unfreeze=2, learning_rate=0.0001)
    """

    epochs: int
    unfreeze: int | str | tuple[str, ...] | Literal["all"] | None = None
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.unfreeze, list):
            object.__setattr__(self, "unfreeze", tuple(self.unfreeze))
        if isinstance(self.epochs, bool) or not isinstance(self.epochs, int) or self.epochs < 1:
            raise InputError(f"a stage of {self.epochs!r} epochs trains nothing.", "Give 1 epoch at least.")
        if isinstance(self.unfreeze, int) and (isinstance(self.unfreeze, bool) or self.unfreeze < 1):
            raise InputError(
                f"a stage that unfreezes {self.unfreeze!r} layers unfreezes nothing.",
                'Give how many, 1 at least, "all", names of layers, or None to train what was trained before.',
            )
        if self.unfreeze in ("", ()):
            raise InputError(
                "a stage that unfreezes no layer by name unfreezes nothing.", "Name a layer, or give None."
            )
        rate = self.learning_rate
        if rate is not None and not 0 < rate < float("inf"):
            raise InputError(f"the learning rate of a stage is {rate!r}.", "Give a number above 0, such as 1e-4.")
