"""Unfreezing the reused layers of a model, as an edit of its configuration: at once, or in a later stage."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from goodfit.errors import InputError
from goodfit.training import edits_pretrain
from goodfit.training.edits_graph import Entry, Graph, is_graph
from goodfit.training.edits_layers import has_kernel, trainable
from goodfit.training.staged import LOWER
from goodfit.values import Recipe


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


def unfreeze_later(recipe: Recipe, count: int | str) -> Recipe:
    """The recipe in two stages of half the epochs: as it is, then with layers unfrozen, at a tenth of the rate.

    Raises:
        InputError: it has stages already, follows a schedule or trains for one epoch only; none of its layers is
            frozen.
    """
    if recipe.stages:
        raise InputError("the training has stages already.", "Propose another change.")
    rate = recipe.optimizer["config"].get("learning_rate")
    if recipe.schedule is not None or not isinstance(rate, float):
        raise InputError(
            "the learning rate is no number of its own, which each stage could lower.", "Propose another change."
        )
    if recipe.epochs < 2:
        raise InputError("one epoch can't be divided into stages.", "Train for longer.")
    later = recipe.epochs // 2
    after = recipe.replace(
        stages=(
            {"epochs": recipe.epochs - later, "learning_rate": rate, "unfreeze": None},
            {"epochs": later, "learning_rate": rate / LOWER, "unfreeze": count},
        )
    )
    stages_of(after)
    return after


def stages_of(recipe: Recipe) -> list[Recipe]:
    """The recipe of each of a training's stages on its task, its layers unfrozen as far as they are by then; itself
    where it has none. A stage that pretrains is none of them, see `edits_pretrain`.

    Raises:
        InputError: a stage unfreezes nothing.
    """
    if not recipe.stages:
        return [recipe]
    stages = [stage for stage in recipe.stages if "pretrain" not in stage]
    if not stages:
        return [recipe.replace(stages=())]
    parts = []
    model: Entry = copy.deepcopy(dict(recipe.model))
    for stage in stages:
        if stage["unfreeze"] is not None:
            model = copy.deepcopy(model)
            unfreeze(model, stage["unfreeze"])
        optimizer: dict[str, Any] = copy.deepcopy(dict(recipe.optimizer))
        optimizer["config"]["learning_rate"] = stage["learning_rate"]
        parts.append(recipe.replace(model=model, optimizer=optimizer, epochs=stage["epochs"], stages=()))
    return parts


def restaged(before: Recipe, after: Recipe) -> Recipe:
    """A recipe with stages after an edit: those on its task follow its epochs and its learning rate.

    Raises:
        InputError: its learning rate is no number any more, or what it pretrains can't be cut off any more.
    """
    if edits_pretrain.pretraining_of(after) is not None and after.model != before.model:
        edits_pretrain.lower_of(after)
    if after.stages != before.stages or all("pretrain" in stage for stage in before.stages):
        return after
    old, new = (recipe.optimizer["config"].get("learning_rate") for recipe in (before, after))
    if after.schedule is not None or not isinstance(new, float):
        raise InputError("a training in stages follows no schedule.", "Propose another change.")
    assert isinstance(old, float)
    left = after.epochs
    stages: list[Mapping[str, Any]] = []
    for place, stage in enumerate(before.stages):
        later = len(before.stages) - 1 - place
        share = max(1, round(stage["epochs"] * after.epochs / before.epochs))
        epochs = max(1, min(share, left - later)) if later else max(1, left)
        left -= epochs
        stages.append({**stage, "epochs": epochs, "learning_rate": stage["learning_rate"] * new / old})
    return after.replace(stages=tuple(stages), epochs=sum(stage["epochs"] for stage in stages))


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
