"""The charts that several experiments draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from goodfit.lab.bench import Arm, Bench, Part
from goodfit.plots.chart import Chart, Series, line


def loss_chart(bench: Bench, arm: Arm, title: str | None = None) -> Chart:
    """An arm's training, validation and test error over the epochs: median and range of the seeds."""
    parts: tuple[Part, ...] = ("train", "validation", "test")
    return Chart(
        arm.name if title is None else title,
        "epoch",
        bench.unit,
        tuple(
            line("training" if part == "train" else part, bench.curve(arm, part), dashed=part == "test")
            for part in parts
        ),
        log_y=True,
    )


def arms_chart(bench: Bench, arms: Mapping[str, Arm], part: Part, title: str, *, log_x: bool = False) -> Chart:
    """Several arms' error on one part of the rows over the epochs."""
    series = tuple(line(name, bench.curve(arm, part)) for name, arm in arms.items())
    return Chart(
        title, "epoch", f"{'training' if part == 'train' else part} {bench.unit}", series, log_x=log_x, log_y=True
    )


_ENDS: tuple[tuple[str, Part, Literal["kept", "best"]], ...] = (
    ("training", "train", "kept"),
    ("test", "test", "kept"),
    ("test, best validation epoch", "test", "best"),
)


def ends_chart(bench: Bench, arms: Mapping[str, Arm], title: str) -> Chart:
    """Training and test error of each arm at its end: median and range of the seeds."""
    return Chart(
        title,
        "",
        bench.unit,
        tuple(
            ranged(label, tuple(arms), [bench.score(arm, part, at) for arm in arms.values()])
            for label, part, at in _ENDS
        ),
        kind="points",
    )


def ranged(name: str, places: tuple[float | str, ...], values: list[np.ndarray]) -> Series:
    """A series with the median of each place's values and their range."""
    finite = [np.where(np.isfinite(v), v, np.nan) for v in map(np.asarray, values)]
    known = [bool(np.isfinite(v).any()) for v in finite]

    def each(statistic: str) -> tuple[float, ...]:
        take = getattr(np, statistic)
        return tuple(float(take(v)) if k else float("nan") for v, k in zip(finite, known, strict=True))

    return Series(name, places, each("nanmedian"), each("nanmin"), each("nanmax"))
