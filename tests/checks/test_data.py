"""What the rows say: fire on what was planted, stay clear on sound rows, are not applicable without."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from goodfit.checks import all_checks, diagnose
from goodfit.checks.data import _ks_distance, _ks_p
from goodfit.values import Recipe

FROM_ROWS = (
    "unscaled-inputs", "unscaled-target", "nonfinite-inputs", "constant-inputs", "class-imbalance", "too-few-examples",
    "duplicate-rows", "target-leakage", "train-validation-shift",
)  # fmt: skip


@pytest.mark.parametrize("slug", FROM_ROWS)
def test_not_applicable_without_rows(make, slug):
    assert make.finding(slug, make.healthy()).status == "not-applicable"


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize("draw", range(5))
def test_sound_rows_raise_nothing(make, task, draw):
    answer = diagnose(make.healthy(), make.dataset(task=task, draw=draw))
    assert answer.verdict == "balanced"
    assert answer.found == ()


def test_unscaled_inputs(make):
    data = make.dataset()
    for factor, offset in ((300.0, 0.0), (1.0, 1000.0), (0.001, 0.0)):
        x = data.x.copy()
        x[:, 2] = x[:, 2] * factor + offset
        found = make.finding("unscaled-inputs", make.healthy(), make.dataset(x=x))
        assert found.status == "found"
        assert found.changes[0].name == "standardize-inputs"
    rms = found.evidence[0]
    assert rms.value == pytest.approx(np.sqrt((x[data.train] ** 2).mean(axis=0)).max(), rel=1e-6)


def test_pixels_that_hardly_vary_at_the_edges_do_no_harm(make):
    x = np.random.default_rng(0).normal(size=(400, 64)).astype(np.float32)
    x[:, :12] *= 0.001
    assert make.finding("unscaled-inputs", make.healthy(), make.dataset(x=x)).status == "clear"
    x[:, :24] *= 0.001
    assert make.finding("unscaled-inputs", make.healthy(), make.dataset(x=x)).status == "found"


def test_raw_pixels_up_to_16_do_no_harm(make):
    x = np.random.default_rng(0).integers(0, 17, size=(400, 64)).astype(np.float32)
    assert make.finding("unscaled-inputs", make.healthy(), make.dataset(x=x)).status == "clear"
    assert make.finding("unscaled-inputs", make.healthy(), make.dataset(x=x * 16)).status == "found"


def test_rare_indicators_do_not_count_as_unscaled(make):
    x = make.dataset().x.copy()
    x[:, 0] = np.arange(400) == make.dataset().train[0]
    assert make.finding("unscaled-inputs", make.healthy(), make.dataset(x=x)).status == "clear"


@pytest.mark.parametrize(("kind", "status"), [("Normalization", "clear"), ("Dense", "found")])
def test_a_normalizing_layer_scales_inside(make, kind, status):
    layers = [{"class_name": "InputLayer"}, {"class_name": kind}, {"class_name": "BatchNormalization"}]
    recipe = Recipe({"class_name": "Sequential", "config": {"layers": layers}}, {"class_name": "Adam"}, "mse")
    run = make.healthy(recipe=recipe)
    assert make.finding("unscaled-inputs", run, make.dataset(x=make.dataset().x * 1000)).status == status


def test_the_root_comes_before_the_symptom(make):
    answer = diagnose(make.run([1.0, 2.0, np.inf, np.inf]), make.dataset(x=make.dataset().x * 1000))
    assert answer.verdict == "diverged"
    assert [f.slug for f in answer.found][:2] == ["unscaled-inputs", "diverged"]
    healthy = diagnose(make.healthy(), make.dataset(x=make.dataset().x * 1000))
    assert healthy.verdict == "underfitting"  # by the fault, for the curves show nothing


def test_unscaled_target(make):
    y = make.dataset().y
    for target in (y * 100, y + 50, y * 0.01):
        assert make.finding("unscaled-target", make.healthy(), make.dataset(y=target)).status == "found"
    assert make.finding("unscaled-target", make.healthy(), make.dataset(task="binary")).status == "not-applicable"
    constant = make.dataset(y=np.ones(400))
    assert make.finding("unscaled-target", make.healthy(), constant).status == "not-applicable"


def test_an_unscaled_target_of_unscaled_inputs_asks_for_both_to_be_standardized(make):
    x, y = make.dataset().x, make.dataset().y
    alone = make.finding("unscaled-target", make.healthy(), make.dataset(y=y * 100))
    assert [change.name for change in alone.changes] == ["standardize-target"]
    both = make.finding("unscaled-target", make.healthy(), make.dataset(x=x * 1000, y=y * 100))
    assert [change.name for change in both.changes] == ["standardize-target", "standardize-inputs-and-target"]
    assert set(both.changes[1].edits) == {"preparation.standardize", "preparation.standardize_target"}


def test_nonfinite_inputs_name_the_input(make):
    x = make.dataset().x.copy()
    x[[1, 5], 3] = np.nan
    x[7, 3] = np.inf
    found = make.finding("nonfinite-inputs", make.healthy(), make.dataset(x=x))
    assert found.status == "found"
    assert "3 input values in 3 rows" in found.message
    assert "'x3'" in found.message
    y = make.dataset().y.copy()
    y[0] = np.nan
    assert "1 targets" in make.finding("nonfinite-inputs", make.healthy(), make.dataset(y=y)).message
    assert diagnose(make.run([np.inf] * 9), make.dataset(x=x)).found[0].slug == "nonfinite-inputs"


def test_constant_inputs(make):
    x = make.dataset().x.copy()
    x[:, 1] = 3.0
    found = make.finding("constant-inputs", make.healthy(), make.dataset(x=x))
    assert (found.status, found.severity, found.evidence[0].value) == ("found", "low", 1)
    assert make.finding("constant-inputs", make.healthy(), make.dataset(x=np.ones((400, 5)))).severity == "high"
    image = np.random.default_rng(0).normal(size=(400, 12, 12)).astype(np.float32)
    image[:, 0] = 0.0
    assert make.finding("constant-inputs", make.healthy(), make.dataset(x=image)).status == "clear"


def test_class_imbalance(make):
    data = make.dataset(task="binary")
    y = np.zeros(400, dtype=np.int32)
    y[data.train[:12]] = 1
    found = make.finding("class-imbalance", make.healthy(), make.dataset(task="binary", y=y))
    assert found.status == "found"
    assert found.evidence[0].value == pytest.approx(12 * 2 / 240)
    assert "'yes' has 12 of 240" in found.message
    assert make.finding("class-imbalance", make.healthy(), make.dataset()).status == "not-applicable"


def test_too_few_examples(make):
    few = make.dataset(rows=60)
    assert make.finding("too-few-examples", make.healthy(), few).status == "found"
    data = make.dataset(task="multiclass")
    y = np.zeros(400, dtype=np.int32)
    y[data.train[:100]], y[data.train[100:105]] = 1, 2
    found = make.finding("too-few-examples", make.healthy(), make.dataset(task="multiclass", y=y))
    assert "rarest class has 5" in found.message


def test_duplicate_rows(make):
    data = make.dataset()
    x, y = data.x.copy(), data.y.copy()
    x[data.test[:8]], y[data.test[:8]] = x[data.train[:8]], y[data.train[:8]]
    found = make.finding("duplicate-rows", make.healthy(), make.dataset(x=x, y=y))
    assert found.status == "found"
    assert "8 of 160" in found.message
    codes = np.random.default_rng(0).integers(0, 3, size=(400, 2)).astype(np.float32)
    repeating = make.dataset(x=codes, y=np.zeros(400), features=2)
    assert make.finding("duplicate-rows", make.healthy(), repeating).status == "clear"


@pytest.mark.parametrize(
    "rounded",
    [
        lambda draw: draw.normal(size=(1000, 1)).round(3),
        lambda draw: draw.normal(size=(1000, 1)).round(4),
        lambda draw: draw.exponential(20, size=(1000, 1)).round(2),
        lambda draw: draw.normal(size=(1000, 2)).round(1),
        lambda draw: draw.integers(0, 30, size=(1000, 2)),
    ],
)
def test_rounded_numbers_that_chance_makes_equal_are_no_duplicates(make, rounded):
    draw = np.random.default_rng(0)
    x = rounded(draw)
    features = x.shape[1]
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)  # as a prepared table's: float32 rounds the grid
    y = (x[:, 0] + draw.normal(size=1000) > 0).astype(np.int32)
    options = {"task": "binary", "rows": 1000, "features": features}
    data = make.dataset(x=x, y=y, **options)
    chance = make.finding("duplicate-rows", make.healthy(), data)
    assert chance.status == "clear"
    assert "as chance makes equal" in chance.message
    half = data.test[:100], data.train[:100]
    x[half[0]], y[half[0]] = x[half[1]], y[half[1]]
    copied = make.finding("duplicate-rows", make.healthy(), make.dataset(x=x, y=y, **options))
    assert copied.status == "found"


def test_target_leakage(make):
    data = make.dataset()
    x = data.x.copy()
    x[:, 4] = -2.0 * data.y + 0.001
    found = make.finding("target-leakage", make.healthy(), make.dataset(x=x))
    assert found.status == "found"
    assert "'x4'" in found.message
    data = make.dataset(task="binary")
    x = data.x.copy()
    x[:, 0] = np.where(data.y == 1, -1.0, 1.0) + np.random.default_rng(0).uniform(-0.5, 0.5, 400)
    assert "'x0'" in make.finding("target-leakage", make.healthy(), make.dataset(task="binary", x=x)).message
    assert make.finding("target-leakage", make.healthy(), make.dataset(task="multiclass")).status == "not-applicable"
    places = make.dataset(task="binary", x=x, flattened=True)
    assert make.finding("target-leakage", make.healthy(), places).status == "not-applicable"


def test_train_validation_shift(make):
    data = make.dataset()
    x = data.x.copy()
    x[data.validation, 1] += 1.5
    found = make.finding("train-validation-shift", make.healthy(), make.dataset(x=x))
    assert found.status == "found"
    assert "'x1'" in found.message
    assert make.finding("train-validation-shift", make.healthy(), make.dataset(rows=50)).status == "not-applicable"


def test_train_validation_shift_raises_no_alarm_on_random_splits(make):
    alarms = sum(
        make.finding("train-validation-shift", make.healthy(), make.dataset(draw=d, features=20)).status == "found"
        for d in range(100)
    )
    assert alarms == 0


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_kolmogorov_smirnov_against_scipy(shift):
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=150), draw.normal(size=90) + shift
    expected = scipy.stats.ks_2samp(a, b, method="asymp")
    assert _ks_distance(a, b) == pytest.approx(expected.statistic)
    # Stephens's correction against the plain asymptotic p: the same to a third of it
    assert _ks_p(expected.statistic, 150, 90) == pytest.approx(expected.pvalue, rel=0.35)


def test_every_check_says_what_it_does():
    slugs = [check.slug for check in all_checks()]
    assert len(slugs) == len(set(slugs))
    for check in all_checks():
        doc = check.function.__doc__
        assert all(word in doc for word in ("Detected", "Why it matters", "What to try")), check.slug
    assert {slug for check in all_checks() for slug in check.explains} <= set(slugs)
