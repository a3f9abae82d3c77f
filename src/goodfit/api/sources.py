"""What `train` needs of where its rows come from: a table, or images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from goodfit.errors import InputError
from goodfit.values import Dataset, Recipe

if TYPE_CHECKING:
    from goodfit.api.predictor import Predictor

PARTS = ("train", "validation", "test")
"""The parts of a split."""


class Source(Protocol):
    """Rows that a network can be trained on: read, split, prepared."""

    @property
    def name(self) -> str:
        """What the run is called where it was given no name."""
        ...

    def read(self) -> str:
        """Read it; what came of it, in a few words."""
        ...

    def prepare(self, seed: int, validation: float, test_size: float) -> str:
        """Split it, and then prepare it; what came of it, in a few words."""
        ...

    @property
    def dataset(self) -> Dataset:
        """What the network gets."""
        ...

    @property
    def plain(self) -> Dataset:
        """The same rows as lines of numbers, few enough for the baselines and for what the checks ask of rows."""
        ...

    def recipe(self, epochs: int | None, seed: int) -> Recipe:
        """Of the network to begin with."""
        ...

    def about(self) -> dict[str, Any]:
        """What the report and `predict` need to know of the rows, as plain data."""
        ...

    def illustrate(self, predictions: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The predictions of the test rows with what names these rows, and what the report shows of them."""
        ...

    def predictor(self, about: dict[str, Any], get_model: Any) -> Predictor:
        """What predicts new rows of the same form."""
        ...


def about_dataset(dataset: Dataset, reason: str, rows: int) -> dict[str, Any]:
    """What there is to say of the rows, whatever they are.

    Args:
        dataset: prepared.
        reason: why the target was taken for its task.
        rows: that were read.
    """
    return {
        "task": dataset.task,
        "task_reason": reason,
        "target": dataset.target,
        "classes": list(dataset.classes),
        "target_mean": dataset.target_mean,
        "target_scale": dataset.target_scale,
        "notes": list(dataset.notes),
        "split": dataset.split,
        "rows": {"table": rows, **{part: len(getattr(dataset, part)) for part in PARTS}},
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
    }


def source_path(about: Mapping[str, Any], given: Any) -> str:
    """Where a run's rows are now.

    Args:
        about: of the run.
        given: where they have moved to, or `None`.

    Raises:
        InputError: the run's rows were never in a file, or the file is not there any more.
    """
    source = str(given or about["source"])
    if source in ("DataFrame", "array"):
        what = "a DataFrame" if source == "DataFrame" else "an array"
        raise InputError(f"the run was trained on {what}, which is not saved with it.", "Give a file or folder of it.")
    if given is None and "://" not in source and not Path(source).expanduser().exists():
        raise InputError(
            f"the rows that the run was trained on are no longer at {source}.", "Say where they are now (--table)."
        )
    return source


def is_folder(table: Any) -> bool:
    """Whether it is a folder that is there."""
    return isinstance(table, (str, os.PathLike)) and Path(table).is_dir()
