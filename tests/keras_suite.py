"""Keras's own tests, which ship in its wheel, with `fit` replaced by goodfit's, against stock Keras on this machine.

    python tests/keras_suite.py                              every test file that trains; writes tests/keras_suite.md
    python tests/keras_suite.py --quick                      the files that train most, within some six minutes
    python tests/keras_suite.py --kept /tmp/suite            goes on where it was broken off: results are kept there
    python tests/keras_suite.py keras.src.models.model_test  only these

Each test must end as it does with stock Keras; as it does in one of five runs, where the first ends otherwise (a few
train on weights drawn by chance, and check what comes of it). It is said how many fits ran compiled, and why the others
did not.

Keras trains a layer in its tests for one step on a generator, which goodfit leaves to Keras's own loop. There, the same
batch is given once more, as arrays, to both: two epochs of goodfit's `fit` and of Keras's own from the same state must
leave the same history and the same variables, to the last bit or (convolutions in another layout) to rounding.

Exits 1 where a test ended differently, or where no fit ran compiled.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

QUICK = (
    "keras.src.trainers.trainer_test",
    "keras.src.backend.jax.trainer_test",
    "keras.src.callbacks.early_stopping_test",
    "keras.src.callbacks.reduce_lr_on_plateau_test",
    "keras.src.callbacks.swap_ema_weights_test",
    "keras.src.callbacks.terminate_on_nan_test",
    "keras.src.callbacks.csv_logger_test",
    "keras.src.callbacks.lambda_callback_test",
    "keras.src.callbacks.learning_rate_scheduler_test",
    "keras.src.models.model_test",
    "keras.src.models.functional_test",
    "keras.src.optimizers.adam_test",
    "keras.src.optimizers.lion_test",
    "keras.src.optimizers.schedules.learning_rate_schedule_test",
    "keras.src.distillation.distiller_test",
    "keras.src.layers.normalization.batch_normalization_test",
    "keras.src.layers.regularization.dropout_test",
)
_ANSWER = "GOODFIT_KERAS_SUITE"
_SECONDS = 3000
"""That the tests of one folder may take."""
ROUNDING = 1e-4
"""Relative difference that another layout of convolutions may make in two steps."""


# The plugin of the replaced run ---------------------------------------------------------------------------------------


def pytest_configure(config):
    """Put goodfit's `fit` in the place of Keras's; count what ran, by test file."""
    if not os.environ.get(_ANSWER):
        return
    from keras.src.backend.jax.trainer import JAXTrainer

    from goodfit.training import engine, keras_internals

    stock = JAXTrainer.fit
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    config.goodfit_counts = counts
    keras_internals.own_fit = lambda model: stock.__get__(model)

    def fit(self, *arguments, **named):
        file = os.environ.get("PYTEST_CURRENT_TEST", "").split("::")[0]
        result = engine.fit(self, *arguments, **named, checks="off")
        counts[file][result.engine if result.engine != "keras" else f"keras: {result.engine_reason}"] += 1
        if named == {"steps_per_epoch": 1, "verbose": 0} and len(arguments) == 1 and hasattr(arguments[0], "send"):
            found = _compare_on_arrays(self, next(arguments[0]), engine.fit, stock)
            counts[file][found] += 1
        return self.history

    JAXTrainer.fit = fit


def pytest_sessionfinish(session):
    """Write the counts to where they are looked for."""
    counts = getattr(session.config, "goodfit_counts", None)
    if counts is not None:
        Path(os.environ[_ANSWER]).write_text(json.dumps(counts))


def _compare_on_arrays(model, batch, ours, stock) -> str:
    """Train on a batch as arrays in both ways, from the same state; how they compare, or an `AssertionError`."""
    import keras
    import numpy as np

    from goodfit.training import program

    variables = [variable for group in program.variables(model) for variable in group]
    start, random = [np.asarray(v.value) for v in variables], np.random.get_state()
    ends = []
    for train in (stock, ours):
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        np.random.set_state(random)
        try:
            rows = len(keras.tree.flatten(batch)[0])
            result = train(
                model, *batch, batch_size=rows, epochs=2, verbose=0, **({} if train is stock else _UNCHECKED)
            )
        except (ValueError, TypeError, AttributeError, NotImplementedError):
            if train is stock:
                return "array: not arrays of as many rows"
            raise
        if train is ours and result.engine == "keras":
            return f"array: keras: {result.engine_reason}"
        curves = [np.asarray(curve) for _, curve in sorted(result.history.items())]
        ends.append([*curves, *(np.asarray(v.value) for v in variables)])
    if all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(*ends, strict=True)):
        return "array: equal bits"
    for one, other in zip(*ends, strict=True):
        scale = max(1.0, float(np.abs(one.astype("float64")).max(initial=0)))
        np.testing.assert_allclose(other.astype("float64"), one.astype("float64"), ROUNDING, ROUNDING * scale)
    return "array: equal to rounding"


_UNCHECKED = {"checks": "off"}


# The two runs ---------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """What came of the tests of some modules.

    Args:
        tests: how many there are.
        stock: outcome -> how many, in stock Keras.
        failures: why tests fail in stock Keras, here -> how many.
        different: test -> its end in stock Keras, and in goodfit's run.
        engines: way of training -> fits.
    """

    tests: int = 0
    stock: collections.Counter = field(default_factory=collections.Counter)
    failures: collections.Counter = field(default_factory=collections.Counter)
    different: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    engines: collections.Counter = field(default_factory=collections.Counter)

    @classmethod
    def read(cls, text: str) -> Result:
        """What was written as JSON."""
        told = json.loads(text)
        counters = {name: collections.Counter(told.get(name)) for name in ("stock", "failures", "engines")}
        return cls(told["tests"], different=told["different"], **counters)

    def compiled(self) -> int:
        """Fits that ran compiled."""
        return sum(count for engine, count in self.engines.items() if engine.startswith("compiled"))

    def by_keras(self) -> int:
        """Fits that ran on Keras's own loop."""
        return sum(count for engine, count in self.engines.items() if engine.startswith("keras"))

    def add(self, other: Result) -> None:
        """Count another's too."""
        self.tests += other.tests
        self.stock.update(other.stock)
        self.failures.update(other.failures)
        self.different.update(other.different)
        self.engines.update(other.engines)


_AGAIN = 4
"""How often stock Keras runs the tests again, where some ended otherwise with goodfit."""
_PASSING = re.compile(re.escape(tempfile.gettempdir()) + r"/tmp\w+|0x[0-9a-f]+")
"""Names of temporary files and addresses, which no two runs have in common."""


def run(modules: list[str], folder: Path, counts: Path | None) -> dict[str, str]:
    """Run the tests of these modules: test -> how it ended."""
    report = folder / f"{'goodfit' if counts else 'stock'}.xml"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(__file__).parent)}
    environment[_ANSWER] = str(counts or "")
    if all(".jax." in module for module in modules):  # tests of distributions want several devices
        environment.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    options = ["-q", "-c", os.devnull, "-W", "ignore", "--continue-on-collection-errors", f"--junitxml={report}"]
    plugins = ["-p", "no:cacheprovider", "-p", "keras_suite"]
    command = [sys.executable, "-m", "pytest", *options, *plugins, "--pyargs", *modules]
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False, timeout=_SECONDS)
    ended = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag: (child.get("message") or "").split("\n")[0] for child in case}
        outcome = next(
            (f"{kind}: {kinds[kind]}" for kind in ("failure", "error", "skipped") if kind in kinds), "passed"
        )
        name = f"{case.get('classname')}::{case.get('name')}"
        ended[_PASSING.sub("…", name)] = _PASSING.sub("…", outcome)
    return ended


def compare(modules: list[str]) -> Result:
    """Run the tests of these modules in both ways."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = folder / "counts.json"
        stock, ours = run(modules, folder, None), run(modules, folder, counts)
        engines: collections.Counter = collections.Counter()
        for of_file in json.loads(counts.read_text()).values():
            engines.update(of_file)
        different = {
            test: (stock.get(test), ours.get(test))
            for test in sorted({*stock, *ours})
            if stock.get(test) != ours.get(test)
        }
        for _ in range(_AGAIN):
            if not different:
                break
            again = run(modules, folder, None)
            different = {test: ends for test, ends in different.items() if again.get(test) != ends[1]}
    return Result(
        tests=len(stock),
        stock=collections.Counter(outcome.split(":")[0] for outcome in stock.values()),
        failures=collections.Counter(one[:120] for one in stock.values() if one.startswith(("failure", "error"))),
        different=different,
        engines=engines,
    )


def groups() -> dict[str, list[str]]:
    """Every test file in Keras's wheel that trains, by folder."""
    spec = importlib.util.find_spec("keras")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent / "src"
    found: dict[str, list[str]] = collections.defaultdict(list)
    for file in sorted(root.rglob("*_test.py")):
        text = file.read_text(encoding="utf-8")
        if ".fit(" in text or "run_layer_test(" in text:
            parts = file.relative_to(root).with_suffix("").parts
            found["/".join(parts[:-1])].append(".".join(("keras", "src", *parts)))
    return dict(found)


def describe(result: Result) -> str:
    """What a person reads of it."""
    lines = [
        f"DIFFERENT {test}\n    stock:   {one}\n    goodfit: {other}" for test, (one, other) in result.different.items()
    ]
    lines.append(f"{result.tests} tests, {len(result.different)} different; stock: {dict(result.stock)}")
    lines += [f"  {count:5d}  stock {reason}" for reason, count in result.failures.most_common(5)]
    lines += [f"  {count:5d}  {engine}" for engine, count in result.engines.most_common()]
    return "\n".join(lines)


HEAD = "| test files in keras/src | tests | passed in stock | ended differently | compiled | Keras's loop | {} |"
ARRAYS = ("equal bits", "equal to rounding")


def table(results: dict[str, Result]) -> str:
    """The table of all groups, as Markdown."""
    total = Result()
    for result in results.values():
        total.add(result)
    head = HEAD.format(" | ".join(f"on arrays, {kind}" for kind in ARRAYS))
    lines = [f"Keras {version('keras')}'s own tests with `fit` replaced: `python tests/keras_suite.py`.", ""]
    lines += [head, "|---|" + "--:|" * (head.count("|") - 2)]
    for name, result in [*results.items(), ("**all**", total)]:
        figures = [result.tests, result.stock["passed"], len(result.different), result.compiled(), result.by_keras()]
        figures += [result.engines[f"array: {kind}"] for kind in ARRAYS]
        lines.append(f"| {name} | " + " | ".join(map(str, figures)) + " |")
    missing = [name for name in groups() if name not in results]
    if missing:
        lines += ["", f"Not run: {', '.join(missing)}."]
    lines += ["", "Why fits were left to Keras's own loop:", "", "| fits | reason |", "|--:|---|"]
    for engine, count in total.engines.most_common():
        if engine.startswith("keras: "):
            lines.append(f"| {count} | {engine.removeprefix('keras: ')} |")
    lines += ["", "Batches of a layer's test that were not trained on as arrays:", "", "| fits | reason |", "|--:|---|"]
    for engine, count in total.engines.most_common():
        if engine.startswith("array: ") and engine.removeprefix("array: ") not in ARRAYS:
            lines.append(f"| {count} | {engine.removeprefix('array: ')} |")
    return "\n".join(lines) + "\n"


def _kept(folder: Path, name: str) -> Path:
    return folder / f"{name.replace('/', '-')}.json"


def main() -> int:
    """Run both, print the differences and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--quick", action="store_true", help="the files that train most")
    parser.add_argument("--groups", nargs="*", help="only these folders of keras/src")
    parser.add_argument("--kept", type=Path, help="a folder for the results of each folder of keras/src")
    arguments = parser.parse_args()
    chosen = arguments.modules or (QUICK if arguments.quick else ())
    todo = {"chosen": list(chosen)} if chosen else groups()
    if arguments.groups:
        todo = {name: modules for name, modules in todo.items() if name in arguments.groups}
    results = {}
    for name, modules in todo.items():
        print(f"{name}: {len(modules)} files", flush=True)
        kept = _kept(arguments.kept, name) if arguments.kept else None
        if kept is not None and kept.exists():
            results[name] = Result.read(kept.read_text(encoding="utf-8"))
        else:
            results[name] = compare(modules)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(vars(results[name])), encoding="utf-8")
        print(describe(results[name]), flush=True)
    if not chosen and (arguments.kept or not arguments.groups):
        if arguments.kept:
            files = {name: _kept(arguments.kept, name) for name in groups()}
            results = {n: Result.read(f.read_text(encoding="utf-8")) for n, f in files.items() if f.exists()}
        Path(__file__).with_suffix(".md").write_text(table(results), encoding="utf-8")
    different = sum(len(result.different) for result in results.values())
    compiled = sum(result.compiled() for result in results.values())
    print(f"{different} different, {compiled} fits compiled")
    return 1 if different or not compiled else 0


if __name__ == "__main__":
    sys.exit(main())
