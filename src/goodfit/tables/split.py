"""`split`: which rows train, which choose the epoch and the model, which are looked at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from goodfit.errors import InputError, option
from goodfit.tables.grid import text_of
from goodfit.tables.inspect import Inspection, find_column
from goodfit.tables.read import Table
from goodfit.tables.target import target_codes

_BINS = 10  # quantile bins of a regression target within which rows are drawn
_GROUP_DRAWS = 50  # random orders of the groups that are tried


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of rows in the table as read, rows without a target left out, each part ascending.

    Args:
        train: what everything is fitted on.
        validation: what chooses the epoch and the model.
        test: what is looked at once; with a table of test rows, positions from `len(table.frame)` on.
        how: how the rows were divided, one sentence.
        test_table: the table of test rows, where there is one.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    how: str
    test_table: Table | None = None


def split(
    table: Table,
    inspection: Inspection,
    *,
    seed: int = 0,
    validation: float = 0.2,
    test: float = 0.2,
    group: str | None = None,
    time: str | None = None,
    test_table: Table | None = None,
) -> Split:
    """Divide the rows before anything is fitted to them.

    Classes keep their shares in every part; a regression target is drawn alike from each of its ten quantile bins.

    Args:
        table: as read.
        inspection: what `inspect` found in it.
        seed: of the draw.
        validation: share of the rows, between 0 and 1; without the test rows where those are a table of their own.
        test: share of the rows; not used with `test_table`.
        group: a column whose equal values must stay on one side.
        time: a column by which the last rows are the test rows and those before them the validation rows.
        test_table: a table of its own whose rows are the test rows.

    Raises:
        InputError: too few rows or groups, a share out of range, or a test table that does not fit.

    Example:
        >>> import pandas as pd
        >>> from goodfit.tables import inspect, read
        >>> table = read(pd.DataFrame({"x": range(50), "y": np.arange(50) / 7}))
        >>> parts = split(table, inspect(table, "y", numeric=["x"]))
        >>> len(parts.train), len(parts.validation), len(parts.test)
        (30, 10, 10)
    """
    if group is not None and time is not None:
        raise InputError("both a group and a time column were given.", "Give one of --group and --time.")
    if test_table is not None:
        test = 0.0
    for name, share in (("validation", validation), ("test-size", test)):
        if not (0 < share < 1 or (name == "test-size" and test_table is not None)):
            raise InputError(f"{option(name, f'{share:g}')} is not between 0 and 1.", f"Give --{name} such as 0.2.")
    if validation + test >= 1:
        raise InputError(
            f"validation ({validation:g}) and test ({test:g}) leave no rows to train on.", "Give smaller shares."
        )
    rows = np.setdiff1d(np.arange(len(table.frame)), np.asarray(inspection.dropped_rows, dtype=np.int64))
    y = table.frame[inspection.target].iloc[rows]
    if group is not None:
        column = find_column(group, table.frame.columns, "group column")
        parts, how = _by_group(table, rows, y, inspection, column, validation, test, seed)
    elif time is not None:
        column = find_column(time, table.frame.columns, "time column")
        parts, how = _by_time(table, rows, column, validation, test)
    else:
        parts, how = _at_random(y, inspection, validation, test, seed)
    train, chosen, looked_at = (rows[np.flatnonzero(parts == part)] for part in (0, 1, 2))
    if test_table is not None:
        looked_at, said = _test_rows(table, inspection, test_table)
        how = f"{how}; the test rows are those of {said}"
        known = looked_at - len(table.frame)
        if group is not None:
            how += _of_other_groups(table, rows, test_table, known, find_column(group, table.frame.columns))
        if time is not None:
            how += _later(table, rows, test_table, known, find_column(time, table.frame.columns))
    for name, part in (("training", train), ("validation", chosen), ("test", looked_at)):
        if not len(part):
            raise InputError(
                f"no {name} rows are left.", "Give more rows, or other shares (--validation, --test-size)."
            )
    sizes = f"{len(train)} training, {len(chosen)} validation and {len(looked_at)} test rows"
    return Split(train, chosen, looked_at, f"{sizes}, {how}.", test_table)


def _strata(y: pd.Series, inspection: Inspection) -> np.ndarray:
    """A number per row: its class, or its quantile bin of a regression target."""
    if inspection.classes:
        return target_codes(y, inspection.classes).astype(np.int64)
    order = y.rank(method="first").to_numpy() - 1
    return (order * min(_BINS, max(1, len(y) // 10)) // len(y)).astype(np.int64)


def _at_random(
    y: pd.Series, inspection: Inspection, validation: float, test: float, seed: int
) -> tuple[np.ndarray, str]:
    rng = np.random.default_rng(seed)
    strata = _strata(y, inspection)
    parts = np.zeros(len(y), dtype=np.int64)
    _draw(parts, strata, test, 2, rng)
    _draw(parts, strata, validation / (1 - test), 1, rng)
    if inspection.classes:
        _serve_classes(parts, strata, test > 0)
        return parts, "drawn at random, each class in equal shares"
    return parts, "drawn at random, each range of the target in equal shares"


def _draw(parts: np.ndarray, strata: np.ndarray, share: float, part: int, rng: np.random.Generator) -> None:
    """Give `share` of the rows still in part 0 to `part`, each stratum its share but for rounding.

    Systematic sampling along the rows in random order within strata: of any run of m rows, m * share are drawn,
    rounded up or down.
    """
    left = np.flatnonzero(parts == 0)
    if share <= 0:
        return
    order = left[np.lexsort((rng.random(len(left)), strata[left]))]
    total = round(share * len(order))
    steps = (np.arange(len(order) + 1) * total + int(rng.integers(len(order)))) // len(order)
    parts[order[np.diff(steps) > 0]] = part


def _serve_classes(parts: np.ndarray, codes: np.ndarray, tested: bool) -> None:
    """Every class trains on at least one row, and is tested and validated where it has rows for it."""
    for code in np.unique(codes):
        mine = np.flatnonzero(codes == code)
        wanted = [0, *([2] if tested else []), 1][: len(mine)]
        for part in wanted:
            if not (parts[mine] == part).any():
                held = np.bincount(parts[mine], minlength=3)
                donor = max((p for p in range(3) if held[p] > (p in wanted)), key=lambda p: held[p])
                parts[mine[np.flatnonzero(parts[mine] == donor)[-1]]] = part


def _by_group(
    table: Table,
    rows: np.ndarray,
    y: pd.Series,
    inspection: Inspection,
    column: str,
    validation: float,
    test: float,
    seed: int,
) -> tuple[np.ndarray, str]:
    cells = table.frame[column].iloc[rows]
    if cells.isna().any():
        at = int(rows[np.flatnonzero(cells.isna())[0]])
        raise InputError(
            f"the group column {column!r} has no value in {table.place(at)} ({int(cells.isna().sum())} such rows).",
            "Fill it, or leave those rows out.",
        )
    groups, _ = pd.factorize(cells)
    sizes = np.bincount(groups)
    needed = 3 if test > 0 else 2
    if len(sizes) < needed:
        raise InputError(
            f"the group column {column!r} has {len(sizes)} different values; {needed} parts need as many at least.",
            "Choose another column, or split without --group.",
        )
    rng = np.random.default_rng(seed)
    strata = _strata(y, inspection)
    shares = np.zeros((len(sizes), int(strata.max()) + 1))
    np.add.at(shares, (groups, strata), 1)
    total = shares.sum(axis=0)
    best, best_cost = np.zeros(len(sizes), dtype=np.int64), np.inf
    for _ in range(_GROUP_DRAWS):
        placed = _fill(rng.permutation(len(sizes)), sizes, {2: test, 1: validation})
        held = np.stack([shares[placed == part].sum(axis=0) for part in range(3)])
        wanted = np.outer([1 - validation - test, validation, test], total)
        cost = float((np.abs(held - wanted) / total).sum()) + (10.0 * (held[0] == 0).sum() if inspection.classes else 0)
        if cost < best_cost:
            best, best_cost = placed, cost
    parts = best[groups]
    missing = [c for i, c in enumerate(inspection.classes) if not (parts[strata == i] == 0).any()]
    if missing:
        raise InputError(
            f"no division by {column!r} leaves the class {missing[0]!r} among the training rows.",
            "Give more groups, or split without --group.",
        )
    return parts, f"no value of {column!r} on two sides ({len(sizes)} groups)"


def _fill(order: np.ndarray, sizes: np.ndarray, wanted: dict[int, float]) -> np.ndarray:
    """Each group's part: groups in order until the share is nearest, one at least, the rest to part 0."""
    placed = np.zeros(len(sizes), dtype=np.int64)
    total, start = sizes.sum(), 0
    for position, (part, share) in enumerate(wanted.items()):
        if share <= 0:
            continue
        later = 1 + sum(s > 0 for s in list(wanted.values())[position + 1 :])
        reach = np.cumsum(sizes[order[start : len(order) - later]]) / total
        take = int(np.abs(reach - share).argmin()) + 1
        placed[order[start : start + take]] = part
        start += take
    return placed


def _of_other_groups(table: Table, rows: np.ndarray, test_table: Table, known: np.ndarray, column: str) -> str:
    """What is known of the groups of a table of test rows; `InputError` where one of them is trained on as well."""
    if column not in test_table.frame:
        return f", which has no column {column!r}: whether its groups are others is not known"
    cells = test_table.frame[column].iloc[known]
    trained = {text_of(value) for value in table.frame[column].iloc[rows].unique()}
    both = [value for value in cells.dropna().unique() if text_of(value) in trained]
    if both:
        held = int(cells.isin(both).sum())
        many = f"{len(both)} values of the group column {column!r} stand"
        raise InputError(
            f"{many if len(both) > 1 else f'one value of the group column {column!r} stands'} in both tables, such as "
            f"{text_of(both[0])} ({held} of {len(cells)} test rows).",
            "Leave these rows out of one of the two, or leave out --group.",
        )
    return ""


def _later(table: Table, rows: np.ndarray, test_table: Table, known: np.ndarray, column: str) -> str:
    """What is known of the time of a table of test rows."""
    if column not in test_table.frame:
        return f", which has no column {column!r}: whether they are later is not known"
    last, cells = table.frame[column].iloc[rows].max(), test_table.frame[column].iloc[known]
    if cells.dtype.kind != table.frame[column].dtype.kind and "O" in (cells.dtype.kind, table.frame[column].dtype.kind):
        return f", whose {column!r} is written otherwise: whether they are later is not known"
    earlier = int((cells <= last).sum())
    return f", {earlier} of which are not later than all others" if earlier else ", all of them later"


def _by_time(table: Table, rows: np.ndarray, column: str, validation: float, test: float) -> tuple[np.ndarray, str]:
    if column in table.faults:
        raise table.faults[column].error()
    cells = table.frame[column].iloc[rows]
    if cells.isna().any():
        at = int(rows[np.flatnonzero(cells.isna())[0]])
        raise InputError(
            f"the time column {column!r} has no value in {table.place(at)} ({int(cells.isna().sum())} such rows).",
            "Fill it, or leave those rows out.",
        )
    if not (pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells)):
        raise InputError(
            f"the time column {column!r} holds neither dates nor numbers, but text such as {cells.iloc[0]!s}.",
            "Write its dates year-month-day.",
        )
    values = cells.to_numpy()
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    cuts = [len(rows) - round(test * len(rows))]
    cuts.insert(0, cuts[0] - round(validation * len(rows)))
    # Rows of one moment stay together: a cut within them moves to their nearer end.
    moved = []
    for cut in cuts:
        if 0 < cut < len(rows) and ordered[cut] == ordered[cut - 1]:
            low, high = np.searchsorted(ordered, ordered[cut], "left"), np.searchsorted(ordered, ordered[cut], "right")
            ends = [int(end) for end in (low, high) if 0 < end < len(rows) and end not in moved]
            if not ends:
                raise InputError(
                    f"the time column {column!r} has too few different values to divide the rows by.",
                    "Choose another column, or split without --time.",
                )
            cut = min(ends, key=lambda end: abs(end - cut))
        moved.append(cut)
    first, second = moved
    parts = np.zeros(len(rows), dtype=np.int64)
    parts[order[first:]] = 1
    parts[order[second:]] = 2
    start = ordered[first] if first < len(rows) else ordered[-1]
    return parts, f"in the order of {column!r}: training ends before {_moment(start)}"


def _moment(value: object) -> str:
    if isinstance(value, np.datetime64):
        return str(pd.Timestamp(value)).removesuffix(" 00:00:00")
    return text_of(value)


def _test_rows(table: Table, inspection: Inspection, test_table: Table) -> tuple[np.ndarray, str]:
    """Positions of the test table's rows with a target, behind the table's own."""
    for column in (inspection.target, *(c.name for c in inspection.inputs)):
        if column not in test_table.frame.columns:
            raise InputError(
                f"the test table {test_table.source} has no column {column!r}.",
                "Give a table with the same columns as the training table.",
            )
    y = test_table.frame[inspection.target]
    known = np.flatnonzero(y.notna().to_numpy())
    if not len(known):
        raise InputError(
            f"the test table {test_table.source} has no value of {inspection.target!r} in any row.",
            "Give test rows with a target.",
        )
    if inspection.classes:
        new = known[target_codes(y.iloc[known], inspection.classes) < 0]
        if len(new):
            raise InputError(
                f"the test table {test_table.source} holds the class {y.iloc[new[0]]!s} "
                f"in {test_table.place(int(new[0]))}, which the training table does not have.",
                "Leave those rows out, or give rows of that class to train on.",
            )
    left = len(y) - len(known)
    said = test_table.source + (f" ({left} without a target left out)" if left else "")
    return known + len(table.frame), said
