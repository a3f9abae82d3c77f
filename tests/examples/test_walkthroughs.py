"""The walk-throughs in examples/ run from top to bottom, and read as notebooks."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
WALKTHROUGHS = sorted(EXAMPLES.glob("*.py"), key=lambda path: path.name)


@pytest.fixture
def headless(monkeypatch):
    """Figures are drawn, and shown to nobody."""
    import matplotlib as mpl

    before = mpl.get_backend()
    mpl.use("Agg")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: None)
    monkeypatch.setitem(mpl.rcParams, "figure.max_open_warning", 0)
    yield
    pyplot.close("all")
    mpl.use(before)


def cells(path: Path) -> list[tuple[str, str]]:
    """Each cell's kind and text."""
    parts = re.split(r"(?m)^# %%( \[markdown\])?\n", path.read_text(encoding="utf-8"))
    assert parts[0] == ""
    return [("markdown" if kind else "code", text) for kind, text in zip(parts[1::2], parts[2::2], strict=True)]


def test_there_are_two():
    assert [path.name for path in WALKTHROUGHS] == ["training_deep_networks.py", "underfit_to_good_fit.py"]


@pytest.mark.parametrize("path", WALKTHROUGHS, ids=lambda path: path.stem)
def test_it_reads_as_a_notebook(path):
    found = cells(path)
    assert found[0][0] == "markdown"
    assert found[0][1].startswith("# # ")
    for kind, text in found:
        lines = text.strip().splitlines()
        assert lines
        if kind == "markdown":
            assert all(re.match(r"#( |$)", line) for line in lines)
        else:
            compile(text, path.name, "exec")
    code = "".join(text for kind, text in found if kind == "code")
    assert code.count("assert ") >= 10  # what is claimed is checked
    assert sum(kind == "markdown" for kind, _ in found) >= 10


@pytest.mark.slow
@pytest.mark.usefixtures("headless")
@pytest.mark.parametrize("path", WALKTHROUGHS, ids=lambda path: path.stem)
def test_it_runs(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert "verdict" in capsys.readouterr().out
