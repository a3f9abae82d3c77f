"""The verbs: what goodfit does, each from start to end. The only place that joins the packages."""

from goodfit.api.fitting import FitResult, fit
from goodfit.api.reading import diagnose, load, read
from goodfit.api.table_job import predict, train

__all__ = ["FitResult", "diagnose", "fit", "load", "predict", "read", "train"]
