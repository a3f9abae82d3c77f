"""goodfit trains neural networks, reads how the training went, says what is wrong, and mends it.

Importing goodfit is cheap: neither keras, jax, pandas nor matplotlib is imported before a name that needs it is used.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any


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

__version__ = "0.1.0"

_HOME = {
    "fit": "goodfit.api",
    "train": "goodfit.api",
    "predict": "goodfit.api",
    "diagnose": "goodfit.api",
    "read": "goodfit.api",
    "load": "goodfit.api",
    "FitResult": "goodfit.api",
    "ParquetRows": "goodfit.training.parquet",
    "Change": "goodfit.values",
    "Dataset": "goodfit.values",
    "Diagnosis": "goodfit.values",
    "Finding": "goodfit.values",
    "Recipe": "goodfit.values",
    "Run": "goodfit.values",
    "Study": "goodfit.values",
    "Trial": "goodfit.values",
    "GoodfitError": "goodfit.errors",
    "InputError": "goodfit.errors",
}

if TYPE_CHECKING:
    from goodfit.api import FitResult, diagnose, fit, load, predict, read, train
    from goodfit.errors import GoodfitError, InputError
    from goodfit.training.parquet import ParquetRows
    from goodfit.values import Change, Dataset, Diagnosis, Finding, Recipe, Run, Study, Trial

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
    "Study",
    "Trial",
    "__version__",
    "diagnose",
    "fit",
    "load",
    "predict",
    "read",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'goodfit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
