"""`Source`: the text of a log, read within bounds."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, cast

from goodfit.errors import InputError

HEAD_BYTES = 1 << 16
"""How much of a file is looked at to tell what it is (bytes)."""

MAX_ROWS = 200_000
"""Rows that are read at most: of a longer log every k-th row (rows). No curve on a screen or in a check needs more."""

MAX_STDIN_BYTES = 1 << 29
"""What is taken from standard input at most (bytes)."""


@dataclass(frozen=True, eq=False)
class Source:
    """The text of a log.

    Args:
        name: what it is called in messages.
        path: the file, or `None` for standard input.
        content: what came from standard input.
        size: bytes.
        head: its first bytes.
        encoding: of its text.
    """

    name: str
    path: Path | None
    content: bytes
    size: int
    head: bytes
    encoding: str

    @property
    def beginning(self) -> str:
        """The first bytes as text."""
        return self.head.decode(self.encoding, errors="replace").removeprefix("\ufeff")

    def _open(self) -> io.BufferedIOBase:
        if self.path is None:
            return io.BytesIO(self.content)
        return self.path.open("rb")

    def text(self) -> str:
        """All of it."""
        with self._open() as stream:
            return stream.read().decode(self.encoding, errors="replace").removeprefix("\ufeff")

    @property
    def stride(self) -> int:
        """Which rows are read of a long log: each, or every k-th, k prime, so that it falls in with no period of " "the
        rows."""
        lines = self.head.count(b"\n")
        if self.size <= len(self.head) or lines == 0 or self.encoding.startswith("utf-16"):
            return 1
        rows = self.size * lines / (self.head.rfind(b"\n") + 1)
        k = -(-int(rows) // MAX_ROWS)
        while k > 1 and (k < 5 or any(k % d == 0 for d in range(2, int(k**0.5) + 1))):
            k += 1
        return k

    def lines(self) -> Iterator[tuple[int, str]]:
        """Numbered lines (from 1): the first, then every `stride`-th, and the last."""
        if self.encoding.startswith("utf-16"):
            yield from enumerate(self.text().splitlines(), 1)
            return
        k = self.stride
        with self._open() as stream:
            number = 0
            for number, line in zip(range(1, 1 << 62, k), islice(stream, 0, None, k)):
                text = line.decode(self.encoding, errors="replace")
                yield number, text.removeprefix("\ufeff") if number == 1 else text
            if k > 1:
                stream.seek(max(self.size - HEAD_BYTES, 0))
                tail = stream.read().decode(self.encoding, errors="replace").splitlines(keepends=True)
                if tail:
                    yield number + 1, tail[-1]


def open_source(path: str | os.PathLike[str]) -> Source:
    """A file, or standard input for `"-"`, ready to be read as text.

    Raises:
        InputError: it does not exist, is a folder, empty, not readable or not text.
    """
    if str(path) == "-":
        return _piped("standard input", sys.stdin.buffer)
    file = Path(path)
    try:
        if file.is_dir():
            raise InputError(f"{str(file)!r} is a folder.", "Give the log file in it.")
        with file.open("rb") as stream:
            if not file.is_file():  # a pipe, which can be read but once
                return _piped(str(file), stream)
            head = stream.read(HEAD_BYTES)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(file) as unpacked:
                return _piped(str(file), cast(IO[bytes], unpacked))
        size = file.stat().st_size
    except InputError:
        raise
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{str(file)!r} is a broken gzip file: {error}.", "Compress the log again.") from None
    except FileNotFoundError:
        raise InputError(f"there is no file {str(file)!r}.", "Check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{str(file)!r} can't be read: {reason}.", "Check the path and its permissions.") from None
    return _checked(str(file), file, b"", size, head)


def _piped(name: str, stream: IO[bytes]) -> Source:
    content = stream.read(MAX_STDIN_BYTES + 1)
    if len(content) > MAX_STDIN_BYTES:
        raise InputError(f"{name} is too long for a log.", "Save it to a file and give its path.")
    return _checked(name, None, content, len(content), content[:HEAD_BYTES])


def _checked(name: str, path: Path | None, content: bytes, size: int, head: bytes) -> Source:
    if not head.strip():
        raise InputError(f"{name} is empty.", "Give the log of a training.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Source(name, path, content, size, head, "utf-16")
    if b"\0" in head or head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x1f\x8b")):
        raise InputError(
            f"{name} is not a text file.", "Give the log as CSV, JSON or JSON lines (nothing is unpickled)."
        )
    try:
        head[: len(head) - 3].decode("utf-8") if size > len(head) else head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 8 or size <= len(head):
            return Source(name, path, content, size, head, "latin-1")
    return Source(name, path, content, size, head, "utf-8")
