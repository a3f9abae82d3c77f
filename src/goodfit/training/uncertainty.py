"""Monte-Carlo dropout: how far the predictions of a network spread while its dropout stays on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from goodfit.arguments import whole
from goodfit.errors import InputError
from goodfit.training import keras_internals, own_classes
from goodfit.training.layers import MonteCarlo
from goodfit.training.persistent_cache import persistent_cache
from goodfit.training.preflight import check_model, check_rows
from goodfit.training.recipes import seeded, serialize

DROPOUTS = ("Dropout", "AlphaDropout", "GaussianDropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
"""Layers whose randomness makes the samples."""
RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
"""Layers that may hold dropout of their own: one mask for all steps of a sequence, as in Gal and Ghahramani (2016b), "A
theoretically grounded application of dropout in recurrent neural networks"."""
SAMPLES = 100
"""Samples where no number is asked for. The standard deviation of a standard deviation of n samples is about
1 / √(2n) of it: 7 %."""
SLACK = 1e-3
"""By how much a probability may be rounded out of [0, 1]."""
BLOCK_ROWS = 1024
"""Rows per dispatch."""


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Predictions of many thinned networks.

    Args:
        mean: shape (rows, outputs): the mean of the samples, the prediction.
        sd: shape (rows, outputs): their standard deviation, in the unit of the outputs. It is the model's uncertainty
            alone: of a regression, the noise of the target comes on top.
        samples: shape (samples, rows, outputs).
    """

    mean: np.ndarray
    sd: np.ndarray
    samples: np.ndarray

    @property
    def entropy(self) -> np.ndarray:
        """Of class probabilities: the predictive entropy of the mean, in nats, shape (rows,); 0 is certain.

        One column is the probability of the second of two classes. Source: Gal (2016), "Uncertainty in deep learning",
        eq. 3.20.

        Raises:
            InputError: the outputs are no probabilities.
        """
        if self.mean.size and (self.mean.min() < -SLACK or self.mean.max() > 1 + SLACK):
            raise InputError(
                f"the outputs go from {self.mean.min():.3g} to {self.mean.max():.3g}: they are no probabilities.",
                "Of quantities sd is the uncertainty; of logits give the network its softmax or sigmoid.",
            )
        p = self.mean if self.mean.shape[1] > 1 else np.concatenate([1 - self.mean, self.mean], axis=1)
        return -np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-30)), 0.0), axis=1)

    def interval(self, level: float = 0.9, noise_sd: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the central interval of a normal predictive distribution, each of shape (rows, outputs).

        Its variance is that of the samples plus `noise_sd`². Source: Gal and Ghahramani (2016), section 4, the
        predictive variance τ⁻¹ + Var[ŷ].

        Args:
            level: nominal coverage, in (0, 1).
            noise_sd: standard deviation of the target's noise (that of the residuals on rows not trained on).
        """
        from scipy.special import ndtri

        if not 0 < level < 1:
            raise InputError(f"level is {level:g}.", "Give a coverage between 0 and 1, such as 0.9.")
        half = float(ndtri(0.5 + level / 2)) * np.sqrt(self.sd**2 + noise_sd**2)
        return self.mean - half, self.mean + half


def with_dropout_on(model: keras.Model, seed: int = 0) -> keras.Model:
    """A twin of a model with the same weights whose dropout stays on at inference; all else is in inference mode.

    Batch normalization uses its moving statistics, noise layers and random slopes are off: only dropout draws.

    Args:
        model: Sequential or functional, built.
        seed: of the twin's random streams.

    Raises:
        InputError: the model has no dropout, or can't be rebuilt from its configuration.
    """
    if any(isinstance(part, MonteCarlo) for part in model._flatten_layers(include_self=False)):
        return model
    try:
        plain, known = seeded(serialize(model), seed), own_classes.known_to(model)
        config = _switched_on(plain)
        if config == plain:
            raise InputError(
                f"the model {model.name!r} has no dropout layer, so its predictions don't spread.",
                "Train it with dropout (keras.layers.Dropout), or train several seeds and compare them.",
            )
        twin: Any = keras.saving.deserialize_keras_object(config, custom_objects=known)
        twin.set_weights(model.get_weights())
        keras_internals.settle(twin)
    except InputError:
        raise
    except Exception as problem:
        raise InputError(
            f"the model {model.name!r} can't be rebuilt from its configuration ({str(problem).splitlines()[0][:120]}).",
            "Put goodfit.layers.MonteCarlo around its dropout layers instead.",
        ) from problem
    return twin


def uncertainty(model: keras.Model, x: Any, *, samples: int = SAMPLES, seed: int = 0) -> Uncertainty:
    """What a network predicts, and how uncertain it is, from Monte-Carlo dropout.

    Each sample keeps dropout on as in training, with everything else (batch normalization too) in inference mode; all
    are drawn in one compiled program. The model is left as it is. Source: Gal and Ghahramani (2016), "Dropout as a
    Bayesian approximation", eq. 6 (mean) and section 4 (variance).

    Args:
        model: built, with one input and one output, and dropout in it.
        x: inputs, shape (rows, …).
        samples: thinned networks to draw, 2 at least.
        seed: of the draws: the same seed gives the same samples.

    Returns:
        mean, standard deviation and samples.

    Raises:
        InputError: fewer than 2 samples, rows that the model can't take, no dropout, or a model that can't be rebuilt
            from its configuration.

    Example:
        >>> layers = [keras.Input((3,)), keras.layers.Dense(16), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        >>> found = uncertainty(keras.Sequential(layers), np.ones((5, 3)), samples=20)
        >>> found.mean.shape, found.samples.shape, bool((found.sd > 0).all())
        ((5, 1), (20, 5, 1), True)
    """
    samples = whole("samples", samples, 2, remedy="Draw 2 at least; 100 are usual.")
    check_model(model)
    check_rows(model, x)
    return sampler(model, samples)(x, seed=whole("seed", seed, 0))


def sampler(model: keras.Model, samples: int = SAMPLES) -> Callable[..., Uncertainty]:
    """What `uncertainty` of a model does, for many weights of it, compiled once.

    Args:
        model: built, with one input and one output, and dropout in it.
        samples: thinned networks to draw.

    Returns:
        a function `(x, weights=None, seed=0)` that takes inputs, weights in the order of `model.weights` (the model's
        own where `None`) and a seed, and gives the uncertainty.

    Raises:
        InputError: no dropout, or a model that can't be rebuilt from its configuration.
    """
    with _unnoticed():
        twin = with_dropout_on(model)
    variables = twin.non_trainable_variables
    streams = [place for place, v in enumerate(variables) if "seed_generator" in v.path]
    if not streams:
        raise InputError(f"the dropout of the model {model.name!r} draws from no seed of its own.", "Give it one.")
    order = {id(v): place for place, v in enumerate(twin.weights)}

    def draw(values: Any, block: Any, key: Any) -> Any:
        held = [values[order[id(v)]] if id(v) in order else v.value for v in variables]
        for place, fresh in zip(streams, jax.random.split(key, len(streams)), strict=True):
            held[place] = jax.random.bits(fresh, variables[place].shape, "uint32").astype(variables[place].dtype)
        trainable = [values[order[id(v)]] for v in twin.trainable_variables]
        return twin.stateless_call(trainable, held, block, training=False)[0]

    run = jax.jit(lambda values, block, keys: jax.lax.map(lambda key: draw(values, block, key), keys))

    def sampled(x: Any, weights: Sequence[Any] | None = None, seed: int = 0) -> Uncertainty:
        held = [jnp.asarray(w) for w in (model.get_weights() if weights is None else weights)]
        array, parts = np.asarray(x), []
        size = min(BLOCK_ROWS, max(len(array), 1))
        with _unnoticed(), persistent_cache():
            for number, start in enumerate(range(0, len(array), size)):
                block = array[start : start + size]
                padded = np.concatenate([block, np.repeat(block[:1], size - len(block), axis=0)])
                keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), number), samples)
                drawn = np.asarray(run(held, jnp.asarray(padded), keys), dtype=np.float64)
                parts.append(drawn.reshape(samples, size, -1)[:, : len(block)])
        values = np.concatenate(parts, axis=1) if parts else np.zeros((samples, 0, 1))
        return Uncertainty(values.mean(axis=0), values.std(axis=0, ddof=1), values)

    return sampled


@contextmanager
def _unnoticed() -> Iterator[None]:
    """Put back the global random states and Keras's counters of names, which building a twin may move."""
    numpy_state, python_state, session = np.random.get_state(), random.getstate(), keras_internals.session_state()
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        keras_internals.restore_session(session)


def _switched_on(part: Any) -> Any:
    """A configuration with every dropout wrapped in a `MonteCarlo` of the same name."""
    if isinstance(part, (list, tuple)):
        return [_switched_on(item) for item in part]
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("config"), dict) and _drops(part):
        outer = {key: value for key, value in part.items() if key in ("name", "inbound_nodes")}
        inner = {key: value for key, value in part.items() if key not in ("name", "inbound_nodes", "build_config")}
        return {
            **outer,
            "module": "goodfit.training.layers",
            "class_name": "MonteCarlo",
            "registered_name": "goodfit>MonteCarlo",
            "config": {
                "name": part["config"]["name"],
                "trainable": True,
                "dtype": part["config"].get("dtype"),
                "layer": inner,
            },
        }
    return {key: _switched_on(value) for key, value in part.items()}


def _drops(part: Any) -> bool:
    """Whether a layer's configuration is that of a dropout, or of a recurrent layer with dropout of its own."""
    if not isinstance(part, dict) or not isinstance(config := part.get("config"), dict):
        return False
    if part.get("class_name") in DROPOUTS:
        return config.get("rate", 0) > 0
    if part.get("class_name") not in RECURRENT and not str(part.get("class_name")).endswith("Cell"):
        return False
    inner = [config.get("cell"), config.get("layer"), config.get("backward_layer")]
    if isinstance(stacked := (config.get("cell") or {}).get("config", {}).get("cells"), list):
        inner += stacked
    return any(config.get(rate, 0) for rate in ("dropout", "recurrent_dropout")) or any(map(_drops, inner))
