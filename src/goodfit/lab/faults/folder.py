"""The folder of the lab's finished blocks: one small file each, written whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goodfit.errors import InputError
from goodfit.lab.faults.labels import LABELLING, judge
from goodfit.values._json import plain


@dataclass(frozen=True)
class Folder:
    """Finished blocks.

    Args:
        path: where they lie.
    """

    path: Path

    def has(self, name: str) -> bool:
        """Whether a block is finished."""
        return self._file(name).is_file()

    def write(self, name: str, block: dict[str, Any]) -> None:
        """Keep a finished block."""
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.path / f".{name}.{os.getpid()}.part"
        text = json.dumps(plain(block), separators=(",", ":"), allow_nan=False)
        part.write_bytes(gzip.compress(text.encode(), mtime=0))
        part.replace(self._file(name))

    def read(self) -> Iterator[dict[str, Any]]:
        """All finished blocks, by name, each with what was measured of it since: the signals of its runs, its labels
        once more and what repeating its trainings showed.

        Raises:
            InputError: a file is no block.
        """
        for file in sorted(self.path.glob("*.json.gz")):
            name = file.name.removesuffix(".json.gz")
            if name.count(".") == 0:
                block, signals = self.load(name), self.load(f"{name}.signals") if self.has(f"{name}.signals") else {}
                again = self.load(f"{name}.again")["cases"] if self.has(f"{name}.again") else []
                measured = {
                    case["name"]: {"repeats": case["repeats"], "again": {part: case[part] for part in LABELLING}}
                    for case in again
                }
                cases = [{**judge(case), "signals": signals.get(case["name"])} for case in block["cases"]]
                yield {**block, "cases": [{**case, **measured.get(case["name"], {})} for case in cases]}

    def load(self, name: str) -> dict[str, Any]:
        """One file.

        Raises:
            InputError: it is not one of the lab's.
        """
        file = self._file(name)
        try:
            return json.loads(gzip.decompress(file.read_bytes()))
        except (OSError, EOFError, ValueError) as problem:
            raise InputError(f"{file} is no finished block of the lab ({problem}).", "Remove it.") from problem

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.json.gz"
