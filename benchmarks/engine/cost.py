"""What the signals and the progress bar cost: the same job with each of them and without, interleaved.

    python benchmarks/engine/cost.py                 # goes on where it stopped; writes benchmarks/engine/cost.md
    python benchmarks/engine/cost.py mpg-32 --again  # measures one workload anew

Each job is one of `run.py`'s, as long as there. It is trained by `goodfit.fit` without signals and silently, with the
signals at their default sampling (`signals="auto"`), and with `verbose=1` on a pseudo-terminal; these take turns, in a
turned order every second round, in one process. The programs are at hand before the clock runs; how long the one that
measures the signals takes to trace and compile is told apart. Each ratio is the median over the rounds of the ratio to
the plain job of the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from run import WORKLOADS, data, keras_model

HERE = Path(__file__).parent
JOBS = [name for name, work in WORKLOADS.items() if not work.early_stopping]
EPOCHS = {"cnn": 13}
"""Epochs where the job of `run.py` is too short for signals: they begin at 2,000 steps."""
SECONDS = 24.0
"""That the rounds of a workload may take; there are 5 at least, and 60 at most: short jobs vary by a fifth and more."""


def measure(name: str) -> dict[str, Any]:
    """Seconds of each way, a number per round; how many samples are taken; what their program takes to make."""
    import goodfit

    work = WORKLOADS[name]
    epochs = EPOCHS.get(name, work.job)
    model, (x, y) = keras_model(work, 1), data(work)
    controller, terminal = os.openpty()
    reader = subprocess.Popen(["cat"], stdin=controller, stdout=subprocess.DEVNULL)  # a terminal is another process

    def job(**more: Any) -> Any:
        arguments = {"verbose": 0, "signals": False, **more}
        return goodfit.fit(
            model, x, y, batch_size=work.batch_size, epochs=epochs, validation_split=work.validation, **arguments
        )

    def drawn() -> Any:
        with open(terminal, "w", encoding="utf-8", closefd=False) as stream, redirect_stdout(stream):
            return job(verbose=1)

    ways: dict[str, Callable[[], Any]] = {"plain": job, "signals": lambda: job(signals="auto"), "progress bar": drawn}
    compiling = {way: train().provenance["compile_seconds"] for way, train in ways.items()}
    began = time.perf_counter()
    samples = len(job(signals="auto").signal_epochs)
    rounds = max(5, min(60, int(SECONDS / (3 * (time.perf_counter() - began)))))
    times: dict[str, list[float]] = {way: [] for way in ways}
    for place in range(rounds):
        for way in list(ways)[:: -1 if place % 2 else 1]:
            began = time.perf_counter()
            ways[way]()
            times[way].append(time.perf_counter() - began)
    reader.kill()
    return {"times": times, "epochs": epochs, "samples": samples, "compiling": compiling["signals"]}


def ratios(found: dict[str, Any], way: str) -> list[float]:
    """This way's time over the plain one's, round by round."""
    return [a / b for a, b in zip(found["times"][way], found["times"]["plain"], strict=True)]


HEAD = (
    "| job | epochs | rounds | plain, s | samples | with signals | range | with a progress bar | range "
    "| compiling for signals, s |"
)


def table(all_found: dict[str, dict[str, Any]]) -> str:
    """All workloads as Markdown."""
    lines = [
        "# What signals and the progress bar cost",
        "",
        f"`python benchmarks/engine/cost.py`, {os.cpu_count()} cores. Whole jobs whose programs are at hand, times the",
        "plain job of the same round (medians, with the range over the rounds). The wish: signals at most 1.05, the",
        "progress bar at most 1.03. The short jobs vary much from round to round. Compiling for the signals comes once",
        "for each compiled model, and later from the cache folder.",
        "",
        HEAD,
        "|---|" + "--:|" * (HEAD.count("|") - 2),
    ]
    for name in JOBS:
        work, found = WORKLOADS[name], all_found.get(name)
        if found is None:
            continue
        plain = statistics.median(found["times"]["plain"])
        cells = [work.title, str(found["epochs"]), str(len(found["times"]["plain"])), f"{plain:.3g}"]
        cells.append(str(found["samples"]))
        for way in ("signals", "progress bar"):
            values = ratios(found, way)
            cells += [f"{statistics.median(values):.3f}", f"{min(values):.2f} to {max(values):.2f}"]
        cells.append(f"{found['compiling']:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is not measured yet, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--again", action="store_true", help="forget what was measured of these before")
    parser.add_argument("--in-process", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_process:
        print(json.dumps(measure(arguments.in_process)))
        return
    kept = HERE / "cost.json"
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for name in arguments.workloads or JOBS:
        if name in found and not arguments.again:
            continue
        command = [sys.executable, __file__, "--in-process", name]
        environment = {**os.environ, "KERAS_BACKEND": "jax"}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        found[name] = json.loads(done.stdout.splitlines()[-1])
        for way in ("signals", "progress bar"):
            values = ratios(found[name], way)
            print(name, way, f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})", flush=True)
        kept.write_text(json.dumps(found, indent=0), encoding="utf-8")
    (HERE / "cost.md").write_text(table(found), encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
