"""What `predict` gives back: the rows as they were given, with predictions of the target's own type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import goodfit
from goodfit.errors import InputError


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": draw.normal(size=120), "b": draw.choice(["u", "v"], 120), "flag": draw.choice([True, False], 120)}
    )
    return frame.assign(day=pd.date_range("2020-01-01", periods=120), y=2 * (frame["a"] > 0) + 1)


@pytest.fixture(scope="module")
def folder(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    goodfit.train(table, "y", seeds=1, epochs=3, out=out, name="numbered")
    return out / "numbered"


def test_a_frame_comes_back_with_its_index_and_types(table: pd.DataFrame, folder: Path) -> None:
    rows = table.tail(6).assign(more=1.5, huge=1e300, nothing=np.nan).set_index(pd.Index(list("pqrstu"), name="key"))
    before = rows.copy()
    found = goodfit.predict(folder, rows)
    pd.testing.assert_frame_equal(found[rows.columns], before)
    assert found.index.equals(before.index)
    assert found["predicted y"].dtype == np.int64
    assert set(found["predicted y"]) <= {1, 3}
    assert ((found["predicted y"] == found["y"]) == (found["predicted y"].astype(str) == found["y"].astype(str))).all()
    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".xlsx", ".jsonl"])
def test_a_file_gives_its_numbers_and_is_written_as_its_name_says(
    table: pd.DataFrame, folder: Path, tmp_path: Path, ending: str
) -> None:
    table.tail(6).assign(huge=1e300, nothing=np.nan).to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / f"predicted{ending}"
    found = goodfit.predict(folder, tmp_path / "rows.csv", out=out)
    assert [found[name].dtype.kind for name in ("y", "predicted y", "huge")] == ["i", "i", "f"]
    assert [file.name for file in sorted(tmp_path.iterdir())] == sorted([out.name, "rows.csv"])
    again = goodfit.predict(folder, out)
    np.testing.assert_array_equal(again["predicted y"], found["predicted y"])
    np.testing.assert_allclose(again["probability 3"], found["probability 3"], atol=1e-6)


def test_an_own_column_that_is_replaced_is_told(table: pd.DataFrame, folder: Path) -> None:
    told = []
    goodfit.predict(folder, table.assign(**{"predicted y": 0}), report=told.append)
    assert any("own column 'predicted y' is replaced" in progress.text for progress in told)


def test_truths_are_predicted_as_truths(table: pd.DataFrame) -> None:
    study = goodfit.train(table, "flag", seeds=1, epochs=2)
    assert study.predict(table)["predicted flag"].dtype == bool


@pytest.mark.parametrize("rows", [None, 3, {"a": [1]}, [1.0], np.zeros((2, 3))])
def test_what_is_no_table_is_told(folder: Path, rows: object) -> None:
    with pytest.raises(InputError, match="is no table"):
        goodfit.predict(folder, rows)


def test_a_damaged_model_is_told(folder: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "model.keras").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(InputError, match=r"model\.keras can't be loaded"):
        goodfit.predict(tmp_path / "copy", table)
