"""Working many blocks in a few long-lived processes, so that each imports keras and compiles once."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

from goodfit.lab.faults.folder import Folder

Say = Callable[[str], None]
What = Literal["cases", "signals", "again"]


def work(
    names: Sequence[tuple[str, int]], where: Path, what: What = "cases", *, jobs: int = 1, say: Say = print
) -> int:
    """Work the blocks that are not finished yet; a Ctrl-C loses those under way only.

    Args:
        names: dataset and variant of each block, in the order in which they are worked.
        where: the folder of finished blocks.
        what: the cases themselves; or, of finished blocks, the signals of the runs that are shown, or the labels once
            more with other seeds.
        jobs: processes.
        say: told of each finished block, and how many hours are left.

    Returns:
        the number of blocks that failed.
    """
    folder = Folder(where)
    where.mkdir(parents=True, exist_ok=True)
    tasks = {f"{dataset}-{variant}": f"{dataset} {variant} {what}" for dataset, variant in names}
    if what != "cases":
        tasks = {f"{name}.{what}": task for name, task in tasks.items() if folder.has(name)}
    waiting = [name for name in tasks if not folder.has(name)]
    say(f"{len(tasks) - len(waiting)} of {len(tasks)} blocks are finished.")
    if not waiting:
        return 0
    queue: SimpleQueue[str] = SimpleQueue()
    for name in waiting:
        queue.put(name)
    began, done, failed = time.monotonic(), [], []

    def serve() -> None:
        process = None
        try:
            while True:
                name = queue.get_nowait()
                if process is None:
                    command = [sys.executable, "-m", "goodfit.lab.faults.worker", str(where)]
                    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(f"{name} {tasks[name]}\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                if not answer:  # its process has ended; stderr says why
                    failed.append(name)
                    _end(process)
                    process = None
                    say(f"{name}: failed")
                    continue
                done.append(json.loads(answer))
                hours = (time.monotonic() - began) / len(done) * (len(waiting) - len(done)) / 3600
                say(f"{name}: {done[-1]['cases']} cases; about {hours:.1f} hours are left")
        except Empty:
            pass
        finally:
            if process is not None:
                _end(process)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for future in [pool.submit(serve) for _ in range(jobs)]:
                future.result()
        except KeyboardInterrupt:  # the workers have had it too
            with contextlib.suppress(Empty):
                while True:
                    queue.get_nowait()
            raise
    return len(failed)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was not written is lost with it
            assert pipe is not None
            pipe.close()
