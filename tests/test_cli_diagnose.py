"""`goodfit diagnose` and `goodfit explain` for real: on any log a verdict or a sentence, soon, and no traceback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from goodfit.cli.app import app

EPOCHS = 60
LOSS = (0.1 + np.exp(-np.arange(EPOCHS) / 8)).tolist()
VAL = (0.3 + np.exp(-np.arange(EPOCHS) / 5) + 0.006 * np.arange(EPOCHS)).tolist()
ROWS = list(zip(range(EPOCHS), LOSS, VAL, strict=True))


def table(rows=ROWS, header: str = "epoch,loss,val_loss") -> str:
    return header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def diagnosed(path: Path, *options: str) -> Result:
    result = CliRunner().invoke(app, ["diagnose", str(path), *options])
    assert "Traceback" not in result.output + result.stderr
    return result


LOGS = {
    "as it should be": (table(), "overfitting"),
    "two runs appended": (table() + table(), "overfitting"),
    "a repeated epoch": (table([*ROWS[:9], ROWS[8], *ROWS[9:]]), "overfitting"),
    "ragged": (table([*ROWS[:9], (9, 0.1), *ROWS[10:]]), "overfitting"),
    "text in a cell": (table([*ROWS[:9], (9, "oops", 0.5), *ROWS[10:]]), "overfitting"),
    "still being written": (table() + "60,0.1", "overfitting"),
    "one epoch": (table(ROWS[:1]), "insufficient evidence"),
    "four epochs": (table(ROWS[:4]), "insufficient evidence"),
    "not a number from the first row": (table([(e, "nan", "nan") for e in range(20)]), "diverged"),
    "no validation": (table([r[:2] for r in ROWS], "epoch,loss"), "insufficient evidence"),
    "validation every third": (table([(e, a, b if e % 3 == 2 else "") for e, a, b in ROWS]), "overfitting"),
    "accuracy only": (
        table([(e, 1 - a / 2, 1 - b / 2) for e, a, b in ROWS], "epoch,accuracy,val_accuracy"),
        "overfitting",
    ),
    "json": (json.dumps({"loss": LOSS, "val_loss": VAL}), "overfitting"),
}


@pytest.mark.parametrize("log", LOGS)
def test_every_log_gets_a_verdict(log: str, tmp_path: Path) -> None:
    text, verdict = LOGS[log]
    path = tmp_path / "log.csv"
    path.write_text(text)
    result = diagnosed(path)
    assert result.exit_code == 0, result.stderr
    assert set(re.findall(r"^verdict +(.+?) *$", result.output, re.MULTILINE)) == {verdict}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"name": "x", "version": [1, 2]}',
        "[1, 2, 3]",
        "a,b\nx,y\n",
        "epoch,loss\n",
        "once upon a time",
        "\0\1",
    ],
)
def test_what_is_no_log_gets_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    result = diagnosed(path)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert not result.stdout.strip()


cells = st.one_of(
    st.floats().map(repr), st.sampled_from(["", "nan", "inf", "-inf", "x", "NA", "1,5", "1e400", "-0", "None"])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(cells, min_size=1, max_size=4), max_size=30))
def test_any_cells_get_a_verdict_or_a_sentence(tmp_path_factory, rows) -> None:
    path = tmp_path_factory.mktemp("any") / "log.csv"
    path.write_text(table(rows))
    result = diagnosed(path)
    assert result.exit_code in (0, 2), result.stderr
    assert ("verdict" in result.output) == (result.exit_code == 0)


def test_a_cold_diagnosis_takes_less_than_two_seconds_and_no_keras(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(table([(e, LOSS[e % EPOCHS], VAL[e % EPOCHS]) for e in range(1_000)]))
    code = (
        "import sys\nfrom goodfit.cli import main\ntry: main()\n"
        "except SystemExit: print(sorted({'keras', 'jax', 'sklearn', 'matplotlib', 'bokeh'} & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        out = subprocess.run(
            [sys.executable, "-c", code, "diagnose", str(path)], capture_output=True, text=True, check=True
        ).stdout
        seconds.append(time.perf_counter() - began)
        assert out.strip().splitlines()[-1] == "[]"
    assert min(seconds) < 2.0


def test_the_report_names_the_page_of_the_first_finding(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(table())
    named = re.search(r"goodfit explain ([\w-]+)", diagnosed(path).output)
    assert named
    assert named[1] == "overfitting"
    page = CliRunner().invoke(app, ["explain", named[1]])
    assert page.exit_code == 0
    for heading in ("How it is detected", "Why it matters", "What to try", "False alarms"):
        assert heading in page.output


def test_an_unknown_finding_is_wrong_use() -> None:
    result = CliRunner().invoke(app, ["explain", "overfiting"])
    assert result.exit_code == 2
    assert "Did you mean 'overfitting'?" in result.stderr


def test_a_log_has_nothing_to_probe(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss\n0,1.0\n1,0.5\n")
    result = CliRunner().invoke(app, ["diagnose", str(log), "--probe"])
    assert result.exit_code == 2
    assert "without a network or rows to probe" in result.stderr
