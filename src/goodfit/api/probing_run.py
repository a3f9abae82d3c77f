"""`diagnose(…, probe=True)` of a run that `goodfit train` saved: its network and its rows are taken from the disk."""

from __future__ import annotations

import os

import numpy as np

from goodfit import checks
from goodfit.api import probing
from goodfit.api.improving import dataset_of_rows
from goodfit.api.improving_table import recipe_of, rows_of
from goodfit.api.predictor import Predictor
from goodfit.values import Diagnosis, Report, Run, silent


def probe_run(
    run: str | os.PathLike[str], *, table: str | os.PathLike[str] | None = None, report: Report = silent
) -> tuple[Run, Diagnosis]:
    """Measure what the curves of a saved run can't tell, on its network and its rows; the run stays as it is.

    Args:
        run: a folder that `goodfit train` wrote.
        table: the table or the folder of images, where it is no longer where it was.
        report: told what is being measured.

    Returns:
        the run with what was measured, and what that says.

    Raises:
        InputError: no such run, or its table is not there or has changed.
    """
    from goodfit import store
    from goodfit.training.arms import Division
    from goodfit.training.recipes import compile_model

    saved = store.load_study(run)
    recipe = recipe_of(saved, run)
    predictor = Predictor.load(run, saved.about)
    x, y, (train, validation, _) = rows_of(saved, run, predictor, table)
    arguments = {
        "x": x[train],
        "y": y[train],
        "validation_data": (x[validation], y[validation]),
        "batch_size": recipe.batch_size,
    }
    model = compile_model(predictor.model, recipe)
    measured, _ = probing.probed(saved.run, model, arguments, report)
    held = np.concatenate([train, validation])
    apart = Division(np.arange(len(train)), np.arange(len(train), len(held)), np.zeros(0, dtype=np.int64))
    task = saved.task or saved.run.task
    assert task is not None
    x, y, classes = predictor.plain(x, train)[held], y[held], len(saved.about["classes"])
    dataset = dataset_of_rows(x, y, task, classes, apart, predictor.of_images)
    return measured, checks.diagnose(measured, dataset)
