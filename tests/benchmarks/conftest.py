"""The comparison with other tools is a script beside the package: its modules are imported from its folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "rivals"))
