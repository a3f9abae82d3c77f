"""Milliseconds per epoch of goodfit and of Keras's best as rows, width, depth and seeds grow: a table and a plot.

    python benchmarks/growth/run.py                  # goes on where it stopped; writes table.md and growth.png
    python benchmarks/growth/run.py --minutes 3.5    # stops measuring after so long
    python benchmarks/growth/run.py --quick          # ends and middle of each axis, in a folder of its own

A small network (two hidden layers of 32 units, 1,000 rows of 16 features, batch 32) grows along one axis at a time.
Each point is a process of its own, in which goodfit's `fit` and Keras's at `steps_per_execution` 1, 16 and 32 train in
turn; medians of the rounds, Keras's best of the three. Several seeds are as many trainings one after the other for
Keras. A point where goodfit is slower than Keras's best by more than both ranges is told apart in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
AXES = {
    "rows": (1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000),
    "width": (8, 32, 128, 512, 1_024, 2_048, 4_096),
    "depth": (2, 4, 8, 16, 32, 64),
    "seeds": (1, 2, 4, 8, 16, 32, 64),
}
BASE = {"rows": 1_000, "width": 32, "depth": 2, "seeds": 1}
FEATURES, BATCH = 16, 32
STEPS_PER_EXECUTION = (1, 16, 32)
SECONDS = 0.4
"""That one measurement should take: as many epochs as make this long."""
PATIENCE = 6.0
"""Seconds for the rounds of one way, beyond which there are fewer, but 5 at least; 15 at most."""


def network(width: int, depth: int, steps_per_execution: int) -> Any:
    """The model, compiled."""
    import keras

    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(width, "relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((FEATURES,)), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-4), "mse", metrics=["mae"], steps_per_execution=steps_per_execution)
    return model


def ways(axis: str, value: int) -> dict[str, Callable[[int], float]]:
    """The ways to train at this point: epochs -> seconds."""
    import goodfit  # isort: skip, it sets Keras's backend

    point = {**BASE, axis: value}
    x = np.random.default_rng(0).normal(size=(point["rows"], FEATURES)).astype("float32")
    y = np.tanh(x[:, :1] * x[:, 1:2])

    def timed(train: Callable[..., Any], **more: Any) -> Callable[[int], float]:
        def run(epochs: int) -> float:
            began = time.perf_counter()
            train(x, y, batch_size=BATCH, epochs=epochs, verbose=0, **more)
            return time.perf_counter() - began

        return run

    def ours(*arguments: Any, **more: Any) -> Any:
        return goodfit.fit(model, *arguments, **more, checks="off", signals=False)

    model = network(point["width"], point["depth"], 1)
    seeds = point["seeds"]
    found = {"goodfit": timed(ours) if seeds == 1 else timed(ours, seeds=seeds)}
    for steps in STEPS_PER_EXECUTION:
        found[f"Keras {steps}"] = timed(network(point["width"], point["depth"], steps).fit)
    return found


def measure(axis: str, value: int) -> dict[str, list[float]]:
    """Milliseconds per epoch of each way, a number per round."""
    found = ways(axis, value)
    epochs, rounds = {}, {}
    for name, run in found.items():
        run(2)  # of two epochs, for one alone is another program
        if _apart(axis, name):
            epochs[name], rounds[name] = (1_000 if value <= 16 else 250), 5
            continue
        seconds = run(2) / 2
        epochs[name] = max(2, min(1_000, int(SECONDS / seconds)))
        rounds[name] = max(5, min(15, int(PATIENCE / (seconds * epochs[name]))))
    times: dict[str, list[float]] = {name: [] for name in found}
    for place in range(max(rounds.values())):
        for name, run in found.items():
            if place >= rounds[name]:
                continue
            if _apart(axis, name):
                long, short = run(50 + epochs[name]), run(50)
                times[name].append(1e3 * (long - short) / epochs[name])
            else:
                times[name].append(1e3 * run(epochs[name]) / epochs[name])
    return times


def _apart(axis: str, name: str) -> bool:
    """Whether each training makes its program anew (several seeds do): two lengths tell how long an epoch takes."""
    return axis == "seeds" and name == "goodfit"


def all_points(quick: bool) -> list[tuple[str, int]]:
    """The points to measure."""
    chosen = {axis: (v[0], v[len(v) // 2]) if quick else v for axis, v in AXES.items()}
    return [(axis, value) for axis, values in chosen.items() for value in values]


def summary(axis: str, value: int, times: dict[str, list[float]]) -> dict[str, Any]:
    """The figures of a point: goodfit's, Keras's best, with ranges."""
    times = dict(times)
    ours = times.pop("goodfit")
    best = min(times, key=lambda name: statistics.median(times[name]))
    factor = value if axis == "seeds" else 1
    theirs = [factor * t for t in times[best]]
    return {
        "ours": statistics.median(ours),
        "ours_range": (min(ours), max(ours)),
        "theirs": statistics.median(theirs),
        "theirs_range": (min(theirs), max(theirs)),
        "best": best.removeprefix("Keras "),
        "rounds": len(ours),
        "slower": min(ours) > max(theirs),
    }


def table(points: dict[str, dict[str, list[float]]]) -> str:
    """All points as Markdown."""
    lines = [
        "# Growth: milliseconds per epoch as the work grows",
        "",
        f"`python benchmarks/growth/run.py`, {os.cpu_count()} cores. Two hidden layers of 32 units, 1,000 rows of "
        f"{FEATURES} features,",
        f"batch {BATCH}, one axis at a time; Keras's best of `steps_per_execution` "
        f"{', '.join(map(str, STEPS_PER_EXECUTION))}, in the same process, in turn.",
        "Several seeds are as many trainings for Keras.",
        "",
        "![Milliseconds per epoch along each axis](growth.png)",
        "",
        "| axis | | goodfit, ms | range | Keras's best, ms | range | its steps_per_execution | rounds "
        "| times goodfit's |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for axis, values in AXES.items():
        for value in values:
            times = points.get(f"{axis} {value}")
            if times is None:
                continue
            s = summary(axis, value, times)
            ranges = ["{:.3g} to {:.3g}".format(*s[name]) for name in ("ours_range", "theirs_range")]
            ratio = f"{s['theirs'] / s['ours']:.2f}" + (" **slower**" if s["slower"] else "")
            lines.append(
                f"| {axis} | {value:,} | {s['ours']:.3g} | {ranges[0]} | {s['theirs']:.3g} | {ranges[1]} "
                f"| {s['best']} | {s['rounds']} | {ratio} |"
            )
    return "\n".join(lines) + "\n"


def plot(points: dict[str, dict[str, list[float]]], file: Path) -> None:
    """Time per epoch along each axis, both logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.6), layout="constrained")
    measured = {axis: [value for value in values if f"{axis} {value}" in points] for axis, values in AXES.items()}
    for place, (axis, known) in enumerate(measured.items()):
        if not known:
            continue
        plane = figure.add_subplot(1, len(AXES), place + 1)
        found = [summary(axis, value, points[f"{axis} {value}"]) for value in known]
        for name, label, marker in (("theirs", "Keras's best", "s"), ("ours", "goodfit", "o")):
            middle = [s[name] for s in found]
            spread = np.abs([[s[f"{name}_range"][k] - s[name] for s in found] for k in (0, 1)])
            plane.errorbar(known, middle, yerr=spread, marker=marker, label=label, capsize=2)
        plane.set_xscale("log", base=10 if axis == "rows" else 2)
        plane.set(yscale="log", xlabel=axis, title=f"{axis} {known[0]:,} to {known[-1]:,}")
        plane.grid(alpha=0.3, which="both")
        if not place:
            plane.set_ylabel("ms per epoch")
            plane.legend()
    figure.savefig(file, dpi=110)


def main() -> int:
    """Measure what is not measured yet, and write table and plot; 1 where goodfit is slower."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--axes", nargs="*", default=list(AXES))
    parser.add_argument("--from-value", type=int, default=0, help="along each axis, from this value on")
    parser.add_argument("--again", action="store_true", help="forget what was measured of these before")
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.point:
        print(json.dumps(measure(arguments.point[0], int(arguments.point[1]))))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="growth-")) if arguments.quick else HERE
    kept = folder / "points.json"
    points: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}

    def chosen(axis: str, value: int) -> bool:
        return axis in arguments.axes and value >= arguments.from_value

    if arguments.again:
        points = {name: times for name, times in points.items() if not chosen(*_named(name))}
    ends = time.monotonic() + 60 * arguments.minutes
    for axis, value in all_points(arguments.quick):
        if not chosen(axis, value) or f"{axis} {value}" in points or time.monotonic() > ends:
            continue
        command = [sys.executable, __file__, "--point", axis, str(value)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        points[f"{axis} {value}"] = json.loads(done.stdout.splitlines()[-1])
        s = summary(axis, value, points[f"{axis} {value}"])
        print(f"{axis} {value:,}: goodfit {s['ours']:.3g} ms, Keras {s['theirs']:.3g} ms ({s['best']})", flush=True)
        kept.write_text(json.dumps(points, indent=0), encoding="utf-8")
    (folder / "table.md").write_text(table(points), encoding="utf-8")
    plot(points, folder / "growth.png")
    print(f"{folder}/table.md")
    return int(any(summary(*_named(name), times)["slower"] for name, times in points.items()))


def _named(name: str) -> tuple[str, int]:
    axis, value = name.split()
    return axis, int(value)


if __name__ == "__main__":
    sys.exit(main())
