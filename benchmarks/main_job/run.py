"""Cold shell to report on Auto MPG: the whole command, with a cold and a warm compilation cache, stage by stage.

    python benchmarks/main_job/run.py            # writes benchmarks/main_job/table.md

Each run is a process of its own. `import keras` in a fresh process, run in turn with it, is the yardstick of how fast
the machine is at that time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parent.parent / "examples" / "auto-mpg.csv"


def clock(command: list[str], cache: Path) -> tuple[float, dict[str, float]]:
    """Seconds of a command, and of each stage that it reports on stderr (from the end of the one before)."""
    environment = {**os.environ, "GOODFIT_CACHE": str(cache), "KERAS_BACKEND": "jax"}
    began = last = time.perf_counter()
    stages: dict[str, float] = {}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            now = time.perf_counter()
            stages[line.split(":")[0]] = now - last
            last = now
    if process.returncode:
        raise SystemExit(f"{command} exited with {process.returncode}")
    end = time.perf_counter()
    stages["print and exit"] = end - last
    return end - began, stages


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=5)
    runs = arguments.parse_args().runs
    goodfit = [sys.executable, "-m", "goodfit"]
    with tempfile.TemporaryDirectory() as scratch:
        train = [*goodfit, "train", str(TABLE), "--target", "mpg", "--out", scratch, "--name"]
        rows: dict[str, list[float]] = {}
        stages: dict[str, dict[str, list[float]]] = {"cold": {}, "warm": {}}
        for run in range(runs):
            cache = Path(scratch) / f"cache-{run}"
            for state in ("cold", "warm"):
                seconds, parts = clock([*train, f"{state}-{run}"], cache)
                rows.setdefault(f"`goodfit train`, {state} compilation cache", []).append(seconds)
                for stage, value in parts.items():
                    stages[state].setdefault(stage, []).append(value)
            rows.setdefault("`goodfit --help`", []).append(clock([*goodfit, "--help"], cache)[0])
            rows.setdefault("`import keras`", []).append(clock([sys.executable, "-c", "import keras"], cache)[0])
    lines = [
        "# Cold shell to report on Auto MPG, 8 seeds",
        "",
        f"`python benchmarks/main_job/run.py --runs {runs}`, {os.cpu_count()} cores, seconds",
        "",
        "| command | median | min | max |",
        "|---|---|---|---|",
    ]
    for name, values in rows.items():
        lines.append(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")
    lines += ["", "Where the time goes, medians:", "", "| stage | cold cache | warm cache |", "|---|---|---|"]
    for stage in stages["cold"]:
        cells = [f"{statistics.median(stages[state].get(stage, [0.0])):.2f}" for state in ("cold", "warm")]
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "`read` includes starting Python and importing pandas; `sanity` what is left of importing Keras and JAX.",
    ]
    (HERE / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
