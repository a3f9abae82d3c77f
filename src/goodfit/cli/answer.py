"""What the command line says, and the exit code it leaves with."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from goodfit.errors import InputError, Interrupted

if TYPE_CHECKING:
    from rich.console import Console

FAILED, WRONG, FAIL_ON_MET, INTERRUPTED = 1, 2, 3, 130


@contextlib.contextmanager
def answering(debug: bool) -> Iterator[None]:
    """Turn what a command raises into one sentence on stderr and an exit code; a traceback only with `debug`."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if type(error).__module__.startswith(("typer", "click")):
            raise  # an exit code, or a usage error that typer tells itself
        code = complain(error, debug)
        raise typer.Exit(code) from None


def complain(error: BaseException, debug: bool = False, about: str = "") -> int:
    """Say on stderr what went wrong; returns the exit code that stands for it."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    prefix = f"{about}: " if about else ""
    match error:
        case Interrupted():
            say(str(error))
            return INTERRUPTED
        case KeyboardInterrupt():
            say("interrupted; nothing was saved")
            return INTERRUPTED
        case InputError():
            say(f"error: {prefix}{error.on_the_command_line}")
            return WRONG
        case OSError():
            say(f"error: {prefix}{error}")
        case _:
            hint = "" if debug else " (--debug shows where)"
            what = ": ".join(filter(None, [type(error).__name__, str(error)]))
            say(f"error: {prefix}{what}{hint}")
    return FAILED


def say(text: str) -> None:
    """One line on stderr; whatever could steer a terminal is shown as text."""
    if sys.stderr is None:  # closed (2>&-)
        return
    line = " ".join(text.split())
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
    with contextlib.suppress(OSError):  # nobody listens
        print(line, file=sys.stderr, flush=True)


def put(text: str) -> None:
    """Text for a person on stdout, in whatever encoding that has."""
    _put(text.encode(getattr(sys.stdout, "encoding", None) or "utf-8", errors="replace"))


def put_data(text: str) -> None:
    """Data on stdout: UTF-8, whatever the locale."""
    _put(text.encode("utf-8"))


def _put(data: bytes) -> None:
    """Where the reader has left (`| head`), the rest is dropped, and the exit code stays what it would be."""
    if sys.stdout is None:  # closed (>&-)
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at its end
        if not isinstance(error, BrokenPipeError):
            raise


@contextlib.contextmanager
def page() -> Iterator[Console]:
    """A rich console whose text goes to stdout at the end, in one piece."""
    from rich.console import Console

    console = Console()
    with console.capture() as captured:
        yield console
    put(captured.get())
