"""goodfit trains neural networks, reads how the training went, says what is wrong, and mends it.

Importing goodfit is cheap: neither keras, jax, pandas nor matplotlib is imported before a name that needs it is used.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from goodfit._serializables import register_with_keras


def _choose_backend() -> None:
    """Have Keras run on JAX, unless the user chose another backend: Keras reads it once, at its first import.

    Keras writes a `keras.json` of its own accord, and then with `tensorflow` in it: that is nobody's choice.
    """
    if "keras" in sys.modules or os.environ.get("KERAS_BACKEND"):
        return
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    try:
        with open(os.path.join(home, "keras.json"), encoding="utf-8") as file:
            written = file.read()
    except OSError:
        written = ""
    found = re.search(r'"backend"\s*:\s*"(\w+)"', written)
    if found is None or found[1] == "tensorflow":
        os.environ["KERAS_BACKEND"] = "jax"


_choose_backend()
register_with_keras()

__version__ = "0.1.0"

_HOME = {
    "fit": "goodfit.api",
    "improve": "goodfit.api",
    "train": "goodfit.api",
    "predict": "goodfit.api",
    "diagnose": "goodfit.api",
    "read": "goodfit.api",
    "load": "goodfit.api",
    "FitResult": "goodfit.api",
    "ParquetRows": "goodfit.training.parquet",
    "lr_find": "goodfit.training.rate_range",
    "transfer": "goodfit.training.transfer",
    "try_existing": "goodfit.api",
    "uncertainty": "goodfit.training.uncertainty",
    "prune": "goodfit.training.pruning",
    "pretrain": "goodfit.training.pretraining",
    "plot_schedule": "goodfit.api",
    "Change": "goodfit.values",
    "Dataset": "goodfit.values",
    "Diagnosis": "goodfit.values",
    "Finding": "goodfit.values",
    "Recipe": "goodfit.values",
    "Run": "goodfit.values",
    "Stage": "goodfit.values",
    "Study": "goodfit.values",
    "Trial": "goodfit.values",
    "GoodfitError": "goodfit.errors",
    "InputError": "goodfit.errors",
}

_MODULES = {
    "layers": "goodfit.training.layers",
    "schedules": "goodfit.training.schedules",
    "optimizers": "goodfit.training.optimizers",
    "constraints": "goodfit.training.constraints",
    "augmentation": "goodfit.training.augmentation",
    "losses": "goodfit.training.losses",
    "embeddings": "goodfit.training.embeddings",
    "pretraining": "goodfit.training.pretraining",
    "architectures": "goodfit.training.architectures",
}
"""Public name of each module of Keras objects -> where it is."""

if TYPE_CHECKING:
    from goodfit.api import FitResult, diagnose, fit, improve, load, plot_schedule, predict, read, train, try_existing
    from goodfit.errors import GoodfitError, InputError
    from goodfit.training import (
        architectures,
        augmentation,
        constraints,
        embeddings,
        layers,
        losses,
        optimizers,
        pretraining,
        schedules,
    )
    from goodfit.training.parquet import ParquetRows
    from goodfit.training.pretraining import pretrain
    from goodfit.training.pruning import prune
    from goodfit.training.rate_range import lr_find
    from goodfit.training.transfer import transfer
    from goodfit.training.uncertainty import uncertainty
    from goodfit.values import Change, Dataset, Diagnosis, Finding, Recipe, Run, Stage, Study, Trial

__all__ = [
    "Change",
    "Dataset",
    "Diagnosis",
    "Finding",
    "FitResult",
    "GoodfitError",
    "InputError",
    "ParquetRows",
    "Recipe",
    "Run",
    "Stage",
    "Study",
    "Trial",
    "__version__",
    "architectures",
    "augmentation",
    "constraints",
    "diagnose",
    "embeddings",
    "fit",
    "improve",
    "layers",
    "load",
    "losses",
    "lr_find",
    "optimizers",
    "plot_schedule",
    "predict",
    "pretrain",
    "pretraining",
    "prune",
    "read",
    "schedules",
    "train",
    "transfer",
    "try_existing",
    "uncertainty",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'goodfit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
