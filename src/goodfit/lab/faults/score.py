"""The checks of today, judged by the lab's labels. Nothing is trained."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, Literal

import numpy as np

from goodfit.checks import diagnose
from goodfit.lab.faults import labels, sources
from goodfit.lab.faults.data import Treatment, chance_losses, prepare
from goodfit.lab.faults.plants import FAMILY
from goodfit.values import Change, Dataset, Diagnosis, Recipe, Run

View = Literal["curves", "everything", "measured"]
"""What the checks are given: `loss` and `val_loss` alone; the whole run with recipe, signals, baselines and rows; and
beside these what the probe `full-length` measures."""
_CHANGES: Mapping[tuple[str, float], str] = {
    ("lower-learning-rate", 0.1): "rate-/10",
    ("lower-learning-rate", 0.333): "rate-/3",
    ("raise-learning-rate", 10.0): "rate-x10",
    ("raise-learning-rate", 3.0): "rate-x3",
    ("more-epochs", 2.0): "epochs-x2",
    ("wider-layers", 2.0): "wider",
    ("narrower-layers", 0.5): "narrower",
    ("add-dropout", 0.1): "dropout-0.1",
    ("add-dropout", 0.2): "dropout-0.2",
    ("add-l2", 1e-4): "l2-1e-4",
    ("add-l2", 1e-3): "l2-1e-3",
    ("early-stopping", 20.0): "early-stopping",
}
_INITIAL = (
    "poor-initialization", "large-weights", "exploding-gradients", "saturated-units", "dying-relu",
    "initialization-activation-mismatch",
)  # fmt: skip
_UNDOES: Mapping[str, tuple[str, ...]] = {
    "standardize-inputs": ("unscaled-inputs", "regularization-on-unscaled-inputs"),
    "standardize-target": ("unscaled-target",),
    "correct-output": ("output-loss-mismatch",),
    "less-dropout": ("dropout-too-strong",),
    "no-dropout": ("dropout-too-strong",),
    "weaker-penalties": ("regularization-too-strong",),
    "no-penalties": ("regularization-too-strong",),
    "larger-batches": ("batch-norm-small-batch",),
    "he-normal-initialization": _INITIAL,
    "glorot-uniform-initialization": _INITIAL,
    "relu-activation": ("vanishing-gradients", "selu-conditions"),
}
"""A change that does what undoing a planted fault does, to it and nothing else -> those faults."""
_NEEDS = {"overfitting": "dropout-0.2", "underfitting": "wider"}
_OF_LAYERS = (
    "vanishing-gradients", "exploding-gradients", "dying-relu", "saturated-units", "poor-initialization",
    "large-weights",
    "initialization-activation-mismatch", "selu-conditions", "output-loss-mismatch", "batch-norm-small-batch",
    "dropout-too-strong", "regularization-too-strong", "regularization-on-unscaled-inputs", "unscaled-inputs",
    "unscaled-target", "too-few-examples", "cannot-overfit-small-sample", "initial-loss-off-chance",
)  # fmt: skip


@dataclass
class Tally:
    """Hits over tries."""

    hits: int = 0
    tries: int = 0

    def add(self, hit: bool) -> None:
        """Count one try."""
        self.hits += bool(hit)
        self.tries += 1

    @property
    def share(self) -> float:
        """Hits over tries; `nan` without any."""
        return self.hits / self.tries if self.tries else float("nan")

    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share; Wilson (1927).

        Example:
            >>> [round(end, 3) for end in Tally(9, 10).interval()]
            [0.596, 0.982]
        """
        from scipy.stats import binomtest

        if not self.tries:
            return 0.0, 1.0
        found = binomtest(self.hits, self.tries).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)


@dataclass
class Scores:
    """How the checks did on some cases, seen in one way.

    `established` counts the cases that two sets of seeds labelled alike, `established_findings` what was found of these
    that is true, or false, by both.
    """

    half: str
    view: View
    faulty: int = 0
    healthy: int = 0
    verdict: Tally = field(default_factory=Tally)
    healthy_verdict: Tally = field(default_factory=Tally)
    faulty_verdict: Tally = field(default_factory=Tally)
    healthy_alarms: Tally = field(default_factory=Tally)
    established: Tally = field(default_factory=Tally)
    established_healthy: Tally = field(default_factory=Tally)
    established_alarms: Tally = field(default_factory=Tally)
    established_findings: Tally = field(default_factory=Tally)
    first: Tally = field(default_factory=Tally)
    first_change: Tally = field(default_factory=Tally)
    proposed_change: Tally = field(default_factory=Tally)
    precision: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    recall: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    alarms: Counter[str] = field(default_factory=Counter)
    undecided: Counter[str] = field(default_factory=Counter)
    confused: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong_verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    untried_changes: Counter[str] = field(default_factory=Counter)

    def pooled(self, which: Literal["precision", "recall"]) -> Tally:
        """Precision or recall over all findings together."""
        tallies = getattr(self, which).values()
        return Tally(sum(t.hits for t in tallies), sum(t.tries for t in tallies))


@dataclass(frozen=True)
class Report:
    """The scores of each half and view, what was planted and kept, how far labels agree with themselves.

    Args:
        scores: of each half and view.
        planted: for each half, what was planted -> how often, and how often it was a fault.
        agreement: of the labels with themselves.
        blocks: that were scored.
        datasets: of each half.
    """

    scores: tuple[Scores, ...]
    planted: Mapping[str, Mapping[str, tuple[int, int]]]
    agreement: Mapping[str, Tally] = field(default_factory=dict)
    blocks: int = 0
    datasets: Mapping[str, set[str]] = field(default_factory=dict)


def score(
    blocks: Iterable[Mapping[str, Any]],
    agreement: Mapping[str, Tally] | None = None,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Diagnose every case and compare with what is true of it.

    Args:
        blocks: finished blocks, as `goodfit.lab.faults.blocks.work` makes them.
        agreement: of the labels with themselves, with other seeds.
        say: told of the progress.
    """
    views: tuple[View, ...] = ("curves", "everything", "measured")
    halves = {(half, view): Scores(half, view) for half in ("scored", "calibration") for view in views}
    planted: dict[str, dict[str, tuple[int, int]]] = {"scored": {}, "calibration": {}}
    count, datasets = 0, {"scored": set[str](), "calibration": set[str]()}
    for block in blocks:
        half = block["half"]
        count += 1
        datasets[half].update(case["dataset"] for case in block["cases"])
        for case in block["cases"]:
            name = case["planted"] or ("healthy" if case["healthy"] else "meant to be healthy")
            tried, kept = planted[half].get(name, (0, 0))
            planted[half][name] = tried + 1, kept + case["kept"]
        for case in filter(itemgetter("kept"), block["cases"]):
            for view in views:
                if view != "measured" or "repeats" in case:
                    _judge(halves[half, view], case, seen(case, view))
        say(f"{block['block']}: scored")
    kept = tuple(s for s in halves.values() if s.faulty + s.healthy)
    return Report(kept, planted, agreement or {}, count, datasets)


def seen(case: Mapping[str, Any], view: View) -> Diagnosis:
    """What the checks say of a case."""
    if view == "curves":
        return diagnose(run_of(case, view))
    return diagnose(run_of(case, view), rows_of(case))


def run_of(case: Mapping[str, Any], view: View) -> Run:
    """A case's run as a user has it."""
    shown = case["run"]
    curves = {
        name: np.array([[np.inf if v is None else v for v in values]], dtype=np.float64)
        for name, values in shown["curves"].items()
    }
    epoch = np.asarray(shown.get("epoch", range(len(curves["loss"][0]))))
    if view == "curves":
        return Run(curves={name: curves[name] for name in ("loss", "val_loss")}, epoch=epoch)
    known = {**case["measurements"], **(case["repeats"] if view == "measured" else {})}
    measured = {
        name: float("inf") if value is None else float(value)
        for name, value in known.items()
        if value is not None or name.startswith("rerun_")  # an arm that ended not finite
    }
    measured["train_chance_loss"] = chance_losses(rows_of(case))["train"]
    sampled = case.get("signals") or {"signals": {}, "layers": (), "epochs": ()}
    signals = {
        name: np.array(values, dtype=np.float64)  # None becomes NaN
        for name, values in sampled["signals"].items()
    }
    return Run(
        curves=curves,
        epoch=epoch,
        signals=signals,
        signal_layers=tuple(sampled["layers"]),
        signal_epochs=np.array(sampled["epochs"], dtype=np.float64),
        seeds=(shown["seed"],),
        outcomes=(shown["outcome"],),
        kept_epoch=None if shown["kept_epoch"] is None else np.array([shown["kept_epoch"]]),
        measurements=measured,
        recipe=Recipe.from_dict(shown["recipe"]),
        task=rows_of(case).task,
        name=case["name"],
    )


def rows_of(case: Mapping[str, Any]) -> Dataset:
    """The rows that a case was trained on, made again."""
    return _rows(case["dataset"], case["variant"], Treatment(**case["treatment"]))


@lru_cache(maxsize=64)
def _rows(name: str, variant: int, treatment: Treatment) -> Dataset:
    return prepare(_source(name), treatment, seed=variant)


@lru_cache(maxsize=64)
def _source(name: str) -> sources.Source:
    return sources.load(name)


def natural(case: Mapping[str, Any]) -> set[str]:
    """What is true of a case's rows by themselves, planted or not."""
    return _natural(case["dataset"], case["variant"], Treatment(**case["treatment"]))


@lru_cache(maxsize=64)
def _natural(name: str, variant: int, treatment: Treatment) -> set[str]:
    rows = _rows(name, variant, treatment)
    x, y = rows.part("train")
    true = set()
    if (np.ptp(x.reshape(len(x), -1), axis=0) == 0).any():
        true.add("constant-inputs")
    if rows.task != "regression" and np.bincount(y, minlength=len(rows.classes)).min() < 0.2 * len(y) / len(
        rows.classes
    ):
        true.add("class-imbalance")
    return true


def change_of(change: Change) -> str | None:
    """The counterfactual of the lab that a proposed change is; `None` where the lab has none such.

    Example:
        >>> change_of(Change("more-epochs", {"epochs": {"times": 2.0}}, "", ""))
        'epochs-x2'
    """
    for value in _leaves(change.edits):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            known = _CHANGES.get((change.name, float(f"{value:.3g}")))
            if known is not None:
                return known
    return None


def _leaves(part: Any) -> Iterable[Any]:
    if isinstance(part, Mapping):
        for value in part.values():
            yield from _leaves(value)
    else:
        yield part


def _judge(scores: Scores, case: Mapping[str, Any], diagnosis: Diagnosis) -> None:
    healthy, true = case["healthy"], set(case["slugs"]) | natural(case)
    found = [finding.slug for finding in diagnosis.found]
    right = diagnosis.verdict in case["verdicts"]
    scores.verdict.add(right)
    if not right:
        scores.wrong_verdicts["/".join(case["verdicts"]), diagnosis.verdict] += 1
    _judge_established(scores, case, diagnosis)
    for slug in found:
        if slug in true:
            scores.precision[slug].add(True)
        elif not healthy and _undecided(slug, case):
            scores.undecided[slug] += 1
        else:
            scores.precision[slug].add(False)
    if healthy:
        scores.healthy += 1
        scores.healthy_verdict.add(right)
        scores.healthy_alarms.add(any(slug not in true for slug in found))
        scores.alarms.update(slug for slug in found if slug not in true)
        return
    scores.faulty += 1
    scores.faulty_verdict.add(right)
    if case["planted"] and (case["planted"] not in labels.OF_CURVES or case["planted"] in labels.shown(case["run"])):
        same = {case["planted"], *(set(FAMILY.get(case["planted"], ())) & true)}  # any name of the planted cause
        scores.recall[case["planted"]].add(not same.isdisjoint(found))
        scores.confused[case["planted"]][found[0] if found else diagnosis.verdict] += 1
    scores.first.add(bool(found) and found[0] in true)
    _first_change(scores, case, diagnosis)


def _judge_established(scores: Scores, case: Mapping[str, Any], diagnosis: Diagnosis) -> None:
    """The same where two sets of seeds labelled alike: the verdict, and each finding that is true or false by both."""
    twin = labels.judged_again(case)
    if twin is None or twin["healthy"] != case["healthy"]:
        return
    alike = set(case["verdicts"]) & set(twin["verdicts"])
    if alike and twin["kept"]:
        scores.established.add(diagnosis.verdict in alike)
        if case["healthy"]:
            scores.established_healthy.add(diagnosis.verdict in alike)
    first, again = ({*known["slugs"], *natural(case)} for known in (case, twin))
    if case["healthy"]:
        scores.established_alarms.add(any(finding.slug not in first | again for finding in diagnosis.found))
    for slug in {finding.slug for finding in diagnosis.found} - (first ^ again):
        if slug in first or case["healthy"] or not _undecided(slug, case):
            scores.established_findings.add(slug in first)


def _undecided(slug: str, case: Mapping[str, Any]) -> bool:
    """Whether the remedy of a finding was not tried on a case."""
    return slug in _OF_LAYERS or (slug in _NEEDS and _NEEDS[slug] not in case["gains"])


def _first_change(scores: Scores, case: Mapping[str, Any], diagnosis: Diagnosis) -> None:
    """Whether the first change that can be made to the training works."""
    if not case["works"]:
        return  # nothing lowers the loss of this one
    change = next((c for finding in diagnosis.found for c in finding.changes if c.edits), None)
    if change is None:
        scores.first_change.add(False)
        return
    tried = change_of(change)
    if change.name in _UNDOES:
        tried = next((name for name in case["gains"] if name.removeprefix("undo-") in _UNDOES[change.name]), None)
    if tried is None or tried not in case["gains"]:
        scores.untried_changes[change.name] += 1
        return
    values = [float("nan") if value is None else value for value in case["gains"][tried]]
    works = labels.Gain(*values).works()
    scores.first_change.add(works)
    scores.proposed_change.add(works)
