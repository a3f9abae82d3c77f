"""The published table of scores."""

from __future__ import annotations

from typing import Any

from goodfit.lab.faults.score import Report, Scores, Tally
from goodfit.values._json import dumps


def markdown(report: Report) -> str:
    """The scores as a page of the docs."""
    lines = [
        "# How often the checks are right",
        "",
        "Written by `goodfit lab faults`: faults planted in networks on real data, each verified by what mends it on",
        "five seeds; the run that is diagnosed is of a sixth. Intervals are Wilson's at 95 %. Thresholds may be set on",
        "the calibration half only.",
    ]
    if report.datasets:
        many = {half: len(names) for half, names in report.datasets.items()}
        lines += [
            "",
            f"{report.blocks} blocks, each a healthy setup on a dataset, of the lab's 112 are labelled so far:",
        ]
        lines += [f"{many['scored']} datasets of the scored half and {many['calibration']} of the calibration half."]
    if report.agreement:
        lines += ["", "Labelled again with five other seeds, which is the ceiling of any score:", ""]
        lines += ["| | share | 95 % | n |", "|---|---|---|---|"]
        lines += [_row(name, tally) for name, tally in report.agreement.items()]
        lines += [
            "",
            "What `probe=True` repeats is of three of the second five seeds. The first five, by which all is scored,",
            "have no part in it; but rows that speak of both sets of seeds flatter the tables with `probe=True`.",
        ]
    for scores in report.scores:
        lines += ["", *_half(scores)]
    for half, counts in report.planted.items():
        if not counts:
            continue
        lines += ["", f"## Planted, {half} half", "", "What was planted and turned out to be no fault was dropped.", ""]
        lines += ["| finding | planted | kept | dropped |", "|---|---|---|---|"]
        lines += [f"| {slug} | {n} | {kept} | {n - kept} |" for slug, (n, kept) in sorted(counts.items())]
    return "\n".join(lines) + "\n"


def _half(scores: Scores) -> list[str]:
    seen = {
        "curves": "`loss` and `val_loss` alone",
        "everything": "the run with its recipe, signals, baselines and rows",
        "measured": "all that and the training three times more (`probe=True`)",
    }[scores.view]
    lines = [
        f"## {scores.half.capitalize()} half, from {seen}",
        "",
        f"{scores.faulty} faulty and {scores.healthy} healthy runs.",
        "",
        "| | share | 95 % | n |",
        "|---|---|---|---|",
        _row("verdict right", scores.verdict),
        _row("… of faulty runs", scores.faulty_verdict),
        _row("… of healthy runs (balanced)", scores.healthy_verdict),
        _row("verdict right, of runs labelled alike by both sets of seeds", scores.established),
        _row("… of healthy ones", scores.established_healthy),
        _row("healthy runs with a false alarm", scores.healthy_alarms),
        _row("… of those healthy by both sets of seeds", scores.established_alarms),
        _row("first finding of a faulty run right", scores.first),
        _row("a change is proposed, and the first one works", scores.first_change),
        _row("… of those where one is proposed", scores.proposed_change),
        _row("precision, all findings", scores.pooled("precision")),
        _row("… of those true, or false, by both sets of seeds", scores.established_findings),
        _row("recall, all findings", scores.pooled("recall")),
        "",
        "| finding | precision | 95 % | n | recall | 95 % | n | healthy alarms | undecided |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for slug in sorted({*scores.precision, *scores.recall}):
        precision, recall = scores.precision.get(slug, Tally()), scores.recall.get(slug, Tally())
        lines.append(
            f"| {slug} | {_cells(precision)} | {_cells(recall)} | {scores.alarms[slug]} | {scores.undecided[slug]} |"
        )
    lines += ["", "What came first instead of what was planted:", ""]
    for slug, counts in sorted(scores.confused.items()):
        others = ", ".join(f"{name} {count}" for name, count in counts.most_common(6))
        lines.append(f"- {slug}: {others}")
    lines += ["", "Wrong verdicts, right one first: " + (_pairs(scores) or "none") + "."]
    if scores.untried_changes:
        untried = ", ".join(f"{name} {count}" for name, count in scores.untried_changes.most_common())
        lines += ["", f"First changes that the lab has not tried, left out: {untried}."]
    return lines


def _pairs(scores: Scores) -> str:
    return ", ".join(f"{right} → {said} {count}" for (right, said), count in scores.wrong_verdicts.most_common(20))


def _cells(tally: Tally) -> str:
    if not tally.tries:
        return "– | – | 0"
    low, high = tally.interval()
    return f"{tally.share:.0%} | {low:.0%}–{high:.0%} | {tally.tries}"


def _row(name: str, tally: Tally) -> str:
    return f"| {name} | {_cells(tally)} |"


def as_json(report: Report) -> str:
    """The scores as JSON."""

    def tally(t: Tally) -> dict[str, Any]:
        return {"share": t.share, "interval": t.interval(), "n": t.tries}

    tallies = (
        "verdict",
        "faulty_verdict",
        "healthy_verdict",
        "healthy_alarms",
        "established",
        "established_healthy",
        "established_alarms",
        "established_findings",
        "first",
        "first_change",
        "proposed_change",
    )
    return dumps(
        {
            "scores": [
                {
                    "half": s.half,
                    "view": s.view,
                    "faulty": s.faulty,
                    "healthy": s.healthy,
                    **{name: tally(getattr(s, name)) for name in tallies},
                    "pooled": {which: tally(s.pooled(which)) for which in ("precision", "recall")},
                    "precision": {slug: tally(t) for slug, t in s.precision.items()},
                    "recall": {slug: tally(t) for slug, t in s.recall.items()},
                    "confused": {slug: dict(counts) for slug, counts in s.confused.items()},
                }
                for s in report.scores
            ],
            "planted": report.planted,
            "agreement": {name: tally(t) for name, t in report.agreement.items()},
        }
    )
