"""Bokeh charts of a report: learning curves with a choice of scale, predicted against true, residuals.

Colours come from the page's CSS variables: a model that has one carries a tag `property=--variable`, which the page's
script reads, so that a chart follows the reader's light or dark setting.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, HoverTool, Label, PlainText, Range1d, Slope, Span
from bokeh.plotting import figure
from bokeh.resources import Resources

from goodfit.plots import Curve, CurveChart, PredictionChart
from goodfit.plots.palette import LIGHT

FONT = "ui-sans-serif, system-ui, sans-serif"


@functools.cache
def library() -> str:
    """Bokeh's own script, without widgets, tables and the rest that a report does not use."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], minified=True, log_level="error").js_raw)


def curves_item(chart: CurveChart) -> dict[str, Any]:
    """The learning curves as a Bokeh JSON item: a figure named `linear` and, where it can be, one named `log`."""
    sources = {curve.part: _curve_sources(curve) for curve in chart.curves}
    figures = [_curves_figure(chart, sources, "linear")]
    if chart.can_log:
        figures.append(_curves_figure(chart, sources, "log"))
    for plot in figures:
        plot.visible = (plot.name == "log") == chart.log
    return dict(json_item(column(*figures, sizing_mode="stretch_width")))


def predictions_items(chart: PredictionChart) -> tuple[dict[str, Any], dict[str, Any]]:
    """Predicted against true, and the error against predicted, as two Bokeh JSON items."""
    low, high = chart.limits
    margin = 0.04 * (high - low) or 1.0
    data: dict[str, Any] = {
        "row": list(chart.row),
        "true": _short(chart.true),
        "predicted": _short(chart.predicted),
        "residual": _short(chart.residual),
    }
    unit = f" ({chart.unit})" if chart.unit and chart.unit != chart.target else ""
    predicted = f"predicted {chart.target}{unit}"
    equal = _figure("test rows", f"true {chart.target}{unit}", predicted, "linear")
    equal.x_range = equal.y_range = Range1d(start=low - margin, end=high + margin)
    error = _figure("residuals", predicted, f"error: predicted − true{unit}", "linear")
    equal.sizing_mode = error.sizing_mode = "scale_width"
    equal.aspect_ratio = error.aspect_ratio = 1.1
    for plot, x, y in ((equal, "true", "predicted"), (error, "predicted", "residual")):
        line = Slope(gradient=1.0 if plot is equal else 0.0, y_intercept=0.0, line_dash="dashed")
        plot.add_layout(_themed(line, "reference"))
        points = plot.scatter(x, y, size=7, alpha=0.55, line_color=None, source=ColumnDataSource(data=data))
        points.glyph.tags = ["fill_color=--network"]
        points.glyph.fill_color = LIGHT["network"]
        plot.add_tools(
            HoverTool(
                renderers=[points],
                tooltips=[("row", "@row"), ("true", "@true"), ("predicted", "@predicted"), ("error", "@residual")],
            )
        )
    return dict(json_item(equal)), dict(json_item(error))


def _curve_sources(curve: Curve) -> tuple[ColumnDataSource, ColumnDataSource]:
    """The median with its band, and the seeds; figures share them."""
    median: dict[str, Any] = {"x": _short(curve.x), "median": _short(curve.median)}
    if curve.low:
        median |= {"low": _short(curve.low), "high": _short(curve.high)}
    lines = {
        "xs": [_short(line.x) for line in curve.seeds],
        "ys": [_short(line.y) for line in curve.seeds],
        "seed": [line.seed for line in curve.seeds],
    }
    return ColumnDataSource(data=median), ColumnDataSource(data=lines)


def _curves_figure(
    chart: CurveChart, sources: dict[str, tuple[ColumnDataSource, ColumnDataSource]], scale: Literal["linear", "log"]
) -> figure:
    plot = _figure(scale, chart.unit, "", scale)
    (first, last), (low, high) = chart.x_range, chart.y_range
    shown = [(name, height) for name, height in chart.references if low <= height <= high * 1.2]
    for place, (name, height) in enumerate(shown):
        span = Span(location=height, dimension="width", line_dash="dotted", name=name)
        plot.add_layout(_themed(span, "reference"))
        x = last - 0.32 * place * (last - first)  # side by side: two heights may nearly be the same
        label = Label(x=x, y=height, text=name, text_align="right", text_font=FONT, text_font_size="11px", y_offset=1)
        label.background_fill_color, label.background_fill_alpha = "#FFFFFF", 0.85  # other lines may pass behind it
        label.tags = ["text_color=--muted", "background_fill_color=--surface"]
        plot.add_layout(label)
    for start in chart.stages:
        plot.add_layout(_themed(Span(location=start, dimension="height", line_dash="dashed"), "reference"))
    if chart.kept_epoch is not None:
        plot.add_layout(_themed(Span(location=chart.kept_epoch, dimension="height"), "reference"))
    medians = []
    for curve in chart.curves:
        colour, tag = LIGHT[curve.part], f"line_color=--{curve.part}"
        median, seeds = sources[curve.part]
        if curve.low:
            band = plot.varea("x", "low", "high", source=median, fill_alpha=0.13, fill_color=colour)
            band.glyph.tags = [f"fill_color=--{curve.part}"]
            lines = plot.multi_line("xs", "ys", source=seeds, line_width=1, line_alpha=0.3, line_color=colour)
            lines.glyph.tags = [tag]
        line = plot.line("x", "median", source=median, line_width=2.5, line_color=colour, name=curve.part)
        line.glyph.line_dash = "solid" if curve.part == "training" else [8, 3]
        line.glyph.tags = [tag]
        medians.append(line)
        if len(curve.x) == 1:
            dot = plot.scatter("x", "median", source=median, size=9, fill_color=colour, line_color=None)
            dot.glyph.tags = [f"fill_color=--{curve.part}"]
    kept = [point for point in chart.kept if point.value is not None]
    if kept:
        data = {
            "x": [point.epoch for point in kept],
            "y": _short(tuple(point.value for point in kept if point.value is not None)),
            "seed": [point.seed for point in kept],
        }
        part = chart.curves[-1].part
        dots = plot.scatter("x", "y", source=ColumnDataSource(data=data), size=8, line_width=1.5)
        dots.glyph.fill_color, dots.glyph.line_color = "#FFFFFF", LIGHT[part]
        dots.glyph.tags = ["fill_color=--surface", f"line_color=--{part}"]
        plot.add_tools(
            HoverTool(
                renderers=[dots],
                tooltips=[("seed", "@seed"), (f"kept {chart.unit}", "@x"), (chart.quantity, "@y")],
                attachment="below",
            )
        )
    plot.add_tools(
        HoverTool(
            renderers=medians,
            mode="vline",
            tooltips=[(chart.unit, "@x"), ("$name", "@median{%.4g}")],
            formatters={"@median": "printf"},
        )
    )
    return plot


def _figure(name: str, x_label: str, y_label: str, scale: Literal["linear", "log"]) -> figure:
    """An empty figure in the page's style; labels are text, never TeX."""
    plot = figure(
        name=name,
        height=360,
        min_width=240,
        sizing_mode="stretch_width",
        y_axis_type=scale,
        tools="box_zoom,reset,save",
        active_drag=None,
        toolbar_location="above",
        output_backend="canvas",
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.background_fill_color = plot.border_fill_color = plot.outline_line_color = None
    plot.min_border_right = 12
    for axis, label in ((plot.xaxis[0], x_label), (plot.yaxis[0], y_label)):
        axis.axis_label = PlainText(text=label if len(label) <= 48 else label[:47] + "…") if label else None
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font = axis.major_label_text_font = FONT
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.axis_line_color = axis.minor_tick_line_color = axis.major_tick_line_color = None
        axis.tags = ["axis_label_text_color=--muted", "major_label_text_color=--muted"]
    for grid in plot.grid:
        grid.tags = ["grid_line_color=--line"]
    plot.xgrid.visible = False
    return plot


def _themed(model: Any, colour: str) -> Any:
    """A line annotation in one of the page's colours."""
    model.line_color, model.line_width = LIGHT[colour], 1.2
    model.tags = [f"line_color=--{colour}"]
    return model


def _short(values: tuple[float, ...]) -> list[float]:
    """Five significant digits are more than a screen shows, and keep the file small."""
    return [int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.5g}") for value in values]
