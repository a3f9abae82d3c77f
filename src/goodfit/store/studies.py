"""`Study` <-> a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from goodfit import __version__
from goodfit.errors import InputError
from goodfit.store import files
from goodfit.store.folder import STUDY, new_folder
from goodfit.store.runs import DIAGNOSIS, load_diagnosis, load_run, write_run
from goodfit.values import Change, Comparison, Score, Study, Trial
from goodfit.values._json import dumps

PREDICTIONS = "predictions.csv"


def save_study(study: Study, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Save a study as a new folder, whole or not at all. Its `dataset` is not saved.

    Args:
        study: the trials, scores and predictions.
        folder: the folder to make.
        overwrite: replace a saved study that is already there.

    Raises:
        ExistsError: the folder is there and not empty.
        InputError: it can't be written.
    """
    with new_folder(folder, overwrite) as staging:
        write_study(study, staging)


def write_study(study: Study, folder: str | os.PathLike[str]) -> None:
    """Write a study's files into a folder that is there, such as the one that `new_folder` yields.

    Args:
        study: the trials, scores and predictions.
        folder: where to write.
    """
    folder = Path(folder)
    trials = []
    for k, trial in enumerate(study.trials):
        where = "." if len(study.trials) == 1 else f"trials/{k}-{_slug(trial.change)}"
        (folder / where).mkdir(parents=True, exist_ok=True)
        write_run(trial.run, folder / where, diagnosis=trial.diagnosis)
        trials.append(
            {
                "folder": where,
                "change": None if trial.change is None else trial.change.to_dict(),
                "comparison": None if trial.comparison is None else trial.comparison.to_dict(),
                "kept": trial.kept,
                "against": trial.against,
                "steps": trial.steps,
                "note": trial.note,
            }
        )
    about = {
        "format": files.FORMAT,
        "goodfit": __version__,
        "name": study.name,
        "task": study.task,
        "trials": trials,
        "scores": [files.encoded(score.to_dict(), ("value", "spread")) for score in study.scores],
        "predictions": files.write_predictions(study, folder / PREDICTIONS),
        "about": study.about,
    }
    files.write(folder / STUDY, dumps(about))


def load_study(folder: str | os.PathLike[str]) -> Study:
    """The study that was saved in a folder, without its dataset.

    Args:
        folder: a folder that `save_study` made.

    Returns:
        the study; its `folder` is the one given.

    Raises:
        InputError: the folder holds no saved study, or a file of it is missing or broken; the file is named.
    """
    folder = Path(folder)
    data = files.read_about(folder, STUDY)
    trials = []
    with files.reading(folder / STUDY):
        for entry in data["trials"]:
            where = _inside(folder, entry["folder"])
            run, diagnosis = load_run(where), load_diagnosis(where)
            if diagnosis is None:
                raise InputError(f"{where} has no {DIAGNOSIS}.", "Was a part of the study moved or deleted?")
            comparison = None
            if entry["comparison"] is not None:
                comparison = Comparison.from_dict(entry["comparison"])
            change = None if entry["change"] is None else Change.from_dict(entry["change"])
            rest = {name: entry[name] for name in ("against", "steps", "note") if name in entry}
            trials.append(Trial(run, diagnosis, change, comparison, entry["kept"], **rest))
        if not trials:
            raise ValueError("it has no trial")
        scores = tuple(Score.from_dict(files.decoded(score, ("value", "spread"))) for score in data["scores"])
        task, about, name, layout = data["task"], data["about"], data["name"], dict(data["predictions"])
    with files.reading(folder / PREDICTIONS):
        predictions = files.read_predictions(folder / PREDICTIONS, layout)
    return Study(
        trials=tuple(trials),
        task=task,
        scores=scores,
        predictions=predictions,
        about=about,
        name=name,
        folder=str(folder),
    )


def _slug(change: Change | None) -> str:
    return "baseline" if change is None else re.sub(r"[^a-z0-9]+", "-", change.name.lower()).strip("-") or "change"


def _inside(folder: Path, name: str) -> Path:
    where = (folder / name).resolve()
    if not where.is_relative_to(folder.resolve()):
        raise ValueError(f"the trial's folder {name!r} lies outside of it")
    return folder / name
