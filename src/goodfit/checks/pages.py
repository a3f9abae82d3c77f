"""A page per finding, written from its check's docstring: `python -m goodfit.checks.pages docs/findings`.

A check's docstring is one line of what is wrong, and then paragraphs that begin with `Detected:`, `Why it matters:`,
`What to try:`, `False alarms:` and, where there is one, `Source:`. Constants in backticks are those of `thresholds`;
the page gives their values, meaning and source.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import get_args

from goodfit.checks import thresholds
from goodfit.checks.case import Check
from goodfit.checks.diagnosis import all_checks
from goodfit.errors import InputError
from goodfit.values import Verdict

SECTIONS = {
    "Detected": "How it is detected",
    "Why it matters": "Why it matters",
    "What to try": "What to try",
    "False alarms": "False alarms",
    "Source": "Source",
}
"""How a paragraph of the docstring begins -> the heading that it gets."""
OPTIONAL = ("Source",)
VERDICTS = {
    "balanced": (
        "A verdict, not a finding: nothing was found that another learning rate, more epochs, stopping at the best "
        "epoch, another width, dropout or a penalty would mend, as far as what was read can tell. The published error "
        "rates (docs/faults.md) say how often that is right, from curves alone and with everything measured."
    ),
    "insufficient-evidence": (
        "A verdict, not a finding: what was logged can't tell how the network fits. The message says what is missing, "
        "and the cheapest measurement that would settle it."
    ),
}
"""Verdicts that are no findings, and what they mean."""


def page(check: Check) -> str:
    """The page of one finding, as Markdown.

    Args:
        check: whose finding it is.

    Example:
        >>> from goodfit.checks import all_checks
        >>> (unstable,) = (check for check in all_checks() if check.slug == "unstable")
        >>> print(page(unstable).splitlines()[0])
        # unstable
    """
    summary, sections = parse(check)
    lines = [f"# {check.slug}", "", summary, ""]
    if check.slug in get_args(Verdict):
        lines += ["It is a verdict as well as a finding.", ""]
    used: list[str] = []
    for heading, text in sections.items():
        lines += [f"## {SECTIONS[heading]}", ""]
        for paragraph in text:
            used += [name for name in dict.fromkeys(_names(paragraph)) if name not in used]
            lines += [_with_values(paragraph), ""]
        if heading == "Detected" and used:
            lines += _table(used)
        if heading == "Detected" and check.explains:
            symptoms = ", ".join(f"[{slug}]({slug}.md)" for slug in check.explains if slug != check.slug)
            lines += [f"Where one of these is found beside it, this is put first, as its root: {symptoms}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def index() -> str:
    """The list of all pages, as Markdown, by the module that the checks stand in."""
    lines = [
        "# Findings",
        "",
        "One page for each finding: how it is detected, with the constants that it uses, why it matters, what to try,",
        "and when it may be a false alarm. In a terminal, `goodfit explain SLUG` prints the page. Written from the",
        "checks' docstrings by `python -m goodfit.checks.pages docs/findings`.",
        "",
    ]
    family = ""
    for check in sorted(all_checks(), key=_place):
        module = sys.modules[check.function.__module__]
        about = (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")
        if about != family:
            family = about
            lines += ["", f"## {_first_sentence(about)}", ""]
        lines.append(f"- [{check.slug}]({check.slug}.md): {parse(check)[0]}")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def write(folder: Path) -> list[Path]:
    """Write all pages and their index, and remove pages of findings that are no more.

    Args:
        folder: where to; made if it is not there.

    Returns:
        the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"README.md": index(), **{f"{check.slug}.md": page(check) for check in all_checks()}}
    for old in folder.glob("*.md"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def explain(slug: str) -> str:
    """The page of a finding, or of a verdict that is none, by its name.

    Args:
        slug: the finding's.

    Raises:
        InputError: no finding is called that.
    """
    import difflib

    checks = {check.slug: check for check in all_checks()}
    if slug in VERDICTS:
        return f"# {slug}\n\n{VERDICTS[slug]}\n"
    if slug not in checks:
        near = difflib.get_close_matches(slug, checks, n=1)
        raise InputError(
            f"no finding is called {slug!r}.",
            f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(sorted(checks))}.",
        )
    return page(checks[slug])


def wrapped(markdown: str, width: int = 80) -> str:
    """A page for a terminal: lines of bounded width, links as their text, the table of constants as a list.

    Args:
        markdown: a page.
        width: of the lines, in characters.

    Example:
        >>> print(wrapped("## What to try\\n\\nAn easier [one](one.md)."), end="")
        What to try
        -----------
        <BLANKLINE>
        An easier one.
    """
    lines = []
    for line in re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", markdown).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
            lines += [heading, ("=" if line.startswith("# ") else "-") * len(heading)]
        elif line.startswith("| `"):
            name, value, about = (cell.strip() for cell in line.strip("|").split("|"))
            text = f"{name.strip('`')} = {value}: {about}"
            lines += textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="      ")
        elif not line.startswith("|"):
            lines += textwrap.wrap(line, width) or [""]
    return "\n".join(lines).replace("`", "") + "\n"


def parse(check: Check) -> tuple[str, dict[str, list[str]]]:
    """A check's docstring: its first line, and the paragraphs under each label.

    Raises:
        ValueError: a paragraph stands before the first label, or a label that every check has is missing.
    """
    doc = inspect.getdoc(check.function) or ""
    summary, _, rest = doc.partition("\n\n")
    labelled = re.sub(rf"\n(?=(?:{'|'.join(SECTIONS)})(?: of [^:\n]+)?:)", "\n\n", rest)
    sections: dict[str, list[str]] = {}
    current = ""
    for paragraph in filter(None, (" ".join(part.split()) for part in labelled.split("\n\n"))):
        label = re.match(rf"({'|'.join(SECTIONS)})( of [^:]+)?: *", paragraph)
        if label:
            current = label[1]
            rest_of_it = paragraph[label.end() :]
            paragraph = f"{label[2].strip().capitalize()}: {rest_of_it}" if label[2] else rest_of_it
        elif not current:
            raise ValueError(f"the docstring of {check.slug} begins with no label: {paragraph[:60]!r}")
        sections.setdefault(current, []).append(paragraph[0].upper() + paragraph[1:])
    missing = [label for label in SECTIONS if label not in sections and label not in OPTIONAL]
    if missing or not summary:
        raise ValueError(f"the docstring of {check.slug} lacks {', '.join(missing) or 'a first line'}")
    return " ".join(summary.split()), {label: sections[label] for label in SECTIONS if label in sections}


@cache
def constants() -> dict[str, tuple[float, str]]:
    """Every constant of `thresholds`: its value, and what is written below it."""
    tree = ast.parse(inspect.getsource(thresholds))
    found = {}
    for statement, after in zip(tree.body, tree.body[1:]):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(after, ast.Expr)
            assert isinstance(after.value, ast.Constant)
            about = " ".join(str(after.value.value).split())
            found[statement.target.id] = (getattr(thresholds, statement.target.id), about)
    return found


def _place(check: Check) -> tuple[str, int]:
    return check.function.__module__, check.function.__code__.co_firstlineno


def _names(text: str) -> list[str]:
    return [name for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", text) if name in constants()]


def _with_values(text: str) -> str:
    for name in dict.fromkeys(_names(text)):
        text = text.replace(f"`{name}`", f"`{name}` ({_number(constants()[name][0])})", 1)
    return text


def _table(names: list[str]) -> list[str]:
    lines = ["| constant | value | what it is, and its source |", "|---|---|---|"]
    for name in names:
        value, about = constants()[name]
        lines.append(f"| `{name}` | {_number(value)} | {about.replace('|', '/')} |")
    return [*lines, ""]


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[^.])[.:](?:\s|$)", text)[0]


if __name__ == "__main__":
    for file in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/findings")):
        print(file)
