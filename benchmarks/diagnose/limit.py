"""How far any rule could get on what the checks see: two learners in their place, on the fault lab's calibration half.

    python benchmarks/diagnose/limit.py        # writes benchmarks/diagnose/limit.md; some five minutes

The verdict is learned by extremely randomized trees (Geurts, Ernst and Wehenkel 2006) and by gradient boosting, for
each verdict whether it is right, from what the checks read: figures of the two curves; or every number that the checks
state, every baseline and every repeated training. Each dataset is judged by what was learned on the others. What is
added to the probability of `balanced` trades healthy runs for faulty ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

VERDICTS = ("balanced", "overfitting", "underfitting", "unfinished", "unstable", "diverged", "not-learning")
ADDED = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
VIEWS = {"curves": "`loss` and `val_loss` alone", "measured": "everything, the training three times more included"}


def of_curves(case: Mapping[str, Any], _: Any) -> dict[str, float]:
    """Figures of level, place of the lowest, trend, noise and rises of both curves, and of what lies between them."""
    from goodfit.lab.faults.score import run_of

    run = run_of(case, "curves")
    curves = {name: run.curves[name][0] for name in ("loss", "val_loss")}
    length = len(curves["loss"])
    made = {"epochs": float(length), "finite": float(np.mean([np.isfinite(c).all() for c in curves.values()]))}
    start = max(float(np.nan_to_num(curves["loss"][0], posinf=1e6)), 1e-9)
    for name, values in curves.items():
        curve = np.clip(np.nan_to_num(values, nan=1e6, posinf=1e6), None, 1e6)
        level = np.convolve(np.pad(curve, length // 40 + 1, mode="edge"), _mean(2 * (length // 40 + 1) + 1), "valid")
        end, low = max(float(level[-1]), 1e-9), float(level.min())
        late = curve[length // 2 :]
        jitter = 1.4826 * float(np.median(np.abs(np.diff(late, n=2)))) / np.sqrt(6.0) if len(late) > 3 else 0.0
        made |= {
            f"{name} first": float(np.log(max(curve[0], 1e-9))),
            f"{name} last": float(np.log(end)),
            f"{name} fall": end / start,
            f"{name} lowest": low / start,
            f"{name} place": float(level.argmin()) / length,
            f"{name} rise": (end - low) / end,
            f"{name} noise": jitter / max(float(np.median(late)), 1e-9),
            f"{name} jitter": jitter / start,
            f"{name} highest": float(curve.max()) / start,
            f"{name} jump": float(np.diff(curve).max(initial=0.0)) / max(float(np.median(curve)), 1e-9),
            f"{name} rises": float((np.diff(late) > 0).mean()) if len(late) > 1 else 0.0,
        }
        for share in (0.1, 0.25, 0.5):
            part = curve[-max(int(length * share), 3) :]
            made[f"{name} trend {share}"] = np.polyfit(np.linspace(0, 1, len(part)), part, 1)[0] / max(
                part.mean(), 1e-9
            )
        made |= {f"{name} at {at}": level[int((length - 1) * at)] / start for at in (0.05, 0.1, 0.25, 0.5, 0.75)}
    gap = (curves["val_loss"] - curves["loss"])[np.isfinite(curves["val_loss"]) & np.isfinite(curves["loss"])]
    if len(gap):
        made |= {"below": float((gap < 0).mean()), "gap": float(np.median(gap)) / start, "end gap": gap[-1] / start}
    return made


def of_everything(case: Mapping[str, Any], diagnosis: Any) -> dict[str, float]:
    """What each check says and the numbers it says it by, what was measured, and what the repeated trainings gained."""
    made: dict[str, float] = {}
    gains: dict[str, list[float]] = {}
    for finding in diagnosis.findings:
        made[finding.slug] = {"found": 1.0, "clear": 0.0, "not-applicable": -1.0}[finding.status]
        made |= {f"{finding.slug}: {number.name}": float(number.value) for number in finding.evidence}
    known = {**case["measurements"], **case["repeats"]}
    made |= {name: np.nan if value is None else float(value) for name, value in known.items()}
    for name, value in case["repeats"].items():
        turn, quantity = name.split("_")[1], "best_val_loss" if name.endswith("best_val_loss") else "val_loss"
        same = case["repeats"].get(f"rerun_{turn}_same_{quantity}")
        if value is not None and same:
            gains.setdefault(name.split("_", 2)[2], []).append(1.0 - value / same)
    made |= {f"gain of {name}": float(np.median(seeds)) for name, seeds in gains.items()}
    return made


def _mean(width: int) -> np.ndarray:
    return np.full(width, 1 / width)


def learners() -> dict[str, Callable[[], Any]]:
    """Two of different kinds; both at settings that suit a thousand rows."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

    return {
        "extremely randomized trees": lambda: ExtraTreesClassifier(
            500, min_samples_leaf=2, max_features=0.3, random_state=0
        ),
        "gradient boosting": lambda: HistGradientBoostingClassifier(
            max_iter=120, learning_rate=0.06, max_leaf_nodes=12, min_samples_leaf=15, random_state=0
        ),
    }


def probabilities(make: Callable[[], Any], x: np.ndarray, right: np.ndarray, datasets: np.ndarray) -> np.ndarray:
    """How probable each verdict is to be right, by what was learned on other datasets; shape (cases, verdicts)."""
    from sklearn.model_selection import LeaveOneGroupOut

    out = np.zeros(right.shape)
    for (train, test), verdict in itertools.product(LeaveOneGroupOut().split(x, groups=datasets), range(len(VERDICTS))):
        if right[train, verdict].any():
            learned = make().fit(x[train], right[train, verdict])
            out[test, verdict] = learned.predict_proba(x[test])[:, 1]
    return out


def main() -> None:
    import pandas as pd

    from goodfit.lab.faults.frozen import read_frozen
    from goodfit.lab.faults.score import seen

    blocks = read_frozen()
    cases = [case for b in blocks if b["half"] == "calibration" for case in b["cases"] if case["kept"]]
    right = np.array([[verdict in case["verdicts"] for verdict in VERDICTS] for case in cases])
    healthy = np.array([case["healthy"] for case in cases])
    datasets = np.array([case["dataset"] for case in cases])
    lines = [
        "# What the checks see, learned from instead",
        "",
        f"{(~healthy).sum()} faulty and {healthy.sum()} healthy runs of the calibration half,"
        f" {len(set(datasets))} datasets, each judged by what was learned on the others (`limit.py`). The thresholds of"
        " the checks were set on these datasets together. With everything measured no learner is right as often as the"
        " checks. From the two curves learners are right more often only where they call fewer of the healthy runs"
        " balanced, and even then so many verdicts stay wrong that what is seen, and not how it is read, must be the"
        " limit: one training of one seed.",
        "",
        "| seen | by | verdict right | of healthy runs | of faulty runs |",
        "|---|---|---|---|---|",
    ]

    def line(view: str, who: str, hits: np.ndarray) -> None:
        shares = " | ".join(f"{part.mean():.0%}" for part in (hits, hits[healthy], hits[~healthy]))
        lines.append(f"| {view} | {who} | {shares} |")
        print(lines[-1], flush=True)

    for view, told in VIEWS.items():
        said = [seen(case, view) for case in cases]  # pyright: ignore[reportArgumentType]
        line(told, "the checks", np.array([d.verdict in c["verdicts"] for c, d in zip(cases, said, strict=True)]))
        read = of_curves if view == "curves" else of_everything
        table = pd.DataFrame([read(case, diagnosis) for case, diagnosis in zip(cases, said, strict=True)])
        x = table.loc[:, table.nunique() > 5].clip(-1e6, 1e6).fillna(-9.0).to_numpy(np.float64)
        for name, make in learners().items():
            chance = probabilities(make, x, right, datasets)
            for added in ADDED:
                picked = (chance + added * (np.arange(len(VERDICTS)) == 0)).argmax(axis=1)
                line(told, f"{name}, {added:g} added to balanced", right[np.arange(len(cases)), picked])
    Path(__file__).with_suffix(".md").write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
