"""A `Run` or a `Study` as a report: on a terminal, as one HTML file, in a notebook, as JSON."""

from goodfit.report.cell import notebook
from goodfit.report.contract import diagnosis_json, study_json
from goodfit.report.page import html
from goodfit.report.screen import terminal

__all__ = ["diagnosis_json", "html", "notebook", "study_json", "terminal"]
