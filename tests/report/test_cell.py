"""What a notebook shows."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np

from goodfit.plots import curve_chart
from goodfit.report import notebook
from goodfit.report.svg import curves_svg, predictions_svg
from goodfit.values import Run


def test_a_study_shows_verdict_scores_and_curves(mpg_study):
    shown = notebook(mpg_study)
    for told in ("Overfitting", "<svg", "<table", "gradient boosting", "Add an L2 penalty of 1e-4 to the kernels."):
        assert told in shown
    assert "<script" not in shown
    assert len(shown) < 100_000
    ET.fromstring(shown)


def test_names_are_escaped(mpg_study):
    evil = "<script>alert(1)</script>"
    shown = notebook(dataclasses.replace(mpg_study, name=evil, folder=evil))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_a_run_shows_its_verdict_where_one_is_given(mpg_study):
    assert "Overfitting" in notebook(mpg_study.run, diagnosis=mpg_study.diagnosis)
    assert "Overfitting" not in notebook(mpg_study.run)
    assert "<svg" not in notebook(Run(curves={}, epoch=np.arange(0)))


def test_the_drawn_line_is_where_the_numbers_are():
    run = Run.from_history({"loss": [4.0, 2.0, 1.0]})
    svg = ET.fromstring(curves_svg(curve_chart(run), 640, 300, log=True))
    points = svg.findall(".//{http://www.w3.org/2000/svg}polyline")[-1].attrib["points"].split()
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in points)
    assert np.isclose(x1 - x0, x2 - x1, atol=1)
    assert np.isclose(y1 - y0, y2 - y1, atol=0.2)  # halving is the same step on a logarithmic axis
    assert y0 < y1 < y2


def test_predicted_against_true_has_one_point_for_each_row(mpg_study):
    from goodfit.plots import prediction_chart

    chart = prediction_chart(mpg_study)
    assert chart is not None
    assert predictions_svg(chart).count("h0") == len(mpg_study.predictions["true"])
