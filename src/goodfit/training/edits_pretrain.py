"""A first stage that learns a model's lower layers from something else than the task, as an edit of a recipe.

The stage is `{"pretrain": method, "epochs": …, "learning_rate": …}`, with `"noise"` where rows are to be denoised. What
it trains is another model around the same lower layers, and that is data too: their configurations under the same
names, so that weights are drawn alike and are passed on by a layer's path.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goodfit.errors import InputError
from goodfit.training.edits_graph import SEQUENTIAL, Entry, Graph, is_graph, name_of
from goodfit.training.edits_layers import has_kernel, trainable
from goodfit.training.edits_mixup import CODES
from goodfit.values import Recipe

METHODS = ("autoencoder", "denoising", "auxiliary", "triplet")
RECONSTRUCTING = ("autoencoder", "denoising")
"""Methods that give back what comes into the lower layers."""
PREPARING = frozenset({"Normalization", "Rescaling", "Reshape", "Flatten", "Resizing", "CenterCrop"})
"""Layers at the beginning that only bring the rows into form: what follows them is what is to be given back."""
AUGMENTING = frozenset(
    {
        *("RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomShift", "RandomBrightness"),
        *("RandomContrast", "RandomSaturation", "RandomHue", "RandomGaussianBlur", "RandomErasing", "RandomShear"),
    }
)
"""Layers that are left out while rows are given back: the row that was moved is not the one that is asked for."""
IDENTITIES, PER_IDENTITY = 8, 4
"""Classes in a batch of triplets at most, and rows of each."""


@dataclass(frozen=True)
class Lower:
    """The lower layers of a plain stack, as configurations.

    Args:
        begin: the input, and the layers that only bring rows into form.
        encoder: all layers between these and the output layer.
        removed: what edits took out, which draws of weights go by, see `Graph.remove`.
    """

    begin: tuple[Entry, ...]
    encoder: tuple[Entry, ...]
    removed: tuple[Entry, ...] = ()

    def stack(self, more: tuple[Entry, ...] = (), between: tuple[Entry, ...] = ()) -> Entry:
        """The configuration of a model of these layers, with others behind them, and some between the two parts."""
        layers = [copy.deepcopy(entry) for entry in (*self.begin, *between, *self.encoder, *more)]
        config = {"name": "pretraining", "trainable": True, "layers": layers}
        model: Entry = {"module": "keras", "class_name": SEQUENTIAL, "config": config, "registered_name": None}
        return {**model, "removed": list(self.removed)} if self.removed else model


def pretrain_first(recipe: Recipe, stage: Mapping[str, Any]) -> Recipe:
    """The recipe with a stage before all others that learns the layers below the output layer.

    Args:
        recipe: of a plain stack of layers.
        stage: `pretrain`, one of `METHODS`; `epochs`, passes over its rows; `learning_rate`, of Adam; and of
            "denoising" `noise`, in standard deviations of what comes into the first layer that learns.

    Raises:
        InputError: there is such a stage already, a field is no positive number, or the layers can't be cut; the layer
            is named.
    """
    if pretraining_of(recipe) is not None:
        raise InputError("the lower layers are pretrained already.", "Propose another change.")
    if stage.get("pretrain") not in METHODS:
        raise InputError(f"pretrain is {stage.get('pretrain')!r}.", f"Give one of {', '.join(METHODS)}.")
    wanted = {"pretrain", "epochs", "learning_rate"} | ({"noise"} if stage["pretrain"] == "denoising" else set())
    if set(stage) != wanted:
        raise InputError(
            f"a stage of {stage['pretrain']!r} has the fields {', '.join(sorted(stage))}.",
            f"Give {', '.join(sorted(wanted))}.",
        )
    for name in sorted(wanted - {"pretrain"}):
        value, kind = stage[name], int if name == "epochs" else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < float("inf"):
            raise InputError(f"{name} of pretraining is {value!r}.", "Give a positive number, whole ones of epochs.")
    if stage.get("noise", 0) > 1:
        raise InputError(f"noise of pretraining is {stage['noise']!r}: the rows would drown.", "Give 1 at most.")
    after = recipe.replace(stages=(dict(stage), *recipe.stages))
    lower_of(after)
    return after


def pretraining_of(recipe: Recipe) -> Mapping[str, Any] | None:
    """The stage that pretrains, or `None`."""
    return next((stage for stage in recipe.stages if "pretrain" in stage), None)


def steps_of(recipe: Recipe, train_rows: int, unlabeled: int = 0, auxiliary: int = 0) -> int:
    """Optimizer steps of the stage that pretrains on one seed, at most; 0 where there is none.

    Args:
        recipe: with or without such a stage.
        train_rows: of the task.
        unlabeled: rows without labels that are given beside them.
        auxiliary: rows with another target.

    Example:
        >>> stage = {"pretrain": "autoencoder", "epochs": 10, "learning_rate": 1e-3}
        >>> steps_of(Recipe({}, {}, "mse", batch_size=32, stages=(stage,)), 80, unlabeled=2000)
        650
    """
    stage = pretraining_of(recipe)
    if stage is None:
        return 0
    if stage["pretrain"] == "triplet":
        return stage["epochs"] * max(1, train_rows // (2 * PER_IDENTITY))
    rows = auxiliary if stage["pretrain"] == "auxiliary" else train_rows + unlabeled
    return stage["epochs"] * -(-rows // recipe.batch_size)


def lower_of(recipe: Recipe) -> Lower:
    """The lower layers of a recipe that pretrains.

    Raises:
        InputError: the model is no plain stack, a layer is frozen or takes codes, or none lies below the output layer.
    """
    stage = pretraining_of(recipe)
    assert stage is not None
    reconstructing = stage["pretrain"] in RECONSTRUCTING
    chain = _chain(Graph(copy.deepcopy(dict(recipe.model))))
    for entry in chain:
        if not trainable(entry) and (has_kernel(entry) or is_graph(entry)):
            raise InputError(
                f"the layer {name_of(entry)!r} is frozen: it holds what another training taught it.",
                "Pretrain the layers of a model that begins from nothing.",
            )
        if reconstructing and entry["class_name"] in CODES:
            raise InputError(
                f"the layer {name_of(entry)!r} takes codes or text, which can't be given back as quantities.",
                "Pretrain a model whose inputs are numbers.",
            )
    heads = [place for place, entry in enumerate(chain) if has_kernel(entry)]
    nested = [place for place, entry in enumerate(chain) if is_graph(entry)]
    if not heads or (nested and nested[-1] > heads[-1]):
        last = name_of(chain[-1]) if chain else recipe.model["config"].get("name")
        raise InputError(
            f"the model ends with {last!r}: its output layer can't be told from those below it.",
            "Let the last layer with weights stand in the model itself.",
        )
    body = chain[: heads[-1]]
    first = next((place for place, entry in enumerate(body) if entry["class_name"] not in PREPARING), len(body))
    kept = [one for one in body[first:] if not (reconstructing and one["class_name"] in AUGMENTING)]
    if not any(has_kernel(entry) or is_graph(entry) for entry in kept):
        raise InputError(
            f"no layer with weights lies below the output layer {name_of(chain[heads[-1]])!r}.",
            "Pretrain a model with a hidden layer.",
        )
    begin = (_input(recipe), *(_plain(entry) for entry in body[:first]))
    return Lower(begin, tuple(_plain(entry) for entry in kept), tuple(recipe.model.get("removed", ())))


def _chain(graph: Graph) -> list[Entry]:
    """The layers from input to output, one after the other, without the input itself."""
    if not graph.functional:
        return [entry for entry in graph.entries if entry["class_name"] != "InputLayer"]
    for what, names in (("inputs", graph.inputs()), ("outputs", graph.outputs())):
        if len(names) != 1:
            raise InputError(
                f"the model has {len(names)} {what}: {', '.join(map(repr, names))}.",
                "Pretrain a plain stack of layers, with one input and one output.",
            )
    chain: list[Entry] = []
    (name,) = graph.outputs()
    while name not in graph.inputs():
        tensors = graph.tensors(name)
        if len(tensors) != 1 or graph.shared(name):
            how = "is called more than once" if graph.shared(name) else f"takes {len(tensors)} inputs"
            raise InputError(
                f"the layer {name!r} {how}: the model is no plain stack of layers.",
                "Pretrain one in which each layer takes the output of the one before it.",
            )
        chain.append(graph.entry(name))
        name = tensors[0][0]
    return chain[::-1]


def _input(recipe: Recipe) -> Entry:
    graph = Graph(dict(recipe.model))
    names = graph.inputs()
    if not names:
        raise InputError(
            f"the model {recipe.model['config'].get('name')!r} has no Input.", "Begin it with keras.Input(shape)."
        )
    return _plain(graph.entry(names[0]))


def _plain(entry: Entry) -> Entry:
    """A layer as it stands in a Sequential model."""
    return {key: value for key, value in entry.items() if key not in ("name", "inbound_nodes", "build_config")}
