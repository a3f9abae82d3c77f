"""`read`: a log of any tool -> `Run`s."""

from __future__ import annotations

import importlib
import os
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

from goodfit.errors import InputError
from goodfit.logs.formats import Log, LogFormat
from goodfit.logs.in_memory import histories
from goodfit.logs.runs import runs_of
from goodfit.logs.source import open_source
from goodfit.values import Run


@cache
def all_formats() -> tuple[LogFormat, ...]:
    """Every format of this package's modules, in the order in which they are asked.

    Example:
        >>> [format.name for format in all_formats()]
        ['JSON lines', 'printed lines', 'JSON', 'CSV']
    """
    package = importlib.import_module("goodfit.logs")
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    found = {id(v): v for module in modules for v in vars(module).values() if isinstance(v, LogFormat)}
    return tuple(sorted(found.values(), key=lambda format: (format.order, format.name)))


def read(what: Any, *, loss: str | None = None, val_loss: str | None = None) -> tuple[Run, ...]:
    """The trainings in a log.

    Args:
        what: a path (CSV, JSON, JSON lines, printed lines), `"-"` for standard input, a mapping of lists such as
            `History.history`, a list of rows, or a DataFrame.
        loss: the column of the training loss, where its name does not tell.
        val_loss: the column of the validation loss.

    Returns:
        One run per training in the log, in its order; a column `seed` makes rows of one run. What was left out or
        decided on the way stands in `provenance["notes"]`.

    Raises:
        InputError: it is no history of a training; the message names the place and what to do.

    Example:
        >>> run, = read({"TrainLoss": [1.0, 0.5], "valid loss": [1.1, 0.7]})
        >>> run.history
        {'loss': [1.0, 0.5], 'val_loss': [1.1, 0.7]}
    """
    if isinstance(what, (str, os.PathLike)):
        source = open_source(what)
        form = next((form for form in all_formats() if form.matches(source)), None)
        if form is None:
            raise InputError(f"{source.name} is in no format that is known.", "Give CSV, JSON or JSON lines.")
        logs, name, label = form.parse(source), source.name, form.name
        stem = "stdin" if source.path is None else Path(source.name).stem
    else:
        name, label, stem = "the history", "in memory", "run"
        logs = histories(what, name)
    return _runs(logs, name, label, stem, loss, val_loss)


def _runs(
    logs: tuple[Log, ...], source: str, form: str, stem: str, loss: str | None, val_loss: str | None
) -> tuple[Run, ...]:
    runs: list[Run] = []
    first_error: InputError | None = None
    for log in logs:
        label = f"{stem}-{log.name}" if log.name and len(logs) > 1 else stem
        try:
            runs += runs_of(log, source, form, label, loss=loss, val_loss=val_loss)
        except InputError as error:
            first_error = first_error or error
    if not runs:
        raise first_error or InputError(f"{source} is not a history of a training.", "Give the log of a training.")
    return tuple(runs)
