"""Many seeds of a Keras model in one program, each from weights of its own: the training of experiments on reuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.lab.bench import EVALUATED, Bench

if TYPE_CHECKING:
    import keras

    from goodfit.training.members import Draw, EpochsProgram, Trained

Weights = Mapping[str, Sequence[np.ndarray]]
"""Name of a layer -> its weights, each with the members first."""


def train(
    bench: Bench,
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray | None,
    *,
    epochs: int,
    batch_size: int = 32,
    test: tuple[np.ndarray, np.ndarray] | None = None,
    rows: Sequence[np.ndarray] | None = None,
    draws: Sequence[Draw] | None = None,
    visited: int | None = None,
    starts: Weights | None = None,
    compiled: EpochsProgram | None = None,
) -> Trained:
    """Train a member per seed, each drawn afresh from its seed but for the weights that are given.

    Args:
        bench: tells the seeds and the cap on the epochs.
        model: compiled; it is not changed.
        x: rows to train on, shape (rows, …).
        y: their targets.
        epochs: passes over the rows.
        batch_size: rows per step.
        test: rows that decide nothing, measured after every epoch as `hidden_…`.
        rows: which of them each member trains on, all alike many; all where `None`.
        draws: each member's orders, in place of a shuffling of `rows`.
        visited: rows of an epoch, with `draws`.
        starts: weights that each member starts from.
        compiled: the program of another training of this model, with the same batch size; a new one where `None`.
    """
    from goodfit.training import keras_internals, members, program, seeds

    data = (x,) if y is None else (x, y)
    keras_internals.build_for(model, tuple(part[:batch_size] for part in data))
    own = program.read_state(model)
    states = [_overlaid(model, seeds.fresh_state(model, own, seed), starts, m) for m, seed in enumerate(bench.seeds)]
    if draws is None:
        chosen = [np.arange(len(x))] * len(states) if rows is None else rows
        draws = [_shuffling(part, seed) for part, seed in zip(chosen, bench.seeds, strict=True)]
        visited = len(chosen[0])
    job = members.Job(
        model, data, None, batch_size, EVALUATED, bench.epochs(epochs), None, hidden=test, visited=visited
    )
    return members.train(job, [_arrays(state) for state in states], draws, None, bench.report, bench.stage, compiled)


def program_of(model: keras.Model, batch_size: int) -> EpochsProgram:
    """A program that several trainings of one compiled model share."""
    from goodfit.training import members

    return members.EpochsProgram(members.Job(model, None, None, batch_size, EVALUATED, 0, None))


def weights_of(model: keras.Model, trained: Trained, part: keras.Model | None = None) -> dict[str, list[np.ndarray]]:
    """The weights of every member, by layer.

    Args:
        model: that was trained.
        trained: its members.
        part: a model within it, whose layers alone are asked for.
    """
    place = {id(v): values for v, values in zip(_variables(model), _members(trained), strict=True)}
    layers = (model if part is None else part)._flatten_layers(include_self=False, recursive=True)
    return {layer.name: [place[id(v)] for v in layer.weights] for layer in layers if layer.weights and _leaf(layer)}


def outputs(model: Any, trained: Trained, x: np.ndarray, member: int) -> np.ndarray:
    """What one member gives for rows."""
    place = {id(v): values[member] for v, values in zip(_variables(model), _members(trained), strict=True)}
    before = model.get_weights()
    model.set_weights([place[id(v)] for v in model.weights])
    found = model.predict(x, batch_size=EVALUATED, verbose=0)
    model.set_weights(before)
    return found


def _variables(model: keras.Model) -> list[Any]:
    return [*model.trainable_variables, *model.non_trainable_variables]


def _members(trained: Trained) -> list[np.ndarray]:
    return [*trained.state[0], *trained.state[1]]


def _leaf(layer: Any) -> bool:
    return not getattr(layer, "layers", None)


def _arrays(state: Any) -> Any:
    return tuple([np.asarray(value) for value in group] for group in state)


def _overlaid(model: keras.Model, state: Any, starts: Weights | None, member: int) -> Any:
    """A member's state with the given weights in it."""
    if starts is None:
        return state
    given = {
        id(variable): values[member]
        for layer in model._flatten_layers(include_self=False)
        if _leaf(layer) and layer.name in starts
        for variable, values in zip(layer.weights, starts[layer.name], strict=True)
    }
    groups = (model.trainable_variables, model.non_trainable_variables)
    weights = [
        [given.get(id(v), value) for v, value in zip(group, values, strict=True)]
        for group, values in zip(groups, state[:2], strict=True)
    ]
    return (*weights, *state[2:])


def _shuffling(rows: np.ndarray, seed: int) -> Draw:
    state = np.random.RandomState(seed)
    return lambda: rows[state.permutation(len(rows))].astype(np.int32)
