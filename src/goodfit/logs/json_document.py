"""One JSON document: Keras's `History.history` dumped, rows, what pandas writes, a trainer's state that holds a log."""

from __future__ import annotations

import dataclasses
import json

from goodfit.errors import InputError
from goodfit.logs.formats import Log, log_format
from goodfit.logs.in_memory import histories
from goodfit.logs.source import Source

MAX_BYTES = 1 << 26
"""The longest JSON document that is read (bytes): it has to be held whole."""


def _looks_json(source: Source) -> bool:
    return source.beginning.lstrip()[:1] in ("{", "[")


@log_format("JSON", matches=_looks_json, order=60)
def json_document(source: Source) -> tuple[Log, ...]:
    """The histories of a JSON document; a list of rows that ends in the middle of one is read up to there, and " "that
    is said."""
    if source.size > MAX_BYTES:
        raise InputError(
            f"{source.name} is a JSON document of {source.size / 1e6:.0f} MB.",
            "Write long logs as JSON lines or CSV, which can be read in parts.",
        )
    text = source.text()
    note = ""
    try:
        data = json.loads(text)
    except RecursionError:
        raise InputError(f"{source.name} is nested too deeply for a history.", "Give the log of a training.") from None
    except json.JSONDecodeError as error:
        try:
            data = json.loads(text[: text.rfind("}") + 1] + "]") if text.lstrip().startswith("[") else None
        except (json.JSONDecodeError, RecursionError):
            data = None
        if not data:
            ended = "; it may still be being written" if error.pos >= len(text.rstrip()) - 1 else ""
            raise InputError(
                f"{source.name} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}{ended}.",
                "Give a JSON of lists or of rows, JSON lines, or CSV.",
            ) from None
        note = "the document ends in the middle of a row, which was left out; the training may still be running."
    logs = histories(data, source.name)
    return tuple(dataclasses.replace(log, notes=(*log.notes, note)) for log in logs) if note else logs
