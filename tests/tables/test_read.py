"""Every form of a table is read alike, and whatever is not plain is said."""

from __future__ import annotations

import bz2
import gzip
import http.server
import json
import threading
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodfit.errors import InputError
from goodfit.tables import read

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["mpg", "cylinders", "displacement", "horsepower", "weight", "acceleration", "year", "origin", "name"]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "count": [1, 2, 3, 4],
            "size": [0.1, 2.25, np.nan, -4e-3],
            "colour": ["red", "green", None, "dark blue"],
            "day": pd.to_datetime(["2024-01-31", "2024-02-29", "2024-03-01", "2025-12-31"]),
            "open": [True, False, True, False],
        }
    )


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def said(table, *parts: str) -> bool:
    return any(all(part in note for part in parts) for note in table.notes)


def same(table, frame: pd.DataFrame) -> None:
    assert list(table.frame.columns) == list(frame.columns)
    assert table.frame["count"].tolist() == frame["count"].tolist()
    np.testing.assert_array_equal(table.frame["size"].to_numpy(), frame["size"].to_numpy())
    assert [None if pd.isna(v) else v for v in table.frame["colour"]] == ["red", "green", None, "dark blue"]
    assert (table.frame["day"] == frame["day"]).all()
    assert [str(value) for value in table.frame["open"]] == ["True", "False", "True", "False"]
    assert not table.faults


@pytest.mark.parametrize("sep", [",", "\t", ";", "|"])
def test_separated_text_is_read_whatever_separates_it(frame, tmp_path, sep):
    path = tmp_path / "table.txt"
    frame.to_csv(path, sep=sep, index=False)
    table = read(path)
    same(table, frame)
    spoken = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}[sep]
    assert said(table, f"cells are separated by {spoken}")
    same(read(path, sep={"\t": "tab", ";": "semicolon"}.get(sep, sep)), frame)
    assert table.source == str(path)
    assert table.lines is not None
    assert table.lines.tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.bz2", "csv.zip", "jsonl", "json", "parquet", "xlsx"])
def test_packed_and_typed_files_are_read_alike(frame, tmp_path, suffix):
    path = tmp_path / f"table.{suffix}"
    if suffix == "csv.gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif suffix == "csv.bz2":
        path.write_bytes(bz2.compress(frame.to_csv(index=False).encode()))
    elif suffix == "csv.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("table.csv", frame.to_csv(index=False))
    elif suffix in ("jsonl", "json"):
        records = json.loads(frame.assign(day=frame["day"].astype(str)).to_json(orient="records"))
        text = json.dumps(records) if suffix == "json" else "\n".join(json.dumps(record) for record in records) + "\n"
        path.write_text(text)
    elif suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_excel(path, index=False)
    same(read(path), frame)


def test_a_data_frame_is_read_like_a_file(frame):
    table = read(frame)
    same(table, frame)
    assert table.source == "DataFrame"
    assert table.lines is None
    named = read(frame.set_index(pd.Index(list("abcd"), name="key")))
    assert said(named, "index ('key') was left out")


def test_the_frame_that_is_given_is_not_changed(frame):
    before = frame.copy()
    read(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_auto_mpg_as_shipped():
    table = read(EXAMPLES / "auto-mpg.csv")
    assert table.frame.shape == (397, 9)
    assert list(table.frame.columns) == NAMES
    assert table.frame["horsepower"].isna().sum() == 5
    assert said(table, "'horsepower'", "5 cells “?”")
    reference = pd.read_csv(EXAMPLES / "auto-mpg.csv", na_values="?")
    for name in NAMES[:-1]:
        np.testing.assert_array_equal(table.frame[name].to_numpy(float), reference[name].to_numpy(float))
    assert table.frame["name"].tolist() == reference["name"].tolist()


@pytest.mark.parametrize("options", [{}, {"sep": r"\s+", "na": "?"}, {"sep": "space"}])
def test_spaces_without_a_header_and_a_tab_before_the_quoted_name(tmp_path, options):
    text = (
        '18.0   8   307.0      130.0      3504.      12.0   70  1\t"chevrolet chevelle malibu"\n'
        '25.0   4   98.00      ?          2046.      19.0   71  1\t"ford pinto"\n'
        '27.0   4   97.00      88.00      2130.      14.5   71  3\t"datsun pl510"\n'
    )
    table = read(write(tmp_path / "auto-mpg.data", text), names=NAMES, **options)
    assert table.frame["weight"].tolist() == [3504, 2046, 2130]
    assert table.frame["name"].tolist() == ["chevrolet chevelle malibu", "ford pinto", "datsun pl510"]
    assert np.isnan(table.frame["horsepower"][1])
    assert said(table, "'horsepower'", "1 cell “?”")
    assert ("sep" in options) != said(table, "white space")


def test_an_address_is_read_and_a_missing_one_refused(frame, tmp_path):
    frame.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "page.html").write_text("<!DOCTYPE html><html><body>404</body></html>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        table = read(f"{address}/table.csv")
        same(table, frame)
        assert table.source == f"{address}/table.csv"
        with pytest.raises(InputError, match=r"can't be fetched: the server answered 404"):
            read(f"{address}/absent.csv")
        with pytest.raises(InputError, match="is a web page, not a table"):
            read(f"{address}/page.html")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    with pytest.raises(InputError, match=r"can't be fetched: .*refused"):
        read(f"{address}/table.csv")
    same(read((tmp_path / "table.csv").as_uri()), frame)


def test_decimal_commas_are_found_and_said(tmp_path):
    table = read(write(tmp_path / "t.csv", "a;b;c\n1,5;1.234,5;x\n2;2.000,25;y\n-0,25;12,0;z\n"))
    assert table.frame["a"].tolist() == [1.5, 2.0, -0.25]
    assert table.frame["b"].tolist() == [1234.5, 2000.25, 12.0]
    assert said(table, "'a'", "the comma is the decimal mark", "“1,5”")
    assert said(table, "'b'", "points set the thousands apart", "“1.234,5”")


def test_thousands_are_found_and_said(tmp_path):
    table = read(write(tmp_path / "t.csv", 'a;b;c\n1,234,567;1 000;1\'234.5\n12;2 500 000,5;7\n"1,000.5";3;8\n'))
    assert table.frame["a"].tolist() == [1234567, 12, 1000.5]
    assert table.frame["b"].tolist() == [1000, 2500000.5, 3]
    assert table.frame["c"].tolist() == [1234.5, 7, 8]
    assert said(table, "'a'", "commas set the thousands apart", "“1,234,567”")


def test_an_ambiguous_comma_follows_the_rest_of_the_table_or_the_user(tmp_path):
    alone = read(write(tmp_path / "alone.csv", "a;b\n1,234;x\n2,500;y\n"))
    assert alone.frame["a"].tolist() == [1234, 2500]
    assert said(alone, "give --decimal , where the comma is the decimal mark")
    beside = read(write(tmp_path / "beside.csv", "a;b\n1,234;0,5\n2,500;7,25\n"))
    assert beside.frame["a"].tolist() == [1.234, 2.5]
    points = read(write(tmp_path / "points.csv", "a;b\n1.234;0,5\n2.500;7,25\n"))
    assert points.frame["a"].tolist() == [1234, 2500]
    assert said(points, "'a'", "points set the thousands apart")
    forced = read(tmp_path / "alone.csv", decimal=",")
    assert forced.frame["a"].tolist() == [1.234, 2.5]


def test_a_leading_zero_is_no_group_of_thousands(tmp_path):
    table = read(write(tmp_path / "t.csv", "a;b\n-0,264;x\n1,500;y\n+0,125;z\n"))
    assert table.frame["a"].tolist() == [-0.264, 1.5, 0.125]
    assert said(table, "'a'", "the comma is the decimal mark")


def test_points_that_no_column_explains_are_said(tmp_path):
    alone = read(write(tmp_path / "alone.csv", "a;b\n1.234;x\n2.500;y\n"))
    assert alone.frame["a"].tolist() == [1.234, 2.5]
    assert said(alone, "'a' (“1.234”)", "give --thousands . where it sets thousands apart")
    assert read(tmp_path / "alone.csv", thousands=".").frame["a"].tolist() == [1234, 2500]
    for cells in ("1.234;2.5\n2.500;1\n", "0.234;x\n2.500;y\n", "1234;x\n25;y\n"):
        assert not said(read(write(tmp_path / "plain.csv", f"a;b\n{cells}")), "--thousands")


def test_signs_of_money_at_every_number_are_left_out_aloud(tmp_path):
    table = read(write(tmp_path / "t.csv", "price;share\n$4.50;12%\n$1,000;7.5%\n"))
    assert table.frame["price"].tolist() == [4.5, 1000]
    assert table.frame["share"].tolist() == [12, 7.5]
    assert said(table, "'price'", "the sign $")


@pytest.mark.parametrize("word", ["?", "n/a", "N/A", "-", "NULL", "NaN", "na", "None", "", "."])
def test_usual_words_for_missing_among_numbers_are_said(tmp_path, word):
    table = read(write(tmp_path / "t.csv", f"a,b\n1,x\n{word},y\n3,z\n{word},w\n"))
    assert table.frame["a"].isna().tolist() == [False, True, False, True]
    assert said(table, "'a'", "taken for missing: 2", f"“{word}”" if word else "empty")


def test_a_word_for_missing_of_the_users_own(tmp_path):
    path = write(tmp_path / "t.csv", "a,b\n1,x\n-999,about\n-999.0,y\n4,z\n")
    table = read(path, na=("-999", "about"))
    assert table.frame["a"].isna().tolist() == [False, True, True, False]
    assert table.frame["b"].isna().tolist() == [False, True, False, False]
    assert said(table, "'a'", "“-999”")
    assert read(pd.DataFrame({"a": [1.0, -999.0]}), na="-999").frame["a"].isna().tolist() == [False, True]


def test_none_is_a_level_of_a_text_column_and_no_words_means_none(tmp_path):
    path = write(tmp_path / "t.csv", "a,b\nNone,NA\nbrick,NA\nNone,x\n")
    assert read(path).frame["a"].tolist() == ["None", "brick", "None"]
    assert read(path).frame["b"].isna().tolist() == [True, True, False]
    assert read(path, na=()).frame["b"].tolist() == ["NA", "NA", "x"]


def test_codes_with_leading_zeros_stay_text(tmp_path):
    table = read(write(tmp_path / "t.csv", "zip,n\n01234,1\n99999,2\n00501,3\n"))
    assert table.frame["zip"].tolist() == ["01234", "99999", "00501"]
    assert said(table, "'zip'", "leading zeros")
    long = read(write(tmp_path / "l.csv", "key,n\n12345678901234567890,1\n12345678901234567891,2\n"))
    assert long.frame["key"].tolist() == ["12345678901234567890", "12345678901234567891"]


@pytest.mark.parametrize(
    ("cells", "first", "form"),
    [
        (["2024-01-31", "2024-02-29"], "2024-01-31", "year-month-day"),
        (["31.01.2024", "29.02.2024"], "2024-01-31", "day.month.year"),
        (["31/01/2024", "01/02/2024"], "2024-01-31", "day/month/year"),
        (["01/31/2024", "02/01/2024"], "2024-01-31", "month/day/year"),
        (["2024-01-31 10:30", "2024-02-29 11:00"], "2024-01-31 10:30", "ISO 8601"),
        (["31 Jan 2024", "29 Feb 2024"], "2024-01-31", "%d %b %Y"),
    ],
)
def test_dates_are_found_and_said(tmp_path, cells, first, form):
    table = read(write(tmp_path / "t.csv", "day;n\n" + "".join(f"{cell};1\n" for cell in cells)))
    assert table.frame["day"][0] == pd.Timestamp(first)
    assert said(table, "'day': dates", form)


def test_an_ambiguous_date_says_so(tmp_path):
    table = read(write(tmp_path / "t.csv", "day;n\n01/02/2024;1\n03/04/2024;2\n"))
    assert said(table, "month/day/year", "day/month/year would fit as well")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_are_found(tmp_path, encoding):
    path = write(tmp_path / "t.csv", "größe,stadt\n1,Köln\n2,Zürich\n3,Málaga\n", encoding)
    table = read(path)
    assert table.frame["stadt"].tolist() == ["Köln", "Zürich", "Málaga"]
    assert list(table.frame.columns) == ["größe", "stadt"]
    assert (encoding in ("utf-16", "cp1252")) == said(table, encoding)
    assert read(path, encoding=encoding).frame["stadt"].tolist() == ["Köln", "Zürich", "Málaga"]


def test_other_alphabets_are_found(tmp_path):
    words = [
        "Москва",
        "Петербург",
        "Новосибирск",
        "Екатеринбург",
        "Казань",
        "Челябинск",
        "Самара",
        "Омск",
        "Ростов",
        "Уфа",
    ]
    text = "город,n\n" + "".join(f"{word},{i}\n" for i, word in enumerate(words * 5))
    table = read(write(tmp_path / "t.csv", text, "cp1251"))
    assert table.frame["город"].tolist() == words * 5
    assert said(table, "cp1251")


def test_quotes_line_breaks_and_blank_lines(tmp_path):
    path = write(tmp_path / "t.csv", 'a,b\n1,"x, ""y"""\n\n2,"two\nlines"\n3,z\n')
    table = read(path)
    assert table.frame["b"].tolist() == ['x, "y"', "two\nlines", "z"]
    assert table.lines is not None
    assert table.lines.tolist() == [2, 4, 6]
    assert table.place(1) == "row 2 (line 4)"


def test_a_sheet_by_name_and_the_first_said(tmp_path):
    path = tmp_path / "book.xlsx"
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame({"a": [1, 2]}).to_excel(writer, sheet_name="one", index=False)
        pd.DataFrame({"b": ["3,5", "?"]}).to_excel(writer, sheet_name="two", index=False)
    assert said(read(path), "2 sheets", "'one'")
    assert read(path, sheet="two").frame["b"].tolist()[0] == 3.5
    assert read(path, sheet=1).frame.columns.tolist() == ["b"]
    with pytest.raises(InputError, match=r"no sheet 'tow'.*'two'"):
        read(path, sheet="tow")


def test_years_as_names_are_a_header(tmp_path):
    table = read(write(tmp_path / "t.csv", "id,2019,2020,2021\na,1,2,3\nb,4,5,6\n"))
    assert table.frame.columns.tolist() == ["id", "2019", "2020", "2021"]


def test_names_equal_to_the_first_line_are_the_header(tmp_path):
    path = write(tmp_path / "t.csv", "1,2\n3,4\n5,6\n")
    assert read(path, names=["1", "2"]).frame["1"].tolist() == [3, 5]
    assert read(path, names=["a", "b"]).frame["a"].tolist() == [1, 3, 5]


def test_a_declared_category_keeps_its_codes():
    table = read(pd.DataFrame({"a": pd.Categorical([1, 2, 1]), "b": pd.array([1, None, 3], dtype="Int64")}))
    assert table.frame["a"].tolist() == ["1", "2", "1"]
    np.testing.assert_array_equal(table.frame["b"].to_numpy(), [1, np.nan, 3])


def test_the_fingerprint_tells_contents_apart(frame, tmp_path):
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.tsv", index=False, sep="\t")
    frame.assign(size=[0.1, 2.25, np.nan, -4.1e-3]).to_csv(tmp_path / "c.csv", index=False)
    first, second, third = (read(tmp_path / name).fingerprint for name in ("a.csv", "b.tsv", "c.csv"))
    assert first == second != third


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=20))
@settings(deadline=None, max_examples=50)
def test_every_float_survives_text(numbers):
    table = read(pd.DataFrame({"a": [repr(number) for number in numbers]}))
    assert table.frame["a"].tolist() == numbers


@given(st.lists(st.integers(-(10**12), 10**12), min_size=2, max_size=20))
@settings(deadline=None, max_examples=50)
def test_every_whole_number_survives_thousands(numbers):
    assert read(pd.DataFrame({"a": [f"{n:,}" for n in numbers]}), decimal=".").frame["a"].tolist() == numbers


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("size, cm;weight, kg\n1,5;2,5\n3,5;4,5\n", 2),
        ("a\tb\nfirst name\tsecond name\nthird name\tfourth name\n", 2),
        ("n;m\n1 000;2\n3 000;4\n", 2),
        ("a b c\n1 2 3\n4 5 6\n", 3),
        ("  a   b\n  1   2\n 10  20\n", 2),
        ("a\n1\n2\n", 1),
        ('a,b\n"x; y","1; 2"\n"z; w","3; 4"\n', 2),
    ],
)
def test_the_separator_is_not_one_that_occurs_inside_cells(tmp_path, text, width):
    assert read(write(tmp_path / "t.txt", text)).frame.shape == (2, width)


def test_cells_that_are_lists_are_text():
    assert read(pd.DataFrame({"a": [[1, 2], [1, 2], [3]]})).frame["a"].tolist() == ["[1, 2]", "[1, 2]", "[3]"]


@pytest.mark.parametrize("na", ["", [""], ()])
def test_words_such_as_na_are_kept_where_only_the_empty_cell_is_missing(na):
    table = read(pd.DataFrame({"word": ["NA", "b", "", "NA"]}), na=na)
    assert table.frame["word"].tolist() == ["NA", "b", None, "NA"]


def test_a_sheet_of_what_has_none_is_refused(tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"the sheet 'x' is asked for, and .*table.csv is no Excel file"):
        read(tmp_path / "table.csv", sheet="x")


@pytest.mark.parametrize("ending", ["parquet", "xlsx"])
def test_text_under_another_name_is_told(tmp_path, ending):
    (tmp_path / f"table.{ending}").write_text("a,b\n1,2\n3,4\n")
    table = read(tmp_path / f"table.{ending}")
    assert table.frame["b"].tolist() == [2, 4]
    assert any("it holds text" in note for note in table.notes)
