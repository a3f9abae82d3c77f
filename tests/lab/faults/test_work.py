import os
import stat
import sys

import pytest

from goodfit.lab.faults import plan, sources
from goodfit.lab.faults.folder import Folder
from goodfit.lab.faults.work import work

WORKER = f"""#!{sys.executable}
import json, pathlib, sys
where = pathlib.Path(sys.argv[-1])
for line in sys.stdin:
    name, dataset, variant, what = line.split()
    if dataset == "broken":
        sys.exit(1)
    (where / f"{{name}}.json.gz").write_bytes(b"done")
    print(json.dumps({{"name": name, "cases": 3}}), flush=True)
"""


@pytest.fixture
def fake_worker(monkeypatch, tmp_path):
    path = tmp_path / "worker"
    path.write_text(WORKER)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("goodfit.lab.faults.work.sys.executable", os.fspath(path))
    return tmp_path / "out"


def test_every_start_of_the_plan_holds_both_halves_and_many_datasets():
    names = plan.names()
    assert len(set(names)) == len(names) == plan.VARIANTS * (len(sources.SCORED) + len(sources.CALIBRATION))
    start = names[:15]
    assert {sources.half(name) for name, _ in start} == {"scored", "calibration"}
    assert len({name for name, _ in start}) == 15
    assert {variant for _, variant in start} == {0, 1, 2, 3}


def test_the_subset_of_ci_is_small_and_of_both_halves():
    assert {sources.half(name) for name, _ in plan.names(subset="ci")} == {"scored", "calibration"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_finished_blocks_are_not_worked_again(fake_worker, jobs):
    said = []
    assert work([("wine", 0), ("iris", 0)], fake_worker, jobs=jobs, say=said.append) == 0
    assert Folder(fake_worker).has("wine-0")
    assert "3 cases" in said[1]
    again = []
    assert work([("wine", 0), ("iris", 0), ("oj", 1)], fake_worker, jobs=jobs, say=again.append) == 0
    assert again[0] == "2 of 3 blocks are finished."
    assert len(again) == 2


def test_a_block_that_fails_is_said_and_the_others_are_worked(fake_worker):
    said = []
    assert work([("broken", 0), ("iris", 0)], fake_worker, say=said.append) == 1
    assert "broken-0: failed" in said
    assert Folder(fake_worker).has("iris-0")


def test_signals_are_measured_of_finished_blocks_only(fake_worker):
    names = [("wine", 0), ("iris", 0)]
    work(names[:1], fake_worker, say=lambda _: None)
    assert work(names, fake_worker, "signals", say=lambda _: None) == 0
    assert Folder(fake_worker).has("wine-0.signals")
    assert not Folder(fake_worker).has("iris-0.signals")
