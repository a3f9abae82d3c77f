"""Finished trials on disk, each at once and whole: a killed study goes on from them; equal ones are done once."""

from __future__ import annotations

import io
import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from goodfit.errors import InputError
from goodfit.improvement.compare import Arm
from goodfit.values import Recipe, Run
from goodfit.values._json import dumps

_ABOUT = "study.json"


class UnwritableError(InputError):
    """A finished trial can't be kept: the study ends, for what comes after it would be lost as well."""


class Trials:
    """A folder of finished trials. Several processes may use one: a trial is there whole or not at all, and equal
    trials are equal files.

    Args:
        folder: made where it is not there.
        data: what the trials depend on beside their recipes, as plain data: the arrays' shapes and hashes, the split,
            the endpoint.

    Raises:
        InputError: the folder's trials are of other data, and the message tells the difference; or it can't be written.
    """

    def __init__(self, folder: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        about = json.loads(dumps(data))
        file = self.folder / _ABOUT
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
            if known is None:
                self._write(_ABOUT, dumps(about).encode())
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"{self.folder} can't be written: {reason}.", "Give another folder.") from error
        except ValueError as error:
            raise InputError(f"{file} is broken.", "Delete the folder, or give another name.") from error
        if known is not None and known != about:
            raise InputError(
                f"{self.folder} holds trials of another study: {'; '.join(differences(known, about))}.",
                "Give back what was changed, or another name.",
            )

    def find(self, key: str) -> Arm | None:
        """The finished trial of that key, or `None`; a broken file counts as none."""
        try:
            with open(self.folder / f"{key}.npz", "rb") as handle, np.load(handle, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                curves = {name: file[f"curve_{place}"] for place, name in enumerate(about["curves"])}
                kept = file.get("kept_epoch")
                epoch, losses = file["epoch"], file["losses"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        run = Run(
            curves=curves,
            epoch=epoch,
            seeds=tuple(about["seeds"]),
            outcomes=tuple(about["outcomes"]),
            kept_epoch=kept,
            measurements=about["measurements"],
            task=about["task"],
            recipe=None if about["recipe"] is None else Recipe.from_dict(about["recipe"]),
            provenance=about["provenance"],
            name=about["name"],
        )
        return Arm(run, losses, about["train_rows"], about["steps"])

    def keep(self, key: str, arm: Arm) -> None:
        """Write a finished trial; `UnwritableError` where the disk is full or can't be written."""
        run = arm.run
        about = {
            "curves": list(run.curves),
            "seeds": run.seeds,
            "outcomes": run.outcomes,
            "measurements": run.measurements,
            "task": run.task,
            "recipe": None if run.recipe is None else run.recipe.to_dict(),
            "provenance": run.provenance,
            "name": run.name,
            "train_rows": arm.train_rows,
            "steps": arm.steps,
        }
        arrays: dict[str, Any] = {f"curve_{place}": values for place, values in enumerate(run.curves.values())}
        if run.kept_epoch is not None:
            arrays["kept_epoch"] = run.kept_epoch
        arrays |= {"about": np.asarray(dumps(about)), "epoch": run.epoch, "losses": arm.losses}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        try:
            self._write(f"{key}.npz", buffer.getvalue())
        except OSError as error:
            raise UnwritableError(
                f"a finished trial can't be written to {self.folder}: {error.strerror or error}.",
                "Make room and run the same again: what was finished is there.",
            ) from error

    def _write(self, name: str, data: bytes) -> None:
        part = self.folder / f".{name}.{secrets.token_hex(4)}.part"
        try:
            part.write_bytes(data)
            os.replace(part, self.folder / name)
        finally:
            part.unlink(missing_ok=True)


def differences(known: Any, now: Any, path: str = "") -> list[str]:
    """Where two plain values differ, each place in words.

    Example:
        >>> differences({"x": {"rows": 5}}, {"x": {"rows": 6}})
        ['x rows was 5, is 6']
    """
    if isinstance(known, dict) and isinstance(now, dict):
        names = list(dict.fromkeys([*known, *now]))
        return [
            text for name in names for text in differences(known.get(name), now.get(name), f"{path} {name}".strip())
        ]
    return [] if known == now else [f"{path} was {known}, is {now}"]
