"""`Finding` and `Diagnosis`: what checks answer, and the one verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from goodfit.values._json import plain
from goodfit.values.change import Change

Verdict = Literal[
    "balanced",
    "overfitting",
    "underfitting",
    "unfinished",
    "unstable",
    "diverged",
    "not-learning",
    "insufficient-evidence",
]
Status = Literal["found", "clear", "not-applicable"]
Severity = Literal["high", "medium", "low", "none"]
_WIDTH = 88
"""Of a line of text, in characters."""


@dataclass(frozen=True)
class Evidence:
    """One number beside its threshold.

    Args:
        name: what was measured, in words of the field.
        value: the measured number.
        threshold: where the finding begins; `None` for a number that stands for information only.
        relation: on which side of the threshold the finding lies.
        unit: of both numbers; `""` for a ratio.
    """

    name: str
    value: float
    threshold: float | None = None
    relation: Literal[">", ">=", "<", ""] = ""
    unit: str = ""

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        text = f"{self.name} {self.value:.3g}{unit}"
        return text if self.threshold is None else f"{text} (found where {self.relation} {self.threshold:.3g}{unit})"


@dataclass(frozen=True)
class Finding:
    """One check's answer.

    Args:
        slug: the check's name.
        status: `found`, `clear`, or `not-applicable` (the message says why).
        severity: how much it matters; `none` unless found.
        evidence: each number beside its threshold.
        message: one sentence for a person.
        changes: what to try, most promising first.
    """

    slug: str
    status: Status
    message: str
    severity: Severity = "none"
    evidence: tuple[Evidence, ...] = ()
    changes: tuple[Change, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON; `changes` is called `try` there."""
        return {
            "slug": self.slug,
            "status": self.status,
            "severity": self.severity,
            "evidence": [
                plain(
                    {"name": e.name, "value": e.value, "threshold": e.threshold, "relation": e.relation, "unit": e.unit}
                )
                for e in self.evidence
            ],
            "message": self.message,
            "try": [change.to_dict() for change in self.changes],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """The finding that `to_dict` wrote."""
        evidence = tuple(
            Evidence(**{**e, "value": float("nan") if e["value"] is None else e["value"]}) for e in data["evidence"]
        )
        changes = tuple(Change.from_dict(change) for change in data["try"])
        return cls(data["slug"], data["status"], data["message"], data["severity"], evidence, changes)


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """One verdict and all findings, most important first.

    Args:
        verdict: exactly one, never silent.
        reason: why, one sentence.
        findings: those found first, most important first; then the clear ones, then those not applicable.
    """

    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        """What a person reads: the verdict, what was found with its evidence and what to try, and what was looked at.

        Example:
            >>> print(Diagnosis("balanced", "Nothing was found.", (Finding("diverged", "clear", ""),)))
            balanced: Nothing was found.
            clear: diverged
        """
        lines = _wrapped(f"{self.verdict}: {self.reason}")
        for finding in self.found:
            said = "" if finding.message == self.reason else f": {finding.message}"
            lines += ["", *_wrapped(f"{finding.slug} ({finding.severity}){said}")]
            lines += [line for evidence in finding.evidence for line in _wrapped(str(evidence), "  - ")]
            for place, change in enumerate(finding.changes):
                lines += _wrapped(change.describe, "   or: " if place else "  try: ")
        clear, rest = ([f.slug for f in self.findings if f.status == s] for s in ("clear", "not-applicable"))
        lines += [""] * bool(self.found and (clear or rest))
        lines += _wrapped(f"clear: {', '.join(clear)}") if clear else []
        lines += [f"not applicable: {len(rest)} other {'check' if len(rest) == 1 else 'checks'}"] if rest else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Diagnosis {self.verdict}: {', '.join(finding.slug for finding in self.found) or 'nothing'} found>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The text in place of the representation, where IPython and notebooks show a value."""
        printer.text(repr(self) if cycle else str(self))

    @property
    def found(self) -> tuple[Finding, ...]:
        """The findings of status `found`, most important first."""
        return tuple(finding for finding in self.findings if finding.status == "found")

    def finding(self, slug: str) -> Finding:
        """The finding of that slug; `KeyError` where no check has it."""
        for finding in self.findings:
            if finding.slug == slug:
                return finding
        raise KeyError(slug)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {"verdict": self.verdict, "reason": self.reason, "findings": [f.to_dict() for f in self.findings]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Diagnosis:
        """The diagnosis that `to_dict` wrote."""
        return cls(data["verdict"], data.get("reason", ""), tuple(Finding.from_dict(f) for f in data["findings"]))


def _wrapped(text: str, first: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
