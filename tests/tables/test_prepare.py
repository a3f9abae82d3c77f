"""The preparation is fitted on the training rows alone, keeps every row, and comes back from its file as it was."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from goodfit.errors import InputError
from goodfit.tables import Preparation, inspect, prepare, read, split
from goodfit.tables.split import Split

EXAMPLES = Path(__file__).parents[2] / "examples"


def mixed(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": rng.normal(50, 9, rows),
            "power": np.where(rng.random(rows) < 0.1, np.nan, rng.gamma(2.0, 30.0, rows)),
            "colour": rng.choice(["red", "green", "blue", None], rows, p=[0.5, 0.3, 0.1, 0.1]),
            "shop": rng.choice([f"shop {i}" for i in range(80)], rows),
            "origin": rng.integers(1, 4, rows),
            "open": rng.choice(["yes", "no"], rows),
            "day": pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 700, rows), unit="D"),
        }
    )
    frame["y"] = frame["size"] * 2 + frame["origin"] + rng.normal(size=rows)
    return frame


def prepared(frame: pd.DataFrame, target: str = "y", **options):
    table = read(frame)
    inspection = inspect(table, target, **options)
    parts = split(table, inspection)
    preparation, data = prepare(table, inspection, parts)
    return table, parts, preparation, data


def test_numbers_are_standardized_by_the_training_rows():
    table, parts, _, data = prepared(mixed())
    size = table.frame["size"].to_numpy()
    mean, scale = size[parts.train].mean(), size[parts.train].std()
    at = data.feature_names.index("size")
    np.testing.assert_allclose(data.x[:, at], (size[data.rows] - mean) / scale, rtol=1e-5, atol=1e-6)
    power = table.frame["power"].to_numpy()
    median = np.nanmedian(power[parts.train])
    filled = np.where(np.isnan(power), median, power)
    expected = (filled - filled[parts.train].mean()) / filled[parts.train].std()
    np.testing.assert_allclose(data.x[:, data.feature_names.index("power")], expected[data.rows], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(data.x[:, data.feature_names.index("power (missing)")], np.isnan(power[data.rows]))
    np.testing.assert_allclose(data.x[data.train].mean(axis=0)[:2], 0, atol=1e-5)
    np.testing.assert_allclose(data.x[data.train].std(axis=0)[:2], 1, atol=1e-5)


def test_the_target_is_standardized_by_the_training_rows():
    table, parts, _, data = prepared(mixed())
    y = table.frame["y"].to_numpy()
    assert data.target_mean == pytest.approx(y[parts.train].mean())
    assert data.target_scale == pytest.approx(y[parts.train].std())
    np.testing.assert_allclose(data.original_units(data.y), y[data.rows], rtol=1e-5)
    assert (data.x.dtype, data.y.dtype) == (np.float32, np.float32)


def test_rows_that_do_not_train_leave_the_preparation_as_it_is():
    """The classic mistake: means, medians, levels or dates taken over the test rows too."""
    frame = mixed()
    table = read(frame)
    inspection = inspect(table, "y")
    parts = split(table, inspection)
    first, data = prepare(table, inspection, parts)
    other = frame.copy()
    others = np.concatenate([parts.validation, parts.test])
    other.loc[others, "size"] = 1e6
    other.loc[others, "power"] = np.nan
    other.loc[others, "colour"] = "purple"
    other.loc[others, "shop"] = "shop 0"
    other.loc[others, "day"] = pd.Timestamp("1999-12-31 12:00")
    other.loc[others, "y"] = -5e5 - np.arange(len(others))
    second, changed = prepare(read(other), inspection, parts)
    np.testing.assert_array_equal(changed.x[changed.train], data.x[data.train])
    np.testing.assert_array_equal(changed.y[changed.train], data.y[data.train])
    np.testing.assert_array_equal(second.transform(frame), first.transform(frame))
    assert second.feature_names == first.feature_names
    assert (second.target_mean, second.target_scale) == (first.target_mean, first.target_scale)
    # The test has teeth: had those rows trained, every number would differ.
    swapped, _ = prepare(read(other), inspection, Split(others, parts.validation, parts.test, "swapped"))
    assert swapped.target_mean != first.target_mean


def test_every_row_is_kept_in_order_and_nothing_is_missing():
    table, _, preparation, data = prepared(mixed())
    whole = preparation.transform(table.frame)
    assert whole.shape == (300, len(preparation.feature_names))
    assert np.isfinite(whole).all()
    assert whole.dtype == np.float32
    order = np.random.default_rng(1).permutation(300)
    np.testing.assert_array_equal(preparation.transform(table.frame.iloc[order]), whole[order])
    np.testing.assert_array_equal(preparation.transform(table.frame.iloc[[7]]), whole[[7]])
    np.testing.assert_array_equal(data.x, whole[data.rows])
    assert preparation.transform(table.frame.iloc[:0]).shape == (0, len(preparation.feature_names))


def test_missing_and_unseen_values_are_taken():
    frame = mixed()
    _, _, preparation, _ = prepared(frame)
    rows = frame.drop(columns="y").iloc[:6].astype({"origin": object})
    rows.loc[0] = [None] * rows.shape[1]
    rows.loc[1, ["colour", "shop", "origin", "open"]] = ["violet", "shop 999", "9", "maybe"]
    rows.loc[2, "size"] = 1e300
    x = preparation.transform(rows)
    assert x.shape[0] == 6
    assert np.isfinite(x).all()
    names = preparation.feature_names
    assert x[0, names.index("colour=(missing)")] == 1
    assert x[1, names.index("shop=(rare)")] == 1
    assert x[1, [i for i, name in enumerate(names) if name.startswith("origin=")]].sum() == 0
    assert x[1, [i for i, name in enumerate(names) if name.startswith("colour=")]].sum() == 0
    said = preparation.review(rows)
    assert any("'colour'" in note and "“violet”" in note for note in said)
    assert any("'origin'" in note and "“9”" in note for note in said)


def test_rare_levels_are_joined():
    table, parts, preparation, data = prepared(mixed())
    counts = table.frame["shop"].iloc[parts.train].value_counts()
    kept = [name for name in data.feature_names if name.startswith("shop=shop")]
    assert len(kept) <= 30
    assert all(counts[name.removeprefix("shop=")] >= 5 for name in kept)
    rare = data.x[data.train][:, data.feature_names.index("shop=(rare)")].sum()
    assert rare == counts.sum() - sum(counts[name.removeprefix("shop=")] for name in kept)
    assert "rare values joined" in preparation.describe["shop"]


def test_levels_of_a_category_stand_one_input_each():
    _, _, _, data = prepared(mixed())
    at = [i for i, name in enumerate(data.feature_names) if name.startswith("origin=")]
    assert [data.feature_names[i] for i in at] == ["origin=1", "origin=2", "origin=3"]
    assert (data.x[:, at].sum(axis=1) == 1).all()


def test_dates_become_days_season_and_weekday():
    table, parts, _, data = prepared(mixed())
    names = data.feature_names
    assert [n for n in names if n.startswith("day")] == [
        "day (days)", "day (season sin)", "day (season cos)", "day (weekday sin)", "day (weekday cos)",
    ]  # fmt: skip
    days = (table.frame["day"] - pd.Timestamp("2023-01-01")).dt.days.to_numpy(float)
    expected = (days - days[parts.train].mean()) / days[parts.train].std()
    np.testing.assert_allclose(data.x[:, names.index("day (days)")], expected[data.rows], rtol=1e-4, atol=1e-5)


def test_columns_say_what_was_done_to_them():
    _, _, preparation, data = prepared(mixed(), drop=["size"])
    assert preparation.columns == data.columns
    treated = {column.name: column for column in data.columns}
    assert treated["size"].treatment == "left out: asked for"
    assert treated["power"].features == ("power", "power (missing)")
    assert "median" in treated["power"].treatment
    assert treated["y"].treatment == "predicted"
    assert sorted(f for column in data.columns for f in column.features) == sorted(data.feature_names)
    assert preparation.describe == {column.name: column.treatment for column in data.columns}


def test_a_missing_column_is_named_and_others_are_ignored_aloud():
    frame = mixed()
    _, _, preparation, _ = prepared(frame)
    with pytest.raises(InputError, match=r"no column 'power'.*Is it the column 'powr'\? Rename that"):
        preparation.transform(frame.rename(columns={"power": "powr"}))
    with pytest.raises(InputError, match=r"no column 'size' \(and 6 more that are needed\)"):
        preparation.transform(frame[["y"]])
    extra = frame.drop(columns="y").assign(more=1, other="x")
    np.testing.assert_array_equal(preparation.transform(extra), preparation.transform(frame))
    assert preparation.review(extra) == ("not in the training table, so ignored: 'more', 'other'.",)
    with pytest.raises(InputError, match="several columns called 'size'"):
        preparation.transform(pd.concat([frame, frame[["size"]]], axis=1))


def test_stray_text_and_infinities_at_prediction_are_named():
    frame = mixed()
    _, _, preparation, _ = prepared(frame)
    bad = frame.iloc[:5].astype({"size": object})
    bad.iloc[3, 0] = "about 12"
    with pytest.raises(InputError, match=r"'size' holds numbers, but “about 12” in row 3 \(counted from 0\)"):
        preparation.transform(bad)
    bad.iloc[3, 0] = np.inf
    with pytest.raises(InputError, match=r"'size' holds an infinite number in row 3") as caught:
        preparation.transform(bad)
    assert caught.value.remedy == "Mend that cell, or count infinities as missing (--na=inf --na='-inf')."
    assert "drop" not in str(caught.value)  # which is for a training


def test_save_and_load_give_the_same_back(tmp_path):
    frame = mixed()
    for target in ("y", "colour"):
        whole = frame.dropna(subset=[target])
        _, _, preparation, _ = prepared(whole, target)
        path = tmp_path / "preparation.skops"
        preparation.save(path)
        loaded = Preparation.load(path)
        np.testing.assert_array_equal(loaded.transform(frame), preparation.transform(frame))
        for name in (
            "columns",
            "forms",
            "levels",
            "dates",
            "feature_names",
            "target",
            "task",
            "classes",
            "na",
            "header",
        ):
            assert getattr(loaded, name) == getattr(preparation, name), name
        assert loaded.target_mean == preparation.target_mean
        assert loaded.target_scale == preparation.target_scale
        assert path.stat().st_size < 100_000


def test_no_file_but_a_preparation_is_loaded(tmp_path):
    import skops.io
    from sklearn.tree import DecisionTreeRegressor

    path = tmp_path / "other.skops"
    with pytest.raises(InputError, match="there is no preparation"):
        Preparation.load(path)
    path.write_bytes(pickle.dumps({"about": "{}"}))
    with pytest.raises(InputError, match="not a preparation"):
        Preparation.load(path)
    skops.io.dump(DecisionTreeRegressor(), path)
    with pytest.raises(InputError, match="not a preparation"):
        Preparation.load(path)
    skops.io.dump({"about": "{}", "transformer": Path("x")}, path)
    with pytest.raises(InputError, match="not a preparation"):
        Preparation.load(path)


def test_a_table_to_predict_is_read_as_the_training_table_was(tmp_path):
    text = "width;weight;day;kind;y\n" + "".join(
        f"{i % 40},{i % 10}5;{1 + i % 3}.{100 + i}.{500 + i};{i % 28 + 1:02}.03.2024;{'ab'[i % 2]};{i % 7},{i}\n"
        for i in range(60)
    )
    path = tmp_path / "train.csv"
    path.write_text(text)
    table = read(path, na="gone")
    inspection = inspect(table, "y")
    preparation, _ = prepare(table, inspection, split(table, inspection))
    new = tmp_path / "new.csv"
    new.write_text("kind;day;weight;width\nb;04.03.2024;2.500.125;7\ngone;gone;gone;gone\nc;;7;3,25\n")
    read_alike = preparation.read(new)
    assert read_alike.frame["weight"].tolist()[::2] == [2500125, 7]
    assert read_alike.frame["width"].tolist()[::2] == [7, 3.25]
    assert read_alike.frame["day"][0] == pd.Timestamp("2024-03-04")
    assert read_alike.frame.iloc[1].isna().all()
    assert preparation.transform(read_alike.frame).shape[0] == 3
    new.write_text("kind;day;weight;width\nb;04.03.2024;2.500.125;7\na;04.03.2024;heavy;7\n")
    with pytest.raises(InputError, match=r"'weight' holds numbers, but “heavy” in row 2 \(line 3\)"):
        preparation.read(new)


def column_again(tmp_path, trained: list[str], new: list[str], decimal=None, thousands=None):
    """A column of texts as it is read after a training on others: the numbers, and the notes."""
    frame = pd.DataFrame({"a": trained * (60 // len(trained)), "y": np.arange(60 // len(trained) * len(trained))})
    preparation = prepared(frame, numeric=["a"])[2]
    preparation.save(tmp_path / "p.skops")
    loaded = Preparation.load(tmp_path / "p.skops")
    forms = {name: form.marked(decimal, thousands) for name, form in loaded.forms.items()}
    (tmp_path / "new.csv").write_text("\n".join(["a;b", *(f"{cell};x" for cell in new)]))
    table = dataclasses.replace(loaded, forms=forms).read(tmp_path / "new.csv")
    return table.frame["a"].tolist(), [note for note in table.notes if note.startswith("'a'")]


@pytest.mark.parametrize(
    ("trained", "new", "expected"),
    [
        (["0,25", "1,5"], ["-0,264", "1,234"], [-0.264, 1.234]),
        (["1.250,5", "7,5"], ["1.234", "0,5"], [1234, 0.5]),
        (["1,250.5", "7.5"], ["1,234", "0.5"], [1234, 0.5]),
        (["0.25", "1.5"], ["1.234", "3"], [1.234, 3]),
    ],
)
def test_marks_learnt_in_training_are_used_without_a_word(tmp_path, trained, new, expected):
    assert column_again(tmp_path, trained, new) == (expected, [])


@pytest.mark.parametrize(
    ("trained", "new", "expected", "note"),
    [
        (["1.250,5", "7,5"], ["1.234", "0.264"], [1.234, 0.264], "the point is the decimal mark (“1.234”)"),
        (["0,25", "1,5"], ["12.5", "3"], [12.5, 3], "the point is the decimal mark (“12.5”)"),
        (["0,25", "1,5"], ["1.234,5", "3"], [1234.5, 3], "points set the thousands apart (“1.234,5”)"),
        (["0.25", "1.5"], ["1,264", "3"], [1264, 3], "give --decimal , where the comma is the decimal mark"),
        (["25", "15"], ["1,264", "3"], [1264, 3], "give --decimal , where the comma is the decimal mark"),
    ],
)
def test_other_marks_than_in_training_are_said(tmp_path, trained, new, expected, note):
    values, notes = column_again(tmp_path, trained, new)
    assert values == expected
    assert note in notes[0]
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("trained", "new", "problem", "marks", "expected"),
    [
        (["0.25", "1.5"], ["-0,264", "1,234"], "“-0,264”.*the point as the decimal mark", (",", None), [-0.264, 1.234]),
        (["25", "15"], ["1,5", "1,234"], "“1,5”.*the point as the decimal mark", (",", None), [1.5, 1.234]),
        (["0,25", "1,5"], ["1.234", "3"], "in two ways.*“1.234”", (".", None), [1.234, 3]),
        (["0,25", "1,5"], ["1.234", "3"], "in two ways.*“1.234”", (None, "."), [1234, 3]),
    ],
)
def test_marks_that_contradict_the_training_table_are_refused(tmp_path, trained, new, problem, marks, expected):
    with pytest.raises(InputError, match=problem):
        column_again(tmp_path, trained, new)
    assert column_again(tmp_path, trained, new, *marks) == (expected, [])


def test_a_file_without_a_header_is_read_by_the_training_tables_names(tmp_path):
    text = "".join(f"{i % 13 + 0.5},{i % 7}.5,{i * i % 31}.25\n" for i in range(50))
    path = tmp_path / "t.data"
    path.write_text(text)
    table = read(path, names=["a", "b", "y"])
    inspection = inspect(table, "y")
    preparation, _ = prepare(table, inspection, split(table, inspection))
    np.testing.assert_array_equal(
        preparation.transform(preparation.read(path).frame), preparation.transform(table.frame)
    )


def test_one_row_is_transformed_like_many(tmp_path):
    table, _, preparation, _ = prepared(mixed())
    path = tmp_path / "one.csv"
    table.frame.iloc[[5]].to_csv(path, index=False)
    np.testing.assert_allclose(
        preparation.transform(preparation.read(path).frame), preparation.transform(table.frame.iloc[[5]]), rtol=1e-6
    )


def test_classes_are_coded_in_their_order():
    frame = datasets.load_wine(as_frame=True).frame
    frame["target"] = np.array(["c", "a", "b"])[frame["target"]]
    _, _, _, data = prepared(frame, "target")
    assert data.classes == ("a", "b", "c")
    assert data.y.dtype == np.int32
    assert [data.classes[code] for code in data.y] == frame["target"].iloc[data.rows].tolist()


def test_a_training_part_of_one_class_is_refused():
    frame = pd.DataFrame({"x": np.arange(60) / 7, "when": np.arange(60) * 0.5, "y": ["a"] * 50 + ["b"] * 10})
    table = read(frame)
    inspection = inspect(table, "y", roles=["when"])
    with pytest.raises(InputError, match=r"the training rows hold one value of the target 'y' only, a"):
        prepare(table, inspection, split(table, inspection, time="when"))


def test_a_column_missing_in_all_training_rows_is_harmless():
    frame = mixed(100)
    frame["late"] = np.nan
    frame.loc[95:, "late"] = [1.5, 2.5, 3.5, 4.5, 5.5]
    table = read(frame)
    inspection = inspect(table, "y")
    rows = np.arange(100)
    preparation, data = prepare(table, inspection, Split(rows[:60], rows[60:80], rows[80:], "in order"))
    assert np.isfinite(data.x).all()
    assert np.isfinite(preparation.transform(frame)).all()


def test_auto_mpg():
    table = read(EXAMPLES / "auto-mpg.csv")
    inspection = inspect(table, "mpg")
    preparation, data = prepare(table, inspection, split(table, inspection))
    assert data.x.shape == (397, 10)
    assert data.feature_names[-4:] == ("origin=1", "origin=2", "origin=3", "horsepower (missing)")
    assert data.x[:, -1].sum() == 5
    assert data.fingerprint == table.fingerprint
    assert set(data.notes) >= set(table.notes) | set(inspection.notes)
    raw = pd.read_csv(EXAMPLES / "auto-mpg.csv")
    np.testing.assert_array_equal(preparation.transform(raw)[data.rows], data.x)


def test_a_headerless_table_to_predict_may_lack_the_target_and_one_with_a_header_may_be_in_any_order(tmp_path):
    path = tmp_path / "t.data"
    path.write_text("".join(f"{i % 13 + 0.5},{i % 7}.5,{i * i % 31}.25\n" for i in range(50)))
    table = read(path, names=["a", "b", "y"])
    inspection = inspect(table, "y")
    preparation, _ = prepare(table, inspection, split(table, inspection))
    bare = tmp_path / "bare.data"
    bare.write_text("3.5,2.5\n4.5,6.5\n")
    expected = preparation.transform(pd.DataFrame({"a": [3.5, 4.5], "b": [2.5, 6.5]}))
    for names in (None, ["a", "b", "y"]):
        np.testing.assert_array_equal(preparation.transform(preparation.read(bare, names=names).frame), expected)
    bare.write_text("b,a\n2.5,3.5\n6.5,4.5\n")
    for names in (None, ["a", "b", "y"]):
        np.testing.assert_array_equal(preparation.transform(preparation.read(bare, names=names).frame), expected)
