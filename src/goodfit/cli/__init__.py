"""The command line, thin over `goodfit.api`: data on stdout, progress and errors on stderr."""

from __future__ import annotations

import contextlib
import os
import sys


def main() -> None:
    """Run the command `goodfit`; leaves through `SystemExit` with the exit code.

    0 done, 1 failed, 2 wrong use or wrong input, 3 `--fail-on` met, 130 interrupted.
    """
    try:
        from goodfit.cli.app import app  # Ctrl-C is answered from the first import on

        app(prog_name="goodfit")
    except KeyboardInterrupt:
        _leave_at_once()
    except SystemExit as leaving:
        if leaving.code == 130:
            _leave_at_once()
        raise


def _leave_at_once() -> None:
    """Exit with 130 and no tidying up: compiled computations may still be running in threads of their own, and taking
    the interpreter down under them ends in a crash."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # a closed one is None
            stream.flush()
    os._exit(130)
