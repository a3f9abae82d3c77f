"""The JAX process that trains a model of another backend: `python -m goodfit.training.child`.

It is given one job on its standard input (`goodfit.training.in_child` writes it), trains, and answers on its standard
output: one message per epoch, and the result or the error at the end. Callbacks live in the process that asked; this
one tells it of each epoch, with the model's state where a callback may look at it, and takes back what one changed.
"""

from __future__ import annotations

import _thread
import importlib
import operator
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any, BinaryIO

import keras
import numpy as np

from goodfit.errors import InputError
from goodfit.training import engine, keras_internals, messages, program


def numpy_state(model: keras.Model) -> list[list[np.ndarray]]:
    """The values of all of a model's variables, in the groups of `program.State`, on any backend."""
    return [[np.asarray(keras.ops.convert_to_numpy(v)) for v in group] for group in program.variables(model)]


def set_numpy_state(model: keras.Model, state: Sequence[Sequence[np.ndarray]]) -> None:
    """Give all of a model's variables the values that `numpy_state` read."""
    for group, values in zip(program.variables(model), state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value.astype(variable.dtype))  # the states of random streams differ in their sign alone
    keras_internals.settle(model)


class Link:
    """The two ends of the conversation, seen from the child.

    An `interrupt` becomes a Ctrl-C of this process; where the other process is gone, this one ends too.
    """

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self.target = target
        self.job = messages.read(source)
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(source,), daemon=True).start()

    def _listen(self, source: BinaryIO) -> None:
        while True:
            try:
                message = messages.read(source)
            except (EOFError, OSError):
                os._exit(1)
            if message == "interrupt":
                _thread.interrupt_main()
            else:
                self._answers.put(message)

    def send(self, content: Any) -> None:
        """Tell the other process."""
        messages.write(self.target, content)

    def ask(self, content: Any) -> Any:
        """Tell the other process, and wait for its answer."""
        self.send(content)
        return self._answers.get()


class Relay(keras.callbacks.Callback):
    """Gives the model the state it was sent in, when all of it is built; then tells the other process of each epoch.

    Args:
        link: to that process.
        callbacks: what its callbacks do: `none` or `replayable` (`keras_internals.replayable`), else `any`.
    """

    def __init__(self, link: Link, callbacks: str) -> None:
        super().__init__()
        self._link = link
        self._state: Any = link.job["state"]
        self._callbacks = callbacks
        self.goodfit_passive = callbacks == "none"
        self.goodfit_replayable = callbacks == "replayable"

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        model: Any = self.model
        own = [[tuple(v.shape) for v in group] for group in program.variables(model)]
        if own != [[value.shape for value in group] for group in self._state]:
            raise InputError(
                "the model that its config gives on JAX has other variables than the model itself.",
                "Make get_config and build tell all of its layers, or leave engine out.",
            )
        set_numpy_state(model, self._state)
        self._state = None
        self._link.send({"event": "start"})

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self._callbacks == "any":
            self._take(self._link.ask({"event": "begin", "epoch": epoch}))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        message = {"event": "end", "epoch": epoch, "logs": dict(logs or {})}
        if self._callbacks == "none":
            self._link.send(message)
        else:
            model: Any = self.model
            self._take(self._link.ask({**message, "state": numpy_state(model)}))

    def _take(self, answer: Any) -> None:
        model: Any = self.model
        groups = program.variables(model)
        for group, place, value in answer["changes"]:
            variable = groups[group][place]
            variable.assign(value.astype(variable.dtype))
        if answer["stop"]:
            model.stop_training = True


def rebuild(job: Any) -> keras.Model:
    """The model of a job, compiled, and built where it was; what `fit` builds itself, it draws a batch for.

    Raises:
        InputError: it can't be rebuilt from its config.
    """
    keras.config.set_floatx(job["floatx"])
    keras.config.set_epsilon(job["epsilon"])
    keras.config.set_image_data_format(job["image_data_format"])
    keras.config.set_dtype_policy(job["dtype_policy"])
    try:
        custom = {name: operator.attrgetter(of)(importlib.import_module(module)) for name, module, of in job["custom"]}
        with keras.saving.custom_object_scope(custom):
            model = keras.saving.deserialize_keras_object(job["model"])
            model.compile_from_config(job["compile"])
        if job["built"]:
            keras_internals.build_for(model, job["batch"])
    except Exception as problem:
        raise InputError(
            f"the model can't be rebuilt on JAX from its config: {type(problem).__name__}: {problem}",
            "Give its own classes a get_config in a module that can be imported, or leave engine out.",
        ) from problem
    return model


def train(link: Link) -> dict[str, Any]:
    """Do the job; the result as the other process reads it."""
    job = link.job
    model = rebuild(job)
    keyed = job["random"]
    np.random.set_state((keyed[0], keyed[1], *keyed[2:]))
    done = engine.fit(model, **job["arguments"], verbose=0, callbacks=[Relay(link, job["callbacks"])], checks="off")
    return {
        "event": "result",
        "engine": done.engine,
        "engine_reason": done.engine_reason,
        "outcome": done.outcome,
        "compile_seconds": done.compile_seconds,
        "state": numpy_state(model),
        "random": np.random.get_state(),
    }


def main() -> None:
    """Train one job; what user code prints goes to standard error."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    link = None
    try:
        link = Link(source, target)
        answer = train(link)
    except (EOFError, KeyboardInterrupt):
        answer = {"event": "interrupted"}
    except InputError as problem:
        answer = {"event": "refused", "problem": problem.problem, "remedy": problem.remedy}
    except Exception as problem:
        traceback.print_exc(file=sys.stderr)
        answer = {"event": "failed", "kind": type(problem).__name__, "message": str(problem)}
    if link is not None:
        link.send(answer)


if __name__ == "__main__":
    main()
