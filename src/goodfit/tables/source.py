"""Where a table comes from: a path, a URL or bytes -> a grid of cells, before any cell is taken for a number."""

from __future__ import annotations

import bz2
import codecs
import csv
import difflib
import gzip
import io
import json
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goodfit.errors import InputError

_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"ARROW1", "an Arrow file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word document"),
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SINGLE_BYTE = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r", "mac_roman")
_MULTI_BYTE = ("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")
_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_SPELLED = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars", " ": "white space"}
_READABLE = "goodfit reads CSV, TSV, JSON lines, Parquet and .xlsx."
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells as they stand in the source.

    Args:
        frame: text cells (or the typed ones of Parquet, JSON, Excel and data frames), columns named.
        lines: for each row, its line in the file (counted from 1), where the source has lines.
        source: where it came from.
        notes: what was found out on the way.
    """

    frame: pd.DataFrame
    lines: np.ndarray | None
    source: str
    notes: tuple[str, ...]

    def place(self, position: int) -> str:
        """A row by name, as a person finds it: `"row 33 (line 34)"`."""
        return place(position, self.lines)


def place(position: int, lines: np.ndarray | None) -> str:
    """A row by name: counted from 1 and with its line in a file, counted from 0 in a data frame."""
    if lines is None:
        return f"row {position} (counted from 0)"
    return f"row {position + 1} (line {lines[position]})"


def load(
    source: str | os.PathLike[str] | pd.DataFrame,
    *,
    names: Sequence[str] | None = None,
    sep: str | None = None,
    encoding: str | None = None,
    sheet: str | int | None = None,
    like: Sequence[str] | None = None,
) -> Grid:
    """The cells of a file, URL or data frame, unconverted.

    Args:
        source: a path, a URL, or a data frame.
        names: the columns' names, for a file without a header line.
        sep: what separates the cells of a text file; detected where `None`.
        encoding: of a text file; detected where `None`.
        sheet: of an Excel file; the first where `None`.
        like: names that stand for a missing header line where the number of columns fits.

    Raises:
        InputError: the source can't be read as a table.
    """
    if isinstance(source, pd.DataFrame):
        return Grid(_named(source, names), None, "DataFrame", ())
    where = os.fspath(source)
    if not isinstance(where, str):
        where = os.fsdecode(where)
    content = _bytes(where)
    content, packing = _unpack(content, where)
    notes = [f"{where}: unpacked ({packing})."] if packing else []
    if not content.strip():
        raise InputError(f"{where} is empty.", "Give a file with a header line and rows.")
    if content[:4] == b"PAR1":
        return Grid(_named(_parquet(content, where), names), None, where, tuple(notes))
    if content[:4] == b"PK\x03\x04":
        return _excel(content, where, names, sheet, notes, like)
    _refuse_binary(content, where, encoding)
    text, said = _decode(content, where, encoding)
    notes += said
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype html", "<html")):
        raise InputError(f"{where} is a web page, not a table.", f"Give the address of the file itself. {_READABLE}")
    stem = Path(where.split("?")[0]).name.lower()
    if re.search(r"\.(jsonl|ndjson|json)(\.\w+)?$", stem) or re.match(r'\{\s*"|\[\s*\{', text.lstrip()[:20]):
        frame, lines = _json(text, where)
        return Grid(_named(frame, names), lines, where, tuple(notes))
    return _delimited(text, where, names, sep, notes, like)


# --- bytes ---------------------------------------------------------------------------------------------------------


def _bytes(where: str) -> bytes:
    """The bytes of a path or URL."""
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]+)://", where)
    if scheme:
        return _download(where, scheme.group(1).lower())
    path = Path(where).expanduser()
    try:
        if path.is_dir():
            tables = sorted(p.name for p in path.iterdir() if re.search(r"\.(csv|tsv|parquet|xlsx|jsonl|data)", p.name))
            remedy = f"Give one of its files, such as {path / tables[0]}." if tables else "Give a file."
            raise InputError(f"{where} is a directory.", remedy)
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {where}.", _nearest_file(path)) from None
    except PermissionError:
        raise InputError(f"{where} can't be read: permission denied.", "Change its permissions.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where} can't be read: {error}.") from None


def _nearest_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder {folder} either."
    found = sorted(p.name for p in folder.iterdir())
    near = difflib.get_close_matches(path.name, found, n=1, cutoff=0.6)
    if not near:
        by_fold = {Path(name).stem.casefold(): name for name in reversed(found)}
        near = [by_fold[path.stem.casefold()]] if path.stem.casefold() in by_fold else []
    return f"Did you mean {folder / near[0]}?" if near else "Check the path."


def _download(where: str, scheme: str) -> bytes:
    import urllib.error
    import urllib.request

    if scheme in ("http", "https", "ftp", "file"):
        try:
            with urllib.request.urlopen(where, timeout=60) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}"
            error.close()
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = str(getattr(error, "reason", error))
        raise InputError(f"{where} can't be fetched: {reason}.", "Check the address, or give a file.")
    try:
        import fsspec  # pyright: ignore[reportMissingImports]

        with fsspec.open(where, "rb") as file:
            return file.read()  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError:
        raise InputError(
            f"{where} can't be fetched: addresses that begin with {scheme}:// need the package fsspec.",
            "Install it, or download the file and give its path.",
        ) from None
    except Exception as error:  # each storage has exceptions of its own
        raise InputError(f"{where} can't be fetched: {error}.", "Check the address, or give a file.") from None


def _unpack(content: bytes, where: str) -> tuple[bytes, str]:
    packings = ((b"\x1f\x8b", "gzip", gzip), (b"BZh", "bzip2", bz2), (b"\xfd7zXZ\x00", "xz", lzma))
    try:
        for magic, name, module in packings:
            if content.startswith(magic):
                return module.decompress(content), name
        if content[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [name for name in archive.namelist() if not name.endswith("/")]
                if "[Content_Types].xml" not in members and "mimetype" not in members:
                    if len(members) != 1:
                        raise InputError(
                            f"{where} is a zip archive of {len(members)} files.", "Unpack it and give one of them."
                        )
                    return archive.read(members[0]), f"zip, {members[0]}"
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"{where} is packed and can't be unpacked: {error}.", "Fetch or pack it anew.") from None
    return content, ""


# --- text ----------------------------------------------------------------------------------------------------------


def _refuse_binary(content: bytes, where: str, encoding: str | None) -> None:
    for magic, what in _MAGIC:
        if content.startswith(magic):
            remedy = "Save it as .xlsx or CSV." if "Excel" in what else _READABLE
            raise InputError(f"{where} is a binary file ({what}), not a table.", remedy)
    if encoding is not None or any(content.startswith(bom) for bom, _ in _BOMS):
        return
    head = content[: 1 << 16]
    if b"\x00" in head:
        nulls = np.frombuffer(head[: len(head) // 2 * 2], dtype=np.uint8).reshape(-1, 2) == 0
        if nulls.mean(axis=0).max() > 0.7 and nulls.mean(axis=0).min() < 0.1:
            order = "be" if nulls[:, 0].mean() > 0.7 else "le"
            raise InputError(f"{where} seems to be UTF-16 text without its mark.", f"Give --encoding utf-16-{order}.")
        raise InputError(f"{where} is a binary file, not a table.", _READABLE)
    control = sum(head.count(bytes([code])) for code in (*range(1, 9), *range(14, 27), *range(28, 32)))
    if control > 0.01 * len(head):
        raise InputError(f"{where} is a binary file, not a table.", _READABLE)


def _decode(content: bytes, where: str, encoding: str | None) -> tuple[str, list[str]]:
    """The text, and what to say about its encoding."""
    if encoding is not None:
        try:
            name = codecs.lookup(encoding).name
        except LookupError:
            raise InputError(f"there is no encoding {encoding!r}.", "Leave --encoding out to have it found.") from None
        try:
            if name in ("utf-16", "utf-32") and not any(content.startswith(bom) for bom, _ in _BOMS[1:]):
                raise InputError(
                    f"{where} is not {encoding}: it does not begin with the mark of that encoding.",
                    "Leave --encoding out to have it found.",
                )
            return content.decode(encoding).removeprefix("\ufeff"), []
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise InputError(
                f"{where} is not {encoding}: byte {error.start} (line {line}) does not fit.",
                "Leave --encoding out to have it found.",
            ) from None
    for bom, name in _BOMS:
        if content.startswith(bom):
            try:
                return content.decode(name), [] if name == "utf-8-sig" else [f"{where}: the encoding is {name}."]
            except UnicodeDecodeError:
                raise InputError(f"{where} begins like {name} but is not.", "Give --encoding.") from None
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError as error:
        name = _guess(content, error.start)
    try:
        text = content.decode(name)
    except UnicodeDecodeError:
        raise InputError(f"the encoding of {where} was not found.", "Give --encoding, such as cp1252.") from None
    return text, [f"{where}: it is not UTF-8; the encoding was taken for {name} (give --encoding where that is wrong)."]


def _guess(content: bytes, first: int) -> str:
    """The likeliest encoding of text that is not UTF-8, around the first byte that says so."""
    from charset_normalizer import from_bytes

    sample = content[max(0, first - 20_000) : first + 20_000]
    best = from_bytes(sample, cp_isolation=[*_SINGLE_BYTE, *_MULTI_BYTE]).best()
    # Few accented letters are no evidence against the commonest single-byte encoding.
    high = sum(byte >= 0x80 for byte in sample)
    if best is None or (high < 0.05 * len(sample) and best.encoding not in _MULTI_BYTE and _fits(content, "cp1252")):
        return "cp1252" if _fits(content, "cp1252") else "latin-1"
    return best.encoding if _fits(content, best.encoding) else "latin-1"


def _fits(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def separator(sep: str) -> str:
    r"""One character for what the user calls it: `"tab"`, `"\t"`, `"space"`, `"\s+"`, `";"`.

    >>> separator("semicolon"), separator(r"\s+")
    (';', ' ')
    """
    word = sep.strip().lower() if len(sep) > 1 else sep
    if word in ("space", "spaces", "whitespace", "white space", r"\s+", r"\s*", " "):
        return " "
    found = _SEPARATORS.get(word, word)
    if len(found) != 1 or found in '"\n\r':
        raise InputError(f"the separator {sep!r} is not one character.", r"Give one such as ';', or tab, or '\s+'.")
    return found


def _cells(text: str, sep: str) -> tuple[list[list[str]], list[int]]:
    """The rows of a text, blank lines left out, and the line on which each begins."""
    if sep == " ":
        lines = (line.replace("\t", " ").strip() for line in io.StringIO(text))
        reader = csv.reader(lines, delimiter=" ", skipinitialspace=True)
    else:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=sep, skipinitialspace=True)
    rows, begin, last = [], [], 0
    for row in reader:
        if row and (len(row) > 1 or row[0].strip()):
            rows.append([cell.strip() for cell in row])
            begin.append(last + 1)
        last = reader.line_num
    return rows, begin


def _detect(text: str) -> str:
    """What separates the cells: the separator that divides every line into equally many, the most of them."""
    sample = text[: 1 << 16]
    if len(sample) < len(text):
        sample = sample[: sample.rfind("\n") + 1] or sample
    best, best_score = ",", (0.0, 0)
    tables = {}
    for sep in (",", "\t", ";", "|", " "):
        try:
            rows, _ = _cells(sample, sep)
        except csv.Error:
            continue
        if not rows:
            continue
        counts = np.bincount([len(row) for row in rows])
        width = int(counts[2:].argmax()) + 2 if len(counts) > 2 else 1
        share = counts[width] / len(rows) if width > 1 else 0.0
        first = len(rows[0]) == width
        tables[sep] = rows
        score = (round(share if first else 0.5 * share, 2), width)
        if share > 0.5 and (
            score[0] > best_score[0] + 0.02 or (score[0] >= best_score[0] - 0.02 and score > best_score)
        ):
            if sep == " " and best_score[1] > 1 and not _spaced(tables[best]):
                continue
            best, best_score = sep, score
    return best


def _spaced(rows: list[list[str]]) -> bool:
    """Whether cells hold numbers set apart by white space: the separator is not the one they were split by."""
    return any(re.fullmatch(r"[-+\d.,eE?]+(\s+[-+\d.,eE?]+)+", cell) for row in rows[:20] for cell in row)


def _delimited(
    text: str,
    where: str,
    names: Sequence[str] | None,
    sep: str | None,
    notes: list[str],
    like: Sequence[str] | None,
) -> Grid:
    given = sep is not None
    sep = separator(sep) if sep is not None else _detect(text)
    try:
        rows, lines = _cells(text, sep)
    except csv.Error as error:
        raise InputError(f"{where} can't be divided into cells: {error}.", "Check its quotes, or give --sep.") from None
    if not given and len(rows[0]) > 1:
        notes.append(f"{where}: cells are separated by {_SPELLED[sep]}.")
    frame, begin = _headed(rows, np.asarray(lines), where, names, notes, like, sep)
    return Grid(frame, begin, where, tuple(notes))


def _is_number(cell: Any) -> bool:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return True
    return isinstance(cell, str) and _NUMBER.fullmatch(cell.strip()) is not None


def _headless(first: Sequence[Any]) -> bool:
    """Whether the first row holds values, not names: half of it or more are numbers."""
    numbers = [cell for cell in first if _is_number(cell)]
    if len(numbers) < max(1, 0.5 * len(first)):
        return False
    if len(numbers) == len(first):
        return True
    whole = [int(cell) for cell in map(str, numbers) if cell.isdigit()]
    # Columns named 2019, 2020, 2021 beside named ones are a header.
    return not (len(whole) == len(numbers) > 1 and all(b - a == 1 for a, b in zip(whole, whole[1:])))


def _headed(
    rows: list[list[Any]],
    lines: np.ndarray,
    where: str,
    names: Sequence[str] | None,
    notes: list[str],
    like: Sequence[str] | None,
    sep: str = "",
) -> tuple[pd.DataFrame, np.ndarray]:
    """The first row made the header, or the given names; every row as wide as that."""
    first = ["" if cell is None else str(cell).strip() for cell in rows[0]]
    if names is None and like is not None and _headless(rows[0]) and len(like) == len(first):
        names = like
        notes.append(f"{where}: it has no header line; its columns were taken in the order of the training table.")
    if names is None:
        if _headless(rows[0]):
            shown = ", ".join(first[:4]) + (", …" if len(first) > 4 else "")
            raise InputError(
                f"{where} has no header line: its first line holds values ({shown}), not the names of columns.",
                f"Give the {len(first)} names with --names a,b,c,… (the same names where it is a header after all).",
            )
        header, rows, lines = first, rows[1:], lines[1:]
    else:
        header = [str(name).strip() for name in names]
        if len(header) != len(first):
            remedy = "Give one name for each column"
            remedy += (
                f", or --sep: the cells were taken to be separated by {_SPELLED.get(sep, repr(sep))}." if sep else "."
            )
            raise InputError(f"{len(header)} names were given for the {len(first)} columns of {where}.", remedy)
        if header == first:
            rows, lines = rows[1:], lines[1:]
    header = _check_names(header, where, notes)
    if not rows:
        raise InputError(f"{where} has a header line but no rows.", "Give a file with rows.")
    width = len(header)
    for row, line in zip(rows, lines):
        if len(row) != width:
            if len(row) > width and all(cell in ("", None) for cell in row[width:]):
                del row[width:]
                continue
            remedy = "Mend that line"
            remedy += (
                f", or give --sep: cells were taken to be separated by {_SPELLED.get(sep, repr(sep))}." if sep else "."
            )
            raise InputError(f"line {line} of {where} has {len(row)} cells where the header has {width}.", remedy)
    columns = {name: pd.Series(list(cells), dtype=object) for name, cells in zip(header, zip(*rows))}
    return pd.DataFrame(columns), np.asarray(lines)


def _check_names(header: list[str], where: str, notes: list[str]) -> list[str]:
    named = []
    for number, name in enumerate(header, 1):
        if not name:
            name = f"column {number}"
            notes.append(f"{where}: column {number} has no name; it is called {name!r}.")
        named.append(name)
    twice = [name for name in dict.fromkeys(named) if named.count(name) > 1]
    if twice:
        numbers = [str(i) for i, name in enumerate(named, 1) if name == twice[0]]
        raise InputError(
            f"{where} has several columns called {twice[0]!r} (columns {', '.join(numbers)})"
            + (f", and {len(twice) - 1} more names that occur twice." if len(twice) > 1 else "."),
            "Rename them, or give other names with --names.",
        )
    return named


# --- typed sources -------------------------------------------------------------------------------------------------


def _named(frame: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
    """A typed frame with text names, a fresh index, and at least one row."""
    if isinstance(frame.columns, pd.MultiIndex):
        raise InputError("the table's column names have several levels.", "Give it one row of names.")
    if names is not None and len(names) != frame.shape[1]:
        raise InputError(f"{len(names)} names were given for {frame.shape[1]} columns.", "Give one for each column.")
    header = [str(name).strip() for name in (frame.columns if names is None else names)]
    header = _check_names(header, "the table", [])
    if frame.shape[1] == 0:
        raise InputError("the table is empty.", "Give a table with columns and rows.")
    if len(frame) == 0:
        raise InputError("the table has columns but no rows.", "Give a table with rows.")
    frame = frame.reset_index(drop=True)
    frame.columns = pd.Index(header, dtype=object)
    return frame


def _parquet(content: bytes, where: str) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except ImportError:
        raise InputError(
            f"{where} is a Parquet file, which needs pyarrow.", "Install it with: pip install 'goodfit[parquet]'"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where} can't be read as Parquet: {error}.", "Write or fetch it anew.") from None
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    return frame


def _excel(
    content: bytes,
    where: str,
    names: Sequence[str] | None,
    sheet: str | int | None,
    notes: list[str],
    like: Sequence[str] | None,
) -> Grid:
    import warnings

    from openpyxl import load_workbook

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl tells of styles that it leaves out
        try:
            book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        except Exception as error:  # a damaged archive raises whatever its XML or zip reader raises
            raise InputError(f"{where} can't be read as .xlsx: {error}.", f"Save it anew. {_READABLE}") from None
        titles = book.sheetnames
        if isinstance(sheet, str) and sheet not in titles and sheet.isdigit():
            sheet = int(sheet)
        if isinstance(sheet, int):
            if not 0 <= sheet < len(titles):
                raise InputError(f"{where} has no sheet {sheet}: it has {len(titles)}, from 0.", "Give one by name.")
            sheet = titles[sheet]
        if sheet is not None and sheet not in titles:
            near = difflib.get_close_matches(sheet, titles, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(map(repr, titles))}."
            raise InputError(f"{where} has no sheet {sheet!r}.", remedy)
        if sheet is None and len(titles) > 1:
            notes.append(
                f"{where}: it has {len(titles)} sheets; the first, {titles[0]!r}, was read (--sheet for another)."
            )
        rows = [list(row) for row in book[sheet or titles[0]].iter_rows(values_only=True)]
        book.close()
    filled = [(row, line) for line, row in enumerate(rows, 1) if any(cell not in (None, "") for cell in row)]
    if not filled:
        raise InputError(f"{where} is empty.", "Give a sheet with a header row and rows.")
    width = max(max(i for i, cell in enumerate(row, 1) if cell not in (None, "")) for row, _ in filled)
    cells = [[*row, *[None] * width][:width] for row, _ in filled]
    frame, lines = _headed(cells, np.asarray([line for _, line in filled]), where, names, notes, like)
    return Grid(frame, lines, where, tuple(notes))


def _json(text: str, where: str) -> tuple[pd.DataFrame, np.ndarray | None]:
    lines: np.ndarray | None = None
    if text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{where} is not JSON: {error}.", "Mend it, or write one object per line.") from None
    else:
        records, at = [], []
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    records.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise InputError(
                        f"line {number} of {where} is not JSON: {error.msg}.", "Write one object per line."
                    ) from None
                at.append(number)
        lines = np.asarray(at)
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            spot = f"line {lines[number]}" if lines is not None else f"entry {number + 1}"
            raise InputError(
                f"{spot} of {where} is not an object with named values.", 'Write objects such as {"a": 1, "b": "x"}.'
            )
    header = dict.fromkeys(name for record in records for name in record)
    columns = {}
    for name in header:
        cells = [record.get(name) for record in records]
        cells = [json.dumps(cell) if isinstance(cell, (list, dict)) else cell for cell in cells]
        columns[name] = pd.Series(cells, dtype=object)
    return pd.DataFrame(columns), lines
