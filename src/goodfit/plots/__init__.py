"""Chart data, and the matplotlib figures drawn from it. Importing this package does not import matplotlib."""

from goodfit.plots.data import Curve, CurveChart, KeptPoint, SeedLine, curve_chart, metric_label, quantities
from goodfit.plots.figures import confusion, curves, predictions
from goodfit.plots.outcome import (
    ConfusionChart,
    PredictionChart,
    ScoreTable,
    confusion_chart,
    prediction_chart,
    score_tables,
    target_name,
)
from goodfit.plots.signals import signals

__all__ = [
    "ConfusionChart",
    "Curve",
    "CurveChart",
    "KeptPoint",
    "PredictionChart",
    "ScoreTable",
    "SeedLine",
    "confusion",
    "confusion_chart",
    "curve_chart",
    "curves",
    "metric_label",
    "prediction_chart",
    "predictions",
    "quantities",
    "score_tables",
    "signals",
    "target_name",
]
