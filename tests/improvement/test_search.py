"""The search, on regressions in closed form: what it keeps, what it costs, and how often it is wrong."""

import dataclasses
import json
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from goodfit.errors import InputError
from goodfit.improvement import Budget, Trials, propose, search
from goodfit.improvement.propose import in_batches
from goodfit.values import Change, Diagnosis, Finding, Recipe


def recipe_of(**settings):
    return Recipe(model={"class_name": "ridge"}, optimizer={}, loss="mse", preparation=settings)


def change_of(name, **settings):
    return Change(name, {"preparation": settings}, "because", "do it")


def test_a_change_that_helps_is_kept_and_the_rest_told(problem):
    changes = [
        change_of("unbiased", bias=0.0),
        change_of("worse", bias=3.0),
        change_of("refused", refuse=1),
        change_of("failing", fail=1),
        change_of("same", bias=2.0),
    ]
    ladder = search(recipe_of(bias=2.0), **problem().given(changes))
    assert [t.change.name if t.change else "" for t in ladder.trials][:3] == ["", "unbiased", "worse"]
    assert ladder.trials[1].kept
    assert not ladder.trials[2].kept
    assert ladder.recipe.preparation["bias"] == 0.0
    assert ladder.improved
    made = ladder.trials[1].comparison
    assert made.effect == pytest.approx(-4.0, abs=1.2)  # the square of the bias
    assert made.low < made.effect < made.high < 0
    assert ladder.gain.effect == pytest.approx(-4.0, abs=1.2)
    assert len(ladder.trials[2].run.seeds) == 4  # dropped after half of the seeds
    assert "Dropped" in ladder.trials[2].note
    told = {change.name: why for change, why in ladder.refused}
    assert "glue" in told["refused"]
    assert told["failing"] == "RuntimeError: out of memory"
    assert "same" not in {t.change.name for t in ladder.trials if t.change}  # as the baseline: never trained


def test_it_climbs_on_from_what_was_kept(problem):
    changes = [change_of("unbiased", bias=0.0), change_of("ridge", ridge=10.0), change_of("half", bias=1.0)]
    ladder = search(recipe_of(bias=4.0, features=120, ridge=0.001), **problem(rows=400).given(changes))
    kept = [t.change.name for t in ladder.trials if t.kept and t.change]
    assert kept == ["unbiased", "ridge"]
    assert ladder.trials[ladder.best].against == 1
    assert ladder.ended == "No change was better beyond noise."


def test_of_changes_that_come_no_lower_than_chance_the_first_leads_on(problem):
    """A network that gave up loses less than one on its way, and is the end of it."""
    first = [change_of("root", bias=3.0), change_of("give-up", bias=0.0, ridge=1e9)]
    rounds = iter([[first], [[change_of("rest", bias=0.0)]]])
    given = problem().given([], propose=lambda *_: next(rounds, ()))
    ladder = search(recipe_of(bias=20.0), **given)
    assert [t.change.name for t in ladder.trials if t.kept and t.change] == ["root", "rest"]
    gave_up = next(t for t in ladder.trials if t.change and t.change.name == "give-up")
    assert gave_up.comparison.effect < ladder.trials[1].comparison.effect
    assert "no change comes below chance yet" in gave_up.note
    assert ladder.improved


def test_all_arms_have_the_same_seeds_in_the_same_parts(problem):
    given = problem()
    search(recipe_of(bias=2.0), **given.given([change_of("unbiased", bias=0.0), change_of("ridge", ridge=2.0)]))
    parts = {}
    for settings, seeds in given.trained:
        parts.setdefault(json.dumps(settings), []).append(seeds)
    first, second = (0, 1, 2, 3), (4, 5, 6, 7)
    assert parts['{"bias": 2.0}'][:2] == [first, second]
    assert parts['{"bias": 0.0}'][:2] == [first, second]
    fresh = [(8, 9, 10, 11), (12, 13, 14, 15)]
    assert parts['{"bias": 2.0}'][2:] == fresh
    assert [part for part in parts['{"bias": 0.0}'] if part in fresh] == fresh


def test_a_gain_that_fresh_seeds_do_not_bear_out_is_taken_back(problem):
    given = problem()
    honest = given.train

    def train(recipe, seeds):
        return honest(recipe.replace(preparation={"bias": 2.0}) if min(seeds) >= 8 else recipe, seeds)

    ladder = search(recipe_of(bias=2.0), **given.given([change_of("lucky", bias=0.0)], train=train))
    assert ladder.best == 0
    assert not ladder.improved
    assert "did not bear it out" in ladder.trials[1].note


def test_only_the_last_of_two_changes_is_taken_back_where_fresh_seeds_bear_out_the_first(problem):
    """The second does nothing, but looks well on the seeds of the search."""
    given = problem()
    honest = given.train

    def train(recipe, seeds):
        arm = honest(recipe.replace(preparation={"bias": recipe.preparation["bias"]}), seeds)
        lucky = "lucky" in recipe.preparation and max(seeds) < 8
        return dataclasses.replace(arm, losses=arm.losses - lucky)

    rounds = iter([[[change_of("unbiased", bias=0.0)]], [[change_of("lucky", lucky=1)]]])
    arguments = given.given([], train=train, propose=lambda *_: next(rounds, ()))
    ladder = search(recipe_of(bias=2.0), **arguments)
    first, second = ladder.trials[1:]
    assert ladder.best == 1
    assert ladder.improved
    assert ladder.gain.effect == pytest.approx(-4.0, abs=1.2)
    assert first.note.startswith("Kept: removes ")
    assert "On fresh seeds: " in first.note
    assert first.comparison.better
    assert second.note.endswith("Fresh seeds did not bear it out.")
    assert "Kept" not in second.note
    assert not second.comparison.better


def test_each_kept_change_is_proven_within_the_budget(problem):
    """Three changes, each kept: baseline and all three are trained on the fresh seeds."""
    rounds = [[[change_of(f"less {bias:g}", bias=bias)]] for bias in (2.0, 1.0, 0.0)]
    for steps in range(400, 1200, 80):
        given, left = problem(), iter(rounds)
        arguments = given.given([], propose=lambda *_, left=left: next(left, ()), budget=Budget(steps=steps))
        ladder = search(recipe_of(bias=3.0), **arguments)
        assert ladder.steps <= steps
        kept = [place for place, trial in enumerate(ladder.trials) if trial.kept]
        for place in kept if len(kept) > 1 else ():
            seen = [seeds for settings, seeds in given.trained if settings == ladder.recipes[place].preparation]
            assert {(8, 9, 10, 11), (12, 13, 14, 15)} <= set(seen)
    assert len(kept) == 4
    assert all("On fresh seeds" in ladder.trials[place].note for place in kept[1:])


def shifted(problem, gain, spread):
    """A study where each seed's gain of the one change is drawn, so that eight seeds say little of it."""
    given = problem()

    def train(recipe, seeds):
        arm = given.train(recipe.replace(preparation={}), seeds)
        if recipe.preparation.get("bias"):
            draws = [gain + spread * np.random.default_rng([seed, 22]).normal() for seed in seeds]
            arm = dataclasses.replace(arm, losses=arm.losses - np.array(draws)[:, None])
        given.trained[-1] = (dict(recipe.preparation), tuple(seeds))
        return arm

    return given, given.given([change_of("shift", bias=1.0)], train=train)


def test_what_looks_promising_gets_more_seeds_and_a_second_look(problem):
    given, arguments = shifted(problem, gain=0.23, spread=0.6)
    ladder = search(recipe_of(), **arguments)
    of_change = [seeds for settings, seeds in given.trained if settings]
    assert of_change[:2] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    more = of_change[2:6]
    assert [seed for part in more for seed in part] == list(range(32, 48))  # 8 to 31 are for the proof at the end
    assert ladder.trials[1].kept
    assert ladder.trials[1].comparison.pairs == 24
    assert ladder.trials[1].comparison.adjusted_p == pytest.approx(ladder.trials[1].comparison.p / 0.25)
    assert ladder.gain.pairs in (8, 24)
    assert ladder.steps == 10 * sum(len(seeds) for _, seeds in given.trained)


def test_no_second_look_at_what_is_clear_or_hopeless_or_beyond_the_budget(problem):
    for gain, spread in ((1.0, 0.1), (0.01, 0.3)):
        given, arguments = shifted(problem, gain, spread)
        search(recipe_of(), **arguments)
        assert not {seed for _, seeds in given.trained for seed in seeds if seed >= 32}
    given, arguments = shifted(problem, gain=0.23, spread=0.6)
    ladder = search(recipe_of(), **arguments, budget=Budget(steps=600))
    assert not {seed for _, seeds in given.trained for seed in seeds if seed >= 32}
    assert ladder.ended == "The budget is spent."
    assert ladder.steps <= 600


def test_the_second_look_costs_no_wrong_claim(problem):
    """A change that does nothing on average, each seed's gain drawn: promising in 20 %, called an improvement in 5 % of
    400 studies, binomial noise allowed."""
    promising = wrong = 0
    for number in range(400):
        draw = np.random.default_rng([number, 11])
        gains = draw.normal(size=100)
        given = problem(seed=0)

        def train(recipe, seeds, given=given, gains=gains):
            arm = given.train(recipe.replace(preparation={}), seeds)
            if recipe.preparation.get("bias"):
                arm = dataclasses.replace(arm, losses=arm.losses - gains[list(seeds)][:, None])
            return arm

        ladder = search(recipe_of(), **given.given([change_of("shift", bias=1.0)], train=train))
        promising += any("fresh seeds" in trial.note.lower() for trial in ladder.trials)
        wrong += ladder.improved
    assert promising <= 400 * 0.2 + 2 * np.sqrt(400 * 0.2 * 0.8)
    assert wrong <= 400 * 0.05


def test_with_a_budget_the_next_batch_is_tried_where_nothing_of_the_first_helps(problem):
    first = [change_of("worse", bias=3.0), change_of("half", bias=1.0)]
    second = [change_of("unbiased", bias=0.0)]
    ladder = search(recipe_of(bias=2.0), **problem().given([], propose=lambda *_: [first, second], rounds=1))
    assert [t.change.name for t in ladder.trials if t.change] == ["worse", "half", "unbiased"]  # time for all of them
    assert ladder.trials[ladder.best].change.name == "unbiased"
    limited = {"rounds": 1, "budget": Budget(steps=10_000)}
    ladder = search(recipe_of(bias=2.0), **problem().given([], propose=lambda *_: [first, second], **limited))
    assert [t.change.name for t in ladder.trials if t.change] == ["worse", "half"]
    assert ladder.trials[ladder.best].change.name == "half"
    alone = ladder.trials[ladder.best].comparison
    assert alone.adjusted_p == pytest.approx(3 * alone.p / 0.75)  # also for the one that was not tried
    ladder = search(recipe_of(bias=2.0), **problem().given([], propose=lambda *_: [first[:1], second], **limited))
    assert [t.change.name for t in ladder.trials if t.kept and t.change] == ["unbiased"]


def test_with_a_budget_what_looks_promising_is_seen_again_before_what_no_finding_asks_for(problem):
    given, arguments = shifted(problem, gain=0.3, spread=0.6)
    promising, other = change_of("shift", bias=1.0), change_of("ridge", ridge=2.0)
    arguments |= {"propose": lambda *_: [[promising], [], [other]], "rounds": 1}
    ladder = search(recipe_of(), **arguments, budget=Budget(steps=10_000))
    assert ladder.trials[1].comparison.pairs == 24
    again = [place for place, (_, seeds) in enumerate(given.trained) if min(seeds) >= 32]
    others = [place for place, (settings, _) in enumerate(given.trained) if "ridge" in settings]
    assert max(again) < min(others, default=len(given.trained))


def test_it_is_told_where_the_baseline_is_no_better_than_chance(problem):
    told = []

    def propose_nothing(*given):
        told.append(given[2])
        return []

    search(recipe_of(bias=20.0), **problem().given([], propose=propose_nothing))
    search(recipe_of(), **problem().given([], propose=propose_nothing))
    assert told == [True, False]


def test_hardly_better_than_chance_counts_as_no_better(problem):
    told = []

    def propose_nothing(*given):
        told.append(given[2])
        return []

    given = problem(rows=400)
    search(recipe_of(ridge=2e5), **given.given([], propose=propose_nothing))
    gain = given.chance(range(8)).losses
    trained = given.train(recipe_of(ridge=2e5), range(8)).losses
    share = 1 - np.nanmean(trained) / np.nanmean(gain)
    assert 0 < share < 0.01
    assert told == [True]


def test_what_helped_beside_the_kept_change_comes_first_in_the_next_round(problem):
    told = []
    helpful = [change_of("ridge", ridge=10.0), change_of("unbiased", bias=0.0)]
    rest = [change_of(f"worse {number}", bias=4.0 + number) for number in range(5)]

    def proposals(diagnosis, useless, _, again):
        told.append([change.name for change in again])
        return [list(propose(diagnosis, [*rest, *helpful], again=again, tried=useless, unasked=None))]

    given = problem(rows=400).given([], propose=proposals)
    ladder = search(recipe_of(bias=1.5, features=120, ridge=0.001), **given)
    kept = [trial.change.name for trial in ladder.trials if trial.kept and trial.change]
    first, second = kept[:2]
    assert {first, second} == {"unbiased", "ridge"}
    assert told[:2] == [[], [first, second]]
    names = [trial.change.name for trial in ladder.trials if trial.change]
    assert names[len(rest) + len(helpful)] == second  # the first once more is what is there


def test_what_lost_beside_a_fault_that_left_nothing_learned_is_tried_again(problem):
    """Of a network at chance, no other change than the one that cures it tells anything."""

    def useless_by_round(start, *changes):
        told = []
        rounds = iter([[list(changes)], [[change_of("rest", ridge=2.0)]]])

        def proposals(_, useless, stuck, __):
            told.append((stuck, [change.name for change in useless]))
            return next(rounds, [])

        search(recipe_of(bias=start), **problem(rows=400).given([], propose=proposals))
        return told[:2]

    at_chance = useless_by_round(20.0, change_of("worse", bias=21.0), change_of("cure", bias=0.2))
    assert at_chance == [(True, []), (False, [])]
    learned = useless_by_round(0.6, change_of("worse", bias=3.0), change_of("better", bias=0.0))
    assert learned == [(False, []), (False, ["worse"])]


def test_what_was_set_on_the_way_is_not_told_as_refused(problem):
    def apply(recipe, change):
        after = recipe.replace(preparation={**recipe.preparation, **change.edits["preparation"]})
        if after == recipe:
            raise InputError("it would leave the recipe as it is.", "Propose another.")
        return after

    changes = [change_of("unbiased", bias=0.0), change_of("as it was", ridge=1.0)]
    given = problem().given([], propose=lambda *_: [changes], apply=apply)
    ladder = search(recipe_of(bias=2.0, ridge=1.0), **given)
    assert [trial.change.name for trial in ladder.trials if trial.kept and trial.change] == ["unbiased"]
    assert [change.name for change, _ in ladder.refused] == ["as it was"]  # once, in two rounds


def test_what_helped_comes_after_the_findings_first_changes():
    asked = [change_of("first", a=1), change_of("second", b=1)]
    finding = Finding("unfinished", "found", "medium", "…", changes=tuple(asked))
    again = [change_of("again", c=1), asked[1]]
    diagnosis = Diagnosis("unfinished", "…", (finding,))
    listed = propose(diagnosis, [change_of("other", d=1)], again=again)
    assert [change.name for change in listed] == ["first", "again", "second", "other"]
    batches = in_batches(diagnosis, listed, 1, again)
    assert [[change.name for change in batch] for batch in batches] == [["first"], ["again", "second"], ["other"], []]


def test_budget_in_steps(problem):
    changes = [change_of(f"ridge {k}", ridge=float(k)) for k in range(2, 9)]
    with pytest.raises(InputError, match="a budget of 100 steps doesn't suffice"):
        search(recipe_of(), **problem().given(changes, budget=Budget(steps=100)))
    given = problem()
    ladder = search(recipe_of(), **given.given(changes, budget=Budget(steps=500)))
    assert ladder.steps <= 500 - 160  # enough is left for fresh seeds
    assert ladder.ended == "The budget is spent."
    again = search(recipe_of(), **problem().given(changes, budget=Budget(steps=500)))
    assert [t.note for t in again.trials] == [t.note for t in ladder.trials]


def test_no_trial_is_begun_when_the_time_is_over(problem, monkeypatch):
    given, clock = problem(), [time.monotonic()]
    honest, calls = given.train, []
    passing = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr(sys.modules["goodfit.improvement.search"], "time", passing)

    def train(recipe, seeds):
        calls.append(recipe)
        clock[0] += 1.0
        return honest(recipe, seeds)

    changes = [change_of(f"ridge {k}", ridge=float(k)) for k in range(2, 12)]
    ladder = search(recipe_of(), **given.given(changes, train=train, budget=Budget(seconds=4.5)))
    assert len(calls) == 5  # the baseline's halves, and one half of each change until the time is over
    assert ladder.ended == "The budget is spent."
    assert len(ladder.trials) == 4
    assert not any(trial.kept for trial in ladder.trials[1:])


def test_budget_in_words():
    assert Budget.of("1.5m").seconds == 90
    assert Budget.of(None) == Budget()
    for wrong in ("soon", 0, "-3s"):
        with pytest.raises(InputError, match="budget"):
            Budget.of(wrong)


def test_nothing_to_try(problem):
    ladder = search(recipe_of(), **problem().given([]))
    assert ladder.ended == "There was nothing left to try."
    assert len(ladder.trials) == 1
    assert not ladder.improved


def test_interrupted_search_keeps_what_it_has(problem):
    given = problem()
    honest, calls = given.train, []

    def train(recipe, seeds):
        calls.append(recipe)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return honest(recipe, seeds)

    ladder = search(recipe_of(bias=2.0), **given.given([change_of("unbiased", bias=0.0)], train=train))
    assert ladder.interrupted
    assert ladder.best == 0


def study_of_noise(problem, seed, changes, base):
    ladder = search(recipe_of(**base), **problem(signal=0.0, rows=150, seed=seed).given(changes))
    return any(t.kept for t in ladder.trials[1:]), ladder.improved


def test_changes_that_do_nothing_are_rarely_kept(problem):
    """12 changes that only draw other features, on pure noise: at most 5 % of 200 studies, binomial noise allowed."""
    changes = [change_of(f"draw {k}", draw=k) for k in range(1, 13)]
    kept = [study_of_noise(problem, seed, changes, {"features": 10, "ridge": 1.0})[0] for seed in range(200)]
    assert np.mean(kept) <= 0.05


def test_pure_noise_is_rarely_called_improved(problem):
    """Shrinking a network that fits noise does lower its loss; but nothing there beats the mean."""
    changes = [change_of(f"ridge {k}", ridge=float(k)) for k in (10, 30, 100, 300, 1000)]
    changes += [change_of(f"features {k}", features=k) for k in (1, 2, 3, 5, 7)]
    said = [study_of_noise(problem, seed, changes, {"features": 20, "ridge": 1.0}) for seed in range(200)]
    assert np.mean([improved for _, improved in said]) <= 0.05


def test_a_full_disk_ends_the_study(problem, tmp_path, monkeypatch):
    trials = Trials(tmp_path, {})
    given = problem()
    honest = given.train

    def train(recipe, seeds):
        arm = honest(recipe, seeds)
        if len(given.trained) > 3:
            monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        trials.keep(f"{recipe.hash}-{min(seeds)}", arm)
        return arm

    with pytest.raises(InputError, match=r"No space left on device. Make room and run the same again"):
        search(recipe_of(bias=2.0), **given.given([change_of("unbiased", bias=0.0)], train=train))
    assert len(list(tmp_path.glob("*.npz"))) == 3


def test_propose_takes_turns_among_the_findings():
    def made(name):
        return Change(name, {name: 1}, "", "")

    told = Change("look", {}, "", "look at it")
    findings = (
        Finding("first", "found", "…", "high", changes=(made("a"), made("b"))),
        Finding("second", "found", "…", "low", changes=(told, made("c"), made("a"))),
        Finding("third", "clear", "…", changes=(made("never"),)),
    )
    others = [made("b"), made("x"), made("y"), made("z")]
    names = [c.name for c in propose(Diagnosis("unstable", "…", findings), others, unasked=2)]
    assert names == ["a", "c", "b", "x", "y"]
    left = propose(Diagnosis("unstable", "…", findings), others, tried=[made("a"), made("x")], unasked=None)
    assert [c.name for c in left] == ["c", "b", "y", "z"]


def test_trials_survive_and_are_found_again(problem, tmp_path):
    data = {"y": {"rows": 200, "hash": "abc"}, "endpoint": "loss"}
    trials = Trials(tmp_path / "t", data)
    arm = problem().train(recipe_of(bias=1.0), (0, 1))
    arm.losses[0, 3] = np.inf
    trials.keep("key", arm)
    again = Trials(tmp_path / "t", data).find("key")
    np.testing.assert_array_equal(again.losses, arm.losses)
    assert again.run.recipe == arm.run.recipe
    assert (again.steps, again.run.seeds) == (arm.steps, (0, 1))
    assert trials.find("other") is None
    (tmp_path / "t" / "half.npz").write_bytes((tmp_path / "t" / "key.npz").read_bytes()[:100])
    assert trials.find("half") is None
    assert not list((tmp_path / "t").glob("*.part"))
    with pytest.raises(InputError, match="y rows was 200, is 199"):
        Trials(tmp_path / "t", {**data, "y": {"rows": 199, "hash": "abc"}})


def test_killed_study_ends_with_the_same_numbers(problem, tmp_path):
    changes = [change_of("unbiased", bias=0.0), change_of("ridge", ridge=5.0)]
    whole = search(recipe_of(bias=2.0), **problem().given(changes))
    given = problem()
    honest, done = given.train, []

    def remembered(kill_after):
        trials = Trials(tmp_path, {"rows": 200})

        def train(recipe, seeds):
            key = f"{recipe.hash}-{min(seeds)}"
            arm = trials.find(key)
            if arm is None:
                if len(done) >= kill_after:
                    raise SystemExit
                arm = honest(recipe, seeds)
                done.append(key)
                trials.keep(key, arm)
            return arm

        return train

    with pytest.raises(SystemExit):
        search(recipe_of(bias=2.0), **given.given(changes, train=remembered(4)))
    again = search(recipe_of(bias=2.0), **given.given(changes, train=remembered(99)))
    assert len(done) == len(set(done))  # nothing was trained twice
    assert [t.comparison for t in again.trials[1:]] == [t.comparison for t in whole.trials[1:]]
    assert again.gain == whole.gain
    assert again.steps == whole.steps
