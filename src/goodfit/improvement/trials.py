"""Finished trials on disk, each at once and whole: a killed study goes on from them; equal ones are done once."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from goodfit.errors import InputError
from goodfit.improvement.compare import Arm
from goodfit.values import Recipe, Run
from goodfit.values._json import dumps

_ABOUT = "study.json"
_LOCK = ".lock"
_HOLDER = ".holder.json"


class UnwritableError(InputError):
    """A finished trial can't be kept: the study ends, for what comes after it would be lost as well."""


class Trials:
    """A folder of finished trials. A trial is there whole or not at all, and equal trials are equal files; `held` keeps
    other processes from studying in the same folder meanwhile.

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
            if not file.exists():
                self._write(_ABOUT, dumps(about).encode())
            known = json.loads(file.read_text(encoding="utf-8"))  # another process may have been there first
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"{self.folder} can't be written: {reason}.", "Give another folder.") from error
        except ValueError as error:
            raise InputError(f"{file} is broken.", "Delete the folder, or give another name.") from error
        if known != about:
            raise InputError(
                f"{self.folder} holds trials of another study: {'; '.join(differences(known, about))}.",
                "Give back what was changed, give another name, or delete that folder.",
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[Trials]:
        """While the block runs, this folder is studied in by nobody else: the operating system holds the lock, and
        gives it free however the process ends.

        Raises:
            InputError: another process studies there; the message tells which.
        """
        import filelock

        lock = filelock.FileLock(self.folder / _LOCK, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise InputError(
                f"{self.folder} is in use: {self._holder()}.",
                "Wait until it has ended and run the same again, which finds what was finished; or give another name.",
            ) from None
        except OSError as error:
            raise InputError(
                f"{self.folder} can't be locked: {error.strerror or error}.", "Give another folder."
            ) from error
        try:
            began = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
            with contextlib.suppress(OSError):  # who it is is told where there is room to
                self._write(_HOLDER, dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": began}).encode())
            yield self
        finally:
            with contextlib.suppress(OSError):
                (self.folder / _HOLDER).unlink(missing_ok=True)
            lock.release()

    def _holder(self) -> str:
        """Who studies in this folder, in words."""
        try:
            about = json.loads((self.folder / _HOLDER).read_text(encoding="utf-8"))
            who = f"process {about['pid']} on {about['host']} has been studying in it since {about['since']}"
        except (OSError, ValueError, KeyError):
            return "another process studies in it"
        return f"{who}, which is this very process" if about["pid"] == os.getpid() else who

    def find(self, key: str) -> Arm | None:
        """The finished trial of that key, or `None`; a broken file counts as none."""
        try:
            with open(self.folder / f"{key}.npz", "rb") as handle, np.load(handle, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                curves = {name: file[f"curve_{place}"] for place, name in enumerate(about["curves"])}
                kept = file.get("kept_epoch")
                epoch, losses = file["epoch"], file["losses"]
                signals = {name: file[f"signal_{place}"] for place, name in enumerate(about.get("signals", ()))}
                sampled = file["signal_epochs"] if signals else np.zeros(0)
            run = Run(
                curves=curves,
                epoch=epoch,
                seeds=tuple(about["seeds"]),
                outcomes=tuple(about["outcomes"]),
                kept_epoch=kept,
                signals=signals,
                signal_layers=tuple(about.get("signal_layers", ())),
                signal_epochs=sampled,
                measurements=about["measurements"],
                task=about["task"],
                recipe=None if about["recipe"] is None else Recipe.from_dict(about["recipe"]),
                provenance=about["provenance"],
                name=about["name"],
            )
            return Arm(run, losses, about["steps"])
        except Exception:  # of zip, zlib, NumPy and JSON, whatever byte was damaged
            return None

    def keep(self, key: str, arm: Arm) -> None:
        """Write a finished trial; `UnwritableError` where the disk is full or can't be written."""
        run = arm.run
        about = {
            "curves": list(run.curves),
            "signals": list(run.signals),
            "signal_layers": run.signal_layers,
            "seeds": run.seeds,
            "outcomes": run.outcomes,
            "measurements": run.measurements,
            "task": run.task,
            "recipe": None if run.recipe is None else run.recipe.to_dict(),
            "provenance": run.provenance,
            "name": run.name,
            "steps": arm.steps,
        }
        arrays: dict[str, Any] = {f"curve_{place}": values for place, values in enumerate(run.curves.values())}
        if run.signals:
            arrays |= {f"signal_{place}": values for place, values in enumerate(run.signals.values())}
            arrays["signal_epochs"] = run.signal_epochs
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
    """Where two plain values differ, each place in words; of two fingerprints of an array, where the values differ.

    Example:
        >>> differences({"x": {"rows": 5}}, {"x": {"rows": 6}})
        ['x rows was 5, is 6']
        >>> was = {"shape": [4, 2], "dtype": "float32", "hash": "a", "blocks": ["b", "c"], "columns": ["d", "e"]}
        >>> differences({"x": was}, {"x": was | {"hash": "f", "blocks": ["b", "g"], "columns": ["d", "h"]}})
        ['x has other values (column 2 of 2, among the rows 3 to 4)']
        >>> differences({"x": was}, {"x": was | {"shape": [3, 2], "hash": "f"}})
        ['x had 4 rows of 2, and has 3 rows of 2']
    """
    if isinstance(known, dict) and isinstance(now, dict):
        if {"shape", "hash"} <= set(known) & set(now):
            return _changed_array(known, now, path)
        names = list(dict.fromkeys([*known, *now]))
        return [
            text for name in names for text in differences(known.get(name), now.get(name), f"{path} {name}".strip())
        ]
    return [] if known == now else [f"{path} was {known}, is {now}"]


def _changed_array(known: dict[str, Any], now: dict[str, Any], path: str) -> list[str]:
    """What differs between the fingerprints of two arrays."""
    if known == now:
        return []
    if known["shape"] != now["shape"]:
        return [f"{path} had {_shape(known['shape'])}, and has {_shape(now['shape'])}"]
    if known.get("dtype") != now.get("dtype"):
        return [f"{path} was {known.get('dtype')}, and is {now.get('dtype')}"]
    where = []
    columns = _unequal(known.get("columns"), now.get("columns"))
    if columns:
        named = ", ".join(str(place + 1) for place in columns[:5])
        more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
        where.append(f"column{'s' if len(columns) > 1 else ''} {named}{more} of {known['shape'][1]}")
    blocks = _unequal(known.get("blocks"), now.get("blocks"))
    if blocks:
        size = -(-known["shape"][0] // len(known["blocks"]))
        where.append(f"among the rows {blocks[0] * size + 1} to {min((blocks[-1] + 1) * size, known['shape'][0])}")
    told = f" ({', '.join(where)})" if where else ""
    return [f"{path} has other values{told}"]


def _unequal(known: list[str] | None, now: list[str] | None) -> list[int]:
    return [place for place, (a, b) in enumerate(zip(known or (), now or ())) if a != b]


def _shape(shape: list[int]) -> str:
    return f"{shape[0]:,} rows{' of ' + ' × '.join(map(str, shape[1:])) if shape[1:] else ''}" if shape else "one value"
