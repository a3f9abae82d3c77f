"""The exceptions that goodfit raises: only wrong input raises, a failed training is data."""

from __future__ import annotations

import re
import shlex

_LISTS = ("names", "na", "categorical", "numeric", "drop")
_NUMBERS = ("validation", "test-size")
_TRUTHS = ("improve", "overwrite")
_OTHERS = (
    "sep",
    "decimal",
    "thousands",
    "encoding",
    "sheet",
    "group",
    "time",
    "test",
    "task",
    "target",
    "seed",
    "name",
)
_OTHERS = (*_OTHERS, "out", "table", "base", "image-size")
_VALUE = r"=((?:\w+(?:[.-]\w+)*|'[^']*'|\"'\")+)"
_OPTION = re.compile(
    rf"--({'|'.join((*_LISTS, *_NUMBERS, *_TRUTHS, *_OTHERS))})(?![\w-])(?:{_VALUE}((?: --\1{_VALUE})*))?"
)


def option(name: str, *values: str) -> str:
    """An option of the command line with its value, as messages name it: where Python asked, it becomes an argument.

    Example:
        >>> option("drop", "my column"), option("na", "inf", "-inf")
        ("--drop='my column'", "--na=inf --na='-inf'")
    """
    plain = re.compile(r"\w+(?:[.-]\w+)*")
    quoted = (value if plain.fullmatch(value) else "'" + value.replace("'", "'\"'\"'") + "'" for value in values)
    return " ".join(f"--{name}={value}" for value in quoted) or f"--{name}"


def as_arguments(text: str) -> str:
    """A message with the options of the command line as the arguments of Python's functions that they are.

    Example:
        >>> as_arguments("Leave --task out, or give --decimal=',' or --drop='my column'.")
        "Leave `task` out, or give decimal=',' or drop=['my column']."
    """

    def argument(match: re.Match[str]) -> str:
        name = match[1]
        said = name.replace("-", "_")
        if match[2] is None:
            return f"{said}=True" if name in _TRUTHS else f"`{said}`"
        values = [part.partition("=")[2] for part in shlex.split(match[0])]
        if name in _LISTS:
            return f"{said}={values!r}"
        return f"{said}={values[0]}" if name in _NUMBERS else f"{said}={values[0]!r}"

    return _OPTION.sub(argument, text)


class GoodfitError(Exception):
    """Base of every exception that goodfit raises on purpose."""


class InputError(GoodfitError, ValueError):
    """What was given can't be used: the message names the place and what to do.

    Args:
        problem: one sentence that names the file, column, row or argument.
        remedy: one sentence that says what to do instead, or `""`.

    Both name the options of the command line, which says them as they are; the message of the exception itself, which
    a caller of Python's functions sees, names their arguments instead.

    Example:
        >>> error = InputError("the column 'mgp' is not in the table.", "Did you mean 'mpg'? Or leave --time out.")
        >>> str(error)
        "the column 'mgp' is not in the table. Did you mean 'mpg'? Or leave `time` out."
        >>> error.on_the_command_line
        "the column 'mgp' is not in the table. Did you mean 'mpg'? Or leave --time out."
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(as_arguments(f"{problem} {remedy}".strip()))
        self.problem = problem
        self.remedy = remedy

    @property
    def on_the_command_line(self) -> str:
        """Problem and remedy with the options of the command line."""
        return f"{self.problem} {self.remedy}".strip()


class PreflightWarning(UserWarning):
    """What the pre-flight of a training finds questionable, though it may be meant."""


class ExistsError(InputError):
    """Something would have been overwritten that was not meant to be."""


class Interrupted(GoodfitError):
    """The user interrupted the work; what had been finished by then was saved.

    Args:
        saved: where the finished part lies, or `None` when there was nothing to save.
        study: the finished part itself, where it is at hand.
        further: how to go on, to be said behind that.
    """

    def __init__(self, saved: str | None = None, study: object = None, further: str = "") -> None:
        super().__init__(("interrupted" if saved is None else f"interrupted; what was done is in {saved}") + further)
        self.saved = saved
        self.study = study
