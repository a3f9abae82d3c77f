"""The command line, thin over `goodfit.api`: data on stdout, progress and errors on stderr."""

from __future__ import annotations

import contextlib
import os
import sys


def main() -> None:
    """Run the command `goodfit`; leaves through `SystemExit` with the exit code.

    0 done, 1 failed, 2 wrong use or wrong input, 3 `--fail-on` met, 130 interrupted.
    """
    sys.unraisablehook = _raise_again
    os.environ["KERAS_BACKEND"] = "jax"  # this process is goodfit's own
    try:
        from goodfit.cli.app import app  # Ctrl-C is answered from the first import on

        app(prog_name="goodfit")
    except KeyboardInterrupt:
        _leave_at_once()
    except SystemExit as leaving:
        if leaving.code == 130:
            _leave_at_once()
        raise


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Ctrl-C in a place that can't raise, such as JAX's callback of the garbage collector, is raised soon after it."""
    if unraisable.exc_type is not KeyboardInterrupt:
        return sys.__unraisablehook__(unraisable)
    import _thread
    import signal
    import threading

    if hasattr(signal, "pthread_kill"):  # also wakes a sleeping main thread
        again = threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    else:
        again = threading.Timer(0.05, _thread.interrupt_main)
    again.daemon = True
    return again.start()


def _leave_at_once() -> None:
    """Exit with 130 and no tidying up: compiled computations may still be running in threads of their own, and taking
    the interpreter down under them ends in a crash."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # a closed one is None
            stream.flush()
    os._exit(130)
