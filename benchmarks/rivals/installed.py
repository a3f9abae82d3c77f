"""Asks the installed packages runmedic, gradsnitch and sk-autod about trainings; runs in an environment of their own.

Reads JSON from stdin, a list of trainings `{"loss": [...], "val_loss": [...], "step": [...], "more": {column: [...]}}`
with `null` where a number is not finite. Writes JSON to stdout: the packages' versions and licences, and for each
package and training the answers as pairs of a name and a severity, the package's own first answer first. Each is given
what its documentation asks for: runmedic a CSV file, gradsnitch a table with optimizer steps, sk-autod two lists. Only
the standard library and these packages are used.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path
from typing import Any


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def by_runmedic(run: dict[str, Any]) -> list[tuple[str, str]]:
    """The findings of runmedic: critical ones first, then warnings, then remarks."""
    from runmedic import checks, loaders, roles

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        more = run["more"]
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["epoch", "loss", "val_loss", *more])
            for i, pair in enumerate(zip(run["loss"], run["val_loss"])):
                extra = ["" if column[i] is None else column[i] for column in more.values()]
                rows.writerow([i, *map(_number, pair), *extra])
        (read,) = loaders.load(str(path))
    return [(finding.check, finding.severity) for finding in checks.run_checks(read, roles.detect(read))]


def by_gradsnitch(run: dict[str, Any]) -> list[tuple[str, str]]:
    """The findings of gradsnitch, in the order of its rules; the two ends of its update ratio told apart."""
    import gradsnitch
    import pandas as pd

    columns = {"step": run["step"], "train_loss": run["loss"], "val_loss": run["val_loss"], **run["more"]}
    table = pd.DataFrame({name: [_number(v) for v in values] for name, values in columns.items()})
    found = gradsnitch.lint(table)
    return [(f.code + (" high" if "too high" in f.name else " low" if "too low" in f.name else ""), f.severity)
            for f in found]  # fmt: skip


def by_sk_autod(run: dict[str, Any]) -> list[tuple[str, str]]:
    """The findings of sk-autod, in its order; its refusal of a loss that is not finite counts as an answer."""
    import sk_autod

    try:
        report = sk_autod.diagnose([*map(_number, run["loss"])], [*map(_number, run["val_loss"])])
    except ValueError as problem:
        return [("refused: not finite", "error")] if "finite" in str(problem) else []
    return [(finding.detector_name, finding.severity.value) for finding in report.findings]


def licence_of(package: str) -> str:
    """The licence that a package names in its metadata."""
    known = importlib.metadata.metadata(package)
    classified = [c.split(" :: ")[-1] for c in known.get_all("Classifier") or () if c.startswith("License")]
    return next((name for name in (known["License-Expression"], known["License"], *classified) if name), "no licence")


TOOLS = {"runmedic": by_runmedic, "gradsnitch": by_gradsnitch, "sk-autod": by_sk_autod}


def main() -> None:
    """Answer for all trainings on stdin."""
    runs = json.load(sys.stdin)
    given: dict[str, Any] = {"versions": {}, "answers": {}}
    for name, ask in TOOLS.items():
        try:
            given["versions"][name] = f"{importlib.metadata.version(name)} ({licence_of(name)})"
        except importlib.metadata.PackageNotFoundError:
            continue
        given["answers"][name] = [ask(run) for run in runs]
    json.dump(given, sys.stdout)


if __name__ == "__main__":
    main()
