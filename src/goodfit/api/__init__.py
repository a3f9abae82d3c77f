"""The verbs: what goodfit does, each from start to end. The only place that joins the packages."""

from goodfit.api.fitting import FitResult, fit
from goodfit.api.improving import ModelStudy, improve
from goodfit.api.job import predict, train
from goodfit.api.reading import diagnose, load, read
from goodfit.api.techniques import plot_schedule
from goodfit.api.trying import try_existing

__all__ = [
    "FitResult",
    "ModelStudy",
    "diagnose",
    "fit",
    "improve",
    "load",
    "plot_schedule",
    "predict",
    "read",
    "train",
    "try_existing",
]
