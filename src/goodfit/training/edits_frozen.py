"""Unfreezing the reused layers of a model, as an edit of its configuration."""

from __future__ import annotations

from goodfit.errors import InputError
from goodfit.training.edits_graph import Entry, Graph, is_graph
from goodfit.training.edits_layers import has_kernel, trainable


def unfreeze(model: Entry, count: int | str) -> None:
    """Have the last frozen layers trained, from the weights that they have.

    Batch normalization stays frozen: its statistics belong to the weights that it was trained with.

    Args:
        model: as Keras serializes it; edited in place.
        count: so many layers with a kernel, counted from the output, or `"all"`.

    Raises:
        InputError: none is frozen, or the layers can't be edited.
    """
    frozen = _frozen(Graph(model), False)
    if not frozen:
        raise InputError("no layer is frozen.", "Propose another change.")
    chosen = frozen if count == "all" else frozen[-int(count) :]
    for entry, around in chosen:
        entry["config"]["trainable"] = True
        for outer in around:
            _open(outer)


def _frozen(graph: Graph, within: bool, around: tuple[Entry, ...] = ()) -> list[tuple[Entry, tuple[Entry, ...]]]:
    """The frozen layers with a kernel, from input to output, each with the models that it is nested in."""
    found = []
    for name in graph.names():
        entry = graph.entry(name)
        still = within or not trainable(entry)
        if is_graph(entry):
            found += _frozen(Graph(entry), still, (*around, entry))
        elif still and has_kernel(entry):
            found.append((entry, around))
    return found


def _open(outer: Entry) -> None:
    """Let those within a frozen nested model say for themselves whether they train."""
    if not trainable(outer):
        outer["config"].pop("trainable")
