"""Histories as Python holds them: a mapping of lists, a list of rows, a DataFrame; JSON is parsed into the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goodfit.errors import InputError
from goodfit.logs.cells import column, plural
from goodfit.logs.formats import Log
from goodfit.logs.names import by_part, counts, is_curve, part_of

_PAIR = {"validation_0", "validation_1"}
_EXPECTED = "A history maps names of curves to lists of numbers, or is a list of rows, one per epoch."


def histories(what: Any, source: str, name: str = "", depth: int = 0) -> tuple[Log, ...]:
    """The histories in plain data.

    A mapping of lists, a list of mappings (rows), a DataFrame, a mapping of mappings as pandas writes JSON; or a
    mapping that holds one of these a level or two below (`{"history": {...}}`, `{"log_history": [...]}`), several of
    them under their names.

    Args:
        what: plain data.
        source: where it stands, for messages.
        name: of the history.
        depth: levels above.

    Raises:
        InputError: there is none in it.
    """
    if hasattr(what, "columns") and hasattr(what, "to_numpy"):
        return (_of_lists(_frame_columns(what), source, name),)
    if isinstance(what, Mapping):
        return _of_mapping(what, source, name, depth)
    if _is_list(what) and len(what) and all(isinstance(row, Mapping) for row in what):
        return (_of_rows(list(what), source, name),)
    raise InputError(f"{source} is not a history of a training.", _EXPECTED)


def _of_mapping(what: Mapping[Any, Any], source: str, name: str, depth: int) -> tuple[Log, ...]:
    lists = {str(key): value for key, value in what.items() if _is_list(value) and _is_numeric(value)}
    if lists:
        return (_of_lists(lists, source, name),)
    if {"train"} < {part_of(str(key)) for key in what} - {""} or set(what) >= _PAIR:
        joined = _parts_joined(what, source, name)
        if joined is not None:
            return (joined,)
    inner = {str(key): value for key, value in what.items() if isinstance(value, Mapping)}
    if inner and all(_counts(value) for value in inner.values()):  # pandas: {"loss": {"0": 0.5, …}}
        return (_of_rows(_turned(inner), source, name),)
    if inner and _counts(inner) and all(map(_is_row, inner.values())):  # pandas: {"0": {"loss": 0.5}, …}
        return (_of_rows([inner[key] for key in sorted(inner, key=int)], source, name),)
    if depth == 0 and any(_is_number(value) for value in what.values()) and any(map(is_curve, map(str, what))):
        return (_of_rows([what], source, name),)  # the one row that a training which has just begun has written
    if depth < 3:
        found: list[Log] = []
        for key, value in what.items():
            if isinstance(value, Mapping) or (_is_list(value) and len(value) and isinstance(value[0], Mapping)):
                try:
                    found += histories(value, source, str(key), depth + 1)
                except InputError:
                    continue
        if found:
            return tuple(found)
    raise InputError(f"{source} is not a history of a training.", _EXPECTED)


def _parts_joined(what: Mapping[Any, Any], source: str, name: str) -> Log | None:
    """One history of a mapping that holds those of training and validation rows under their names, `None` where it
    holds something else."""
    held = {str(key): value for key, value in what.items() if part_of(str(key))}
    notes = ()
    if not {"train"} < {part_of(key) for key in held}:  # of XGBoost, where the sets have no names of their own
        held = {"train": what["validation_0"], "validation": what["validation_1"]}
        notes = (
            "validation_0 is read as the training rows, validation_1 as others, in the order in which they are given.",
        )
    if all(isinstance(value, Mapping) for value in held.values()):
        lists = {
            key: {str(k): v for k, v in value.items() if _is_list(v) and len(v) and _is_numeric(v)}
            for key, value in held.items()
        }
        if not all(lists.values()):
            return None
        if not any(counts(one) for columns in lists.values() for one in columns):
            log = _of_lists(
                {f"{key} {k}": v for key, columns in lists.items() for k, v in columns.items()}, source, name
            )
            return dataclasses.replace(log, notes=(*notes, *log.notes))
        held = {key: [dict(zip(columns, row)) for row in zip(*columns.values())] for key, columns in lists.items()}
    if not all(_is_list(rows) and len(rows) and all(map(_is_row, rows)) for rows in held.values()):
        return None
    rows = [{"rows": key, **_numbered(row, place)} for key, rows in held.items() for place, row in enumerate(rows)]
    log = _of_rows(rows, source, name)
    return dataclasses.replace(log, notes=(*notes, *log.notes))


def _numbered(row: Mapping[Any, Any], place: int) -> Mapping[Any, Any]:
    return row if any(counts(str(key)) for key in row) else {"epoch": place, **row}


def _of_lists(lists: Mapping[str, Any], source: str, name: str) -> Log:
    longest = max(len(values) for values in lists.values())
    if longest == 0:
        raise InputError(f"{source} holds lists without a value.", "Give the log of a training that has begun.")
    columns, words, notes = {}, {}, []
    for key, values in lists.items():
        numbers, texts = column(list(values))
        if len(texts) == len(numbers):
            words[key] = [str(value) for value in values]
            continue
        if texts:
            notes.append(
                f"left out: {plural(len(texts), 'word')} among the numbers of {key!r} (entry {texts[0] + 1} first)."
            )
        placed = _placed(key, numbers, longest, source, notes)
        if placed is not None:
            columns[key] = placed
    if not columns:
        raise InputError(f"{source} holds no list of numbers.", _EXPECTED)
    return Log(_long(columns, words, longest, notes), tuple(notes), name=name)


def _long(
    columns: dict[str, np.ndarray], words: Mapping[str, list[str]], length: int, notes: list[str]
) -> dict[str, np.ndarray]:
    """The columns of a long table as one for each curve."""
    return by_part(columns, {key: cells for key, cells in words.items() if len(cells) == length}, notes)


def _placed(key: str, values: np.ndarray, length: int, source: str, notes: list[str]) -> np.ndarray | None:
    """A shorter list on the axis of the longest: a validation every k-th epoch, or a last entry not yet written; `None`
    where it is no curve."""
    count = len(values)
    if count == length:
        return values
    out = np.full(length, np.nan)
    every = length // max(count, 1)
    if count and every > 1 and length // every == count:
        out[every - 1 : every * count : every] = values
        notes.append(f"{key!r} has {count} entries for {length} epochs: read as one every {every} epochs.")
    elif length - count == 1:
        out[:count] = values
        notes.append(f"{key!r} has one entry less than the others: its last epoch counts as not logged.")
    elif not is_curve(key):
        notes.append(f"left out: {key!r} has {count} values for {length} epochs.")
        return None
    else:
        raise InputError(
            f"the lists in {source} have different lengths: {key!r} has {count}, the longest {length}.",
            "Give each curve one value per epoch, null where nothing was logged.",
        )
    return out


def _of_rows(rows: Sequence[Mapping[Any, Any]], source: str, name: str) -> Log:
    flat = [_flat(row) for row in rows]
    keys = list(dict.fromkeys(key for row in flat for key in row))
    columns, words, notes = {}, {}, []
    for key in keys:
        cells = [row.get(key) for row in flat]
        values, texts = column(cells)
        if np.isnan(values).all():
            if len(texts) == len(cells):
                words[key] = [str(cell) for cell in cells]
            continue
        if texts:
            notes.append(
                f"left out: {plural(len(texts), 'word')} among the numbers of {key!r} (row {texts[0] + 1} first)."
            )
        columns[key] = values
    if not columns:
        raise InputError(f"the rows in {source} hold no numbers.", _EXPECTED)
    return Log(_long(columns, words, len(flat), notes), tuple(notes), name=name)


def _flat(row: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping) and depth < 3:
            out |= _flat(value, f"{prefix}{key}/", depth + 1)
        elif not isinstance(value, (list, tuple, bool)):
            out[f"{prefix}{key}"] = value
    return out


def _turned(columns: Mapping[str, Mapping[Any, Any]]) -> list[dict[str, Any]]:
    places = sorted({int(key) for values in columns.values() for key in values})
    by_place = {key: {int(place): v for place, v in values.items()} for key, values in columns.items()}
    return [{key: by_place[key].get(place) for key in columns} for place in places]


def _frame_columns(frame: Any) -> dict[str, Any]:
    columns = _of_kinds({str(name): frame.iloc[:, place].to_numpy() for place, name in enumerate(frame.columns)})
    label = getattr(frame.index, "name", None)
    if isinstance(label, str) and label not in columns:
        columns = {label: frame.index.to_numpy(), **columns}
    if not columns:
        raise InputError("the DataFrame has no columns.", _EXPECTED)
    return columns


def _of_kinds(columns: dict[str, np.ndarray]) -> dict[str, Any]:
    """The columns with `None` in place of NaN where a row is of another kind: what stands in it never stands beside
    this column's numbers (a row of validation among those of training, the summary at the end)."""
    held = {
        name: np.array([value is not None and value == value for value in cells]) for name, cells in columns.items()
    }
    curves = [name for name in columns if not counts(name)]
    told: dict[str, Any] = dict(columns)
    for name in curves:
        beside = [held[other] for other in curves if other != name and not (held[other] & held[name]).any()]
        other_kind = np.any([~held[name] & found for found in beside], axis=0)
        if beside and held[name].any() and other_kind.any():
            told[name] = [None if off else value for value, off in zip(columns[name], other_kind, strict=True)]
    return told


def _is_list(value: Any) -> bool:
    if isinstance(value, (Mapping, str, bytes)):
        return False
    return isinstance(value, Sequence) or (hasattr(value, "__array__") and getattr(value, "ndim", 1) == 1)


def _is_numeric(values: Any) -> bool:
    array = list(values)
    return not array or any(_is_number(v) for v in array)


def _is_number(value: Any) -> bool:
    """A number, or an array that holds one, as a library may log it."""
    if isinstance(value, (bool, np.bool_)):
        return False
    return isinstance(value, (int, float, np.number)) or (
        hasattr(value, "__float__") and (getattr(value, "shape", None) in ((), (1,)))
    )


def _is_row(value: Any) -> bool:
    return isinstance(value, Mapping)


def _counts(value: Mapping[Any, Any]) -> bool:
    """Whether the keys are 0, 1, 2, … as text."""
    return bool(value) and all(str(key).isdecimal() for key in value)
