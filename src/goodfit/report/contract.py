"""The JSON that the command line prints: what `diagnose --json` and `train --json` promise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from goodfit.values import Diagnosis, Study


def diagnosis_json(entries: Iterable[tuple[str, Diagnosis]]) -> dict[str, Any]:
    """What `diagnose --json` prints.

    Args:
        entries: the path of each run, with its diagnosis.

    Returns:
        Plain data: `{"runs": [{"path", "verdict", "reason", "findings": [{"slug", "status", "severity", "evidence",
        "message", "try"}]}]}`; findings of status `found` come first, most important first.

    Example:
        >>> diagnosis_json([("log.csv", Diagnosis("balanced", "Both losses fall together."))])
        {'runs': [{'path': 'log.csv', 'verdict': 'balanced', 'reason': 'Both losses fall together.', 'findings': []}]}
    """
    order = ("found", "clear", "not-applicable")
    runs = []
    for path, diagnosis in entries:
        data = diagnosis.to_dict()
        findings = sorted(data["findings"], key=lambda finding: order.index(finding["status"]))
        runs.append({"path": str(path), "verdict": data["verdict"], "reason": data["reason"], "findings": findings})
    return {"runs": runs}


def study_json(study: Study, report: str | None = None) -> dict[str, Any]:
    """What `train --json` prints.

    Args:
        study: the finished study.
        report: where its report lies, where there is one.

    Returns:
        Plain data: `name`, `folder`, `report`, `task`, `target`, `verdict`, `reason`, `findings` (those found),
        `scores`, `seeds`, `rows`, `notes`, and `improvement`: what `improve --json` prints of the ladder, `null` where
        nothing was to be improved.
    """
    about = study.about
    return {
        "name": study.name,
        "folder": study.folder,
        "report": report,
        "task": study.task,
        "target": about.get("target"),
        "verdict": study.diagnosis.verdict,
        "reason": study.diagnosis.reason,
        "findings": [finding.to_dict() for finding in study.diagnosis.found],
        "scores": [_score(score.to_dict()) for score in study.scores],
        "seeds": list(study.run.seeds),
        "rows": dict(about.get("rows") or {}),
        "notes": list(about.get("notes") or ()),
        "improvement": _improvement(study),
    }


def _improvement(study: Study) -> dict[str, Any] | None:
    """The ladder, without what stands beside it."""
    from goodfit.report import ladder

    if not ladder.searched(study):
        return None
    beside = ("name", "folder", "test", "notes")
    return {key: value for key, value in ladder.ladder_json(study).items() if key not in beside}


def _score(data: dict[str, Any]) -> dict[str, Any]:
    """A score as JSON can hold it: not-a-number becomes `None`."""

    def held(value: Any) -> Any:
        if isinstance(value, float) and not (abs(value) < float("inf")):
            return None
        return [held(item) for item in value] if isinstance(value, (list, tuple)) else value

    return {name: held(value) for name, value in data.items()}
