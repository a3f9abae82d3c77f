"""The frozen labels: the lab's finished blocks in one file, with a hash of their content."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from goodfit.errors import InputError

FILE = Path(__file__).with_name("labels.json.gz")


def freeze(blocks: Iterable[Mapping[str, Any]], path: Path = FILE) -> str:
    """Write blocks to one file; returns the hash of their content (SHA-256)."""
    text = json.dumps(sorted(blocks, key=lambda block: block["block"]), separators=(",", ":"), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    whole = json.dumps({"sha256": digest, "blocks": text})
    path.write_bytes(gzip.compress(whole.encode(), 9, mtime=0))
    return digest


def read_frozen(path: Path = FILE) -> list[dict[str, Any]]:
    """The frozen blocks.

    Raises:
        InputError: the file is missing, or its content is not what was frozen.
    """
    try:
        whole = json.loads(gzip.decompress(path.read_bytes()))
        text = whole["blocks"]
    except (OSError, EOFError, ValueError, KeyError) as problem:
        raise InputError(
            f"the frozen labels {path} can't be read ({problem}).", "Train the lab: --out FOLDER."
        ) from problem
    if hashlib.sha256(text.encode()).hexdigest() != whole["sha256"]:
        raise InputError(f"the frozen labels {path} are not those that were frozen.", "Take the file from the release.")
    return json.loads(text)
