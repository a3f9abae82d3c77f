"""The options that several commands share."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer


def flag(*names: str, **more: Any) -> Any:
    """An option that is there or not: help shows no type beside it."""
    return typer.Option(*names, metavar="", **more)


_READING = "Reading the table (detected where not given)"

Names = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,…",
        help="Column names, with commas between, for a table without a header.",
        rich_help_panel=_READING,
    ),
]
Sep = Annotated[
    str | None,
    typer.Option(metavar="MARK", help="What stands between two values: , ; tab space.", rich_help_panel=_READING),
]
Na = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORD",
        help='A word that stands for a missing value; "" for none but empty cells. May be repeated.',
        rich_help_panel=_READING,
    ),
]
Decimal = Annotated[str | None, typer.Option(metavar="MARK", help="The decimal mark, . or ,", rich_help_panel=_READING)]
Thousands = Annotated[
    str | None, typer.Option(metavar="MARK", help="The thousands separator.", rich_help_panel=_READING)
]
Encoding = Annotated[
    str | None, typer.Option(metavar="NAME", help="The text's encoding, such as cp1252.", rich_help_panel=_READING)
]
Sheet = Annotated[
    str | None, typer.Option(metavar="NAME", help="The sheet of an .xlsx file.", rich_help_panel=_READING)
]

Json = Annotated[bool, flag("--json", help="Print JSON.")]
Quiet = Annotated[bool, flag("--quiet", "-q", help="No progress on stderr, only errors.")]
Debug = Annotated[bool, flag("--debug", help="Show the traceback of an error.")]

Table = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="CSV, TSV, Parquet, JSON lines or .xlsx, also gzipped; a path or a URL. Or a folder of images.",
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a saved run.")]


class Reading(TypedDict):
    """How to read a table; `None` is to be detected."""

    names: list[str] | None
    sep: str | None
    na: list[str] | None
    decimal: str | None
    thousands: str | None
    encoding: str | None
    sheet: str | None


def reading(
    names: str | None,
    sep: str | None,
    na: list[str] | None,
    decimal: str | None,
    thousands: str | None,
    encoding: str | None,
    sheet: str | None,
) -> Reading:
    """The reading options as the verbs of `api` take them."""
    return {
        "names": None
        if names is None
        else [name.strip() for name in next(csv.reader([names], skipinitialspace=True), [])],
        "sep": sep,
        "na": na or None,
        "decimal": decimal,
        "thousands": thousands,
        "encoding": encoding,
        "sheet": sheet,
    }
