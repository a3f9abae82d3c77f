"""The exceptions that goodfit raises: only wrong input raises, a failed training is data."""

from __future__ import annotations


class GoodfitError(Exception):
    """Base of every exception that goodfit raises on purpose."""


class InputError(GoodfitError, ValueError):
    """What was given can't be used: the message names the place and what to do.

    Args:
        problem: one sentence that names the file, column, row or argument.
        remedy: one sentence that says what to do instead, or `""`.

    Example:
        >>> str(InputError("the column 'mgp' is not in the table.", "Did you mean 'mpg'?"))
        "the column 'mgp' is not in the table. Did you mean 'mpg'?"
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


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
