"""What a `Run` says: checks, one finding each, and the one verdict.

A check is a function decorated with `check("slug")` in any module of this package: `(case: Case) -> Finding`. The
modules are discovered, so that a new check is one function and its test.
"""

from goodfit.checks.case import Case, Check, check
from goodfit.checks.diagnosis import all_checks, diagnose

__all__ = ["Case", "Check", "all_checks", "check", "diagnose"]
