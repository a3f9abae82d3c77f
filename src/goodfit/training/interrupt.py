"""Ctrl-C during a compiled chunk: remembered, and answered at its end, when the weights are whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Postponed:
    """While entered, a first Ctrl-C only sets `requested`; a second one interrupts at once.

    In another thread than the main one, signals don't arrive and nothing is changed.

    Example:
        >>> with Postponed() as interrupt:
        ...     pass
        >>> interrupt.requested
        False
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> Postponed:
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(handler):
            self._before = handler
            signal.signal(signal.SIGINT, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """For a while Ctrl-C interrupts at once again."""
        ours = signal.getsignal(signal.SIGINT)
        if self._before is None or ours != self._receive:
            yield
            return
        signal.signal(signal.SIGINT, self._before)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, ours)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._before(number, frame)
        self.requested = True
