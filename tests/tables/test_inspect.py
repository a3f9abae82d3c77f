"""What each column is taken for, and why."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from goodfit.errors import InputError
from goodfit.tables import inspect, read

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS = 200


def inspected(target: str = "y", task=None, **columns):
    rng = np.random.default_rng(0)
    options = {k: columns.pop(k) for k in ("categorical", "numeric", "drop", "roles") if k in columns}
    frame = pd.DataFrame({"noise": rng.normal(size=ROWS), **columns})
    if "y" not in frame:
        frame["y"] = rng.normal(size=ROWS)
    return inspect(read(frame), target, task=task, **options)


def test_auto_mpg():
    found = inspect(read(EXAMPLES / "auto-mpg.csv"), "mpg")
    kinds = {column.name: column.kind for column in found.columns}
    assert kinds == {
        "mpg": "target",
        "cylinders": "number",
        "displacement": "number",
        "horsepower": "number",
        "weight": "number",
        "acceleration": "number",
        "year": "number",
        "origin": "category",
        "name": "identifier",
    }
    assert (found.task, found.classes) == ("regression", ())
    assert found.column("horsepower").missing == 5
    assert "code, not a quantity" in found.column("origin").reason
    assert any(note.startswith("'origin': its values 1, 2, 3 are a code") for note in found.notes)
    assert any(note.startswith("'cylinders': its 5 different values were taken for a quantity") for note in found.notes)
    assert found.column("name").treatment == "left out: it names the row"
    assert "name" not in [column.name for column in found.inputs]


def test_the_user_decides():
    table = read(EXAMPLES / "auto-mpg.csv")
    found = inspect(table, "mpg", categorical=["cylinders", "name"], numeric=["origin"], drop=["year"])
    assert found.column("cylinders").kind == "category"
    assert found.column("name").kind == "category"
    assert found.column("origin").kind == "number"
    assert found.column("year").treatment == "left out: asked for"
    assert [column.name for column in found.inputs][-2:] == ["origin", "name"]


@pytest.mark.parametrize(
    ("name", "task", "classes"),
    [
        ("diabetes", "regression", 0),
        ("breast_cancer", "binary", 2),
        ("wine", "multiclass", 3),
        ("digits", "multiclass", 10),
    ],
)
def test_the_tables_of_scikit_learn(name, task, classes):
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    found = inspect(read(frame), "target")
    assert found.task == task
    assert len(found.classes) == classes
    assert {column.kind for column in found.inputs} == {"number"}
    assert sum(found.class_rows) == (len(frame) if classes else 0)
    assert not any("leakage" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("region", [3, 7, 9, 12], "category"),
        ("fuelType", [1, 2, 3, 4, 5], "category"),
        ("zipcode", [10115, 20095, 80331, 50667], "category"),
        ("unnamed code", [1, 2, 3, 4], "category"),
        ("x", [1, 2, 3], "category"),
        ("x", [1, 2, 3, 4], "number"),
        ("age group count", [1, 2, 3], "number"),
        ("rooms", [1, 2, 3], "number"),
        ("cylinders", [3, 4, 5, 6, 8], "number"),
        ("flag", [0, 1], "boolean"),
        ("flag", ["yes", "no"], "boolean"),
        ("flag", ["Y", "N"], "boolean"),
        ("flag", [True, False], "boolean"),
        ("flag", [1, 2], "number"),
        ("size", [0.25, 0.5], "number"),
        ("colour", ["red", "green"], "category"),
        ("same", ["x", "x"], "constant"),
        ("same", [4.5, 4.5], "constant"),
        ("there", ["x", None], "category"),
    ],
)
def test_kinds(name, cells, kind):
    found = inspected(**{name: (cells * ROWS)[:ROWS]})
    assert found.column(name).kind == kind


def test_dates_identifiers_and_texts():
    found = inspected(
        day=pd.date_range("2024-01-01", periods=ROWS).astype(str),
        customer_id=np.random.default_rng(1).permutation(ROWS) * 3,
        patient_id=np.arange(ROWS) // 2,
        index=np.arange(ROWS),
        step=np.arange(ROWS),
        year=np.arange(1800, 1800 + ROWS),
        code=[f"K-{i * 7919 % 1000:03}" for i in range(ROWS)],
        remark=[f"a long remark of the customer about order number {i * 31}" for i in range(ROWS)],
        roles=["noise"],
    )
    kinds = {column.name: column.kind for column in found.columns}
    assert kinds["day"] == "date"
    assert kinds["customer_id"] == kinds["patient_id"] == kinds["index"] == kinds["code"] == "identifier"
    assert kinds["year"] == kinds["step"] == "number"
    assert kinds["remark"] == "text"
    assert kinds["noise"] == "role"
    assert any("--group patient_id" in note for note in found.notes)
    assert any("'step': it counts up" in note for note in found.notes)
    assert [column.name for column in found.inputs] == ["day", "step", "year"]


def test_many_like_notes_are_one():
    found = inspected(**{f"{name} constant": [1] * ROWS for name in "abcdefghij"})
    assert any(note.startswith("10 columns are constant; they are left out: 'a constant'") for note in found.notes)
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (["no", "yes"], "binary", ("no", "yes")),
        ([True, False], "binary", ("False", "True")),
        ([2, 1], "binary", ("1", "2")),
        ([2, 10, 1, 0, 3, 4, 5, 6, 7, 8, 9], "multiclass", tuple(map(str, range(11)))),
        (["b", "c", "a"], "multiclass", ("a", "b", "c")),
        ([3, 4, 5, 6, 8], "regression", ()),
        ([0.5, 1.5, 2.5], "regression", ()),
        (list(range(1, 30)), "regression", ()),
    ],
)
def test_the_task_is_found_and_its_classes_in_order(cells, task, classes):
    found = inspected(y=(cells * ROWS)[:ROWS])
    assert (found.task, found.classes) == (task, classes)
    assert found.reason


def test_the_task_of_the_users_choice():
    cells = ([1, 2, 3, 4, 5] * ROWS)[:ROWS]
    assert inspected(y=cells).task == "multiclass"
    assert inspected(y=cells, task="regression").task == "regression"
    assert inspected(rating=cells, target="rating").task == "regression"
    assert inspected(rating=cells, target="rating", task="multiclass").classes == ("1", "2", "3", "4", "5")


def test_imbalance_is_said():
    assert any("imbalanced: 'sick' is 5.0% of the rows" in n for n in inspected(y=["sick"] * 10 + ["well"] * 190).notes)
    assert not any("imbalanced" in n for n in inspected(y=["sick"] * 90 + ["well"] * 110).notes)


def leaking(**columns) -> set[str]:
    notes = [note for note in inspected(**columns).notes if "leakage" in note]
    return {note.split("'")[1] for note in notes}


def test_leakage_is_suspected_where_one_column_gives_the_target_away():
    rng = np.random.default_rng(2)
    y = rng.normal(size=ROWS)
    assert leaking(y=y, twin=2.5 * y + 1, bent=np.exp(3 * y), near=y + 0.3 * rng.normal(size=ROWS)) == {"twin", "bent"}
    labels = np.where(y > 0, "up", "down")
    assert leaking(y=labels, level=y, word=np.where(y > 0, "a", "b"), near=y + rng.normal(size=ROWS)) == {
        "level",
        "word",
    }
    three = np.digitize(y, [-0.5, 0.5])
    assert leaking(y=three, level=y, near=y + 0.5 * rng.normal(size=ROWS)) == {"level"}
    steps = rng.integers(0, 4, ROWS)
    assert leaking(y=steps * 1.5, word=np.array(list("wxyz"))[steps]) == {"word"}


def test_copies_of_rows_are_counted():
    frame = pd.DataFrame({"a": np.arange(40) % 30 + 0.5, "y": (np.arange(40) % 30) ** 1.5})
    assert any(note.startswith("10 rows are copies") for note in inspect(read(frame), "y").notes)


def test_a_hundred_thousand_categories_stay_fast():
    rng = np.random.default_rng(0)
    rows = 300_000
    frame = pd.DataFrame(
        {"shop": rng.integers(0, 100_000, rows).astype(str), "x": rng.normal(size=rows), "y": rng.normal(size=rows)}
    )
    frame["shop"] = "shop " + frame["shop"]
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"'shop' holds 9\d{4} different categories"):
        inspect(read(frame), "y")
    found = inspect(read(frame), "y", categorical=["shop"])
    seconds = time.perf_counter() - start
    assert found.column("shop").kind == "category"
    assert seconds < 20
