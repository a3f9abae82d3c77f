"""`Log`: what a format reads out of a file; `log_format`: what makes a function a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from goodfit.logs.source import Source


@dataclass(frozen=True, eq=False)
class Log:
    """The columns of a log as they stand there, as numbers.

    Args:
        columns: the tool's name of each column -> shape (rows,), float64: NaN where nothing was logged, infinite
        where a number was logged that was not finite.
        notes: what was left out or decided on the way, one sentence each.
        breaks: rows before which the header was repeated.
        name: of this history, where one file holds several; `""` otherwise.
    """

    columns: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = ()
    breaks: tuple[int, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class LogFormat:
    """A format: `matches` looks at the beginning of a source, `parse` reads it.

    Args:
        name: what it is called in messages.
        matches: whether a source looks like it.
        parse: gives its histories; raises `InputError` where it is none after all.
        order: formats of a lower order are asked first.
    """

    name: str
    matches: Callable[[Source], bool]
    parse: Callable[[Source], tuple[Log, ...]]
    order: int


def log_format(
    name: str, *, matches: Callable[[Source], bool], order: int = 50
) -> Callable[[Callable[[Source], tuple[Log, ...]]], LogFormat]:
    """Make a function of a module of this package the reader of a format.

    Args:
        name: what the format is called in messages.
        matches: whether a source looks like it, by its name and beginning.
        order: formats of a lower order are asked first; 50 is the usual one, 90 takes any text.
    """

    def decorate(parse: Callable[[Source], tuple[Log, ...]]) -> LogFormat:
        return LogFormat(name, matches, parse, order)

    return decorate
