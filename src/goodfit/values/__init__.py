"""The values that flow through goodfit: frozen, plain data, with no JAX, Keras or pandas inside."""

from goodfit.values.change import Change
from goodfit.values.dataset import Column, ColumnKind, Dataset, Task
from goodfit.values.finding import Diagnosis, Evidence, Finding, Severity, Status, Verdict
from goodfit.values.progress import Progress, Report, silent
from goodfit.values.recipe import EarlyStopping, Plateau, Recipe
from goodfit.values.run import Outcome, Run
from goodfit.values.stage import Stage
from goodfit.values.study import Comparison, Score, Study, Trial

__all__ = [
    "Change",
    "Column",
    "ColumnKind",
    "Comparison",
    "Dataset",
    "Diagnosis",
    "EarlyStopping",
    "Evidence",
    "Finding",
    "Outcome",
    "Plateau",
    "Progress",
    "Recipe",
    "Report",
    "Run",
    "Score",
    "Severity",
    "Stage",
    "Status",
    "Study",
    "Task",
    "Trial",
    "Verdict",
    "silent",
]
