"""JSON lines: one row per line."""

from __future__ import annotations

import dataclasses
import json

from goodfit.errors import InputError
from goodfit.logs.cells import plural
from goodfit.logs.formats import Log, log_format
from goodfit.logs.in_memory import histories
from goodfit.logs.source import Source


def _looks_json_lines(source: Source) -> bool:
    lines = [line for line in source.beginning.splitlines() if line.strip()]
    if not lines or not lines[0].lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(lines[0]), dict) and len(lines) > 1
    except (json.JSONDecodeError, RecursionError):
        return False


@log_format("JSON lines", matches=_looks_json_lines, order=50)
def json_lines(source: Source) -> tuple[Log, ...]:
    """The one history of JSON lines; a line that is no JSON object is left out, and said."""
    rows, bad, last = [], [], 0
    for number, line in source.lines():
        if not line.strip():
            continue
        last = number
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            bad.append(number)
    if len(bad) > len(rows):
        raise InputError(
            f"{source.name} is not JSON lines: {plural(len(bad), 'line')} ({bad[0]} first) without a JSON object.",
            "Write one JSON object per line.",
        )
    notes = []
    if bad == [last]:
        notes.append("the last line is only half written and was left out; the training may still be running.")
    elif bad:
        notes.append(f"left out: {plural(len(bad), 'line')} without a JSON object (line {bad[0]} first).")
    if source.stride > 1:
        notes.append(f"the log is long: every {source.stride}th row was read.")
    return tuple(dataclasses.replace(log, notes=(*notes, *log.notes)) for log in histories(rows, source.name))
