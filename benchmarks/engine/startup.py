"""Start-up: goodfit's first epoch beside Keras's own, with a cold and a warm compilation cache, and what makes it up.

    python benchmarks/engine/startup.py              # writes benchmarks/engine/startup.md

Each first epoch is one of a process of its own: keras is imported, the model made and compiled; then the clock runs
until the first epoch has ended. goodfit's is measured with an empty folder for compiled programs, and again by another
process that finds them there. Of goodfit's, it is told how long tracing and lowering took and how long XLA (compiling,
or reading the program from disk). A second `fit` with another learning rate and seed is timed in the same process, and
the programs that XLA was asked for are counted. Medians over rounds, interleaved.
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
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
MODELS = {
    "Auto MPG's size, 32-32, batch 16": (392, (9,), (32, 32), 16),
    "784-300-100-10, 5,000 rows, batch 32": (5000, (784,), (300, 100), 32),
    "LSTM 32, 1,000 sequences of 20×8, batch 32": (1000, (20, 8), ("lstm",), 32),
}
WAYS = ("Keras", "goodfit, cold", "goodfit, warm")


def train(name: str, tool: str) -> None:
    """Train for an epoch in this process; print what it took."""
    import goodfit  # isort: skip, it sets Keras's backend
    import jax
    import keras

    count, shape, stack, batch_size = MODELS[name]
    hidden = [keras.layers.LSTM(32) if one == "lstm" else keras.layers.Dense(one, "relu") for one in stack]
    model = keras.Sequential([keras.Input(shape), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-3), "mse", metrics=["mae"])
    x = np.random.default_rng(0).normal(size=(count, *shape)).astype("float32")
    y = x.reshape(count, -1)[:, :1] ** 2
    parts = {"xla": 0.0, "programs": 0}
    compile_program = jax.stages.Lowered.compile

    def timed(self: Any, *arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        compiled = compile_program(self, *arguments, **named)
        parts["xla"] += time.perf_counter() - began
        parts["programs"] += 1
        return compiled

    jax.stages.Lowered.compile = timed
    told: dict[str, float] = {}

    def fit(epochs: int) -> float:
        began = time.perf_counter()
        arguments: dict[str, Any] = {"batch_size": batch_size, "epochs": epochs, "validation_split": 0.2, "verbose": 0}
        if tool == "Keras":
            model.fit(x, y, **arguments)
        else:
            run = goodfit.fit(model, x, y, **arguments)
            assert run.engine == "compiled", run.engine_reason
        return time.perf_counter() - began

    told["first"] = fit(1)
    told["xla"], told["programs"] = parts["xla"], parts["programs"]
    # Another number of epochs is another chunk, which more than one share; the program of these is made once.
    told["longer"] = fit(2)
    before = parts["programs"]
    keras.utils.set_random_seed(1)
    model.optimizer.learning_rate = 0.01
    model.set_weights([0.1 * np.random.default_rng(2).normal(size=w.shape) for w in model.get_weights()])
    told["again"] = fit(2)
    told["new programs"] = parts["programs"] - before
    print(json.dumps(told))


def measure(name: str, tool: str, cache: Path) -> dict[str, float]:
    """The same in a process of its own."""
    environment = {**os.environ, "GOODFIT_CACHE": str(cache), "KERAS_BACKEND": "jax"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # goodfit's modules have their bytecode, as pip leaves it
    command = [sys.executable, __file__, "--in-process", name, tool]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


HEAD = (
    "| model | Keras's first epoch, s | goodfit's, cold cache | warm cache | of which tracing, lowering, the epoch "
    "| XLA, cold | XLA, warm | a `fit` with another rate and seed | programs that this made |"
)


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="*", type=int, default=range(len(MODELS)), help="by number, from 0")
    parser.add_argument("--in-process", nargs=2, metavar=("MODEL", "TOOL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_process:
        train(*arguments.in_process)
        return
    lines = [HEAD, "|---|" + "--:|" * (HEAD.count("|") - 2)]
    print("\n".join(lines))
    for name in [list(MODELS)[place] for place in arguments.models]:
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as cache:
                for way in WAYS:  # the second fills the folder for the third
                    found[way].append(measure(name, way.split(",")[0], Path(cache)))
        middle = {
            way: {key: statistics.median(one[key] for one in all_of) for key in all_of[0]}
            for way, all_of in found.items()
        }
        cold, warm = middle["goodfit, cold"], middle["goodfit, warm"]
        figures = [middle["Keras"]["first"], cold["first"], warm["first"], warm["first"] - warm["xla"]]
        figures += [cold["xla"], warm["xla"], warm["again"]]
        cells = [*(f"{value:.2f}" for value in figures), f"{warm['new programs']:.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    if len(arguments.models) == len(MODELS):
        head = [
            "# Start-up",
            "",
            f"`python benchmarks/engine/startup.py`, {os.cpu_count()} cores, seconds, medians of {arguments.rounds}",
            "",
        ]
        (HERE / "startup.md").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
