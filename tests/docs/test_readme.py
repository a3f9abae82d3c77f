"""The Python code in README runs as it stands, block after block."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_code_in_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    study, run, diagnosis = names["study"], names["run"], names["diagnosis"]
    assert study.test[0].metric == "mae"
    assert run.engine == "compiled"
    assert diagnosis.verdict


def test_every_command_in_the_readme_is_known() -> None:
    from typer.main import get_command

    from goodfit.cli.app import app

    known = set(get_command(app).commands)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```\n(.*?)```", text, re.DOTALL))
    named = set(re.findall(r"(?m)^(?:pip install \. && )?goodfit (\w+)", blocks))
    assert named
    assert named <= known
