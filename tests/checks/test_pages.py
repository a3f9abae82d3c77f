"""The pages of the findings: one for each, whole, and as committed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from goodfit.checks import all_checks, pages, thresholds
from goodfit.errors import InputError

DOCS = Path(__file__).parents[2] / "docs" / "findings"
CHECKS = {check.slug: check for check in all_checks()}


@pytest.mark.parametrize("slug", CHECKS)
def test_every_check_has_every_section(slug: str) -> None:
    summary, sections = pages.parse(CHECKS[slug])
    assert summary.endswith(".")
    assert {label for label in pages.SECTIONS if label not in pages.OPTIONAL} <= set(sections)
    for text in sections.values():
        assert all(paragraph.strip() for paragraph in text)


@pytest.mark.parametrize("slug", CHECKS)
def test_every_constant_that_is_named_exists_and_stands_with_its_value(slug: str) -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", CHECKS[slug].function.__doc__ or ""))
    shown = pages.page(CHECKS[slug])
    for name in named:
        assert f"`{name}` ({getattr(thresholds, name):g})" in shown
        assert f"| `{name}` | {getattr(thresholds, name):g} | " in shown


def test_every_constant_has_its_meaning() -> None:
    public = {name for name in vars(thresholds) if name.isupper()}
    assert set(pages.constants()) == public
    assert all(len(about) > 20 for _, about in pages.constants().values())


def test_the_committed_pages_are_up_to_date(tmp_path: Path) -> None:
    written = {file.name: file.read_text() for file in pages.write(tmp_path)}
    committed = {file.name: file.read_text() for file in DOCS.glob("*.md")}
    assert written == committed, "run python -m goodfit.checks.pages docs/findings"


def test_links_lead_somewhere() -> None:
    for file in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)]+)\)", file.read_text()):
            assert (DOCS / target).is_file(), f"{target} in {file.name}"


def test_pages_of_findings_that_are_no_more_are_removed(tmp_path: Path) -> None:
    (tmp_path / "gone.md").write_text("old")
    pages.write(tmp_path)
    assert not (tmp_path / "gone.md").exists()


def test_the_command_writes_them(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "goodfit.checks.pages", str(tmp_path)], check=True, capture_output=True)
    assert (tmp_path / "README.md").read_text() == pages.index()


def test_a_docstring_without_a_section_is_refused() -> None:
    from goodfit.checks import check

    @check("bare")
    def bare(case):
        """Something is wrong.

        Detected: somehow.
        """

    with pytest.raises(ValueError, match="bare lacks Why it matters, What to try, False alarms"):
        pages.page(bare)

    @check("odd")
    def odd(case):
        """Something is wrong.

        No label here.
        """

    with pytest.raises(ValueError, match="odd begins with no label"):
        pages.page(odd)


def test_an_unknown_finding_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'overfitting'"):
        pages.explain("overfiting")
    with pytest.raises(InputError, match="There are "):
        pages.explain("zzz")


def test_a_page_in_the_terminal() -> None:
    text = pages.wrapped(pages.explain("underfitting"))
    assert text.startswith("underfitting\n============\n")
    assert max(map(len, text.splitlines())) <= 80
    assert "POOR_FIT = 0.8: " in text
    assert "`" not in text


@pytest.mark.parametrize("slug", CHECKS)
def test_every_constant_is_told_once(slug: str) -> None:
    told = re.findall(r"^\| `([A-Z0-9_]+)` \|", pages.page(CHECKS[slug]), re.MULTILINE)
    assert len(told) == len(set(told))
