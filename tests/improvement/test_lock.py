"""Two processes on one study's folder: the second is told who holds it, and a killed one holds nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

import goodfit
from goodfit.errors import InputError
from goodfit.improvement import Trials
from goodfit.store import load_study

STUDY = """
import sys, time, goodfit

def train(learning_rate, seed):
    print("training", flush=True)
    time.sleep(float(sys.argv[2]))
    return {"val_loss": [1.0, abs(learning_rate - 0.03) + seed / 1000]}

goodfit.improve(train, settings={"learning_rate": 0.01}, seeds=2, rounds=1, out=sys.argv[1], name="mine")
print("done", flush=True)
"""


def start(folder, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", STUDY, str(folder), str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_second_process_is_told_who_holds_the_folder_and_spoils_nothing(tmp_path):
    first = start(tmp_path, 0.6)
    assert first.stdout.readline() == "training\n"
    second = start(tmp_path, 0)
    _, said = second.communicate(timeout=60)
    assert first.poll() is None, "the first had to be still at work"
    assert second.returncode == 1
    assert f"mine.trials is in use: process {first.pid} on " in said
    assert "give another name" in said
    out, problems = first.communicate(timeout=60)
    assert (first.returncode, out.splitlines()[-1]) == (0, "done"), problems
    assert len(load_study(tmp_path / "mine").trials) == 3
    assert sorted(os.listdir(tmp_path)) == ["mine", "mine.trials"]


def test_a_killed_process_holds_nothing(tmp_path):
    killed = start(tmp_path, 30)
    assert killed.stdout.readline() == "training\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    begun = time.monotonic()
    last = start(tmp_path, 0)
    out, problems = last.communicate(timeout=60)
    assert (last.returncode, out.splitlines()[-1]) == (0, "done"), problems
    assert time.monotonic() - begun < 60


def test_one_process_can_study_twice_but_not_at_once(tmp_path):
    with Trials(tmp_path / "t", {}).held(), pytest.raises(InputError, match="which is this very process"):
        Trials(tmp_path / "t", {}).held().__enter__()
    with Trials(tmp_path / "t", {}).held():
        pass
    with pytest.raises(ZeroDivisionError), Trials(tmp_path / "t", {}).held():
        raise ZeroDivisionError
    with Trials(tmp_path / "t", {}).held() as again:
        assert again.find("none") is None


def test_a_failed_study_gives_the_folder_free(tmp_path):
    def broken(learning_rate):
        raise OSError(f"no such file, at {learning_rate}")

    given = {"settings": {"learning_rate": 0.1}, "seeds": 2, "out": tmp_path, "name": "s"}
    for _ in range(2):
        with pytest.raises(OSError, match="no such file"):
            goodfit.improve(broken, **given)
