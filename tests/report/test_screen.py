"""The report on a terminal: any width, any encoding, with colours and without."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from goodfit.plots import curve_chart
from goodfit.report import terminal, words
from goodfit.report.braille import draw
from goodfit.values import Diagnosis, Run, Score, Study


def printed(thing, width=80, encoding="utf-8", **options) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    terminal(thing, Console(file=file, width=width), **options)
    file.flush()
    return raw.getvalue().decode(encoding)


def test_a_study_tells_verdict_findings_scores_report_and_next_command(mpg_study):
    text = printed(mpg_study, report="runs/auto-mpg/report.html")
    network = mpg_study.test[0]
    for told in (
        "overfitting",
        mpg_study.diagnosis.reason,
        "Add an L2 penalty of 1e-4 to the kernels.",
        f"{network.value:.3f}",
        f"[{network.low:.2f}, {network.high:.2f}]",
        "mae in mpg: lower is better",
        "r2: higher is better",
        "runs/auto-mpg/report.html",
        "goodfit predict runs/auto-mpg examples/auto-mpg.csv -o predictions.csv",
    ):
        assert told in text, told
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [24, 40, 60, 80, 200])
def test_no_line_but_a_path_is_wider_than_the_terminal(mpg_study, width):
    for line in printed(mpg_study, width=width, report="report.html", chart=True).splitlines():
        assert len(line) <= width or line.startswith(("report", "next", "mend")), line


@pytest.mark.parametrize("width", [40, 80])
def test_no_score_is_cut(mpg_study, width):
    from goodfit.plots import score_tables
    from goodfit.report.words import score_lines

    text = printed(mpg_study, width=width)
    for table in score_tables(mpg_study):
        for line in score_lines(table, to=", "):
            assert line.value in text
            assert f"[{line.interval}]" in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_every_encoding_can_show_it(mpg_study, digits_study, encoding):
    diagnosis = Diagnosis("diverged", "Verlust → ∞ “ganz” – 損失.")
    text = printed(mpg_study.run, encoding=encoding, diagnosis=diagnosis)
    assert "diverged" in text
    assert ("│" in text) == (encoding == "utf-8")
    assert "accuracy" in printed(digits_study, encoding=encoding)


def test_no_color_and_pipes_get_no_codes(mpg_study):
    code = (
        "from goodfit.report import terminal; from goodfit.values import Run, Diagnosis;"
        "terminal(Run.from_history({'loss': [1.0, 0.5, 0.2]}), diagnosis=Diagnosis('balanced', 'Fine.'))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "40"}
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment).stdout
    assert b"\x1b" not in piped
    assert b"balanced" in piped
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, _environ={"NO_COLOR": "1", "TERM": "xterm"})
    terminal(mpg_study, console)
    assert "\x1b[3" not in file.getvalue()
    colourful = io.StringIO()
    terminal(mpg_study, Console(file=colourful, force_terminal=True, color_system="standard", width=80, _environ={}))
    assert "\x1b[1;33m" in colourful.getvalue()


def test_names_are_text_and_not_markup(mpg_study):
    import dataclasses

    about = {**mpg_study.about, "source": "a [red] table.csv"}
    study = dataclasses.replace(mpg_study, about=about, folder="runs/[bold]")
    text = printed(study)
    assert "'a [red] table.csv'" in text
    assert "'runs/[bold]'" in text


def test_at_most_three_findings_are_told_at_length(mpg_study):
    from goodfit.values import Finding

    findings = tuple(Finding(f"finding-{n}", "found", f"Message {n}.", "low") for n in range(5))
    text = printed(mpg_study.run, diagnosis=Diagnosis("unstable", "It jumps.", findings))
    assert "Message 2." in text
    assert "Message 3." not in text
    assert "and 2 more findings" in text


def test_a_run_that_never_was_finite_has_no_chart():
    run = Run.from_history({"loss": [np.inf]}, outcomes=("nonfinite",))
    assert "diverged" in printed(run, diagnosis=Diagnosis("diverged", "Never finite."))


def test_a_diagnosis_prints_as_text(mpg_study):
    diagnosis = mpg_study.diagnosis
    lines = str(diagnosis).splitlines()
    assert lines[0].startswith("overfitting: ")
    assert any(line.startswith("overfitting (medium)") for line in lines)
    assert "  try: Add an L2 penalty of 1e-4 to the kernels." in lines
    assert lines[-1] == "not applicable: 1 other check"
    assert max(map(len, lines)) <= 88
    assert repr(diagnosis).startswith("<Diagnosis overfitting: overfitting")
    shown = []
    diagnosis._repr_pretty_(type("Printer", (), {"text": lambda _, text: shown.append(text)})(), False)
    assert shown == [str(diagnosis)]


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("colour", [True, False])
def test_the_chart_starts_high_and_ends_low(unicode, colour):
    run = Run.from_history(
        {"loss": np.linspace(9, 1, 50), "val_loss": np.linspace(10, 2, 50)}, kept_epoch=np.array([49])
    )
    lines = ["".join(text for text, _ in line) for line in draw(curve_chart(run), 60, 10, unicode, colour)]
    assert len(lines) == 13  # legend, ten rows, axis, ends
    assert max(map(len, lines)) <= 60
    body = [line.split("│" if unicode else "|")[1] for line in lines[1:11]]
    assert len(body[0].rstrip()) < 15 < 40 < len(body[-1].rstrip())
    assert lines[-1].rstrip().endswith("epoch 49")
    assert "kept 49" in lines[-1]
    assert all(ord(char) < 128 for line in lines for char in line) or unicode


def test_a_flat_curve_and_one_epoch_are_drawn():
    for values in ([1.0, 1.0, 1.0], [2.0]):
        chart = curve_chart(Run.from_history({"loss": values}))
        assert len(draw(chart, 40)) == 13


@pytest.mark.parametrize("value", [2.0**53, -(2.0**53), 1e308, 5e-324])
def test_values_that_a_unit_more_or_less_leaves_the_same_are_drawn(value):
    flat = draw(curve_chart(Run.from_history({"loss": [value] * 3})), 40)
    assert len(flat) == 13
    wide = draw(curve_chart(Run.from_history({"loss": [value, -1.7e308, 1.7e308]})), 40)
    assert len(wide) == 13


def test_a_lone_value_between_two_columns_is_drawn():
    chart = curve_chart(Run.from_history({"loss": [3.0, 2.0, 1.0], "val_loss": [np.nan, 2.0, np.nan]}))
    lines = ["".join(text for text, _ in line) for line in draw(chart, 40, 10, False, False)]
    marks = {char for line in lines[1:11] for char in line.split("|", 1)[1].strip()}
    assert len(marks) >= 2  # of both curves


def test_equal_scores_are_equally_good():
    from goodfit.plots import score_tables

    for rival, starred, said in ((2.0, [True, True], "the same score"), (2.5, [True, False], "best score")):
        scores = (Score("network", "test", "mae", 2.0, 1.8, 2.25), Score("linear", "test", "mae", rival))
        (table,) = score_tables(Study((), "regression", scores))
        assert [line.best for line in words.score_lines(table)] == starred
        assert said in words.judgement(table)


@pytest.mark.parametrize(
    ("network", "other", "said"),
    [
        (0.9, 0.8, "The network has the best score, without an interval to judge the difference by."),
        (0.8, 0.9, "Linear is ahead, without an interval to judge the difference by."),
        (float("nan"), 0.9, "Linear is better than the network."),
    ],
)
def test_without_an_interval_nothing_is_surely_better(network, other, said):
    from goodfit.plots import score_tables

    scores = (
        Score("network", "test", "f1_macro", network, greater_is_better=True),
        Score("linear", "test", "f1_macro", other, greater_is_better=True),
    )
    assert words.judgement(score_tables(Study((), "binary", scores))[0]) == said
