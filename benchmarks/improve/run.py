"""What `improve` promises, measured: speed, pure noise, repair of planted faults, and other searches beside it.

    python benchmarks/improve/run.py speed              # 12 changes, 8 seeds, 700 epochs on Auto MPG, all compiled anew
    python benchmarks/improve/run.py noise --limit 20   # 20 more studies of pure noise; goes on where it stopped
    python benchmarks/improve/run.py repair --folder build/faults --limit 10   # 10 more faulty trainings
    python benchmarks/improve/run.py rivals --folder build/faults --limit 2    # 2 more; needs pip install optuna
    python benchmarks/improve/run.py table              # writes benchmarks/improve/table.md from what was measured

`speed` trains every arm to its end (no racing), so that 12 changes are 67,200 epochs beside the baseline's 5,600.
`noise` draws inputs and a target that have nothing to do with one another; a study is wrong where it says improved.
`repair` mends trainings of the fault lab's scored datasets (`goodfit lab faults --out build/faults` makes the folder)
and compares with their healthy twins. `rivals` searches the same changes at random and with Optuna's TPE, at equal
steps.
Models of other kinds, edited or refused by name, are `tests/api/test_improving.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
AUTO_MPG = HERE.parent.parent / "examples" / "auto-mpg.csv"
CHANGES = (
    "raise-learning-rate", "lower-learning-rate", "add-dropout", "add-l2", "wider-layers", "narrower-layers",
    "silu-activation", "early-stopping", "larger-batches", "deeper-network", "add-batch-normalization",
    "clip-gradients",
)  # fmt: skip
STUDIES = 400
PROGRAMS = 60
"""Compiled programs that studies of noise share at most: each maps memory, which a process may do so often only."""


def _known() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def _keep(results: dict[str, Any]) -> None:
    part = RESULTS.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1) + "\n")
    part.replace(RESULTS)


def _network(features: int) -> Any:
    import keras

    names = ("first", "second", "output")  # of their own: studies share programs by the layers' names too
    units = zip((64, 64, 1), ("relu", "relu", None), names, strict=True)
    layers = [keras.layers.Dense(width, activation, name=name) for width, activation, name in units]
    model = keras.Sequential([keras.Input((features,), name="inputs"), *layers], name="network")
    model.compile("adam", "mse")
    return model


def speed() -> None:
    """Seconds from importing goodfit to the end of the search."""
    with tempfile.TemporaryDirectory() as empty:
        os.environ["GOODFIT_CACHE"] = empty
        began = time.perf_counter()
        from goodfit import tables
        from goodfit.api.changes import chosen
        from goodfit.api.improving import proof_of
        from goodfit.improvement import Budget
        from goodfit.values import silent

        table = tables.read(AUTO_MPG)
        found = tables.inspect(table, "mpg", drop=("name",) if "name" in table.frame else ())
        _, dataset = tables.prepare(table, found, tables.split(table, found))
        data = (dataset.x, dataset.y)
        proof = proof_of(
            _network(data[0].shape[1]), data, (None, None), None, 0.2, "loss", 32, 700, None, 0, None, silent
        )
        listed, _ = chosen(CHANGES)
        ladder = proof.search(range(8), budget=Budget(), changes=listed, most=None, rounds=1, racing=False)
        seconds = time.perf_counter() - began
    epochs = 700 * 8 * (len(ladder.trials) - 1)
    print(f"{seconds:.1f} s: {len(ladder.trials) - 1} changes, {epochs:,} epochs, {ladder.steps:,} steps")
    _keep(_known() | {"speed": {"seconds": seconds, "changes": len(ladder.trials) - 1, "epochs": epochs}})


def noise(limit: int) -> None:
    """So many more studies of targets that are noise."""
    import jax
    import numpy as np

    from goodfit.api.improving import proof_of
    from goodfit.improvement import Budget
    from goodfit.values import silent

    results, programs = _known(), {}
    done = results.setdefault("noise", [])
    for number in range(len(done), min(len(done) + limit, STUDIES)):
        draw = np.random.default_rng([number, 6])
        data = draw.normal(size=(200, 5)).astype("float32"), draw.normal(size=200).astype("float32")
        stopping = 5 if number % 2 else None
        proof = proof_of(_network(5), data, (None, None), None, 0.2, "loss", 32, 20, stopping, 0, None, silent)
        if len(programs) > PROGRAMS:
            programs.clear()
            jax.clear_caches()
        proof.rows.programs.update(programs)  # all studies have rows of one shape: nothing is compiled twice
        ladder = proof.search(range(8), budget=Budget(), changes=None, most=None, rounds=3)
        programs.update(proof.rows.programs)
        kept = [trial.change.name for trial in ladder.trials if trial.kept and trial.change]
        promising = sum("resh seeds" in trial.note for trial in ladder.trials)
        done.append({"number": number, "kept": kept, "promising": promising, "improved": ladder.improved})
        _keep(results)
        print(number, "improved" if ladder.improved else "", promising, *kept, flush=True)


def table() -> None:
    """What was measured, as a table."""
    results = _known()
    lines = ["# improve", ""]
    if "speed" in results:
        made = results["speed"]
        lines.append(
            f"- speed: {made['changes']} changes, 8 seeds, 700 epochs on Auto MPG ({made['epochs']:,} epochs), cold:"
            f" {made['seconds']:.0f} s on 2 cores"
        )
    if results.get("noise"):
        done = results["noise"]
        wrong, kept = sum(one["improved"] for one in done), sum(bool(one["kept"]) for one in done)
        promising = sum(bool(one["promising"]) for one in done)
        lines.append(
            f"- pure noise: improved in {wrong} of {len(done)} studies; a change was promising in {promising}, and kept"
            f" in {kept}"
        )
    if results.get("repair"):
        import repair

        lines += repair.lines(results["repair"])
    if results.get("rivals"):
        import rivals

        lines += rivals.lines(results["rivals"])
        rivals.draw(results["rivals"], HERE / "rivals.png")
    (HERE / "table.md").write_text("\n".join([*lines, ""]))


def of_the_lab(what: str, folder: Path, limit: int) -> None:
    """So many more trainings of the fault lab, mended, or searched in other ways too."""
    import importlib

    importlib.import_module(what).run(folder, limit, _known(), _keep)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "noise", "repair", "rivals", "table"))
    parser.add_argument("--limit", type=int, default=STUDIES)
    parser.add_argument("--folder", type=Path, default=HERE.parent.parent / "build" / "faults")
    given = parser.parse_args()
    if given.what in ("repair", "rivals"):
        of_the_lab(given.what, given.folder, given.limit)
    else:
        {"speed": speed, "noise": lambda: noise(given.limit), "table": table}[given.what]()


if __name__ == "__main__":
    main()
