"""Bad input: one clear sentence that names the place, and one that says what to do."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pandas as pd
import pytest

from goodfit.errors import InputError
from goodfit.tables import inspect, prepare, read, split

ROWS = [(i, i % 7 + 0.5, "ab"[i % 2], i * 1.5 + (i % 3)) for i in range(40)]


def csv(**cells) -> str:
    """A table of 40 rows (a, b, c, y), with some cells replaced: `b_33="$4"` is row 33's, counted from 1."""
    rows = [[str(cell) for cell in row] for row in ROWS]
    for place, text in cells.items():
        column, row = place.split("_")
        rows[int(row) - 1]["abcy".index(column)] = text
    return "a,b,c,y\n" + "".join(",".join(row) + "\n" for row in rows)


def refused(call, *parts: str) -> InputError:
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    for part in parts:
        assert part in message, f"{part!r} is not in {message!r}"
    assert caught.value.problem.endswith((".", "?", "!"))
    assert "\n" not in message
    return caught.value


@pytest.fixture
def file(tmp_path):
    def make(content: str | bytes, name: str = "table.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def test_no_such_file_suggests_the_nearest(file, tmp_path):
    file("a,b\n1,2\n", "auto-mpg.csv")
    refused(lambda: read(tmp_path / "auto_mpg.csv"), "there is no file", "Did you mean", "auto-mpg.csv?")
    refused(lambda: read(tmp_path / "zzzzzz.parquet"), "there is no file", "Check the path")
    refused(lambda: read(tmp_path / "nowhere" / "t.csv"), "There is no folder", "nowhere")


def test_a_directory(file, tmp_path):
    file("a,b\n1,2\n", "inside.csv")
    refused(lambda: read(tmp_path), "is a directory", "inside.csv")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "a PNG image"),
        (b"%PDF-1.7 " + bytes(range(200)), "a PDF document"),
        (pickle.dumps({"a": [1, 2]}), "a pickle"),
        (np.random.default_rng(0).bytes(4096), "binary file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 64, "old Excel"),
    ],
)
def test_a_binary_file(file, content, what):
    refused(lambda: read(file(content)), "is a binary file", what)


def test_damaged_files(file):
    refused(lambda: read(file(gzip.compress(b"a,b\n1,2\n" * 99)[:20], "t.csv.gz")), "can't be unpacked")
    refused(lambda: read(file(b"PAR1" + b"\x01" * 64, "t.parquet")), "can't be read as Parquet")
    refused(lambda: read(file(b"PK\x03\x04" + b"\x01" * 64, "t.xlsx")), "can't be unpacked")
    refused(lambda: read(file('{"a": 1}\n{"a": \n', "t.jsonl")), "line 2", "is not JSON")
    refused(lambda: read(file("[1, 2]", "t.json")), "entry 1", "is not an object")


@pytest.mark.parametrize("content", ["", "\n\n", "   \n", b"\xef\xbb\xbf"])
def test_an_empty_file(file, content):
    refused(lambda: read(file(content)), "is empty", "Give a file")


def test_a_header_only(file):
    refused(lambda: read(file("a,b,y\n")), "has a header line but no rows")
    refused(lambda: read(pd.DataFrame({"a": []})), "no rows")
    refused(lambda: read(pd.DataFrame()), "is empty")


def test_one_row(file):
    table = read(file("a,b,y\n1,2,3\n"))
    refused(lambda: inspect(table, "y"), "only one row", "at least 10")


def test_too_few_rows(file):
    table = read(file("a,b,y\n1,2,3.5\n2,5,1.5\n3,9,7.25\n"))
    refused(lambda: split(table, inspect(table, "y")), "only 3 rows", "at least 10", "Give more rows")


def test_no_header_line(file):
    path = file("1.5,2,3\n4,5,6\n7,8,9\n")
    refused(lambda: read(path), "has no header line", "1.5, 2, 3", "`names`")
    refused(lambda: read(path, names=["a", "b"]), "2 names were given for the 3 columns")


def test_uneven_lines(file):
    refused(lambda: read(file("a,b,c\n1,2,3\n4,5\n7,8,9\n")), "line 3", "2 cells where the header has 3")
    refused(lambda: read(file("a,b,c\n1,2,3\n4,5,6,7\n7,8,9\n")), "line 3", "4 cells", "separated by commas")
    assert read(file("a,b\n1,2,\n3,4,\n")).frame["b"].tolist() == [2, 4]


def test_duplicate_column_names(file):
    refused(lambda: read(file("a,b,a,y\n1,2,3,4\n")), "several columns called 'a'", "columns 1, 3", "`names`")
    named = read(file("a,b,a,y\n1,2,3,4\n"), names=list("abcy"))
    assert named.frame.to_dict("list") == {"a": [1], "b": [2], "c": [3], "y": [4]}
    assert any("was replaced by the names given" in note for note in named.notes)
    refused(lambda: read(pd.DataFrame([[1, 2]], columns=["a", "a"])), "several columns called 'a'")


def test_a_wrong_encoding(file):
    path = file("a,b\n1,Köln\n2,Bonn\n".encode("cp1252"))
    refused(lambda: read(path, encoding="utf-8"), "is not utf-8", "byte 7 (line 2)", "Leave `encoding` out")
    refused(lambda: read(path, encoding="utf-16"), "is not utf-16")
    refused(lambda: read(path, encoding="klingon"), "no encoding 'klingon'")
    refused(lambda: read(file("a,b\n1,2\n".encode("utf-16-le"))), "UTF-16", "encoding='utf-16-le'")


def test_options_that_mean_nothing(file):
    path = file("a,b\n1,2\n3,4\n")
    refused(lambda: read(path, sep="ab"), "separator 'ab'")
    refused(lambda: read(path, decimal="x"), "decimal mark 'x'")
    refused(lambda: read(path, thousands="x"), "thousands mark 'x'")


def test_an_unknown_target_suggests_the_nearest(file):
    table = read(file("mpg,weight\n" + "".join(f"{i}.5,{i}\n" for i in range(20))))
    refused(lambda: inspect(table, "mgp"), "the target 'mgp' is not in the table", "Did you mean 'mpg'?")
    refused(lambda: inspect(table, "MPG"), "Did you mean 'mpg'?")
    refused(lambda: inspect(table, "qqqq"), "The table has 'mpg', 'weight'")
    refused(lambda: inspect(table, "mpg", drop=["wieght"]), "'wieght' is not in the table", "'weight'")


def test_a_target_without_values(file):
    table = read(file("a,y\n" + "1,?\n" * 20))
    refused(lambda: inspect(table, "y"), "the target 'y' has no value in any row", "Choose another")


def test_rows_without_a_target_are_counted_aloud(file):
    table = read(file(csv(y_3="?", y_40="")))
    found = inspect(table, "y")
    assert found.dropped_rows == (2, 39)
    assert any(note.startswith("2 of 40 rows have no value of the target 'y'") for note in found.notes)


def test_a_constant_target(file):
    table = read(file("a,y\n" + "".join(f"{i},7\n" for i in range(20))))
    refused(lambda: inspect(table, "y"), "the target 'y' is constant", "holds 7")


def test_a_class_with_one_row(file):
    table = read(file("a,y\n" + "".join(f"{i}.5,{'cat' if i % 2 else 'dog'}\n" for i in range(20)) + "9.5,fox\n"))
    refused(lambda: inspect(table, "y"), "the class 'fox'", "one row only", "row 21 (line 22)", "Leave that row out")


def test_a_date_or_free_text_as_a_target(file):
    table = read(file("a,day,y\n" + "".join(f"{i},2024-01-{i + 1:02},text {i}\n" for i in range(20))))
    refused(lambda: inspect(table, "day"), "the target 'day' is a date")
    refused(lambda: inspect(table, "y"), "20 different values in 20 rows")
    refused(lambda: inspect(table, "y", task="regression"), "holds text", "Leave `task` out")
    refused(lambda: inspect(table, "a", task="binary"), "20 different values, not two")
    refused(lambda: inspect(table, "a", task="rank"), "no task 'rank'")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("cell", ["$4", "about 12", "1.2.3", "12 kg"])
def test_stray_text_among_numbers(file, cell):
    table = read(file(csv(b_33=cell)))
    refused(
        lambda: inspect(table, "y"),
        "the column 'b' holds numbers, but",
        f"“{cell}” in row 33 (line 34)",
        f"na=['{cell}']",
        "categorical=['b']",
    )
    assert inspect(table, "y", categorical=["b"]).column("b").kind == "category"
    assert inspect(table, "y", drop=["b"]).column("b").treatment.startswith("left out")
    mended = read(table.source, na=cell)
    assert inspect(mended, "y").column("b").missing == 1


def test_stray_text_in_the_target_and_among_dates(file):
    refused(lambda: inspect(read(file(csv(y_2="high"))), "y"), "the column 'y'", "“high” in row 2 (line 3)")
    days = "a,day,y\n" + "".join(f"{i}.5,2024-01-{i + 1:02},{i % 5}.5\n" for i in range(28))
    table = read(file(days.replace("2024-01-07", "2024-13-07")))
    refused(lambda: inspect(table, "y"), "the column 'day' holds dates", "“2024-13-07” in row 7 (line 8)")


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_infinities(file, cell):
    table = read(file(csv(b_5=cell)))
    refused(lambda: inspect(table, "y"), "the column 'b'", "infinite", "row 5 (line 6)", "drop=['b']")
    frame = pd.DataFrame({"b": np.where(np.arange(20) == 3, -np.inf, 1.5 * np.arange(20)), "y": np.arange(20) / 3})
    refused(lambda: inspect(read(frame), "y"), "the column 'b'", "row 3 (counted from 0)")
    refused(lambda: inspect(read(frame), "b"), "the column 'b'")


def test_a_column_all_missing_is_refused_until_it_is_dropped(file):
    table = read(file("a,b,y\n" + "".join(f"{i}.5,NULL,{i % 5}.25\n" for i in range(30))))
    refused(lambda: inspect(table, "y"), "the column 'b' has no value in any row", "drop=['b']")
    found = inspect(table, "y", drop=["b"])
    assert found.column("b").kind == "empty"
    _, data = prepare(table, found, split(table, found))
    assert data.feature_names == ("a",)


def test_no_column_is_left(file):
    table = read(file("b,y\n" + "".join(f"7,{i % 5}.25\n" for i in range(30))))
    refused(lambda: inspect(table, "y"), "no column is left to predict 'y' from", "'b': left out: it is constant")
    alone = read(file("y\n" + "".join(f"{i % 5}.25\n" for i in range(30))))
    refused(lambda: inspect(alone, "y"), "no column is left")


def test_roles_that_contradict(file):
    table = read(file(csv()))
    refused(lambda: inspect(table, "y", drop=["y"]), "the target 'y' can't be dropped")
    refused(lambda: inspect(table, "y", categorical=["b"], numeric=["b"]), "both categorical and numeric")
    refused(lambda: inspect(table, "y", numeric=["c"]), "'c' can't be numeric")
