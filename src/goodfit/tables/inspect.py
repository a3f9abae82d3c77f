"""`inspect`: what each column of a table is, what the target asks for, and what looks suspicious."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from goodfit.errors import InputError, option
from goodfit.tables.grid import text_of
from goodfit.tables.kinds import column_kind
from goodfit.tables.leakage import suspicions
from goodfit.tables.read import Table
from goodfit.tables.target import target_classes, target_codes, task_of
from goodfit.values import Column, Task

MINIMUM_ROWS = 10
_EXTREME = 1e100  # of targets: the square of one, times the rows, must be a number
_MANY_NOTES = 6  # columns of one kind that are told one by one
_MANY_CLASSES = 20  # class sizes told one by one
_MOST_CATEGORIES = 10_000  # of one column; more were hardly meant, and are taken only where the user says so
_IMBALANCE = 0.5  # the rarest class, as a share of an equal one, from which on the classes are called imbalanced


@dataclass(frozen=True)
class Inspection:
    """What a table holds and what its target asks for.

    Args:
        target: the target column.
        task: what it asks for.
        reason: why it was taken for that task, one sentence.
        columns: every column; those left out have a `treatment` that says so.
        notes: what was decided on the way, one sentence each.
        dropped_rows: positions of the rows without a target.
        classes: the labels in the order of their codes; empty for a regression.
        class_rows: rows of each class.
    """

    target: str
    task: Task
    reason: str
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    dropped_rows: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    class_rows: tuple[int, ...] = ()

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The columns that are given to the network."""
        return tuple(c for c in self.columns if c.kind not in ("target", "role") and not c.treatment)

    def column(self, name: str) -> Column:
        """The column of that name; `KeyError` where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def nearest(name: str, known: Iterable[str]) -> str:
    """The name that is most likely meant, or `""`.

    >>> nearest("MPG", ["mpg", "weight"]), nearest("wieght", ["mpg", "weight"]), nearest("x", ["mpg"])
    ('mpg', 'weight', '')
    """
    folded = {c.casefold().strip(): c for c in known}
    found = difflib.get_close_matches(name.casefold().strip(), folded, n=1, cutoff=0.5)
    return folded[found[0]] if found else ""


def find_column(name: str, columns: Iterable[str], what: str = "column") -> str:
    """`name`, where the table has it.

    Raises:
        InputError: the table has no such column; the nearest name is suggested.
    """
    known = [str(column) for column in columns]
    if name in known:
        return name
    near = nearest(name, known)
    listed = ", ".join(map(repr, known[:12])) + (", …" if len(known) > 12 else "")
    remedy = f"Did you mean {near!r}?" if near else f"The table has {listed}."
    raise InputError(f"the {what} {name!r} is not in the table.", remedy)


def inspect(
    table: Table,
    target: str,
    *,
    task: Task | None = None,
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    drop: Sequence[str] = (),
    roles: Sequence[str] = (),
) -> Inspection:
    """What each column is, what the target asks for, and what looks suspicious.

    Args:
        table: as read.
        target: the column to predict.
        task: what the target asks for; found where `None`.
        categorical: columns whose numbers are codes, not quantities.
        numeric: columns that are quantities though they look like codes.
        drop: columns to leave out.
        roles: columns that only steer the split (group, time).

    Raises:
        InputError: the target can't be predicted, or a column can't be used as it stands.

    Example:
        >>> import pandas as pd
        >>> from goodfit.tables import read
        >>> frame = pd.DataFrame({"origin": [1, 2, 3] * 10, "weight": range(100, 130), "mpg": np.arange(30) / 7})
        >>> found = inspect(read(frame), "mpg")
        >>> found.task, found.column("origin").kind, found.column("weight").kind
        ('regression', 'category', 'number')
    """
    names = list(table.frame.columns)
    categorical, numeric, drop, roles = (
        (given,) if isinstance(given, str) else given for given in (categorical, numeric, drop, roles)
    )
    target = find_column(target, names, "target")
    categorical = [find_column(c, names, "categorical column") for c in categorical]
    numeric = [find_column(c, names, "numeric column") for c in numeric]
    drop = [find_column(c, names, "column to drop") for c in drop]
    roles = [find_column(c, names) for c in roles if c]
    _refuse_conflicts(target, categorical, numeric, drop, roles)

    for name, fault in table.faults.items():
        if name in drop or name in roles or (fault.text and name in categorical):
            continue
        if name == target and fault.text and task in ("binary", "multiclass"):
            continue
        if name == target and not fault.text:
            raise InputError(fault.problem, "Mend these cells or clear them: rows without a target are left out.")
        raise fault.error()

    y = table.frame[target]
    gone = np.flatnonzero(y.isna().to_numpy())
    if len(gone) == len(y):
        raise InputError(f"the target {target!r} has no value in any row.", "Choose another target.")
    notes = []
    if len(gone):
        notes.append(f"{len(gone)} of {len(y)} rows have no value of the target {target!r} and are left out.")
    frame = table.frame[y.notna()] if len(gone) else table.frame
    y = frame[target]
    if len(frame) < MINIMUM_ROWS:
        rows = "one row" if len(frame) == 1 else f"{len(frame)} rows"
        raise InputError(
            f"{table.source} has only {rows} with a target; at least {MINIMUM_ROWS} are needed.", "Give more rows."
        )
    _refuse_constant(y, target, len(gone))
    if task is None and (target in numeric or target in categorical):
        task = "regression" if target in numeric else "binary" if y.nunique() == 2 else "multiclass"
    found_task, reason = task_of(y, target, task)
    if found_task == "regression":
        _refuse_extreme(y, target)
    classes: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    if found_task != "regression":
        classes, counts = target_classes(y)
        sizes = tuple(int(count) for count in counts)
        notes += _balance(target, classes, sizes, table, y)

    columns = []
    said: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        if name == target:
            columns.append(_column(name, "target", frame[name], reason))
        elif name in roles:
            columns.append(_column(name, "role", frame[name], "it only steers the split", "not given to the network"))
        else:
            kind, why, note = column_kind(
                name, frame[name], names, categorical=name in categorical, numeric=name in numeric
            )
            if name not in drop:
                _refuse_unusable(name, kind, frame[name], categorical)
            treatment = "left out: asked for" if name in drop else _left_out(kind)
            columns.append(_column(name, kind, frame[name], why, treatment))
            if note and name not in drop:
                said.setdefault(kind, []).append((name, note))
    notes += _joined(said)
    inspection = Inspection(target, found_task, reason, tuple(columns), (), tuple(map(int, gone)), classes, sizes)
    if not inspection.inputs:
        raise InputError(
            f"no column is left to predict {target!r} from: "
            + (
                ", ".join(f"{c.name!r}: {c.treatment}" for c in columns if c.kind != "target")[:300]
                or "no other is there"
            )
            + ".",
            "Give a table with more columns, or name one that is a category with --categorical.",
        )
    notes += suspicions(frame, inspection.inputs, target, found_task)
    copies = _copies(frame)
    if copies:
        rows = "row is a copy" if copies == 1 else "rows are copies"
        notes.append(f"{copies} {rows} of another row, target included; they may stand on both sides of the split.")
    return dataclasses.replace(inspection, notes=tuple(notes))


def _joined(said: dict[str, list[tuple[str, str]]]) -> list[str]:
    """One sentence a column; many columns of one kind in one."""
    what = {
        "constant": "are constant; they are left out",
        "empty": "have no value; they are left out",
        "identifier": "name the row; they are left out (--categorical or --numeric keeps one)",
        "text": "are free text; they are left out",
        "number": "have few different whole numbers and were taken for quantities (--categorical for a code)",
        "category": "were taken for categories (--numeric for a quantity)",
    }
    notes = []
    for kind, found in said.items():
        if len(found) <= _MANY_NOTES or kind not in what:
            notes += [note for _, note in found]
        else:
            shown = ", ".join(repr(name) for name, _ in found[:_MANY_NOTES])
            notes.append(f"{len(found)} columns {what[kind]}: {shown}, ….")
    return notes


def _refuse_conflicts(
    target: str, categorical: Sequence[str], numeric: Sequence[str], drop: Sequence[str], roles: Sequence[str]
) -> None:
    for names, what in ((drop, "dropped"), (roles, "a column that steers the split"), (categorical, "")):
        if target in names and what:
            raise InputError(f"the target {target!r} can't be {what}.", "Choose another column.")
    both = [name for name in categorical if name in numeric]
    if both:
        raise InputError(f"the column {both[0]!r} is called both categorical and numeric.", "Choose one.")


def _refuse_unusable(name: str, kind: str, values: pd.Series, categorical: Sequence[str]) -> None:
    """A column that nobody can have meant: without a value, or a category of more values than any network can use."""
    if kind == "empty":
        raise InputError(f"the column {name!r} has no value in any row.", f"Leave it out: {option('drop', name)}.")
    if kind == "category" and name not in categorical and (unique := values.nunique()) > _MOST_CATEGORIES:
        raise InputError(
            f"the column {name!r} holds {unique} different categories.",
            f"Leave it out ({option('drop', name)}), or keep the most frequent ones ({option('categorical', name)}).",
        )


def _refuse_constant(y: pd.Series, target: str, missing: int) -> None:
    values = y.unique()
    if len(values) == 1:
        others = f" {missing} more have no value; words such as NA count as none unless --na ''." if missing else ""
        raise InputError(
            f"the target {target!r} is constant: every one of {len(y)} rows holds {values[0]!s}.{others}",
            "Choose another target, or give rows that differ in it.",
        )


def _refuse_extreme(y: pd.Series, target: str) -> None:
    largest = float(y.abs().max())
    if not 1 / _EXTREME < largest < _EXTREME:
        raise InputError(
            f"the target {target!r} holds values up to {largest:.0e}, whose squares no number can hold.",
            "Give it in another unit.",
        )


def _balance(target: str, classes: tuple[str, ...], sizes: tuple[int, ...], table: Table, y: pd.Series) -> list[str]:
    single = [name for name, size in zip(classes, sizes) if size == 1]
    if single:
        at = int(np.flatnonzero(target_codes(y, classes) == classes.index(single[0]))[0])
        at = int(y.index.to_numpy()[at])
        more = f" (and {len(single) - 1} more classes)" if len(single) > 1 else ""
        raise InputError(
            f"the class {single[0]!r} of the target {target!r} has one row only, {table.place(at)}{more}: "
            "it can't be both learned and tested.",
            "Leave that row out, join the class with another, or give more rows of it"
            + (
                f" (or {option('task', 'regression')}, where the target is a quantity)."
                if pd.api.types.is_numeric_dtype(y)
                else "."
            ),
        )
    total = sum(sizes)
    notes = []
    if len(classes) <= _MANY_CLASSES:
        shares = ", ".join(f"{name} {size} ({size / total:.0%})" for name, size in zip(classes, sizes))
        notes.append(f"the classes of {target!r}: {shares}.")
    else:
        notes.append(f"{target!r} has {len(classes)} classes of {min(sizes)} to {max(sizes)} rows.")
    if min(sizes) * len(classes) < _IMBALANCE * total:
        rarest = classes[int(np.argmin(sizes))]
        notes.append(
            f"the classes are imbalanced: {rarest!r} is {min(sizes) / total:.1%} of the rows; "
            "accuracy alone would mislead, so balanced accuracy stands beside it."
        )
    return notes


def _left_out(kind: str) -> str:
    return {
        "empty": "left out: it has no value",
        "constant": "left out: it is constant",
        "identifier": "left out: it names the row",
        "text": "left out: free text",
    }.get(kind, "")


def _column(name: str, kind: str, values: pd.Series, reason: str, treatment: str = "") -> Column:
    present = values.dropna()
    example = "" if present.empty else _example(present.iloc[0])
    missing = len(values) - len(present)
    unique = int(present.nunique())
    return Column(name, kind, len(values), missing, unique, reason, treatment, (), example)  # pyright: ignore[reportArgumentType]


def _example(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) and not value.is_integer() else text_of(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _copies(frame: pd.DataFrame) -> int:
    return int(frame.duplicated().sum())
