"""Checks of the layers' signals: fire on those of a fault, stay clear on healthy ones and where no harm was done."""

from __future__ import annotations

import numpy as np
import pytest

from goodfit.checks import diagnose
from goodfit.values import Recipe

LAYERS = ("hidden_1", "hidden_2", "hidden_3", "output")
SLUGS = (
    "vanishing-gradients", "exploding-gradients", "dying-relu", "saturated-units", "poor-initialization",
    "large-weights",
)  # fmt: skip


def signals(seeds=3, samples=6, **changes):
    """Signals of a healthy network; a change sets one signal's values, broadcast to (seeds, samples, layers)."""
    draw = np.random.default_rng(0)
    shape = (seeds, samples, len(LAYERS))
    fall = np.geomspace(1.0, 0.1, samples)[:, None]
    base = {
        "grad_rms": 0.01 * fall,
        "grad_norm": 0.3 * fall,
        "weight_rms": 0.2 * np.linspace(1.0, 1.3, samples)[:, None],
        "update_ratio": 1e-3,
        "activation_mean": 0.3,
        "activation_var": np.array([0.6, 0.4, 0.3, 1.0]),
        "activation_grad_var": np.array([0.1, 0.2, 0.3, 1.0]) * fall,
        "unit_spread": np.array([0.4, 0.4, 0.4, np.nan]),
        "dead_fraction": np.array([0.05, 0.1, 0.1, np.nan]),
        "saturated_fraction": np.array([0.1, 0.1, 0.1, np.nan]),
    }
    noise = np.exp(0.05 * draw.normal(size=shape))
    values = {name: np.broadcast_to(value, shape) * noise for name, value in base.items()}
    values |= {name: np.broadcast_to(np.asarray(value, float), shape) for name, value in changes.items()}
    return {
        "signals": values,
        "signal_layers": LAYERS,
        "signal_epochs": np.array([0, 1, 3, 10, 30, 99][:samples]),
        "measurements": {"chance_loss": 1.0},
    }


def case(make, *, stuck=False, **changes):
    floor = 0.95 if stuck else 0.1
    return make.run(make.fall(floor=floor), make.fall(floor=floor + 0.02), seeds=3, **signals(**changes))


@pytest.mark.parametrize("slug", SLUGS)
def test_not_applicable_without_signals(make, slug):
    assert make.finding(slug, make.healthy()).status == "not-applicable"
    told = make.finding(slug, make.healthy(provenance={"no_signals": "the training is too short for them"}))
    assert "too short" in told.message


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("stuck", [False, True])
def test_healthy_signals_raise_nothing(make, slug, stuck):
    assert make.finding(slug, case(make, stuck=stuck)).status == "clear"


VANISHING = {"activation_grad_var": [1e-6, 1e-4, 0.3, 1.0]}
EXPLODING = {"activation_grad_var": [1e5, 100.0, 0.3, 1.0]}
DEAD = {"dead_fraction": [0.05, 0.7, 0.1, np.nan]}
DEAD_LAYER = {"dead_fraction": [0.05, 1.0, 0.1, np.nan]}
SATURATED = {"saturated_fraction": [0.1, 0.8, 0.1, np.nan]}
UNEVEN = {"activation_var": [1.0, 1e-3, 1e-6, 1e-6]}
LARGE = {"weight_rms": [0.2, 2.5, 0.2, 0.2]}


@pytest.mark.parametrize(
    ("slug", "changes", "first"),
    [
        ("vanishing-gradients", VANISHING, "relu-activation"),
        ("exploding-gradients", EXPLODING, "he-normal-initialization"),
        ("dying-relu", DEAD, "he-normal-initialization"),
        ("saturated-units", SATURATED, "glorot-uniform-initialization"),
        ("poor-initialization", UNEVEN, "he-normal-initialization"),
        ("large-weights", LARGE, "he-normal-initialization"),
    ],
)
def test_found_where_it_did_harm_only(make, slug, changes, first):
    found = make.finding(slug, case(make, stuck=True, **changes))
    assert found.status == "found"
    assert found.changes[0].name == first
    assert any(e.threshold is not None for e in found.evidence)
    assert make.finding(slug, case(make, **changes)).status == "clear"


def test_small_gradients_at_the_end_are_no_vanishing_gradients(make):
    late = np.geomspace(1.0, 1e-12, 6)[:, None] * np.array([0.1, 0.2, 0.3, 1.0])
    for stuck in (False, True):
        run = case(make, stuck=stuck, activation_grad_var=late, grad_rms=np.sqrt(late), grad_norm=np.sqrt(late))
        assert make.finding("vanishing-gradients", run).status == "clear"


def test_the_numbers_are_medians_over_seeds(make):
    found = make.finding("vanishing-gradients", case(make, stuck=True, **VANISHING))
    assert found.evidence[0].value == pytest.approx(np.sqrt(1e-6 / 0.3))
    assert found.evidence[0].threshold == pytest.approx(0.02)


def test_one_seed_of_three_is_not_the_run(make):
    dead = np.full((3, 6, 4), 0.1)
    dead[0, :, 1] = 1.0
    assert make.finding("dying-relu", case(make, stuck=True, dead_fraction=dead)).status == "clear"
    dead[1, :, 1] = 1.0
    assert make.finding("dying-relu", case(make, stuck=True, dead_fraction=dead)).status == "found"


def test_a_dead_layer_needs_no_harm(make):
    found = make.finding("dying-relu", case(make, **DEAD_LAYER))
    assert (found.status, found.severity) == ("found", "high")
    assert "'hidden_2'" in found.message


def test_no_gradient_passes_a_dead_layer_but_that_is_another_fault(make):
    run = case(make, stuck=True, **DEAD_LAYER, activation_grad_var=[0.0, 0.2, 0.3, 1.0])
    assert make.finding("vanishing-gradients", run).status == "not-applicable"
    zero = {"weight_rms": [0.0, 0.2, 0.2, 0.2], **VANISHING, **DEAD_LAYER}
    run = case(make, stuck=True, **zero)
    assert [make.finding(s, run).status for s in SLUGS[:5:2]] == ["not-applicable", "clear", "found"]


def test_a_flat_start_is_no_explosion(make):
    norms = np.array([1e-4, 0.2, 0.3, 0.3, 0.2, 0.2])[:, None]
    assert make.finding("exploding-gradients", case(make, stuck=True, grad_norm=norms)).status == "clear"


def test_units_killed_in_training_ask_for_a_lower_rate(make):
    dead = np.full((3, 6, 4), 0.1)
    dead[:, 2:, 1] = 0.9
    found = make.finding("dying-relu", case(make, stuck=True, dead_fraction=dead))
    assert found.changes[0].name == "lower-learning-rate"
    late = np.full((3, 6, 4), 0.1)
    late[:, 2:, 1] = 0.9
    found = make.finding("saturated-units", case(make, stuck=True, saturated_fraction=late))
    assert found.changes[0].name == "lower-learning-rate"


def test_what_stopped_is_read_at_its_last_sample(make):
    dead = np.full((3, 6, 4), 0.1)
    dead[:, :4, 1] = 0.9
    dead[:, 4:] = np.nan
    assert make.finding("dying-relu", case(make, stuck=True, dead_fraction=dead)).status == "found"


def test_gradients_that_blow_up(make):
    growing = np.array([1.0, 2.0, 50.0, 1e4, np.inf, np.nan])[:, None]
    fields = signals(grad_norm=growing)
    run = make.run([1.0, 2.0, 50.0, np.inf], seeds=3, outcomes=("nonfinite",) * 3, **fields)
    found = make.finding("exploding-gradients", run)
    assert (found.status, found.severity) == ("found", "high")
    assert "not finite" in found.message
    assert found.changes[0].name == "clip-gradients"
    assert [f.slug for f in diagnose(run).found][:2] == ["exploding-gradients", "diverged"]
    healthy = case(make, grad_norm=np.array([1.0, 2.0, 50.0, 200.0, 20.0, 1.0])[:, None])
    assert make.finding("exploding-gradients", healthy).status == "clear"


@pytest.mark.parametrize("changes", [{"unit_spread": [1e-9, 0.4, 0.4, np.nan]}, {"weight_rms": [0.0, 0.2, 0.2, 0.2]}])
def test_units_that_start_alike_need_no_harm(make, changes):
    found = make.finding("poor-initialization", case(make, **changes))
    assert (found.status, found.severity) == ("found", "high")


def test_an_initial_loss_far_above_chance(make):
    fields = signals()
    fields["measurements"] = {"chance_loss": 1.0, "initial_loss": 50.0}
    stuck = make.run(make.fall(floor=0.9), make.fall(floor=0.9), seeds=3, **fields)
    assert make.finding("poor-initialization", stuck).status == "found"


def test_large_weights_go_with_overfitting(make):
    grown = np.linspace(0.2, 2.0, 6)[:, None] * np.array([1.0, 0.3, 0.3, 0.3])
    rise = np.concatenate([make.fall(50), np.linspace(0.1, 0.6, 50)])
    run = make.run(make.fall(floor=0.01), rise, seeds=3, **signals(weight_rms=grown))
    found = make.finding("large-weights", run)
    assert found.status == "found"
    assert found.changes[0].name == "add-l2"
    assert "'hidden_1'" in found.message
    output = np.full((6, 4), 0.2)
    output[1:, 3] = 50.0
    run = make.run(make.fall(floor=0.01), rise, seeds=3, **signals(weight_rms=output))
    assert make.finding("large-weights", run).status == "clear"


def test_a_baseline_tells_whether_harm_was_done(make):
    """A table that hardly tells of its target is no harmed training, where the baseline does no better."""
    fields = signals(**VANISHING)
    for linear, status in ((0.94, "clear"), (0.5, "found")):
        fields["measurements"] = {"chance_loss": 1.0, "linear_loss": linear}
        run = make.run(make.fall(floor=0.95), make.fall(floor=0.97), seeds=3, **fields)
        assert make.finding("vanishing-gradients", run).status == status


def test_what_can_not_be_compared(make):
    short = {**signals(), "signal_epochs": np.array([1, 2, 3, 10, 30, 99])}
    run = make.run(make.fall(), make.fall(), seeds=3, **short)
    assert make.finding("vanishing-gradients", run).status == "not-applicable"
    assert make.finding("poor-initialization", run).status == "not-applicable"
    two = signals(samples=6)
    two["signals"] = {name: values[:, :, 2:] for name, values in two["signals"].items()}
    two["signal_layers"] = LAYERS[2:]
    run = make.run(make.fall(), make.fall(), seeds=3, **two)
    assert make.finding("vanishing-gradients", run).status == "not-applicable"
    two["signals"]["dead_fraction"] = two["signals"]["saturated_fraction"] = np.full((3, 6, 2), np.nan)
    run = make.run(make.fall(), make.fall(), seeds=3, **two)
    assert make.finding("dying-relu", run).status == "not-applicable"
    assert make.finding("saturated-units", run).status == "not-applicable"


def test_the_activations_of_the_recipe_choose_the_initialization(make):
    def dense(activation):
        return {"class_name": "Dense", "config": {"activation": activation, "kernel_initializer": "x", "units": 3}}

    for activation, first in (("selu", "lecun-normal-initialization"), ("tanh", "relu-activation")):
        recipe = Recipe({"config": {"layers": [dense(activation), dense("linear")]}}, {"config": {}}, "mse")
        run = make.run(make.fall(floor=0.95), make.fall(floor=0.97), seeds=3, recipe=recipe, **signals(**UNEVEN))
        assert make.finding("poor-initialization", run).changes[0].name == first
