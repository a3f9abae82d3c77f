"""Run and Study <-> a folder: JSON, CSV and plain NumPy arrays. Nothing is unpickled, nothing is left half-written.

A run's folder holds `run.json`, `history.csv`, `signals.npz`, and where they are known `recipe.json` and
`diagnosis.json`. A study's folder holds `study.json` and `predictions.csv`, beside the files of its run where it has
just one trial, and `trials/<k>-<change>/` otherwise. Model, preparation and report are written by others, into the same
folder: `with new_folder(path) as staging: write_study(study, staging); …`.
"""

from goodfit.store.folder import check_new_folder, holds, new_folder
from goodfit.store.runs import load_diagnosis, load_run, save_run, write_run
from goodfit.store.studies import load_study, save_study, write_study

__all__ = [
    "check_new_folder",
    "holds",
    "load_diagnosis",
    "load_run",
    "load_study",
    "new_folder",
    "save_run",
    "save_study",
    "write_run",
    "write_study",
]
