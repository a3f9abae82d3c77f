"""Rows are divided before anything is fitted, reproducibly, and as the data demands."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from goodfit.errors import InputError
from goodfit.tables import inspect, prepare, read, split


def table_of(rows: int = 200, classes: int = 0, seed: int = 0, **columns):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=rows), "y": rng.normal(size=rows), **columns})
    if classes:
        frame["y"] = [f"class {i}" for i in np.arange(rows) % classes]
    return read(frame)


def parts_of(table, **options):
    roles = [options[name] for name in ("group", "time") if name in options]
    return split(table, inspect(table, "y", roles=roles), **options)


def together(parts) -> list[int]:
    return sorted(np.concatenate([parts.train, parts.validation, parts.test]).tolist())


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (20240101 + np.arange(100), "20240161"),
        (1_700_000_000_123 + np.arange(100), "1700000000183"),
        (2000.125 + np.arange(100), "2060.125"),
        (1e-7 * (1 + np.arange(100)), "6.1e-06"),
        (
            pd.Timestamp("2024-01-01 10:30:07.25") + pd.to_timedelta(np.arange(100), unit="h"),
            "2024-01-03 22:30:07.250000",
        ),
        (pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(100), unit="D"), "2024-03-01"),
    ],
)
def test_the_border_of_a_split_by_time_is_told_whole(when, said):
    assert f"training ends before {said}." in parts_of(table_of(100, when=when), time="when").how


@given(
    rows=st.integers(30, 300),
    classes=st.sampled_from([0, 2, 3, 7]),
    seed=st.integers(0, 5),
    validation=st.sampled_from([0.1, 0.2, 0.3]),
    test=st.sampled_from([0.1, 0.25]),
)
@settings(deadline=None, max_examples=60)
def test_every_row_is_in_one_part_and_the_sizes_are_as_asked(rows, classes, seed, validation, test):
    parts = parts_of(table_of(rows, classes), seed=seed, validation=validation, test=test)
    assert together(parts) == list(range(rows))
    assert abs(len(parts.test) - test * rows) <= 1 + classes
    assert abs(len(parts.validation) - validation * rows) <= 1 + classes
    for part in (parts.train, parts.validation, parts.test):
        assert (np.diff(part) > 0).all()


def test_the_draw_depends_on_the_seed_alone():
    table = table_of()
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first, again, other = parts_of(table, seed=3), parts_of(table, seed=3), parts_of(table, seed=4)
    assert (np.random.get_state()[1] == state).all()
    assert first.test.tolist() == again.test.tolist() != other.test.tolist()
    assert first.train.tolist() == again.train.tolist() != other.train.tolist()


def test_classes_keep_their_shares():
    y = np.array(["a"] * 500 + ["b"] * 50 + ["c"] * 5 + ["d"] * 3)
    rng = np.random.default_rng(0)
    table = read(pd.DataFrame({"x": rng.normal(size=len(y)), "y": rng.permutation(y)}))
    parts = parts_of(table)
    for part, share in ((parts.train, 0.6), (parts.validation, 0.2), (parts.test, 0.2)):
        counts = table.frame["y"].iloc[part].value_counts()
        for name, size in (("a", 500), ("b", 50), ("c", 5), ("d", 3)):
            assert counts[name] >= 1
            assert abs(counts[name] - share * size) <= 2
    assert "each class in equal shares" in parts.how


def test_a_class_of_two_rows_is_trained_and_tested():
    y = np.array(["a"] * 40 + ["b"] * 40 + ["c"] * 2)
    table = read(pd.DataFrame({"x": np.random.default_rng(0).normal(size=82), "y": y}))
    for seed in range(20):
        parts = parts_of(table, seed=seed)
        assert {"c"} <= set(table.frame["y"].iloc[parts.train])
        assert {"c"} <= set(table.frame["y"].iloc[parts.test])


def test_a_regression_target_is_drawn_from_its_whole_range():
    table = table_of(1000)
    y = table.frame["y"].to_numpy()
    deciles = np.quantile(y, np.linspace(0, 1, 11)[1:-1])
    for seed in range(5):
        counts = np.bincount(np.digitize(y[parts_of(table, seed=seed).test], deciles), minlength=10)
        assert counts.sum() == 200
        assert (abs(counts - 20) <= 1).all()


def test_a_row_is_drawn_as_often_as_any_other():
    table = table_of(50)
    inspection = inspect(table, "y")
    drawn = np.zeros((50, 3))
    for seed in range(1000):
        parts = split(table, inspection, seed=seed)
        for part, rows in enumerate((parts.train, parts.validation, parts.test)):
            drawn[rows, part] += 1
    assert chi2_contingency(drawn).pvalue > 0.001


def test_rows_without_a_target_are_in_no_part():
    y = np.where(np.arange(100) % 10 == 0, np.nan, np.random.default_rng(0).normal(size=100))
    parts = parts_of(read(pd.DataFrame({"x": np.arange(100) / 7, "y": y})))
    assert together(parts) == [i for i in range(100) if i % 10]


@pytest.mark.parametrize("classes", [0, 3])
def test_a_group_is_never_on_two_sides(classes):
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 40, 400).astype(str)
    table = table_of(400, classes, patient=patients)
    for seed in range(5):
        parts = parts_of(table, group="patient", seed=seed)
        sides = [set(patients[part]) for part in (parts.train, parts.validation, parts.test)]
        assert sides[0].isdisjoint(sides[1] | sides[2])
        assert sides[1].isdisjoint(sides[2])
        assert together(parts) == list(range(400))
        assert abs(len(parts.test) - 80) <= 20
        assert abs(len(parts.validation) - 80) <= 20
    assert "no value of 'patient' on two sides" in parts.how


def test_three_groups_make_three_parts():
    table = table_of(90, plant=np.repeat(["a", "b", "c"], 30))
    parts = parts_of(table, group="plant")
    assert sorted(map(len, (parts.train, parts.validation, parts.test))) == [30, 30, 30]
    two = table_of(90, plant=np.repeat(["a", "b"], 45))
    with pytest.raises(InputError, match=r"'plant' has 2 different values; 3 parts need"):
        parts_of(two, group="plant")


def test_a_gap_in_the_group_or_time_column_is_named():
    table = table_of(60, plant=[*("abcdef" * 9), *([None] * 6)])
    with pytest.raises(InputError, match=r"'plant' has no value in row 54 \(counted from 0\) \(6 such rows\)"):
        parts_of(table, group="plant")
    with pytest.raises(InputError, match=r"'plant' has no value in row 54"):
        parts_of(table, time="plant")


def test_groups_that_hold_a_class_alone_are_refused():
    table = read(
        pd.DataFrame({"x": np.arange(60) / 7, "y": np.repeat(list("abcd"), 15), "g": np.repeat(list("uvwx"), 15)})
    )
    with pytest.raises(InputError, match=r"leaves the class '.' among the training rows"):
        parts_of(table, group="g")


@pytest.mark.parametrize("dates", [True, False])
def test_the_last_rows_in_time_are_the_test_rows(dates):
    rng = np.random.default_rng(0)
    order = rng.permutation(100)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(order, unit="D") if dates else order * 1.5
    parts = parts_of(table_of(100, when=when), time="when")
    assert order[parts.train].max() < order[parts.validation].min()
    assert order[parts.validation].max() < order[parts.test].min()
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [60, 20, 20]
    assert ("training ends before 2024-03-01" if dates else "training ends before 90") in parts.how


def test_rows_of_one_moment_stay_together():
    year = np.repeat(np.arange(2000, 2011), 9)
    parts = parts_of(table_of(99, year=year), time="year")
    assert year[parts.train].max() < year[parts.validation].min()
    assert year[parts.validation].max() < year[parts.test].min()
    with pytest.raises(InputError, match=r"'year' has too few different values"):
        parts_of(table_of(99, year=np.repeat([2000, 2001], [90, 9])), time="year")


def test_time_needs_dates_or_numbers():
    with pytest.raises(InputError, match=r"'when' holds neither dates nor numbers, but text such as early"):
        parts_of(table_of(100, when=["early", "late"] * 50), time="when")


@pytest.mark.parametrize("classes", [0, 3])
def test_a_test_table_is_the_test_part(classes):
    table, other = table_of(100, classes), table_of(30, classes, seed=1)
    inspection = inspect(table, "y")
    parts = split(table, inspection, test_table=other)
    assert parts.test.tolist() == list(range(100, 130))
    assert len(parts.train) + len(parts.validation) == 100
    preparation, data = prepare(table, inspection, parts)
    np.testing.assert_array_equal(data.x[data.test], preparation.transform(other.frame))
    assert data.rows[data.test].tolist() == list(range(100, 130))
    if classes:
        assert [data.classes[code] for code in data.y[data.test]] == other.frame["y"].tolist()
    else:
        np.testing.assert_allclose(data.original_units(data.y[data.test]), other.frame["y"], rtol=1e-5, atol=1e-5)


def test_a_test_table_that_does_not_fit_is_refused():
    table = table_of(100, 3)
    inspection = inspect(table, "y")
    for frame, match in (
        (pd.DataFrame({"y": ["class 0"] * 5}), "has no column 'x'"),
        (pd.DataFrame({"x": [1.5] * 5}), "has no column 'y'"),
        (pd.DataFrame({"x": [1.5] * 5, "y": [None] * 5}), "has no value of 'y'"),
        (pd.DataFrame({"x": [1.5] * 3, "y": ["class 0", "class 9", "class 1"]}), "class 9 in row 1"),
    ):
        with pytest.raises(InputError, match=match):
            split(table, inspection, test_table=read(frame))
    stray = read(pd.DataFrame({"x": ["1.5", "2", "oops"], "y": ["class 0", "class 1", "class 2"]}))
    with pytest.raises(InputError, match=r"the column 'x' holds numbers, but “oops” in row 2"):
        prepare(table, inspection, split(table, inspection, test_table=stray))


def test_shares_and_columns_that_mean_nothing():
    table = table_of(100, when=np.arange(100) / 3)
    for options, match in (
        ({"validation": 0.0}, "validation=0 is not between 0 and 1"),
        ({"test": 1.5}, "test_size=1.5 is not between"),
        ({"validation": 0.6, "test": 0.5}, "leave no rows to train on"),
        ({"group": "x", "time": "when"}, "both a group and a time column"),
    ):
        with pytest.raises(InputError, match=match):
            split(table, inspect(table, "y"), **options)
    with pytest.raises(InputError, match=r"the time column 'wen' is not in the table. Did you mean 'when'\?"):
        split(table, inspect(table, "y"), time="wen")


def test_groups_on_both_sides_of_a_test_table_are_refused():
    table = table_of(60, place=np.arange(60) // 6)
    both = table_of(12, seed=1, place=np.arange(12))
    with pytest.raises(
        InputError, match=r"10 values of the group column 'place' stand in both tables, such as 0 \(10 of"
    ):
        parts_of(table, group="place", test_table=both)
    others = parts_of(table, group="place", test_table=table_of(12, seed=1, place=np.arange(12) + 10))
    assert "no value of 'place' on two sides" in others.how
    unknown = parts_of(table, group="place", test_table=table_of(12, seed=1))
    assert "whether its groups are others is not known" in unknown.how


def test_a_test_table_that_is_not_later_is_told():
    days = pd.date_range("2020-01-01", periods=60)
    table = table_of(60, day=days)
    for start, says in (("2020-03-01", "all of them later"), ("2020-02-25", "5 of which are not later")):
        parts = parts_of(table, time="day", test_table=table_of(12, seed=1, day=pd.date_range(start, periods=12)))
        assert says in parts.how
    assert "whether they are later is not known" in parts_of(table, time="day", test_table=table_of(12)).how
