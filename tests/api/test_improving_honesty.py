"""`improve` where numbers misbehave: what is not finite, below zero, damaged, changed or fails late."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import goodfit
from goodfit.api.improving_function import source_of
from goodfit.errors import InputError
from goodfit.values._told import told_of

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 4)).astype("float32")
Y = (X[:, :1] - X[:, 1:2]).astype("float32")


def curves(value: float, epochs: int = 3) -> dict[str, list[float]]:
    return {"loss": [value] * epochs, "val_loss": [value] * epochs}


def searched(train: Any, rounds: int = 1, **more: Any) -> goodfit.Study:
    return goodfit.improve(train, **{"settings": {"learning_rate": 1e-3}, "seeds": 4, "rounds": rounds, **more})


def kept(study: goodfit.Study) -> list[str]:
    return [trial.change.label for trial in study.trials if trial.kept and trial.change]


def test_a_change_after_which_nothing_is_finite_is_never_kept() -> None:
    study = searched(lambda seed, learning_rate: curves(3 + seed / 100 if learning_rate < 2e-3 else np.nan))
    assert kept(study) == []
    assert not study.improved


def test_a_change_that_cures_a_diverged_baseline_is_kept() -> None:
    study = searched(lambda seed, learning_rate: curves(3 + seed / 100 if learning_rate < 5e-4 else np.nan))
    assert study.improved
    assert len(kept(study)) == 1


@pytest.mark.parametrize("start", [-10.0, -0.1, 0.05])
def test_endpoints_below_zero_are_improved_and_told_without_shares(start: float) -> None:
    def train(seed: int, learning_rate: float) -> dict[str, list[float]]:
        return curves(start - 200 * learning_rate + seed / 1000)

    study = searched(train)
    assert study.improved
    assert 0 < study.gain.gain <= 1
    assert "nan" not in str(study)
    assert "removes" not in str(study)
    assert "lowers the val_loss" in str(study)


def test_what_fails_on_fresh_seeds_is_taken_back() -> None:
    def train(seed: int, learning_rate: float) -> dict[str, list[float]]:
        if seed >= 4 and learning_rate > 2e-3:
            raise RuntimeError("no memory")
        return curves(5 / (1 + 1000 * learning_rate) + seed / 1000)

    study = searched(train)
    assert kept(study) == []
    assert any("On fresh seeds it failed: RuntimeError: no memory" in trial.note for trial in study.trials)


@pytest.mark.parametrize("budget", [1600, 4000])
def test_a_functions_budget_is_counted_in_epochs(budget: int) -> None:
    trained = []

    def train(seed: int, learning_rate: float, epochs: int) -> dict[str, list[float]]:
        trained.append(epochs)
        return curves(1 / (1 + 100 * learning_rate) + seed / 1000, epochs)

    study = searched(train, settings={"learning_rate": 1e-3, "epochs": 100}, budget=budget)
    assert sum(trained) <= budget
    assert study.about["steps"] == sum(trained)
    with pytest.raises(InputError, match="Give at least 1,600 steps"):
        searched(train, settings={"learning_rate": 1e-3, "epochs": 100}, budget=100)


def test_whole_numbers_below_zero_are_multiplied_as_they_are() -> None:
    study = searched(lambda seed, level: curves(abs(level + 9) + 1 + seed / 100), settings={"level": -3})
    assert {trial.run.recipe.preparation["level"] for trial in study.trials} == {-3, -9, -1}
    assert kept(study) == ["more-level ×3"]


class Above:
    def __init__(self, level: float) -> None:
        self.level = level
        self.rows = np.arange(5000.0)

    def __call__(self, seed: int, learning_rate: float) -> dict[str, list[float]]:
        return curves(self.level + learning_rate + seed / 1000 + self.rows.mean())


def test_what_a_function_is_bound_to_is_part_of_what_it_is(tmp_path: Path) -> None:
    one, other = Above(1.0), Above(1.0)
    assert source_of(one) == source_of(other)
    other.rows[2500] = 7.0  # NumPy's repr does not show it
    assert source_of(one) != source_of(other)
    assert source_of(Above(2.0)) != source_of(one)
    assert source_of(one.__call__) == source_of(Above(1.0).__call__) != source_of(other.__call__)
    rows = np.arange(5000.0)
    assert source_of(lambda: rows) != source_of(lambda: rows + 1)
    assert source_of(functools.partial(one.__call__, 1)) != source_of(functools.partial(one.__call__, 2))
    assert told_of({"a": object()}) == told_of({"a": object()})  # addresses tell nothing
    first = searched(one, out=tmp_path)
    assert first.trials[0].comparison is None
    with pytest.raises(InputError, match="code was"):
        searched(other, out=tmp_path, overwrite=True)


def test_a_function_may_hold_and_return_tensors() -> None:
    """As a PyTorch loop does: parameters that need gradients, losses that nobody called `.item()` of."""
    torch = pytest.importorskip("torch")
    held = [torch.nn.Linear(3, 1), torch.ones(2, dtype=torch.bfloat16)]

    def train(seed: int, learning_rate: float) -> dict[str, list[Any]]:
        assert len(held) == 2
        loss = torch.tensor(1.0 + seed / 100, requires_grad=True)
        return {"val_loss": [loss * 2, loss * learning_rate]}

    before = source_of(train)
    study = searched(train)
    assert study.trials[0].run.curves["val_loss"].shape[1] == 2
    with torch.no_grad():
        held[0].weight += 1
    assert source_of(train) != before
    with pytest.raises(InputError, match="Linear is a PyTorch module"):
        goodfit.improve(held[0], settings={"learning_rate": 0.1})


def test_a_damaged_trial_is_trained_again(tmp_path: Path) -> None:
    def train(seed: int, learning_rate: float) -> dict[str, list[float]]:
        return curves(1 + 10 * learning_rate + seed / 100)

    first = searched(train, out=tmp_path)
    draw = np.random.default_rng(0)
    files = sorted((tmp_path / "study.trials").glob("*.npz"))
    assert files
    for turn in range(12):
        for file in files:
            content = bytearray(file.read_bytes())
            content[int(draw.integers(len(content)))] ^= 0xFF
            file.write_bytes(bytes(content) if turn % 2 else bytes(content)[: len(content) // 2])
        again = searched(train, out=tmp_path, overwrite=True)
        assert str(again) == str(first)


def model(units: int = 1, activation: str | None = None, loss: Any = "mse", optimizer: Any = "adam") -> keras.Model:
    made = keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), L.Dense(units, activation)])
    made.compile(optimizer, loss)
    return made


@pytest.mark.parametrize("loss", ["binary_crossentropy", "hinge", "poisson"])
def test_only_quantities_are_standardized(loss: str) -> None:
    study = goodfit.improve(
        model(1, "sigmoid", loss), X, (Y > 0).astype("float32"), epochs=2, seeds=2, rounds=1,
        changes=["standardize-target"],
    )  # fmt: skip
    assert study.refused[0][0] == "standardize-target"
    assert "is no distance" in study.refused[0][1]


def test_the_error_rate_of_signed_labels_is_told_apart_at_zero() -> None:
    labels = np.where(Y > 0, 1.0, -1.0).astype("float32")
    study = goodfit.improve(
        model(1, "tanh", "hinge", keras.optimizers.Adam(0.01)), X, labels, metric="error_rate", epochs=20, seeds=2,
        rounds=1, changes=1, test_data=(X, labels),
    )  # fmt: skip
    predicted = study.best_model.predict(X, verbose=0)
    assert study.test[0].value == pytest.approx(float(np.mean((predicted > 0) != (labels > 0))), abs=1e-6)
    with pytest.raises(InputError, match="a hinge loss gives none"):
        goodfit.improve(model(1, "tanh", "hinge"), X, labels, metric="log_loss", epochs=2, seeds=2)


def test_the_squared_error_of_class_numbers_is_that_of_their_indicators() -> None:
    labels = np.digitize(Y[:, 0], [-0.5, 0.5])
    study = goodfit.improve(
        model(3, "softmax", "sparse_categorical_crossentropy"), X, labels, metric="mse", epochs=5, seeds=2, rounds=1,
        changes=1, test_data=(X, labels),
    )  # fmt: skip
    predicted = study.best_model.predict(X, verbose=0)
    assert study.test[0].value == pytest.approx(float(((predicted - np.eye(3)[labels]) ** 2).mean()), rel=1e-5)


class Power(keras.losses.Loss):
    def __init__(self, power: float = 2.0) -> None:
        super().__init__()
        self.power = power

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(y_true - y_pred) ** self.power, axis=-1)


def test_a_loss_that_does_not_tell_its_arguments_is_refused() -> None:
    with pytest.raises(InputError, match="the loss Power takes power, which its get_config does not tell"):
        goodfit.improve(model(loss=Power(4.0)), X, Y, epochs=2, seeds=2)


class Halving(keras.optimizers.SGD):
    """An optimizer of the user's own."""


def test_an_own_optimizer_is_compiled_anew_for_every_trial() -> None:
    study = goodfit.improve(
        model(optimizer=Halving(0.01)), X, Y, epochs=3, seeds=2, rounds=1, changes=["raise-learning-rate"]
    )
    assert [trial.change.name for trial in study.trials[1:] if trial.change] == ["raise-learning-rate"]
    assert isinstance(study.best_model.optimizer, Halving)


def test_layers_within_wrappers_find_their_shapes_anew() -> None:
    layers = [L.Reshape((4, 1)), L.LSTM(4, return_sequences=True), L.TimeDistributed(L.Dense(1))]
    made = keras.Sequential([keras.Input((4,)), *layers])
    made.compile("adam", "mse")
    study = goodfit.improve(made, X, X[..., None], epochs=2, seeds=2, rounds=1, changes=["wider"])
    assert [trial.change.name for trial in study.trials[1:] if trial.change] == ["wider-layers"]


def test_raw_inputs_beside_a_raw_target_are_mended_together():
    """Prices of houses as they come: to standardize either alone makes it worse."""
    rng = np.random.default_rng(0)
    x = rng.normal([1e4, 0, 500, 0.01], [3e3, 1, 100, 0.005], (400, 4)).astype("float32")
    z = (x - x.mean(0)) / x.std(0)
    y = (2e5 + 4e4 * (z[:, 0] + z[:, 1] * z[:, 2]) + 5e3 * rng.normal(size=400)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    alone = ["standardize-inputs", "standardize-target"]
    study = goodfit.improve(
        model, x, y, epochs=40, seeds=4, rounds=1, changes=[*alone, "standardize-inputs-and-target"]
    )
    tried = {trial.change.name: trial for trial in study.trials if trial.change}
    assert all(not tried[name].kept for name in alone if name in tried)
    assert tried["standardize-inputs-and-target"].kept
    assert study.improved
    predicted = study.best_model.predict(x, verbose=0)[:, 0]
    assert np.mean((predicted - y) ** 2) < 0.5 * y.var()  # in the target's own units
    asked = [change.name for finding in study.trials[0].diagnosis.found for change in finding.changes]
    assert "standardize-inputs-and-target" in asked
