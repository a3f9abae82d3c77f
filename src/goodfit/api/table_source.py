"""A table as the source of a training's rows."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goodfit.api.predictor import TablePredictor, reading_of
from goodfit.api.sources import about_dataset
from goodfit.values import Dataset, Recipe

if TYPE_CHECKING:
    import pandas as pd

CELLS_HASHED = 500_000
"""A table with more cells than this has no hash of each column: it would cost noticeable time."""


class TableSource:
    """A table: a file, a URL or a frame.

    Args:
        table: where it is.
        target: the column to predict.
        task: what it asks for; found from the target where `None`.
        reading: how to read the table, by the names of `tables.read`'s arguments.
        categorical: columns to take as categories.
        numeric: columns to take as quantities.
        drop: columns to leave out.
        group: a column by whose values rows stay together.
        time: a column to split by.
        test: a table of its own for the test rows.
    """

    def __init__(
        self,
        table: str | os.PathLike[str] | pd.DataFrame,
        target: str,
        *,
        task: Literal["regression", "binary", "multiclass"] | None,
        reading: dict[str, Any],
        categorical: Sequence[str],
        numeric: Sequence[str],
        drop: Sequence[str],
        group: str | None,
        time: str | None,
        test: str | os.PathLike[str] | pd.DataFrame | None,
    ) -> None:
        self.table, self.target, self.reading = table, target, reading
        self.task: Literal["regression", "binary", "multiclass"] | None = task
        self.columns = {"categorical": categorical, "numeric": numeric, "drop": drop}
        self.group, self.time, self.test = group, time, test

    @property
    def name(self) -> str:
        """The table's file name without its endings."""
        if not isinstance(self.table, (str, os.PathLike)):
            return "table"
        file = re.split(r"[?#]", str(self.table))[0].rstrip("/").rsplit("/", 1)[-1]
        return re.sub(r"[^\w.-]+", "-", file.split(".")[0] or file).strip("-.") or "table"

    def read(self) -> str:
        """Read the table and see what its columns are."""
        from goodfit import tables

        self.raw = tables.read(self.table, **self.reading)
        roles = tuple(column for column in (self.group, self.time) if column)
        self.found = tables.inspect(self.raw, self.target, task=self.task, roles=roles, **self.columns)
        return f"{len(self.raw.frame)} rows, {len(self.raw.frame.columns)} columns; {self.found.reason}"

    def prepare(self, seed: int, validation: float, test_size: float) -> str:
        """Split the rows, and prepare their columns by the training rows."""
        from goodfit import tables

        test_table = None if self.test is None else tables.read(self.test, **reading_of(self.test, self.reading))
        parts = tables.split(
            self.raw,
            self.found,
            seed=seed,
            validation=validation,
            test=test_size,
            group=self.group,
            time=self.time,
            test_table=test_table,
        )
        self.preparation, self.dataset = tables.prepare(self.raw, self.found, parts)
        return f"{parts.how.rstrip('.')}; {self.dataset.x.shape[1]} inputs"

    @property
    def plain(self) -> Dataset:
        """The rows as they are."""
        return self.dataset

    def recipe(self, epochs: int | None, seed: int) -> Recipe:
        """A multilayer perceptron."""
        from goodfit.training import networks

        return networks.mlp(self.dataset, epochs=epochs, seed=seed).replace(preparation=self.preparation.describe)

    def about(self) -> dict[str, Any]:
        """What each column is, and how the table was read."""
        reading = {key: list(value) if isinstance(value, tuple) else value for key, value in self.reading.items()}
        return about_dataset(self.dataset, self.found.reason, len(self.raw.frame)) | {
            "columns": [dataclasses.asdict(column) for column in self.dataset.columns],
            "test_source": str(self.test) if isinstance(self.test, (str, os.PathLike)) else None,
            "class_kind": self.raw.forms[self.dataset.target].kind,
            "column_fingerprints": _column_fingerprints(self.raw.frame),
            "read": reading,
        }

    def illustrate(self, predictions: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Rows go by their number alone."""
        return predictions, {}

    def predictor(self, about: dict[str, Any], get_model: Callable[[], Any]) -> TablePredictor:
        """Prepares the columns of new rows as these were."""
        return TablePredictor(self.preparation, about, get_model)


def _column_fingerprints(frame: pd.DataFrame) -> dict[str, str]:
    """A hash of each column, by which a changed table tells what was changed; none of a large table's."""
    from goodfit.tables.read import fingerprint

    if frame.size > CELLS_HASHED:
        return {}
    return {str(name): fingerprint(frame[[name]]) for name in frame.columns}
