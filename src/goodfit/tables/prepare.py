"""`prepare`: raw rows -> inputs of a network, by what was learned from the training rows alone."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodfit.errors import InputError
from goodfit.tables.convert import Form, conform
from goodfit.tables.grid import place
from goodfit.tables.inputs import MISSING, RARE, Input, date_parts, fit, inputs_of, levels_of, matrix, words
from goodfit.tables.inspect import Inspection, nearest
from goodfit.tables.read import Table, read_alike
from goodfit.tables.split import Split
from goodfit.tables.target import target_codes
from goodfit.values import Column, Dataset, Task

_LIMIT = 1e30  # inputs are cut off here, so that float32 holds them
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Preparation:
    """What is done to raw rows before the network sees them, fitted on the training rows only.

    Args:
        columns: every column of the table, with its treatment and the inputs made of it.
        forms: how each input column is written.
        levels: of each category, those with an input of their own.
        dates: of each date column, its first training moment (microseconds since 1970) and its parts.
        transformer: a fitted scikit-learn `ColumnTransformer`.
        feature_names: one per input.
        target: the target column.
        task: what it asks for.
        classes: the labels in the order of their codes; empty for a regression.
        target_mean: of the training rows (regression).
        target_scale: their standard deviation (regression).
        na: the words for missing that the user gave.
        header: the names of the table's columns, in its order.
    """

    columns: tuple[Column, ...]
    forms: Mapping[str, Form]
    levels: Mapping[str, tuple[str, ...]]
    dates: Mapping[str, tuple[int, tuple[str, ...]]]
    transformer: Any
    feature_names: tuple[str, ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()
    target_mean: float = 0.0
    target_scale: float = 1.0
    na: tuple[str, ...] | None = None
    header: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        return tuple(self.forms)

    @property
    def describe(self) -> dict[str, str]:
        """What is done to each column, as plain data for `Recipe.preparation`."""
        return {column.name: column.treatment for column in self.columns}

    def read(
        self,
        source: str | os.PathLike[str] | pd.DataFrame,
        *,
        names: Sequence[str] | None = None,
        sep: str | None = None,
        encoding: str | None = None,
        sheet: str | int | None = None,
    ) -> Table:
        """Read a table to predict as the training table was read: same marks, same words for missing.

        Raises:
            InputError: the source is no table, or a cell is neither of its column's form nor missing.
        """
        like = [self.header, [name for name in self.header if name != self.target], self.inputs]
        return read_alike(source, self.forms, self.na, names=names, sep=sep, encoding=encoding, sheet=sheet, like=like)

    def review(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """What is to be said about a table before it is transformed: columns not used, values not seen in training.

        Raises:
            InputError: a column is missing, or there twice.
        """
        frame = self._required(frame)
        known = {column.name for column in self.columns}
        extra = [name for name in frame.columns if name not in known]
        notes = []
        if extra:
            shown = ", ".join(map(repr, extra[:6])) + (", …" if len(extra) > 6 else "")
            notes.append(f"not in the training table, so ignored: {shown}.")
        for name, levels in self.levels.items():
            cells = words(self._conform(name, frame[name], _numbered))
            new = cells[~cells.isin([*levels, MISSING])].unique()
            if len(new) and RARE not in levels:
                shown = ", ".join(f"“{value}”" for value in new[:4]) + (", …" if len(new) > 4 else "")
                what = (
                    "a value that no training row has"
                    if len(new) == 1
                    else f"{len(new)} values that no training row has"
                )
                notes.append(f"{name!r}: {what}: {shown}.")
        return tuple(notes)

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """Raw rows as inputs, shape (rows, features), float32, every row kept and in order, nothing missing.

        Args:
            frame: rows of the training table's form; missing and unseen values included, columns in any order,
                others ignored (`review` names them).

        Raises:
            InputError: a column is missing, or a cell is neither of its column's form nor missing.
        """
        return self._apply(self._cells(self._required(frame), _numbered))

    def _apply(self, cells: Mapping[Input, np.ndarray]) -> np.ndarray:
        if not len(next(iter(cells.values()))):
            return np.zeros((0, len(self.feature_names)), dtype=np.float32)
        x = self.transformer.transform(matrix(cells)).astype(np.float64)
        return np.ascontiguousarray(np.clip(x, -_LIMIT, _LIMIT), dtype=np.float32)

    def _cells(self, frame: pd.DataFrame, where: Callable[[int], str]) -> dict[Input, np.ndarray]:
        """What the transformer takes, by input name."""
        cells: dict[Input, np.ndarray] = {}
        kinds = {column.name: column.kind for column in self.columns}
        for name in self.forms:
            values = self._conform(name, frame[name], where)
            cells.update(inputs_of(name, values, kinds[name], self.levels.get(name), self.dates.get(name)))
        return cells

    def _conform(self, name: str, cells: pd.Series, where: Callable[[int], str]) -> pd.Series:
        return conform(name, cells.reset_index(drop=True), self.forms[name], self.na, where).values

    def _required(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with text names; `InputError` where a column is missing or there twice."""
        frame = frame.rename(columns=lambda name: str(name).strip())
        missing = [name for name in self.forms if name not in frame.columns]
        if missing:
            more = f" (and {len(missing) - 1} more that are needed)" if len(missing) > 1 else ""
            near = nearest(missing[0], [name for name in frame.columns if name not in self.header])
            raise InputError(
                f"the table has no column {missing[0]!r}{more}, which the network was trained on.",
                f"Is it the column {near!r}? Rename that."
                if near
                else "Add it, with empty cells where it is not known.",
            )
        twice = [name for name in self.forms if (frame.columns == name).sum() > 1]
        if twice:
            raise InputError(f"the table has several columns called {twice[0]!r}.", "Rename or drop all but one.")
        return frame

    def target_values(self, y: pd.Series) -> np.ndarray:
        """A target column as a network is trained on it: standardized float32, or int32 codes, -1 for a new class."""
        if self.classes:
            return target_codes(y, self.classes)
        return ((y.to_numpy(dtype=np.float64) - self.target_mean) / self.target_scale).astype(np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a `.skops` file."""
        import zipfile

        import skops.io

        about = {
            "format": _FORMAT,
            "columns": [dataclasses.asdict(column) for column in self.columns],
            "forms": {name: dataclasses.asdict(form) for name, form in self.forms.items()},
            "levels": {name: list(levels) for name, levels in self.levels.items()},
            "dates": {name: [first, list(parts)] for name, (first, parts) in self.dates.items()},
            "feature_names": list(self.feature_names),
            "target": self.target,
            "task": self.task,
            "classes": list(self.classes),
            "target_mean": self.target_mean,
            "target_scale": self.target_scale,
            "na": None if self.na is None else list(self.na),
            "header": list(self.header),
        }
        held = {"about": json.dumps(about), "transformer": self.transformer}
        skops.io.dump(held, Path(path), compression=zipfile.ZIP_DEFLATED)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Preparation:
        """Read what `save` wrote; nothing is unpickled, and no type but those that it needs is let in.

        Raises:
            InputError: the file is not there, not a preparation, or holds other types.
        """
        import zipfile

        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        try:
            held = skops.io.load(Path(path), trusted=list(_TRUSTED))
            about, transformer = json.loads(held["about"]), held["transformer"]
        except FileNotFoundError:
            raise InputError(f"there is no preparation at {path}.", "Give the folder of a saved run.") from None
        except UntrustedTypesFoundException as error:
            raise InputError(f"{path} is not a preparation of goodfit: {error}", "Do not use it.") from None
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError, OSError) as error:
            raise InputError(f"{path} is not a preparation of goodfit: {error}.", "Train and save it anew.") from None
        if about.get("format") != _FORMAT:
            raise InputError(f"{path} is of format {about.get('format')}, not {_FORMAT}.", "Use a matching goodfit.")
        columns = tuple(Column(**{**c, "features": tuple(c["features"])}) for c in about["columns"])
        return cls(
            columns=columns,
            forms={name: Form(**form) for name, form in about["forms"].items()},
            levels={name: tuple(levels) for name, levels in about["levels"].items()},
            dates={name: (int(first), tuple(parts)) for name, (first, parts) in about["dates"].items()},
            transformer=transformer,
            feature_names=tuple(about["feature_names"]),
            target=about["target"],
            task=about["task"],
            classes=tuple(about["classes"]),
            target_mean=about["target_mean"],
            target_scale=about["target_scale"],
            na=None if about["na"] is None else tuple(about["na"]),
            header=tuple(about["header"]),
        )


_TRUSTED = ("numpy.dtype",)


def _numbered(position: int) -> str:
    return place(position, None)


def prepare(table: Table, inspection: Inspection, split: Split) -> tuple[Preparation, Dataset]:
    """Fit the preparation on the training rows and apply it to all rows.

    Numbers: the training median where missing, with an indicator, then standardized. Categories: one input a level,
    the missing one and the rare ones together likewise. Dates: days since the first training row, and the season,
    weekday and hour as points on a circle where they vary. A regression target is standardized.

    Args:
        table: as read.
        inspection: what `inspect` found in it.
        split: which rows train.

    Returns:
        The preparation, and the data set: rows with a target in the table's order, test rows of another table last.

    Raises:
        InputError: the training rows hold one class or one target value only, or the test table does not fit.
    """
    names = [column.name for column in inspection.inputs]
    kinds = {column.name: column.kind for column in inspection.inputs}
    training = table.frame[names].iloc[split.train]
    forms = {name: _form(table.forms.get(name, Form("text")), kinds[name]) for name in names}
    mean, scale = _target_scale(table, inspection, split)
    draft = Preparation(
        columns=inspection.columns,
        forms=forms,
        levels={name: levels_of(training[name]) for name in names if kinds[name] == "category"},
        dates={name: date_parts(training[name]) for name in names if kinds[name] == "date"},
        transformer=None,
        feature_names=(),
        target=inspection.target,
        task=inspection.task,
        classes=inspection.classes,
        target_mean=mean,
        target_scale=scale,
        na=table.na,
        header=tuple(table.frame.columns),
    )
    cells = draft._cells(training, lambda i: table.place(int(split.train[i])))
    transformer, made = fit(cells, kinds, draft.levels)
    columns = tuple(_treated(column, made, draft.levels, draft.dates, training) for column in inspection.columns)
    features = tuple(feature for _, feature in made)
    preparation = dataclasses.replace(draft, transformer=transformer, columns=columns, feature_names=features)

    own = len(table.frame)
    rows = np.sort(np.concatenate([split.train, split.validation, split.test]))
    parts = [_part(preparation, table, rows[rows < own])]
    if split.test_table is not None:
        parts.append(_part(preparation, split.test_table, rows[rows >= own] - own))
    index = [np.searchsorted(rows, part) for part in (split.train, split.validation, split.test)]
    dataset = Dataset(
        x=np.concatenate([x for x, _ in parts]),
        y=np.concatenate([y for _, y in parts]),
        task=inspection.task,
        feature_names=features,
        target=inspection.target,
        train=index[0],
        validation=index[1],
        test=index[2],
        classes=inspection.classes,
        target_mean=mean,
        target_scale=scale,
        columns=columns,
        rows=rows,
        notes=(*table.notes, *inspection.notes),
        split=split.how,
        fingerprint=table.fingerprint,
        source=table.source,
    )
    return preparation, dataset


def _part(preparation: Preparation, table: Table, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of some rows of a table."""

    def where(position: int) -> str:
        return table.place(int(rows[position]))

    frame = table.frame.iloc[rows]
    y = frame[preparation.target].reset_index(drop=True)
    if preparation.task == "regression":
        y = conform(preparation.target, y, Form("number"), preparation.na, where).values
    return preparation._apply(preparation._cells(frame, where)), preparation.target_values(y)


def _form(form: Form, kind: str) -> Form:
    """How the cells of a column of that kind are read: a category's numbers are codes, other words in it new levels."""
    if kind == "category":
        return dataclasses.replace(form, kind="code") if form.kind == "number" else Form("text")
    return Form("text") if kind == "boolean" and form.kind != "number" else form


def _target_scale(table: Table, inspection: Inspection, split: Split) -> tuple[float, float]:
    y = table.frame[inspection.target].iloc[split.train]
    if y.nunique() < 2:
        raise InputError(
            f"the training rows hold one value of the target {inspection.target!r} only, {y.iloc[0]!s}.",
            "Split the rows otherwise (--seed, --group, --time), or give more.",
        )
    if inspection.task != "regression":
        return 0.0, 1.0
    values = y.to_numpy(dtype=np.float64)
    return float(values.mean()), float(values.std()) or 1.0


def _treated(
    column: Column,
    made: Sequence[tuple[str, str]],
    levels: Mapping[str, tuple[str, ...]],
    dates: Mapping[str, tuple[int, tuple[str, ...]]],
    training: pd.DataFrame,
) -> Column:
    """The column with what was done to it."""
    features = tuple(feature for name, feature in made if name == column.name)
    if column.kind == "target":
        return dataclasses.replace(column, treatment="predicted")
    if column.treatment or not features:
        return column
    gaps = int(training[column.name].isna().sum())
    flagged = f"{column.name} (missing)" in features
    if column.kind == "number":
        text = "standardized"
        if flagged:
            text = f"missing values ({gaps} of the training rows) set to the median and marked, standardized"
    elif column.kind == "boolean":
        text = "0 or 1" + (
            f"; missing values ({gaps} of the training rows) set to the more frequent and marked" * flagged
        )
    elif column.kind == "date":
        text = f"made into {', '.join(dates[column.name][1])}, standardized" + ("; missing ones marked" * flagged)
    else:
        kept = levels[column.name]
        rare = int(training[column.name].nunique()) - sum(level not in (RARE, MISSING) for level in kept)
        text = f"one input for each of {len(kept)} values"
        text += f", {rare} rare values joined" if RARE in kept else ""
        text += ", missing as a value" if MISSING in kept else ""
    return dataclasses.replace(column, treatment=text, features=features)
