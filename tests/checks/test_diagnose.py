"""`diagnose`: a verdict on anything, on real trainings the right one, and quickly."""

from __future__ import annotations

import subprocess
import sys
import time
import typing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from goodfit.checks import Case, all_checks, check, diagnose
from goodfit.checks.case import clear
from goodfit.values import Diagnosis, Run, Verdict

VERDICTS = typing.get_args(Verdict)


def assert_whole(answer: Diagnosis) -> None:
    """One verdict with a reason; every check has answered, in order, each found one with evidence."""
    assert answer.verdict in VERDICTS
    assert answer.reason.strip()
    assert {f.slug for f in answer.findings} == {c.slug for c in all_checks()}
    order = [["found", "clear", "not-applicable"].index(f.status) for f in answer.findings]
    assert order == sorted(order)
    for finding in answer.findings:
        assert finding.message.strip()
        assert (finding.severity == "none") == (finding.status != "found")
        if finding.status == "found":
            assert finding.evidence
            assert finding.changes
    again = Diagnosis.from_dict(answer.to_dict())
    assert [f.slug for f in again.findings] == [f.slug for f in answer.findings]


numbers = st.one_of(
    st.floats(),
    st.floats(0, 3),
    st.sampled_from([0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324]),
)
NAMES = [("loss", "val_loss"), ("loss",), ("val_loss",), ("accuracy", "val_accuracy"), ("mse", "val_mse"), ("foo",), ()]


@st.composite
def any_run(draw):
    names = draw(st.sampled_from(NAMES))
    seeds, epochs = draw(st.integers(1, 4)), draw(st.integers(0, 24))
    curves = {
        name: np.array(draw(st.lists(numbers, min_size=seeds * epochs, max_size=seeds * epochs))).reshape(seeds, epochs)
        for name in names
    }
    known = draw(
        st.dictionaries(st.sampled_from(["chance_loss", "linear_loss", "boosting_loss", "initial_loss"]), numbers)
    )
    outcome = st.sampled_from(["finished", "finished", "stopped", "interrupted", "diverged", "nonfinite"])
    return Run(
        curves,
        np.array(draw(st.lists(st.integers(0, 30), min_size=epochs, max_size=epochs)))
        if draw(st.booleans())
        else np.arange(epochs),
        seeds=tuple(range(seeds)),
        outcomes=tuple(draw(st.lists(outcome, min_size=seeds, max_size=seeds))),
        kept_epoch=np.array(draw(st.lists(st.integers(-1, 25), min_size=seeds, max_size=seeds)))
        if draw(st.booleans())
        else None,
        measurements=known,
        unit=draw(st.sampled_from(["epoch", "step"])),
    )


@settings(max_examples=400, deadline=None)
@given(any_run())
def test_any_curves_get_a_verdict(run):
    assert_whole(diagnose(run))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 300), st.integers(1, 8), st.floats(0, 0.5), st.floats(0.5, 200))
def test_smooth_or_noisy_falls_get_a_verdict_in_any_unit(draw, epochs, seeds, noise, time_constant):
    generator = np.random.default_rng(draw)
    t = np.arange(epochs)
    curves = {
        name: (floor + np.exp(-t / time_constant)) * np.exp(noise * generator.normal(size=(seeds, epochs)))
        for name, floor in (("loss", 0.1), ("val_loss", 0.15))
    }

    def verdict(unit):
        scaled = {name: values * unit for name, values in curves.items()}
        known = {"chance_loss": 1.1 * unit}
        run = Run(scaled, t, tuple(range(seeds)), ("finished",) * seeds, measurements=known)
        answer = diagnose(run)
        assert_whole(answer)
        return answer.verdict

    assert verdict(1.0) == verdict(2.0**-20) == verdict(2.0**20)


def test_no_curves_at_all():
    answer = diagnose(Run({}, np.zeros(0)))
    assert answer.verdict == "insufficient-evidence"
    assert "log the loss" in answer.reason


def test_one_epoch():
    answer = diagnose(Run.from_history({"loss": [1.0], "val_loss": [1.0]}))
    assert answer.verdict == "insufficient-evidence"


def test_a_check_is_one_function():
    @check("always-clear")
    def always_clear(case):
        return clear("always-clear", f"{len(case.run.epoch)} epochs.")

    assert always_clear(Case(Run.from_history({"loss": [1.0, 2.0]}))).message == "2 epochs."


def test_ten_thousand_epochs_in_fifty_milliseconds():
    t = np.arange(10_000)
    draw = np.random.default_rng(0)
    curve = (0.1 + np.exp(-t / 1000)) * np.exp(0.05 * draw.normal(size=(2, 10_000)))
    run = Run.from_history({"loss": curve[0], "val_loss": curve[1]})
    diagnose(run)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        diagnose(run)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def test_diagnosing_needs_neither_keras_nor_pandas_nor_scipy():
    code = (
        "import sys; from goodfit.logs import read; from goodfit.checks import diagnose;"
        "run, = read({'loss': [1 / (1 + i) for i in range(50)], 'val_loss': [1.0] * 50});"
        "print(diagnose(run).verdict);"
        "print([m for m in ('keras', 'jax', 'pandas', 'scipy', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.split("\n")[1] == "[]"


# --- real trainings: scikit-learn's networks, one epoch at a time ------------------------------------------------


def split(x, y, rows=None):
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.3, random_state=0)
    x, y = x[:rows], y[:rows]
    scaler = StandardScaler().fit(x)
    return scaler.transform(x), y, scaler.transform(x_val), y_val


def regression(x, y, epochs, rows=None, **network):
    x, y, x_val, y_val = split(x, y, rows)
    mean, scale = y.mean(), y.std()
    y, y_val = (y - mean) / scale, (y_val - mean) / scale
    histories = []
    for seed in range(4):
        model = MLPRegressor(random_state=seed, batch_size=32, alpha=0.0, **network)
        history = []
        for _ in range(epochs):
            model.partial_fit(x, y)
            history.append([np.mean((model.predict(a) - b) ** 2) for a, b in ((x, y), (x_val, y_val))])
        histories.append(history)
    linear = np.mean((LinearRegression().fit(x, y).predict(x_val) - y_val) ** 2)
    boosting = np.mean((HistGradientBoostingRegressor(random_state=0).fit(x, y).predict(x_val) - y_val) ** 2)
    known = {"chance_loss": np.mean(y_val**2), "linear_loss": linear, "boosting_loss": boosting}
    return whole(histories, known)


def classification(x, y, epochs, rows=None, **network):
    x, y, x_val, y_val = split(x, y, rows)
    classes = np.unique(y)
    histories = []
    for seed in range(4):
        model = MLPClassifier(random_state=seed, batch_size=32, alpha=0.0, **network)
        history = []
        for _ in range(epochs):
            model.partial_fit(x, y, classes=classes)
            history.append([log_loss(b, model.predict_proba(a), labels=classes) for a, b in ((x, y), (x_val, y_val))])
        histories.append(history)
    shares = np.tile(np.bincount(y) / len(y), (len(y_val), 1))
    return whole(histories, {"chance_loss": log_loss(y_val, shares, labels=classes)})


def whole(histories, known):
    curves = np.array(histories)
    run = Run(
        {"loss": curves[:, :, 0], "val_loss": curves[:, :, 1]},
        np.arange(curves.shape[1]),
        seeds=(0, 1, 2, 3),
        outcomes=("finished",) * 4,
        measurements={name: float(value) for name, value in known.items()},
    )
    first = Run({name: values[:1] for name, values in run.curves.items()}, run.epoch)
    return run, first


REAL = {
    "balanced": lambda: classification(
        *datasets.load_breast_cancer(return_X_y=True), 40, hidden_layer_sizes=(16,), learning_rate_init=0.003
    ),
    "overfitting": lambda: regression(
        *datasets.load_diabetes(return_X_y=True), 120, rows=80, hidden_layer_sizes=(128,), learning_rate_init=0.01
    ),
    "unfinished": lambda: classification(
        *datasets.load_digits(return_X_y=True), 8, hidden_layer_sizes=(32,), learning_rate_init=0.0003
    ),
    "underfitting": lambda: regression(
        *datasets.make_friedman1(400, noise=0.5, random_state=0), 80, hidden_layer_sizes=(1,), learning_rate_init=0.01
    ),
    "not-learning": lambda: classification(
        *datasets.load_wine(return_X_y=True), 30, hidden_layer_sizes=(16, 16), learning_rate_init=1e-8
    ),
}


@pytest.mark.parametrize("verdict", REAL)
def test_real_trainings(verdict):
    run, first = REAL[verdict]()
    answer = diagnose(run)
    assert_whole(answer)
    assert answer.verdict == verdict, answer.reason
    alone = diagnose(first)  # one seed and nothing but its two curves
    expected = {"underfitting": {"balanced", "insufficient-evidence"}}.get(verdict, {verdict})
    assert alone.verdict in expected, alone.reason


def test_what_the_remedy_does_agrees():
    """Twice the epochs gain about what the unfinished run promised."""
    longer, _ = classification(
        *datasets.load_digits(return_X_y=True), 16, hidden_layer_sizes=(32,), learning_rate_init=0.0003
    )
    half = Run({n: v[:, :8] for n, v in longer.curves.items()}, np.arange(8), longer.seeds, longer.outcomes)
    promised = diagnose(half).finding("unfinished").evidence[0].value
    val = longer.curves["val_loss"]
    assert promised == pytest.approx(np.median(1 - val[:, -1] / val[:, 7]), abs=0.15)
