"""`Change`: one named intervention on a recipe, with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """One named intervention: usually one field, several only where they make sense together alone.

    Args:
        name: a slug: `lower-learning-rate`.
        edits: what is set, by the dotted path of a recipe's field: `{"optimizer.learning_rate": {"times": 0.1}}`;
            a value stands for itself, `{"times": f}` multiplies, `{"layers": …}` edits layers by path.
        reason: why it may help, one sentence.
        describe: what a person would do, one sentence in the imperative.
    """

    name: str
    edits: Mapping[str, Any]
    reason: str
    describe: str

    @property
    def label(self) -> str:
        """The name, and by how much, where a change multiplies something: `raise-learning-rate ×10`.

        >>> Change("raise-learning-rate", {"optimizer.learning_rate": {"times": 10.0}}, "", "").label
        'raise-learning-rate ×10'
        """
        factor = _factor(self.edits)
        return self.name if factor is None else f"{self.name} ×{factor:.3g}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {"change": self.name, "edits": dict(self.edits), "reason": self.reason, "describe": self.describe}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Change:
        """The change that `to_dict` wrote."""
        return cls(data["change"], data["edits"], data["reason"], data["describe"])


def _factor(edits: Any) -> float | None:
    """What the first of some edits multiplies by; `None` where none does."""
    if not isinstance(edits, Mapping):
        return None
    if set(edits) == {"times"} and isinstance(edits["times"], (int, float)):
        return float(edits["times"])
    found = (_factor(value) for value in edits.values())
    return next((factor for factor in found if factor is not None), None)
