"""What a training prints: Keras's progress bars, lines of a loop of one's own, boosting's `[12] train-rmse:0.5`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice

from goodfit.errors import InputError
from goodfit.logs.cells import column, plural
from goodfit.logs.formats import Log, log_format
from goodfit.logs.json_document import MAX_BYTES
from goodfit.logs.names import is_curve, part_of, tokens
from goodfit.logs.source import Source

_NUMBER = r"[-+]?(?:\d+(?:,\d+)+(?:\.\d+)?|\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?)"
_PAIR = re.compile(
    r"(?<![\w/.])([a-z][\w/.'-]*(?: [a-z][\w/.'-]*){0,3})(?:\(([a-z]+)\))?(?:['\"]?\s*[:=]\s*|['\"]?\s+)"
    rf"(?:[\w.]+\()?({_NUMBER})(?:/(\d+)(?:\s*\(([\d.]+%)\))?)?(%?)(?![\w.]*\w)",
    re.I,
)
"""A name of up to four words, and the number after it: bare, in `tensor(…)`, or so many of so many."""
_EPOCH = re.compile(r"\bepoch['\"]?[\s:=#(\[]*(\d+(?:\.\d+)?)|^\s*\[\s*(\d+)\s*[\],/]", re.I)
_AT = re.compile(
    r"\b(?:(?:after|at|in|of) )?(?:epoch|iteration|iter|step)\s*[:#=]?\s*\d+(?:\.\d+)?(?:\s*/\s*\d+)?", re.I
)
"""When something was told, as in `Cost after epoch 3: 0.5`."""
_BRACKET = re.compile(r"\[\s*(?:[a-z]|\d+\s*[\],/])", re.I)
_HEADING = re.compile(r"\W*([a-z]+)\b(?:\D*:)?\W*", re.I)
"""A line that says which rows the next one is of, as `Test Error:`."""
_SUMMARY = re.compile(
    r"\b(?:best|lowest|previous|improved|reached|(?:restor|load|resum|stopp|sav|checkpoint)[a-z]*)\b", re.I
)
"""What is told of another epoch than the one at hand."""
_DECIMAL_COMMA = re.compile(r"[-+]?(?:0,\d+|\d+,(?:\d{1,2}|\d{4,}))")
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Codes of colours and of the cursor."""
_LOOKED_AT = 2_000
"""Lines of the beginning in which names and numbers are looked for."""


def _lines(text: str) -> list[str]:
    """The lines as they were printed one over another: what a carriage return or backspaces overwrote counts too."""
    return re.split(r"[\r\n]+|\x08+", _STYLE.sub("", text))


def _pairs(line: str) -> dict[str, str]:
    """The curves that a line tells, and their values as text.

    A name belongs to the rows (`train`, `val`) that it says itself, or that the line said last before it, as in
    `Train loss 0.5, acc 0.9 | Val loss 0.6, acc 0.8`. Bests so far, of whatever epoch, are none of this epoch's values.
    """
    found: dict[str, str] = {}
    part, between, after = "", 0, 0
    line = "" if line.lstrip().startswith("#") else _AT.sub("", line)  # a comment in a table
    for match in _PAIR.finditer(line):
        name = match[1].replace("'s ", " ").strip(".'- ")
        summary = _SUMMARY.search(line, after, match.end(1))
        after = match.end()
        if not is_curve(name) or summary:
            continue
        for word in re.findall(r"[A-Za-z]+", f"{line[between : match.start()]} {' '.join(_plain_words(name))}"):
            part = word if part_of(word) else part
        between = match.end()
        part = match[2] if match[2] and part_of(match[2]) else part
        if part and not any(map(part_of, tokens(name))) and f"{part} {name}" not in found:
            name = f"{part} {name}"
        of_many = (
            f"{float(match[3]) / float(match[4]):.9g}" if match[4] and match[3].isdigit() and int(match[4]) else ""
        )
        found[name] = match[5] or of_many or match[3] + match[6]
    return found


def _plain_words(name: str) -> list[str]:
    """The words of a name that stand by themselves: of `val_loss` none, as what follows it may be of other rows."""
    return [word for word in name.split() if word.isalpha()]


def _with_points(values: Iterable[str]) -> Callable[[str], str]:
    """How a number is written with a decimal point: the comma is one where some number can't be meant otherwise."""
    commas = any(_DECIMAL_COMMA.fullmatch(value.rstrip("%")) for value in values)
    return lambda value: value.replace(",", "." if commas and value.count(",") == 1 else "")


def _looks_printed(source: Source) -> bool:
    start = source.beginning.lstrip()
    if (start[:1] == "{" and start[:2] != "{'") or (start[:1] == "[" and not _BRACKET.match(start)):
        return False  # JSON
    told = Counter(name for line in islice(_lines(start), _LOOKED_AT) for name in _pairs(line))
    return bool(told) and max(told.values()) > 1


@log_format("printed lines", matches=_looks_printed, order=55)
def printed(source: Source) -> tuple[Log, ...]:
    """The one history of lines that tell curves by name (`loss: 0.5`, `val loss 0.6`, `train-rmse:0.5`).

    A line such as `Test Error:` says which rows the next one is of. Lines belong to the epoch that they, or a line
    above them, tell; of what is told several times in an epoch the last counts, as of a progress bar. Without epochs
    each line is a row.
    """
    if source.size > MAX_BYTES:
        raise InputError(
            f"{source.name} holds {source.size / 1e6:.0f} MB of printed lines.",
            "Write long logs as JSON lines or CSV, which can be read in parts.",
        )
    rows: list[dict[str, str]] = []
    later: list[dict[str, str]] = []  # of each row: what was told of the training rows after the validation rows
    epoch, overwritten, part = None, 0, ""
    for line in _lines(source.text()):
        told = _EPOCH.search(line)
        if told is not None and _SUMMARY.search(line, 0, told.start()):
            continue
        if told is not None:
            part = ""
        if told is not None and (number := float(told[1] or told[2])) != epoch:
            epoch = number
            rows.append({"epoch": f"{epoch:g}"})
            later.append({})
        pairs = _pairs(line)
        if not pairs:
            heading = _HEADING.fullmatch(line)
            part = heading[1] if heading and part_of(heading[1]) else part if not line.strip() else ""
            continue
        if part:
            pairs = {name if any(map(part_of, tokens(name))) else f"{part} {name}": v for name, v in pairs.items()}
            part = ""
        if epoch is None:
            rows.append(pairs)
            later.append({})
        elif _validates(rows[-1]) and not _validates(pairs):
            later[-1] |= pairs
        else:
            overwritten += len(set(pairs) & set(rows[-1]))
            rows[-1] |= pairs
    notes = []
    if any(later[:-1]) or len(rows) < 3:
        overwritten += sum(len(set(row) & set(told)) for row, told in zip(rows, later, strict=True))
        rows = [row | told for row, told in zip(rows, later, strict=True)]
    elif any(later):
        notes.append("what was printed after the last epoch's validation (an evaluation) was left out.")
    if overwritten:
        notes.insert(0, "of what was printed several times in an epoch, the last value was taken.")
    rows = [row for row in rows if set(row) - {"epoch"}]
    if any("epoch" in row for row in rows) and (before := sum("epoch" not in row for row in rows)):
        notes.append(f"left out: {plural(before, 'line')} before the first epoch.")
        rows = [row for row in rows if "epoch" in row]
    names = list(dict.fromkeys(name for row in rows for name in row))
    pointed = _with_points(value for row in rows for value in row.values())
    columns = {name: column([pointed(row.get(name, "")) for row in rows])[0] for name in names}
    return (Log(columns, tuple(notes)),)


def _validates(row: Iterable[str]) -> bool:
    """Whether some of these curves are of validation or test rows."""
    return any(part_of(word) in ("val", "test") for name in row for word in tokens(name))
