"""A file or data frame -> a `Dataset`: read, inspect, split, prepare; baselines and scores beside it."""

from goodfit.tables.baselines import baseline_losses, baselines
from goodfit.tables.inspect import Inspection, inspect
from goodfit.tables.prepare import Preparation, prepare
from goodfit.tables.read import Table, read
from goodfit.tables.score import loss, score
from goodfit.tables.split import Split, split

__all__ = [
    "Inspection",
    "Preparation",
    "Split",
    "Table",
    "baseline_losses",
    "baselines",
    "inspect",
    "loss",
    "prepare",
    "read",
    "score",
    "split",
]
