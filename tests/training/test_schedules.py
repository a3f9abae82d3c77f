"""Schedules against their closed form in NumPy, against Keras, optax and PyTorch, and by hypothesis."""

import keras
import numpy as np
import optax
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit import InputError
from goodfit.training.schedules import CycleMomentum, OneCycle, PowerDecay, check_rate, rates

RATE = st.floats(1e-6, 10.0)


def restored(schedule):
    return keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))


@settings(max_examples=20, deadline=None)
@given(RATE, st.integers(1, 1000), st.floats(0.1, 3.0))
def test_power_decay_is_its_closed_form(rate, steps, power):
    schedule = PowerDecay(rate, steps, power)
    expected = rate / (1 + np.arange(50) / steps) ** power
    np.testing.assert_allclose(rates(schedule, 50), expected, rtol=1e-5)
    np.testing.assert_array_equal(rates(restored(schedule), 50), rates(schedule, 50))


def test_power_decay_of_power_one_is_keras_inverse_time_decay():
    own = keras.optimizers.schedules.InverseTimeDecay(0.3, decay_steps=20, decay_rate=1.0)
    np.testing.assert_allclose(rates(PowerDecay(0.3, 20), 100), rates(own, 100), rtol=1e-6)


def test_power_decay_halves_then_thirds():
    # the slip: half, then a third, not half and then half again
    np.testing.assert_allclose(rates(PowerDecay(0.1, 10), 31)[[10, 20, 30]], [0.05, 0.1 / 3, 0.025], rtol=1e-6)


def test_one_cycle_equals_optax():
    ours = rates(OneCycle(0.4, 101, 10.0, 100.0, 0.3, 0.55), 101)
    theirs = optax.linear_onecycle_schedule(
        100, 0.4, pct_start=0.3, pct_final=0.85, div_factor=10, final_div_factor=100
    )
    np.testing.assert_allclose(ours, [float(theirs(step)) for step in range(101)], rtol=1e-5)


def test_one_cycle_and_its_momentum_equal_pytorch():
    steps, start = 101, 0.46
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.4, total_steps=steps, pct_start=start, anneal_strategy="linear", div_factor=10,
        final_div_factor=100, three_phase=True,
    )  # fmt: skip
    expected, momenta = [], []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if len(expected) < steps:
            scheduler.step()
    share = (start * steps - 1) / (steps - 1)  # PyTorch counts its phases in steps - 1, each one short
    np.testing.assert_allclose(rates(OneCycle(0.4, steps, rise=share, fall=share), steps), expected, rtol=1e-4)
    np.testing.assert_allclose(rates(CycleMomentum(steps, rise=share, fall=share), steps), momenta, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(RATE, st.integers(10, 500), st.floats(0.1, 0.5), st.floats(0.1, 0.5))
def test_one_cycle_stays_between_its_ends_and_momentum_mirrors_it(peak, steps, rise, fall):
    found = rates(OneCycle(peak, steps, rise=rise, fall=fall), steps + 20).astype(np.float64)
    assert found[0] == pytest.approx(peak / 10, rel=1e-5)
    assert found.max() <= peak * (1 + 1e-5)
    if rise + fall < 1 - 1e-6:
        assert found[steps - 1] == pytest.approx(peak / 1000, rel=1e-3)
        np.testing.assert_allclose(found[steps - 1 :], found[steps - 1], rtol=1e-4)
    momentum = rates(CycleMomentum(steps, rise=rise, fall=fall), steps).astype(np.float64)
    up = np.arange(steps) <= (rise + fall) * (steps - 1)
    share = (found[:steps] - peak / 10) / (0.9 * peak)
    np.testing.assert_allclose(momentum[up], 0.95 - 0.1 * share[up], atol=2e-5)


def test_schedules_are_saved_and_restored():
    for schedule in (OneCycle(0.1, 100, 20, 1000, 0.3, 0.3), CycleMomentum(100, 0.9, 0.8)):
        np.testing.assert_array_equal(rates(restored(schedule), 120), rates(schedule, 120))


def test_keras_cosine_decay_warms_up():
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 90, warmup_target=0.1, warmup_steps=10)
    found = rates(schedule, 101)
    np.testing.assert_allclose(found[:11], np.linspace(0, 0.1, 11), atol=1e-7)
    np.testing.assert_allclose(found[10:], 0.05 * (1 + np.cos(np.pi * np.arange(91) / 90)), atol=1e-7)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1e9, float("nan"), float("inf")])
def test_rates_that_cannot_be_meant_are_refused(rate):
    for make in (lambda: check_rate(rate), lambda: PowerDecay(rate, 10), lambda: OneCycle(rate, 10)):
        with pytest.raises(InputError, match="learning_rate is"):
            make()


def test_other_bad_arguments_are_refused():
    for make in (
        lambda: PowerDecay(0.1, 0),
        lambda: PowerDecay(0.1, 10, -1),
        lambda: OneCycle(0.1, 0),
        lambda: OneCycle(0.1, 10, rise=0.7, fall=0.7),
        lambda: OneCycle(0.1, 10, division=0.5),
        lambda: CycleMomentum(10, 1.0),
        lambda: CycleMomentum(10, 0.8, 0.9),
    ):
        with pytest.raises(InputError):
            make()
