"""What checks say of what probes measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from goodfit.checks import diagnose
from goodfit.checks.case import Case
from goodfit.checks.reruns import mean_loss_error
from goodfit.values import Run

BELOW = {"end_train_loss": 0.2, "held_train_loss": 0.3, "end_val_loss": 0.2, "split_share": 0.5}


def below(make, **measured):
    return make.finding("validation-below-training", make.run(make.fall(floor=0.3), make.fall(floor=0.2), **measured))


@pytest.mark.parametrize(
    ("measured", "words", "severity"),
    [
        ({}, "dropout, noise or the statistics of batches act in training only.", "low"),
        ({"held_train_loss": 0.2}, "mean over an epoch in which the weights still improved.", "low"),
        ({"held_train_loss": 0.3, "end_train_loss": 0.3}, "the split was lucky.", "low"),
        (
            {"held_train_loss": 0.3, "end_train_loss": 0.3, "split_share": 0.0},
            "easier than the training rows",
            "medium",
        ),
        ({"held_train_loss": 0.25}, "still improved and dropout", "low"),
    ],
)
def test_the_reason_of_validation_below_training_is_measured(make, measured, words, severity) -> None:
    found = below(make, measurements={**BELOW, **measured})
    assert words in found.message
    assert found.severity == severity
    assert sum(e.value for e in found.evidence if e.name.startswith("part of")) == pytest.approx(1.0, abs=0.05)


def test_penalties_are_stripped_from_both(make) -> None:
    """With a penalty of 0.1 in both logged losses, what is left of the distance is dropout's."""
    run = make.run(make.fall(floor=0.4), make.fall(floor=0.3), measurements={**BELOW, "weight_penalty": 0.1})
    assert "dropout" in make.finding("validation-below-training", run).message


def test_without_measurement_the_probe_is_named(make) -> None:
    assert "probe=True" in below(make).message
    for slug in ("learning-rate-too-low", "learning-rate-too-high", "underfitting"):
        finding = make.finding(slug, make.healthy())
        assert finding.status == "not-applicable"
        assert "probe=True" in finding.message


def rates(same=0.5, tenfold=0.5, tenth=0.5, start="onward", **more):
    return {
        **{f"{start}_{arm}_{kind}": value for arm, value in (("same", same), ("tenfold", tenfold), ("tenth", tenth))
           for kind in ("loss", "val_loss")},
        **more,
    }  # fmt: skip


INF = float("inf")


@pytest.mark.parametrize(
    ("slug", "measured", "status"),
    [
        ("learning-rate-too-low", rates(tenfold=0.3), "found"),
        ("learning-rate-too-low", rates(tenfold=0.48), "clear"),
        ("learning-rate-too-low", rates(tenfold=INF), "clear"),
        ("learning-rate-too-low", {**rates(tenfold=0.3), "onward_tenfold_val_loss": 0.6}, "clear"),
        (
            "learning-rate-too-low",
            {"chance_loss": 1.0, "small_sample_loss": 0.9, "small_sample_tenfold_loss": 0.01},
            "found",
        ),
        (
            "learning-rate-too-low",
            {"chance_loss": 1.0, "small_sample_loss": 0.9, "small_sample_tenfold_loss": 0.8},
            "clear",
        ),
        ("learning-rate-too-high", rates(tenth=0.3), "found"),
        ("learning-rate-too-high", rates(tenth=0.3, start="afresh"), "found"),
        ("learning-rate-too-high", rates(same=INF, tenth=0.3, start="afresh"), "found"),
        ("learning-rate-too-high", rates(same=INF, tenth=INF, start="afresh"), "clear"),
        ("learning-rate-too-high", rates(tenth=0.6), "clear"),
    ],
)
def test_learning_rates_that_were_tried(make, slug, measured, status) -> None:
    assert make.finding(slug, make.healthy(measurements=measured)).status == status


def reruns(same=0.5, turn=0, best=0.5, **arms):
    named = {"same": same, **arms}
    return {f"rerun_{turn}_{arm}_{kind}": level for arm, level in named.items() for kind in ("loss", "val_loss")} | {
        f"rerun_{turn}_{arm}_best_val_loss": best for arm in named
    }


@pytest.mark.parametrize(
    ("slug", "measured", "status", "first"),
    [
        ("learning-rate-too-low", reruns(threefold=0.4, tenfold=0.49), "found", 3.0),
        ("learning-rate-too-low", reruns(threefold=0.49, tenfold=0.4), "found", 10.0),
        ("learning-rate-too-low", reruns(threefold=0.48, tenfold=INF), "clear", None),
        ("learning-rate-too-low", {**reruns(threefold=0.5), **rates(tenfold=0.3)}, "clear", None),
        ("learning-rate-too-high", reruns(third=0.4), "found", 1 / 3),
        ("learning-rate-too-high", reruns(same=INF, third=0.6, tenth=0.4), "found", 1 / 3),
        ("learning-rate-too-high", reruns(tenth=0.48), "clear", None),
        ("unfinished", reruns(twice=0.4), "found", 2.0),
        ("unfinished", reruns(twice=0.49), "clear", None),
    ],
)
def test_trainings_that_were_repeated_in_full(make, slug, measured, status, first) -> None:
    finding = make.finding(slug, make.healthy(measurements=measured))
    assert finding.status == status
    if first is not None:
        (edit,) = finding.changes[0].edits.values()
        assert edit == {"times": pytest.approx(first)}
        kept = make.healthy(measurements=measured, kept_epoch=np.array([90]))
        assert make.finding(slug, kept).status == "clear"  # the lowest losses are all alike
        answer = diagnose(make.healthy(measurements=measured))
        assert answer.verdict == {"unfinished": "unfinished", "learning-rate-too-low": "underfitting"}.get(
            slug, "unstable"
        )


@pytest.mark.parametrize(
    ("others", "status"),
    [
        ((0.4, 0.4), "found"),
        ((0.4, 0.6), "found"),  # the median of 0.4, 0.4 and 0.6
        ((0.6, 0.6), "clear"),
        ((0.6, INF), "clear"),
    ],
)
def test_the_median_of_the_seeds_that_were_repeated_counts(make, others, status) -> None:
    measured = reruns(third=0.4)
    for turn, level in enumerate(others, start=1):
        measured |= reruns(turn=turn, third=level)
    assert make.finding("learning-rate-too-high", make.healthy(measurements=measured)).status == status


def test_a_lower_rate_that_does_more_than_more_epochs_is_the_remedy(make) -> None:
    both = make.healthy(measurements=reruns(twice=0.4, third=0.3))
    assert make.finding("unfinished", both).status == "clear"
    assert make.finding("learning-rate-too-high", both).status == "found"
    assert make.finding("unfinished", make.healthy(measurements=reruns(twice=0.3, third=0.4))).status == "found"


def test_repeated_trainings_whose_best_epoch_was_lost_overfit(make) -> None:
    gap = make.run(make.fall(floor=0.3), make.fall(floor=0.35))
    assert make.finding("overfitting", gap).status == "clear"
    lost = dataclasses.replace(gap, measurements=reruns(same=0.5, best=0.4))
    finding = make.finding("overfitting", lost)
    assert finding.status == "found"
    assert finding.changes[0].name == "early-stopping"
    kept = dataclasses.replace(lost, kept_epoch=np.array([90]))
    assert make.finding("overfitting", kept).status == "clear"


def test_each_loss_is_read_against_the_chance_of_its_own_rows(make) -> None:
    flat = np.full(60, 1.0)
    rows = {"chance_loss": 1.3, "linear_loss": 0.5, "boosting_loss": 0.5}
    stuck = make.run(flat, 1.3 * flat, measurements=rows)
    assert make.finding("not-learning", stuck).status == "clear"  # the training loss is well below 1.3
    known = make.run(flat, 1.3 * flat, measurements={**rows, "train_chance_loss": 1.0})
    assert make.finding("not-learning", known).status == "found"
    constant = make.run(flat, 1.3 * flat, measurements={**rows, "train_chance_loss": 0.0})
    assert make.finding("not-learning", constant).status == "found"  # a target that is constant in the training rows


@pytest.mark.parametrize("slug", ["unscaled-inputs", "regularization-too-strong"])
def test_a_network_with_a_fault_that_no_curve_shows_is_not_balanced(make, slug, monkeypatch) -> None:
    from goodfit.checks import diagnosis
    from goodfit.checks.case import Check, found

    assert diagnose(make.healthy()).verdict == "balanced"
    others = [check for check in diagnosis.all_checks() if check.slug != slug]
    faulty = Check(slug, lambda _: found(slug, "medium", "That is why."))
    monkeypatch.setattr(diagnosis, "all_checks", lambda: (*others, faulty))
    answer = diagnose(make.healthy())
    assert (answer.verdict, answer.reason) == ("underfitting", "That is why.")


@pytest.mark.parametrize(("third", "status"), [(0.4, "found"), (0.5, "clear"), (0.6, "clear")])
def test_jumps_that_a_lower_rate_does_not_mend_cost_nothing(make, third, status) -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.15, (2, 200))
    jumping = make.run(0.5 + noise[0], 0.5 + noise[1])
    assert make.finding("unstable", jumping).status == "found"
    known = Run(
        jumping.curves,
        jumping.epoch,
        kept_epoch=np.array([jumping.curves["val_loss"][0].argmin()]),
        measurements={f"rerun_0_{arm}_best_val_loss": level for arm, level in (("same", 0.5), ("third", third))},
    )
    assert make.finding("unstable", known).status == status


@pytest.mark.parametrize(
    ("task", "loss", "error"), [("regression", 0.2, 0.1), ("binary", 0.5, 0.141421), ("binary", 0.01, 0.378)]
)
def test_the_error_of_a_mean_loss(make, task, loss, error) -> None:
    # √(2 / 200); √(2 / (0.5 · 200)); at a tenth of chance ln 2 at least, √(2 / (0.07 · 200)) = 0.378
    run = make.run(
        make.fall(floor=loss), make.fall(floor=loss), measurements={"chance_loss": 0.7, "validation_rows": 200.0}
    )
    run = dataclasses.replace(run, task=task)
    assert mean_loss_error(Case(run)) == pytest.approx(error, rel=0.03)


def test_an_extrapolation_gives_way_to_a_measurement(make) -> None:
    slow = make.run(make.fall(60, time=200), make.fall(60, time=200))
    assert diagnose(slow).verdict == "unfinished"
    assert diagnose(Run(slow.curves, slow.epoch, measurements=reruns(twice=0.5))).verdict != "unfinished"


def test_a_learning_rate_that_is_too_low_comes_before_its_symptom(make) -> None:
    slow = make.run(make.fall(60, time=200), make.fall(60, time=200))
    assert diagnose(slow).verdict == "unfinished"
    known = Run(slow.curves, slow.epoch, measurements=rates(0.7, 0.2))
    answer = diagnose(known)
    assert answer.verdict == "unfinished"
    assert [f.slug for f in answer.found][:2] == ["learning-rate-too-low", "unfinished"]


def test_epochs_that_were_tried_on_tell_an_unfinished_training(make) -> None:
    assert make.finding("unfinished", make.healthy()).status == "clear"
    on = make.healthy(measurements={"end_val_loss": 0.12, "onward_same_val_loss": 0.1})
    assert make.finding("unfinished", on).status == "found"
    off = make.healthy(measurements={"end_val_loss": 0.12, "onward_same_val_loss": 0.121})
    assert make.finding("unfinished", off).status == "clear"
    alone = Run.from_history({}, measurements={"end_val_loss": 0.12, "onward_same_val_loss": 0.1})
    assert make.finding("unfinished", alone).status == "found"


def test_underfitting_proposes_first_what_was_seen_to_work(make) -> None:
    poor = {"chance_loss": 1.0, "linear_loss": 0.3, "end_train_loss": 0.6, "end_val_loss": 0.6}

    def first(**measured):
        run = make.run(make.fall(floor=0.6), make.fall(floor=0.6), measurements={**poor, **measured})
        return make.finding("underfitting", run).changes[0].name

    assert first(onward_same_loss=0.6, onward_tenfold_loss=0.3, held_train_loss=0.6) == "raise-learning-rate"
    assert first(onward_same_loss=0.5, onward_tenfold_loss=0.5, held_train_loss=0.6) == "more-epochs"
    assert first(onward_same_loss=0.6, onward_tenfold_loss=0.6, held_train_loss=0.6) == "wider-layers"
    assert first(onward_same_loss=0.6, onward_tenfold_loss=0.6, held_train_loss=0.9) == "less-regularization"


def test_a_penalized_network_is_compared_without_its_penalty(make) -> None:
    logged = (make.fall(floor=0.9), make.fall(floor=0.9))
    known = {"chance_loss": 1.0, "linear_loss": 0.3, "weight_penalty": 0.5}
    assert make.finding("underfitting", make.run(*logged, measurements=known)).status == "not-applicable"
    stripped = {**known, "end_train_loss": 0.32, "end_val_loss": 0.32}
    assert make.finding("underfitting", make.run(*logged, measurements=stripped)).status == "clear"
    poor = {**known, "end_train_loss": 0.6, "end_val_loss": 0.6}
    assert make.finding("underfitting", make.run(*logged, measurements=poor)).status == "found"


def rows(quarter, half, whole, **more):
    losses = {"rows_25_val_loss": quarter, "rows_50_val_loss": half, "rows_100_val_loss": whole, "rows_spread": 0.01}
    return {"chance_loss": 1.0, "end_val_loss": whole, **losses, **more}


@pytest.mark.parametrize(
    ("measured", "status"),
    [
        (rows(0.8, 0.5, 0.3), "found"),
        (rows(0.5, 0.31, 0.30), "clear"),
        (rows(0.8, 0.5, 0.3, rows_spread=0.4), "clear"),
        (rows(0.9, 0.8, 0.7, end_val_loss=0.2), "not-applicable"),
        ({}, "not-applicable"),
    ],
)
def test_a_learning_curve_over_rows(make, measured, status) -> None:
    finding = make.finding("too-few-examples", make.healthy(measurements=measured))
    assert finding.status == status
    if status == "found":
        assert finding.evidence[0].value == pytest.approx(0.2 * (0.2 / 0.3) / 0.3)


def test_among_roots_the_one_that_explains_the_other_comes_first(make) -> None:
    known = {"chance_loss": 1.0, "small_sample_loss": 0.99, "small_sample_tenfold_loss": 0.01}
    flat = make.run([1.0] * 40, [1.0] * 40, measurements=known)
    answer = diagnose(flat)
    assert answer.verdict == "not-learning"
    slugs = [f.slug for f in answer.found]
    assert slugs[:2] == ["learning-rate-too-low", "cannot-overfit-small-sample"]
