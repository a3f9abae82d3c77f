"""`Run` <-> a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import numpy as np

from goodfit import __version__
from goodfit.store import files
from goodfit.store.folder import RUN, new_folder
from goodfit.values import Diagnosis, Outcome, Recipe, Run
from goodfit.values._json import dumps

HISTORY = "history.csv"
SIGNALS = "signals.npz"
RECIPE = "recipe.json"
DIAGNOSIS = "diagnosis.json"


def save_run(
    run: Run, folder: str | os.PathLike[str], *, diagnosis: Diagnosis | None = None, overwrite: bool = False
) -> None:
    """Save a run as a new folder, whole or not at all.

    Args:
        run: what happened.
        folder: the folder to make.
        diagnosis: what that says, where it is known.
        overwrite: replace a saved run that is already there.

    Raises:
        ExistsError: the folder is there and not empty.
        InputError: it can't be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp() + "/mine"
        >>> save_run(Run.from_history({"loss": [1.0, 0.5]}), folder)
        >>> load_run(folder).history
        {'loss': [1.0, 0.5]}
    """
    with new_folder(folder, overwrite) as staging:
        write_run(run, staging, diagnosis=diagnosis)


def write_run(run: Run, folder: str | os.PathLike[str], *, diagnosis: Diagnosis | None = None) -> None:
    """Write a run's files into a folder that is there, such as the one that `new_folder` yields.

    Args:
        run: what happened.
        folder: where to write.
        diagnosis: what that says, where it is known.
    """
    folder = Path(folder)
    about = {
        "format": files.FORMAT,
        "goodfit": __version__,
        "name": run.name,
        "task": run.task,
        "unit": run.unit,
        "seeds": run.seeds,
        "outcomes": run.outcomes,
        **({"stages": run.stages} if run.stages else {}),
        "kept_epoch": None if run.kept_epoch is None else np.asarray(run.kept_epoch).tolist(),
        "curves": list(run.curves),
        "signal_layers": run.signal_layers,
        "measurements": {name: files.number_to_json(value) for name, value in run.measurements.items()},
        "provenance": run.provenance,
    }
    files.write(folder / RUN, dumps(about))
    files.write_history(run, folder / HISTORY)
    files.write_signals(run, folder / SIGNALS)
    if run.recipe is not None:
        files.write(folder / RECIPE, dumps(run.recipe.to_dict()))
    if diagnosis is not None:
        files.write(folder / DIAGNOSIS, dumps(diagnosis.to_dict()))


def load_run(folder: str | os.PathLike[str]) -> Run:
    """The run that was saved in a folder.

    Args:
        folder: a folder that `save_run` made, or `save_study` for a study of one trial.

    Returns:
        the run, its curves bit for bit as they were.

    Raises:
        InputError: the folder holds no saved run, or a file of it is missing or broken; the file is named.
    """
    folder = Path(folder)
    about = files.read_about(folder, RUN)
    with files.reading(folder / RUN):
        if unknown := set(about["outcomes"]) - set(get_args(Outcome)):
            raise ValueError(f"no outcome is called {unknown.pop()!r}")
        names = [str(name) for name in about["curves"]]
        fields = {
            "seeds": tuple(about["seeds"]),
            "outcomes": tuple(about["outcomes"]),
            "unit": about["unit"],
            "stages": tuple(int(start) for start in about.get("stages", ())),
            "kept_epoch": None if about["kept_epoch"] is None else np.asarray(about["kept_epoch"], dtype=np.int64),
            "signal_layers": tuple(about["signal_layers"]),
            "measurements": {name: files.number_from_json(value) for name, value in about["measurements"].items()},
            "task": about["task"],
            "provenance": about["provenance"],
            "name": about["name"],
        }
    with files.reading(folder / HISTORY):
        epoch, curves = files.read_history(folder / HISTORY, names, fields["seeds"])
    with files.reading(folder / SIGNALS):
        signals, signal_epochs = files.read_signals(folder / SIGNALS)
    recipe = None
    if (folder / RECIPE).exists():
        with files.reading(folder / RECIPE):
            recipe = Recipe.from_dict(files.read_json(folder / RECIPE))
    with files.reading(folder / RUN):
        return Run(curves=curves, epoch=epoch, signals=signals, signal_epochs=signal_epochs, recipe=recipe, **fields)


def load_diagnosis(folder: str | os.PathLike[str]) -> Diagnosis | None:
    """The diagnosis that was saved with a run, or `None` where there was none.

    Args:
        folder: a run's folder.

    Raises:
        InputError: the file is broken.
    """
    file = Path(folder) / DIAGNOSIS
    if not file.exists():
        return None
    with files.reading(file):
        return Diagnosis.from_dict(files.read_json(file))
