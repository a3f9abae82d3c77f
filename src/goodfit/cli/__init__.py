"""The command line, thin over `goodfit.api`: data on stdout, progress and errors on stderr."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command `goodfit`; leaves through `SystemExit` with the exit code.

    0 done, 1 failed, 2 wrong use or wrong input, 3 `--fail-on` met, 130 interrupted.
    """
    try:
        from goodfit.cli.app import app  # Ctrl-C is answered from the first import on

        app(prog_name="goodfit")
    except KeyboardInterrupt:
        sys.exit(130)
