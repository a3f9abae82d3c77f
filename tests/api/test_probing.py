"""`goodfit.diagnose(…, probe=True)`: model and rows from wherever they are, and findings that rest on measurement."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV

import goodfit
from goodfit.api import probing
from goodfit.errors import InputError


def rows(count: int = 240) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(count, 3)).astype("float32")
    return x, (x @ [1.0, -2.0, 0.5] + 0.1 * draw.normal(size=count)).astype("float32") / 2.3


def network(rate: float) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model


@pytest.fixture(scope="module")
def slow() -> goodfit.FitResult:
    """A network whose learning rate is far too low."""
    x, y = rows()
    return goodfit.fit(network(1e-4), x, y, epochs=30, validation_split=0.25, verbose=0)


def test_a_learning_rate_that_is_too_low_is_found_and_the_model_stays(slow) -> None:
    before = [w.tobytes() for w in slow.model.get_weights()]
    told = []
    answer = goodfit.diagnose(slow, probe=True, report=told.append)
    assert answer.found[0].slug == "learning-rate-too-low"
    assert [w.tobytes() for w in slow.model.get_weights()] == before
    assert {p.stage for p in told} >= {"probe headroom", "probe learning-rate", "probe rows"}
    assert goodfit.diagnose(slow).finding("learning-rate-too-low").status == "not-applicable"


def test_what_it_proposes_works(slow) -> None:
    x, y = rows()
    better = goodfit.fit(network(1e-3), x, y, epochs=30, validation_split=0.25, verbose=0)
    assert better.history["val_loss"][-1] < 0.95 * slow.history["val_loss"][-1]


def test_headroom_is_scikit_learns(slow) -> None:
    x, y = rows()
    cut = 180
    run, dataset = probing.probed(slow.run, slow.model, slow.arguments, lambda _: None)
    assert dataset is not None
    assert dataset.task == "regression"
    assert len(dataset.train) == cut
    held_out = y[cut:].astype(float)
    known = run.measurements
    assert known["chance_loss"] == pytest.approx(np.mean((held_out - y[:cut].mean()) ** 2), rel=1e-5)
    linear = RidgeCV(alphas=np.logspace(-3, 3, 13)).fit(x[:cut].astype(float), y[:cut].astype(float))
    assert known["linear_loss"] == pytest.approx(np.mean((linear.predict(x[cut:]) - held_out) ** 2), rel=1e-3)
    boosting = HistGradientBoostingRegressor(random_state=0).fit(x[:cut], y[:cut])
    assert known["boosting_loss"] == pytest.approx(np.mean((boosting.predict(x[cut:]) - held_out) ** 2), rel=1e-3)
    assert run.provenance["probes"][0]["probe"] == "inference-mode"
    assert np.isfinite(known["initial_loss"])


def test_every_way_of_saying_which_model_and_rows() -> None:
    x, y = rows()
    model = network(0.01)
    history = model.fit(x, y, epochs=6, validation_split=0.25, verbose=0)
    held_out = (x[180:], y[180:])
    for what in (
        history,
        model,
        goodfit.FitResult.of(goodfit.Run.from_history(history.history), get_model=lambda: model),
    ):
        answer = goodfit.diagnose(what, x[:180], y[:180], validation_data=held_out, probe=True)
        assert answer.finding("learning-rate-too-low").status != "not-applicable"
        assert answer.finding("unscaled-inputs").status == "clear"
    assert goodfit.diagnose(history, x, y, validation_split=0.25).finding("unscaled-inputs").status == "clear"


def test_a_model_that_was_never_trained() -> None:
    x, y = rows()
    answer = goodfit.diagnose(network(0.01), x, y, validation_split=0.25, probe=True)
    assert answer.finding("cannot-overfit-small-sample").status == "clear"


def test_a_table_job(tmp_path) -> None:
    import pandas as pd

    x, y = rows()
    frame = pd.DataFrame({**{f"x{i}": x[:, i] for i in range(3)}, "y": y})
    study = goodfit.train(frame, "y", seeds=2, epochs=20)
    answer = goodfit.diagnose(study, probe=True)
    assert answer.finding("learning-rate-too-high").status in ("clear", "found")
    study.save(tmp_path / "run")
    with pytest.raises(InputError, match="no rows"):
        goodfit.diagnose(goodfit.load(tmp_path / "run"), probe=True)


@pytest.mark.parametrize("form", ["codes", "column", "one-hot"])
def test_classes_in_any_form_are_a_dataset(form: str) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 2))
    codes = np.digitize(x[:, 0], [-0.5, 0.5])
    y = {"codes": codes, "column": codes[:, None], "one-hot": np.eye(3)[codes]}[form]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "softmax")])
    loss = keras.losses.CategoricalCrossentropy() if form == "one-hot" else "sparse_categorical_crossentropy"
    model.compile("sgd", loss)
    dataset = probing.dataset_of(model, {"x": x, "y": y, "validation_data": (x[:20], y[:20])})
    assert dataset is not None
    assert dataset.task == "multiclass"
    np.testing.assert_array_equal(dataset.y[:60], codes)
    assert len(dataset.validation) == 20


def test_no_dataset_where_the_rows_are_none() -> None:
    model = network(0.1)
    x, y = rows()
    for given in ({"x": [x, x], "y": y}, {"x": {"a": x}, "y": y}, {"x": x, "y": np.ones((240, 2))}, {"x": x}):
        assert probing.dataset_of(model, given) is None
    model.compile("sgd", lambda a, b: keras.ops.mean((a - b) ** 4))
    assert probing.dataset_of(model, {"x": x, "y": y}) is None


def test_a_log_has_no_model_to_probe() -> None:
    with pytest.raises(InputError, match="no model to probe"):
        goodfit.diagnose({"loss": [1.0, 0.5]}, probe=True)


def test_smoothed_labels_are_not_compared_with_baselines() -> None:
    """Perfect predictions have a loss of 0.39 with a fifth of the label spread over three classes, 0.36 of chance."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(240, 3)).astype("float32")
    y = keras.utils.to_categorical(np.argmax(x, axis=1), 3)
    for share in (0.0, 0.2):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(3, "softmax")])
        model.compile(keras.optimizers.Adam(0.01), keras.losses.CategoricalCrossentropy(label_smoothing=share))
        fitted = goodfit.fit(model, x, y, epochs=40, validation_split=0.25, verbose=0)
        answer = goodfit.diagnose(fitted, probe=True)
        assert "cannot-overfit-small-sample" not in [finding.slug for finding in answer.found]
        assert answer.verdict != "underfitting"
