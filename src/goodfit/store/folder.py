"""A new folder, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from goodfit.errors import ExistsError, InputError

RUN = "run.json"
STUDY = "study.json"

_OTHER_NAME = "Give another name (--name, or --out where a study is improved)."
_OVERWRITE = "Give another name (--name, or --out where a study is improved), or --overwrite to replace it."
_OTHER_PLACE = "Give a folder that can be written (--out)."
_ROOM = "Make room and run the same again, or give a folder on another disk (--out)."
_LEAST_FREE = 64 * 1024
"""Bytes free below which a failed write is put down to a full disk, where the error itself doesn't say why."""


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """A folder that comes to be whole or not at all: yields a staging folder beside it, and renames that at the end.

    Where the block raises, the staging folder and the parents made for it are removed. Should another process have
    made the folder meanwhile, the work is kept under the next free name and `ExistsError` says which.

    Args:
        path: the folder to make; its parents are made too. An empty folder that is already there is taken.
        overwrite: replace a saved run or study that is already there, once the new one is complete.

    Yields:
        the folder to write into, on the same disk.

    Raises:
        ExistsError: the folder is there and not empty.
        InputError: it can't be written, or the disk is full.

    Example:
        >>> import tempfile
        >>> runs = tempfile.mkdtemp()
        >>> with new_folder(f"{runs}/mine") as staging:
        ...     _ = (staging / "note.txt").write_text("whole")
        >>> os.listdir(f"{runs}/mine")
        ['note.txt']
    """
    _refuse_existing(path, overwrite)
    made: list[Path] = []
    try:
        target, staging = _stage(path, made)
        yield staging
        _move_into_place(staging, target, path, overwrite)
    except BaseException as error:
        full = _is_full(error, made)
        _undo(made)
        if full:
            raise InputError(f"{os.fspath(path)} can't be written: the disk is full.", _ROOM) from error
        raise


def check_new_folder(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Say now, before hours of work, whether `new_folder` could make this folder. Leaves nothing behind.

    Args:
        path: the folder that will be made.
        overwrite: whether a saved run or study there would be replaced.

    Raises:
        ExistsError: the folder is there and not empty.
        InputError: it can't be written.

    Example:
        >>> check_new_folder("runs/not-there-yet")
    """
    _refuse_existing(path, overwrite)
    made: list[Path] = []
    try:
        _stage(path, made)
    finally:
        _undo(made)


def holds(folder: str | os.PathLike[str]) -> Literal["run", "study"] | None:
    """What was saved in that folder: a study (also where its one run lies beside it), a run, or nothing known.

    Example:
        >>> holds("no-such-folder") is None
        True
    """
    folder = Path(folder)
    if (folder / STUDY).is_file():
        return "study"
    return "run" if (folder / RUN).is_file() else None


def _refuse_existing(path: str | os.PathLike[str], overwrite: bool) -> None:
    target = Path(path)
    try:
        there, folder = target.exists(), target.is_dir()
        empty = folder and next(target.iterdir(), None) is None
    except OSError as error:
        raise _unwritable(path, error) from error
    if there and not folder:
        raise ExistsError(f"{target} is a file, where a folder is to be made.", _OTHER_NAME)
    if folder and not empty and not overwrite:
        raise ExistsError(f"{target} is already there.", _OVERWRITE)
    if folder and not empty and holds(target) is None:
        raise ExistsError(f"{target} holds no saved run, so it is not replaced.", _OTHER_NAME)


def _stage(path: str | os.PathLike[str], made: list[Path]) -> tuple[Path, Path]:
    """The folder to be made, and a staging folder beside it; every folder it makes is appended to `made`."""
    try:
        target = Path(os.path.realpath(path))
        missing = [parent for parent in target.parents if not parent.exists()]
        staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        for folder in [*reversed(missing), staging]:
            with contextlib.suppress(FileExistsError):  # made by another process meanwhile
                folder.mkdir()
                made.append(folder)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    return target, staging


def _is_full(error: BaseException, made: list[Path]) -> bool:
    """Whether it was raised because nothing more can be written there; HDF5 and zip files say so without a number."""
    if not isinstance(error, OSError):
        return False
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    with contextlib.suppress(OSError, IndexError):
        return error.errno is None and shutil.disk_usage(made[-1]).free < _LEAST_FREE
    return False


def _undo(made: list[Path]) -> None:
    """Remove the staging folder, and the parents made for it where nothing else has come into them."""
    for folder in reversed(made):
        if folder.name.startswith(".") and folder.suffix == ".part":
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _move_into_place(staging: Path, target: Path, path: str | os.PathLike[str], overwrite: bool) -> None:
    old = None
    if target.is_dir() and next(target.iterdir(), None) is not None:
        if overwrite and holds(target) is not None:
            old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
            target.rename(old)
    elif target.is_dir():
        target.rmdir()  # empty; a rename would refuse it on some systems
    try:
        staging.rename(target)
    except OSError as error:
        if old is not None:
            old.rename(target)
            raise
        other = _next_free(target)
        staging.rename(other)
        raise ExistsError(
            f"{path} was made by somebody else meanwhile, so this one was saved as {other.name}.", "Nothing was lost."
        ) from error
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _next_free(target: Path) -> Path:
    k = 2
    while (other := target.with_name(f"{target.name}-{k}")).exists():
        k += 1
    return other


def _unwritable(path: str | os.PathLike[str], error: Exception) -> InputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(f"{os.fspath(path)} can't be written: {reason}.", _OTHER_PLACE)
