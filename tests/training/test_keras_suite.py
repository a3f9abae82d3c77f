"""Keras's own tests with goodfit in the place of `fit`: they end as with stock Keras, and fits run compiled."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parents[1] / "keras_suite.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_keras_own_tests_that_train_most():
    done = subprocess.run([sys.executable, str(SUITE), "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    counted = re.search(r"(?m)^0 different, (\d+) fits compiled$", done.stdout)
    assert counted is not None, done.stdout
    assert int(counted.group(1)) >= 60
