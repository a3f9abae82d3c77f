"""Rows per second of `goodfit.fit` on Parquet files against the same rows in memory, and the memory that each takes.

    python benchmarks/stream/run.py                    5 interleaved rounds of 2 million rows, 3 of 10 million
    python benchmarks/stream/run.py --rows 1000000     fewer

The files (10 float32 columns and a target) are generated in a temporary folder and removed afterwards. Each way trains
in a process of its own, which is asked in turn for one epoch per round while the others wait. A first epoch, which
compiles, is not timed. Memory is the highest resident set of the process, and how much of it came on top of what was
there once all was imported and a few rows had been trained on: the rows, buffers, and compiling. The table is written
to table.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

INPUTS = 10
FILE_ROWS = 1_000_000
WAYS = {
    "files": "from Parquet, shuffled in the buffer",
    "memory": "in memory, shuffled",
    "files-in-order": "from Parquet, in order",
    "memory-in-order": "in memory, in order",
}


def write(folder: Path, rows: int) -> None:
    """Files of up to a million rows that a network can learn something from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        x = random.normal(size=(min(FILE_ROWS, rows - start), INPUTS)).astype("float32")
        y = np.tanh(x[:, 0] * x[:, 1]) + 0.1 * random.normal(size=len(x)).astype("float32")
        columns = {f"x{place}": x[:, place] for place in range(INPUTS)} | {"y": y}
        pq.write_table(pa.table(columns), folder / f"part-{number:03}.parquet", row_group_size=131_072)


def kilobytes(field: str) -> int:
    """A line of this process's status, in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def work(way: str, folder: Path, rows: int, batch_size: int) -> None:
    """One way in this process: an epoch for each line on standard input, its seconds on standard output."""
    import goodfit  # isort: skip, it sets Keras's backend
    import keras
    import pyarrow.parquet as pq

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((INPUTS,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    few = np.zeros((4 * batch_size, INPUTS), "float32")
    goodfit.fit(model, few, few[:, :1], batch_size=batch_size, verbose=0)
    before = kilobytes("VmRSS")
    files = sorted(folder.glob("*.parquet"))[: -(-rows // FILE_ROWS)]
    given: dict[str, object] = {"batch_size": batch_size, "verbose": 0, "shuffle": not way.endswith("order")}
    if way.startswith("files"):
        given["x"] = goodfit.ParquetRows(files, "y", seed=0)
    else:
        x = np.empty((rows, INPUTS), "float32")
        y = np.empty((rows, 1), "float32")
        start = 0
        for file in files:  # one at a time, so that the peak is that of the training
            table = pq.read_table(file)
            for place in range(INPUTS):
                x[start : start + len(table), place] = table[f"x{place}"].to_numpy()
            y[start : start + len(table), 0] = table["y"].to_numpy()
            start += len(table)
        del table
        given |= {"x": x, "y": y}
    goodfit.fit(model, **given, checks="off")
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        result = goodfit.fit(model, **given, checks="off")
        seconds = time.perf_counter() - began
        memory = {"peak": kilobytes("VmHWM") / 1024, "before": before / 1024}
        print(json.dumps({"seconds": seconds, "loss": result.history["loss"][-1], **memory}), flush=True)


def measure(
    ways: list[str], folder: Path, rows: int, batch_size: int, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """The epochs of each way, one per round in turn."""
    command = [sys.executable, __file__, "--folder", str(folder), "--rows", str(rows), "--batch-size", str(batch_size)]
    workers = {}
    for way in ways:
        worker = subprocess.Popen([*command, "--way", way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        if worker.stdout.readline() != "ready\n":
            raise SystemExit(f"{way} did not start")
        workers[way] = worker
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for round_ in range(rounds):
        for way in ways if round_ % 2 == 0 else reversed(ways):
            worker = workers[way]
            worker.stdin.write("go\n")
            worker.stdin.flush()
            found[way].append(json.loads(worker.stdout.readline()))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return found


def table(found: dict[str, list[dict[str, float]]], rows: int, batch_size: int) -> str:
    """Markdown: the rate of each way with its range, the ratio to memory, and the memory."""
    rates = {way: [rows / one["seconds"] / 1e6 for one in epochs] for way, epochs in found.items()}
    rounds = len(next(iter(rates.values())))
    lines = [
        f"### {rows / 1e6:g} million rows of {INPUTS} columns, 32-32-1, batch {batch_size}, {rounds} "
        f"epoch{'s' * (rounds != 1)} each",
        "",
        "| way | million rows/s: median (range) | of the rate in memory, by round | peak MiB | above the start, MiB |",
        "|---|---|---|---|---|",
    ]
    for way, rate in rates.items():
        ratios = [a / b for a, b in zip(rate, rates[way.replace("files", "memory")], strict=True)]
        ratio = f"{statistics.median(ratios):.0%}" if way.startswith("files") else "–"
        peak = max(one["peak"] for one in found[way])
        above = peak - found[way][0]["before"]
        lines.append(
            f"| {WAYS[way]} | {statistics.median(rate):.2f} ({min(rate):.2f} to {max(rate):.2f}) | {ratio} | "
            f"{peak:.0f} | {above:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Generate, measure, write the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=10_000_000)
    arguments.add_argument("--batch-size", type=int, default=256)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--markdown", type=Path, default=Path(__file__).with_name("table.md"))
    arguments.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.way:
        work(given.way, given.folder, given.rows, given.batch_size)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, given.rows)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        few = min(given.rows, 2_000_000)
        parts = [table(measure(list(WAYS), folder, few, given.batch_size, given.rounds), few, given.batch_size)]
        if given.rows > few:
            both = measure(["files", "memory"], folder, given.rows, given.batch_size, 3)
            parts.append(table(both, given.rows, given.batch_size))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    head = (
        f"# Rows from Parquet files against rows in memory\n\n{time.strftime('%Y-%m-%d')}, {platform.machine()}, "
        f"{os.cpu_count()} cores, load average {load}; {size:.0f} MB of files.\n"
    )
    text = "\n".join([head, *parts])
    given.markdown.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
