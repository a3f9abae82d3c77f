"""Log files of any tool, read as `Run`s.

A format is a function decorated with `log_format` in any module of this package: `(source: Source) -> tuple[Log,
...]`. The modules are discovered, so that a new format is one file and its test.
"""

from goodfit.logs.formats import Log, log_format
from goodfit.logs.reading import read
from goodfit.logs.source import Source

__all__ = ["Log", "Source", "log_format", "read"]
