"""Compiled programs kept in the user's cache folder, so that another process need not compile them again."""

from __future__ import annotations

import os
import platform
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import jax
import platformdirs

SIZE_BYTES = 500_000_000
"""Bytes that the folder may hold; beyond that the entries that lay longest are removed."""
PRUNED_EVERY = 100
"""Uses of the folder in one process between two looks at how much it holds: it may have thousands of entries."""
_SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
_UNREADABLE = "Error reading persistent compilation cache entry"
_uses: Counter[Path] = Counter()


def folder() -> Path | None:
    """Where compiled programs are kept: a folder of its own for each version of JAX and of goodfit.

    The environment variable `GOODFIT_CACHE` names another folder than the user's cache folder; `GOODFIT_CACHE=off`
    keeps nothing. `None` means that nothing is kept, or that the user has set JAX's own cache, which then is used.
    """
    asked = os.environ.get("GOODFIT_CACHE", "")
    if asked == "off" or _read("jax_compilation_cache_dir") or not _read("jax_enable_compilation_cache"):
        return None
    root = Path(asked) if asked else Path(platformdirs.user_cache_dir("goodfit"))
    return root / f"goodfit-{version('goodfit')}-jax-{jax.__version__}-{platform.machine()}"


def _read(name: str) -> object:
    return getattr(jax.config, name)


@contextmanager
def persistent_cache() -> Iterator[None]:
    """Compile with the persistent cache; JAX's settings are afterwards what they were."""
    from jax.experimental.compilation_cache import compilation_cache

    where = folder()
    if where is None:
        yield
        return
    try:
        where.mkdir(parents=True, exist_ok=True)
        if _uses[where] % PRUNED_EVERY == 0:
            _prune(where)
        _uses[where] += 1
    except OSError:  # a read-only or full disk is no reason not to train
        yield
        return
    before = {name: _read(name) for name in (*_SETTINGS, "jax_compilation_cache_dir")}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for name, value in _SETTINGS.items():
                jax.config.update(name, value)
            jax.config.update("jax_compilation_cache_dir", str(where))
            compilation_cache.reset_cache()  # JAX looks at the settings once only
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()
    unreadable = [item for item in caught if _UNREADABLE in str(item.message)]
    for item in caught:
        if item not in unreadable:
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
    if unreadable:  # an entry that another process has not finished, or never will: JAX has compiled anew
        _clear(where)


def _entries(where: Path) -> list[tuple[float, int, str]]:
    found = []
    for entry in os.scandir(where):
        try:
            about = entry.stat()
        except FileNotFoundError:  # another process removed it
            continue
        found.append((about.st_mtime, about.st_size, entry.path))
    return found


def _prune(where: Path) -> None:
    entries = _entries(where)
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries) if total > SIZE_BYTES else ():
        if total <= SIZE_BYTES:
            return
        Path(path).unlink(missing_ok=True)
        total -= size


def _clear(where: Path) -> None:
    for _, _, path in _entries(where):
        Path(path).unlink(missing_ok=True)
