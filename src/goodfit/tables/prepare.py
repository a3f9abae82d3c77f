"""`prepare`: raw rows -> inputs of a network, by what was learned from the training rows alone."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodfit.errors import InputError
from goodfit.tables.convert import Form, conform, text_of
from goodfit.tables.inspect import Inspection
from goodfit.tables.kinds import truth
from goodfit.tables.read import Table, read_alike
from goodfit.tables.source import place
from goodfit.tables.split import Split
from goodfit.tables.target import target_codes
from goodfit.values import Column, Dataset, Task

_MOST_LEVELS = 30  # levels of a category that get an input of their own
_LEVEL_ROWS = 5  # training rows that a level needs for that (two where there are fewer than 100)
_MISSING = "(missing)"
_RARE = "(rare)"
_YEAR = 365.2425  # days
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
    na: tuple[str, ...] = ()
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
        forms = {name: self.forms.get(name, Form("text")) for name in self.header}
        return read_alike(source, forms, self.na or None, names=names, sep=sep, encoding=encoding, sheet=sheet)

    def review(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """What is to be said about a table before it is transformed: columns not used, values not seen in training.

        Raises:
            InputError: a column is missing.
        """
        self._require(frame)
        known = {column.name for column in self.columns}
        extra = [str(name) for name in frame.columns if str(name) not in known]
        notes = []
        if extra:
            shown = ", ".join(map(repr, extra[:6])) + (", …" if len(extra) > 6 else "")
            notes.append(f"not in the training table, so ignored: {shown}.")
        for name, levels in self.levels.items():
            cells = _words(conform(name, frame[name], self.forms[name], self.na, lambda i: place(i, None)))
            new = cells[~cells.isin([*levels, _MISSING])].unique()
            if len(new) and _RARE not in levels:
                shown = ", ".join(f"“{value}”" for value in new[:4]) + (", …" if len(new) > 4 else "")
                notes.append(f"{name!r}: {len(new)} value(s) not among the training rows: {shown}.")
        return tuple(notes)

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """Raw rows as inputs, shape (rows, features), float32, every row kept and in order, nothing missing.

        Args:
            frame: rows of the training table's form; missing and unseen values included, columns in any order.

        Raises:
            InputError: a column is missing, or a cell is neither of its column's form nor missing.
        """
        self._require(frame)
        return _apply(self.transformer, self._cells(frame))

    def _cells(self, frame: pd.DataFrame, lines: np.ndarray | None = None) -> dict[str, np.ndarray]:
        cells: dict[str, np.ndarray] = {}
        for name, form in self.forms.items():
            values = conform(name, frame[name].reset_index(drop=True), form, self.na, lambda i: place(i, lines))
            cells.update(_inputs(name, values, self.kinds[name], self.levels.get(name), self.dates.get(name)))
        return cells

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each input column."""
        return {column.name: column.kind for column in self.columns if column.name in self.forms}

    def _require(self, frame: pd.DataFrame) -> None:
        missing = [name for name in self.forms if name not in frame.columns]
        if missing:
            from goodfit.tables.inspect import find_column

            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            try:
                find_column(missing[0], frame.columns)
            except InputError as error:
                raise InputError(
                    f"the table has no column {missing[0]!r}{more}, which the network was trained on.", error.remedy
                ) from None

    def target_values(self, y: pd.Series) -> np.ndarray:
        """A target column as the network is trained on it: standardized float32, or int32 codes (-1 for a new class)."""
        if self.classes:
            return target_codes(y, self.classes)
        return ((y.to_numpy(dtype=np.float64) - self.target_mean) / self.target_scale).astype(np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a `.skops` file."""
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
            "na": list(self.na),
            "header": list(self.header),
        }
        skops.io.dump({"about": json.dumps(about), "transformer": self.transformer}, Path(path))

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
            na=tuple(about["na"]),
            header=tuple(about["header"]),
        )


_TRUSTED = ("numpy.dtype", "sklearn.compose._column_transformer._RemainderColsList")


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
    forms = {name: table.forms.get(name, Form("text")) for name in names}
    forms = {
        n: Form("text") if kinds[n] in ("category", "boolean") and f.kind != "number" else f for n, f in forms.items()
    }
    na = table.na or ()
    frame = table.frame[names]
    training = frame.iloc[split.train].reset_index(drop=True)
    levels = {name: _levels(training[name]) for name in names if kinds[name] == "category"}
    dates = {name: _date_parts(training[name]) for name in names if kinds[name] == "date"}
    mean, scale = _target_scale(table, inspection, split)

    def cells_of(rows: pd.DataFrame, lines: np.ndarray | None) -> dict[str, np.ndarray]:
        cells: dict[str, np.ndarray] = {}
        for name in names:
            values = conform(name, rows[name].reset_index(drop=True), forms[name], na, lambda i: place(i, lines))
            cells.update(_inputs(name, values, kinds[name], levels.get(name), dates.get(name)))
        return cells

    transformer, made = _fit(cells_of(training, None), names, kinds, levels, dates)
    columns = tuple(_treated(column, made, levels, dates, training) for column in inspection.columns)
    preparation = Preparation(
        columns=columns,
        forms=forms,
        levels=levels,
        dates=dates,
        transformer=transformer,
        feature_names=tuple(feature for _, feature in made),
        target=inspection.target,
        task=inspection.task,
        classes=inspection.classes,
        target_mean=mean,
        target_scale=scale,
        na=na,
        header=tuple(map(str, table.frame.columns)),
    )
    own = len(table.frame)
    rows = np.sort(np.concatenate([split.train, split.validation, split.test]))
    inside, outside = rows[rows < own], rows[rows >= own] - own
    lines = None if table.lines is None else table.lines[inside]
    x = _apply(transformer, cells_of(frame.iloc[inside], lines))
    y = preparation.target_values(table.frame[inspection.target].iloc[inside])
    if split.test_table is not None:
        other = split.test_table
        lines = None if other.lines is None else other.lines[outside]
        x = np.concatenate([x, _apply(transformer, cells_of(other.frame.iloc[outside], lines))])
        form = Form("number") if inspection.task == "regression" else Form("text")
        truths = conform(
            inspection.target,
            other.frame[inspection.target].iloc[outside].reset_index(drop=True),
            form,
            na,
            lambda i: place(int(outside[i]), other.lines),
        )
        y = np.concatenate([y, preparation.target_values(truths)])
    place_of = {int(row): i for i, row in enumerate(rows)}
    index = [np.array([place_of[int(r)] for r in part]) for part in (split.train, split.validation, split.test)]
    dataset = Dataset(
        x=x,
        y=y,
        task=inspection.task,
        feature_names=preparation.feature_names,
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


def _words(values: pd.Series) -> pd.Series:
    """Cells of a category as text, missing ones by a word of their own."""
    codes, found = pd.factorize(values.to_numpy(dtype=object))
    lookup = np.array([*(text_of(value) for value in found), _MISSING], dtype=object)
    return pd.Series(lookup[codes], dtype=object)


def _levels(values: pd.Series) -> tuple[str, ...]:
    """The levels of a category that get an input: the most frequent; the missing and the rare ones where there are any."""
    counts = _words(values).value_counts()
    missing = _MISSING in counts.index
    counts = counts.drop(_MISSING, errors="ignore")
    least = _LEVEL_ROWS if len(values) >= 100 else 2
    kept = counts[counts >= least].sort_index().sort_values(ascending=False, kind="stable")[:_MOST_LEVELS]
    return (
        *sorted(map(str, kept.index)),
        *([_RARE] if len(kept) < len(counts) else []),
        *([_MISSING] if missing else []),
    )


def _date_parts(values: pd.Series) -> tuple[int, tuple[str, ...]]:
    """The first moment of the training rows, and which parts of the date vary."""
    present = values.dropna()
    if present.empty:
        return 0, ("days",)
    parts = ["days"]
    if (present.max() - present.min()).days >= 60:
        parts.append("season")
    if present.dt.dayofweek.nunique() > 1 and len(present) >= 20:
        parts.append("weekday")
    if (present.dt.hour * 60 + present.dt.minute).nunique() > 1:
        parts.append("hour")
    return int(present.min().to_datetime64().astype("datetime64[us]").astype(np.int64)), tuple(parts)


def _inputs(
    name: str,
    values: pd.Series,
    kind: str,
    levels: tuple[str, ...] | None,
    date: tuple[int, tuple[str, ...]] | None,
) -> dict[str, np.ndarray]:
    """One column's cells as what scikit-learn transforms, by input name; nothing is fitted here."""
    if kind == "number":
        return {name: values.to_numpy(dtype=np.float64)}
    if kind == "boolean":
        codes, found = pd.factorize(values.to_numpy(dtype=object))
        return {name: np.array([*(truth(value) for value in found), np.nan])[codes]}
    if kind == "date":
        assert date is not None
        return _date_inputs(name, values, *date)
    words = _words(values)
    return {name: words.where(words.isin(levels or ()), _RARE).to_numpy(dtype=object)}


def _date_inputs(name: str, values: pd.Series, first: int, parts: tuple[str, ...]) -> dict[str, np.ndarray]:
    micros = values.to_numpy(dtype="datetime64[us]")
    gone = np.isnat(micros)
    days = np.where(gone, np.nan, (micros.astype(np.int64).astype(float) - first) / 86_400e6)
    made = {f"{name} (days)": days}
    cycles = {
        "season": lambda: values.dt.dayofyear.to_numpy(dtype=float) / _YEAR,
        "weekday": lambda: values.dt.dayofweek.to_numpy(dtype=float) / 7,
        "hour": lambda: (values.dt.hour + values.dt.minute / 60).to_numpy(dtype=float) / 24,
    }
    for part in parts:
        if part in cycles:
            turn = 2 * np.pi * cycles[part]()
            made[f"{name} ({part} sin)"] = np.sin(turn)
            made[f"{name} ({part} cos)"] = np.cos(turn)
    return made


def _fit(
    cells: Mapping[str, np.ndarray],
    names: Sequence[str],
    kinds: Mapping[str, str],
    levels: Mapping[str, tuple[str, ...]],
    dates: Mapping[str, tuple[int, tuple[str, ...]]],
) -> tuple[Any, list[tuple[str, str]]]:
    """The transformer fitted on the training rows, and (column, input name) for each of its outputs."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    order = list(cells)
    source = {key: next(n for n in names if key == n or (n in dates and key.startswith(f"{n} ("))) for key in order}
    numbers = [i for i, key in enumerate(order) if kinds[source[key]] in ("number", "date")]
    booleans = [i for i, key in enumerate(order) if kinds[source[key]] == "boolean"]
    categories = [i for i, key in enumerate(order) if kinds[source[key]] == "category"]
    gaps = [
        i
        for i in [*numbers, *booleans]
        if np.isnan(cells[order[i]]).any() and " (" + order[i].rsplit(" (", 1)[-1] not in _CYCLE_ENDS
    ]
    steps: list[tuple[str, Any, list[int]]] = []
    made: list[tuple[str, str]] = []
    if numbers:
        number = Pipeline(
            [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())]
        )
        steps.append(("numbers", number, numbers))
        made += [(source[order[i]], order[i]) for i in numbers]
    if booleans:
        steps.append(("booleans", SimpleImputer(strategy="most_frequent", keep_empty_features=True), booleans))
        made += [(source[order[i]], order[i]) for i in booleans]
    if categories:
        encoder = OneHotEncoder(
            categories=[np.array(levels[order[i]], dtype=object) for i in categories],
            handle_unknown="ignore",
            sparse_output=False,
            dtype=np.float64,
        )
        steps.append(("categories", encoder, categories))
        made += [(order[i], f"{order[i]}={level}") for i in categories for level in levels[order[i]]]
    if gaps:
        steps.append(("missing", MissingIndicator(features="all"), gaps))
        made += [(source[order[i]], f"{source[order[i]]} (missing)") for i in gaps]
    transformer = ColumnTransformer(steps)
    transformer.fit(_matrix(cells))
    return transformer, made


_CYCLE_ENDS = frozenset(f" ({part} {wave})" for part in ("season", "weekday", "hour") for wave in ("sin", "cos"))


def _matrix(cells: Mapping[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame({i: values for i, values in enumerate(cells.values())})


def _apply(transformer: Any, cells: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(transformer.transform(_matrix(cells)), dtype=np.float32)


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
        rare = int(training[column.name].nunique()) - sum(level not in (_RARE, _MISSING) for level in kept)
        text = f"one input for each of {len(kept)} values"
        text += f", {rare} rare values joined" if _RARE in kept else ""
        text += ", missing as a value" if _MISSING in kept else ""
    return dataclasses.replace(column, treatment=text, features=features)
