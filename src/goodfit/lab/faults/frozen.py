"""The frozen labels: the lab's finished blocks in one file, with a hash of their content."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from goodfit.errors import InputError
from goodfit.lab.faults.labels import judge

FILE = Path(__file__).with_name("labels.json.gz")


def freeze(blocks: Iterable[Mapping[str, Any]], path: Path = FILE) -> str:
    """Write blocks to one file; returns its hash (SHA-256)."""
    content = {"blocks": sorted(blocks, key=lambda block: block["block"])}
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    whole = json.dumps({"sha256": digest, "content": text})
    path.write_bytes(gzip.compress(whole.encode(), 9, mtime=0))
    return digest


def read_frozen(path: Path = FILE) -> list[dict[str, Any]]:
    """The frozen blocks, labelled as labels are understood today.

    Raises:
        InputError: the file is missing, or its content is not what was frozen.
    """
    try:
        whole = json.loads(gzip.decompress(path.read_bytes()))
        text = whole["content"]
    except (OSError, EOFError, ValueError, KeyError) as problem:
        raise InputError(
            f"the frozen labels {path} can't be read ({problem}).", "Train the lab: --out FOLDER."
        ) from problem
    if hashlib.sha256(text.encode()).hexdigest() != whole["sha256"]:
        raise InputError(f"the frozen labels {path} are not those that were frozen.", "Take the file from the release.")
    return [{**block, "cases": [judge(case) for case in block["cases"]]} for block in json.loads(text)["blocks"]]
