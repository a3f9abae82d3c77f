"""`train(…, improve=True)`: the search as the last stage of the table job, and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import goodfit
from goodfit.api import improving_stage, proving
from goodfit.checks import remedies
from goodfit.cli.app import app
from goodfit.errors import InputError, Interrupted
from goodfit.report import html, study_json
from goodfit.report.ladder import ladder_text
from goodfit.training import arms

QUICK = {"seeds": 4, "epochs": 6, "improve": True}


def table(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    x = draw.uniform(-2, 2, (rows, 3))
    y = np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.05 * draw.normal(size=rows)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y})


@pytest.fixture(scope="module", autouse=True)
def once():
    """One round, and one change: in so few epochs the table is underfitted, and more of them mend it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(improving_stage, "ROUNDS", 1)
        patch.setattr(proving, "propose", lambda *_, **__: (remedies.more_epochs(8.0),))
        yield


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def mended(tmp_path_factory, told):
    out = tmp_path_factory.mktemp("runs")
    return goodfit.train(table(), "y", test=table(150, 1), out=out, name="mended", report=told.append, **QUICK)


def value(study, model: str, metric: str = "mae", split: str = "test") -> float:
    return next(s.value for s in study.scores if (s.model, s.metric, s.split) == (model, metric, split))


def test_what_is_kept_is_proven_and_shows_on_the_test_rows(mended):
    assert mended.improved
    assert mended.gain.high < 0
    first, kept = mended.trials
    assert (first.change, kept.change.name, kept.kept) == (None, "more-epochs", True)
    assert mended.run is kept.run
    assert (first.run.recipe.epochs, kept.run.recipe.epochs) == (6, 48)
    for split in ("validation", "test"):
        assert value(mended, "network", split=split) < 0.9 * value(mended, "network before", split=split)
    assert mended.run.provenance["test_looks"] == 1


@pytest.mark.usefixtures("mended")
def test_the_stages_stand_in_their_order(told):
    finished = [progress.stage for progress in told if progress.finished]
    order = ["sanity", "train", "diagnose", "improve", "train", "test", "save"]
    places = [finished.index("sanity")]
    for stage in order[1:]:
        places.append(finished.index(stage, places[-1] + 1))
    assert finished.count("test") == 1
    assert finished[-2:] == ["test", "save"]
    improve = next(progress.text for progress in told if progress.finished and progress.stage == "improve")
    assert "kept of" in improve


def test_the_folder_holds_the_kept_network(mended):
    rows = table(150, 1)
    predicted = goodfit.predict(mended.folder, rows)["predicted y"].to_numpy()
    np.testing.assert_allclose(predicted, mended.predictions["predicted"], rtol=1e-4, atol=1e-5)
    assert np.abs(predicted - rows["y"]).mean() == pytest.approx(value(mended, "network"), rel=1e-4)
    loaded = goodfit.load(mended.folder)
    assert loaded.improved
    assert loaded.gain == mended.gain
    assert [t.kept for t in loaded.trials] == [t.kept for t in mended.trials]
    assert loaded.run.model is loaded.best_model
    assert loaded.run.provenance["test_looks"] == 1
    assert {"model.keras", "study.json", "report.html", "trials"} <= {p.name for p in Path(mended.folder).iterdir()}


def test_the_reports_tell_verdict_ladder_and_the_one_look(mended):
    name = next(trial.change.describe for trial in mended.trials if trial.kept and trial.change)
    page = html(mended)
    assert "The test rows were looked at once, after all this." in page
    assert "the network before the changes" in page
    assert name in page
    assert "On fresh seeds that removes" in ladder_text(mended)
    assert "test mae" not in ladder_text(mended, brief=True)
    data = study_json(mended)["improvement"]
    assert data["improved"] is True
    assert [trial["kept"] for trial in data["trials"]] == [trial.kept for trial in mended.trials]
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert "Kept: " in mended._repr_html_()


def test_the_test_rows_decide_nothing_and_finished_trials_are_found_again(mended, monkeypatch):
    other = table(150, 1)
    other["y"] = other["y"].sample(frac=1, random_state=0).to_numpy()

    def never(*_, **__):
        raise AssertionError("a finished trial was trained again")

    monkeypatch.setattr(arms, "train", never)
    out = Path(mended.folder).parent
    again = goodfit.train(table(), "y", test=other, out=out, name="mended", overwrite=True, **QUICK)
    assert [t.comparison for t in again.trials] == [t.comparison for t in mended.trials]
    assert again.about["gain"] == mended.about["gain"]
    for one, two in zip(again.best_model.get_weights(), mended.best_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert value(again, "network", split="validation") == value(mended, "network", split="validation")
    assert value(again, "network") > 2 * value(mended, "network")


def test_where_nothing_helps_the_network_is_that_of_train_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(proving, "propose", lambda *_, **__: (remedies.lower_learning_rate(1e-3),))
    rows = table(300)
    rows["y"] = rows["a"] - rows["b"]
    rows.to_csv(tmp_path / "rows.csv", index=False)
    given = ["train", str(tmp_path / "rows.csv"), "--target", "y", "--seeds", "2", "--epochs", "20", "-q"]
    plain = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "plain"), "--json"])
    assert json.loads(plain.stdout)["improvement"] is None
    done = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "runs"), "--improve", "--budget", "10m"])
    assert done.exit_code == 0, done.output
    assert "No change helps" in done.stdout
    one, two = (goodfit.load(tmp_path / name / "rows") for name in ("plain", "runs"))
    assert [s for s in one.scores if s.model == "network"] == [s for s in two.scores if s.model == "network"]
    assert not any(s.model == "network before" for s in two.scores)
    for first, second in zip(one.best_model.get_weights(), two.best_model.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert "lower-learning-rate" in ladder_text(two)


def test_a_fault_proposes_the_command_that_mends_it(tmp_path):
    draw = np.random.default_rng(0)
    pd.DataFrame(draw.normal(size=(200, 4)), columns=list("abcy")).to_csv(tmp_path / "noise.csv", index=False)
    given = ["train", str(tmp_path / "noise.csv"), "--target", "y", "--seeds", "2", "--epochs", "30", "-q"]
    done = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.output
    study = goodfit.load(tmp_path / "runs" / "noise")
    assert study.diagnosis.verdict != "balanced"
    assert done.stdout.splitlines()[-1].split() == ["mend", "goodfit", "improve", str(tmp_path / "runs" / "noise")]


def test_ctrl_c_in_the_search_keeps_the_first_network_and_looks_at_no_test_rows(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(arms, "train", interrupted)
    with pytest.raises(Interrupted, match="what was done is in"):
        goodfit.train(table(300), "y", seeds=2, epochs=5, improve=True, out=tmp_path, name="cut")
    study = goodfit.load(tmp_path / "cut")
    assert study.run.provenance["test_looks"] == 0
    assert not study.scores
    assert len(goodfit.predict(tmp_path / "cut", table(5))) == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"improve": False, "budget": "60s"}, "nothing to spend it on"),
        ({"budget": "soon"}, "the budget is 'soon'"),
        ({"budget": 100}, "budget of 100 steps doesn't suffice"),
        ({"seeds": 1}, "nothing can be told apart"),
        ({"validation": 0.05}, "there are 15 validation rows: too few"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_trained(wrong, message, monkeypatch, tmp_path):
    def never(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr("goodfit.training.population.train", never)
    with pytest.raises(InputError, match=message):
        goodfit.train(table(300), "y", out=tmp_path, **{**QUICK, **wrong})
    assert not list(tmp_path.iterdir())
