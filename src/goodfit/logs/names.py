"""What the columns of a log are, by their names: `TrainLoss`, `valid loss`, `test_loss`, `eval/loss`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from goodfit.errors import InputError

_TRAIN = frozenset({"train", "training", "trn", "tr", "learn"})
_VALIDATION = frozenset({"val", "valid", "validation", "eval", "evaluation", "dev", "holdout", "heldout", "vld"})
_TEST = frozenset({"test", "testing", "tst"})
_FILLER = frozenset({"epoch", "mean", "avg", "average", "total", "overall", "set", "metrics", "metric", "value", "per"})
_STEPWISE = frozenset({"step", "batch", "running", "iter", "iteration", "smoothed", "ema"})
_SAME = {"acc": "accuracy", "losses": "loss", "cost": "loss", "objective": "loss", "err": "error", "ppl": "perplexity"}
_METRICS = frozenset(
    {"loss", "accuracy", "mse", "mae", "rmse", "msle", "mape", "error", "nll", "perplexity", "auc", "f1", "r2"}
    | {"precision", "recall", "crossentropy", "entropy", "xent", "bce", "elbo", "iou", "dice", "bleu", "hinge", "kl"}
    | {"logloss", "mlogloss", "merror", "l1", "l2"}  # of boosting
)
_EPOCH = frozenset({"epoch", "epochs", "ep", "epoch_num", "epoch_number", "num_epoch", "current_epoch"})
_STEP = frozenset({"step", "steps", "iter", "iters", "iteration", "iterations", "global_step", "batch", "update"})
_SEED = frozenset({"seed", "seeds"})
_NAMING = frozenset({"key", "metric", "name", "tag", "variable"})
"""Columns that name the metric of each row in a long table."""


@dataclass(frozen=True)
class Roles:
    """Which column is what.

    Args:
        curves: Keras's name of a curve -> the column's.
        epoch: the column that counts epochs.
        step: the column that counts steps.
        seed: the column that tells the seeds apart.
        notes: what was taken for what, where that is not plain.
    """

    curves: dict[str, str] = field(default_factory=dict)
    epoch: str | None = None
    step: str | None = None
    seed: str | None = None
    notes: tuple[str, ...] = ()


def tokens(name: str) -> list[str]:
    """A column's name in lower-case words.

    Example:
        >>> tokens("TrainLoss"), tokens("valid loss"), tokens("eval/loss"), tokens("testacc")
        (['train', 'loss'], ['valid', 'loss'], ['eval', 'loss'], ['test', 'accuracy'])
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    words = [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]
    out: list[str] = []
    for word in words:
        for prefix in sorted(_TRAIN | _VALIDATION | _TEST, key=len, reverse=True):
            rest = word.removeprefix(prefix)
            if rest != word and _SAME.get(rest, rest) in _METRICS:
                out += [prefix, _SAME.get(rest, rest)]
                break
        else:
            out.append(_SAME.get(word, word))
    return out


def assign(columns: Iterable[str], *, loss: str | None = None, val_loss: str | None = None, source: str = "") -> Roles:
    """Which column is what.

    Args:
        columns: their names.
        loss: the one that is the training loss, where the caller says so.
        val_loss: the one that is the validation loss.
        source: where they stand, for messages.

    Raises:
        InputError: a column that the caller named is not there, or none is known as a curve of a training.

    Example:
        >>> assign(["Epoch", "TrainLoss", "valid loss"]).curves
        {'loss': 'TrainLoss', 'val_loss': 'valid loss'}
    """
    names = list(columns)
    for argument, wanted in (("loss", loss), ("val_loss", val_loss)):
        if wanted is not None and wanted not in names:
            near = difflib.get_close_matches(wanted, names, 1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Its columns are {listed(names)}."
            raise InputError(f"{source} has no column {wanted!r} to take as {argument}.", remedy)
    epoch = _first(names, _EPOCH)
    step = _first(names, _STEP)
    seed = _first(names, _SEED)
    given = {column: name for name, column in (("loss", loss), ("val_loss", val_loss)) if column is not None}
    candidates: dict[str, list[tuple[int, int, str, str]]] = {}
    others: list[str] = []
    for place, name in enumerate(names):
        if name in given or name in (epoch, step, seed):
            continue
        known = _recognize(name)
        if known is None:
            others.append(name)
        else:
            base, part, rank = known
            candidates.setdefault(f"val_{base}" if part in ("val", "test") else base, []).append(
                (rank, place, name, part)
            )
    curves = {name: column for column, name in given.items()}
    notes: list[str] = []
    for curve, options in candidates.items():
        best, *rest = sorted(options)
        if curve not in curves:
            curves[curve] = best[2]
            if best[3] == "test":
                notes.append(f"the column {best[2]!r} is read as validation: no other validation column is there.")
        else:
            rest = [best, *rest]
        others += [name for _, _, name, _ in rest]
    if not curves:
        numbers = listed([name for name in names if name not in (epoch, step, seed)])
        raise InputError(
            f"{source} has no column that is known as a loss or metric (its columns: {numbers}).",
            "Name the column of the training loss with loss=… (--loss COLUMN).",
        )
    for name in others:
        curves.setdefault("learning_rate" if tokens(name) in (["lr"], ["learning", "rate"]) else name, name)
    ordered = {name: curves.pop(name) for name in ("loss", "val_loss") if name in curves}
    return Roles({**ordered, **curves}, epoch, step, seed, tuple(notes))


def by_part(
    columns: Mapping[str, np.ndarray], words: Mapping[str, Sequence[str]], notes: list[str]
) -> dict[str, np.ndarray]:
    """The columns of a long table as one column for each curve: where a column of words says which rows were measured
    (`train`, `val`), or which metric a `value` is of. Other columns of words are left out, and said.

    Args:
        columns: of numbers, by name.
        words: the other columns.
        notes: gets a sentence for each column of words.
    """
    counters = {_first(list(columns), kind) for kind in (_EPOCH, _STEP, _SEED)}
    long, out = None, dict(columns)
    for name, cells in words.items():
        kinds = list(dict.fromkeys(cells))
        if long is None and len(kinds) > 1 and all(map(part_of, kinds)):
            long, measured = name, [key for key in columns if key not in counters]
        elif long is None and "value" in columns and name.lower() in _NAMING and any(map(is_curve, kinds)):
            long, measured = name, ["value"]
        else:
            notes.append(f"left out: the column {name!r}, which holds words.")
            continue
        which = np.array(cells)
        told = ", ".join(kinds[:6]) + (f" and {len(kinds) - 6} more" if len(kinds) > 6 else "")
        notes.append(f"the column {name!r} tells the rows of {told} apart: each has curves of its own.")
        out = {key: columns[key] for key in columns if key in counters}
        for key in measured:
            for kind in kinds:
                out[kind if measured == ["value"] and not part_of(kind) else f"{kind} {key}"] = np.where(
                    which == kind, columns[key], np.nan
                )
        counter = next((out[key] for key in (_first(list(out), _EPOCH), _first(list(out), _STEP)) if key), None)
        if counter is not None and all((np.diff(counter[which == kind]) >= 0).all() for kind in kinds):
            order = np.argsort(counter, kind="stable")  # the rows of one kind may stand after those of another
            out = {key: values[order] for key, values in out.items()}
    return out


@lru_cache(4096)
def part_of(name: str) -> str:
    """Which rows a name says, and nothing else: `"train"`, `"val"` or `"test"`; `""` where it says something else.

    Example:
        >>> part_of("Train"), part_of("valid_0"), part_of("val_loss")
        ('train', 'val', '')
    """
    words = [word for word in tokens(name) if not word.isdigit() and word not in ("set", "s")]
    kinds = [
        k for k, known in (("train", _TRAIN), ("val", _VALIDATION), ("test", _TEST)) if words and words[0] in known
    ]
    return kinds[0] if len(words) == 1 and kinds else ""


def counts(name: str) -> bool:
    """Whether a name is that of a counter of epochs or steps."""
    return _first([name], _EPOCH | _STEP) is not None


@lru_cache(4096)
def is_curve(name: str) -> bool:
    """Whether a name is known as that of a loss or another metric.

    Example:
        >>> is_curve("val_loss"), is_curve("best")
        (True, False)
    """
    return _recognize(name) is not None


def listed(names: list[str]) -> str:
    """The first few of some names, for a message."""
    shown = ", ".join(repr(name[:40]) for name in names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "") if names else "none"


def _first(names: list[str], words: frozenset[str]) -> str | None:
    plain = {re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"): name for name in reversed(names)}
    plain |= {key.removeprefix("train_").removeprefix("trainer_"): name for key, name in list(plain.items())}
    return next((plain[word] for word in plain if word in words), None)


def _recognize(name: str) -> tuple[str, str, int] | None:
    """A column's metric, the part of the rows it was measured on, and how far it is from Keras's own name."""
    words = tokens(name)
    part = "train"
    for word in words:
        part = "val" if word in _VALIDATION else "test" if word in _TEST else part
    parts = _TRAIN | _VALIDATION | _TEST
    bare = [w for before, w in zip(["", *words], words) if w not in parts and not (w.isdigit() and before in parts)]
    rest = [w for w in bare if w not in _FILLER and w not in _STEPWISE] or bare
    if not rest and words:
        return "loss", part, 3
    if not any(word in _METRICS for word in rest):
        return None
    base = "_".join(rest)
    exact = name in (base, f"val_{base}")
    rank = 0 if exact else 4 if any(w in _STEPWISE for w in bare) else 1 if "epoch" in bare else 2
    return base, part, rank + (1 if part == "test" else 0)
