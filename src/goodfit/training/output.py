"""What many epochs print, written to the terminal at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def gathered() -> Iterator[None]:
    """Within it, what is printed is kept, and written in one piece at the end: the same text by one call in place of
    two for each epoch, which take longer than short epochs themselves.

    Example:
        >>> with gathered():
        ...     print("Epoch 1/2")
        ...     print("Epoch 2/2")
        Epoch 1/2
        Epoch 2/2
    """
    stream = sys.stdout
    if stream is None:  # pythonw has none
        yield
        return
    kept = _Kept(stream)
    sys.stdout = kept
    try:
        yield
    finally:
        if sys.stdout is kept:
            sys.stdout = stream
        kept.release()


class _Kept:
    """A stream that keeps what is written to it, and is otherwise the stream it stands for."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._texts = stream, []

    def write(self, text: str) -> int:
        """Keep a text."""
        self._texts.append(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Keep several."""
        self._texts.extend(lines)

    def flush(self) -> None:
        """Nothing: it is written at the end."""

    def release(self) -> None:
        """Write all that was kept."""
        if self._texts:
            self._stream.write("".join(self._texts))
            self._stream.flush()
            self._texts.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
