"""Which way a metric is better, as far as its name tells."""

from __future__ import annotations

from typing import Literal

_HIGHER = (
    "accuracy",
    "acc",
    "auc",
    "f1",
    "r2",
    "precision",
    "recall",
    "iou",
    "dice",
    "map",
    "bleu",
    "score",
)
_LOWER = (
    "loss", "mse", "mae", "error", "nll", "perplexity", "rmse", "cost", "crossentropy", "entropy", "xent", "bce",
    "msle", "mape", "kl", "hinge",
)  # fmt: skip


def better(name: str) -> Literal["lower", "higher", ""]:
    """The side on which a metric is better; `""` where its name does not tell.

    Example:
        >>> better("val_loss"), better("sparse_categorical_accuracy"), better("lr")
        ('lower', 'higher', '')
    """
    words = name.lower().split("_")

    def known(names: tuple[str, ...]) -> bool:
        return any(one in words or name.lower().endswith(one) for one in names)

    return "lower" if known(_LOWER) else "higher" if known(_HIGHER) else ""
