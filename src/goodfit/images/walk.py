"""Which files lie in a folder, and to which class each belongs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from goodfit.errors import InputError

_HIDDEN = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Found:
    """The files of a folder whose sub-folders are the classes.

    Args:
        files: by the name of each sub-folder that has any, sorted: its files, also those in folders beneath.
        beside: files that lie in no sub-folder.
        empty: sub-folders without a file.
        deeper: for each sub-folder, how many of its files lie in folders beneath.
    """

    files: dict[str, list[Path]]
    beside: list[Path]
    empty: list[str]
    deeper: dict[str, int]


def walk(folder: Path) -> Found:
    """The files of a folder and of its sub-folders; hidden ones are left out.

    Raises:
        InputError: there is no such folder, or it can't be read.
    """
    files: dict[str, list[Path]] = {}
    empty, deeper = [], {}
    folders, beside = _listed(check_folder(folder))
    for inside in folders:
        mine = every_file(inside)
        if not mine:
            empty.append(inside.name)
            continue
        files[inside.name] = mine
        deeper[inside.name] = sum(path.parent != inside for path in mine)
    return Found(files, beside, empty, deeper)


def check_folder(folder: Path) -> Path:
    """The folder, where there is one."""
    if not folder.exists():
        raise InputError(f"there is no folder {folder}.", "Check the path.")
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder.", "Give the folder whose sub-folders are the classes.")
    return folder


def every_file(folder: Path) -> list[Path]:
    """All files in a folder and beneath, hidden ones left out, sorted by path."""
    folders, files = _listed(folder)
    for inside in folders:
        if not inside.is_symlink():  # which may lead back to where it came from
            files += every_file(inside)
    return sorted(files)


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    try:
        entries = sorted(os.listdir(folder))
    except OSError as problem:
        raise InputError(f"{folder} can't be read: {problem.strerror}.", "Check its permissions.") from None
    shown = [folder / name for name in entries if not name.startswith(".") and name.lower() not in _HIDDEN]
    return [path for path in shown if path.is_dir()], [path for path in shown if path.is_file()]
