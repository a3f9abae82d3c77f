"""Running experiments: each measured, then written as JSON and PNG, all together as one page."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import platform
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from goodfit import __version__
from goodfit.errors import InputError
from goodfit.lab.bench import Bench
from goodfit.lab.experiment import Experiment, Result, experiments
from goodfit.values import Progress, Report, silent

PACKAGES = ("keras", "jax", "numpy")


def choose(names: Sequence[str]) -> tuple[Experiment, ...]:
    """The experiments of these names, in the lab's order; all where none is named.

    Args:
        names: of experiments.

    Raises:
        InputError: an unknown name; the nearest is suggested.

    Example:
        >>> choose(["overfit"])[0].name
        'overfit'
        >>> choose(["overfitt"])
        Traceback (most recent call last):
        goodfit.errors.InputError: the lab has no experiment called 'overfitt'. Did you mean 'overfit'?
    """
    known = {experiment.name: experiment for experiment in experiments()}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            raise InputError(
                f"the lab has no experiment called {name!r}.",
                f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}.",
            )
    return tuple(experiment for name, experiment in known.items() if not names or name in names)


def run(
    names: Sequence[str] = (),
    *,
    data: str | os.PathLike[str] | None = None,
    target: str | None = None,
    epochs: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    report: Report = silent,
) -> dict[str, Result]:
    """Run experiments and say whether each claim held.

    Args:
        names: which; all where empty (with `data`, all that run on a table), but for those whose images or weights are
            not on this machine, which is said.
        data: a table of your own in place of Auto MPG.
        target: its column to predict.
        epochs: a cap on the epochs of every arm.
        seeds: members of every arm, 2 at least; each experiment's own number where `None`.
        seed: the first of them, and the seed of the split.
        out: folder for `<name>.json`, `<name>.png` and `index.html`; nothing is written where `None`.
        report: told how far it has come.

    Returns:
        name -> result.

    Raises:
        InputError: an unknown name, an argument that can't be meant, or a table that can't be used.
    """
    if epochs is not None and epochs < 2:
        raise InputError(f"epochs is {epochs}.", "Give 2 at least.")
    if seeds is not None and seeds < 2:
        raise InputError(f"seeds is {seeds}.", "Give 2 at least: one seed tells nothing of the noise.")
    chosen = choose(names)
    if data is not None:
        others = [experiment.name for experiment in chosen if experiment.data != "table"]
        if names and others:
            raise InputError(
                f"the experiment {others[0]!r} doesn't run on a table.", "Leave out --data, or name other experiments."
            )
        chosen = tuple(experiment for experiment in chosen if experiment.data == "table")
    bench = Bench(data, target, epochs=epochs, seeds=seeds, seed=seed, report=report)
    if any(experiment.data == "table" for experiment in chosen):
        _ = bench.dataset  # a fault of the table is said before anything is trained
    folder = None if out is None else _folder(Path(out))
    results: dict[str, Result] = {}
    drawn: dict[str, Future[bytes]] = {}
    bench.compile_ahead([experiment for experiment in chosen if experiment.data == "table" and experiment.ahead])
    with ThreadPoolExecutor(1) as pool:  # an experiment is drawn while the next one is trained
        for experiment in chosen:
            report(Progress(experiment.name, text=experiment.question))
            try:
                found = measure(experiment, bench)
            except InputError as problem:
                if names or data is not None:
                    raise
                report(Progress(experiment.name, text=f"left out: {problem}", finished=True))  # its data are not here
                continue
            results[experiment.name] = found
            if folder is not None:
                drawn[experiment.name] = pool.submit(write, experiment, found, folder)
            report(Progress(experiment.name, text=f"{found.held}: {found.finding}", finished=True))
    if folder is not None:
        from goodfit.lab.page import page

        named = {experiment: results[experiment.name] for experiment in chosen if experiment.name in results}
        pictures = {name: picture.result() for name, picture in drawn.items()}
        (folder / "index.html").write_text(page(named, bench, pictures), encoding="utf-8")
    return results


def measure(experiment: Experiment, bench: Bench) -> Result:
    """One experiment's result, with what it took."""
    began = time.perf_counter()
    bench.default_seeds, bench.stage = experiment.seeds, experiment.name
    bench.spent.clear()
    found = experiment.measure(bench)
    trained = dict(bench.spent)  # each arm once, also where two names stand for the same
    return dataclasses.replace(
        found,
        recipes={arm.name: arm.recipe.to_dict() for _, arm in bench.spent},
        seeds=len(bench.seeds),
        epochs=found.epochs + sum(arm.epochs for arm in trained.values()),
        seconds=time.perf_counter() - began,
    )


def as_json(experiment: Experiment, result: Result) -> str:
    """An experiment and its result as JSON; numbers that are none stand as text."""
    fields = dataclasses.asdict(experiment)
    fields.pop("measure")
    fields.pop("ahead")
    data = {
        **fields,
        **{key: value for key, value in dataclasses.asdict(result).items() if key != "charts"},
        "charts": [dataclasses.asdict(chart) for chart in result.charts],
        "versions": {"goodfit": __version__, "python": platform.python_version()}
        | {package: metadata.version(package) for package in PACKAGES},
    }
    return json.dumps(_plain(data), indent=1, ensure_ascii=False) + "\n"


def write(experiment: Experiment, result: Result, folder: Path) -> bytes:
    """Write `<name>.json` and `<name>.png` into a folder that is there; the picture, or nothing where there is none."""
    from goodfit.plots.chart import png

    (folder / f"{experiment.name}.json").write_text(as_json(experiment, result), encoding="utf-8")
    picture = png(result.charts) if result.charts else b""
    if picture:
        (folder / f"{experiment.name}.png").write_bytes(picture)
    return picture


def _folder(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file.", "Give the name of a folder.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(f"the folder {path} can't be made ({problem.strerror}).", "Give another path.") from problem
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
