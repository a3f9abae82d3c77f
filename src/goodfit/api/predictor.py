"""`Predictor`: a kept network with the preparation of its inputs: raw rows in, predictions out."""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
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
IMAGE_FORM = "preparation.json"


class Predictor(ABC):
    """Raw rows in, predictions out.

    Args:
        about: `task`, `target`, `classes`, `target_mean`, `target_scale`, and how the rows were read.
        get_model: gives the Keras model.
    """

    of_images: bool = False
    """Whether its rows are images."""

    def __init__(self, about: Mapping[str, Any], get_model: Callable[[], Any]) -> None:
        self.about = about
        self._get_model = get_model

    @cached_property
    def model(self) -> Any:
        """The Keras model: prepared inputs in, standardized target or probabilities out."""
        return self._get_model()

    @staticmethod
    def load(folder: str | os.PathLike[str], about: Mapping[str, Any]) -> Predictor:
        """The predictor that `save` wrote.

        Raises:
            InputError: a file of it is missing or broken.
        """
        of_images = about.get("kind") == "images"
        preparation = Path(folder) / (IMAGE_FORM if of_images else PREPARATION)
        for file in (Path(folder) / MODEL, preparation):
            if not file.is_file():
                raise InputError(f"{folder} has no {file.name}.", "Give a folder that `goodfit train` has finished.")

        def load_model() -> Any:
            from goodfit.training import recipes

            try:
                return recipes.load_model(Path(folder) / MODEL)
            except Exception as problem:  # a damaged file makes Keras raise whatever its readers do
                reason = next(iter(str(problem).strip().splitlines()), type(problem).__name__)[:200].rstrip(".")
                raise InputError(
                    f"{Path(folder) / MODEL} can't be loaded: {reason}.", "Train again, or copy the folder anew."
                ) from problem

        if of_images:
            from goodfit.api.image_predictor import ImagePredictor

            return ImagePredictor.of(Path(folder), about, load_model)
        from goodfit.tables import Preparation

        return TablePredictor(Preparation.load(preparation), about, load_model)

    def save(self, folder: Path) -> None:
        """Write model and preparation into a folder that is there."""
        self.model.save(folder / MODEL)
        self.save_preparation(folder)

    @abstractmethod
    def save_preparation(self, folder: Path) -> None:
        """Write what prepares the rows."""

    @abstractmethod
    def renewed(self, get_model: Callable[[], Any]) -> Predictor:
        """The same with another network."""

    @abstractmethod
    def predict(self, source: Any, *, uncertainty: bool = False, report: Report = silent) -> pd.DataFrame:
        """The raw rows with predictions beside them; every row is kept, in its order."""

    @abstractmethod
    def labelled(self, source: str, known: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """All rows of a source that have a target, prepared: inputs, and the target standardized or as codes.

        Args:
            source: where they are.
            known: whether they are those that were trained on, which must not have changed.

        Raises:
            InputError: they are not there, or have changed.
        """

    @abstractmethod
    def plain(self, x: np.ndarray, train: np.ndarray) -> np.ndarray:
        """Prepared inputs as lines of numbers, few enough for what the checks ask of rows.

        Args:
            x: of all rows.
            train: places of the training rows.
        """

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


class TablePredictor(Predictor):
    """Rows of a table in, predictions out.

    Args:
        preparation: of the inputs, fitted on the training rows.
        about: as for `Predictor`; `read` tells how the table was read.
        get_model: gives the Keras model.
    """

    def __init__(self, preparation: Preparation, about: Mapping[str, Any], get_model: Callable[[], Any]) -> None:
        super().__init__(about, get_model)
        self.preparation = preparation

    def save_preparation(self, folder: Path) -> None:
        """Write the preparation of the columns."""
        self.preparation.save(folder / PREPARATION)

    def renewed(self, get_model: Callable[[], Any]) -> TablePredictor:
        """The same with another network."""
        return TablePredictor(self.preparation, self.about, get_model)

    def plain(self, x: np.ndarray, train: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """The inputs as they are."""
        return x

    def predict(
        self,
        source: pd.DataFrame | str | os.PathLike[str],
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
            source: a frame, a file or a URL, written as the training table was; the other arguments say where it isn't.
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
            the rows, and `predicted <target>`; for classes also `probability <class>` of each. Of a data frame the
            columns and the index are those given, of a file the columns are what was read. With `uncertainty` also
            `uncertainty <target>`: the standard deviation in the target's unit, the noise of the target not counted;
            for classes the predictive entropy, in nats.

        Raises:
            InputError: a column is missing, or a cell can't be read.
        """
        preparation = self.preparation
        forms = {name: form.marked(decimal, thousands) for name, form in preparation.forms.items()}
        preparation = dataclasses.replace(preparation, forms=forms, na=(*(preparation.na or ()), *(na or ())) or None)
        stored = reading_of(source, self.about.get("read", {}))
        given = {"names": names, "sep": sep, "encoding": encoding, "sheet": sheet}
        given = {key: stored.get(key) if value is None else value for key, value in given.items()}
        read = preparation.read(source, **given)
        raw = read.frame
        for note in (*read.notes, *preparation.review(raw)):
            report(Progress("note", text=note, finished=True))
        x = preparation.transform(raw)
        columns = self.columns(self.outputs(x))
        if uncertainty:
            columns |= self.spread(x)
        if self.about["task"] != "regression":
            predicted = f"predicted {self.about['target']}"
            columns[predicted] = _as_in_target(columns[predicted], self.about.get("class_kind", "text"))
        if isinstance(source, (str, os.PathLike)) or names is not None:
            rows = raw.astype({c: "Int64" for c in raw.columns if _whole(raw[c])})
        else:
            rows = source.copy()
        for name in sorted(columns.keys() & set(rows.columns)):
            report(Progress("note", text=f"the table's own column {name!r} is replaced.", finished=True))
        return rows.assign(**columns)

    def labelled(self, source: str, known: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """All rows of a table, prepared as they were: inputs, and the target standardized or as codes."""
        from goodfit import tables
        from goodfit.tables.target import target_codes

        about = self.about
        reading = dict(about["read"])
        raw = tables.read(source, **reading)
        if about["target"] not in raw.frame:
            raise InputError(f"{source} has no column {about['target']!r}.", "Give the table as it was.")
        if known and raw.fingerprint != about.get("fingerprint", raw.fingerprint):
            raise InputError(
                f"{source} is not what it was when the network was trained: {_changed(raw.frame, about)}.",
                "Give the table as it was, or train again.",
            )
        again = self.preparation.read(source, **{k: reading[k] for k in ("names", "sep", "encoding", "sheet")})
        x = self.preparation.transform(again.frame)
        column = raw.frame[about["target"]]
        if about["task"] == "regression":
            values = (column.to_numpy(dtype=np.float64) - about["target_mean"]) / about["target_scale"]
            return x, values.astype(np.float32)
        return x, target_codes(column, tuple(about["classes"]))


def reading_of(source: Any, reading: Mapping[str, Any]) -> dict[str, Any]:
    """How another table than the one trained on is read: nothing of a file's is asked of a frame, no sheet of text."""
    if not isinstance(source, (str, os.PathLike)):
        return {key: value if key in ("na", "decimal", "thousands") else None for key, value in reading.items()}
    excel = str(source).lower().endswith((".xlsx", ".xlsm"))
    return {key: value if key != "sheet" or excel else None for key, value in reading.items()}


def _as_in_target(labels: np.ndarray, kind: str) -> np.ndarray:
    """Labels, which are text, as the target column holds them.

    >>> _as_in_target(np.array(["0", "1"]), "number").tolist(), _as_in_target(np.array(["True"]), "boolean").tolist()
    ([0, 1], [True])
    """
    if kind == "boolean":
        return labels == "True"
    if kind == "number":
        values = labels.astype(np.float64)
        return values.astype(np.int64) if (np.abs(values) < 2**53).all() and (values % 1 == 0).all() else values
    return labels


def _whole(column: pd.Series) -> bool:
    """Whether decimals hold whole numbers only, that an integer holds too."""
    if column.dtype.kind != "f":
        return False
    values = column.dropna().to_numpy()
    return bool(len(values) and (np.abs(values) < 2**53).all() and (values % 1 == 0).all())


def _changed(frame: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """How a table differs from the one that a network was trained on."""
    from goodfit.tables.read import fingerprint

    if len(frame) != about["rows"]["table"]:
        return f"it has {len(frame)} rows, and had {about['rows']['table']}"
    known = about.get("column_fingerprints") or {}
    names = [str(name) for name in frame.columns]
    if known and names != list(known):
        return f"its columns are {', '.join(names)}, and were {', '.join(known)}"
    other = [name for name in frame.columns if known and fingerprint(frame[[name]]) != known[str(name)]]
    if not other:
        return "it has other values"
    more = f" and {len(other) - 5} more" if len(other) > 5 else ""
    named = ", ".join(repr(str(name)) for name in other[:5])
    return f"the column{'s' if len(other) > 1 else ''} {named}{more} hold{'' if len(other) > 1 else 's'} other values"
