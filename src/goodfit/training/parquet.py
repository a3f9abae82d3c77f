"""Rows of Parquet files, also more than memory holds: read in record batches, shuffled in a buffer of stated size."""

from __future__ import annotations

import difflib
import os
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from goodfit.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Tables: TypeAlias = Generator[np.ndarray, None, None]

RECORD_ROWS = 16_384
"""Rows decoded at a time."""
READ_BYTES = 1 << 18
"""Bytes of a column that are read from a file at a time, so that a large row group is never held whole."""


class ParquetRows:
    """Rows of Parquet files to train on or to validate on, for `goodfit.fit(model, rows)`.

    The columns are converted to float32: `x` of shape (rows, inputs), `y` of shape (rows, targets). To shuffle, each
    epoch visits the row groups in an order of its own, and rows pass through a buffer: each record batch that is read
    takes the place of as many rows drawn from the buffer, which are the next to train on. With `buffer_rows` no less
    than the rows there are, an epoch's order is a uniform permutation; with less, rows far apart within a row group
    still come apart. Files sorted by something want a buffer of several row groups.

    Memory, with C columns in use: at most 4·C·`buffer_rows` bytes of buffer, 6 blocks of 4 MiB (or of one step, where
    that is more) on their way to the training, and some 3·C MiB to decode pages of the usual 1 MiB. Neither the number
    of rows nor the size of the row groups matters.

    Args:
        source: a Parquet file, a folder of them (`*.parquet`, in the order of their names), or a list of files.
        target: the column to predict, or several.
        inputs: the columns to predict from; by default all others.
        buffer_rows: rows in the shuffle buffer.
        seed: of the order of the rows, with the number of the epoch: the same seed gives the same order in every run.
            By default it is drawn from NumPy's global random state at each `fit`, which `keras.utils.set_random_seed`
            sets.

    Raises:
        InputError: where a file or column is not there, a column is not numeric or holds empty cells, the files differ
            in their columns, or pyarrow is not installed.

    Example:
        >>> import numpy as np, pandas as pd, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/rows.parquet"
        >>> pd.DataFrame({"a": np.arange(5), "b": np.ones(5), "y": np.zeros(5)}).to_parquet(path)
        >>> rows = ParquetRows(path, target="y")
        >>> rows.count, rows.inputs
        (5, ('a', 'b'))
        >>> folder.cleanup()
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        target: str | Sequence[str],
        *,
        inputs: Sequence[str] | None = None,
        buffer_rows: int = 262_144,
        seed: int | None = None,
    ) -> None:
        if buffer_rows < 1:
            raise InputError(
                f"buffer_rows is {buffer_rows}.", "Give how many rows the shuffle buffer holds, 1 or more."
            )
        if seed is not None and seed < 0:
            raise InputError(f"seed is {seed}.", "Give a whole number from 0 on.")
        self.files = _files(source)
        self.target = (target,) if isinstance(target, str) else tuple(target)
        self.buffer_rows = buffer_rows
        self.seed = seed
        self._metadata = tuple(_metadata(file) for file in self.files)
        schemas = [metadata.schema.to_arrow_schema() for metadata in self._metadata]
        self.inputs = _inputs(self.files[0], schemas[0], self.target, inputs)
        for file, schema in zip(self.files, schemas, strict=True):
            _check_schema(file, schema, self.files[0], schemas[0], self.columns, everything=inputs is None)
        self._groups = [
            (place, group) for place, meta in enumerate(self._metadata) for group in range(meta.num_row_groups)
        ]
        self._check_empty_cells()
        self.count = sum(metadata.num_rows for metadata in self._metadata)
        if not self.count:
            raise InputError(f"{_named(self.files)} holds no rows.", "Give at least one row.")

    def __repr__(self) -> str:
        return (
            f"ParquetRows({_named(self.files)}: {self.count:,} rows, {len(self.inputs)} inputs, "
            f"target {', '.join(self.target)})"
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read: the inputs, then the targets."""
        return self.inputs + self.target

    def tables(self, generator: np.random.Generator | None = None) -> Tables:
        """All rows once, in parts.

        Args:
            generator: draws the order of the rows; `None` takes them as they stand.

        Returns:
            Arrays of shape (some rows, `columns`), float32.

        Raises:
            InputError: where a value is empty, not a number or infinite, by column, row group and file.
        """
        if generator is None:
            return self._read(self._groups)
        order = generator.permutation(len(self._groups))
        parts = self._read(self._groups[place] for place in order)
        return _shuffled(parts, min(self.buffer_rows, self.count), generator)

    def _read(self, groups: Iterable[tuple[int, int]]) -> Tables:
        import pyarrow.parquet as pq

        columns = list(self.columns)
        for place, group in groups:
            path, metadata = self.files[place], self._metadata[place]
            try:
                with pq.ParquetFile(path, metadata=metadata, pre_buffer=False, buffer_size=READ_BYTES) as file:
                    batches = file.iter_batches(RECORD_ROWS, row_groups=[group], columns=columns, use_threads=False)
                    for batch in batches:
                        yield self._convert(batch, f"row group {group} of {path.name}")
            except OSError as problem:
                raise InputError(f"{path.name} could not be read: {problem}", "Write the file again.") from problem

    def _convert(self, batch: pa.RecordBatch, where: str) -> np.ndarray:
        table = np.empty((batch.num_rows, len(self.columns)), np.float32)
        for place, name in enumerate(self.columns):
            column = batch.column(name)
            if column.null_count:
                raise _empty_cells(name, where)
            values = column.to_numpy(zero_copy_only=False)
            with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused
                table[:, place] = values
        if not np.isfinite(table).all():
            name = self.columns[int(np.flatnonzero(~np.isfinite(table).all(axis=0))[0])]
            raise InputError(
                f"the column {name!r} holds NaN, or a value beyond float32, in {where}.",
                "Fill these values or leave the rows out: one of them makes the loss, and then every weight, NaN.",
            )
        return table

    def _check_empty_cells(self) -> None:
        """Look for empty cells in the statistics that the files keep of their row groups: nothing need be read."""
        for file, metadata in zip(self.files, self._metadata, strict=True):
            places = {metadata.schema.column(place).path: place for place in range(metadata.num_columns)}
            for group in range(metadata.num_row_groups):
                for name in self.columns:
                    statistics = metadata.row_group(group).column(places[name]).statistics
                    if statistics is not None and statistics.null_count:
                        raise _empty_cells(name, f"row group {group} of {file.name}")


def _shuffled(parts: Tables, size: int, generator: np.random.Generator) -> Tables:
    """The rows of `parts` in an order drawn within a buffer of `size` rows."""
    rows = buffer = np.empty((0, 0), np.float32)
    filled = 0
    for part in parts:
        if not filled:
            buffer = np.empty((size, part.shape[1]), np.float32)
            rows = _whole(buffer)
        into = min(size - filled, len(part))
        buffer[filled : filled + into] = part[:into]
        filled += into
        for start in range(into, len(part), size):
            new = part[start : start + size]
            drawn = generator.choice(size, len(new), replace=False)
            yield buffer.take(drawn, axis=0, mode="clip")
            rows[drawn] = _whole(new)
    order = generator.permutation(filled)
    for start in range(0, filled, RECORD_ROWS):
        yield buffer.take(order[start : start + RECORD_ROWS], axis=0, mode="clip")


def _whole(table: np.ndarray) -> np.ndarray:
    """The same memory with each row as one element: NumPy then moves whole rows, which takes half the time."""
    return table.view(np.dtype((np.void, table.itemsize * table.shape[1])))[:, 0]


def _files(source: Any) -> tuple[Path, ...]:
    given = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    found: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            inside = sorted(path.glob("*.parquet"))
            if not inside:
                raise InputError(f"the folder {path} holds no *.parquet file.", "Give the files by name.")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
            raise InputError(f"there is no file {path}.", _near(path.name, beside) or "Check the path.")
    if not found:
        raise InputError("the list of Parquet files is empty.", "Give at least one file.")
    return tuple(found)


def _metadata(file: Path) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as problem:
        raise InputError(
            "reading Parquet files needs pyarrow, which is not installed.",
            "Install it: pip install 'goodfit[parquet]'.",
        ) from problem
    try:
        return pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError) as problem:
        raise InputError(
            f"{file.name} is not a Parquet file that can be read: {problem}", "Write it again."
        ) from problem


def _inputs(file: Path, schema: pa.Schema, target: tuple[str, ...], inputs: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(inputs, str):
        inputs = [inputs]
    for name in (*target, *(inputs or ())):
        if name not in schema.names:
            remedy = _near(name, schema.names) or f"It has {', '.join(map(repr, schema.names[:10]))}."
            raise InputError(f"there is no column {name!r} in {file.name}.", remedy)
    if not target:
        raise InputError("target names no column.", "Give the column to predict.")
    chosen = tuple(inputs) if inputs is not None else tuple(name for name in schema.names if name not in target)
    if not chosen:
        raise InputError(f"{file.name} has no column beside the target.", "Give the columns to predict from.")
    for name in chosen:
        if name in target or chosen.count(name) > 1:
            raise InputError(f"the column {name!r} is named twice in inputs and target.", "Name each column once.")
    return chosen


def _check_schema(
    file: Path, schema: pa.Schema, first: Path, expected: pa.Schema, columns: tuple[str, ...], *, everything: bool
) -> None:
    from pyarrow import types

    more = [name for name in schema.names if name not in columns] if everything else []
    if more:
        raise InputError(f"{file.name} has a column {more[0]!r} that {first.name} has not.", "Name the inputs to use.")
    for name in columns:
        if name not in schema.names:
            raise InputError(
                f"{file.name} has no column {name!r}, which {first.name} has.", "Give files of the same columns."
            )
        kind, wanted = schema.field(name).type, expected.field(name).type
        if kind != wanted:
            raise InputError(
                f"the column {name!r} is {kind} in {file.name}, but {wanted} in {first.name}.",
                "Write the files with one schema.",
            )
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise InputError(
                f"the column {name!r} in {file.name} is not numeric ({kind}).",
                "Leave it out (inputs=[…]), or encode it as numbers.",
            )


def _empty_cells(name: str, where: str) -> InputError:
    return InputError(
        f"the column {name!r} holds empty cells (null) in {where}.", "Fill them, or leave these rows out."
    )


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def _named(files: tuple[Path, ...]) -> str:
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
