"""`Recipe`: all that was asked of a training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from goodfit.values._json import content_hash, plain


@dataclass(frozen=True)
class EarlyStopping:
    """When a training stops of itself, and which weights it keeps.

    Args:
        patience: epochs without a lower `monitor` before the training stops.
        monitor: the curve that is watched, lower is better.
        min_delta: a fall smaller than this (in the curve's unit) is no improvement.
        restore_best: keep the weights of the best epoch, also where the training ran to its end.
    """

    patience: int
    monitor: str = "val_loss"
    min_delta: float = 0.0
    restore_best: bool = True


@dataclass(frozen=True)
class Plateau:
    """When the learning rate is lowered because a curve stands still: the performance schedule.

    The arguments of `keras.callbacks.ReduceLROnPlateau`, with its meaning and its defaults.

    Args:
        factor: times the learning rate, in (0, 1).
        patience: epochs without a lower `monitor` before the rate is lowered.
        monitor: the curve that is watched, lower is better.
        min_delta: a fall smaller than this (in the curve's unit) is no improvement.
        cooldown: epochs after a lowering that are not counted.
        min_lr: the rate goes no lower.
    """

    factor: float = 0.1
    patience: int = 10
    monitor: str = "val_loss"
    min_delta: float = 1e-4
    cooldown: int = 0
    min_lr: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """All that was asked of a training. JSON in, JSON out; equal recipes have equal hashes.

    Args:
        model: the model as Keras serializes it (`keras.saving.serialize_keras_object`).
        optimizer: the optimizer as Keras serializes it.
        loss: the loss as Keras serializes it: a name, a mapping, or a structure of them for several outputs.
        metrics: likewise the metrics.
        batch_size: rows per step.
        epochs: passes over the training rows, at most.
        early_stopping: when to stop before that; `None` is never.
        schedule: the learning-rate schedule as Keras serializes it, where it is not in the optimizer.
        plateau: when the learning rate is lowered for want of progress; `None` is never.
        clipping: Keras's own arguments, such as `{"global_clipnorm": 1.0}`.
        preparation: what is done to the table before the network sees it, per column.
        stages: trainings in turn, each with the layers it trains and its learning rate (freeze, then unfreeze); a first
            one with `pretrain` learns the lower layers from something else than the task.
        initial_weights: `"fresh"` (drawn by the model's initializers), `"sha256:…"`, the hash of given ones, or
            `"unknown"`.
        weights_file: where given weights lie.
        shuffle: draw a new order of the training rows each epoch.
        seed: the root of every random draw of the first member.
        code_fingerprint: a hash of code that is not Keras's own (custom layers, losses), or `None`.
        portable: can be rebuilt in another process.
        loss_weights: what each output's loss counts for in the whole, a list or a mapping by output; `None` is 1.

    Example:
        >>> recipe = Recipe(model={"class_name": "Sequential"}, optimizer={"class_name": "Adam"}, loss="mse")
        >>> Recipe.from_dict(recipe.to_dict()) == recipe
        True
    """

    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    loss: Any
    metrics: Any = ()
    batch_size: int = 32
    epochs: int = 1
    early_stopping: EarlyStopping | None = None
    schedule: Mapping[str, Any] | None = None
    clipping: Mapping[str, float] = field(default_factory=dict)
    preparation: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Mapping[str, Any], ...] = ()
    initial_weights: str = "fresh"
    weights_file: str | None = None
    shuffle: bool = True
    seed: int = 0
    code_fingerprint: str | None = None
    portable: bool = True
    plateau: Plateau | None = None
    loss_weights: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        fields = plain(dataclasses.asdict(self))
        for name in ("plateau", "loss_weights"):  # recipes that were written before there were any keep their hash
            if fields[name] is None:
                del fields[name]
        return fields

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote; unknown fields raise `TypeError`."""
        fields = dict(data)
        if fields.get("early_stopping") is not None:
            fields["early_stopping"] = EarlyStopping(**fields["early_stopping"])
        if fields.get("plateau") is not None:
            fields["plateau"] = Plateau(**fields["plateau"])
        fields["stages"] = tuple(fields.get("stages", ()))
        if isinstance(fields.get("metrics"), list):
            fields["metrics"] = tuple(fields["metrics"])
        return cls(**fields)

    def __repr__(self) -> str:
        optimizer = self.optimizer.get("class_name", "") if isinstance(self.optimizer, Mapping) else ""
        said = [optimizer, self.loss if isinstance(self.loss, str) else "", f"batches of {self.batch_size}"]
        return f"<Recipe {self.hash[:8]}: {', '.join(filter(None, said))}, {self.epochs} epochs>"

    @property
    def hash(self) -> str:
        """Equal for equal recipes (a list and a tuple of the same are equal)."""
        return content_hash(self.to_dict())

    def __hash__(self) -> int:
        return int(self.hash, 16)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.to_dict() == other.to_dict()

    def replace(self, **changes: Any) -> Recipe:
        """A copy with other values in the named fields."""
        return dataclasses.replace(self, **changes)
