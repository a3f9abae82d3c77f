"""Programs: made once, never stale, kept on disk; what the result says."""

import os
import subprocess
import sys
import textwrap

import jax
import keras
import numpy as np
import pytest
from keras import layers

from goodfit.training import engine, persistent_cache


def model(width=8):
    made = keras.Sequential([keras.Input((6,)), layers.Dense(width, activation="relu"), layers.Dense(1)])
    made.compile("adam", "mse", metrics=["mae"])
    return made


@pytest.fixture
def compilations(monkeypatch):
    """How often XLA was asked to compile a chunk."""
    counted = []
    compile_chunk = jax.stages.Lowered.compile

    def counting(self, *arguments, **named):
        counted.append(self)
        return compile_chunk(self, *arguments, **named)

    monkeypatch.setattr(jax.stages.Lowered, "compile", counting)
    return counted


def test_one_compilation_whatever_the_number_of_epochs(rows, compilations):
    x, y = rows()
    made = model()
    for epochs in (50, 3, 2, 700):
        engine.fit(made, x, y, epochs=epochs, verbose=0)
    made.optimizer.learning_rate = 0.5
    engine.fit(made, x + 1, y, epochs=5, verbose=0)
    made.set_weights([np.zeros(w.shape) for w in made.weights])
    engine.fit(made, x, y, epochs=5, verbose=0)
    assert len(compilations) == 1


@pytest.mark.parametrize("change", ["compile", "rows", "batch", "validation", "optimizer", "dtype"])
def test_a_change_makes_a_new_program(rows, compilations, change):
    x, y = rows()
    made = model()
    arguments = {"epochs": 3, "verbose": 0}
    engine.fit(made, x, y, **arguments)
    if change == "compile":
        made.compile("sgd", "mae")
    if change == "rows":
        x, y = rows(40)
    if change == "batch":
        arguments["batch_size"] = 7
    if change == "validation":
        arguments["validation_split"] = 0.5
    if change == "optimizer":
        made.optimizer = keras.optimizers.SGD(0.1)
    if change == "dtype":
        x = (10 * x).astype("int32")
    engine.fit(made, x, y, **arguments)
    assert len(compilations) == 2


def test_the_programs_go_with_the_model(rows):
    import gc
    import weakref

    made = model()
    engine.fit(made, *rows(), epochs=2, verbose=0)
    reference = weakref.ref(made)
    del made
    keras.utils.clear_session()
    gc.collect()
    assert reference() is None


def test_the_result_says_what_happened(rows):
    x, y = rows()
    result = engine.fit(model(), x, y, epochs=3, validation_split=0.2, verbose=0)
    assert set(result.history) == {"loss", "mae", "val_loss", "val_mae"}
    assert all(isinstance(value, float) for values in result.history.values() for value in values)
    assert result.epoch == [0, 1, 2]
    assert result.params == {"verbose": 0, "epochs": 3, "steps": 2}
    assert (result.engine, result.outcome) == ("compiled", "finished")
    assert 0 < result.compile_seconds < result.seconds


def test_a_loss_that_is_not_finite(rows):
    x, y = rows()
    made = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
    made.compile(keras.optimizers.SGD(1e30), "mse")
    result = engine.fit(made, x, y, epochs=5, verbose=0, checks="off")
    assert result.outcome == "nonfinite"
    assert len(result.epoch) == 5


def test_stopped_by_a_callback(rows):
    stop = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=10)
    result = engine.fit(model(), *rows(), epochs=50, verbose=0, callbacks=[stop])
    assert (result.engine, result.outcome, len(result.epoch)) == ("compiled", "stopped", 2)


SCRIPT = """
    import os, sys, time
    os.environ["KERAS_BACKEND"] = "jax"
    import keras, numpy as np, jax
    from goodfit.training import engine
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    x = np.random.default_rng(0).normal(size=(100, 5)).astype("float32")
    seconds = 0.0
    compile_chunk = jax.stages.Lowered.compile
    def timed(self, *a, **k):
        global seconds
        began = time.perf_counter()
        made = compile_chunk(self, *a, **k)
        seconds += time.perf_counter() - began
        return made
    jax.stages.Lowered.compile = timed
    result = engine.fit(model, x, x[:, :1], epochs=20, validation_split=0.2, verbose=0)
    print(result.engine, seconds, result.history["val_loss"][-1], jax.config.jax_compilation_cache_dir)
"""


def run_script(folder, count=1):
    environment = {**os.environ, "GOODFIT_CACHE": str(folder)}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error::UserWarning", "-c", textwrap.dedent(SCRIPT)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    outputs = [process.communicate(timeout=200) for process in started]
    for out, err in outputs:
        assert out, err
    return [out.split() for out, _ in outputs]


def entries(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_another_process_finds_the_program_and_two_may_share_the_folder(tmp_path):
    first = run_script(tmp_path, count=2)
    assert entries(tmp_path)
    (second,) = run_script(tmp_path)
    assert {line[0] for line in (*first, second)} == {"compiled"}
    assert len({line[2] for line in (*first, second)}) == 1
    assert {line[3] for line in (*first, second)} == {"None"}  # JAX's own setting is as it was
    assert float(second[1]) < 0.5 * min(float(line[1]) for line in first)


@pytest.mark.slow
def test_a_broken_entry_is_compiled_anew(tmp_path):
    (whole,) = run_script(tmp_path)
    for path in entries(tmp_path):
        path.write_bytes(path.read_bytes()[:100])
    (again,) = run_script(tmp_path)
    assert again[2] == whole[2]
    assert all(path.stat().st_size != 100 for path in entries(tmp_path))


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GOODFIT_CACHE", str(tmp_path))
    where = persistent_cache.folder()
    assert where is not None
    assert where.parent == tmp_path
    assert jax.__version__ in where.name
    monkeypatch.setenv("GOODFIT_CACHE", "off")
    assert persistent_cache.folder() is None
    monkeypatch.delenv("GOODFIT_CACHE")
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "the user's"))
    try:
        assert persistent_cache.folder() is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_old_entries_are_removed(tmp_path, monkeypatch):
    for number in range(4):
        path = tmp_path / f"{number}"
        path.write_bytes(b"0" * 100)
        os.utime(path, (number, number))
    monkeypatch.setattr(persistent_cache, "SIZE_BYTES", 250)
    persistent_cache._prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_how_much_the_folder_holds_is_looked_at_seldom(tmp_path, monkeypatch):
    monkeypatch.setenv("GOODFIT_CACHE", str(tmp_path))
    looked = []
    monkeypatch.setattr(persistent_cache, "_prune", looked.append)
    for _ in range(persistent_cache.PRUNED_EVERY + 1):
        with persistent_cache.persistent_cache():
            pass
    assert looked == [persistent_cache.folder()] * 2
