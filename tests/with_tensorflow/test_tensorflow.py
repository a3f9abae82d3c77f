"""Beside TensorFlow, in an environment that has it: tf.data, TensorBoard's own writer, models on TensorFlow's backend.

`.ci/run` makes that environment and runs this folder in it: `pytest -m tensorflow tests/with_tensorflow`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import goodfit

pytestmark = [
    pytest.mark.tensorflow,
    # TensorFlow's own, and Keras's of every stream whose length it can't know
    pytest.mark.filterwarnings("default"),
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
]
DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(60, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


def network():
    keras.utils.clear_session()  # names of layers count on
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def values(model):
    return [np.asarray(variable.value) for variable in [*model.variables, *model.optimizer.variables]]


@pytest.mark.parametrize("repeated", [False, True])
def test_a_dataset_of_tensorflow(repeated):
    import tensorflow as tf

    ended = []
    for train in (lambda model: model.fit, lambda model: lambda *a, **k: goodfit.fit(model, *a, **k)):
        model = network()
        rows = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(60, seed=3).batch(16)
        steps = {"steps_per_epoch": 3} if repeated else {}
        held = tf.data.Dataset.from_tensor_slices((X[:20], Y[:20])).batch(8)
        result = train(model)(rows.repeat() if repeated else rows, epochs=3, validation_data=held, verbose=0, **steps)
        ended.append((result.history, values(model), getattr(result, "engine", None)))
    (stock, theirs, _), (ours, mine, engine) = ended
    assert engine in ("keras", "stepwise")
    assert stock == ours
    for one, other in zip(theirs, mine, strict=True):
        np.testing.assert_array_equal(one, other)


def test_tensorboard_writes_what_it_writes_for_keras(tmp_path):
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    def written(folder):
        found = []
        for file in sorted(Path(folder).rglob("events.out.tfevents*")):
            for record in tf.data.TFRecordDataset(str(file)):
                event = event_pb2.Event.FromString(record.numpy())
                of_file = [(value.tag, event.step, value.tensor.tensor_content) for value in event.summary.value]
                found += [(file.parent.name, *one) for one in of_file]
        return sorted(found)

    ended = []
    for place, train in enumerate((lambda m, **k: m.fit(X, Y, **k), lambda m, **k: goodfit.fit(m, X, Y, **k))):
        board = keras.callbacks.TensorBoard(str(tmp_path / str(place)), write_graph=False, histogram_freq=1)
        model = network()
        result = train(model, epochs=3, batch_size=16, validation_split=0.25, verbose=0, callbacks=[board])
        ended.append((result.history, values(model), written(tmp_path / str(place)), getattr(result, "engine", None)))
    (stock, theirs, before, _), (ours, mine, after, engine) = ended
    assert engine == "compiled-epoch"
    assert stock == ours
    assert before == after
    assert {tag for _, tag, *_ in after} >= {"epoch_loss", "epoch_mae"}
    for one, other in zip(theirs, mine, strict=True):
        np.testing.assert_array_equal(one, other)


ON_TENSORFLOW = """
import json
import goodfit, keras, numpy as np

def network(rate):
    keras.utils.set_random_seed(5)
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.BatchNormalization(),
        keras.layers.Dropout(rate), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), "mse", metrics=["mae"])
    return model

draws = np.random.default_rng(0)
x = draws.normal(size=(60, 6)).astype("float32")
y = (x[:, :1] * x[:, 1:2]).astype("float32")
given = dict(epochs=4, batch_size=16, validation_split=0.25, verbose=0)
stock, ours = network(0.2), None
history = stock.fit(x, y, **given)
ours = network(0.2)
result = goodfit.fit(ours, x, y, **given)
out = dict(backend=keras.backend.backend(), engine=result.engine, reason=result.engine_reason,
    history=result.history == history.history,
    weights=all(np.array_equal(a, b) for a, b in zip(stock.get_weights(), ours.get_weights())))
# With no shuffle and no dropout, the two backends do the same arithmetic.
given["shuffle"] = False
stock = network(0.0)
history = stock.fit(x, y, **given)
near = network(0.0)
result = goodfit.fit(near, x, y, **given, engine="jax")
out["near"] = dict(history=[history.history, result.history], engine=result.engine,
    weights=max(float(np.abs(a - b).max()) for a, b in zip(stock.get_weights(), near.get_weights())),
    iterations=int(near.optimizer.iterations), kind=type(near.layers[0].kernel.value).__module__)
print(json.dumps(out))
"""


def test_a_model_on_tensorflow(tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ON_TENSORFLOW], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    out = json.loads(done.stdout.splitlines()[-1])
    assert (out["backend"], out["engine"], out["history"], out["weights"]) == ("tensorflow", "keras", True, True)
    assert "tensorflow backend" in out["reason"]
    assert [line for line in done.stderr.splitlines() if "KERAS_BACKEND=jax" in line]
    stock, ours = out["near"]["history"]
    assert list(stock) == list(ours)
    for name, told in stock.items():
        np.testing.assert_allclose(ours[name], told, rtol=2e-5, err_msg=name)
    assert out["near"]["engine"] == "compiled"
    assert out["near"]["weights"] < 1e-4
    assert out["near"]["iterations"] == 12
    assert "tensorflow" in out["near"]["kind"]
