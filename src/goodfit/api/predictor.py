"""`Predictor`: a kept network with the preparation of its inputs: raw rows in, predictions out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.errors import InputError
from goodfit.values import Progress, Report, silent

if TYPE_CHECKING:
    import pandas as pd

    from goodfit.tables import Preparation

MODEL = "model.keras"
PREPARATION = "preparation.skops"


class Predictor:
    """Raw rows in, predictions out.

    Args:
        preparation: of the inputs, fitted on the training rows.
        about: `task`, `target`, `classes`, `target_mean`, `target_scale` and `read` (how the table was read).
        get_model: gives the Keras model.
    """

    def __init__(self, preparation: Preparation, about: Mapping[str, Any], get_model: Callable[[], Any]) -> None:
        self.preparation = preparation
        self.about = about
        self._get_model = get_model

    @cached_property
    def model(self) -> Any:
        """The Keras model: prepared inputs in, standardized target or probabilities out."""
        return self._get_model()

    @classmethod
    def load(cls, folder: str | os.PathLike[str], about: Mapping[str, Any]) -> Predictor:
        """The predictor that `save` wrote.

        Raises:
            InputError: a file of it is missing or broken.
        """
        from goodfit.tables import Preparation

        for name in (MODEL, PREPARATION):
            if not (Path(folder) / name).is_file():
                raise InputError(f"{folder} has no {name}.", "Give a folder that `goodfit train` has finished.")

        def load_model() -> Any:
            from goodfit.training import recipes

            return recipes.load_model(Path(folder) / MODEL)

        return cls(Preparation.load(Path(folder) / PREPARATION), about, load_model)

    def save(self, folder: Path) -> None:
        """Write model and preparation into a folder that is there."""
        self.model.save(folder / MODEL)
        self.preparation.save(folder / PREPARATION)

    def predict(
        self,
        table: pd.DataFrame | str | os.PathLike[str],
        *,
        names: Sequence[str] | None = None,
        sep: str | None = None,
        na: Sequence[str] | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        encoding: str | None = None,
        sheet: str | int | None = None,
        uncertainty: bool = False,
        report: Report = silent,
    ) -> pd.DataFrame:
        """The rows of a table of the same form with predictions beside them; every row is kept, in its order.

        Args:
            table: a frame, a file or a URL, written as the training table was; the other arguments say where it isn't.
            names: column names of a file without a header.
            sep: the separator.
            na: further words for a missing value.
            decimal: the decimal mark of numbers.
            thousands: what sets their thousands apart.
            encoding: of the file.
            sheet: of an Excel file.
            uncertainty: also tell how far the predictions spread with dropout on (`goodfit.uncertainty`).
            report: told of columns that aren't used and of values that training never saw.

        Returns:
            the rows as read, and `predicted <target>`; for classes also `probability <class>` of each. With
            `uncertainty` also `uncertainty <target>`: the standard deviation in the target's unit, the noise of the
            target not counted; for classes the predictive entropy, in nats.

        Raises:
            InputError: a column is missing, or a cell can't be read.
        """
        preparation = self.preparation
        marks = {k: v for k, v in (("decimal", decimal), ("thousands", thousands)) if v is not None}
        forms = {n: dataclasses.replace(f, **marks) if f.kind == "number" else f for n, f in preparation.forms.items()}
        preparation = dataclasses.replace(preparation, forms=forms, na=(*(preparation.na or ()), *(na or ())) or None)
        stored = self.about.get("read", {}) if isinstance(table, (str, os.PathLike)) else {}
        given = {"names": names, "sep": sep, "encoding": encoding, "sheet": sheet}
        given = {key: stored.get(key) if value is None else value for key, value in given.items()}
        read = preparation.read(table, **given)
        raw = read.frame
        for note in (*read.notes, *preparation.review(raw)):
            report(Progress("note", text=note, finished=True))
        whole = {c: "Int64" for c in raw.columns if raw[c].dtype.kind == "f" and (raw[c].dropna() % 1 == 0).all()}
        x = preparation.transform(raw)
        columns = self.columns(self.outputs(x))
        if uncertainty:
            columns |= self.spread(x)
        return raw.astype(whole).assign(**columns)

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """What the network gives for prepared inputs, shape (rows, outputs)."""
        if not len(x):
            return np.zeros((0, *self.model.output_shape[1:]))
        return np.asarray(self.model.predict(x, batch_size=1024, verbose=0))

    def spread(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The column of how uncertain each prediction is, from Monte-Carlo dropout."""
        from goodfit.training.uncertainty import uncertainty

        name = f"uncertainty {self.about['target']}"
        if not len(x):
            return {name: np.zeros(0)}
        found = uncertainty(self.model, x)
        regression = self.about["task"] == "regression"
        return {name: found.sd[:, 0] * self.about["target_scale"] if regression else found.entropy}

    def columns(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """The columns that a network's outputs become, in the target's own units or labels."""
        about, target = self.about, self.about["target"]
        if about["task"] == "regression":
            return {f"predicted {target}": outputs[:, 0] * about["target_scale"] + about["target_mean"]}
        classes = np.asarray(about["classes"])
        if about["task"] == "binary":
            outputs = np.column_stack([1 - outputs[:, 0], outputs[:, 0]])
        columns = {f"predicted {target}": classes[outputs.argmax(axis=1)]}
        return columns | {f"probability {label}": outputs[:, k] for k, label in enumerate(about["classes"])}
