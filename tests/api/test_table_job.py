"""`goodfit.train` and `goodfit.predict` on real tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import goodfit
from goodfit import store
from goodfit.api.result import TableStudy
from goodfit.errors import InputError
from goodfit.values import Progress

AUTO_MPG = Path(__file__).parents[2] / "examples" / "auto-mpg.csv"


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, told: list[Progress]) -> TableStudy:
    out = tmp_path_factory.mktemp("runs")
    return goodfit.train(AUTO_MPG, "mpg", seeds=3, epochs=60, out=out, report=told.append)


def score(study: TableStudy, model: str, metric: str, split: str = "test") -> float:
    return next(s.value for s in study.scores if (s.model, s.metric, s.split) == (model, metric, split))


def test_the_network_beats_the_mean_and_the_linear_model_on_auto_mpg(saved: TableStudy) -> None:
    assert saved.task == "regression"
    assert score(saved, "network", "mae") < score(saved, "linear", "mae") < score(saved, "mean", "mae")


def test_every_stage_is_reported_in_its_order(saved: TableStudy, told: list[Progress]) -> None:
    assert saved.folder
    finished = [progress.stage for progress in told if progress.finished and progress.stage != "note"]
    notes = [progress.text for progress in told if progress.stage == "note"]
    assert any("'horsepower'" in note for note in notes)
    assert any("'origin'" in note for note in notes)
    assert finished == ["read", "prepare", "baselines", "sanity", "train", "diagnose", "test", "save"]
    assert all(progress.text for progress in told if progress.finished)


def test_the_run_folder_holds_what_the_contract_names(saved: TableStudy) -> None:
    folder = Path(str(saved.folder))
    names = {path.name for path in folder.iterdir()}
    assert {
        "recipe.json",
        "history.csv",
        "signals.npz",
        "diagnosis.json",
        "model.keras",
        "preparation.skops",
        "report.html",
        "study.json",
    } <= names
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 2_000_000
    assert "mpg" in page
    assert json.loads((folder / "diagnosis.json").read_text())["verdict"] == saved.diagnosis.verdict


def test_the_score_is_that_of_the_saved_network(saved: TableStudy) -> None:
    """An independent way: load the model, prepare the raw rows, predict, and compare with the raw target."""
    table = pd.read_csv(AUTO_MPG, na_values="?")
    rows = saved.predictions["row"]
    predicted = goodfit.predict(str(saved.folder), AUTO_MPG)["predicted mpg"].to_numpy()[rows]
    mae = np.abs(predicted - table["mpg"].to_numpy()[rows]).mean()
    assert mae == pytest.approx(score(saved, "network", "mae"), rel=1e-4)
    np.testing.assert_allclose(saved.predictions["true"], table["mpg"].to_numpy()[rows], rtol=1e-6)


def test_the_kept_network_is_the_seed_with_the_best_validation_loss(saved: TableStudy) -> None:
    run, dataset = saved.run, saved.dataset
    assert dataset is not None
    assert saved.models is not None
    assert run.kept_epoch is not None
    x, y = dataset.part("validation")
    losses = [float(np.mean((saved.models(m).predict(x, verbose=0)[:, 0] - y) ** 2)) for m in range(len(run.seeds))]
    kept = run.curves["val_loss"][np.arange(len(losses)), run.kept_epoch]
    np.testing.assert_allclose(losses, kept, rtol=1e-4)
    best = saved.best_model.predict(x, verbose=0)[:, 0]
    assert np.mean((best - y) ** 2) == pytest.approx(min(losses), rel=1e-5)
    spread = next(s.spread for s in saved.test if s.metric == "mae")
    assert spread[int(np.argmin(losses))] == pytest.approx(score(saved, "network", "mae"))


def test_the_test_rows_change_nothing_but_their_own_scores() -> None:
    """Shift every test row far away: what was trained must be the same to the last bit."""
    table = pd.read_csv(AUTO_MPG, na_values="?")
    first = goodfit.train(table, "mpg", seeds=2, epochs=8)
    assert first.dataset is not None
    rows = first.dataset.rows[first.dataset.test]
    moved = table.astype({"weight": float})
    moved.loc[rows, "weight"] += 1e5
    frames = [frame.assign(part=np.where(frame.index.isin(rows), "b", "a")) for frame in (table, moved)]
    train_rows = [frame[frame["part"] == "a"].drop(columns="part") for frame in frames]
    test_rows = [frame[frame["part"] == "b"].drop(columns="part") for frame in frames]
    studies = [goodfit.train(a, "mpg", seeds=2, epochs=8, test=b) for a, b in zip(train_rows, test_rows, strict=True)]
    for name, values in studies[0].run.curves.items():
        assert np.array_equal(values, studies[1].run.curves[name], equal_nan=True)
    assert score(studies[0], "network", "mae") != score(studies[1], "network", "mae")


def test_the_same_seed_gives_the_same_numbers_twice() -> None:
    first, second = (goodfit.train(AUTO_MPG, "mpg", seeds=2, epochs=10) for _ in range(2))
    for name, values in first.run.curves.items():
        assert np.array_equal(values, second.run.curves[name], equal_nan=True)
    assert first.scores == second.scores
    assert first.diagnosis == second.diagnosis


def test_the_initial_loss_is_what_chance_predicts(saved: TableStudy) -> None:
    measured = saved.run.measurements
    # the output starts at the training rows' mean, whose standardized loss on them is their variance, 1
    assert measured["initial_loss"] == pytest.approx(1.0, rel=0.02)
    assert measured["small_sample_loss"] < 0.05


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_classes_get_probabilities(name: str, tmp_path: Path) -> None:
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame["target"] = "class " + frame["target"].astype(str)
    study = goodfit.train(frame, "target", seeds=2, epochs=40, out=tmp_path, name=name)
    assert study.task == ("multiclass" if name == "wine" else "binary")
    assert score(study, "network", "accuracy") > 0.85
    predicted = goodfit.predict(tmp_path / name, frame)
    probabilities = predicted.filter(like="probability ").to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (predicted["predicted target"] == frame["target"]).mean() > 0.85
    assert (predicted["predicted target"].to_numpy() == np.array(study.about["classes"])[probabilities.argmax(1)]).all()


def test_predict_keeps_every_row_with_missing_and_unseen_values(saved: TableStudy, tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "cylinders": [4, None, 8],
            "displacement": [100.0, 200.0, None],
            "horsepower": [None, 90, 100],
            "weight": [2000, 2500, 3000],
            "acceleration": [15.0, 16.0, 17.0],
            "year": [70, 75, 99],
            "origin": [1, 7, None],
            "name": ["a new car", None, "another"],
        }
    )
    out = tmp_path / "predictions.csv"
    predicted = goodfit.predict(str(saved.folder), rows, out=out)
    assert len(predicted) == 3
    assert np.isfinite(predicted["predicted mpg"]).all()
    assert len(pd.read_csv(out)) == 3
    with pytest.raises(InputError, match="'weight'"):
        goodfit.predict(str(saved.folder), rows.drop(columns="weight"))


def test_a_loaded_study_is_the_one_that_was_saved(saved: TableStudy) -> None:
    loaded = goodfit.load(str(saved.folder))
    assert isinstance(loaded, TableStudy)
    assert loaded.diagnosis == saved.diagnosis
    assert loaded.scores == saved.scores
    x = np.zeros((2, len(saved.dataset.feature_names)), np.float32) if saved.dataset else np.zeros((2, 1))
    np.testing.assert_allclose(loaded.best_model.predict(x, verbose=0), saved.best_model.predict(x, verbose=0))


def test_a_saved_run_is_diagnosed_alike_without_its_rows(saved: TableStudy) -> None:
    """What only the rows can tell is then not applicable; all else is said with the same numbers and allowances."""
    from goodfit.checks.case import Case
    from goodfit.checks.reruns import mean_loss_error

    run, dataset = store.load_run(str(saved.folder)), saved.dataset
    assert dataset is not None
    assert run.measurements["validation_rows"] == len(dataset.validation)
    assert mean_loss_error(Case(run)) == mean_loss_error(Case(run, dataset)) > 0
    again, before = goodfit.diagnose(run), saved.diagnosis
    assert (again.verdict, again.reason) == (before.verdict, before.reason)
    unknown = {
        finding.slug for finding in again.findings if "rows it was trained on are not at hand" in finding.message
    }
    assert unknown <= {"unscaled-inputs", "unscaled-target", "nonfinite-inputs", "constant-inputs", "duplicate-rows",
                       "target-leakage", "train-validation-shift", "too-few-examples", "class-imbalance"}  # fmt: skip
    for finding in again.findings:
        if finding.slug not in unknown:
            assert finding == before.finding(finding.slug)


def test_run_and_study_show_themselves(saved: TableStudy) -> None:
    from matplotlib.axes import Axes

    loaded = goodfit.load(str(saved.folder))
    for thing in (saved, loaded):
        assert isinstance(thing, TableStudy)
        assert saved.diagnosis.verdict in thing._repr_html_().lower()
        assert isinstance(thing.run.plot(), Axes)
        assert "<" in thing.run._repr_html_()
        assert saved.diagnosis.verdict in repr(thing)
        assert saved.diagnosis.verdict in repr(thing.run)


def test_an_existing_run_is_never_overwritten_silently(saved: TableStudy) -> None:
    folder = Path(str(saved.folder))
    before = (folder / "study.json").read_bytes()
    with pytest.raises(InputError, match="already there"):
        goodfit.train(AUTO_MPG, "mpg", out=folder.parent)
    assert (folder / "study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"seeds": 0}, "seeds"),
        ({"seed": -1}, "seed"),
        ({"epochs": 0}, "epochs"),
        ({"validation": 0.0}, "validation"),
        ({"test_size": 1.0}, "test_size"),
        ({"validation": 0.6, "test_size": 0.5}, "validation and test_size"),
        ({"group": "origin", "time": "year"}, "group and time"),
        ({"out": "runs", "name": "a/b"}, "a/b"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_read(arguments: dict, place: str) -> None:
    with pytest.raises(InputError, match=place):
        goodfit.train("no-such-file.csv", "mpg", **arguments)


def test_another_backend_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(InputError, match="runs on torch"):
        goodfit.train("no-such-file.csv", "mpg")


@pytest.mark.parametrize("saving", [True, False])
def test_a_late_interrupt_loses_nothing(saving: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    from goodfit import checks
    from goodfit.errors import Interrupted

    diagnose = checks.diagnose

    def interrupted(*given: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return diagnose(*given)

    monkeypatch.setattr(checks, "diagnose", interrupted)
    with pytest.raises(Interrupted) as caught:
        goodfit.train(AUTO_MPG, "mpg", seeds=1, epochs=3, out=tmp_path if saving else None)
    study = caught.value.study
    assert isinstance(study, TableStudy)
    assert len(study.run.epoch) == 3
    if saving:
        assert caught.value.saved == str(tmp_path / "auto-mpg")
        assert len(goodfit.load(tmp_path / "auto-mpg").run.epoch) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_target_may_be_called_a_quantity_or_a_code() -> None:
    frame = pd.DataFrame({"a": np.arange(60.0) % 7, "y": np.arange(60) % 3})
    kinds = [goodfit.train(frame, "y", seeds=1, epochs=1, **how).task for how in ({}, {"numeric": ["y"]})]
    assert kinds == ["multiclass", "regression"]
