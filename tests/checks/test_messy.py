"""Curves as they really come: noisy, short, smoothed, per step, with gaps, negative, accuracy only."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.checks import diagnose, thresholds
from goodfit.values import Run

EPOCHS = 100
T = np.arange(EPOCHS)


def fall(floor: float = 0.1, time: float = 10.0) -> np.ndarray:
    return floor + (1.0 - floor) * np.exp(-T / time)


def jumps(draw: int) -> np.ndarray:
    return fall(0.3) * np.exp(0.4 * np.random.default_rng(draw).normal(size=EPOCHS))


BLOW_UP = np.where(T < 50, fall(), 0.1 * 1.12 ** (T - 50.0))
TRUTH = {
    "balanced": (fall(0.1), fall(0.12)),
    "overfitting": (fall(0.02), fall(0.25, 6) + 0.004 * T),
    "unfinished": (fall(0.1, 120), fall(0.12, 120)),
    "diverged": (BLOW_UP, BLOW_UP),
    "not-learning": (np.full(EPOCHS, 1.0), np.full(EPOCHS, 1.01)),
    "unstable": (jumps(9), jumps(8)),
}
CLEAR = ("balanced", "overfitting", "unfinished", "diverged")


def noisy(y: np.ndarray, sd: float, generator: np.random.Generator) -> np.ndarray:
    return y * np.exp(sd * generator.normal(size=len(y)))


def smoothed(y: np.ndarray, weight: float) -> np.ndarray:
    """The exponential moving average with its start corrected, as TensorBoard and Weights & Biases draw it."""
    out, average = np.empty_like(y), 0.0
    for i, value in enumerate(y):
        average = weight * average + (1 - weight) * value
        out[i] = average / (1 - weight ** (i + 1))
    return out


def every(k: int):
    def messy(train, validation, g):
        validation = noisy(validation, 0.02, g)
        validation[(T + 1) % k != 0] = np.nan
        return {"loss": noisy(train, 0.02, g), "val_loss": validation}

    return messy


def per_step(train, validation, g):
    steps = np.full(50 * EPOCHS, np.nan)
    steps[49::50] = noisy(validation, 0.02, g)
    return {"loss": noisy(np.repeat(train, 50), 0.3, g), "val_loss": steps}


def shifted(by: float):
    return lambda a, b, g: {"loss": noisy(a, 0.02, g) - by, "val_loss": noisy(b, 0.02, g) - by}


def accuracy(whole: float):
    def messy(train, validation, g):
        curves = (whole - 0.7 * whole * np.clip(noisy(y, 0.02, g), 0, 1) for y in (train, validation))
        return dict(zip(("accuracy", "val_accuracy"), curves, strict=True))

    return messy


def with_gaps(train, validation, g):
    validation = noisy(validation, 0.02, g)
    validation[g.random(EPOCHS) < 0.5] = np.nan
    return {"loss": noisy(train, 0.02, g), "val_loss": validation}


def short(points: int):
    chosen = np.linspace(0, EPOCHS - 1, points).astype(int)
    return lambda a, b, g: {"loss": noisy(a, 0.01, g)[chosen], "val_loss": noisy(b, 0.01, g)[chosen]}


def averaged(weight: float):
    return lambda a, b, g: {
        "loss": smoothed(noisy(a, 0.05, g), weight),
        "val_loss": smoothed(noisy(b, 0.05, g), weight),
    }


FORMS = {
    "noise of 1 %": (lambda a, b, g: {"loss": noisy(a, 0.01, g), "val_loss": noisy(b, 0.01, g)}, tuple(TRUTH)),
    "noise of 6 %": (lambda a, b, g: {"loss": noisy(a, 0.06, g), "val_loss": noisy(b, 0.06, g)}, tuple(TRUTH)),
    "smoothed by 0.6": (averaged(0.6), CLEAR),
    "smoothed by 0.9": (averaged(0.9), CLEAR),
    "every 5th epoch": (every(5), (*CLEAR, "unstable")),
    "every 20th epoch": (every(20), (*CLEAR, "unstable")),
    "per step": (per_step, CLEAR),
    "crossing zero": (shifted(0.5), (*CLEAR, "not-learning")),
    "negative": (shifted(100.0), (*CLEAR, "not-learning")),
    "accuracy": (accuracy(1.0), tuple(TRUTH)),
    "accuracy in percent": (accuracy(100.0), tuple(TRUTH)),
    "gaps in validation": (with_gaps, tuple(TRUTH)),
    "8 epochs": (short(8), tuple(TRUTH)),
}


def run_of(form: str, truth: str, draw: int) -> Run:
    curves = FORMS[form][0](*TRUTH[truth], np.random.default_rng(draw))
    return Run.from_history(curves, unit="step" if form == "per step" else "epoch")


@pytest.mark.parametrize(("form", "truth"), [(form, truth) for form, (_, truths) in FORMS.items() for truth in truths])
def test_the_verdict_survives_the_form(form: str, truth: str) -> None:
    said = [diagnose(run_of(form, truth, draw)).verdict for draw in range(5)]
    assert said == [truth] * 5


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("loss",), "No validation loss was logged.*validation_split=0.2"),
        (("loss", "ce_loss", "val_ce_loss"), "No validation values .* but val_ce_loss: say which belong together"),
        (("val_loss",), "No training loss was logged"),
        ((), "log the loss of each epoch"),
        (("lr", "time"), "log the loss of each epoch"),
    ],
)
def test_what_is_missing_is_asked_for(names, words) -> None:
    answer = diagnose(Run.from_history(dict.fromkeys(names, fall()), epoch=T))
    assert answer.verdict == "insufficient-evidence"
    assert re.search(words, answer.reason)


def test_too_few_values_of_a_validation_are_counted() -> None:
    few = np.where(T[-5] < T, fall(), np.nan)
    answer = diagnose(Run.from_history({"loss": fall(), "val_loss": few}))
    assert "The validation loss was logged 4 times only" in answer.reason


def test_a_training_that_fell_and_came_back_for_good_has_collapsed(make) -> None:
    curve = np.where(T < 50, fall(), 1.0)
    answer = diagnose(make.run(curve, curve))
    assert answer.verdict == "diverged"
    assert "came back to where it started" in answer.reason


@pytest.mark.parametrize("counter", ["goes back", "runs on"])
def test_of_a_log_of_two_trainings_the_last_is_diagnosed(counter, make) -> None:
    epoch = np.tile(T, 2) if counter == "goes back" else np.arange(2 * len(T))
    losses = {"loss": np.tile(fall(), 2), "val_loss": np.concatenate([fall() + T / 400, fall() * 1.05])}
    run = Run.from_history(losses, epoch=epoch)
    answer = diagnose(run)
    assert answer.verdict == "balanced"
    assert "more than one training" in answer.reason
    assert [finding.slug for finding in answer.found] == ["restarted-log"]
    assert make.finding("restarted-log", run).status == "found"
    assert diagnose(Run.from_history({k: v[: len(T)] for k, v in losses.items()})).verdict == "overfitting"


def test_a_steep_fall_is_not_unstable() -> None:
    """Six values of a smooth fall bend strongly, and none of them rises."""
    curve = fall()[[0, 16, 32, 48, 64, 80]]
    assert diagnose(Run.from_history({"loss": curve, "val_loss": 1.1 * curve})).verdict == "balanced"


def test_a_smoothed_plateau_is_less_certain_than_its_steps_are_small() -> None:
    """The error of a level, against the spread of the same level over many draws."""
    from goodfit.checks.reading import read

    for weight in (0.0, 0.6, 0.9):
        levels, errors = [], []
        for draw in range(200):
            y = 1.0 + 0.1 * np.random.default_rng(draw).normal(size=400)
            curve = read(Run.from_history({"loss": smoothed(y, weight) if weight else y})).train[0]
            levels.append(curve.level[150] - curve.level[300])
            errors.append(curve.level_error)
        assert np.median(errors) == pytest.approx(np.std(levels), rel=0.5)


# --- properties --------------------------------------------------------------------------------------------------

draws, truths = st.integers(0, 10**6), st.sampled_from(CLEAR)


def pair(truth: str, draw: int, sd: float = 0.02) -> dict[str, np.ndarray]:
    g = np.random.default_rng(draw)
    return {"loss": noisy(TRUTH[truth][0], sd, g), "val_loss": noisy(TRUTH[truth][1], sd, g)}


@settings(max_examples=60, deadline=None)
@given(truths, draws, st.integers(-30, 30), st.booleans())
def test_the_unit_of_the_loss_does_not_matter(truth, draw, power, per_step) -> None:
    curves = {name: y * 2.0**power for name, y in pair(truth, draw).items()}
    unit = "step" if per_step else "epoch"
    assert diagnose(Run.from_history(curves, unit=unit)).verdict == truth


@settings(max_examples=60, deadline=None)
@given(truths, draws, st.integers(-10, 10), st.integers(2, 1000))
def test_a_loss_without_a_floor_has_no_origin_either(truth, draw, power, below) -> None:
    """Below zero somewhere, a + b·loss gets the verdict of the loss."""
    curves = pair(truth, draw)

    def verdict(by: float, times: float) -> str:
        return diagnose(Run.from_history({name: times * (y - by) for name, y in curves.items()})).verdict

    assert verdict(below, 2.0**power) == verdict(1.5, 1.0)


@settings(max_examples=60, deadline=None)
@given(truths, draws, st.floats(0.0, 0.6))
def test_gaps_in_the_validation_do_not_matter(truth, draw, share) -> None:
    curves = pair(truth, draw, 0.01)
    curves["val_loss"][np.random.default_rng(draw).random(EPOCHS) < share] = np.nan
    assert diagnose(Run.from_history(curves)).verdict == truth


finite = st.floats(-1e6, 1e6)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(finite, max_size=thresholds.MIN_POINTS - 1),
    st.lists(finite, max_size=thresholds.MIN_POINTS - 1),
    st.integers(0, 20),
)
def test_too_few_points_get_no_invented_verdict(loss, val_loss, gaps) -> None:
    """Neither balance nor any fault of the fit is read from them; that a loss blew up, two values can tell."""
    length = max(len(loss), len(val_loss)) + gaps
    curves = {
        name: np.concatenate([y, np.full(length - len(y), np.nan)])
        for name, y in (("loss", loss), ("val_loss", val_loss))
    }
    answer = diagnose(Run.from_history(curves))
    assert answer.verdict in ("insufficient-evidence", "diverged")
    if answer.verdict == "diverged":
        assert any(len(y) > 1 and y[-1] > 2 * y[0] >= 0 for y in (loss, val_loss))


@settings(max_examples=40, deadline=None)
@given(truths, draws, st.permutations(range(4)))
def test_the_order_of_the_seeds_does_not_matter(truth, draw, order) -> None:
    curves = [pair(truth, draw + k) for k in range(4)]
    stacked = {name: np.stack([c[name] for c in curves]) for name in ("loss", "val_loss")}
    runs = [
        Run({n: v[list(o)] for n, v in stacked.items()}, T, seeds=(0, 1, 2, 3), outcomes=("finished",) * 4)
        for o in (range(4), order)
    ]
    one, other = map(diagnose, runs)
    assert one.verdict == other.verdict == truth
    assert [f.slug for f in one.found] == [f.slug for f in other.found]


@settings(max_examples=40, deadline=None)
@given(truths, draws, st.lists(st.one_of(st.floats(), st.none()), min_size=EPOCHS, max_size=EPOCHS))
def test_other_columns_do_not_matter(truth, draw, column) -> None:
    curves = pair(truth, draw)
    answer = diagnose(Run.from_history({**curves, "lr": np.array(column, dtype=float)}))
    assert answer.to_dict() == diagnose(Run.from_history(curves)).to_dict()


@settings(max_examples=40, deadline=None)
@given(draws, st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, EPOCHS - 1))
def test_a_loss_that_ends_not_finite_diverged(draw, value, since) -> None:
    curves = pair("balanced", draw)
    curves["loss"][since:] = np.inf if np.isnan(value) else value
    assert diagnose(Run.from_history(curves)).verdict == "diverged"
