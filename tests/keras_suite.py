"""Keras's own tests, which ship in its wheel, with `fit` replaced by goodfit's, against stock Keras on this machine.

    python tests/keras_suite.py                              the files that train most
    python tests/keras_suite.py keras.src.models.model_test  only these

Each test must end as it does with stock Keras. It is said how many fits ran compiled, and why the others did not. Exits
1 where a test ended differently, or where no fit ran compiled.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

MODULES = (
    "keras.src.trainers.trainer_test",
    "keras.src.backend.jax.trainer_test",
    "keras.src.callbacks.backup_and_restore_test",
    "keras.src.callbacks.callback_test",
    "keras.src.callbacks.csv_logger_test",
    "keras.src.callbacks.early_stopping_test",
    "keras.src.callbacks.lambda_callback_test",
    "keras.src.callbacks.learning_rate_scheduler_test",
    "keras.src.callbacks.model_checkpoint_test",
    "keras.src.callbacks.monitor_callback_test",
    "keras.src.callbacks.reduce_lr_on_plateau_test",
    "keras.src.callbacks.remote_monitor_test",
    "keras.src.callbacks.swap_ema_weights_test",
    "keras.src.callbacks.terminate_on_nan_test",
    "keras.src.models.model_test",
    "keras.src.models.functional_test",
    "keras.src.optimizers.optimizer_test",
    "keras.src.optimizers.adam_test",
    "keras.src.optimizers.multi_optimizer_test",
    "keras.src.optimizers.schedules.learning_rate_schedule_test",
    "keras.src.metrics.confusion_metrics_test",
    "keras.src.metrics.iou_metrics_test",
    "keras.src.layers.core.dense_test",
    "keras.src.layers.core.embedding_test",
    "keras.src.layers.normalization.batch_normalization_test",
    "keras.src.layers.rnn.lstm_test",
    "keras.src.layers.rnn.gru_test",
    "keras.src.layers.convolutional.conv_test",
    "keras.src.layers.regularization.dropout_test",
)
_COUNTS = "GOODFIT_KERAS_SUITE"


def pytest_configure(config):  # noqa: ARG001
    """As a plugin of the replaced run: put goodfit's `fit` in the place of Keras's."""
    if not os.environ.get(_COUNTS):
        return
    from keras.src.backend.jax.trainer import JAXTrainer

    from goodfit.training import engine, keras_internals

    stock = JAXTrainer.fit
    counts = collections.Counter()

    def fit(self, *arguments, **named):
        result = engine.fit(self, *arguments, **named, checks="off")
        counts[result.engine if result.engine != "keras" else f"keras: {result.engine_reason}"] += 1
        Path(os.environ[_COUNTS]).write_text(json.dumps(counts))
        return self.history

    JAXTrainer.fit = fit
    keras_internals.own_fit = lambda model: stock.__get__(model)


def run(modules: list[str], folder: Path, counts: Path | None) -> dict[str, str]:
    """Run the tests of these modules: test -> how it ended."""
    report = folder / f"{'goodfit' if counts else 'stock'}.xml"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(__file__).parent)}
    environment[_COUNTS] = str(counts or "")
    quiet = ["-q", "-c", os.devnull, "-p", "no:cacheprovider", "--continue-on-collection-errors", "-W", "ignore"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *quiet,
        "-p",
        "keras_suite",
        f"--junitxml={report}",
        "--pyargs",
        *modules,
    ]
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False)
    ended = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag: (child.get("message") or "").split("\n")[0] for child in case}
        outcome = next(
            (f"{kind}: {kinds[kind]}" for kind in ("failure", "error", "skipped") if kind in kinds), "passed"
        )
        ended[f"{case.get('classname')}::{case.get('name')}"] = outcome
    return ended


def main() -> int:
    """Run both, print the differences and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(MODULES))
    modules = parser.parse_args().modules
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = folder / "counts.json"
        stock, ours = run(modules, folder, None), run(modules, folder, counts)
        engines = json.loads(counts.read_text()) if counts.exists() else {}
    different = [test for test in sorted({*stock, *ours}) if stock.get(test) != ours.get(test)]
    for test in different:
        print(f"DIFFERENT {test}\n    stock:   {stock.get(test)}\n    goodfit: {ours.get(test)}")
    kinds = collections.Counter(outcome.split(":")[0] for outcome in stock.values())
    print(f"{len(stock)} tests, {len(different)} different; stock: {dict(kinds)}")
    print(f"{sum(engines.values())} fits returned:")
    for engine, count in sorted(engines.items(), key=lambda item: -item[1]):
        print(f"  {count:5d}  {engine}")
    compiled = sum(count for engine, count in engines.items() if not engine.startswith("keras"))
    return 1 if different or not compiled else 0


if __name__ == "__main__":
    sys.exit(main())
