"""A process that works blocks: it reads their names from stdin, one a line, and answers each with a line of JSON."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from goodfit.lab.faults.folder import Folder


def main(where: str) -> None:
    """Work blocks into a folder until stdin ends: each line holds the file's name, dataset, variant and what is done.

    Args:
        where: the folder.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # one core for each worker
    os.environ.setdefault("GOODFIT_CACHE", str(Path(where) / "programs"))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints, prints to stderr
    import jax

    from goodfit.lab.faults import again, blocks, signals  # keras and jax, with these settings

    folder = Folder(Path(where))
    for line in sys.stdin:
        name, dataset, variant, what = line.split()
        block = blocks.Block(dataset, int(variant))
        if what == "cases":
            made = blocks.work(block)
            count = len(made["cases"])
        else:
            first = next(known for known in folder.read() if known["block"] == block.name)
            made = again.relabel(first) if what == "again" else signals.measure(first)
            count = len(made["cases"]) if what == "again" else len(made)
        folder.write(name, made)
        jax.clear_caches()  # no other block has these programs
        gc.collect()
        answers.write(json.dumps({"name": name, "cases": count}) + "\n")
        answers.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[-1])
    except KeyboardInterrupt:
        os._exit(130)
