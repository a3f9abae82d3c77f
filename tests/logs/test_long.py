"""Training and validation rows under names of their own: in parts of a mapping, or in rows that say which they are."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from goodfit.errors import InputError
from goodfit.logs import read

LOSS, HELD = [1.0, 0.5, 0.3, 0.2], [1.1, 0.7, 0.6, 0.65]
ROWS = [
    row
    for epoch in range(4)
    for row in (
        {"epoch": epoch, "phase": "Train", "loss": LOSS[epoch]},
        {"epoch": epoch, "phase": "Val", "loss": HELD[epoch]},
    )
]
METRICS = pd.DataFrame(
    [
        {"key": key, "value": value, "timestamp": 1e9 + step, "step": step}
        for key, values in (("train_loss", LOSS), ("val_loss", HELD))
        for step, value in enumerate(values)
    ]
)


@pytest.mark.parametrize(
    "log",
    [
        {"train": {"loss": LOSS}, "val": {"loss": HELD}},
        {"Training": {"loss": LOSS, "lr": [0.1] * 4}, "validation": {"loss": HELD}},
        {"train": [{"loss": v} for v in LOSS], "valid": [{"loss": v} for v in HELD]},
        {"train": {"epoch": [0, 1, 2, 3], "loss": LOSS}, "val": {"epoch": [0, 1, 2, 3], "loss": HELD}},
        {"history": {"train": {"loss": LOSS}, "test": {"loss": HELD}}},
        ROWS,
        pd.DataFrame(ROWS),
        sorted(ROWS, key=lambda row: row["phase"]),
        METRICS,
    ],
    ids=["lists", "capitals", "rows", "epochs", "deeper", "long rows", "long frame", "blocks", "MLflow"],
)
def test_it_is_one_training_with_two_losses(log, tmp_path):
    (run,) = read(log)
    np.testing.assert_array_equal(run.curves["loss"][0], LOSS)
    np.testing.assert_array_equal(run.curves["val_loss"][0], HELD)
    if isinstance(log, pd.DataFrame):
        log.to_csv(tmp_path / "log.csv", index=False)
        (again,) = read(tmp_path / "log.csv")
        np.testing.assert_array_equal(again.curves["val_loss"][0], HELD)
    else:
        (tmp_path / "log.json").write_text(json.dumps(log))
        (again,) = read(tmp_path / "log.json")
        np.testing.assert_array_equal(again.curves["val_loss"][0], HELD)


def test_rows_of_json_lines_too(tmp_path):
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (run,) = read(tmp_path / "log.jsonl")
    np.testing.assert_array_equal(run.curves["val_loss"][0], HELD)


@pytest.mark.parametrize(
    ("log", "metric"),
    [
        ({"validation_0": {"rmse": LOSS}, "validation_1": {"rmse": HELD}}, "rmse"),
        ({"train": {"logloss": LOSS}, "eval": {"logloss": HELD}}, "logloss"),
        ({"training": {"l2": LOSS}, "valid_1": {"l2": HELD}}, "l2"),
        ({"learn": {"RMSE": LOSS}, "validation": {"RMSE": HELD}}, "rmse"),
    ],
    ids=["XGBoost", "XGBoost by name", "LightGBM", "CatBoost"],
)
def test_what_boosting_records(log, metric):
    (run,) = read(log)
    np.testing.assert_array_equal(run.curves[metric][0], LOSS)
    np.testing.assert_array_equal(run.curves[f"val_{metric}"][0], HELD)


def test_runs_under_names_of_their_own_stay_apart():
    assert len(read({"first": {"loss": LOSS, "val_loss": HELD}, "second": {"loss": LOSS, "val_loss": HELD}})) == 2


def test_a_loss_that_pandas_saved_as_empty_cells_was_not_a_number(tmp_path):
    gone = [np.nan] * 4
    frame = pd.DataFrame({"epoch": range(8), "loss": LOSS + gone, "accuracy": [0.5] * 8, "val_loss": HELD + gone})
    frame.to_csv(tmp_path / "log.csv", index=False)
    frame.to_json(tmp_path / "log.json", orient="records")
    for name in ("log.csv", "log.json"):
        (run,) = read(tmp_path / name)
        assert run.outcome == "nonfinite"
        assert any("not a number" in note for note in run.provenance["notes"])
    frame.drop(columns="accuracy").to_csv(tmp_path / "log.csv", index=False)
    (run,) = read(tmp_path / "log.csv")
    assert run.outcome == "finished"  # it can't be told
    assert any("the last 4 rows hold no loss" in note for note in run.provenance["notes"])


def test_packed_logs_are_read(tmp_path):
    with gzip.open(tmp_path / "log.csv.gz", "wt") as file:
        pd.DataFrame({"loss": LOSS, "val_loss": HELD}).to_csv(file, index=False)
    (run,) = read(tmp_path / "log.csv.gz")
    np.testing.assert_array_equal(run.curves["val_loss"][0], HELD)
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(InputError, match="broken gzip"):
        read(tmp_path / "broken.gz")
