"""The command line by itself, over a stand-in for the api: options, exit codes, what goes to stdout and to stderr."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import goodfit
from goodfit import store
from goodfit.cli.app import app
from goodfit.errors import ExistsError, InputError, Interrupted
from goodfit.values import Change, Diagnosis, Evidence, Finding, Progress, Run, Score, Study, Trial

ANSI = re.compile(r"\x1b")
RUN = Run.from_history({"loss": [1.0, 0.5, 0.25], "val_loss": [1.1, 0.8, 0.9]}, name="log")
DIAGNOSIS = Diagnosis(
    "overfitting",
    "The validation loss rises while the training loss falls.",
    (
        Finding(
            "overfitting",
            "found",
            "The validation loss has risen since epoch 1.",
            "medium",
            (Evidence("rise of the validation loss", 0.125, 0.05, ">"),),
            (Change("add-dropout", {"layers": "dropout"}, "It overfits.", "Add dropout."),),
        ),
        Finding("diverged", "clear", "No loss is out of bounds."),
    ),
)
STUDY = Study(
    (Trial(RUN, DIAGNOSIS),),
    "regression",
    (Score("network", "test", "mae", 2.0, 1.5, 2.5, "mpg"), Score("mean", "test", "mae", 6.5, unit="mpg")),
    {"row": np.array([3, 1]), "true": np.array([18.0, 24.0]), "predicted": np.array([17.5, 25.0])},
    about={"target": "mpg", "notes": ["“?” in 'horsepower' was read as missing."]},
    name="auto-mpg",
    folder="runs/auto-mpg",
)


@pytest.fixture
def api(monkeypatch):
    """A stand-in for `goodfit.api`."""
    fake = types.ModuleType("goodfit.api")
    monkeypatch.setitem(sys.modules, "goodfit.api", fake)
    monkeypatch.setattr(goodfit, "api", fake, raising=False)
    return fake


def invoke(*args: object, env: dict[str, str] | None = None, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], env=env, input=stdin)


def one_error(result: Result) -> str:
    """The one line that stderr holds."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def failing(error: BaseException):
    def fail(*_, **__):
        raise error

    return fail


# train


def test_every_option_of_train_reaches_the_api(api, monkeypatch):
    asked = {}
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/goodfit", "train", "my table.csv"])

    def train(table, target, **given):
        asked.update(table=table, target=target, **given)
        return STUDY

    api.train = train
    options = {
        "--task": "regression",
        "--group": "maker",
        "--time": "year",
        "--test": "later.csv",
        "--validation": "0.25",
        "--test-size": "0.3",
        "--seeds": "3",
        "--seed": "5",
        "--epochs": "7",
        "--out": "elsewhere",
        "--name": "mine",
        "--names": 'mpg, "a,b",c',
        "--sep": "tab",
        "--decimal": ",",
        "--thousands": ".",
        "--encoding": "cp1252",
        "--sheet": "second",
        "--budget": "60s",
        "--image-size": "32",
        "--base": "trained.keras",
    }
    repeated = [
        "--na",
        "?",
        "--na",
        "none",
        "--categorical",
        "a",
        "--categorical",
        "b",
        "--numeric",
        "c",
        "--drop",
        "d",
    ]
    result = invoke(
        "train", "t.csv", "--target", "mpg", *sum(options.items(), ()), *repeated, "--overwrite", "--improve", "--json"
    )
    assert result.exit_code == 0, result.stderr
    assert callable(asked.pop("report"))
    assert asked.pop("command") == "goodfit train 'my table.csv'"
    assert asked == {
        "table": "t.csv",
        "improve": True,
        "budget": "60s",
        "target": "mpg",
        "task": "regression",
        "group": "maker",
        "time": "year",
        "test": "later.csv",
        "validation": 0.25,
        "test_size": 0.3,
        "seeds": 3,
        "seed": 5,
        "epochs": 7,
        "out": Path("elsewhere"),
        "name": "mine",
        "overwrite": True,
        "categorical": ("a", "b"),
        "numeric": ("c",),
        "drop": ("d",),
        "names": ["mpg", "a,b", "c"],
        "sep": "tab",
        "na": ["?", "none"],
        "decimal": ",",
        "thousands": ".",
        "encoding": "cp1252",
        "sheet": "second",
        "image_size": 32,
        "base": "trained.keras",
    }


def test_the_defaults_of_train(api):
    asked = {}
    api.train = lambda *_, **given: asked.update(given) or STUDY
    assert invoke("train", "t.csv", "--target", "mpg").exit_code == 0
    assert (asked["seeds"], asked["seed"], asked["out"], asked["validation"], asked["test_size"]) == (
        8,
        0,
        Path("runs"),
        0.2,
        0.2,
    )
    nothing = ("task", "epochs", "name", "group", "time", "test", "names", "sep", "na", "decimal", "encoding", "sheet")
    assert all(asked[name] is None for name in nothing)
    assert asked["overwrite"] is False


def report_three_stages(table, target, report, **_):
    report(Progress("read", "reading"))
    report(Progress("read", "392 rows\nand 9 columns", finished=True))
    report(Progress("train", total=400))
    for epoch in (100, 200, 400):
        report(Progress("train", "", epoch, 400, loss=1 / epoch, val_loss=2 / epoch))
    report(Progress("train", "8 seeds, 400 epochs", 400, 400, finished=True))
    report(Progress("save", f"{table} {target}", finished=True))
    return STUDY


def test_piped_progress_is_one_line_per_stage_on_stderr(api):
    api.train = report_three_stages
    result = invoke("train", "t.csv", "--target", "mpg", "--json")
    assert result.stderr.splitlines() == [
        "read: 392 rows and 9 columns",
        "train: 8 seeds, 400 epochs",
        "save: t.csv mpg",
    ]
    assert json.loads(result.stdout)["verdict"] == "overfitting"
    assert not ANSI.search(result.output)


def test_quiet_says_nothing(api):
    api.train = report_three_stages
    result = invoke("train", "t.csv", "--target", "mpg", "--json", "--quiet")
    assert result.stderr == ""
    assert json.loads(result.stdout)["name"] == "auto-mpg"


def test_the_report_of_train_names_verdict_scores_and_folder(api):
    api.train = lambda *_, **__: STUDY
    result = invoke("train", "t.csv", "--target", "mpg", env={"COLUMNS": "100"})
    assert result.exit_code == 0
    for word in ("overfitting", "mae", "runs/auto-mpg", "goodfit predict"):
        assert word in result.stdout, word
    assert not ANSI.search(result.output)


@pytest.mark.parametrize("width", [40, 80])
def test_the_report_keeps_to_the_width_of_the_terminal(api, width):
    api.train = lambda *_, **__: STUDY
    result = invoke("train", "t.csv", "--target", "mpg", env={"COLUMNS": str(width)})
    lines = [line for line in result.stdout.splitlines() if not line.startswith("next ")]  # a command is not broken
    assert max(map(len, lines)) <= width


# errors and exit codes


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("no column 'mgp'.", "Did you mean 'mpg'?"), 2, "error: no column 'mgp'. Did you mean 'mpg'?"),
        (
            ExistsError("runs/a is already there.", "Use --overwrite."),
            2,
            "error: runs/a is already there. Use --overwrite.",
        ),
        (InputError("a\nb\x1b[2J\u202ec"), 2, r"error: a b\x1b[2J\u202ec"),
        (ValueError("shapes"), 1, "error: ValueError: shapes (--debug shows where)"),
        (MemoryError(), 1, "error: MemoryError (--debug shows where)"),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device"),
        (Interrupted("runs/a"), 130, "interrupted; what was done is in runs/a"),
        (Interrupted(), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted; nothing was saved"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
@pytest.mark.parametrize("command", [("train", "t.csv", "--target", "y"), ("predict", "run", "t.csv")])
def test_an_error_is_one_sentence_and_an_exit_code(api, command, error, code, line):
    setattr(api, command[0], failing(error))
    result = invoke(*command)
    assert (result.exit_code, one_error(result), result.stdout) == (code, line, "")


def test_debug_shows_the_traceback(api):
    api.train = failing(InputError("no."))
    result = invoke("train", "t.csv", "--target", "y", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1] == "error: no."


def test_an_error_ends_the_progress_first(api):
    def train(*_, report, **__):
        report(Progress("train", "", 1, 10, loss=0.5))
        raise InputError("no.")

    api.train = train
    assert one_error(invoke("train", "t.csv", "--target", "y")) == "error: no."


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("train", "t.csv", "--target", "y", "--sead", "1"), "--seed"),
        (("train", "t.csv", "--target", "y", "--seeds", "none"), "--seeds"),
        (("train", "t.csv", "--target", "y", "--seeds", "0"), "--seeds"),
        (("train", "t.csv", "--target", "y", "--epochs", "0"), "--epochs"),
        (("train", "t.csv", "--target", "y", "--task", "clustering"), "--task"),
        (("tarin", "t.csv"), "train"),
        (("diagnose",), "PATH"),
        (("predict", "run"), "TABLE"),
    ],
)
def test_wrong_use_is_told(args, words):
    result = invoke(*args, env={"COLUMNS": "100"})
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


# diagnose


@pytest.fixture
def logs(api):
    """An api whose logs are the files named so: a diagnosis for each, or an error."""
    runs = {
        "bad.csv": InputError("bad.csv has no loss.", "Give --loss."),
        "bug.csv": RuntimeError("oh"),
        "two.csv": (RUN, Run.from_history({"loss": [1.0]}, name="second")),
    }

    def read(path, *, loss=None, val_loss=None):
        api.asked = (path, loss, val_loss)
        found = runs.get(Path(path).name, (RUN,))
        if isinstance(found, Exception):
            raise found
        return found

    api.read = read
    api.diagnose = lambda run: DIAGNOSIS if run is RUN else Diagnosis("balanced", "Fine.")
    return api


@pytest.mark.usefixtures("logs")
def test_diagnose_tells_the_verdict():
    result = invoke("diagnose", "log.csv")
    assert result.exit_code == 0
    assert "overfitting" in result.stdout
    assert result.stderr == ""


def test_the_columns_of_the_losses_reach_the_reader(logs):
    assert invoke("diagnose", "log.csv", "--loss", "a", "--val-loss", "b").exit_code == 0
    assert logs.asked == ("log.csv", "a", "b")
    assert invoke("diagnose", "-", stdin="loss\n1\n").exit_code == 0
    assert logs.asked == ("-", None, None)


@pytest.mark.usefixtures("logs")
def test_diagnose_prints_the_public_json():
    result = invoke("diagnose", "log.csv", "two.csv", "--json")
    runs = json.loads(result.stdout)["runs"]
    assert [(run["path"], run["name"], run["verdict"]) for run in runs] == [
        ("log.csv", "log", "overfitting"),
        ("two.csv", "log", "overfitting"),
        ("two.csv", "second", "balanced"),
    ]
    finding = runs[0]["findings"][0]
    assert set(finding) == {"slug", "status", "severity", "evidence", "message", "try"}
    assert (finding["slug"], finding["status"]) == ("overfitting", "found")
    assert finding["evidence"][0] == {
        "name": "rise of the validation loss",
        "value": 0.125,
        "threshold": 0.05,
        "relation": ">",
        "unit": "",
    }


@pytest.mark.usefixtures("logs")
def test_a_bad_file_among_several_leaves_the_others_answered():
    result = invoke("diagnose", "one.csv", "bad.csv", "three.csv")
    assert result.exit_code == 2
    assert one_error(result) == "error: bad.csv has no loss. Give --loss."
    assert result.stdout.count("overfitting") >= 2
    assert result.stdout.index("one.csv") < result.stdout.index("three.csv")
    result = invoke("diagnose", "one.csv", "bad.csv", "three.csv", "--json")
    assert result.exit_code == 2
    assert [run["path"] for run in json.loads(result.stdout)["runs"]] == ["one.csv", "three.csv"]
    assert invoke("diagnose", "one.csv", "bug.csv", "bad.csv").exit_code == 1


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [(["overfitting"], 3), (["diverged"], 0), (["diverged", "overfitting"], 3), ([], 0), (["balanced"], 0)],
)
@pytest.mark.usefixtures("logs")
def test_fail_on_a_finding(fail_on, code):
    result = invoke("diagnose", "log.csv", *(f"--fail-on={slug}" for slug in fail_on))
    assert result.exit_code == code
    assert ("--fail-on overfitting: found in log.csv" in result.stderr) == (code == 3)


@pytest.mark.usefixtures("logs")
def test_a_bad_file_outweighs_fail_on():
    assert invoke("diagnose", "log.csv", "bad.csv", "--fail-on", "overfitting").exit_code == 2


@pytest.mark.usefixtures("logs")
def test_a_finding_that_no_check_has_is_refused():
    result = invoke("diagnose", "log.csv", "--fail-on", "overfiting")
    assert result.exit_code == 2
    assert one_error(result) == "error: --fail-on: no finding is called 'overfiting'. Did you mean 'overfitting'?"
    assert result.stdout == ""


def test_a_saved_run_keeps_the_diagnosis_that_was_made_with_its_data(logs, tmp_path):
    logs.load = lambda path: store.load_study(path) if store.holds(path) == "study" else store.load_run(path)
    with_data = Diagnosis("underfitting", "The inputs are unscaled.")
    store.save_study(Study((Trial(RUN, with_data),), "regression"), tmp_path / "study")
    store.save_run(RUN, tmp_path / "run", diagnosis=with_data)
    store.save_run(RUN, tmp_path / "alone")
    result = invoke("diagnose", tmp_path / "study", tmp_path / "run", tmp_path / "alone", "--json")
    assert result.exit_code == 0, result.stderr
    verdicts = [run["verdict"] for run in json.loads(result.stdout)["runs"]]
    assert verdicts == ["underfitting", "underfitting", "balanced"]


# predict

FRAME = pd.DataFrame({"predicted": [1.5, 1 / 3], "name": ["a,b", "ü"]})


def test_predict_prints_csv(api):
    asked = {}
    api.predict = lambda run, table, **given: asked.update(run=run, table=table, **given) or FRAME
    result = invoke("predict", "runs/a", "new.csv", "--na", "?", "--sep", ";")
    assert result.exit_code == 0
    assert result.stdout == f'predicted,name\n1.5,"a,b"\n{1 / 3!r},ü\n'
    assert callable(asked.pop("report"))
    assert asked == {
        "run": Path("runs/a"),
        "table": "new.csv",
        "out": None,
        "names": None,
        "sep": ";",
        "na": ["?"],
        "decimal": None,
        "thousands": None,
        "encoding": None,
        "sheet": None,
        "uncertainty": False,
    }


def test_predict_writes_a_file_and_says_so(api, tmp_path):
    asked = {}
    api.predict = lambda *_, **given: asked.update(given) or FRAME
    result = invoke("predict", "runs/a", "new.csv", "-o", tmp_path / "out.csv")
    assert asked["out"] == tmp_path / "out.csv"
    assert (result.stdout, one_error(result)) == ("", f"2 rows in {tmp_path / 'out.csv'}")


def test_predict_prints_json(api):
    api.predict = lambda *_, **__: FRAME
    records = json.loads(invoke("predict", "runs/a", "new.csv", "--json").stdout)
    assert records == [{"predicted": 1.5, "name": "a,b"}, {"predicted": pytest.approx(1 / 3), "name": "ü"}]


def test_predict_never_writes_over_the_table(api, tmp_path):
    api.predict = failing(AssertionError("not asked"))
    (tmp_path / "new.csv").write_text("x\n1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "new.csv")
    for name in ("new.csv", "link.csv"):
        result = invoke("predict", "run", tmp_path / "new.csv", "-o", tmp_path / name)
        assert result.exit_code == 2
        assert one_error(result).startswith(f"error: {tmp_path / name} is the table itself")
    assert (tmp_path / "new.csv").read_text() == "x\n1\n"
