"""goodfit's Keras objects are registered when both goodfit and keras have been imported, in either order.

A saved model names a registered class; Keras finds it only where the module that registers it was imported. Importing
goodfit must not import keras, so the registration waits for keras to be there.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

MODULES = ("layers", "schedules", "optimizers", "constraints", "augmentation", "losses", "gan")
"""Modules of `goodfit.training` that register Keras objects."""


def register() -> None:
    """Import the modules that register Keras objects."""
    for name in MODULES:
        importlib.import_module(f"goodfit.training.{name}")


def register_with_keras() -> None:
    """Register now where keras has been imported, else as soon as it is."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "saving"):
        register()
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds nothing itself: lets the import of keras be followed by `register`."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("keras")
        if spec is not None and spec.loader is not None:
            spec.loader = _Followed(spec.loader)
        return spec


class _Followed(importlib.abc.Loader):
    """Loads keras as its own loader does, then registers goodfit's objects."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:  # whoever looks sees keras's own loader
            spec.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        if getattr(module, "backend", None) is not None:
            register()
