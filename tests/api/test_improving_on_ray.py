"""`improve` on a local Ray cluster gives the study that it gives here, to the bit, also where a worker is lost."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import goodfit
from goodfit.errors import InputError

pytestmark = pytest.mark.slow

L = keras.layers
CHANGES = ("adam-optimizer", "add-dropout")


def rows(count=160):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(count, 3)).astype("float32")
    return x, (x[:, 0] * x[:, 1] + x[:, 2]).astype("float32")


def network():
    """With adapted weights, and code that is not Keras's own."""

    class Times(L.Layer):
        def __init__(self, factor, **more):
            super().__init__(**more)
            self.factor = factor

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    adapted = L.Normalization()
    adapted.adapt(rows()[0] * 2)
    hidden = L.Dense(16, "relu", kernel_initializer="orthogonal")
    model = keras.Sequential([keras.Input((3,)), adapted, Times(1.5), hidden, L.Lambda(lambda x: x + 0.0), L.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    return model


def ray_processes():
    """Those of Ray's workers that train, by their number."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"ray::_Worker"):
                found.append(int(folder.name))
    return found


def equal(one, other):
    assert [t.change and t.change.name for t in one.trials] == [t.change and t.change.name for t in other.trials]
    for a, b in zip(one.trials, other.trials, strict=True):
        assert a.comparison == b.comparison
        assert (a.note, a.steps, a.kept) == (b.note, b.steps, b.kept)
        for name, values in a.run.curves.items():
            np.testing.assert_array_equal(values, b.run.curves[name])
    assert one.gain == other.gain
    assert one.scores == other.scores
    assert one.about["steps"] == other.about["steps"]


@pytest.mark.usefixtures("local_ray")
def test_a_model_is_improved_to_the_same_bits_though_a_worker_is_killed(tmp_path):
    x, y = rows()
    given = {"epochs": 5, "seeds": 4, "rounds": 1, "changes": CHANGES, "test_data": (x[:40], y[:40])}
    here = goodfit.improve(network(), x, y, **given)
    killed = []

    def report(progress):
        if progress.stage == "diagnose" and not killed:
            killed.extend(ray_processes()[:1])
            os.kill(killed[0], signal.SIGKILL)

    there = goodfit.improve(network(), x, y, on="ray", out=tmp_path, name="study", report=report, **given)
    assert killed
    equal(here, there)
    for one, other in zip(here.best_model.get_weights(), there.best_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(list((tmp_path / "study.trials").glob("*.npz"))) >= 4  # the halves of the baseline, and of the changes
    again = goodfit.improve(network(), x, y, out=tmp_path, name="study", overwrite=True, **given)  # found, not trained
    equal(here, again)


@pytest.mark.usefixtures("local_ray")
def test_what_fails_there_fails_as_it_does_here():
    x, y = rows()

    class Fragile(L.Layer):
        def __init__(self, most=16, **more):
            super().__init__(**more)
            self.most = most

        def call(self, x, training=False):
            if training and x.shape[-1] > self.most:
                raise ValueError(f"more than {self.most} inputs")
            return x

        def get_config(self):
            return {**super().get_config(), "most": self.most}

    def model():
        made = keras.Sequential([keras.Input((3,)), L.Dense(12, "relu"), Fragile(name="fragile"), L.Dense(1)])
        made.compile("sgd", "mse")
        return made

    given = {"epochs": 3, "seeds": 2, "rounds": 1, "changes": ("wider-layers",)}
    here, there = goodfit.improve(model(), x, y, **given), goodfit.improve(model(), x, y, on="ray", **given)
    assert [name for name, _ in here.refused] == ["wider-layers ×2"]
    assert here.refused == there.refused
    equal(here, there)


@pytest.mark.usefixtures("local_ray")
def test_a_function_is_called_there():
    def descend(learning_rate, epochs, seed):
        weight, losses = np.random.default_rng(seed).normal(), []
        for _ in range(epochs):
            weight -= learning_rate * 2 * weight
            losses.append(weight**2)
        return {"loss": losses, "val_loss": losses}

    given = {"settings": {"learning_rate": 0.01, "epochs": 20}, "seeds": 4, "rounds": 1}
    equal(goodfit.improve(descend, **given), goodfit.improve(descend, on="ray", **given))


def test_the_command_finds_the_cluster(local_ray, tmp_path):
    x, y = rows()
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y}).to_csv(tmp_path / "rows.csv", index=False)
    goodfit.train(tmp_path / "rows.csv", "y", seeds=2, epochs=6, out=tmp_path, name="first")
    made = []
    for on in ("local", "ray"):
        command = [
            *(sys.executable, "-m", "goodfit", "improve", str(tmp_path / "first"), "--seeds", "4", "--rounds", "1"),
            *("--changes", "more-epochs", "--json", "-q", "--on", on, "--out", str(tmp_path / on)),
        ]
        address = local_ray.get_runtime_context().gcs_address
        done = subprocess.run(command, env={**os.environ, "RAY_ADDRESS": address}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        made.append(json.loads(done.stdout))
    assert made[0]["trials"] == made[1]["trials"]
    assert made[0]["test"] == made[1]["test"]


def test_where_there_is_no_cluster(monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    x, y = rows()
    with pytest.raises(InputError, match="no Ray cluster is found"):
        goodfit.improve(network(), x, y, epochs=2, on="ray")
