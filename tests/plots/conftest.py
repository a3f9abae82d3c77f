"""The same studies as the reports are tested with."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("report_studies", Path(__file__).parents[1] / "report" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_studies = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_studies)
mpg_study, digits_study = _studies.mpg_study, _studies.digits_study
