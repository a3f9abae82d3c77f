"""The changes that a study may try: those asked for by name, and those that no finding asked for."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from goodfit.checks import remedies
from goodfit.errors import InputError
from goodfit.improvement.techniques import (
    default_network,
    pretrain_autoencoder,
    pretrain_auxiliary,
    pretrain_denoising,
    pretrained_network,
    techniques,
    unfreeze_all_layers,
    unfreeze_in_stages,
    unfreeze_top_layers,
)
from goodfit.values import Change, Recipe

ZERO_BIASES = Change(
    "zero-biases",
    {"layers": {"hidden": {"set": {"bias_initializer": "zeros"}}}},
    "Biases far below zero keep ReLUs from ever being active; He et al. (2015) start all of them at zero.",
    "Start the hidden layers' biases at zero.",
)
"""Allowed by a model only whose biases start elsewhere."""


_FACTORS = (3.0, 1 / 3)
"""A setting that is a number is tried three times as large and as small: about half a decade, the customary first
grid."""
_NAMED = {
    "activation": remedies.activation,
    "initialization": remedies.initializer,
    "optimizer": remedies.optimizer,
}
"""What may stand behind the name of an activation, an initializer or an optimizer: `silu-activation`."""


def unasked(*, unlabeled: bool = False, auxiliary: bool = False) -> tuple[Change, ...]:
    """Changes that may help whatever the diagnosis, most often helpful first.

    Args:
        unlabeled: whether there are rows without labels: to pretrain on them is what they were given for.
        auxiliary: whether there are rows with another target, likewise.
    """
    return (
        *([pretrain_autoencoder(), pretrain_denoising()] if unlabeled else []),
        *([pretrain_auxiliary()] if auxiliary else []),
        ZERO_BIASES,
        unfreeze_top_layers(),  # where layers are frozen
        unfreeze_all_layers(),
        unfreeze_in_stages(),
        remedies.raise_learning_rate(3.0),
        remedies.lower_learning_rate(1 / 3),
        remedies.add_dropout(),
        remedies.wider(),
        remedies.less_dropout(),
        remedies.weaker_penalties(),
        remedies.early_stopping(),
        remedies.activation("silu"),
        remedies.add_l2(1e-4),
        remedies.deeper(),
        remedies.batch_normalization(),
        remedies.shallower(),
        remedies.smaller_batches(),
        remedies.less_weight_decay(),
        remedies.more_epochs(),
        default_network(),
        pretrained_network(),  # of images, where its weights are installed
    )


def rescuing() -> tuple[Change, ...]:
    """Changes that may bring a network to learn that is no better than chance, whatever the diagnosis."""
    return (
        remedies.initializer("he_normal"),
        remedies.raise_learning_rate(10.0),
        remedies.lower_learning_rate(0.01),
        remedies.standardize_inputs(),
        remedies.standardize_target(),
        remedies.activation("leaky_relu"),
        remedies.clip_gradients(),
        remedies.no_dropout(),
        remedies.no_penalties(),
        default_network(),
    )


def of_settings(settings: Mapping[str, Any] | None) -> list[Change]:
    """What may be tried of a training function's settings: every number larger and smaller, every switch turned.

    Example:
        >>> [change.label for change in of_settings({"momentum": 0.3, "nesterov": False, "loss": "mse"})]
        ['more-momentum ×3', 'less-momentum ×0.333', 'nesterov-true']
    """
    made = []
    for name, value in (settings or {}).items():
        if isinstance(value, bool):
            made.append(_setting(f"{name}-{not value}".lower(), name, not value, f"Set {name} to {not value}."))
        elif isinstance(value, (int, float)) and value and math.isfinite(value):
            for factor in _FACTORS:
                word = "more" if factor > 1 else "less"
                made.append(_setting(f"{word}-{name}", name, {"times": factor}, f"Multiply {name} by {factor:.3g}."))
    return made


def _setting(slug: str, name: str, value: Any, describe: str) -> Change:
    return Change(slug.replace("_", "-"), {f"settings.{name}": value}, "Tried whatever the curves say.", describe)


def chosen(
    changes: Sequence[Change | str] | int | None, own: Sequence[Change] = ()
) -> tuple[tuple[Change, ...] | None, int | None]:
    """The changes to try, where they were listed, and how many at most.

    Args:
        changes: how many, or their names, also as a ladder tells them (`raise-learning-rate ×3`), or changes.
        own: those that a training function's settings allow, which have names as well.

    Raises:
        InputError: an unknown name.

    Example:
        >>> listed, _ = chosen(["raise-learning-rate ×3", "wider"])
        >>> [change.label for change in listed]
        ['raise-learning-rate ×3', 'wider-layers ×2']
    """
    if isinstance(changes, (str, Change)):
        changes = [changes]
    if changes is not None and not isinstance(changes, (int, Iterable)):
        raise InputError(f"changes is {changes!r}.", "Give how many to try, or a list of names or Changes.")
    if changes is None or isinstance(changes, int):
        if changes is not None and changes < 1:
            raise InputError(f"changes is {changes}.", "Try at least 1.")
        return None, changes
    known = {name.replace("_", "-"): make for name, make in vars(remedies).items() if _is_remedy(name, make)}
    known |= {make().name: make for make in known.values()}
    known[ZERO_BIASES.name] = lambda: ZERO_BIASES
    known |= techniques()
    mine = {name: change for change in own for name in (change.name, change.label)}
    listed = []
    for one in changes:
        if isinstance(one, Change) and not (isinstance(one.edits, Mapping) and one.edits):
            raise InputError(
                f"the change {one.name!r} says no edit that could be tried.",
                'Give the fields that it sets, such as {"batch_size": 16}.',
            )
        if isinstance(one, Change):
            listed.append(one)
        elif not isinstance(one, str):
            raise InputError(f"one of the changes is {one!r}.", "Give names, such as 'add-dropout', or Change objects.")
        elif one in mine:
            listed.append(mine[one])
        elif one in known:
            listed.append(known[one]())
        elif (scaled := _scaled(one, known)) is not None:
            listed.append(scaled)
        elif (kind := one.rpartition("-")[2]) in _NAMED and one != kind:
            listed.append(_NAMED[kind](one.removesuffix(f"-{kind}").replace("-", "_")))
        else:
            names = sorted({*known, *(change.name for change in own)})
            near = difflib.get_close_matches(str(one), names, n=1, cutoff=0.6)
            raise InputError(
                f"no change is called {one!r}.",
                f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names)}.",
            )
    if not listed:
        raise InputError("no change is to be tried.", "Name some, or leave changes out.")
    return tuple(listed), None


def _scaled(name: str, known: Mapping[str, Callable[..., Change]]) -> Change | None:
    """A change by a name with a factor, `raise-learning-rate ×3` (or `x3`); `None` where it is none."""
    called, _, factor = name.replace("×", " x").rpartition(" x")
    make = known.get(called.strip())
    if make is None or "times" not in inspect.signature(make).parameters:
        return None
    try:
        times = float(factor)
    except ValueError:
        return None
    return make(times=times) if 0 < times < math.inf else None


def check_rows(changes: Sequence[Change], auxiliary: bool) -> None:
    """`InputError` where a change asks for rows that were not given.

    Args:
        changes: those that were asked for.
        auxiliary: whether rows with another target were given.
    """
    for change in changes:
        stage = change.edits.get("stages.pretrain")
        if isinstance(stage, Mapping) and stage.get("pretrain") == "auxiliary" and not auxiliary:
            raise InputError(
                f"{change.name} needs rows with another target, and there are none.",
                "Give goodfit.improve(…, auxiliary=(x_other, y_other)).",
            )


def allowed(changes: Sequence[Change], recipe: Recipe, apply: Callable[[Recipe, Change], Recipe]) -> Iterator[Change]:
    """Of changes that no finding asked for, those that a model allows: the others would only be noise.

    Each is tried out only when it is asked for: that may build a large model.

    Args:
        changes: to choose from.
        recipe: of the model as it is.
        apply: makes a changed recipe; `InputError` where the model doesn't allow the change.
    """
    for change in changes:
        if change is ZERO_BIASES and not _biased(recipe.model):
            continue
        try:
            apply(recipe, change)
        except InputError:
            continue
        yield change


def _is_remedy(name: str, thing: Any) -> bool:
    return callable(thing) and not name.startswith("_") and name not in ("do", "output", "Change")


def _biased(part: Any) -> bool:
    """Whether a model's configuration has biases that start elsewhere than at zero.

    Example:
        >>> start = {"class_name": "Constant", "config": {"value": -3.0}}
        >>> _biased({"layers": [{"bias_initializer": start}]}), _biased({"bias_initializer": {"class_name": "Zeros"}})
        (True, False)
    """
    if isinstance(part, (list, tuple)):
        return any(_biased(item) for item in part)
    if not isinstance(part, Mapping):
        return False
    start = part.get("bias_initializer")
    if isinstance(start, Mapping) and start.get("class_name") != "Zeros":
        return start.get("class_name") != "Constant" or bool((start.get("config") or {}).get("value"))
    return any(_biased(item) for item in part.values())
