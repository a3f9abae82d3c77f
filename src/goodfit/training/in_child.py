"""Train a model of another Keras backend in a JAX process, and bring its weights back."""

from __future__ import annotations

import builtins
import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from goodfit.errors import GoodfitError, InputError
from goodfit.training import keras_internals, messages, preflight_setup
from goodfit.training.child import numpy_state, set_numpy_state
from goodfit.training.engine import EngineResult
from goodfit.training.interrupt import Postponed

LAST_WORDS = 20
"""Lines of a failed process's standard error that are told."""
_POLL = 0.1
"""Seconds until a Ctrl-C is noticed."""
_PATIENCE = 5.0
"""Seconds that the other process is given to end by itself."""
_PLAIN = (
    "batch_size",
    "epochs",
    "validation_split",
    "shuffle",
    "class_weight",
    "steps_per_epoch",
    "validation_steps",
    "validation_batch_size",
    "validation_freq",
)


def fit(model: keras.Model, arguments: Mapping[str, Any], checks: str = "on") -> EngineResult:
    """Train a compiled Keras model in a JAX process of its own, from its config and its present state.

    What comes back is the state of the model, of its optimizer and metrics, and of NumPy's global random generator, as
    `model.fit` on JAX would have left them. Callbacks and the progress bar run here, on the model itself.

    Args:
        model: compiled, on any backend.
        arguments: of `model.fit`, by name.
        checks: `"off"` leaves out the pre-flight.

    Returns:
        The history, and how the training ran and ended.

    Raises:
        InputError: the model, its data or a callback can't be taken to another process.
        GoodfitError: the other process died.
    """
    began = time.perf_counter()
    found: tuple[str, ...] = ()
    if checks == "on":
        found = preflight_setup.look(model, arguments)
    _refuse_what_cannot_travel(model, arguments)
    users = [one for one in keras_internals.listed(arguments["callbacks"]) if not keras_internals.passive(one)]
    kind = "none" if not users else "replayable" if all(map(keras_internals.replayable, users)) else "any"
    job = {**_describe(model), "callbacks": kind, "arguments": _data(arguments)}
    job["batch"] = _first_batch(job["arguments"])
    job["built"] = keras_internals.built(model)
    keras_internals.build_for(model, job["batch"])
    steps = _steps(job["arguments"])
    callbacks = keras_internals.callback_list(
        model, arguments["callbacks"], arguments["verbose"], arguments["epochs"], steps
    )
    model.stop_training = False
    callbacks.on_train_begin()
    job["arguments"]["initial_epoch"] = keras_internals.first_epoch(model, arguments["initial_epoch"])
    job["state"] = numpy_state(model)
    job["random"] = np.random.get_state()
    try:
        result = _converse(model, callbacks, job)
    except KeyboardInterrupt:  # a second Ctrl-C
        result = {}
    recorded = model.history
    names = ", ".join(sorted({type(callback).__name__ for callback in users}))
    reason = result.get("engine_reason", "it was broken off").replace("Relay", names)
    return EngineResult(
        history=recorded.history,
        epoch=recorded.epoch,
        params=recorded.params,
        engine=result.get("engine", "compiled"),
        engine_reason=f"in a JAX process of its own: {reason}",
        outcome=result.get("outcome", "interrupted"),
        seconds=time.perf_counter() - began,
        compile_seconds=result.get("compile_seconds", 0.0),
        warnings=found,
    )


def _refuse_what_cannot_travel(model: keras.Model, arguments: Mapping[str, Any]) -> None:
    own = keras_internals.own_training(model)
    if own:
        raise InputError(
            f"the model has its own {own}(), written for {keras.backend.backend()}, which JAX can't run.",
            "Leave engine out: Keras's own loop trains it.",
        )
    if not model.compiled:
        raise InputError("the model is not compiled.", "Call model.compile(optimizer, loss) before fit.")
    for callback in keras_internals.listed(arguments["callbacks"]):
        method = keras_internals.batch_level(callback)
        if not method and keras_internals.watches_validation(callback):
            method = "on_test_begin or on_test_end"
        if method:
            raise InputError(
                f"the callback {type(callback).__name__} looks into the training within an epoch ({method}), "
                'which engine="jax" runs in another process.',
                "Leave the callback out or let it work at the end of epochs; or leave engine out.",
            )
    validation = arguments["validation_data"]
    parts = validation if isinstance(validation, (tuple, list)) else (validation,)
    problem = keras_internals.array_problem(*(arguments[name] for name in ("x", "y", "sample_weight")), *parts)
    if problem:
        raise InputError(f'{problem}, which engine="jax" can\'t take to another process.', "Give arrays.")


def _describe(model: keras.Model) -> dict[str, Any]:
    """What the model is rebuilt from."""
    try:
        config = keras.saving.serialize_keras_object(model)
        compiled = model.get_compile_config()
    except Exception as problem:
        raise _not_rebuildable(f"its config can't be had ({type(problem).__name__}: {problem})") from problem
    config = _portable(config)
    config.pop("compile_config", None)
    compiled = _portable(compiled)
    compiled["jit_compile"] = "auto"  # what another backend made of "auto" says nothing about JAX
    return {
        "model": config,
        "compile": compiled,
        "custom": sorted(_custom(model, config, compiled)),
        "floatx": keras.config.floatx(),
        "epsilon": keras.config.epsilon(),
        "image_data_format": keras.config.image_data_format(),
        "dtype_policy": keras.config.dtype_policy().name,
    }


def _not_rebuildable(problem: str) -> InputError:
    return InputError(
        f"the model can't be rebuilt in another process: {problem}.",
        "Define it with get_config in a module that can be imported, or leave engine out.",
    )


def _portable(config: Any) -> Any:
    """A configuration without what is peculiar to a backend: torch's optimizers have classes of their own."""
    if isinstance(config, (list, tuple)):
        return [_portable(part) for part in config]
    if not isinstance(config, dict):
        return config
    if str(config.get("module", "")).startswith("keras.src.backend.") and ".optimizers." in config["module"]:
        config = {**config, "module": "keras.optimizers", "registered_name": None}
    return {key: _portable(part) for key, part in config.items()}


def _custom(model: keras.Model, *configs: Any) -> set[tuple[str, str, str]]:
    """The model's own classes and functions: the name Keras knows each by, its module, its name there."""
    own = _own(model)
    found: set[tuple[str, str, str]] = set()
    for part in _parts(configs):
        name, module, known_as = part["class_name"], part.get("module"), part.get("registered_name")
        if name == "__lambda__":
            raise _not_rebuildable("it holds a lambda")
        if name == "function":
            name = known_as = part["config"]
        elif module and module.split(".")[0] in ("keras", "builtins"):
            continue
        if name not in own:
            continue  # Keras's own, or the child says that it is not to be found
        module, place = own[name]
        if module == "__main__" or "<" in place:
            raise _not_rebuildable(f"{name} is defined in the script or notebook itself or inside a function")
        found.add((known_as or name, module, place))
    return found


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """All that Keras has serialized as an object within a configuration."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config
        for part in config.values():
            yield from _parts(part)
    elif isinstance(config, (list, tuple)):
        for part in config:
            yield from _parts(part)


def _own(model: keras.Model) -> dict[str, tuple[str, str]]:
    """Module and place of the classes and functions that are not Keras's own, among the model's layers, their settings
    and the arguments of `compile`, by name."""
    layers = keras_internals.all_layers(model)
    settings = [value for layer in layers for value in vars(layer).values()]
    kinds = (types.FunctionType, type)
    found = {}
    for value in [*layers, *settings, *keras_internals.compile_arguments(model)]:
        one = value if isinstance(value, kinds) else type(value)
        if one.__module__.split(".")[0] not in ("keras", "builtins"):
            found[one.__name__] = (one.__module__, one.__qualname__)
    return found


def _data(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `fit` as they travel: every array as NumPy's."""
    sent = {name: arguments[name] for name in _PLAIN}
    if isinstance(sent["class_weight"], Mapping):
        sent["class_weight"] = {int(k): float(v) for k, v in sent["class_weight"].items()}
    if isinstance(sent["validation_freq"], (list, tuple, np.ndarray)):
        sent["validation_freq"] = [int(epoch) for epoch in sent["validation_freq"]]
    for name in ("x", "y", "sample_weight", "validation_data"):
        sent[name] = keras_internals.numpy_arrays(arguments[name])
    return sent


def _first_batch(sent: Mapping[str, Any]) -> Any:
    """The first rows, as `build` takes them."""
    count = sent["batch_size"] or 32
    x, y, weight = (keras_internals.head(sent[name], count) for name in ("x", "y", "sample_weight"))
    if weight is None and sent["class_weight"]:
        weight = np.ones(len(keras.tree.flatten(y)[0]), np.float32)
    return keras.utils.pack_x_y_sample_weight(x, y, weight)


def _steps(sent: Mapping[str, Any]) -> int:
    """Steps per epoch."""
    rows = len(keras.tree.flatten(sent["x"])[0])
    if sent["validation_split"] and sent["validation_data"] is None:
        rows = int(np.floor(rows * (1 - sent["validation_split"])))
    return sent["steps_per_epoch"] or -(-rows // (sent["batch_size"] or 32))


class _Child:
    """The JAX process: `send` to it and `received` from it; what it writes to standard error is passed on.

    Args:
        model: what it will train.
    """

    def __init__(self, model: keras.Model) -> None:
        environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if any(v.dtype == "float64" for v in model.variables):
            environment["JAX_ENABLE_X64"] = "1"
        # A group of its own: Ctrl-C comes to this process alone, which tells the other.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "goodfit.training.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            **apart,
        )
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lines: deque[str] = deque(maxlen=LAST_WORDS)
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._listen, self._pass_on)]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        stream: Any = self.process.stdout
        try:
            while True:
                self.received.put(messages.read(stream))
        except EOFError:
            self.received.put(None)

    def _pass_on(self) -> None:
        stream: Any = self.process.stderr
        for line in stream:
            self._lines.append(line.decode(errors="replace"))
            sys.stderr.write(self._lines[-1])

    def send(self, content: Any) -> None:
        """Tell it; one that died says so by its silence."""
        stream: Any = self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            messages.write(stream, content)

    def last_words(self) -> str:
        """How it ended, and what it last wrote."""
        code = self.process.wait()
        self._threads[1].join(5)
        wrote = f" It last wrote: {self._lines[-1].strip()}" if self._lines else ""
        return f"the JAX process ended (code {code}) before the training did.{wrote}"

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End it: at once where something was raised here, or where Ctrl-C comes while it ends by itself.

        Until it has ended its output is read, so that its pipes can only be closed afterwards.
        """
        pipes: Any = (self.process.stdin, self.process.stdout, self.process.stderr)
        with Postponed() as interrupt:
            if kind is None:
                with contextlib.suppress(OSError):
                    pipes[0].close()
                until = time.monotonic() + _PATIENCE
                while self.process.poll() is None and time.monotonic() < until and not interrupt.requested:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self.process.wait(_POLL)
            self.process.kill()
            self.process.wait()
            for thread in self._threads:
                thread.join()
            for pipe in pipes:
                with contextlib.suppress(OSError):  # what was not sent yet has nowhere to go
                    pipe.close()


def _converse(model: keras.Model, callbacks: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Have the job done, while `model` and `callbacks` follow it; the result, `{}` where it was broken off."""
    progress = _Progress(model, callbacks, job["state"])
    told = False
    with Postponed() as interrupt, _Child(model) as child:
        child.send(job)
        while True:
            if interrupt.requested and not told:
                child.send("interrupt")
                told = True
            try:
                message = child.received.get(timeout=_POLL)
            except queue.Empty:
                continue
            if message is None and told:  # it was broken off before it could answer
                return {}
            if message is None:
                raise GoodfitError(child.last_words())
            if message["event"] == "start":
                progress.start()
            elif message["event"] in ("begin", "end"):
                progress.tell(message)
                if job["callbacks"] != "none":
                    child.send(progress.changes())
            else:
                return _finish(model, progress, message)


class _Progress:
    """What the callbacks are told, and what they change.

    Args:
        model: follows the child's model where there are callbacks.
        callbacks: Keras's `CallbackList`.
        state: the state in which the child's model begins.
    """

    def __init__(self, model: keras.Model, callbacks: Any, state: Any) -> None:
        self.model, self.callbacks, self.state = model, callbacks, state
        self.logs: dict[str, Any] | None = None
        self._began, self._epochs, self._begun = 0.0, 0, False

    def start(self) -> None:
        """The child's first epoch begins."""
        self._began = time.perf_counter()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Tell the callbacks of the begin or the end of an epoch."""
        epoch = message["epoch"]
        if message["event"] == "begin":
            self._begun = True
            self.model.reset_metrics()
            self.state = numpy_state(self.model)
            self.callbacks.on_epoch_begin(epoch)
            return
        if "state" in message:
            self.state = message["state"]
            set_numpy_state(self.model, self.state)
        if not self._begun:
            self.callbacks.on_epoch_begin(epoch)
        self._epochs += 1
        keras_internals.started(self.callbacks, (time.perf_counter() - self._began) / self._epochs)
        self.logs = message["logs"]
        self.callbacks.on_epoch_end(epoch, self.logs)
        self._begun = False

    def changes(self) -> dict[str, Any]:
        """What the callbacks changed of the model since the child told of it."""
        now = numpy_state(self.model)
        changes = [
            (group, place, new)
            for group, (values, old_values) in enumerate(zip(now, self.state, strict=True))
            for place, (new, old) in enumerate(zip(values, old_values, strict=True))
            if new.tobytes() != np.asarray(old).astype(new.dtype).tobytes()
        ]
        return {"changes": changes, "stop": bool(self.model.stop_training)}


def _finish(model: keras.Model, progress: _Progress, message: dict[str, Any]) -> dict[str, Any]:
    """Bring the result into the model, or raise what the other process raised."""
    event = message["event"]
    if event == "refused":
        raise InputError(message["problem"], message["remedy"])
    if event == "failed":
        kind = getattr(builtins, message["kind"], None)
        if isinstance(kind, type) and kind in (ValueError, TypeError, RuntimeError, KeyError, AttributeError):
            raise kind(message["message"])
        raise GoodfitError(f"the JAX process failed: {message['kind']}: {message['message']}")
    if event == "interrupted":
        return {}
    set_numpy_state(model, message["state"])
    np.random.set_state(message["random"])
    if message["outcome"] != "interrupted":
        progress.callbacks.on_train_end(progress.logs or {})
    return message
