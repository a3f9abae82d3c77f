"""Trials on a local Ray cluster: what they return, how they fail, and lost workers that lose nothing."""

import os
import signal
import sys
import threading
import time

import pytest

from goodfit.errors import InputError
from goodfit.improvement import on_ray
from goodfit.improvement.on_ray import ATTEMPTS, RayWorkers


class LockedError(Exception):
    """One that can't be sent to another process."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


def trial(what, path=""):
    """A trial that does `what` and tells in which process."""
    if what == "refuse":
        raise InputError("the layer 'glue' can't be edited.", "Name another.")
    if what == "lock":
        raise LockedError("bolted")
    if what == "die" or (what == "die once" and not os.path.exists(path)):
        with open(path or os.devnull, "a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        time.sleep(100)
    return what, os.getpid()


@pytest.fixture
def workers(local_ray):
    assert local_ray.is_initialized()
    with RayWorkers(trial) as made:
        yield made


def test_it_is_said_where_ray_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"Ray is not installed.*goodfit\[ray\]"):
        on_ray.imported()


def test_results_come_in_order_from_as_many_processes_as_there_are_cpus(workers):
    made = workers.each(workers.run, list("abcdef"))
    assert [name for name, _ in made] == list("abcdef")
    assert 1 <= len({process for _, process in made}) <= 2
    assert os.getpid() not in {process for _, process in made}


def test_trials_of_one_key_stay_with_one_worker(workers):
    workers.each(workers.run, ["a", "b"])
    assert len({workers.run("c", key="k")[1] for _ in range(4)}) == 1


def test_what_a_trial_raises_is_raised_here(workers):
    with pytest.raises(InputError) as refused:
        workers.run("refuse")
    assert str(refused.value) == "the layer 'glue' can't be edited. Name another."
    assert refused.value.remedy == "Name another."
    with pytest.raises(RuntimeError, match="LockedError isn't serializable"):
        workers.run("lock")


def test_a_trial_whose_worker_is_killed_is_done_again(workers, tmp_path):
    file = str(tmp_path / "tries")
    name, _ = workers.run("die once", file)
    assert name == "die once"
    assert os.path.getsize(file) == 1


def test_a_trial_that_kills_every_worker_fails_and_the_next_one_does_not(workers, tmp_path):
    file = str(tmp_path / "tries")
    with pytest.raises(InputError, match=f"lost {ATTEMPTS} times"):
        workers.run("die", file)
    assert os.path.getsize(file) == ATTEMPTS
    assert workers.run("a")[0] == "a"


def test_what_is_shared_is_put_into_the_object_store_once(local_ray, monkeypatch):
    put, puts = local_ray.put, []
    monkeypatch.setattr(local_ray, "put", lambda value: puts.append(value) or put(value))
    with RayWorkers(trial) as made:
        made.each(made.run, ["a", "b", "c"])
    assert puts == [trial]


@pytest.mark.usefixtures("local_ray")
def test_a_trial_that_ends_the_study_ends_those_under_way():
    def one(what):
        if what == "stop":
            raise KeyboardInterrupt
        return made.run(what)

    began = time.monotonic()
    with RayWorkers(trial) as made, pytest.raises(KeyboardInterrupt):
        made.each(one, ["stop", "sleep"])
    assert time.monotonic() - began < 50


def test_what_cannot_be_sent_is_named(local_ray):
    lock = threading.Lock()
    with pytest.raises(InputError, match=r"can't be sent to Ray's workers: cannot pickle '_thread\.lock'"):
        RayWorkers(lambda: lock)
    assert local_ray.is_initialized()
