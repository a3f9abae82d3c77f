"""From raw cells to what scikit-learn transforms: levels of categories, parts of dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from goodfit.tables.grid import text_of
from goodfit.tables.kinds import truth

MISSING = "(missing)"
RARE = "(rare)"
_MOST_LEVELS = 30  # levels of a category that get an input of their own
_LEVEL_ROWS = 5  # training rows that a level needs for that (two where there are fewer than 100)
_YEAR = 365.2425  # days

Input = tuple[str, str]  # a column, and the part of it (of a date) or ""


def words(values: pd.Series) -> pd.Series:
    """Cells of a category as text, missing ones by a word of their own."""
    codes, found = pd.factorize(values.to_numpy(dtype=object))
    lookup = np.array([*(text_of(value) for value in found), MISSING], dtype=object)
    return pd.Series(lookup[codes], dtype=object)


def levels_of(values: pd.Series) -> tuple[str, ...]:
    """The levels of a category that get an input: the most frequent, and the missing and rare ones."""
    counts = words(values).value_counts()
    missing = MISSING in counts.index
    counts = counts.drop(MISSING, errors="ignore")
    least = _LEVEL_ROWS if len(values) >= 100 else 2
    kept = counts[counts >= least].sort_index().sort_values(ascending=False, kind="stable")[:_MOST_LEVELS]
    return (
        *sorted(map(str, kept.index)),
        *([RARE] if len(kept) < len(counts) else []),
        *([MISSING] if missing else []),
    )


def date_parts(values: pd.Series) -> tuple[int, tuple[str, ...]]:
    """The first moment of the training rows, and which parts of the date vary."""
    present = values.dropna()
    if present.empty:
        return 0, ("days",)
    parts = ["days"]
    if (present.max() - present.min()).days >= 60:
        parts.append("season")
    if present.dt.day_of_week.nunique() > 1 and len(present) >= 20:
        parts.append("weekday")
    if (present.dt.hour * 60 + present.dt.minute).nunique() > 1:
        parts.append("hour")
    return int(present.min().to_datetime64().astype("datetime64[us]").astype(np.int64)), tuple(parts)


def inputs_of(
    name: str,
    values: pd.Series,
    kind: str,
    levels: tuple[str, ...] | None,
    date: tuple[int, tuple[str, ...]] | None,
) -> dict[Input, np.ndarray]:
    """One column's cells as what scikit-learn transforms; nothing is fitted here."""
    if kind == "number":
        return {(name, ""): values.to_numpy(dtype=np.float64)}
    if kind == "boolean":
        codes, found = pd.factorize(values.to_numpy(dtype=object))
        return {(name, ""): np.array([*(truth(value) for value in found), np.nan])[codes]}
    if kind == "date":
        first, parts = date or (0, ())
        return _date_inputs(name, values, first, parts)
    texts = words(values)
    return {(name, ""): texts.where(texts.isin(levels or ()), RARE).to_numpy(dtype=object)}


def _date_inputs(name: str, values: pd.Series, first: int, parts: tuple[str, ...]) -> dict[Input, np.ndarray]:
    micros = values.to_numpy(dtype="datetime64[us]")
    days = np.where(np.isnat(micros), np.nan, (micros.astype(np.int64).astype(float) - first) / 86_400e6)
    made: dict[Input, np.ndarray] = {(name, "days"): days}
    dates = values.dt
    turns = {
        "season": (dates.day_of_year, _YEAR),
        "weekday": (dates.day_of_week, 7),
        "hour": (dates.hour + dates.minute / 60, 24),
    }
    for part in parts:
        if part in turns:
            place, period = turns[part]
            angle = 2 * np.pi * place.to_numpy(dtype=float) / period
            made[name, f"{part} sin"] = np.sin(angle)
            made[name, f"{part} cos"] = np.cos(angle)
    return made


def fit(
    cells: Mapping[Input, np.ndarray], kinds: Mapping[str, str], levels: Mapping[str, tuple[str, ...]]
) -> tuple[Any, list[tuple[str, str]]]:
    """The transformer fitted on the training rows, and (column, input name) for each of its outputs.

    Args:
        cells: of the training rows.
        kinds: of each column.
        levels: of each category.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    keys = list(cells)
    numbers = [i for i, (column, _) in enumerate(keys) if kinds[column] in ("number", "date")]
    booleans = [i for i, (column, _) in enumerate(keys) if kinds[column] == "boolean"]
    categories = [i for i, (column, _) in enumerate(keys) if kinds[column] == "category"]
    gaps = [i for i in [*numbers, *booleans] if keys[i][1] in ("", "days") and np.isnan(cells[keys[i]]).any()]
    steps: list[tuple[str, Any, list[int]]] = []
    made: list[tuple[str, str]] = []
    if numbers:
        impute = SimpleImputer(strategy="median", keep_empty_features=True)
        steps.append(("numbers", Pipeline([("impute", impute), ("scale", StandardScaler())]), numbers))
        made += [(column, f"{column} ({part})" if part else column) for column, part in (keys[i] for i in numbers)]
    if booleans:
        steps.append(("booleans", SimpleImputer(strategy="most_frequent", keep_empty_features=True), booleans))
        made += [(keys[i][0], keys[i][0]) for i in booleans]
    if categories:
        known: Any = [np.array(levels[keys[i][0]], dtype=object) for i in categories]
        # A level that no training row has: the rare ones' input where there is one, else none at all.
        encoder = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False)
        steps.append(("categories", encoder, categories))
        made += [(keys[i][0], f"{keys[i][0]}={level}") for i in categories for level in levels[keys[i][0]]]
    if gaps:
        steps.append(("missing", MissingIndicator(features="all"), gaps))
        made += [(keys[i][0], f"{keys[i][0]} (missing)") for i in gaps]
    return ColumnTransformer(steps).fit(matrix(cells)), made


def matrix(cells: Mapping[Input, np.ndarray]) -> pd.DataFrame:
    """The cells as the transformer takes them: columns by number."""
    return pd.DataFrame(dict(enumerate(cells.values())))
