"""Progress on stderr: a bar on a terminal, one line per stage elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from goodfit.cli.answer import say

if TYPE_CHECKING:
    from goodfit.values import Progress, Report

_ROOMY = 72
"""Columns of a terminal that has room for every figure beside the bar."""


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Report]:
    """What a verb reports to while the block runs.

    Args:
        quiet: show nothing.

    Yields:
        a function of a `Progress`: draws a bar with loss and time left where stderr is a terminal, else prints one
        line as a stage ends.
    """
    if quiet:
        from goodfit.values import silent

        yield silent
    elif sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        with _bar() as report:
            yield report
    else:
        yield _line


def _line(progress: Progress) -> None:
    if progress.finished:
        say(f"{progress.stage}: {progress.text}")


@contextlib.contextmanager
def _bar() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.table import Column
    from rich.text import Text

    console = Console(stderr=True)
    roomy = console.width >= _ROOMY
    bar = Bar(
        TextColumn("{task.description:<10}" if roomy else "{task.description}", markup=False),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4, max_width=40)),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        redirect_stdout=False,
        refresh_per_second=5,
    )
    tasks: dict[str, TaskID] = {}

    def report(progress: Progress) -> None:
        stage = progress.stage
        if progress.finished:
            if stage in tasks:
                bar.remove_task(tasks.pop(stage))
            console.print(Text.assemble((f"{stage:<10}", "bold"), " ", progress.text), highlight=False)
            return
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=None, figures="")
        total = progress.total or None
        bar.update(tasks[stage], completed=progress.done, total=total, figures=_figures(progress, roomy))

    with bar:
        yield report


def _figures(progress: Progress, roomy: bool) -> str:
    """What stands beside the bar: the epochs and the losses, as far as there is room, or what is being done."""
    if not progress.total:
        return progress.text
    figures = [f"epoch {progress.done}/{progress.total}" if roomy else f"{progress.done}/{progress.total}"]
    if progress.loss is not None:
        figures.append(f"loss {progress.loss:.3g}")
    if progress.val_loss is not None and roomy:
        figures.append(f"val_loss {progress.val_loss:.3g}")
    return " ".join(figures)
