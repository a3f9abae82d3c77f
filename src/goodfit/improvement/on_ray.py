"""Trials on a Ray cluster: workers that live through a whole study, and are started again where one is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from goodfit.errors import InputError
from goodfit.values import Progress, Report, silent

ATTEMPTS = 3
"""A trial that loses its worker so often fails: it may be the trial that ends it, by its need of memory for example."""
_WAIT = 0.2
"""Seconds between two looks at whether a worker has started."""
_PATIENCE = 30.0
"""Seconds without a single worker after which that is told."""


class RayWorkers:
    """Workers on the Ray cluster that this process is connected to, or that it finds; each takes one CPU.

    What all trials share goes to Ray's object store once. A worker imports and compiles once, and then takes trial
    after trial; it is started when there is a trial for it. One that is killed is started again, and its trial with it.

    Args:
        task: called with each trial's own arguments, in a worker's process; it holds what all trials share.
        report: told of the workers.

    Raises:
        InputError: Ray is not installed, no cluster is found, or the task can't be sent to another process.
    """

    def __init__(self, task: Callable[..., Any], report: Report = silent) -> None:
        self._ray = imported()
        self._connected = _connect(self._ray)
        self.report = report
        try:
            self._task = _put(self._ray, task)
            self.most = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        except BaseException:
            self._disconnect()
            raise
        kind: Any = self._ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=ATTEMPTS - 1)
        self._kind = kind(_Worker)
        self._all: list[Any] = []
        self._starting: dict[Any, int] = {}
        self._free: list[int] = []
        self._known: list[set[str]] = []
        self._lock = threading.Condition()
        self._closed = False

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, *trial: Any, key: str = "") -> Any:
        """What the task returns for one trial; what it raises is raised here.

        Args:
            trial: the task's arguments.
            key: equal for trials that one worker does faster one after the other, for it compiles once for them.

        Raises:
            InputError: the worker was lost `ATTEMPTS` times.
        """
        ray = self._ray
        self._grow(1)
        place = self._take(key)
        try:
            return ray.get(self._all[place].run.remote([self._task], *trial))
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, Exception) and not isinstance(cause, ray.exceptions.RayError):
                raise cause from None
            raise RuntimeError(_first_line(cause)) from None  # what was raised can't be sent here
        except ray.exceptions.RayError as error:
            raise InputError(
                f"its worker on Ray was lost {ATTEMPTS} times ({_first_line(error)}).",
                "Look at Ray's logs: often the worker needs more memory than there is.",
            ) from None
        finally:
            self._give(place)

    def each(self, function: Callable[[Any], Any], trials: Sequence[Any]) -> list[Any]:
        """The function called for each of several trials, as many at a time as there are workers; results in order."""
        if not trials:
            return []
        count = min(len(trials), self.most)
        self._grow(count)
        with ThreadPoolExecutor(count) as threads:
            futures = [threads.submit(function, trial) for trial in trials]
            try:
                return [future.result() for future in futures]
            except BaseException:  # Ctrl-C, or a trial that ends the study: the others needn't be waited for
                for future in futures:
                    future.cancel()
                self._end()
                raise

    def close(self) -> None:
        """End the workers, and the connection where it was made here."""
        self._end()
        self._disconnect()

    def _end(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                for worker in self._all:
                    self._ray.kill(worker)
                self._lock.notify_all()

    def _disconnect(self) -> None:
        if self._connected:
            self._connected = False
            self._ray.shutdown()

    def _grow(self, count: int) -> None:
        """Have at least so many workers."""
        with self._lock:
            while not self._closed and len(self._all) < count:
                worker = self._kind.remote()
                self._starting[worker.start.remote()] = len(self._all)
                self._all.append(worker)
                self._known.append(set())
                if len(self._all) == 1:
                    self.report(Progress("ray", f"at most {self.most} workers on Ray"))

    def _take(self, key: str) -> int:
        """The place of a worker that has nothing to do, once there is one; best one that knows the key."""
        waited = 0.0
        with self._lock:
            while True:
                if self._closed:
                    raise KeyboardInterrupt
                if self._starting:
                    started, _ = self._ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)
                    self._free += [self._starting.pop(ref) for ref in started]
                if self._free:
                    place = next((place for place in self._free if key in self._known[place]), self._free[-1])
                    self._free.remove(place)
                    self._known[place].add(key)
                    return place
                self._lock.wait(_WAIT)
                waited += _WAIT
                if waited - _WAIT < _PATIENCE <= waited and len(self._starting) == len(self._all):
                    self.report(Progress("ray", "Ray has no CPU to give; waiting for one"))

    def _give(self, place: int) -> None:
        with self._lock:
            self._free.append(place)
            self._lock.notify()


class _Worker:
    """One process of the cluster. What the trials share is read from the object store when a trial first needs it."""

    def __init__(self) -> None:
        self.task: Callable[..., Any] | None = None

    def start(self) -> None:
        """Answered once the process is there."""

    def run(self, shared: list[Any], *trial: Any) -> Any:
        """One trial."""
        if self.task is None:
            import ray

            self.task = ray.get(shared[0])
        assert self.task is not None
        return self.task(*trial)


def imported() -> Any:
    """Ray, or `InputError` where it is not installed."""
    try:
        import ray
    except ImportError as problem:
        raise InputError("Ray is not installed.", "Install it with pip install 'goodfit[ray]'.") from problem
    return ray


def _connect(ray: Any) -> bool:
    """Whether a connection was made: to the cluster that RAY_ADDRESS names, or to one that runs on this machine."""
    if ray.is_initialized():
        return False
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError) as problem:
        raise InputError(
            f"no Ray cluster is found ({_first_line(problem)}).",
            "Start one with `ray start --head`, name one in RAY_ADDRESS, or call ray.init() before.",
        ) from problem
    return True


def _put(ray: Any, task: Callable[..., Any]) -> Any:
    try:
        return ray.put(task)
    except (TypeError, ValueError, AttributeError, RecursionError) as problem:
        told = [line.partition("serialization: ")[2] for line in str(problem).splitlines() if "!!! FAIL" in line]
        raise InputError(
            f"what is to be trained can't be sent to Ray's workers: {(told or [_first_line(problem)])[-1].strip()}.",
            'Define it without what can\'t be pickled (open files, locks, other models), or give on="local".',
        ) from problem


def _first_line(problem: object) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines or [type(problem).__name__])[0][:300].rstrip(".")
