"""The data of the experiments: Auto MPG or the user's own table, and Fashion-MNIST."""

from __future__ import annotations

import dataclasses
import gzip
import os
from pathlib import Path

import numpy as np

from goodfit.errors import InputError
from goodfit.values import Dataset

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files."""
STEP = 16
"""Rows per step of most experiments on a table."""
_FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


def table(path: str | os.PathLike[str] | None = None, target: str | None = None, seed: int = 0) -> Dataset:
    """A table, split and prepared as `goodfit train` does; Auto MPG where none is given.

    Of Auto MPG's validation rows the first few are trained on, so that batches of 16 come out even: a smaller last step
    of each epoch would be compiled apart, in every program.

    Args:
        path: CSV, TSV, Parquet, JSON lines or .xlsx.
        target: the column to predict.
        seed: of the split.

    Raises:
        InputError: a table without a target, or what `goodfit train` would say of it.

    Example:
        >>> dataset = table()
        >>> dataset.task, dataset.target, len(dataset.y), len(dataset.train)
        ('regression', 'mpg', 397, 240)
    """
    from goodfit import tables

    if path is not None and target is None:
        raise InputError("a table of your own needs a target.", "Give --target COLUMN.")
    raw = tables.read(auto_mpg() if path is None else path)
    found = tables.inspect(raw, target or "mpg")
    dataset = tables.prepare(raw, found, tables.split(raw, found, seed=seed))[1]
    if path is not None:
        return dataset
    few = -len(dataset.train) % STEP
    train = np.concatenate([dataset.train, dataset.validation[:few]])
    return dataclasses.replace(dataset, train=train, validation=dataset.validation[few:])


def auto_mpg() -> Path:
    """Where the table of cars is: under $GOODFIT_DATA, in the package, or in the source folder's examples."""
    here = Path(__file__)
    places = [here.with_name("auto-mpg.csv"), here.parents[3] / "examples/auto-mpg.csv", Path("examples/auto-mpg.csv")]
    if os.environ.get("GOODFIT_DATA"):
        places.insert(0, Path(os.environ["GOODFIT_DATA"]) / "auto-mpg.csv")
    for place in places:
        if place.is_file():
            return place
    raise InputError("auto-mpg.csv was not found.", "Put it into a folder and set GOODFIT_DATA to that folder.")


def fashion_mnist() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training and test images of Fashion-MNIST, (rows, 784) from 0 to 1, with their classes.

    Source: Xiao, Rasul and Vollgraf (2017).

    Raises:
        InputError: its files are not there.
    """
    folder = fashion_mnist_folder()
    return _part(folder, "train"), _part(folder, "t10k")


def fashion_mnist_folder() -> Path:
    """Where the four files of Fashion-MNIST are: $GOODFIT_DATA or its folder fashion-mnist; without it, Debian's place.

    Raises:
        InputError: they are not there.
    """
    given = os.environ.get("GOODFIT_DATA")
    for folder in (Path(given), Path(given) / "fashion-mnist") if given else (FASHION_MNIST,):
        if all((folder / name).is_file() for name in _FILES):
            return folder
    raise InputError(
        "the files of Fashion-MNIST were not found.",
        "Install Debian's package dataset-fashion-mnist, or set GOODFIT_DATA to the folder of the four .gz files.",
    )


def _part(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return (images / np.float32(255)).astype(np.float32), labels.astype(np.int32)
