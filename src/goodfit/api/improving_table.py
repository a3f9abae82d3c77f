"""`improve` on a run that `goodfit train` saved: the same rows, the same preparation, the network mended."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goodfit.api.improving import dataset_of_rows, fixed_rows, study_of
from goodfit.api.predictor import Predictor
from goodfit.api.proving import Place, Proof, check_place, chosen, fingerprint
from goodfit.api.result import TableStudy
from goodfit.errors import InputError, Interrupted
from goodfit.improvement import Budget, Trials
from goodfit.improvement.search import ROUNDS
from goodfit.values import Report, Study, silent


def improve_run(
    run: str | os.PathLike[str],
    *,
    table: str | os.PathLike[str] | None = None,
    metric: str | Callable[[Any, Any], Any] = "loss",
    seeds: int = 8,
    budget: int | str | None = None,
    changes: Sequence[Any] | int | None = None,
    rounds: int = ROUNDS,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    on: Place = "local",
    report: Report = silent,
) -> TableStudy:
    """Mend the network of a saved table run by one change at a time, and save it as a study of its own.

    The run's own training rows train all trials, and its validation rows choose epochs and judge, a half each; so rows
    of a group, or of later times, stay apart as they were. The test rows are looked at once more, at the end.

    Args:
        run: a folder that `goodfit train` wrote.
        table: the table, where it is no longer where it was.
        metric: the endpoint, as in `improve`.
        seeds: pairs in each comparison.
        budget: optimizer steps over all trials and seeds, or a time such as `"60s"`.
        changes: how many to try in a round, or which.
        rounds: changes kept at most.
        out: the folder that is made; `<run>-improved` where `None`. Finished trials are kept in `<out>.trials`.
        overwrite: replace a saved study that is already there.
        on: where trials run, as in `improve`.
        report: told what is done.

    Returns:
        the study; its predictor and model are the kept ones.

    Raises:
        InputError: no such run, the table is not there or has changed, or an argument can't be used.
        Interrupted: Ctrl-C; finished trials are kept.
    """
    from goodfit import store

    check_place(on)
    limits, (listed, most) = Budget.of(budget), chosen(changes)
    if seeds < 2:
        raise InputError(f"seeds is {seeds}: nothing can be told apart.", "Give at least 2; 8 is usual.")
    saved = store.load_study(run)
    recipe = saved.run.recipe
    if recipe is None or "target" not in saved.about:
        raise InputError(f"{run} holds no run of a table.", "Give a folder that `goodfit train` wrote.")
    predictor = Predictor.load(run, saved.about)
    folder = Path(out) if out is not None else Path(run).with_name(f"{Path(run).name}-improved")
    store.check_new_folder(folder, overwrite)
    x, y = _rows(saved, predictor, str(table or saved.about["source"]))
    split = saved.run.provenance.get("split", {})
    if "train" not in split:
        raise InputError(f"{run} doesn't tell which rows it was trained on.", "Train it again.")
    train, validation, test = (np.asarray(split[name], dtype=np.int64) for name in ("train", "validation", "test"))
    held = np.concatenate([train, validation])

    from goodfit.training.arms import Rows
    from goodfit.training.endpoint import endpoint_of
    from goodfit.training.own_model import OwnModel
    from goodfit.training.recipes import build

    rows = Rows(x[held], y[held], fixed_rows(len(train), len(validation)))
    outputs = np.asarray(build(recipe, recipe.seed)(x[held][:2], training=False))
    endpoint = endpoint_of(recipe, metric, y[held][:2], outputs)
    about = {"data": fingerprint({"x": rows.x, "y": rows.y}), "endpoint": endpoint.name, "design": "rows"}
    dataset = dataset_of_rows(rows.x, rows.y, endpoint.task, len(saved.about["classes"]), rows.divide(recipe.seed))
    trials = Trials(folder.with_name(f"{folder.name}.trials"), about)
    keys = ("linear_loss", "boosting_loss", "chance_loss")
    known = {key: saved.run.measurements[key] for key in keys if key in saved.run.measurements}
    proof = Proof(OwnModel(recipe), rows, endpoint, "rows", trials, about, dataset, known, report=report)
    members = range(recipe.seed, recipe.seed + seeds)
    with proof.placed(on):
        ladder = proof.search(members, budget=limits, changes=listed, most=most, rounds=rounds)
        if ladder.interrupted:
            raise Interrupted(str(trials.folder))
        made = study_of(proof, ladder, members, (x[test], y[test]) if len(test) else None, folder.name)
    looks = int(saved.run.provenance.get("test_looks", 0)) + made.about["test_looks"]
    whole = {**saved.about, **{k: v for k, v in made.about.items() if k not in ("task", "target", "notes")}}
    study = TableStudy(
        trials=made.trials,
        task=saved.task,
        scores=made.scores,
        about={**whole, "test_looks": looks},
        name=folder.name,
        folder=str(folder),
        predictor=Predictor(predictor.preparation, saved.about, lambda: made.best_model),
    )
    study.save(folder, overwrite=overwrite)
    return study


def _rows(saved: Study, predictor: Predictor, source: str) -> tuple[np.ndarray, np.ndarray]:
    """All rows of the table, prepared as they were: inputs, and the target standardized or as codes."""
    from goodfit import tables
    from goodfit.tables.target import target_codes

    about = saved.about
    if source == "DataFrame":
        raise InputError("the run was trained on a DataFrame, which is not saved with it.", "Give the table.")
    reading = dict(about["read"])
    raw = tables.read(source, **reading)
    if about["target"] not in raw.frame:
        raise InputError(f"{source} has no column {about['target']!r}.", "Give the table as it was.")
    again = predictor.preparation.read(source, **{k: reading[k] for k in ("names", "sep", "encoding", "sheet")})
    x = predictor.preparation.transform(again.frame)
    if len(x) != about["rows"]["table"]:
        raise InputError(
            f"{source} has {len(x)} rows, and had {about['rows']['table']} when the network was trained.",
            "Give the table as it was, or train again.",
        )
    column = raw.frame[about["target"]]
    if about["task"] == "regression":
        values = (column.to_numpy(dtype=np.float64) - about["target_mean"]) / about["target_scale"]
        return x, values.astype(np.float32)
    return x, target_codes(column, tuple(about["classes"]))
