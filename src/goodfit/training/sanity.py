"""Sanity before the long training: can the network learn a small sample by heart?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from goodfit.training import population
from goodfit.values import Dataset, Recipe

SAMPLE_ROWS = 32
"""Rows of the sample: one batch, as is customary for this check."""
SAMPLE_STEPS = 600
"""Full-batch steps: at Adam's default rate a network of 64-64 units brings 32 rows to 1 % of chance in about 300."""
IMAGE_STEPS = 100
"""The same of images, whose steps cost far more: a convolutional network is then well below chance, which suffices."""
SAMPLE_SEEDS = 2
CANDIDATES = 2_000
"""Training rows that the sample is picked from, rows that stand twice left out."""


def overfit_small_sample(recipe: Recipe, dataset: Dataset, seeds: tuple[int, ...]) -> float:
    """The loss the network reaches on a small sample of the training rows that it trains on alone.

    A network that can't learn a few rows by heart is too small, badly initialized, or its targets contradict one
    another; no regularization or further data will help. Penalties and dropout are left out, for they exist to
    prevent just this.

    Args:
        recipe: of the network; its early stopping, schedule and regularization are left out.
        dataset: the sample is drawn from its training rows, without rows that stand twice.
        seeds: of the members; the first two are tried.

    Returns:
        the lowest training loss reached, in inference mode, median over the members; in the loss's own unit.
    """
    draw = np.random.default_rng([recipe.seed, 0])
    index = draw.permutation(dataset.train)[:CANDIDATES]
    _, first = np.unique(dataset.x[index], axis=0, return_index=True)
    index = index[np.sort(first)][:SAMPLE_ROWS]
    x, y = dataset.x[index], dataset.y[index]
    bare = dataclasses.replace(
        recipe,
        model=unregularized(recipe.model),
        early_stopping=None,
        plateau=None,
        schedule=None,
        batch_size=len(index),
        epochs=SAMPLE_STEPS if dataset.x.ndim == 2 else IMAGE_STEPS,
    )
    result = population.train(bare, x, y, (x, y), seeds[:SAMPLE_SEEDS], threads=1, stage="sanity")
    return float(np.median(np.nanmin(result.run.curves["val_loss"], axis=1)))


def unregularized(config: Any) -> Any:
    """A Keras configuration without its penalties, and with every dropout rate and noise at 0."""
    if isinstance(config, (list, tuple)):
        return [unregularized(item) for item in config]
    if not isinstance(config, dict):
        return config
    random_layer = config.get("class_name") in RANDOM_LAYERS
    fresh = {}
    for key, value in config.items():
        if key.endswith("_regularizer"):
            fresh[key] = None
        elif key == "config" and random_layer:
            fresh[key] = {k: 0.0 if k in ("rate", "stddev") else v for k, v in value.items()}
        else:
            fresh[key] = unregularized(value)
    return fresh


RANDOM_LAYERS = frozenset(
    {
        "Dropout",
        "AlphaDropout",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "GaussianDropout",
        "GaussianNoise",
        "RandomShift",
    }
)
"""Keras's layers that are random in training only and do nothing at a rate or deviation of 0."""
