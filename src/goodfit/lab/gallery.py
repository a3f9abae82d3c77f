"""The gallery in the docs, made of the lab's results: `python -m goodfit.lab.gallery RESULTS docs/lab`.

`goodfit lab run --all --out RESULTS` measures first. Times are left out of it: they are the machine's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goodfit.errors import InputError
from goodfit.lab.page import number
from goodfit.plots.chart import Chart, Series, png

DPI = 64
"""Dots per inch of the figures, so that all of them stay under two megabytes."""
MARKS = {"held": "held", "partly": "held in part", "did not hold": "did **not** hold", "undecided": "undecided"}
_TIMES = ("µs", "seconds")


def write(results: Path, folder: Path) -> list[str]:
    """Write `README.md` and a figure for each experiment whose result lies in a folder.

    Args:
        results: the folder that `goodfit lab run --out` wrote.
        folder: where the gallery goes; it is made.

    Returns:
        the names of the experiments, in their order.

    Raises:
        InputError: there are no results.
    """
    found = sorted((_read(path) for path in results.glob("*.json")), key=lambda result: result["order"])
    if not found:
        raise InputError(f"there are no results in {results}.", f"Run: goodfit lab run --all --out {results}")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for result in found:
        if result["charts"]:
            (folder / f"{result['name']}.png").write_bytes(png(charts(result), dpi=DPI))
    (folder / "README.md").write_text(markdown(found), encoding="utf-8")
    return [result["name"] for result in found]


def markdown(results: list[dict[str, Any]]) -> str:
    """The page of some results, as Markdown.

    Args:
        results: as they stand in the files of `goodfit lab run --out`.

    Returns:
        the page; figures are beside it.
    """
    versions = results[0]["versions"]
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        "# The lab: what is usually taught, measured",
        "",
        "Each experiment trains what its claim speaks of, on several seeds, and says whether the claim held. Numbers "
        "are medians over the seeds, bands reach from the lowest seed to the highest, intervals are 95 % of the "
        "difference over the seeds in pairs. *Undecided* says that the noise of the seeds hides whatever there is. The "
        "verdict in a table is the one that goodfit gives to the curves, whatever a textbook calls such a run.",
        "",
        "One table of some 400 rows, one split, one set of images: a claim that did not hold here may hold elsewhere, "
        "and the other way round. `goodfit lab run NAME --data TABLE --target COLUMN` asks your own table.",
        "",
        f"Written by `python -m goodfit.lab.gallery RESULTS docs/lab` from `goodfit lab run --all --out RESULTS` "
        f"({used}). Times are left out of the results, for they are the machine's; [how long it takes](times.md).",
        "",
        "| question | did the claim hold here? |",
        "|---|---|",
        *(f"| [{result['question']}](#{result['name']}) | {MARKS[result['held']]} |" for result in results),
        "",
    ]
    for result in results:
        lines += _section(result)
    return "\n".join(lines).rstrip() + "\n"


def charts(result: Mapping[str, Any]) -> tuple[Chart, ...]:
    """The charts of a result that was read from its file.

    Args:
        result: as it stands there.
    """

    def series(data: Mapping[str, Any]) -> Series:
        heights = {name: tuple(map(float, data[name])) for name in ("y", "low", "high")}
        return Series(**{**data, **heights, "x": tuple(data["x"])})

    return tuple(
        Chart(
            **{
                **chart,
                "series": tuple(map(series, chart["series"])),
                "references": tuple((name, float(height)) for name, height in chart["references"]),
            }
        )
        for chart in result["charts"]
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        _ = result["name"], result["order"], result["charts"], result["held"]
    except (ValueError, KeyError, TypeError) as problem:
        raise InputError(f"{path} is no result of the lab.", "Name the folder of goodfit lab run --out.") from problem
    return result


def _section(result: Mapping[str, Any]) -> list[str]:
    trained = f"{result['about']}" + (f" {result['seeds']} seeds" if result["seeds"] else "")
    trained += f", {result['epochs']:,} epochs in all." if result["epochs"] else "."
    shown = [place for place, column in enumerate(result["columns"]) if not column.startswith(_TIMES)]
    lines = [
        f'<a id="{result["name"]}"></a>',
        "",
        f"## {result['question']}",
        "",
        f"**As taught:** {result['claim']} ({result['source']})",
        "",
        f"**Measured:** the claim {MARKS[result['held']]}. {result['finding']}",
        "",
        f"**Trained:** {trained} Again: `goodfit lab run {result['name']}`.",
        "",
    ]
    if result["charts"]:
        lines += [f"![{result['question']}]({result['name']}.png)", ""]
    lines += [
        "| " + " | ".join(result["columns"][place] for place in shown) + " |",
        "|---" + "|---:" * (len(shown) - 1) + "|",
        *("| " + " | ".join(_cell(row[place]) for place in shown) + " |" for row in result["rows"]),
        "",
    ]
    return lines


def _cell(value: Any) -> str:
    """A number as the lab's own page writes it; one that isn't finite stands in the file as text."""
    return number(float(value) if value in ("inf", "-inf", "nan") else value)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m goodfit.lab.gallery RESULTS docs/lab")
    try:
        print(*write(Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")
    except InputError as problem:
        sys.exit(str(problem))
