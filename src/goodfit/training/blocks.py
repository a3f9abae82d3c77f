"""Rows as blocks on the device, each for some steps of the training; blocks of files are read ahead by a thread."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from goodfit.training.keras_internals import Rows
from goodfit.training.parquet import ParquetRows

BLOCK_BYTES = 4 << 20
"""Bytes of rows in one block, where a single step does not need more: a hundred thousand rows of ten columns."""
READ_AHEAD = 2
"""Blocks read ahead: while an epoch's last ones train, the shuffle buffer of the next epoch fills."""

T = TypeVar("T")


@dataclass(frozen=True)
class Block:
    """Rows on the device, for some steps of one size.

    Args:
        data: `(x, y)` or `(x, y, sample_weight)`, rows first; rows beyond `size` times `steps` are not looked at.
        size: rows per step.
        steps: how many.
    """

    data: Any
    size: int
    steps: int


@dataclass(frozen=True)
class Held:
    """Arrays on the device, as blocks.

    Args:
        blocks: all rows, in order.
    """

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, rows: Rows) -> Held:
        """Stage arrays."""
        starts = [0]
        parts = parts_of(rows.count, rows.batch_size, rows.count)
        for _, size, steps in parts:
            starts.append(starts[-1] + size * steps)

        def cut(start: int, stop: int) -> Any:
            return jax.tree.map(lambda array: jnp.asarray(array[start:stop]), rows.arrays)

        return cls(
            tuple(
                Block(cut(start, stop), size, steps)
                for start, stop, (_, size, steps) in zip(starts, starts[1:], parts, strict=False)
            )
        )

    def shapes(self) -> list[Block]:
        """A block of each shape that occurs."""
        return list(self.blocks)

    @contextmanager
    def reading(self) -> Iterator[Iterator[Block]]:
        """All rows once."""
        yield iter(self.blocks)


@dataclass(frozen=True)
class Streamed:
    """Rows of Parquet files, read in blocks.

    Args:
        rows: where they are.
        batch_size: rows per step.
        seed: of their order, or `None` to take them as they stand.
    """

    rows: ParquetRows
    batch_size: int
    seed: int | None = None

    @property
    def parts(self) -> list[tuple[int, int, int]]:
        """The blocks of an epoch: rows of space, rows per step, steps."""
        return parts_of(self.rows.count, self.batch_size, BLOCK_BYTES // (4 * len(self.rows.columns)))

    def shapes(self) -> list[Block]:
        """A block of each shape that occurs, without the data."""
        widths = len(self.rows.inputs), len(self.rows.target)
        return [
            Block(tuple(jax.ShapeDtypeStruct((space, width), jnp.float32) for width in widths), size, 1)
            for space, size in dict.fromkeys((space, size) for space, size, _ in self.parts)
        ]

    @contextmanager
    def reading(self, epochs: range = range(1)) -> Iterator[Iterator[Block]]:
        """All rows once for each of the epochs; a thread reads ahead of what is taken."""
        device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
        with _ahead(self._blocks(epochs, device), READ_AHEAD) as blocks:
            yield blocks

    def _blocks(self, epochs: range, device: Any) -> Generator[Block, None, None]:
        for epoch in epochs:
            for x, y, size, steps in self.arrays(epoch, self.parts):
                with jax.default_device(device):  # as in the thread that trains
                    block = Block((jnp.asarray(x), jnp.asarray(y)), size, steps)
                yield block

    def arrays(
        self, epoch: int, parts: list[tuple[int, int, int]]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
        """The rows of an epoch, divided into `parts`: inputs and targets of (space, columns), rows per step, steps."""
        read = self.rows.tables(None if self.seed is None else np.random.default_rng([self.seed, epoch]))
        inputs, targets = len(self.rows.inputs), len(self.rows.target)
        table, used = np.empty((0, inputs + targets), np.float32), 0
        for space, size, steps in parts:
            x, y = np.empty((space, inputs), np.float32), np.empty((space, targets), np.float32)
            filled = 0
            while filled < size * steps:
                if used == len(table):
                    table, used = next(read), 0
                count = min(size * steps - filled, len(table) - used)
                x[filled : filled + count] = table[used : used + count, :inputs]
                y[filled : filled + count] = table[used : used + count, inputs:]
                filled, used = filled + count, used + count
            yield x, y, size, steps


def parts_of(count: int, batch_size: int, held: int) -> list[tuple[int, int, int]]:
    """`count` rows as blocks of equal space for up to `held` rows, and what remains of them as one smaller step."""
    full, rest = divmod(count, batch_size)
    most = max(1, min(full, held // batch_size))
    parts = [(most * batch_size, batch_size, min(most, full - start)) for start in range(0, full, most)]
    return parts + ([(rest, rest, 1)] if rest else [])


@contextmanager
def _ahead(items: Generator[T, None, None], depth: int) -> Iterator[Iterator[T]]:
    """The items, of which a thread makes up to `depth` before they are asked for."""
    reader = _reader()
    waiting = deque(reader.submit(next, items, None) for _ in range(depth))

    def taken() -> Iterator[T]:
        while (item := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, items, None))
            yield item

    try:
        yield taken()
    finally:
        wait([future for future in waiting if not future.cancel()])
        items.close()


@functools.cache
def _reader() -> ThreadPoolExecutor:
    """The thread that reads. It stays: each new one would leave memory behind, in an arena of its own."""
    return ThreadPoolExecutor(1, "goodfit-reader")
