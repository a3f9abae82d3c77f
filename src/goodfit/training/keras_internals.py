"""What goodfit needs of Keras's private modules: the only file that touches `keras.src`.

It knows the versions of Keras it was tested with. On any other, `unsupported` says so and the engine leaves the
training to Keras's own loop.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import keras
import numpy as np

TESTED_VERSIONS = ("3.15.0", "3.15.1")

# Methods that the compiled loop stands in for: where a model brings its own, Keras must call it.
_REPLACED = (
    "fit",
    "evaluate",
    "make_train_function",
    "make_test_function",
    "_make_function",
    "_get_metrics_result_or_logs",
    "_should_eval",
    "_symbolic_build",
    "jax_state_sync",
    "_get_jax_state",
)
_BATCH_METHODS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)
_TEST_METHODS = ("on_test_begin", "on_test_end")


@dataclass(frozen=True)
class Rows:
    """Arrays as a data adapter of Keras has understood them.

    Args:
        arrays: what a step takes: `x`, `(x, y)` or `(x, y, sample_weight)`, each an array or a tree of arrays.
        count: rows.
        batch_size: rows per step.
        shuffle: `True`, `False` or `"batch"`.
    """

    arrays: Any
    count: int
    batch_size: int
    shuffle: Any

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return -(-self.count // self.batch_size)

    def first(self, steps: int) -> Rows:
        """The rows of the first steps."""
        count = min(self.count, steps * self.batch_size)
        return Rows(jax.tree.map(lambda array: array[:count], self.arrays), count, self.batch_size, self.shuffle)

    def order(self, random: Any = np.random) -> np.ndarray:
        """The order of the rows in the next epoch, drawn as Keras draws it from NumPy's global random state.

        Args:
            random: that state, or a `RandomState` in its place.
        """
        if self.shuffle == "batch":
            starts = range(0, self.count, self.batch_size)
            parts = [random.permutation(min(self.batch_size, self.count - start)) + start for start in starts]
            return np.concatenate(parts).astype(np.int32)
        return random.permutation(self.count).astype(np.int32)


def unsupported(model: keras.Model) -> str:
    """Why this model can't be trained by the compiled loop in this process at all; `""` if it can."""
    if keras.backend.backend() != "jax":
        return f"Keras runs on the {keras.backend.backend()} backend; on JAX, whole epochs are compiled"
    if keras.__version__ not in TESTED_VERSIONS:
        return f"Keras {keras.__version__} is not one of the tested versions ({', '.join(TESTED_VERSIONS)})"
    from keras.src.backend.config import is_nnx_enabled, max_epochs, max_steps_per_epoch
    from keras.src.backend.jax.trainer import JAXTrainer

    if is_nnx_enabled():
        return "the NNX mode of Keras's JAX backend is on"
    if keras.distribution.distribution() is not None:
        return "a keras.distribution is set"
    if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
        return "jax_disable_jit is set"
    if max_epochs() or max_steps_per_epoch():
        return "keras.config limits epochs or steps per epoch"
    own = [name for name in _REPLACED if getattr(type(model), name, None) is not getattr(JAXTrainer, name)]
    own += [name for name in _REPLACED if name in vars(model)]
    if own:
        return f"the model has its own {own[0]}()"
    if not model.compiled:
        return "the model is not compiled"
    if model.run_eagerly:
        return "the model was compiled with run_eagerly=True"
    if not model.jit_compile:
        return "the model was compiled with jit_compile=False, or has a layer that can't be compiled"
    return ""


def array_problem(*structures: Any) -> str:
    """Why these inputs can't be held as dense arrays; `""` if they can."""
    from keras.src import tree
    from keras.src.trainers.data_adapters.array_data_adapter import can_convert_arrays
    from keras.src.trainers.data_adapters.data_adapter_utils import (
        is_jax_sparse,
        is_scipy_sparse,
        is_tensorflow_ragged,
        is_tensorflow_sparse,
    )

    if not can_convert_arrays(structures):
        kinds = [type(leaf).__name__ for leaf in tree.flatten(structures) if not can_convert_arrays(leaf)]
        return f"the data are not arrays ({kinds[0]})"
    for leaf in tree.flatten(structures):
        if leaf is None:
            continue
        if is_scipy_sparse(leaf) or is_jax_sparse(leaf) or is_tensorflow_sparse(leaf) or is_tensorflow_ragged(leaf):
            return "the data hold a sparse or ragged array"
        if isinstance(leaf, np.ma.MaskedArray):
            return "the data hold a masked array"
        if not getattr(leaf, "shape", None):
            return "the data hold something without rows"
    return ""


def split_validation(arrays: Any, validation_split: float) -> tuple[Any, Any]:
    """The first and the last rows, divided as Keras's `validation_split` does."""
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    return train_validation_split(arrays, validation_split=validation_split)


def epoch_iterator(x: Any, y: Any, **arguments: Any) -> Any:
    """Keras's iterator over an epoch, with its checks of the arguments."""
    from keras.src.backend.jax.trainer import JAXEpochIterator

    return JAXEpochIterator(x=x, y=y, **arguments)


def rows_of(iterator: Any, shuffle: Any) -> Rows:
    """The arrays behind an epoch iterator, whole, converted as Keras converts each of its batches."""
    from keras.src import tree
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
    from keras.src.trainers.data_adapters.array_slicing import convert_to_sliceable

    adapter = iterator.data_adapter
    if not isinstance(adapter, ArrayDataAdapter):
        raise TypeError(f"the data are not arrays ({type(adapter).__name__})")
    count = adapter._num_samples

    def whole(sliceable: Any) -> np.ndarray:
        return np.asarray(sliceable.convert_to_jax_compatible(sliceable[slice(0, count)]))

    sliceables = convert_to_sliceable(adapter._inputs, target_backend="jax")
    arrays = tree.map_structure(whole, sliceables, none_is_leaf=False)
    return Rows(arrays, count, adapter.batch_size, shuffle)


def build(model: keras.Model, iterator: Any) -> None:
    """Build what is not built yet of the model, its loss, its metrics and its optimizer, as `fit` does."""
    model._symbolic_build(iterator=iterator)
    iterator.reset()


def build_for(model: keras.Model, batch: Any) -> None:
    """Build what is not built yet for a batch `(x, y)` or `(x, y, sample_weight)`; no random draw is made."""
    model._symbolic_build(data_batch=batch)


def built(model: keras.Model) -> bool:
    """Whether model, loss and metrics are built: otherwise `fit` on JAX builds them for a batch that it draws."""
    parts = [part for part in (model._compile_metrics, model._compile_loss) if part is not None]
    return all(layer.built for layer in [*model._flatten_layers(), *parts])


def built_alone(model: keras.Model) -> bool:
    """Whether the model itself is built, whatever its loss and metrics are."""
    return bool(model.built) and all(layer.built for layer in model._flatten_layers())


def outputs_of(model: Any) -> list[tuple[str, tuple[Any, ...], Any]]:
    """Name and shape of each output of a functional model, and the layer or operation that gives it."""
    return [
        (name, tuple(tensor.shape), tensor._keras_history.operation)
        for name, tensor in zip(getattr(model, "output_names", [model.name]), model.outputs, strict=True)
    ]


def step_mask(model: Any) -> keras.Model | None:
    """A model that tells which steps of its inputs count in the loss of another, shape (rows, steps); `None` where all
    do: nothing of it masks padding, or its one output is no sequence."""
    outputs = getattr(functional(model), "outputs", None) or []
    mask = getattr(outputs[0], "_keras_mask", None) if len(outputs) == 1 and len(outputs[0].shape) > 2 else None
    return None if mask is None else keras.Model(model.inputs, mask)


def callback_list(model: keras.Model, callbacks: Any, verbose: Any, epochs: int, steps: int) -> Any:
    """The callbacks in Keras's own container, with its history and progress bar."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    return keras.callbacks.CallbackList(
        callbacks,
        add_history=True,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=epochs,
        steps=steps,
        model=model,
    )


def listed(callbacks: Any) -> list[Any]:
    """The single callbacks in what was given as `callbacks`."""
    from keras.src import tree

    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return tree.flatten(callbacks) if callbacks else []


def _defines(callback: Any, names: Sequence[str]) -> list[str]:
    """Which of the named methods a callback has of its own."""
    from keras.src.utils import is_default

    return [name for name in names if not is_default(getattr(callback, name))]


def _idle_per_batch(callback: Any) -> bool:
    """Whether the batch-level methods are Keras's own and do nothing with these settings."""
    for kind in (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore):
        if isinstance(callback, kind) and callback.save_freq == "epoch":
            return _defines(callback, _BATCH_METHODS) == ["on_train_batch_end"] and (
                type(callback).on_train_batch_end is kind.on_train_batch_end
                and "on_train_batch_end" not in vars(callback)
            )
    if type(callback) is keras.callbacks.TensorBoard and not any(name.startswith("on_") for name in vars(callback)):
        # It counts batches, and writes of them only where asked to.
        return callback.update_freq == "epoch" and not (callback.write_steps_per_second or callback._should_trace)
    return type(callback) is keras.callbacks.ProgbarLogger


def batch_level(callback: Any) -> str:
    """The first method by which a callback must see every batch; `""` if it works per epoch."""
    if _idle_per_batch(callback):
        return ""
    return next(iter(_defines(callback, _BATCH_METHODS)), "")


def watches_validation(callback: Any) -> bool:
    """Whether a callback must be called around the validation."""
    return type(callback) is not keras.callbacks.ProgbarLogger and bool(_defines(callback, _TEST_METHODS))


def passive(callback: Any) -> bool:
    """Whether a callback only records or draws what it is told: Keras's history and progress bar."""
    own = (keras.callbacks.History, keras.callbacks.ProgbarLogger)
    return type(callback) in own or getattr(callback, "goodfit_passive", False)


def replayable(callback: Any) -> bool:
    """Whether a callback reads nothing but the logs and the weights, and only at the end of an epoch.

    These are Keras's own, unchanged: what they do is known, so that they can be called after the fact.
    """
    known = (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau, keras.callbacks.CSVLogger)
    if passive(callback) or getattr(callback, "goodfit_replayable", False):
        return True
    return type(callback) in known and not any(name.startswith("on_") for name in vars(callback))


def terminates(callback: Any) -> bool:
    """Whether a callback is Keras's own `TerminateOnNaN`, unchanged, that stops the training without raising."""
    return type(callback) is keras.callbacks.TerminateOnNaN and not (
        callback.raise_error or any(name.startswith("on_") for name in vars(callback))
    )


def told_of_steps(model: keras.Model, shuffle: Any) -> str:
    """Why what happens after a single step can't be found afterwards; `""` if it can.

    It can where the loss that Keras hands to callbacks is its running mean over the epoch, seen after every step, and
    where the order of the rows is drawn once per epoch.
    """
    if own_training(model):
        return f"the model has its own {own_training(model)}()"
    if model.steps_per_execution != 1:
        return "steps_per_execution is set"
    return 'shuffle is "batch"' if shuffle == "batch" else ""


def started(callbacks: Any, seconds: float) -> None:
    """Let the progress bar of the epoch that just began show that it began `seconds` ago."""
    bar = getattr(getattr(callbacks, "_progbar", None), "progbar", None)
    if bar is not None:
        bar._start -= seconds


def bar_shows_steps(callbacks: Any) -> bool:
    """Whether there is a progress bar that moves within an epoch."""
    bar = getattr(callbacks, "_progbar", None)
    return bar is not None and bar.verbose == 1


def show_step(callbacks: Any, step: int, logs: dict[str, Any]) -> None:
    """Let the progress bar show the logs after a step (counted from 0)."""
    callbacks._progbar.on_train_batch_end(step, plain_logs(logs))


def plain_logs(logs: dict[str, Any]) -> dict[str, Any]:
    """Logs as Keras hands them to callbacks: Python floats where they are numbers."""
    from keras.src.utils.python_utils import pythonify_logs

    return pythonify_logs(logs)


def validates(epoch: int, frequency: Any) -> bool:
    """Whether Keras validates after this epoch (counted from 0).

    Raises:
        ValueError: where `frequency` is neither a number nor a list, in Keras's words.
    """
    return keras.Model._should_eval(types.SimpleNamespace(), epoch, frequency)  # pyright: ignore


def set_values(variables: Sequence[Any], values: Sequence[jax.Array]) -> None:
    """Give variables values of their own shape and dtype, without the checks and conversions of `assign`."""
    for variable, value in zip(variables, values, strict=True):
        variable._value = value


def get_values(variables: Sequence[Any]) -> list[Any]:
    """The very objects that variables hold."""
    return [variable._value for variable in variables]


def session_state() -> tuple[dict[str, int], Any]:
    """What Keras draws names and seeds from that are given nowhere: counters of names, the global seed's value."""
    from keras.src.backend.common import global_state

    names = global_state.get_global_attribute("object_name_uids")
    generator = global_state.get_global_attribute("global_seed_generator")
    return dict(names or {}), None if generator is None else generator.state._value


def restore_session(state: tuple[dict[str, int], Any]) -> None:
    """Set Keras's counters of names and its global seed to what `session_state` gave."""
    from keras.src.backend.common import global_state

    names = global_state.get_global_attribute("object_name_uids")
    if names is not None:
        names.clear()
        names.update(state[0])
    generator = global_state.get_global_attribute("global_seed_generator")
    if state[1] is None:
        global_state.set_global_attribute("global_seed_generator", None)
    elif generator is not None:
        generator.state._value = state[1]


@contextmanager
def compared_on_host(callbacks: Sequence[Any]) -> Iterator[None]:
    """Let callbacks that watch a metric compare it without asking the device, where the next chunk is running.

    Keras compares as float32 (`keras.ops.less`), and so does this.
    """
    swift = {keras.ops.less: _less, keras.ops.greater: _greater}
    changed = []
    for callback in callbacks:
        compare = getattr(callback, "monitor_op", None)
        if compare in swift:
            changed.append((callback, compare))
            callback.monitor_op = swift[compare]
    try:
        yield
    finally:
        for callback, compare in changed:
            callback.monitor_op = compare


def _less(one: Any, other: Any) -> bool:
    return bool(np.float32(one) < np.float32(other))


def _greater(one: Any, other: Any) -> bool:
    return bool(np.float32(one) > np.float32(other))


def first_epoch(model: keras.Model, initial_epoch: int) -> int:
    """Where to begin: a callback (BackupAndRestore) may have set another epoch than asked for."""
    return model._initial_epoch or initial_epoch


def has_own_reset(model: keras.Model) -> bool:
    """Whether the model resets its metrics in a way of its own."""
    from keras.src.trainers.trainer import Trainer

    return type(model).reset_metrics is not Trainer.reset_metrics


def make_functions(model: keras.Model, validation: bool) -> None:
    """Leave the model with the functions that `fit` leaves it with."""
    model.make_train_function()
    if validation:
        model.make_test_function()


def finalize(model: keras.Model, epochs: int) -> None:
    """What `fit` does at its end: optimizers with a moving average of the weights put it into the model."""
    if isinstance(model.optimizer, keras.optimizers.Optimizer) and epochs > 0:
        model.optimizer.finalize_variable_values(model.trainable_weights)


def own_fit(model: keras.Model) -> Callable[..., Any]:
    """Keras's own training of this model."""
    return model.fit


def programs(model: keras.Model) -> dict[Any, Any]:
    """The programs made for this model since it was compiled: another `compile` begins with none."""
    return vars(model._loss_tracker).setdefault("_goodfit_programs", {})


def forget_programs(model: keras.Model) -> None:
    """Have a model's training compiled anew, by goodfit and by Keras: something that was traced into it has changed."""
    if model.compiled:
        programs(model).clear()
        model.train_function = None


def trainable_since_compile(model: keras.Model) -> list[str]:
    """The names of layers with weights that were frozen or unfrozen since the model was compiled."""
    then = getattr(model, "_compiled_trainable_state", {})
    optimizer = model.optimizer if model.compiled else None
    if optimizer is None or not getattr(optimizer, "built", False):
        return []  # the optimizer is yet to learn what it trains
    known = {id(variable) for variable in optimizer._trainable_variables}
    if known == {id(variable) for variable in model.trainable_variables}:
        return []
    return [layer.name for layer, trainable in then.items() if layer.trainable != trainable and layer.weights]


def own_training(model: keras.Model) -> str:
    """The first method by which a model trains or evaluates in a way of its own; `""` if it has none."""
    names = (*_REPLACED[:5], "train_step", "test_step")
    own = [name for name in names if getattr(type(model), name, None) is not getattr(keras.Model, name, None)]
    return next(iter(own), "")


def numpy_arrays(structure: Any) -> Any:
    """The same structure with every array as NumPy's, converted as Keras converts its batches."""
    from keras.src import tree
    from keras.src.trainers.data_adapters.array_slicing import convert_to_sliceable

    if structure is None:
        return None
    sliceables = convert_to_sliceable(structure, target_backend="numpy")
    return tree.map_structure(lambda s: np.asarray(s.convert_to_numpy(s[:])), sliceables, none_is_leaf=False)


def head(structure: Any, count: int) -> Any:
    """The first rows of each array in a structure."""
    return keras.tree.map_structure(lambda array: None if array is None else array[:count], structure)


def all_layers(model: keras.Model) -> list[Any]:
    """A model's layers, nested ones too, the model itself first."""
    return list(model._flatten_layers())


def settle(model: Any) -> None:
    """After values were assigned to a model's variables: an adapted Normalization computes with copies of its mean and
    variance, which neither `assign` nor `set_weights` renews."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def compile_arguments(model: keras.Model) -> list[Any]:
    """What the model was compiled with, each loss, metric and setting by itself."""
    from keras.src import tree

    return tree.flatten(compiled_with(model))


def functional(model: keras.Model) -> Any:
    """A model's graph of layers: itself where it is Functional, that of a built Sequential one; `None` without one."""
    from keras.src.models.functional import Functional

    if isinstance(model, keras.Sequential):
        return getattr(model, "_functional", None)
    return model if isinstance(model, Functional) and type(model).call is Functional.call else None


def recorded_by_keras(kind: type) -> bool:
    """Whether a class's `get_config` is Keras's own, which returns what `__init__` was given."""
    from keras.src.models.functional import Functional, functional_like_constructor

    if kind.__module__.startswith("keras."):
        return False
    if getattr(kind, "get_config", None) is Functional.get_config:  # made by an `__init__` of its own
        return not functional_like_constructor(kind)
    return bool(getattr(getattr(kind, "get_config", None), "_is_default", False))


def builds_in_call(kind: type) -> bool:
    """Whether a layer's class has no `build` of its own."""
    return bool(getattr(getattr(kind, "build", None), "_is_default", False))


def listed_layers(model: keras.Model) -> list[Any]:
    """The layers and operations of a Sequential or Functional model, as they stand in its configuration."""
    return list(model._layers if isinstance(model, keras.Sequential) else getattr(model, "operations", ()))


def unrecorded_arguments(layer: Any) -> list[str]:
    """The arguments of a layer's `__init__`, where they are not in its configuration: of a subclassed model.

    Keras's `Model.__new__` does not pass them on to what records them: their defaults would stand for them.
    """
    if not isinstance(layer, keras.Model) or not recorded_by_keras(type(layer)):
        return []
    usual = ("self", "name", "trainable", "dtype")
    taken = list(inspect.signature(type(layer).__init__).parameters.values())
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [one.name for one in taken[1:] if one.name not in usual and one.kind not in kinds]


def takes(model: keras.Model, shape: tuple[int, ...]) -> bool:
    """Whether a model can be called on rows of that shape."""
    from keras.src.backend import compute_output_spec

    try:
        compute_output_spec(model, keras.KerasTensor((1, *shape), model.inputs[0].dtype))
    except Exception:  # whatever the layers raise
        return False
    return True


def graph_nodes(graph: Any) -> list[Any]:
    """The calls in a Functional model's graph, from its inputs to its outputs, each after those it is computed from."""
    depths = graph._nodes_by_depth
    return [node for depth in sorted(depths, reverse=True) for node in depths[depth]]


def called_on(graph: Any, inputs: Any, replace: Callable[[Any], Any]) -> Any:
    """A Functional model's output on other symbolic inputs, each layer exchanged by `replace`, once where it is shared.

    Calls keep their other arguments (`training=False`); all of them stand in one flat graph.
    """
    made: dict[int, Any] = {}

    def replaced(operation: Any) -> Any:
        if id(operation) not in made:
            made[id(operation)] = replace(operation)
        return made[id(operation)]

    return graph._run_through_graph(inputs, operation_fn=replaced)


def draws_at_random(layer: Any) -> bool:
    """Whether a layer, or one within it, has a stream of random numbers."""
    return any(getattr(part, "_seed_generators", None) for part in layer._flatten_layers())


def compiled_with(model: keras.Model) -> dict[str, Any]:
    """The arguments that the model was compiled with, by name."""
    config = getattr(model, "_compile_config", None)
    return {} if config is None else dict(config.config)
