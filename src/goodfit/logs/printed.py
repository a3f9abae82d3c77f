"""What a training prints: Keras's progress bars, lines of a loop of one's own, boosting's `[12] train-rmse:0.5`."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

from goodfit.errors import InputError
from goodfit.logs.cells import column
from goodfit.logs.formats import Log, log_format
from goodfit.logs.json_document import MAX_BYTES
from goodfit.logs.names import is_curve, part_of
from goodfit.logs.source import Source

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?)"
_PAIR = re.compile(
    rf"(?<![\w/.])([a-z][\w/.'-]*(?: [a-z][\w/.'-]*){{0,3}})['\"]?\s*[:=]?\s*({_NUMBER})(%?)(?![\w.]*\w)", re.I
)
"""A name of up to four words, and the number after it."""
_EPOCH = re.compile(r"\bepoch['\"]?\s*[:=#(\[]?\s*(\d+(?:\.\d+)?)|^\s*\[\s*(\d+)\s*[\],]", re.I)
_BRACKET = re.compile(r"\[\s*(?:epoch\b|\d+\s*[\],])", re.I)
_HEADING = re.compile(r"\s*([a-z]+)\b[^\d]*:\s*", re.I)
"""A line that says which rows the next one is of, as `Test Error:`."""
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Codes of colours and of the cursor."""
_LOOKED_AT = 2_000
"""Lines of the beginning in which names and numbers are looked for."""


def _lines(text: str) -> list[str]:
    """The lines as they were printed one over another: what a carriage return or backspaces overwrote counts too."""
    return re.split(r"[\r\n]+|\x08+", _STYLE.sub("", text))


def _pairs(line: str) -> dict[str, str]:
    """The curves that a line tells, and their values as text."""
    found = {}
    for match in _PAIR.finditer("" if line.lstrip().startswith("#") else line):  # a comment in a table
        name = match[1].replace("'s ", " ").strip(".'- ")
        if is_curve(name):
            found[name] = match[2] + match[3]
    return found


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
    epoch, overwritten, part = None, 0, ""
    for line in _lines(source.text()):
        told = _EPOCH.search(line)
        if told is not None and (number := told[1] or told[2]) != epoch:
            epoch = number
            rows.append({"epoch": epoch})
        pairs = _pairs(line)
        if not pairs:
            heading = _HEADING.fullmatch(line)
            part = heading[1] if heading and part_of(heading[1]) else part if not line.strip() else ""
            continue
        if part:
            pairs = {name if any(map(part_of, name.split())) else f"{part} {name}": v for name, v in pairs.items()}
            part = ""
        if epoch is None:
            rows.append(pairs)
        else:
            overwritten += len(set(pairs) & set(rows[-1]))
            rows[-1] |= pairs
    rows = [row for row in rows if set(row) - {"epoch"}]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: column([row.get(name, "") for row in rows])[0] for name in names}
    notes = ["of what was printed several times in an epoch, the last value was taken."] if overwritten else []
    return (Log(columns, tuple(notes)),)
