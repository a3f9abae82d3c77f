"""Peak memory of `goodfit.fit` beside `model.fit` on the same arrays: at most one copy of the arrays more.

    python benchmarks/memory/run.py                  # writes benchmarks/memory/table.md

Each training is a process of its own, which holds the arrays, trains, and tells the most memory that it ever held
(resident set) beyond what it held just before. Exits 1 where goodfit took more than Keras and one copy of the arrays.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
MB = 1e6
CASES = {
    "float32": {},
    "float32, a fifth to validate on": {"validation_split": 0.2},
    "float32, in order": {"shuffle": False},
    "float32, an EarlyStopping callback": {"validation_split": 0.2, "stop": True},
    "float64": {"dtype": "float64"},
    "uint8 images of 28×28": {"dtype": "uint8", "width": 784},
    "DataFrame, float32": {"frame": True},
}
SLACK = 30 * MB
"""Bytes that are not worth a word: code of compiled programs, the allocator's rounding."""


def resident() -> float:
    """Bytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize()


def train(tool: str, case: str, megabytes: int) -> None:
    """Train in this process; print the bytes of the arrays and the peak beyond what was held before."""
    import goodfit  # isort: skip, it sets Keras's backend
    import keras

    options: dict[str, Any] = dict(CASES[case])
    dtype = np.dtype(options.pop("dtype", "float32"))
    stop, frame = options.pop("stop", False), options.pop("frame", False)
    width = options.pop("width", 100)
    count = int(megabytes * MB) // (width * dtype.itemsize)
    x = np.zeros((count, width), dtype)
    for start in range(0, count, 10_000):  # in parts, so that the peak before training is the arrays themselves
        part = np.random.default_rng(start).random((min(10_000, count - start), width), dtype="float32")
        x[start : start + len(part)] = 255 * part if dtype == np.uint8 else part - 0.5
    y = np.tanh(x[:, :1].astype("float32")) + 0.1
    if frame:
        import pandas as pd

        x = pd.DataFrame(x, copy=False)
    layers = keras.layers
    stack = [keras.Input((width,)), layers.Rescaling(1 / 255)] if dtype == np.uint8 else [keras.Input((width,))]
    model = keras.Sequential([*stack, layers.Dense(16, "relu"), layers.Dense(1)])
    model.compile("adam", "mse", steps_per_execution=1)
    if stop:
        options["callbacks"] = [keras.callbacks.EarlyStopping(patience=9, restore_best_weights=True)]
    model.fit(x[:2048], y[:2048], batch_size=2048, epochs=2, verbose=0)  # what Keras and XLA need in any case
    held, peak, ended = resident(), [0.0], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            peak[0] = max(peak[0], resident())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    arguments: dict[str, Any] = {"batch_size": 2048, "epochs": 2, "verbose": 0, **options}
    engine = "keras"
    if tool == "goodfit":
        run = goodfit.fit(model, x, y, **arguments)
        engine = run.engine
    else:
        model.fit(x, y, **arguments)
    ended.set()
    watcher.join()
    print(json.dumps({"arrays": x.size * dtype.itemsize + y.nbytes, "peak": peak[0] - held, "engine": engine}))


def measure(tool: str, case: str, megabytes: int) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--megabytes", str(megabytes), "--in-process", tool, case]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Measure all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=400, help="of the inputs")
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--in-process", nargs=2, metavar=("TOOL", "CASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_process:
        train(*arguments.in_process, arguments.megabytes)
        return 0
    lines = [
        f"Peak memory beyond the arrays themselves, MB; {platform.machine()}, Python {platform.python_version()}.",
        "`python benchmarks/memory/run.py`",
        "",
        "| arrays | MB | `model.fit` | `goodfit.fit` | goodfit's more, in copies of the arrays | ran |",
        "|---|--:|--:|--:|--:|---|",
    ]
    print("\n".join(lines[3:]), flush=True)
    held = True
    for case in arguments.cases:
        keras, goodfit = (measure(tool, case, arguments.megabytes) for tool in ("keras", "goodfit"))
        more = goodfit["peak"] - keras["peak"]
        held = held and more <= goodfit["arrays"] + SLACK
        figures = [goodfit["arrays"] / MB, keras["peak"] / MB, goodfit["peak"] / MB]
        lines.append(
            f"| {case} | {' | '.join(f'{value:.0f}' for value in figures)} | {more / goodfit['arrays']:.2f} "
            f"| {goodfit['engine']} |"
        )
        print(lines[-1], flush=True)
    if arguments.cases == list(CASES):
        (HERE / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
