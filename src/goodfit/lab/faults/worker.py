"""A process that works blocks: it reads their names from stdin, one a line, and answers each with a line of JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from goodfit.lab.faults.folder import Folder


def main(where: str) -> None:
    """Work blocks into a folder until stdin ends.

    Args:
        where: the folder.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # one core for each worker
    os.environ.setdefault("GOODFIT_CACHE", str(Path(where) / "programs"))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints, prints to stderr
    from goodfit.lab.faults import blocks  # keras and jax, with these settings

    folder = Folder(Path(where))
    for line in sys.stdin:
        dataset, variant = line.split()
        block = blocks.Block(dataset, int(variant))
        made = blocks.work(block)
        folder.write(block.name, made)
        answers.write(json.dumps({"block": block.name, "cases": len(made["cases"])}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[-1])
