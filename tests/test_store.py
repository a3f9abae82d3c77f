"""Saving and loading: everything comes back as it was, nothing is left half-written, nothing is unpickled."""

from __future__ import annotations

import csv
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodfit import store
from goodfit.errors import ExistsError, InputError
from goodfit.values import (
    Change,
    Comparison,
    Diagnosis,
    EarlyStopping,
    Evidence,
    Finding,
    Recipe,
    Run,
    Score,
    Study,
    Trial,
)

RECIPE = Recipe(
    model={"class_name": "Sequential", "config": {"layers": [{"units": 16, "rate": 0.1}]}},
    optimizer={"class_name": "Adam", "config": {"learning_rate": 1e-3}},
    loss="mse",
    metrics=("mae",),
    epochs=3,
    early_stopping=EarlyStopping(patience=20),
    seed=7,
)
CHANGE = Change("lower-learning-rate", {"optimizer.learning_rate": {"times": 0.1}}, "The loss jumps.", "Lower it.")
DIAGNOSIS = Diagnosis(
    "overfitting",
    "The validation loss rises.",
    (
        Finding(
            "overfitting",
            "found",
            "The validation loss rises from epoch 1 on.",
            "high",
            (Evidence("rise", 0.25, 0.1, ">"),),
            (CHANGE,),
        ),
        Finding("diverged", "clear", "No loss is out of bounds."),
    ),
)


def a_run(name: str = "mine", seeds: int = 3, epochs: int = 4) -> Run:
    random = np.random.default_rng(0)
    curves = {key: random.lognormal(size=(seeds, epochs)) for key in ("loss", "val_loss", "mae, in mpg", 'odd "name"')}
    curves["loss"][0, 1] = np.inf
    curves["val_loss"][1, 2:] = np.nan
    curves["val_loss"][2] = [5e-324, -0.0, 1 / 3, 1.7976931348623157e308]
    return Run(
        curves=curves,
        epoch=np.arange(epochs),
        seeds=tuple(range(seeds)),
        outcomes=("finished", "stopped", "nonfinite"),
        kept_epoch=np.array([3, 1, -1]),
        signals={
            "grad_rms": random.normal(size=(seeds, 2, 5)).astype(np.float32),
            "dead_fraction": np.zeros((3, 2, 5)),
        },
        signal_layers=("dense", "dense_1"),
        signal_epochs=np.array([0.0, 2.5]),
        measurements={"chance_loss": 1.0, "initial_loss": float("inf"), "small_sample_loss": float("nan")},
        task="regression",
        recipe=RECIPE,
        provenance={"versions": {"keras": "3.15"}, "split": [1, 2, 3], "notes": ["ä – ω"]},
        name=name,
    )


def a_study(trials: int = 1) -> Study:
    comparison = Comparison("val_loss", -0.1, -0.2, float("inf"), 8, True)
    ladder = [Trial(a_run("baseline"), DIAGNOSIS)]
    ladder += [Trial(a_run(f"trial {k}"), DIAGNOSIS, CHANGE, comparison, k == 1) for k in range(1, trials)]
    return Study(
        trials=tuple(ladder),
        task="multiclass",
        scores=(
            Score("network", "test", "log_loss", 0.25, 0.2, 0.3, spread=(0.25, float("nan"))),
            Score("prior", "test", "log_loss", float("inf"), unit="", greater_is_better=True),
        ),
        predictions={
            "row": np.array([5, 0, 123456789012]),
            "true": np.array(["a", "b,\r\nc", ""]),
            "predicted": np.array(["a", "a", "ü"], dtype=object),
            "probability": np.array([[0.1, 0.9], [1 / 3, 2 / 3], [0.0, np.nan]]),
        },
        about={"target": "kind", "classes": ["a", "b,\r\nc"], "notes": ["one"], "columns": [{"name": "x"}]},
        name="flowers",
    )


def assert_same_array(one: np.ndarray, other: np.ndarray) -> None:
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


def assert_same_run(one: Run, other: Run) -> None:
    assert list(one.curves) == list(other.curves)
    for name in one.curves:
        assert_same_array(one.curves[name], other.curves[name])
    assert_same_array(one.epoch, other.epoch)
    assert sorted(one.signals) == sorted(other.signals)
    for name in one.signals:
        assert_same_array(one.signals[name], other.signals[name])
    assert_same_array(one.signal_epochs, other.signal_epochs)
    if one.kept_epoch is None or other.kept_epoch is None:
        assert one.kept_epoch is other.kept_epoch
    else:
        assert_same_array(one.kept_epoch, other.kept_epoch)
    np.testing.assert_equal(dict(other.measurements), dict(one.measurements))
    for field in ("seeds", "outcomes", "unit", "signal_layers", "task", "recipe", "provenance", "name"):
        assert getattr(one, field) == getattr(other, field), field


def test_a_run_comes_back_bit_for_bit(tmp_path):
    store.save_run(a_run(), tmp_path / "runs" / "mine", diagnosis=DIAGNOSIS)
    assert_same_run(a_run(), store.load_run(tmp_path / "runs" / "mine"))
    assert store.load_diagnosis(tmp_path / "runs" / "mine") == DIAGNOSIS
    assert sorted(os.listdir(tmp_path / "runs")) == ["mine"]
    assert sorted(os.listdir(tmp_path / "runs" / "mine")) == [
        "diagnosis.json",
        "history.csv",
        "recipe.json",
        "run.json",
        "signals.npz",
    ]


def test_a_run_of_a_log_file_has_less_in_it(tmp_path):
    run = Run.from_history({"loss": [3.0, 2.0]}, epoch=[0.5, 1.5], unit="step")
    store.save_run(run, tmp_path / "log")
    assert_same_run(run, store.load_run(tmp_path / "log"))
    assert store.load_diagnosis(tmp_path / "log") is None
    assert not (tmp_path / "log" / "recipe.json").exists()


@pytest.mark.parametrize(
    "run",
    [Run({}, np.arange(0)), Run({}, np.arange(3)), Run({"loss": np.zeros((1, 0))}, np.arange(0))],
    ids=["nothing", "epochs only", "no epoch"],
)
def test_an_empty_run_comes_back(tmp_path, run):
    store.save_run(run, tmp_path / "empty")
    assert_same_run(run, store.load_run(tmp_path / "empty"))


@settings(max_examples=60, deadline=None)
@given(values=hnp.arrays(np.float64, (2, 3), elements=st.floats(allow_nan=False)))
def test_every_float_reads_back_as_itself(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("runs") / "one"
    store.save_run(Run({"loss": values}, np.arange(3), (0, 1), ("finished",) * 2), folder)
    assert_same_array(store.load_run(folder).curves["loss"], values)


def test_the_history_is_a_plain_long_table(tmp_path):
    store.save_run(a_run(), tmp_path / "mine")
    with open(tmp_path / "mine" / "history.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["epoch", "seed", "loss", "val_loss", "mae, in mpg", 'odd "name"']
    assert len(rows) == 3 * 4
    assert [(row["epoch"], row["seed"]) for row in rows[:5]] == [
        ("0", "0"),
        ("1", "0"),
        ("2", "0"),
        ("3", "0"),
        ("0", "1"),
    ]
    assert rows[1]["loss"] == "inf"
    assert rows[6]["val_loss"] == ""
    assert float(rows[0]["loss"]) == a_run().curves["loss"][0, 0]


@pytest.mark.parametrize("trials", [1, 3])
def test_a_study_comes_back(tmp_path, trials):
    study, folder = a_study(trials), tmp_path / "runs" / "flowers"
    store.save_study(study, folder)
    again = store.load_study(folder)
    assert len(again.trials) == trials
    for one, other in zip(study.trials, again.trials, strict=True):
        assert_same_run(one.run, other.run)
        assert one.diagnosis == other.diagnosis
        assert one.change == other.change
        assert one.comparison == other.comparison
        assert one.kept == other.kept
    np.testing.assert_equal([s.to_dict() for s in again.scores], [s.to_dict() for s in study.scores])
    assert list(again.predictions) == list(study.predictions)
    for key, values in study.predictions.items():
        np.testing.assert_array_equal(again.predictions[key], values)
    assert (again.task, again.about, again.name) == (study.task, study.about, study.name)
    assert again.folder == str(folder)
    assert again.dataset is None


def test_a_study_of_one_trial_has_its_runs_files_beside_it(tmp_path):
    store.save_study(a_study(), tmp_path / "one")
    assert {"study.json", "run.json", "history.csv", "predictions.csv"} <= set(os.listdir(tmp_path / "one"))
    assert_same_run(store.load_run(tmp_path / "one"), a_run("baseline"))
    store.save_study(a_study(2), tmp_path / "two")
    assert sorted(os.listdir(tmp_path / "two" / "trials")) == ["0-baseline", "1-lower-learning-rate"]
    assert_same_run(store.load_run(tmp_path / "two" / "trials" / "1-lower-learning-rate"), a_run("trial 1"))


def test_the_predictions_are_a_table_that_names_the_classes(tmp_path):
    store.save_study(a_study(), tmp_path / "one")
    with open(tmp_path / "one" / "predictions.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["row", "true", "predicted", "probability a", "probability b,\r\nc"]
    assert [row["row"] for row in rows] == ["5", "0", "123456789012"]
    assert rows[1]["probability a"] == repr(1 / 3)


@pytest.mark.parametrize(
    "predictions",
    [
        {},
        {"row": np.zeros(0, dtype=np.int64), "true": np.zeros(0), "probability": np.zeros((0, 3))},
        {"true": np.array([True, False]), "predicted": np.array([1.5, np.nan])},
    ],
    ids=["none", "no rows", "booleans"],
)
def test_other_predictions_come_back(tmp_path, predictions):
    study = Study((Trial(a_run(), DIAGNOSIS),), "regression", predictions=predictions)
    store.save_study(study, tmp_path / "one")
    again = store.load_study(tmp_path / "one").predictions
    assert list(again) == list(predictions)
    for key, values in predictions.items():
        assert_same_array(again[key], values)


def test_holds_says_what_lies_there(tmp_path):
    store.save_run(a_run(), tmp_path / "run")
    store.save_study(a_study(2), tmp_path / "study")
    assert store.holds(tmp_path / "run") == "run"
    assert store.holds(tmp_path / "study") == "study"
    assert store.holds(tmp_path) is None
    assert store.holds(tmp_path / "run" / "run.json") is None
    assert store.holds("a\0b") is None


# Whole or not at all


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, InputError])
def test_a_failure_leaves_nothing_behind(tmp_path, error):
    def fail() -> None:
        with store.new_folder(tmp_path / "deep" / "runs" / "mine") as staging:
            (staging / "half").write_text("written")
            assert names(tmp_path / "deep" / "runs") == [staging.name]
            raise error("no")

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_parents_that_were_there_stay(tmp_path):
    (tmp_path / "runs").mkdir()
    with pytest.raises(RuntimeError), store.new_folder(tmp_path / "runs" / "mine"):
        raise RuntimeError
    assert names(tmp_path) == ["runs"]


def test_an_existing_folder_is_refused_before_anything_is_written(tmp_path):
    store.save_run(a_run(), tmp_path / "mine")
    before = (tmp_path / "mine" / "history.csv").read_bytes()
    for refuse in (store.check_new_folder, lambda path: store.save_run(a_run(), path)):
        with pytest.raises(ExistsError, match=r"mine is already there\. .*`name`.*overwrite=True"):
            refuse(tmp_path / "mine")
    assert names(tmp_path) == ["mine"]
    assert (tmp_path / "mine" / "history.csv").read_bytes() == before


def test_overwrite_replaces_the_whole_folder(tmp_path):
    store.save_run(a_run(), tmp_path / "mine", diagnosis=DIAGNOSIS)
    (tmp_path / "mine" / "model.keras").write_bytes(b"old")
    run = Run.from_history({"loss": [1.0]})
    store.check_new_folder(tmp_path / "mine", overwrite=True)
    store.save_run(run, tmp_path / "mine", overwrite=True)
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["history.csv", "run.json", "signals.npz"]
    assert_same_run(store.load_run(tmp_path / "mine"), run)


def test_a_failed_overwrite_leaves_the_old_run(tmp_path):
    store.save_run(a_run(), tmp_path / "mine")

    def fail() -> None:
        with store.new_folder(tmp_path / "mine", overwrite=True) as staging:
            (staging / "run.json").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(tmp_path) == ["mine"]
    assert_same_run(store.load_run(tmp_path / "mine"), a_run())


def test_overwrite_never_replaces_what_goodfit_did_not_make(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(ExistsError, match="thesis holds no saved run"):
        store.save_run(a_run(), tmp_path / "thesis", overwrite=True)
    (tmp_path / "file").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ExistsError, match="file is a file"):
            store.save_run(a_run(), tmp_path / "file", overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    assert names(tmp_path) == ["file", "thesis"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "mine").mkdir()
    store.check_new_folder(tmp_path / "mine")
    store.save_run(a_run(), tmp_path / "mine")
    assert_same_run(store.load_run(tmp_path / "mine"), a_run())


def test_a_link_to_a_run_is_followed(tmp_path):
    store.save_run(a_run(), tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    run = Run.from_history({"loss": [1.0]})
    store.save_run(run, tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert_same_run(store.load_run(tmp_path / "real"), run)


def test_work_is_kept_where_another_process_was_faster(tmp_path):
    def be_late() -> None:
        with store.new_folder(tmp_path / "mine") as staging:
            store.write_run(a_run(), staging)
            store.save_run(Run.from_history({"loss": [1.0]}), tmp_path / "mine")

    with pytest.raises(ExistsError, match="saved as mine-2"):
        be_late()
    assert names(tmp_path) == ["mine", "mine-2"]
    assert_same_run(store.load_run(tmp_path / "mine-2"), a_run())
    assert store.load_run(tmp_path / "mine").history == {"loss": [1.0]}


def test_the_permissions_are_the_usual_ones(tmp_path):
    store.save_run(a_run(), tmp_path / "mine")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "mine").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("file/mine", "Not a directory|File exists|cannot find"),
        ("file/deep/mine", "Not a directory|File exists|cannot find"),
        ("x" * 300, "too long"),
        ("a\0b", "null"),
    ],
    ids=["below a file", "deep below a file", "too long", "null"],
)
@pytest.mark.parametrize("ask", [store.check_new_folder, lambda path: store.save_run(a_run(), path)])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, path, reason, ask):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=rf"can't be written: .*({reason}).*`out`"):
        ask(f"{tmp_path}/{path}")
    assert names(tmp_path) == ["file"]


def test_a_read_only_disk_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"runs/mine can't be written: Permission denied\."):
        store.check_new_folder(tmp_path / "runs" / "mine")


def test_checking_leaves_nothing_behind(tmp_path):
    store.check_new_folder(tmp_path / "deep" / "runs" / "mine")
    assert names(tmp_path) == []


# Broken and foreign folders


def test_a_foreign_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere does not exist\. Give the folder of a saved run"):
        store.load_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no run\.json, so it is no saved run"):
        store.load_run(tmp_path)
    with pytest.raises(InputError, match=r"has no study\.json, so it is no saved study"):
        store.load_study(tmp_path)
    (tmp_path / "run.json").write_text("[1, 2]")
    with pytest.raises(InputError, match=r"run\.json was not written by goodfit"):
        store.load_run(tmp_path)
    with pytest.raises(InputError, match=r"run\.json is a file"):
        store.load_run(tmp_path / "run.json")


def test_a_later_format_is_said(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"format": 99, "goodfit": "9.0"}))
    with pytest.raises(InputError, match=r"written by a later version of goodfit \(9\.0\)"):
        store.load_run(tmp_path)


BREAKS = {
    "empty": lambda _: b"",
    "cut": lambda data: data[: len(data) // 2],
    "binary": lambda _: bytes(range(256)),
    "another": lambda data: b'{"format": 1}' if data[:1] == b"{" else b"a,b\n1,2\n",
}


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize(
    "name",
    ["run.json", "history.csv", "signals.npz", "recipe.json", "diagnosis.json", "study.json", "predictions.csv"],
)
def test_a_broken_file_is_named(tmp_path, name, how):
    store.save_study(a_study(), tmp_path / "one")
    file = tmp_path / "one" / name
    file.write_bytes(BREAKS[how](file.read_bytes()))
    with pytest.raises(InputError, match=name):
        store.load_study(tmp_path / "one")


@pytest.mark.parametrize("name", ["history.csv", "signals.npz", "diagnosis.json", "predictions.csv"])
def test_a_missing_file_is_named(tmp_path, name):
    store.save_study(a_study(), tmp_path / "one")
    (tmp_path / "one" / name).unlink()
    with pytest.raises(InputError, match=rf"one has no {name}"):
        store.load_study(tmp_path / "one")


@pytest.mark.parametrize(
    ("file", "field", "value", "sentence"),
    [
        ("run.json", "outcomes", ["fine"] * 3, "no outcome is called 'fine'"),
        ("run.json", "seeds", [0, 1, 3], "history.csv"),
        ("run.json", "outcomes", ["finished"], "1 outcomes for 3 seeds"),
        ("run.json", "seeds", 5, "run.json"),
        ("run.json", "curves", ["loss"], "its first line"),
        ("study.json", "trials", [], "it has no trial"),
        ("study.json", "trials", [{"folder": "../elsewhere"}], "lies outside"),
        ("study.json", "scores", [{"model": "network"}], "study.json"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, file, field, value, sentence):
    store.save_study(a_study(), tmp_path / "one")
    path = tmp_path / "one" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(InputError, match=sentence):
        store.load_study(tmp_path / "one")


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for payload in (pickle.dumps(Bomb()), _object_array()):
        store.save_run(a_run(), "mine", overwrite=True)
        Path("mine", "signals.npz").write_bytes(payload)
        with pytest.raises(InputError, match=r"signals\.npz"):
            store.load_run("mine")
    assert not Path("exploded").exists()
    pickle.loads(pickle.dumps(Bomb()))  # the payload is a live one
    assert Path("exploded").exists()


def _object_array() -> bytes:
    import io

    buffer = io.BytesIO()
    np.savez(buffer, grad_rms=np.array([Bomb()], dtype=object))
    return buffer.getvalue()


def test_an_object_array_is_not_saved_either(tmp_path):
    run = Run({}, np.arange(1), signals={"grad_rms": np.array([Bomb()], dtype=object)})
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        store.save_run(run, tmp_path / "mine")
    assert names(tmp_path) == []


def test_importing_is_cheap():
    code = "import sys, goodfit.store; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"keras", "jax", "pandas", "sklearn", "scipy", "matplotlib", "bokeh"} & set(loaded)


def test_a_full_disk_is_one_clear_sentence_and_leaves_nothing(tmp_path):
    def save():
        with store.new_folder(tmp_path / "mine") as staging:
            (staging / "model.keras").symlink_to("/dev/full")
            (staging / "model.keras").write_text("more than there is room for")

    with pytest.raises(InputError, match=r"mine can't be written: the disk is full. Make room"):
        save()
    assert not list(tmp_path.iterdir())
