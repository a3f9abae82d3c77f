"""The command line from start to end: real tables, real networks, real folders."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from goodfit import store
from goodfit.cli.app import app

AUTO_MPG = Path(__file__).parents[1] / "examples" / "auto-mpg.csv"
QUICK = ("--seeds", "2", "--epochs", "4")


def invoke(*args: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Result]:
    """Auto MPG, trained for a moment: its run's folder, and what the command said."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    result = invoke("train", AUTO_MPG, "--target", "mpg", "--out", runs, *QUICK)
    assert result.exit_code == 0, result.stderr
    return runs / "auto-mpg", result


def rows(file: Path) -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_run_folder_is_the_public_one(trained):
    folder, _ = trained
    assert sorted(os.listdir(folder)) == [
        "diagnosis.json",
        "history.csv",
        "model.keras",
        "predictions.csv",
        "preparation.skops",
        "recipe.json",
        "report.html",
        "run.json",
        "signals.npz",
        "study.json",
    ]
    assert os.listdir(folder.parent) == ["auto-mpg"]
    assert (folder / "report.html").stat().st_size < 2_000_000
    study = store.load_study(folder)
    assert study.run.seeds == (0, 1)
    assert study.run.curves["val_loss"].shape == (2, 4)
    assert len(study.predictions["true"]) == study.about["rows"]["test"]
    network = {score.metric: score for score in study.test}["mae"]
    errors = study.predictions["predicted"] - study.predictions["true"]
    assert network.value == pytest.approx(np.abs(errors).mean())


def test_train_says_each_stage_on_stderr_and_the_report_on_stdout(trained):
    folder, result = trained
    lines = result.stderr.splitlines()
    notes = [line for line in lines if line.startswith("note: ")]
    for decided in ("separated by commas", "“?”", "'origin'", "'name'"):
        assert any(decided in note for note in notes), decided
    stages = [line.split(":")[0] for line in lines if line not in notes]
    assert stages == ["read", "prepare", "baselines", "sanity", "train", "diagnose", "test", "save"]
    verdict = json.loads((folder / "diagnosis.json").read_text())["verdict"]
    assert verdict.replace("-", " ") in result.stdout.lower()
    assert "report.html" in result.stdout
    assert "goodfit predict" in result.stdout
    assert "\x1b" not in result.output


def test_train_prints_json(tmp_path):
    result = invoke("train", AUTO_MPG, "--target", "mpg", "--out", tmp_path, "--name", "mine", *QUICK, "--json", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert answer["folder"] == str(tmp_path / "mine")
    assert answer["report"] == str(tmp_path / "mine" / "report.html")
    assert answer["verdict"] == json.loads((tmp_path / "mine" / "diagnosis.json").read_text())["verdict"]
    assert {score["model"] for score in answer["scores"]} == {"network", "mean", "linear", "gradient boosting"}


def test_an_existing_run_is_never_overwritten_silently(tmp_path):
    command = ("train", AUTO_MPG, "--target", "mpg", "--out", tmp_path, "--seeds", 1, "--epochs", 1)
    assert invoke(*command).exit_code == 0
    before = {name: (tmp_path / name).read_bytes() for name in everything(tmp_path) if (tmp_path / name).is_file()}
    result = invoke(*command)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'auto-mpg'} is already there.")
    assert "--overwrite" in result.stderr
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert invoke(*command, "--overwrite", "--seed", 3).exit_code == 0
    assert store.load_run(tmp_path / "auto-mpg").seeds == (3,)


def test_the_same_seed_gives_the_same_numbers(trained, tmp_path):
    folder, _ = trained
    assert invoke("train", AUTO_MPG, "--target", "mpg", "--out", tmp_path, *QUICK).exit_code == 0
    for name in ("history.csv", "predictions.csv"):
        assert (tmp_path / "auto-mpg" / name).read_bytes() == (folder / name).read_bytes()


# diagnose


def test_diagnose_reads_the_run_folder(trained):
    folder, _ = trained
    result = invoke("diagnose", folder, "--json")
    assert result.exit_code == 0, result.stderr
    (run,) = json.loads(result.stdout)["runs"]
    assert run["path"] == str(folder)
    saved = json.loads((folder / "diagnosis.json").read_text())
    assert (run["verdict"], run["reason"]) == (saved["verdict"], saved["reason"])
    assert run["findings"] == saved["findings"]


LOG = "epoch,loss,val_loss\n" + "".join(
    f"{epoch},{0.9**epoch + 0.01},{0.5 + abs(epoch - 15) / 50}\n" for epoch in range(60)
)


def test_diagnose_reads_a_log_a_pipe_and_their_faults(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    result = invoke("diagnose", tmp_path / "log.csv", "-", "--json", stdin=LOG)
    assert result.exit_code == 0, result.stderr
    assert [(r["path"], r["verdict"]) for r in json.loads(result.stdout)["runs"]] == [
        (str(tmp_path / "log.csv"), "overfitting"),
        ("-", "overfitting"),
    ]
    result = invoke("diagnose", tmp_path / "log.csv", tmp_path / "no.csv", tmp_path / "nowhere.csv")
    assert result.exit_code == 2
    assert "overfitting" in result.stdout
    faults = result.stderr.splitlines()
    assert len(faults) == 2
    assert "no.csv" in faults[0]
    assert "nowhere.csv" in faults[1]
    assert invoke("diagnose", tmp_path / "log.csv", "--fail-on", "overfitting").exit_code == 3


def test_diagnose_takes_less_than_two_seconds_and_imports_no_keras(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    code = "import sys\nfrom goodfit.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", code, "diagnose", str(tmp_path / "log.csv")]
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - begin)
    assert "overfitting" in result.stdout
    loaded = {module.split(".")[0] for module in result.stderr.split()}
    assert not {"keras", "jax", "matplotlib", "bokeh", "sklearn"} & loaded
    assert min(seconds) < 2


# predict


def test_predict_keeps_every_row_and_its_order(trained, tmp_path):
    folder, _ = trained
    table = rows(AUTO_MPG)
    result = invoke("predict", folder, AUTO_MPG, "-o", tmp_path / "out.csv")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    answered = rows(tmp_path / "out.csv")
    assert [row["name"] for row in answered] == [row["name"] for row in table]
    printed = invoke("predict", folder, AUTO_MPG)
    assert printed.stdout.encode() == (tmp_path / "out.csv").read_bytes()
    study = store.load_study(folder)
    predicted = np.array([float(row["predicted mpg"]) for row in answered])
    np.testing.assert_allclose(predicted[study.predictions["row"]], study.predictions["predicted"], rtol=1e-4)
    assert json.loads(invoke("predict", folder, AUTO_MPG, "--json").stdout)[0].keys() == answered[0].keys()


def test_predict_takes_missing_and_unseen_values(trained, tmp_path):
    folder, _ = trained
    table = rows(AUTO_MPG)[:5]
    for row in table:
        del row["mpg"]
    table[0]["horsepower"] = ""
    table[1]["name"] = "never seen"
    table[2]["origin"] = "7"
    with open(tmp_path / "new.csv", "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    result = invoke("predict", folder, tmp_path / "new.csv")
    assert result.exit_code == 0, result.stderr
    answered = list(csv.DictReader(result.stdout.splitlines()))
    assert len(answered) == 5
    assert np.isfinite([float(row["predicted mpg"]) for row in answered]).all()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("{run}", "{tmp}/short.csv"), ["weight"]),
        (("{run}", "{tmp}/nowhere.csv"), ["nowhere.csv"]),
        (("{run}", "{tmp}/text.csv"), ["weight", "heavy"]),
        (("{tmp}", "{table}"), ["study.json"]),
        (("{tmp}/nowhere", "{table}"), ["nowhere", "does not exist"]),
        (("{run}", "{table}", "-o", "{tmp}/deep/er/out.csv"), ["out.csv"]),
        (("{run}", "{table}", "-o", "{tmp}"), ["folder"]),
    ],
    ids=["missing column", "no table", "stray text", "foreign folder", "no folder", "no place", "a folder"],
)
def test_predict_refuses_wrong_input(trained, tmp_path, args, words):
    folder, _ = trained
    table = rows(AUTO_MPG)[:5]
    header = [name for name in table[0] if name != "weight"]
    (tmp_path / "short.csv").write_text(
        "\n".join(",".join(line) for line in [header, *([r[n] for n in header] for r in table)])
    )
    table[0]["weight"] = "heavy"
    (tmp_path / "text.csv").write_text(
        "\n".join(",".join(line) for line in [list(table[0]), *(r.values() for r in table)])
    )
    before = everything(tmp_path)
    result = invoke("predict", *(arg.format(run=folder, tmp=tmp_path, table=AUTO_MPG) for arg in args))
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert everything(tmp_path) == before


# bad input

HEADER = ["x", "z", "kind", "y"]
GOOD = [[str(i * i % 97 / 4), str(i % 7), "ab"[i % 2], str(i * 0.5 + 1)] for i in range(60)]


def text(rows: list[list[str]], header: list[str] = HEADER) -> bytes:
    return "\n".join(",".join(row) for row in [header, *rows]).encode()


def with_cell(column: str, value: str) -> bytes:
    rows = [list(row) for row in GOOD]
    rows[5][HEADER.index(column)] = value
    return text(rows)


def with_column(column: str, value: str) -> bytes:
    place = HEADER.index(column)
    return text([[*row[:place], value, *row[place + 1 :]] for row in GOOD])


BAD: dict[str, tuple[bytes | None, tuple[str, ...], list[str]]] = {
    "no such file": (None, (), ["table.csv"]),
    "binary": (bytes(range(256)) * 9, (), ["table.csv", "binary"]),
    "empty": (b"", (), ["table.csv", "empty"]),
    "header only": (text([]), (), ["table.csv", "no rows"]),
    "one row": (text(GOOD[:1]), (), ["one row"]),
    "unknown target": (text(GOOD), ("--target", "kinds"), ["'kinds'", "'kind'"]),
    "target all missing": (with_column("y", ""), (), ["'y'", "no value"]),
    "constant target": (with_column("y", "4"), (), ["'y'", "constant"]),
    "a class of one row": (with_cell("kind", "c"), ("--target", "kind"), ["'c'", "one row"]),
    "currency": (with_cell("x", "$4"), (), ["'x'", "$4", "line 7"]),
    "about": (with_cell("x", "about 12"), (), ["'x'", "about 12", "line 7"]),
    "version": (with_cell("x", "1.2.3"), (), ["'x'", "1.2.3", "line 7"]),
    "infinite": (with_cell("x", "inf"), (), ["'x'", "infinite", "line 7"]),
    "infinite target": (with_cell("y", "-inf"), (), ["'y'", "infinite", "line 7"]),
    "duplicate columns": (text(GOOD, ["x", "x", "kind", "y"]), (), ["'x'", "--names"]),
    "too many classes": (
        ("kind\n" + "".join(f"k{i}\n" for i in range(100_000))).encode(),
        ("--target", "kind"),
        ["'kind'", "100000"],
    ),
    "wrong encoding": (text(GOOD) + "\né".encode("cp1252"), ("--encoding", "utf-8"), ["utf-8"]),
    "unknown encoding": (text(GOOD), ("--encoding", "utf-9"), ["utf-9"]),
    "unknown column": (text(GOOD), ("--drop", "zz"), ["'zz'", "'z'"]),
    "unknown group": (text(GOOD), ("--group", "kin"), ["'kin'", "'kind'"]),
    "no test table": (text(GOOD), ("--test", "nowhere.csv"), ["nowhere.csv"]),
    "a wrong share": (text(GOOD), ("--validation", "1.5"), ["validation", "1.5"]),
    "no share at all": (text(GOOD), ("--test-size", "nan"), ["test", "nan"]),
    "shares of everything": (text(GOOD), ("--validation", "0.6", "--test-size", "0.4"), ["validation", "test"]),
    "a name that is a path": (text(GOOD), ("--name", "../up"), ["'../up'"]),
    "an empty name": (text(GOOD), ("--name", ""), ["name"]),
    "a long name": (text(GOOD), ("--name", "n" * 300), ["can't be written"]),
    "an unwritable place": (text(GOOD), ("--out", "table.csv/runs"), ["table.csv/runs", "can't be written"]),
    "a task that does not fit": (text(GOOD), ("--target", "kind", "--task", "regression"), ["'kind'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_nothing_half_written(tmp_path, monkeypatch, case):
    content, options, words = BAD[case]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("table.csv").write_bytes(content)
    before = everything(tmp_path)
    target = () if "--target" in options else ("--target", "y")
    result = invoke("train", "table.csv", *target, *options)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    *stages, line = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert not any(stage.startswith("error") for stage in stages)
    for word in words:
        assert word in line
    assert ".." not in line.replace("../", "")
    assert everything(tmp_path) == before


def test_a_directory_is_no_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("train", tmp_path, "--target", "y")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path} is a directory")
    assert everything(tmp_path) == []


def test_100000_categories_are_no_memory_fault(tmp_path, monkeypatch):
    """A column of as many categories as rows is an identifier: it is left out, and said."""
    monkeypatch.chdir(tmp_path)
    lines = ["kind,x,y", *(f"k{i},{i % 13},{i % 13 * 2.5 + i % 3}" for i in range(100_000))]
    Path("table.csv").write_text("\n".join(lines))
    result = invoke("train", "table.csv", "--target", "y", "--seeds", 1, "--epochs", 1, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    assert any("'kind'" in note for note in json.loads(result.stdout)["notes"])


# Ctrl-C


COMMAND = [sys.executable, "-c", "from goodfit.cli import main; main()"]


def test_ctrl_c_while_training_saves_what_there_is(tmp_path):
    """On a terminal: the bar shows the loss once a first chunk of epochs is through."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "train", AUTO_MPG, "--target=mpg", "--seeds=2", "--epochs=1000000", "--out", tmp_path / "runs"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "300"},
    )
    os.close(theirs)
    shown = ""
    while "val_loss" not in shown:
        shown += os.read(ours, 65536).decode(errors="replace")
    process.send_signal(signal.SIGINT)
    while part := read_some(ours):
        shown += part
    stdout, _ = process.communicate(timeout=60)
    os.close(ours)
    folder = tmp_path / "runs" / "auto-mpg"
    assert process.returncode == 130, shown
    assert shown.rstrip().endswith(f"interrupted; what was done is in {folder}")
    assert stdout == b""
    assert os.listdir(tmp_path / "runs") == ["auto-mpg"]
    study = store.load_study(folder)
    assert "interrupted" in study.run.outcomes
    assert len(study.run.epoch) > 0
    assert study.test == ()
    assert (folder / "model.keras").is_file()


def read_some(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # Linux tells the end of a pseudo-terminal so
        return ""


@pytest.mark.parametrize("stage", ["read", "sanity"])
def test_ctrl_c_before_anything_is_trained_leaves_nothing(tmp_path, stage):
    process = subprocess.Popen(
        [*COMMAND, "train", str(AUTO_MPG), "--target", "mpg", "--out", str(tmp_path / "runs"), "--epochs", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"{stage}:"):
            break
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == "interrupted; nothing was saved"
    assert stdout == ""
    assert os.listdir(tmp_path) == []


def test_without_a_target_the_columns_are_told(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b;c\n1;2\n")
    done = invoke("train", table, "--sep", ";")
    assert done.exit_code == 2
    assert done.stderr == "error: --target is not given. Say which column to predict, --target COLUMN: a,b, c.\n"
    assert "--target folders" in invoke("train", tmp_path).stderr
