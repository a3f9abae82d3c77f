"""The first stage of arms that learn their lower layers from something else than the task, all seeds in one program.

Each seed pretrains on the rows that it trains on and on those without labels that were given, never on those that
choose its epoch or judge it. The lower layers start as they would without this stage, and what they hold at its end is
what the task starts from; the output layer is drawn as it would have been.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import edits_pretrain, members
from goodfit.training.arm_members import Weights, kept_by_layer
from goodfit.training.arm_parts import Part
from goodfit.training.autoencoders import mirrored
from goodfit.training.edits_graph import Entry, name_of
from goodfit.training.edits_pretrain import IDENTITIES, PER_IDENTITY, Lower
from goodfit.training.embeddings import IdentityBatches
from goodfit.training.keras_internals import build_for
from goodfit.training.losses import TripletSemiHardLoss
from goodfit.training.members import Job
from goodfit.training.own_model import OwnModel
from goodfit.training.programs import key_of
from goodfit.training.recipes import compile_model
from goodfit.values import Recipe, Report
from goodfit.values._json import plain

if TYPE_CHECKING:
    from goodfit.training.arms import Rows

OWN = "pretraining_"
"""What the names of layers begin with that only the pretraining has."""
DIMENSIONS = 64
"""Of the embedding that triplets are told apart by."""
PREDICTED_ROWS = 1024
"""Rows at a time that are brought into form."""


@dataclass(frozen=True, eq=False)
class Pretraining:
    """A pretraining as a training of its own.

    Args:
        recipe: of the model around the lower layers.
        x: inputs, rows first.
        y: what they are to be turned into.
        draws: each seed's orders of the rows.
        visited: rows of an epoch.
    """

    recipe: Recipe
    x: np.ndarray
    y: np.ndarray
    draws: list[members.Draw]
    visited: int


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What came of it.

    Args:
        weights: of each seed's lower layers, by the layer's path.
        loss: of each seed and epoch, in the pretraining's own measure.
        steps: optimizer steps, over all seeds.
        rows: of an epoch.
    """

    weights: list[Weights]
    loss: np.ndarray
    steps: int
    rows: int

    def told(self) -> dict[str, int]:
        """What a run says of it: its curves are in another measure than the task's, and stay out of these."""
        return {"epochs": self.loss.shape[1], "rows": self.rows, "steps": self.steps}


def check(recipe: Recipe, own: OwnModel, rows: Rows) -> None:
    """`InputError` where a recipe pretrains, and this model or these rows don't allow for it; nothing is trained."""
    stage = edits_pretrain.pretraining_of(recipe)
    if stage is None:
        return
    lower = edits_pretrain.lower_of(recipe)
    names = {name_of(entry) for entry in lower.encoder}
    for path in own.given:
        if path.split("/")[0] in names:
            raise InputError(
                f"the layer {path!r} starts from weights that it was given, which a pretraining would undo.",
                "Pretrain the layers of a model that begins from nothing.",
            )
    if stage["pretrain"] == "auxiliary" and rows.auxiliary is None:
        raise InputError("there is no auxiliary target to pretrain on.", "Give auxiliary=(x_other, y_other).")
    if stage["pretrain"] == "triplet":
        _classes(rows.y)
    if stage["pretrain"] in edits_pretrain.RECONSTRUCTING:
        with own.scope():
            _decoder(lower)


def pretrained(
    recipe: Recipe,
    own: OwnModel,
    rows: Rows,
    seeds: Sequence[int],
    threads: int | None,
    at_once: int | None,
    report: Report,
    name: str,
) -> Pretrained:
    """Learn the lower layers of a recipe that pretrains, on every seed.

    Args:
        recipe: with such a stage.
        own: the model's code.
        rows: to train on; the compiled program is kept with them.
        seeds: one per member.
        threads: members are divided among so many.
        at_once: so many of the threads run at a time.
        report: told how far it has come.
        name: under which name.

    Raises:
        InputError: the model or the rows don't allow for it.
        KeyboardInterrupt: Ctrl-C, after the epochs under way: half a pretraining is none.
    """
    check(recipe, own, rows)
    made = pretraining(recipe, own, rows, seeds)
    key = key_of(made.recipe)
    if key in rows.programs:
        part, compiled = rows.programs[key]
    else:
        part, compiled = Part(compile_model(own.build(made.recipe, seeds[0]), made.recipe)), None
        build_for(part.model, (made.x[:1], made.y[:1]))
    batch = made.recipe.batch_size
    job = Job(part.model, (made.x, made.y), None, batch, batch, made.recipe.epochs, None, visited=made.visited)
    program = compiled if compiled is not None else members.EpochsProgram(job)
    rows.programs[key] = (part, program)
    states = rows.starts.of(made.recipe, own, seeds, [{} for _ in seeds], part)
    trained = members.train(job, states, made.draws, threads, report, name, program, at_once=at_once)
    if trained.ran.shape[1] < job.epochs or not trained.ran.all():
        raise KeyboardInterrupt
    whole = kept_by_layer(own.build(made.recipe, seeds[0]), trained.kept, None, len(seeds))
    names = {name_of(entry) for entry in edits_pretrain.lower_of(recipe).encoder}
    weights = [{path: v for path, v in one.items() if path.split("/")[0] in names} for one in whole]
    steps = int(trained.ran.sum()) * -(-made.visited // batch)
    return Pretrained(weights, trained.curves["loss"], steps, made.visited)


def pretraining(recipe: Recipe, own: OwnModel, rows: Rows, seeds: Sequence[int]) -> Pretraining:
    """What a recipe's pretraining trains, and on which rows in which order.

    Args:
        recipe: with such a stage.
        own: the model's code and given weights.
        rows: of the task, with those that are given beside them.
        seeds: one per member.

    Raises:
        InputError: a seed's rows don't suffice.
    """
    stage = edits_pretrain.pretraining_of(recipe)
    assert stage is not None
    lower = edits_pretrain.lower_of(recipe)
    adam = plain(keras.optimizers.serialize(keras.optimizers.Adam(float(stage["learning_rate"]))))
    fresh = Recipe(
        model={},
        optimizer=adam,
        loss="mean_squared_error",
        batch_size=recipe.batch_size,
        epochs=stage["epochs"],
        initial_weights=recipe.initial_weights,
        seed=recipe.seed,
        code_fingerprint=recipe.code_fingerprint,
        portable=recipe.portable,
    )
    with own.scope():
        return _KINDS[stage["pretrain"]](fresh, lower, float(stage.get("noise", 0.0)), own, rows, seeds)


def _reconstruction(
    fresh: Recipe, lower: Lower, noise: float, own: OwnModel, rows: Rows, seeds: Sequence[int]
) -> Pretraining:
    """Rows are to be given back from their code, as they come into the first layer that learns."""
    x = rows.x if rows.unlabeled is None else np.concatenate([rows.x, rows.unlabeled])
    y = _formed(fresh, lower, own, x)
    between: tuple[Entry, ...] = ()
    if noise:
        first = y[rows.divide(own.recipe.seed).train]
        deviation = float(np.std(first, dtype=np.float64))
        scale = deviation if deviation > 0 and np.isfinite(deviation) else 1.0
        between = (
            _entry(keras.layers.Rescaling(1 / scale, name=f"{OWN}down")),  # Keras's noise deviates by 1 at most
            _entry(keras.layers.GaussianNoise(noise, name=f"{OWN}noise")),
            _entry(keras.layers.Rescaling(scale, name=f"{OWN}up")),
        )
    model = lower.stack(_decoder(lower), between)
    more = np.arange(rows.count, len(x))
    mine = [np.concatenate([rows.divide(seed).train, more]) for seed in seeds]
    draws = [_permuted(seed, places) for seed, places in zip(seeds, mine, strict=True)]
    return Pretraining(fresh.replace(model=model), x, y, draws, len(mine[0]))


def _auxiliary(fresh: Recipe, lower: Lower, _: float, __: OwnModel, rows: Rows, seeds: Sequence[int]) -> Pretraining:
    """Another target of other rows: a quantity where it holds floats, else classes."""
    assert rows.auxiliary is not None
    x, given = rows.auxiliary
    given = np.asarray(given).reshape(-1)
    if given.dtype.kind == "f":
        y = ((given - given.mean()) / given.std()).astype(np.float32)[:, None]
        head, loss = keras.layers.Dense(1, name=f"{OWN}output"), "mean_squared_error"
    else:
        found, y = np.unique(given, return_inverse=True)
        head, loss = keras.layers.Dense(len(found), "softmax", name=f"{OWN}output"), "sparse_categorical_crossentropy"
    model = lower.stack((*_flat(lower), _entry(head)))
    draws = [_permuted(seed, np.arange(len(x))) for seed in seeds]
    return Pretraining(fresh.replace(model=model, loss=loss), x, y, draws, len(x))


def _triplet(fresh: Recipe, lower: Lower, _: float, __: OwnModel, rows: Rows, seeds: Sequence[int]) -> Pretraining:
    """Rows of a class are to lie close to each other, and far from those of another."""
    y = _classes(rows.y)
    head = (
        keras.layers.Dense(DIMENSIONS, name=f"{OWN}embedding"),
        keras.layers.UnitNormalization(name=f"{OWN}sphere"),
    )
    model = lower.stack((*_flat(lower), *(_entry(layer) for layer in head)))
    loss = plain(keras.losses.serialize(TripletSemiHardLoss()))
    identities = min(IDENTITIES, len(np.unique(y)))
    size = identities * PER_IDENTITY
    trained = [rows.divide(seed).train for seed in seeds]
    steps = max(1, len(trained[0]) // size)
    draws = []
    for seed, places in zip(seeds, trained, strict=True):
        batches = IdentityBatches(places, y[places], identities, PER_IDENTITY, steps)
        draws.append(_dealt(seed, places, batches))
    fresh = fresh.replace(model=model, loss=loss, batch_size=size)
    return Pretraining(fresh, rows.x, y, draws, steps * size)


_KINDS: dict[str, Callable[..., Pretraining]] = {
    "autoencoder": _reconstruction,
    "denoising": _reconstruction,
    "auxiliary": _auxiliary,
    "triplet": _triplet,
}


def _permuted(seed: int, places: np.ndarray) -> members.Draw:
    """These rows in the orders that Keras draws after `numpy.random.seed(seed)`."""
    state = np.random.RandomState(seed)
    return lambda: places[state.permutation(len(places))].astype(np.int32)


def _dealt(seed: int, places: np.ndarray, batches: IdentityBatches) -> members.Draw:
    state = np.random.RandomState(seed)
    return lambda: places[batches.draw(state)].astype(np.int32)


def _formed(fresh: Recipe, lower: Lower, own: OwnModel, x: np.ndarray) -> np.ndarray:
    """Rows as they come into the first layer that learns."""
    if len(lower.begin) > 1:
        begin = Lower(lower.begin, (), lower.removed).stack()
        model: Any = own.build(fresh.replace(model=begin), fresh.seed)
        x = model.predict(x, batch_size=PREDICTED_ROWS, verbose=0)
    return np.asarray(x, np.float32)


def _encoder(lower: Lower) -> keras.Model:
    model: Any = keras.saving.deserialize_keras_object(lower.stack())
    return model


def _decoder(lower: Lower) -> tuple[Entry, ...]:
    """The layers from the code back to the rows, as configurations; they end linearly, for rows of any scale."""
    shape = _encoder(lower).layers[len(lower.begin) - 1].input.shape[1:]
    alone = Lower((_entry(keras.layers.InputLayer(shape)),), lower.encoder)
    return _renamed(mirrored(_encoder(alone)).layers)


def _flat(lower: Lower) -> tuple[Entry, ...]:
    """A layer that makes the code a line of numbers, where it is none."""
    shape = _encoder(lower).output_shape
    return (_entry(keras.layers.Flatten(name=f"{OWN}flat")),) if len(shape) > 2 else ()


def _renamed(layers: Sequence[Any]) -> tuple[Entry, ...]:
    entries = [_entry(layer) for layer in layers if not isinstance(layer, keras.layers.InputLayer)]
    for place, entry in enumerate(entries, start=1):
        entry["config"]["name"] = f"{OWN}decoder_{place}"
    return tuple(entries)


def _entry(layer: Any) -> Entry:
    entry: Any = plain(keras.saving.serialize_keras_object(layer))
    return {key: value for key, value in entry.items() if key != "build_config"}


def _classes(y: Any) -> np.ndarray:
    """Each row's class as a whole number.

    Raises:
        InputError: the target is a quantity, or more than one.
    """
    found = jax.tree.leaves(y)
    values = np.asarray(found[0])
    if len(found) == 1:
        flat = values.reshape(len(values), -1)
        if flat.shape[1] > 1 and ((flat == 0) | (flat == 1)).all() and (flat.sum(axis=1) == 1).all():
            return flat.argmax(axis=1)
        if (
            flat.shape[1] == 1
            and (flat == np.round(flat)).all()
            and (values.dtype.kind != "f" or set(flat.flat) <= {0, 1})
        ):
            return flat[:, 0].astype(np.int64)
    raise InputError("the targets are no classes, which triplets are made of.", "Pretrain in another way.")
