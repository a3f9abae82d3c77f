"""One change at a time, proven on paired seeds: which changes to try, how two arms are compared, and the search.

Nothing here trains: `search` is given what trains, applies a change and diagnoses, and is tested with fakes.
"""

from goodfit.improvement.budget import Budget
from goodfit.improvement.compare import Arm, Design, compare, holm
from goodfit.improvement.ladder import Ladder
from goodfit.improvement.propose import propose
from goodfit.improvement.search import search
from goodfit.improvement.trials import Trials

__all__ = ["Arm", "Budget", "Design", "Ladder", "Trials", "compare", "holm", "propose", "search"]
