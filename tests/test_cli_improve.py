"""`goodfit improve RUN`: a saved table run, mended and saved as a study of its own."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import goodfit
from goodfit.cli.app import app


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    draw = np.random.default_rng(0)
    x = draw.uniform(-2, 2, (240, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.sin(2 * x[:, 0]) + x[:, 1] + 0.1 * draw.normal(size=240)})
    frame.to_csv(folder / "rows.csv", index=False)
    goodfit.train(folder / "rows.csv", "y", seeds=2, epochs=15, out=folder, name="first")
    return folder / "first"


def test_a_run_is_improved(run):
    given = ["improve", str(run), "--seeds", "4", "--rounds", "1", "--changes", "more-epochs", "--json", "-q"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert [trial["change"] for trial in made["trials"]] == [None, "more-epochs"]
    assert made["test"][0]["metric"] == "mean_squared_error"
    folder = run.with_name("first-improved")
    assert (folder / "report.html").is_file()
    study = goodfit.load(folder)
    assert study.about["test_looks"] == 2
    rows = pd.read_csv(run.parent / "rows.csv")
    predicted = goodfit.predict(folder, rows)["predicted y"]
    assert np.corrcoef(predicted, rows["y"])[0, 1] > 0.5
    again = CliRunner().invoke(app, given)
    assert again.exit_code == 2
    assert "already there" in again.stderr


def test_a_changed_table_is_refused(run, tmp_path):
    rows = pd.read_csv(run.parent / "rows.csv")
    rows.iloc[:-5].to_csv(tmp_path / "fewer.csv", index=False)
    done = CliRunner().invoke(
        app, ["improve", str(run), "--table", str(tmp_path / "fewer.csv"), "--out", str(tmp_path / "o")]
    )
    assert done.exit_code == 2
    assert "has 235 rows, and had 240" in done.stderr
    rows.loc[7, "b"] += 1
    rows.to_csv(tmp_path / "other.csv", index=False)
    done = CliRunner().invoke(
        app, ["improve", str(run), "--table", str(tmp_path / "other.csv"), "--out", str(tmp_path / "o")]
    )
    assert done.exit_code == 2
    assert "is not what it was when the network was trained: the column 'b' holds other values." in done.stderr
    assert not (tmp_path / "o.trials").exists()


def test_the_run_itself_is_never_replaced(run):
    before = sorted(file.name for file in run.iterdir())
    result = CliRunner().invoke(app, ["improve", str(run), "--out", str(run), "--overwrite"])
    assert result.exit_code == 2
    assert "is the run itself" in result.output
    assert sorted(file.name for file in run.iterdir()) == before


def test_what_is_no_run_is_refused(tmp_path):
    done = CliRunner().invoke(app, ["improve", str(tmp_path)])
    assert done.exit_code == 2


def test_a_table_that_has_moved_is_asked_for(run, tmp_path):
    table = run.parent / "rows.csv"
    table.rename(tmp_path / "elsewhere.csv")
    try:
        done = CliRunner().invoke(app, ["improve", str(run), "--out", str(tmp_path / "o")])
        assert done.exit_code == 2
        assert f"no longer at {table}" in " ".join(done.stderr.split())
        assert "--table" in done.stderr
    finally:
        (tmp_path / "elsewhere.csv").rename(table)
