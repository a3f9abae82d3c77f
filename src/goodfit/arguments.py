"""Arguments as they were meant, or a sentence that names them."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from goodfit.errors import InputError


def whole(name: str, value: Any, least: int = 1, *, remedy: str = "") -> int:
    """A whole number of Python's or NumPy's.

    Args:
        name: of the argument.
        value: as given.
        least: the smallest that can be meant.
        remedy: what to say to a number that can't be; by default what the least is.

    Raises:
        InputError: it is none, or is smaller.

    Example:
        >>> whole("epochs", "3")
        Traceback (most recent call last):
        goodfit.errors.InputError: epochs is '3'. Give a whole number, 1 or more.
    """
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        given = repr(value) if found is None else str(found)
        raise InputError(f"{name} is {given}.", remedy or f"Give a whole number, {least} or more.")
    return found


def number(name: str, value: Any, remedy: str = "Give a number.") -> float:
    """A finite number.

    Raises:
        InputError: it is none.

    Example:
        >>> number("lowest", "a")
        Traceback (most recent call last):
        goodfit.errors.InputError: lowest is 'a'. Give a number.
    """
    try:
        found = None if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None or not math.isfinite(found):
        raise InputError(f"{name} is {value!r}.", remedy)
    return found


def texts(name: str, value: Any) -> list[str]:
    """A list of texts, such as columns' names; one alone is a list of one.

    Raises:
        InputError: it is neither.

    Example:
        >>> texts("drop", "a"), texts("drop", ["a", "b"])
        (['a'], ['a', 'b'])
    """
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise InputError(f"{name} is {value!r}.", "Give a list of texts.")
    return [str(one) for one in value]


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Inputs and targets.

    Raises:
        InputError: it is no pair.

    Example:
        >>> pair("test_data", ([[1.0]], [2.0]))
        ([[1.0]], [2.0])
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InputError(f"{name} is no pair.", f"Give {name}=(x, y).")
    return value[0], value[1]


def folder(name: str, value: Any) -> Path | None:
    """The path of a folder, which need not be there; `None` where it is `None`.

    Raises:
        InputError: it is no path.
    """
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{name} is {value!r}.", "Give the path of a folder.")
    return None if value is None else Path(os.fsdecode(value))


def folder_name(value: Any) -> str | None:
    """The name that a run or a study was given, where it can name a folder.

    Raises:
        InputError: it can't.

    Example:
        >>> folder_name("cars")
        'cars'
    """
    if value is None:
        return None
    if not isinstance(value, str) or not value or Path(value).name != value or value in (".", ".."):
        raise InputError(f"the name {value!r} can't name a folder.", "Give a name without slashes.")
    return value


def member_seeds(value: Any) -> list[int]:
    """The seeds of members: as many as said, from 0, or those listed.

    Raises:
        InputError: none, one twice, or something else than whole numbers from 0.

    Example:
        >>> member_seeds(3), member_seeds([5, 7])
        ([0, 1, 2], [5, 7])
    """
    remedy = "Give how many, 1 at least, or a list of different seeds from 0 on."
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return list(range(whole("seeds", value, remedy=remedy)))
    given = list(value)
    listed = [whole("seeds", seed, 0, remedy=remedy) for seed in given]
    if not listed or len(set(listed)) < len(listed) or max(listed) >= 2**32:
        raise InputError(f"seeds is {given!r}.", remedy)
    return listed
