"""Other tools on the runs of the fault lab: the same cases, labels and score as goodfit's, nothing is trained.

    python -m venv build/rivals
    build/rivals/bin/pip install --no-deps runmedic==0.1.1 gradsnitch==0.1.0 sk-autod==0.1.1
    build/rivals/bin/pip install numpy pandas  # gradsnitch needs them, the others need nothing
    python benchmarks/rivals/run.py --packages build/rivals/bin/python --out benchmarks/rivals/table.md

runmedic, gradsnitch and sk-autod (each under the MIT licence) run as they are, in an environment of their own, and are
no dependencies of goodfit; without `--packages` they are left out. The rules of Amazon SageMaker Debugger, AutoTrainer
and UMLAUT are re-stated from what their authors have published: `sagemaker_rules.py`, `autotrainer_rules.py`,
`umlaut_rules.py`. What each answer may stand for is in `meanings.py`. By default the frozen labels are read; `--blocks
FOLDER` reads finished blocks of the lab. Only the scored half is shown: goodfit's thresholds come from the other one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import autotrainer_rules
import numpy as np
import sagemaker_rules
import umlaut_rules
from judging import Answer, Line, judge, true_of
from meanings import GOODFIT, MEANINGS, REMARKS
from seen import Seen, answers, layers_of
from writing import page

import goodfit
from goodfit.checks import diagnose
from goodfit.errors import InputError
from goodfit.lab.faults import labels
from goodfit.lab.faults.folder import Folder
from goodfit.lab.faults.frozen import read_frozen
from goodfit.lab.faults.score import rows_of, run_of

HERE = Path(__file__).parent
Case = Mapping[str, Any]
VIEWS = ("curves", "signals", "rows")
"""What the tools of a table see: `loss` and `val_loss`; samples of the layers beside them; network and rows too."""


def cases_of(folder: Path | None, half: str, say: Callable[[str], None]) -> tuple[list[Case], int, list[Case]]:
    """The kept cases of a half, of how many blocks they are, and those of the other half."""
    blocks = _finished(folder, say) if folder else read_frozen()
    own, other = ([b for b in blocks if (b["half"] == half) is ours] for ours in (True, False))
    kept, others = ([case for b in some for case in b["cases"] if case["kept"]] for some in (own, other))
    return kept, len(own), others


def _finished(folder: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The blocks of a folder, labelled as labels are understood today; a file that can't be read is left out."""
    store, blocks = Folder(folder), []
    for name in sorted(file.name.removesuffix(".json.gz") for file in folder.glob("*.json.gz")):
        if "." in name:  # of a block
            continue
        try:
            block = store.load(name)
            signals = store.load(f"{name}.signals") if store.has(f"{name}.signals") else {}
        except InputError as problem:
            say(f"left out: {problem}")
            continue
        cases = [{**labels.judge(case), "signals": signals.get(case["name"])} for case in block["cases"]]
        blocks.append({**block, "cases": cases})
    return blocks


def seen_of(case: Case) -> Seen:
    """A case as the re-stated rules see it."""
    curves = {name: _numbers(values) for name, values in case["run"]["curves"].items()}
    recipe, rows = case["run"]["recipe"], rows_of(case)
    x, y = rows.part("train")
    sampled = case.get("signals") or {"signals": {}, "layers": (), "epochs": ()}
    network = recipe["model"]["config"]["layers"]
    return Seen(
        loss=curves["loss"],
        val_loss=curves["val_loss"],
        samples=np.array(sampled["epochs"]),
        layers=layers_of(sampled["layers"], network),
        signals={name: np.array(values, dtype=np.float64)[0] for name, values in sampled["signals"].items()},
        network=network,
        loss_name=recipe["loss"],
        learning_rate=float(recipe["optimizer"]["config"]["learning_rate"]),
        x=x,
        classes=None if rows.task == "regression" else y,
    )


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def by_goodfit(case: Case, view: str) -> list[Answer]:
    """The findings of goodfit, with no more than the others of a table see."""
    if view == "curves":
        found = diagnose(run_of(case, "curves"))
    else:
        run = run_of(case, "everything")
        if view == "signals":
            run = dataclasses.replace(
                run_of(case, "curves"),
                signals=run.signals,
                signal_layers=run.signal_layers,
                signal_epochs=run.signal_epochs,
            )
            found = diagnose(run)
        else:
            found = diagnose(dataclasses.replace(run, measurements={}), rows_of(case))
    return [Answer(finding.slug, frozenset({finding.slug})) for finding in found.found]


def _generous(answer: Answer) -> Answer:
    return dataclasses.replace(answer, slugs=answer.slugs | set(GOODFIT.get(answer.name, ())))


def by_rules(case: Case, view: str) -> dict[str, list[Answer]]:
    """The answers of the re-stated rules that a view has what they need for."""
    seen, needs = seen_of(case), VIEWS[: VIEWS.index(view) + 1]
    rules = sagemaker_rules.RULES
    if view != "curves":  # the one that sees more tensors stands for the one that sees losses only
        both = {rule.name for rule in rules if rule.needs == "signals"}
        rules = tuple(rule for rule in rules if rule.needs != "curves" or rule.name not in both)
    named = {"SageMaker Debugger": answers(rules, seen, needs)}
    if view == "signals":
        found = answers(autotrainer_rules.RULES, seen, needs)
        named["AutoTrainer"] = autotrainer_rules.first_problem(found)
    if view == "rows":
        found = answers(umlaut_rules.RULES, seen, needs)
        named["UMLAUT"] = found
        named["UMLAUT without its rule of inputs"] = [name for name in found if name != "input_normalization"]
    return {tool: [_answer(tool, name) for name in names] for tool, names in named.items()}


def _answer(tool: str, name: str, severity: str = "") -> Answer:
    known = MEANINGS[tool.removesuffix(" without its rule of inputs")]
    return Answer(name, frozenset(known[name]), severity in REMARKS)


def by_packages(python: Path, cases: Sequence[Case], view: str) -> tuple[dict[str, str], dict[str, list[list[Answer]]]]:
    """The versions of the installed packages, and their answers to all cases."""
    asked = json.dumps([_log(case, view) for case in cases])
    done = subprocess.run([python, HERE / "installed.py"], input=asked, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{python} can't run the packages: {done.stderr.strip().splitlines()[-1]}")
    given = json.loads(done.stdout)
    found = {
        tool: [[_answer(tool, name, severity) for name, severity in run] for run in runs]
        for tool, runs in given["answers"].items()
    }
    return given["versions"], found


def _log(case: Case, view: str) -> dict[str, Any]:
    """A case as a log: losses, steps, and where they are seen the learning rate and the norms over all layers."""
    seen = seen_of(case)
    epochs, batch = len(seen.loss), case["run"]["recipe"]["batch_size"]
    steps = -(-len(rows_of(case).train) // batch)
    more: dict[str, list[float | None]] = {}
    if view == "signals":
        more = {"learning_rate": [seen.learning_rate] * epochs, **_norms(seen, epochs)}
    curves = {name: case["run"]["curves"][name] for name in ("loss", "val_loss")}
    return {**curves, "step": [steps * (epoch + 1) for epoch in range(epochs)], "more": more}


def _norms(seen: Seen, epochs: int) -> dict[str, list[float | None]]:
    """Norm of the gradient and ratio of update to weights over all kernels, `None` where no sample was taken."""
    if not len(seen.samples):
        return {}
    sizes = np.array([seen.layers[place].kernel_size for place in seen.kernels])
    weights = seen.signals["weight_rms"][:, seen.kernels] * np.sqrt(sizes)
    updates = seen.signals["update_ratio"][:, seen.kernels] * weights
    norm = np.linalg.norm(seen.signals["grad_norm"][:, seen.kernels], axis=1)
    ratio = np.linalg.norm(updates, axis=1) / np.linalg.norm(weights, axis=1)
    columns: dict[str, list[float | None]] = {}
    for name, values in (("grad_norm", norm), ("update_ratio", ratio)):
        columns[name] = [None] * epochs
        for epoch, value in zip(seen.samples, values):
            if 1 <= epoch <= epochs and np.isfinite(value):
                columns[name][int(epoch) - 1] = float(value)
    return columns


def compare(
    cases: Sequence[Case], view: str, packages: Path | None, constant: str, say: Callable[[str], None]
) -> tuple[list[Line], dict[str, str]]:
    """The lines of a table, and the versions of the packages."""
    answered: dict[str, list[list[Answer]]] = {
        "goodfit": [],
        "goodfit, read as generously": [],
        "one answer for all": [],
    }
    for case in cases:
        own = by_goodfit(case, view)
        answered["goodfit"].append(own)
        answered["goodfit, read as generously"].append([_generous(answer) for answer in own])
        answered["one answer for all"].append([Answer(constant, frozenset({constant}))])
        for tool, given in by_rules(case, view).items():
            answered.setdefault(tool, []).append(given)
    versions: dict[str, str] = {}
    if packages and view != "rows":
        versions, found = by_packages(packages, cases, view)
        if view == "signals":  # sk-autod sees nothing more
            found.pop("sk-autod", None)
        answered |= found
    lines = []
    for tool, given in answered.items():
        line = Line(tool)
        for case, answer in zip(cases, given, strict=True):
            judge(line, case, true_of(case), answer)
        lines.append(line)
    say(f"{view}: {len(cases)} runs, {len(lines)} tools")
    return lines, versions


def most_frequent(cases: Sequence[Case]) -> str:
    """The finding that is true of most faulty cases."""
    counts = Counter(slug for case in cases if not case["healthy"] for slug in case["slugs"])
    return counts.most_common(1)[0][0]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="Python of the environment that has the packages")
    parser.add_argument("--blocks", type=Path, help="folder of finished blocks; by default the frozen labels")
    parser.add_argument("--half", choices=("scored", "calibration"), default="scored")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    cases, blocks, others = cases_of(asked.blocks, asked.half, say)
    sampled = [case for case in cases if case.get("signals")]
    constant = most_frequent(others or cases)
    tables, versions = {}, {}
    for view in VIEWS:
        tables[view], found = compare(cases if view == "curves" else sampled, view, asked.packages, constant, say)
        versions |= found
    where = "the frozen labels" if asked.blocks is None else "finished blocks"
    known = {"goodfit": goodfit.__version__, **versions, "Python": platform.python_version()}
    command = "python benchmarks/rivals/run.py"
    command += " --packages build/rivals/bin/python" * bool(asked.packages) + " --blocks FOLDER" * bool(asked.blocks)
    command += f" --half {asked.half}" * (asked.half != "scored") + " --out benchmarks/rivals/table.md"
    text = page(tables, known, command=command, half=asked.half, where=where, blocks=blocks, constant=constant)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
