"""Matplotlib figures show what the chart data say."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from goodfit.errors import InputError
from goodfit.plots import confusion, curves, predictions
from goodfit.values import Run


@pytest.fixture
def ax():
    return Figure().subplots()


def test_curves_show_every_seed_the_medians_and_the_kept_epoch(mpg_study, ax):
    assert curves(mpg_study.run, ax, log=False) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:2] == ["training (median of 4 seeds)", "validation (median of 4 seeds)"]
    kept = np.median(mpg_study.run.kept_epoch)
    assert f"kept epoch {kept:g} (median)" in labels
    drawn = [line.get_ydata() for line in ax.lines]
    assert any(np.array_equal(y, np.median(mpg_study.run.curves["val_loss"], axis=0)) for y in drawn)
    for row in mpg_study.run.curves["loss"]:
        assert any(np.array_equal(y, row) for y in drawn)
    assert ax.get_yscale() == "linear"
    assert curves(mpg_study.run, Figure().subplots(), log=True).get_yscale() == "log"


def test_a_quantity_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"no finite value of 'mae'.*'loss'"):
        curves(Run.from_history({"loss": [1.0, 0.5]}), quantity="mae")


def test_predictions_lie_at_true_and_predicted(mpg_study, ax):
    predictions(mpg_study, ax)
    points = np.asarray(ax.collections[0].get_offsets())
    assert np.allclose(points[:, 0], mpg_study.predictions["true"])
    assert np.allclose(points[:, 1], mpg_study.predictions["predicted"])
    assert ax.get_xlabel() == "true mpg (mpg)"


def test_the_confusion_matrix_is_written_out(digits_study, ax):
    confusion(digits_study, ax)
    written = sum(int(text.get_text()) for text in ax.texts)
    assert written == len(digits_study.predictions["true"])


def test_the_wrong_task_is_told_the_other_figure(mpg_study, digits_study):
    with pytest.raises(InputError, match="confusion"):
        predictions(digits_study)
    with pytest.raises(InputError, match="predictions"):
        confusion(mpg_study)


def test_dollar_signs_are_text(mpg_study, ax):
    study = dataclasses.replace(mpg_study, about={"target": "$a$ or $b_", "target_unit": "$"})
    predictions(study, ax)
    ax.figure.canvas.draw()


def test_a_new_figure_is_one_that_pyplot_shows_and_settings_stay_as_they_were(mpg_study):
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    before = dict(matplotlib.rcParams)
    ax = curves(mpg_study.run)
    assert ax.figure.number in plt.get_fignums()
    ax.figure.canvas.draw()
    plt.close(ax.figure)
    assert dict(matplotlib.rcParams) == before


def test_importing_plots_does_not_import_matplotlib(tmp_path):
    code = "import sys, goodfit.plots; assert not {'matplotlib', 'pandas', 'keras', 'jax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_further_stages_are_drawn(ax):
    run = Run.from_history({"loss": [1.0, 0.8, 0.5, 0.4, 0.3]}, stages=(0, 2, 4))
    dashed = [line.get_xdata() for line in curves(run, ax).get_lines() if line.get_linestyle() == "--"]
    assert [float(x[0]) for x in dashed if len(set(x)) == 1] == [2.0, 4.0]
