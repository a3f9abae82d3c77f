"""A study saved whole: trials, what predicts, report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from goodfit.values import Study


def save_study(
    study: Study, folder: str | os.PathLike[str], overwrite: bool, keep: Callable[[Path], object] | None
) -> Path:
    """Save a study as a new folder.

    Args:
        study: its trials and scores, and its report.
        folder: the folder to make.
        overwrite: replace a saved study that is already there.
        keep: saves what predicts into the folder that it is given.

    Raises:
        InputError: it can't be written, or is already there.
    """
    from goodfit import report, store

    with store.new_folder(folder, overwrite) as staging:
        store.write_study(study, staging)
        if keep is not None:
            keep(staging)
        (staging / "report.html").write_text(report.html(study), encoding="utf-8")
    return Path(folder)
