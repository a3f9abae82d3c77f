"""`read`, `load`, `diagnose`: what is known of trainings that are over."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goodfit import checks, logs, store
from goodfit.api.predictor import MODEL, Predictor
from goodfit.api.result import FitResult, TableStudy
from goodfit.errors import InputError
from goodfit.values import Diagnosis, Run, Study


def load(folder: str | os.PathLike[str]) -> FitResult | TableStudy:
    """A saved study or run.

    Args:
        folder: that `goodfit train` or `Study.save` wrote.

    Returns:
        the study (a `Study`) where the folder holds one, otherwise its run (a `Run`), with the model at hand where one
        was saved.

    Raises:
        InputError: the folder holds neither, or a file in it can't be read; the message names it.
    """
    if store.holds(folder) != "study":
        return FitResult.of(store.load_run(folder))
    study = store.load_study(folder)
    predictor = Predictor.load(folder, study.about) if (Path(folder) / MODEL).is_file() else None
    fields = {f.name: getattr(study, f.name) for f in dataclasses.fields(Study)}
    fields["trials"] = tuple(dataclasses.replace(trial, run=FitResult.of(trial.run)) for trial in study.trials)
    if predictor is not None:
        kept = fields["trials"][-1]
        run = FitResult.of(kept.run, get_model=lambda: predictor.model)
        fields["trials"] = (*fields["trials"][:-1], dataclasses.replace(kept, run=run))
    return TableStudy(**fields, predictor=predictor)


def read(path: str | os.PathLike[str], *, loss: str | None = None, val_loss: str | None = None) -> tuple[Run, ...]:
    """The runs in a log file of any tool, or in a folder that goodfit saved.

    Args:
        path: CSV, JSON or JSON lines, a folder, or `"-"` for standard input.
        loss: the column of the training loss, where it isn't recognized.
        val_loss: the column of the validation loss.

    Returns:
        one run per training in the file, in its order; what was left out stands in `provenance["notes"]`.

    Raises:
        InputError: it is no history of a training; the message names the place and what to do.
    """
    if Path(path).is_dir():
        found = load(path)
        return (found.run if isinstance(found, Study) else found,)
    return logs.read(path, loss=loss, val_loss=val_loss)


def diagnose(what: Any, *, loss: str | None = None, val_loss: str | None = None) -> Diagnosis:
    """One verdict on a training, and all findings.

    Args:
        what: a `Run`, a `FitResult`, a `Study`, Keras's `History`, a mapping of lists, a DataFrame, or a path.
        loss: the curve of the training loss, where it isn't recognized by its name.
        val_loss: the curve of the validation loss.

    Returns:
        the verdict with its reason, and the findings, most important first.

    Raises:
        InputError: it holds no curves, or a file holds several runs (use `read` and diagnose each).

    Example:
        >>> import goodfit
        >>> falling = [1 / (1 + epoch) for epoch in range(60)]
        >>> rising = [0.5 + 0.01 * epoch for epoch in range(60)]
        >>> goodfit.diagnose({"loss": falling, "val_loss": rising}).verdict
        'overfitting'
    """
    if isinstance(what, Study):
        return what.diagnosis
    what = getattr(what, "run", what)  # a FitResult
    if isinstance(what, Run):
        return checks.diagnose(what)
    history = getattr(what, "history", None)  # Keras's History
    if isinstance(history, Mapping):
        what = history
    if isinstance(what, (str, os.PathLike)):
        runs = read(what, loss=loss, val_loss=val_loss)
    else:
        runs = logs.read(what, loss=loss, val_loss=val_loss)
    if len(runs) != 1:
        raise InputError(
            f"{what if isinstance(what, (str, os.PathLike)) else 'the log'} holds {len(runs)} runs.",
            "Read them with goodfit.read(…) and diagnose each.",
        )
    return checks.diagnose(runs[0])
