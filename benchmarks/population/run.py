"""Eight seeds in one program against one seed, members' products batched or one member after the other.

    python benchmarks/population/run.py            # writes benchmarks/population/table.md

Auto MPG's training rows, batch 16, two hidden layers, no early stopping, a thread per core. Steady time per epoch of
all members: the difference between a long and a short training, with a program that is compiled before; medians of
seven rounds, interleaved.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any

import goodfit
from goodfit import tables
from goodfit.training import members, networks, population
from goodfit.training.programs import Programs
from goodfit.training.recipes import serialize

HERE = Path(__file__).parent
AUTO_MPG = HERE.parent.parent / "examples" / "auto-mpg.csv"
SHORT, LONG, ROUNDS = 26, 2026, 7
WAYS: dict[str, tuple[int, float]] = {"one seed": (1, 0), "8, in turn": (8, 0), "8, batched": (8, float("inf"))}


def seconds(recipe: goodfit.Recipe, dataset: goodfit.Dataset, seeds: int, epochs: int, programs: Programs) -> float:
    """Wall time of a training."""
    asked = recipe.replace(epochs=epochs)
    x, y = dataset.part("train")
    run = population.train(asked, x, y, dataset.part("validation"), range(seeds), programs=programs).run
    return float(run.provenance["train_seconds"])


def main() -> None:
    import keras  # after goodfit, which chooses Keras's JAX backend

    table = tables.read(AUTO_MPG)
    found = tables.inspect(table, "mpg")
    _, dataset = tables.prepare(table, found, tables.split(table, found))
    heads = " | ".join(f"{way}, ms" for way in WAYS)
    lines = [f"| hidden units | weights | {heads} | in turn : one | batched : one |", "|---|---|---|---|---|---|---|"]
    for units in (32, 64, 128):
        layers: list[Any] = [keras.layers.Dense(units, "relu", name=f"hidden_{k}") for k in (1, 2)]
        model = keras.Sequential([keras.Input(dataset.x.shape[1:]), *layers, keras.layers.Dense(1, name="output")])
        recipe = networks.mlp(dataset).replace(model=serialize(model), batch_size=16, early_stopping=None)
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        programs = {way: Programs() for way in WAYS}
        for _ in range(1 + ROUNDS):  # the first compiles
            for way, (seeds, batched_below) in WAYS.items():
                members.BATCHED_WEIGHTS = batched_below  # pyright: ignore[reportAttributeAccessIssue]
                short, long = (seconds(recipe, dataset, seeds, epochs, programs[way]) for epochs in (SHORT, LONG))
                times[way].append(1000 * (long - short) / (LONG - SHORT))
        median = {way: statistics.median(values[1:]) for way, values in times.items()}
        cells = [f"{value:.2f}" for value in median.values()]
        cells += [f"{median[way] / median['one seed']:.1f}" for way in ("8, in turn", "8, batched")]
        lines.append(f"| {units}-{units} | {model.count_params()} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    heading = f"# Eight seeds against one\n\n`python benchmarks/population/run.py`, {os.cpu_count()} cores\n\n"
    cores = os.cpu_count() or 1
    limit = (
        f"\nMembers that run in turn on {cores} cores take {8 / cores:.1f} times as long as one at least where one "
        "keeps a core busy; only\nbatching their products, which pays for small networks, takes less.\n"
    )
    (HERE / "table.md").write_text(heading + "\n".join(lines) + "\n" + limit, encoding="utf-8")


if __name__ == "__main__":
    main()
