"""The versions of Keras that the engine says it knows are those that it is tested with."""

import re
import tomllib
from pathlib import Path

import keras
import pytest
from keras import layers
from packaging.requirements import Requirement

from goodfit.training import engine
from goodfit.training.keras_internals import TESTED_VERSIONS

ROOT = Path(__file__).parents[2]


def test_this_version_is_one_of_them():
    assert keras.__version__ in TESTED_VERSIONS


def test_the_oldest_is_the_lowest_allowed_and_the_newest_is_the_pinned_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = next(one for one in map(Requirement, project["dependencies"]) if one.name == "keras").specifier
    assert all(version in allowed for version in TESTED_VERSIONS)
    lowest = next(one.version for one in allowed if one.operator == ">=")
    assert TESTED_VERSIONS[0] in (lowest, f"{lowest}.0")
    pinned = re.search(r"(?m)^keras==(.*)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    assert pinned is not None
    assert pinned.group(1) == TESTED_VERSIONS[-1]


def test_the_complete_check_tests_the_oldest():
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert f"oldest={TESTED_VERSIONS[0]}\n" in text
    last = text[text.index("GOODFIT_TEST_KERAS=") :]
    assert '-m "not tensorflow"' in last  # every option, not only those of the fast suite
    assert "test_parity_*.py" in last


@pytest.mark.parametrize("version", ["3.14.1", "3.16.0", "4.0.0"])
def test_any_other_is_left_to_itself(rows, monkeypatch, version):
    monkeypatch.setattr(keras, "__version__", version)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    result = engine.fit(model, *rows(), epochs=2, verbose=0)
    assert (result.engine, len(result.history["loss"])) == ("keras", 2)
    assert version in result.engine_reason
    assert all(tested in result.engine_reason for tested in TESTED_VERSIONS)
