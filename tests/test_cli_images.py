"""`goodfit train IMAGES/ --target folders` from start to end: real images, as a newcomer would try it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from goodfit import store
from goodfit.cli.app import app
from goodfit.lab.data import fashion_mnist

COMMAND = [sys.executable, "-c", "from goodfit.cli import main; main()"]


def invoke(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def noise(root: Path, per_class: int = 8) -> Path:
    draw = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (root / name).mkdir(parents=True)
        for place in range(per_class):
            Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(root / name / f"{place}.png")
    return root


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "--target", "folders"), ("there is no folder nowhere", "Check the path")),
        (("empty", "--target", "folders"), ("empty holds no files", "sub-folders are the classes")),
        (("pets", "--target", "kind"), ("pets is a directory", "--target=folders")),
        (("pets/cats", "--target", "folders"), ("no sub-folder with any", "sub-folder of its own")),
        ((".", "--target", "folders"), ("only further folders", "pets")),
        (("pets", "--target", "folders", "--group", "owner"), ("--group is for tables", "Leave it out")),
        (("pets", "--target", "folders", "--task", "regression"), ("no regression", "Leave --task out")),
        (("pets", "--target", "folders", "--test", "nowhere"), ("there is no folder nowhere",)),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_half_written(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    noise(tmp_path / "pets")
    (tmp_path / "empty").mkdir()
    before = everything(tmp_path)
    result = invoke("train", *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert everything(tmp_path) == before


def test_ctrl_c_while_images_are_trained_on_saves_what_there_is(tmp_path):
    import pty

    ours, theirs = pty.openpty()
    command = [*COMMAND, "train", str(noise(tmp_path / "pets", 20)), "--target=folders", "--seeds=2"]
    process = subprocess.Popen(
        [*command, "--epochs=100000", "--out", str(tmp_path / "runs")],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "300"},
    )
    os.close(theirs)
    shown = ""
    while "val_loss" not in shown:
        shown += os.read(ours, 65536).decode(errors="replace")
    process.send_signal(signal.SIGINT)
    while part := _some(ours):
        shown += part
    process.communicate(timeout=100)
    os.close(ours)
    assert process.returncode == 130, shown
    assert shown.rstrip().endswith(f"interrupted; what was done is in {tmp_path / 'runs' / 'pets'}")
    study = store.load_study(tmp_path / "runs" / "pets")
    assert "interrupted" in study.run.outcomes
    assert study.test == ()
    assert "mistakes" not in study.about["pictures"]


def _some(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # Linux tells the end of a pseudo-terminal so
        return ""


@pytest.mark.slow
def test_fashion_mnist_as_a_folder_is_told_apart_as_well_as_by_the_baselines(tmp_path, monkeypatch):
    """T-shirts, pullovers and dresses: train, predict and improve, with a broken file among them."""
    monkeypatch.chdir(tmp_path)
    (x, y), _ = fashion_mnist()
    for name, code in (("t-shirt", 0), ("pullover", 2), ("dress", 3)):
        (tmp_path / "clothes" / name).mkdir(parents=True)
        for place in np.flatnonzero(y == code)[:150]:
            pixels = np.round(x[place].reshape(28, 28) * 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "clothes" / name / f"{place}.png")
    broken = tmp_path / "clothes" / "dress" / "broken.png"
    broken.write_bytes(next((tmp_path / "clothes" / "dress").glob("*.png")).read_bytes()[:200])
    result = invoke("train", "clothes", "--target", "folders", "--seeds", 2, "--epochs", 20, "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    accuracy = {s["model"]: s["value"] for s in answer["scores"] if (s["metric"], s["split"]) == ("accuracy", "test")}
    assert accuracy["network"] > 0.8
    assert accuracy["network"] > accuracy["linear"] - 0.05
    assert accuracy["network"] > accuracy["gradient boosting"] - 0.05
    assert answer["verdict"] in ("balanced", "unfinished", "overfitting")
    assert "1 broken file skipped: dress/broken.png is cut short" in result.stderr
    report = tmp_path / answer["report"]
    assert report.stat().st_size < 2_000_000
    result = invoke("predict", answer["folder"], "clothes", "-o", "out.csv")
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv("out.csv")
    assert len(table) == 451
    assert table["predicted class"].isna().sum() == 1
    right = table["file"].str.split("/").str[0] == table["predicted class"]
    assert right.mean() > 0.82
    result = invoke("improve", answer["folder"], "--seeds", 2, "--changes", "less-dropout", "--rounds", 1, "--json")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "runs" / "clothes-improved" / "preparation.json").is_file()
