"""Reading and writing the files of a saved run: JSON, CSV, NumPy arrays; a broken one is named."""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goodfit.errors import InputError
from goodfit.values import Run, Study

FORMAT = 1
_SIGNAL_EPOCHS = "signal_epochs"


def write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn whatever a missing or broken file raises into an `InputError` that names it."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{file.parent} has no {file.name}.", "Was a part of it moved or deleted?") from error
    except OSError as error:
        raise InputError(f"{file} can't be read: {error.strerror or error}.", "Check its permissions.") from error
    except KeyError as error:
        raise InputError(f"{file} is broken: {error} is missing.", "Save the run again.") from error
    except Exception as error:  # what a foreign file makes json, csv, zipfile or NumPy raise is no closed list
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(f"{file} is broken: {reason}.", "Save the run again.") from error


def read_json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def read_about(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    what = name.removesuffix(".json")
    if not folder.exists():
        raise InputError(f"{folder} does not exist.", f"Give the folder of a saved {what}.")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file.", f"Give the folder of a saved {what}.")
    if not file.exists():
        raise InputError(f"{folder} has no {name}, so it is no saved {what}.", f"Give the folder of a saved {what}.")
    with reading(file):
        data = read_json(file)
        if not isinstance(data, dict) or not isinstance(data.get("format"), int):
            raise InputError(f"{file} was not written by goodfit.", f"Give the folder of a saved {what}.")
        if data["format"] > FORMAT:
            raise InputError(
                f"{file} was written by a later version of goodfit ({data.get('goodfit')}).", "Upgrade goodfit."
            )
    return data


def write_history(run: Run, file: Path) -> None:
    """One line per seed and epoch; `repr` of a float reads back as the same float."""
    names = list(run.curves)
    epochs = [_text(value) for value in np.asarray(run.epoch).tolist()]
    curves = [np.asarray(run.curves[name], dtype=np.float64).tolist() for name in names]
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["epoch", "seed", *names])
        for s, seed in enumerate(run.seeds):
            for e, epoch in enumerate(epochs):
                writer.writerow([epoch, seed, *(_text(curve[s][e]) for curve in curves)])


def read_history(file: Path, names: list[str], seeds: tuple[int, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rows = _read_csv(file, ["epoch", "seed", *names])
    epochs = len(rows) // max(len(seeds), 1)
    first = [row[0] for row in rows[:epochs]]
    if [row[:2] for row in rows] != [[epoch, str(seed)] for seed in seeds for epoch in first]:
        raise ValueError(f"its lines are not {epochs} epochs of each of the seeds {list(seeds)}")
    values = np.array([[_number(cell) for cell in row[2:]] for row in rows], dtype=np.float64)
    values = values.reshape(len(seeds), epochs, len(names))
    curves = {name: np.ascontiguousarray(values[:, :, k]) for k, name in enumerate(names)}
    return _numbers(first), curves


def write_signals(run: Run, file: Path) -> None:
    if _SIGNAL_EPOCHS in run.signals or "file" in run.signals:
        raise ValueError(f"a signal can't be called {_SIGNAL_EPOCHS!r} or 'file'")
    arrays = {name: np.asarray(values) for name, values in run.signals.items()}
    with file.open("wb") as handle:
        np.savez_compressed(handle, allow_pickle=False, **arrays, **{_SIGNAL_EPOCHS: np.asarray(run.signal_epochs)})


def read_signals(file: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The signals, and the epochs of their samples."""
    with file.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
        signals = {name: archive[name] for name in archive.files}
    return signals, signals.pop(_SIGNAL_EPOCHS)


def write_predictions(study: Study, file: Path) -> dict[str, Any]:
    """Writes the table and returns its layout: for each key its type and the names of its columns."""
    layout: dict[str, Any] = {}
    columns: list[list[str]] = []
    for key, values in study.predictions.items():
        array = np.asarray(values)
        kind = {"b": "boolean", "i": "integer", "u": "integer", "f": "number"}.get(array.dtype.kind, "text")
        names = [key] if array.ndim == 1 else _class_columns(key, array.shape[1], study.about.get("classes", ()))
        layout[key] = {"type": kind, "columns": names, "matrix": array.ndim == 2}
        columns += [
            [_text(value) for value in column] for column in (array[:, None] if array.ndim == 1 else array).T.tolist()
        ]
    header = [name for entry in layout.values() for name in entry["columns"]]
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))
    return layout


def _class_columns(key: str, width: int, classes: Sequence[Any]) -> list[str]:
    labels = [str(label) for label in classes] if len(classes) == width else [str(k) for k in range(width)]
    return [f"{key} {label}" for label in labels]


def read_predictions(file: Path, layout: Mapping[str, Any]) -> dict[str, np.ndarray]:
    rows = _read_csv(file, [name for entry in layout.values() for name in entry["columns"]])
    predictions: dict[str, np.ndarray] = {}
    start = 0
    for key, entry in layout.items():
        width = len(entry["columns"])
        cells = [cell for row in rows for cell in row[start : start + width]]
        match entry["type"]:
            case "integer":
                array = np.array([int(cell) for cell in cells], dtype=np.int64)
            case "number":
                array = np.array([_number(cell) for cell in cells], dtype=np.float64)
            case "boolean":
                array = np.array([cell == "True" for cell in cells], dtype=bool)
            case _:
                array = np.array(cells, dtype=np.str_)
        predictions[key] = array.reshape(len(rows), width) if entry["matrix"] else array
        start += width
    return predictions


def _read_csv(file: Path, header: list[str]) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as handle:
        first, *rows = list(csv.reader(handle, strict=True)) or [[]]
    if first != header:
        raise ValueError(f"its first line is {','.join(first)!r}, not {','.join(header)!r}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} values, not {len(header)}")
    return rows


# Numbers as text, and back


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else repr(value)
    return str(value)


def _number(cell: str) -> float:
    return float(cell) if cell else float("nan")


def _numbers(cells: Sequence[str]) -> np.ndarray:
    if all(re.fullmatch(r"-?\d+", cell) for cell in cells):
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    return np.array([_number(cell) for cell in cells], dtype=np.float64)


def number_to_json(value: Any) -> Any:
    """A number for JSON, which knows no infinity: `"inf"`; not-a-number becomes null."""
    if isinstance(value, (list, tuple)):
        return [number_to_json(item) for item in value]
    number = float(value)
    return repr(number) if np.isinf(number) else None if np.isnan(number) else number


def number_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [number_from_json(item) for item in value]
    return float("nan") if value is None else float(value)


def encoded(data: Mapping[str, Any], numbers: Sequence[str]) -> dict[str, Any]:
    return {key: number_to_json(value) if key in numbers else value for key, value in data.items()}


def decoded(data: Mapping[str, Any], numbers: Sequence[str]) -> dict[str, Any]:
    return {key: number_from_json(value) if key in numbers else value for key, value in data.items()}
