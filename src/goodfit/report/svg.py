"""Learning curves as a small static SVG: for notebooks, for paper, and where scripts don't run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from goodfit.plots import CurveChart, PredictionChart
from goodfit.plots.palette import LIGHT

MOST_POINTS = 800
"""Points of all seeds' light lines of one curve together: more than a small drawing has room for adds nothing."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 40


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that divide a range: multiples of 1, 2 or 5 times a power of ten.

    Example:
        >>> ticks(0.0, 10.0), ticks(0.13, 0.95)
        ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [0.2, 0.4, 0.6, 0.8])
    """
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (power * factor) <= most)
    return [round(step * n, 12) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within a range, with 2 and 5 times them where there are few.

    Example:
        >>> log_ticks(0.05, 3.0)
        [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
        >>> log_ticks(1e-3, 1e3)
        [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 3 else (1,)
    every = max(1, (last - first) // 6)
    values = [float(f"{factor}e{power}") for power in range(first, last + 1, every) for factor in factors]
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def curves_svg(chart: CurveChart, width: int = 640, height: int = 300, log: bool | None = None) -> Markup:
    """The chart as one `<svg>` element; text and grid take the colour of the surrounding text.

    Args:
        chart: with at least one curve.
        width: of the drawing, in units of the view box; it scales to its container.
        height: likewise.
        log: a logarithmic axis; what suits the chart by default.

    Returns:
        Safe markup; every name in it is escaped.
    """
    log = chart.log if log is None else log and chart.can_log
    (x0, x1), (y0, y1) = chart.x_range, chart.y_range
    x1 = x1 if x1 > x0 else x0 + 1
    if log:
        y0, y1 = y0 / 1.15, y1 * 1.15
    else:
        margin = 0.05 * (y1 - y0) or 0.05 * abs(y1) or 0.5
        y0, y1 = y0 - margin, y1 + margin
    inner_w, inner_h = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    scale: Callable[[float], float] = math.log10 if log else float

    def at(x: float, y: float) -> tuple[float, float]:
        share = (scale(y) - scale(y0)) / (scale(y1) - scale(y0))
        return _LEFT + inner_w * (x - x0) / (x1 - x0), _TOP + inner_h * (1 - min(max(share, 0.0), 1.0))

    out = [
        f'<svg class="gf-chart" role="img" viewBox="0 0 {width} {height}" width="{width}" '
        f'style="max-width:100%;height:auto" font-size="12" font-family="inherit" fill="currentColor" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(chart.summary)}</title>'
    ]
    for value in log_ticks(y0, y1) if log else ticks(y0, y1, 5):
        _, y = at(x0, value)
        out.append(
            f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity=".12"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" opacity=".75">{value:g}</text>'
        )
    for value in ticks(x0, x1, 8):
        x, _ = at(value, y0)
        out.append(f'<text x="{x:.1f}" y="{height - 22}" text-anchor="middle" opacity=".75">{value:g}</text>')
    out.append(
        f'<text x="{_LEFT + inner_w / 2:.0f}" y="{height - 5}" text-anchor="middle" opacity=".75">{chart.unit}</text>'
        f'<text x="{_LEFT}" y="14" opacity=".75">{escape(chart.label)}{" (log scale)" if log else ""}</text>'
    )
    for name, value in chart.references:
        if y0 <= value <= y1:
            _, y = at(x0, value)
            out.append(
                f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_var("reference")}" '
                f'stroke-dasharray="2 3"/><text x="{_LEFT + 0.3 * inner_w:.0f}" y="{y - 4:.1f}" font-size="11" '
                f'opacity=".8">{escape(name)}</text>'
            )
    for start in chart.stages:
        x, _ = at(start, y0)
        out.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - _BOTTOM}" stroke="{_var("reference")}" '
            'stroke-dasharray="5 3"><title>a further stage begins</title></line>'
        )
    if chart.kept_epoch is not None:
        x, _ = at(chart.kept_epoch, y0)
        anchor, shift = ("end", -4) if x > width / 2 else ("start", 4)
        out.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - _BOTTOM}" stroke="{_var("reference")}"/>'
            f'<text x="{x + shift:.1f}" y="{_TOP + 10}" text-anchor="{anchor}" font-size="11" opacity=".8">'
            f"kept {chart.unit} {chart.kept_epoch:g}</text>"
        )
    for curve in chart.curves:
        colour, dash = _var(curve.part), "" if curve.part == "training" else ' stroke-dasharray="7 2.5"'
        line = f'<polyline fill="none" stroke="{colour}" stroke-linejoin="round"'
        if curve.low:
            band = [*zip(curve.x, curve.low), *reversed([*zip(curve.x, curve.high)])]
            out.append(f'<polygon fill="{colour}" opacity=".14" points="{_points(band, at)}"/>')
        for seed in curve.seeds:
            pairs = _thin([*zip(seed.x, seed.y)], max(MOST_POINTS // len(curve.seeds), 20))
            out.append(f'{line} stroke-width=".7" opacity=".3" points="{_points(pairs, at)}"/>')
        out.append(f'{line} stroke-width="2.2"{dash} points="{_points([*zip(curve.x, curve.median)], at)}"/>')
        if len(curve.x) == 1:
            x, y = at(curve.x[0], curve.median[0])
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
    x = float(width - _RIGHT)
    for curve in reversed(chart.curves):
        x -= 7.0 * len(curve.part) + 4
        dash = "" if curve.part == "training" else ' stroke-dasharray="7 2.5"'
        out.append(
            f'<line x1="{x - 26:.0f}" x2="{x - 5:.0f}" y1="10" y2="10" stroke="{_var(curve.part)}" '
            f'stroke-width="2.2"{dash}/>'
            f'<text x="{x:.0f}" y="14">{curve.part}</text>'
        )
        x -= 36
    out.append("</svg>")
    return Markup("".join(out))


def predictions_svg(chart: PredictionChart, size: int = 420) -> Markup:
    """Predicted against true as one `<svg>` element, with the line on which both are equal."""
    low, high = chart.limits
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    left, top, inner = 56, 10, size - 66

    def at(true: float, predicted: float) -> tuple[float, float]:
        return left + inner * (true - low) / (high - low), top + inner * (1 - (predicted - low) / (high - low))

    height = top + inner + 38
    out = [
        f'<svg class="gf-chart" role="img" viewBox="0 0 {size} {height}" width="{size}" '
        f'style="max-width:100%;height:auto" font-size="12" font-family="inherit" fill="currentColor" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(chart.summary)}</title>"
    ]
    for value in ticks(low, high, 6):
        x, y = at(value, value)
        out.append(
            f'<line x1="{left}" x2="{left + inner}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity=".12"/>'
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" opacity=".75">{value:g}</text>'
            f'<text x="{x:.1f}" y="{top + inner + 16}" text-anchor="middle" opacity=".75">{value:g}</text>'
        )
    points = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in map(at, chart.true, chart.predicted))
    out.append(
        f'<path d="M{left} {top + inner}L{left + inner} {top}" stroke="{_var("reference")}" stroke-dasharray="6 4"/>'
        f'<path d="{points}" stroke="{_var("network")}" stroke-width="6" stroke-linecap="round" opacity=".55"/>'
        f'<text x="{left + inner / 2:.0f}" y="{height - 5}" text-anchor="middle" opacity=".75">'
        f"true {escape(chart.target)}</text>"
        f'<text transform="translate(12 {top + inner / 2:.0f}) rotate(-90)" text-anchor="middle" opacity=".75">'
        f"predicted {escape(chart.target)}</text></svg>"
    )
    return Markup("".join(out))


def _var(name: str) -> str:
    """A colour that a page may set by its own CSS variable."""
    return f"var(--{name}, {LIGHT[name]})"


def _points(pairs: Sequence[tuple[float, float]], at: Callable[[float, float], tuple[float, float]]) -> str:
    return " ".join(f"{x:.0f},{y:.1f}" for x, y in (at(*pair) for pair in pairs))


def _thin(pairs: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """A light line needs no more points than the drawing has room for."""
    return pairs[:: math.ceil(len(pairs) / most)] if len(pairs) > most else pairs
