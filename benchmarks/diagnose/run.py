"""How long a diagnosis takes: in the process by the length of the history, and the whole command on one log, cold.

    python benchmarks/diagnose/run.py [--out benchmarks/diagnose/table.md]

Asked for: 10,000 epochs in less than 50 ms after imports; the command on one log in less than 2 s, without Keras.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from goodfit.checks import diagnose
from goodfit.values import Run

REPEATS = 7
COMMAND = [sys.executable, "-m", "goodfit", "diagnose"]
IMPORTED = "import sys; from goodfit.cli import main\ntry: main()\nexcept SystemExit: print('keras' in sys.modules)"


def curves(epochs: int, seeds: int = 1) -> Run:
    """Noisy falling losses of some seeds."""
    draw, t = np.random.default_rng(0), np.arange(epochs)
    mean = 0.1 + np.exp(-t / (epochs / 10))
    both = {name: mean * np.exp(0.05 * draw.normal(size=(seeds, epochs))) for name in ("loss", "val_loss")}
    return Run(both, t, tuple(range(seeds)), ("finished",) * seeds)


def seconds(job) -> tuple[float, float]:
    """The least and the median time of some calls."""
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        job()
        took.append(time.perf_counter() - began)
    return min(took), statistics.median(took)


def write_log(path: Path, epochs: int) -> None:
    run = curves(epochs)
    rows = zip(run.epoch, run.curves["loss"][0], run.curves["val_loss"][0], strict=True)
    path.write_text("epoch,loss,val_loss\n" + "".join(f"{e},{a:.9g},{b:.9g}\n" for e, a, b in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    lines = ["| what | least | median |", "|---|---|---|"]
    for epochs, seeds in ((100, 1), (1_000, 1), (10_000, 1), (1_000, 8)):
        run = curves(epochs, seeds)
        diagnose(run)
        least, median = seconds(lambda run=run: diagnose(run))
        lines.append(f"| diagnose, {epochs:,} epochs, {seeds} seed{'s' * (seeds > 1)} | {1e3 * least:.1f} ms "
                     f"| {1e3 * median:.1f} ms |")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (100, 10_000):
            path = Path(folder) / f"{epochs}.csv"
            write_log(path, epochs)
            least, median = seconds(lambda path=path: subprocess.run([*COMMAND, path], check=True, capture_output=True))
            lines.append(
                f"| `goodfit diagnose LOG`, a new process, {epochs:,} epochs | {least:.2f} s | {median:.2f} s |"
            )
        asked = [sys.executable, "-c", IMPORTED, "diagnose", str(path)]
        imports = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]
        lines.append(f"| imports keras | {imports} | |")
        large = Path(folder) / "large.csv"
        block = "".join(f"{{}}{i:06d},{1 / (1 + i):.9f},{1.1 / (1 + i):.9f}\n" for i in range(100_000))
        with large.open("w") as file:
            file.write("epoch,loss,val_loss\n")
            for million in range(10, 71):
                file.write(block.replace("{}", str(million)))
        least, median = seconds(lambda: subprocess.run([*COMMAND, large], check=True, capture_output=True))
        lines.append(f"| the same, a log of {large.stat().st_size / 1e6:.0f} MB | {least:.2f} s | {median:.2f} s |")
    text = "\n".join(lines) + "\n"
    print(text)
    if out is not None:
        out.write_text(f"# Diagnosing\n\nTwo shared cores of a virtual machine; {REPEATS} repeats.\n\n{text}")


if __name__ == "__main__":
    main()
