"""`goodfit.read`, `goodfit.load` and `goodfit.diagnose`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import goodfit
from goodfit.errors import InputError

EPOCH = np.arange(80)
FALLING = (0.1 + np.exp(-EPOCH / 10)).tolist()
RISING = (0.4 + np.exp(-EPOCH / 5) + 0.01 * EPOCH).tolist()


def loaded_by(code: str, *modules: str) -> str:
    """Which of the modules a fresh interpreter has imported after running `code`."""
    whole = f"import sys, goodfit; {code}; print(sorted({set(modules)!r} & set(sys.modules)))"
    return subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("form", ["mapping", "history", "frame", "path", "run"])
def test_every_form_of_a_history_gets_the_same_verdict(form: str, tmp_path: Path) -> None:
    curves = {"loss": FALLING, "val_loss": RISING}
    path = tmp_path / "log.csv"
    pd.DataFrame({"epoch": EPOCH, **curves}).to_csv(path, index=False)
    what = {
        "mapping": curves,
        "history": SimpleNamespace(history=curves, epoch=EPOCH.tolist()),
        "frame": pd.DataFrame(curves),
        "path": path,
        "run": goodfit.Run.from_history(curves),
    }[form]
    assert goodfit.diagnose(what).verdict == "overfitting"


def test_a_saved_run_is_read_back(tmp_path: Path) -> None:
    from goodfit import store

    store.save_run(goodfit.Run.from_history({"loss": FALLING, "val_loss": RISING}), tmp_path / "mine")
    (run,) = goodfit.read(tmp_path / "mine")
    assert run.history == {"loss": FALLING, "val_loss": RISING}
    assert goodfit.load(tmp_path / "mine").outcome == "finished"


def test_a_folder_that_holds_nothing_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        goodfit.load(tmp_path)


def test_diagnosing_a_log_imports_neither_keras_nor_jax(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pd.DataFrame({"epoch": EPOCH, "loss": FALLING, "val_loss": RISING}).to_csv(path, index=False)
    assert loaded_by(f"goodfit.diagnose({str(path)!r})", "keras", "jax", "matplotlib") == "[]"


def test_importing_goodfit_is_cheap() -> None:
    assert loaded_by("goodfit.Run", "keras", "jax", "pandas", "matplotlib", "sklearn", "scipy") == "[]"
