"""The page of a lab's results: one self-contained HTML file."""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goodfit.lab.experiment import Experiment, Result
from goodfit.report.template import environment

if TYPE_CHECKING:
    from goodfit.lab.bench import Bench

TONES = {"held": "good", "partly": "attention", "did not hold": "bad", "undecided": "unknown"}


def capped(epochs: int) -> str:
    """What has to be said beside results whose arms were cut short.

    Example:
        >>> capped(4)
        'No arm was trained for more than 4 epochs; names and sentences tell the epochs of the whole experiment.'
    """
    what = "names and sentences tell the epochs of the whole experiment"
    return f"No arm was trained for more than {epochs} epochs; {what}."


def page(results: Mapping[Experiment, Result], bench: Bench, pictures: Mapping[str, bytes]) -> str:
    """All results as one HTML page that loads nothing from anywhere.

    Args:
        results: of each experiment.
        bench: where they were measured.
        pictures: PNG of each experiment's figure, by its name; empty where it has none.

    Returns:
        the page.
    """
    from goodfit.plots.palette import DARK, LIGHT

    entries = [
        (experiment, result, base64.b64encode(pictures[experiment.name]).decode())
        for experiment, result in results.items()
    ]
    on_table = any(experiment.data == "table" for experiment in results)
    return _template().render(
        entries=entries,
        tones=TONES,
        light=LIGHT,
        dark=DARK,
        table=bench.dataset if on_table else None,
        seconds=sum(result.seconds for result in results.values()),
        epochs=sum(result.epochs for result in results.values()),
        cap=None if bench.cap is None else capped(bench.cap),
    )


def number(value: Any) -> str:
    """A cell of a table of numbers.

    Example:
        >>> number(0.123456), number(float("inf")), number("Adam"), number(12345.0)
        ('0.123', '∞', 'Adam', '12,345')
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


@functools.cache
def _template() -> Any:
    made = environment("goodfit.lab")
    made.filters["number"] = number
    return made.get_template("lab.html")
