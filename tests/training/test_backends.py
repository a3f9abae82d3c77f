"""Keras on another backend, and on several devices: each in a process of its own, because Keras reads these once."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from goodfit.training import program
from goodfit.training.child import numpy_state


def run(code, tmp_path, **environment):
    """The last line that a script prints, as JSON, and what it wrote to standard error."""
    clean = {k: v for k, v in os.environ.items() if k not in ("KERAS_BACKEND", "KERAS_HOME", "XLA_FLAGS")}
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "GOODFIT_TEST_OUT": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **home, **environment}, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


CHOICE = """
import json, os, sys
import goodfit
assert "keras" not in sys.modules and "jax" not in sys.modules
print(json.dumps(os.environ.get("KERAS_BACKEND")))
"""


@pytest.mark.parametrize(
    ("variable", "file", "chosen"),
    [
        (None, None, "jax"),
        ("torch", None, "torch"),
        ("tensorflow", '{"backend": "torch"}', "tensorflow"),
        (None, '{"floatx": "float32",\n "backend": "torch"}', None),  # left to the file
        (None, '{"backend": "tensorflow"}', "jax"),  # as Keras writes it by itself
        (None, '{"backend": "jax"}', None),
        (None, "{not json", "jax"),
        ("", '{"backend": "torch"}', ""),  # Keras takes an empty variable for none
        ("", None, "jax"),
    ],
)
@pytest.mark.parametrize("where", ["home", "KERAS_HOME"])
def test_the_backend_is_jax_unless_another_was_chosen(tmp_path, variable, file, chosen, where):
    folder = tmp_path / (".keras" if where == "home" else "elsewhere")
    folder.mkdir()
    if file is not None:
        (folder / "keras.json").write_text(file)
    given = {} if variable is None else {"KERAS_BACKEND": variable}
    if where != "home":
        given["KERAS_HOME"] = str(folder)
    assert run(CHOICE, tmp_path, **given)[0] == chosen


WHICH = """
import json, goodfit, keras
print(json.dumps(keras.backend.backend()))
"""


@pytest.mark.parametrize(
    ("code", "file", "backend"),
    [
        (WHICH, None, "jax"),
        pytest.param(WHICH, '{"backend": "torch"}', "torch", marks=pytest.mark.slow),
        pytest.param("import keras" + WHICH, '{"backend": "torch"}', "torch", marks=pytest.mark.slow),
    ],
)
def test_keras_follows(tmp_path, code, file, backend):
    (tmp_path / ".keras").mkdir()
    if file:
        (tmp_path / ".keras" / "keras.json").write_text(file)
    assert run(code, tmp_path)[0] == backend


ON_TORCH = """
import json, os
import goodfit, keras, numpy as np, torch
from goodfit.training.child import numpy_state

def network():
    keras.utils.set_random_seed(5)
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(),
        keras.layers.Dropout(rate), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), "mse", metrics=["mae"])
    return model

rate = 0.2
draws = np.random.default_rng(0)
x = draws.normal(size=(60, 6)).astype("float32")
y = (x[:, :1] * x[:, 1:2]).astype("float32")
given = dict(epochs=4, batch_size=16, validation_split=0.25, verbose=0)
out = {}

stock = network()
history = stock.fit(x, y, **given)
ours = network()
result = goodfit.fit(ours, x, y, **given)
again = goodfit.fit(network(), torch.tensor(x), torch.tensor(y), **given)
out["auto"] = dict(
    same_history=result.history == history.history == again.history,
    same_weights=all(np.array_equal(a, b) for a, b in zip(stock.get_weights(), ours.get_weights())),
    engine=result.engine, reason=result.engine_reason, verdict=result.diagnosis.verdict,
    params=result.params == history.params)

# With no shuffle and no dropout, the two backends do the same arithmetic.
rate = 0.0
given["shuffle"] = False
stock = network()
history = stock.fit(x, y, **given)
near = network()
result = goodfit.fit(near, x, y, **given, engine="jax")
out["near"] = dict(
    history=[history.history, result.history],
    weights=max(float(np.abs(a - b).max()) for a, b in zip(stock.get_weights(), near.get_weights())),
    iterations=int(near.optimizer.iterations), kind=type(near.layers[0].kernel.value).__module__)

# From the same state, JAX itself must come to the same bits.
rate = 0.2
given["shuffle"] = True
exact = network()
before = numpy_state(exact)
np.random.seed(11)
result = goodfit.fit(exact, torch.tensor(x), y, **given, engine="jax", callbacks=[
    keras.callbacks.EarlyStopping(patience=9, restore_best_weights=True)])
out["exact"] = dict(history=result.history, engine=result.engine, reason=result.engine_reason,
    draw=float(np.random.random()), predicted=exact.predict(x, verbose=0).tolist())
after = numpy_state(exact)
np.savez(os.path.join(os.environ["GOODFIT_TEST_OUT"], "state.npz"), x=x, y=y,
    **{f"before/{g}/{i}": v for g, group in enumerate(before) for i, v in enumerate(group)},
    **{f"after/{g}/{i}": v for g, group in enumerate(after) for i, v in enumerate(group)})
exact.fit(x, y, **given)  # goes on, on torch
out["iterations"] = int(exact.optimizer.iterations)
print(json.dumps(out))
"""


@pytest.mark.slow
def test_a_model_on_torch(tmp_path):
    out, errors = run(ON_TORCH, tmp_path, KERAS_BACKEND="torch")
    auto = out["auto"]
    assert (auto["same_history"], auto["same_weights"], auto["params"]) == (True, True, True)
    assert auto["engine"] == "keras"
    assert "torch backend" in auto["reason"]
    assert auto["verdict"] == "insufficient-evidence"
    hints = [line for line in errors.splitlines() if "KERAS_BACKEND=jax" in line]
    assert len(hints) == 1, errors
    assert 'engine="jax"' in hints[0]

    stock, ours = out["near"]["history"]
    assert list(stock) == list(ours)
    for name, values in stock.items():
        np.testing.assert_allclose(ours[name], values, rtol=2e-5, err_msg=name)
    assert out["near"]["weights"] < 1e-4
    assert out["near"]["iterations"] == 12
    assert out["near"]["kind"].startswith("torch")

    saved = np.load(tmp_path / "state.npz")
    here = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    here.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), "mse", metrics=["mae"])
    for g, group in enumerate(program.variables(here)[:2]):  # the optimizer begins with zeros on both
        for i, variable in enumerate(group):
            variable.assign(saved[f"before/{g}/{i}"].astype(variable.dtype))
    np.random.seed(11)
    stopping = keras.callbacks.EarlyStopping(patience=9, restore_best_weights=True)
    history = here.fit(
        saved["x"], saved["y"], epochs=4, batch_size=16, validation_split=0.25, verbose=0, callbacks=[stopping]
    )
    assert out["exact"]["engine"] == "compiled"
    assert "EarlyStopping" in out["exact"]["reason"]
    assert history.history == out["exact"]["history"]
    assert np.random.random() == out["exact"]["draw"]
    for g, group in enumerate(numpy_state(here)):
        for i, value in enumerate(group):
            told = saved[f"after/{g}/{i}"]
            np.testing.assert_array_equal(value, told.astype(value.dtype), err_msg=f"{g}/{i}")
    np.testing.assert_allclose(out["exact"]["predicted"], here.predict(saved["x"], verbose=0), rtol=1e-5, atol=1e-5)
    assert out["iterations"] == 24


TWO_DEVICES = """
import json
import goodfit, jax, keras, numpy as np
from goodfit.training.child import numpy_state

def network():
    keras.utils.set_random_seed(5)
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.2), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model

def same(one, other):
    return all(np.array_equal(a, b) for g, h in zip(numpy_state(one), numpy_state(other)) for a, b in zip(g, h))

draws = np.random.default_rng(0)
x = draws.normal(size=(64, 6)).astype("float32")
y = (x[:, :1] * x[:, 1:2]).astype("float32")
given = dict(epochs=3, batch_size=16, validation_split=0.25, verbose=0)
out = {"devices": len(keras.distribution.list_devices())}
keras.distribution.set_distribution(keras.distribution.DataParallel())
stock = network()
history = stock.fit(x, y, **given)
ours = network()
result = goodfit.fit(ours, x, y, **given)
out["distributed"] = dict(same=same(stock, ours), history=result.history == history.history, engine=result.engine,
    reason=result.engine_reason, held_by=len(ours.layers[0].kernel.value.sharding.device_set))
keras.distribution.set_distribution(None)
stock = network()
history = stock.fit(x, y, **given)
ours = network()
result = goodfit.fit(ours, x, y, **given)
out["alone"] = dict(same=same(stock, ours), history=result.history == history.history, engine=result.engine)
print(json.dumps(out))
"""


def test_a_distribution_over_two_devices_is_respected(tmp_path):
    out, _ = run(TWO_DEVICES, tmp_path, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert out["devices"] == 2
    assert out["distributed"] == {
        "same": True,
        "history": True,
        "engine": "keras",
        "reason": "a keras.distribution is set",
        "held_by": 2,
    }
    assert out["alone"] == {"same": True, "history": True, "engine": "compiled"}
