"""The report on a terminal: verdict, findings, scores, a small chart; plain where the output is plain."""

from __future__ import annotations

import itertools
import shlex
from typing import TYPE_CHECKING

from goodfit.plots import ScoreTable, curve_chart, score_tables
from goodfit.report import ladder, words
from goodfit.report.braille import draw
from goodfit.values import Diagnosis, Evidence, Finding, Run, Study

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

MOST_FINDINGS = 3
"""Findings told at length; the report tells all."""

_COLOURS = {"good": "green", "attention": "yellow", "bad": "red", "unknown": "cyan"}

_PLAIN = str.maketrans(
    {
        "–": "-",
        "−": "-",
        "—": "-",
        "→": "->",
        "·": "-",
        "…": "...",
        "²": "2",
        "×": "x",
        "±": "+/-",
        "∞": "inf",
        "≥": ">=",
        "≤": "<=",
        "’": "'",
        "“": '"',
        "”": '"',
        "✓": "+",
        "✕": "x",
    }
)


def terminal(
    study_or_run: Study | Run,
    console: Console | None = None,
    diagnosis: Diagnosis | None = None,
    chart: bool | None = None,
    report: str | None = None,
) -> None:
    """Print verdict, reason, the most important findings, a score table, where the report is, and the next command.

    Args:
        study_or_run: what is reported.
        console: where to; standard output by default. Colours, width and characters are what it can show.
        diagnosis: what the curves say; a study's own by default.
        chart: draw the loss curves; by default for a run, not for a study (whose report shows them).
        report: where the HTML report lies, where there is one.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    study = study_or_run if isinstance(study_or_run, Study) else None
    diagnosis = diagnosis or (study.diagnosis if study else None)
    if diagnosis:
        _verdict(console, diagnosis)
    if chart if chart is not None else study is None:
        _chart(console, words.run_of(study_or_run))
    if diagnosis:
        for finding in diagnosis.found[:MOST_FINDINGS]:
            _finding(console, finding)
        more = len(diagnosis.found) - MOST_FINDINGS
        if more > 0:
            _print(console, Text(f"and {words.count(more, 'more finding')}\n", "dim"))
        if diagnosis.found:
            command = f"goodfit explain {diagnosis.found[0].slug}"
            _print(console, Text.assemble(("more    ", "dim"), command, "\n" if study else ""))
    if study and ladder.searched(study):
        _ladder(console, study)
    if study:
        tables = score_tables(study)
        if tables:
            _scores(console, [table for table in tables if table.split == tables[0].split])
        if report:
            _print(console, Text.assemble(("report  ", "dim"), report), wrap=False)
        if study.folder:
            source = str(study.about.get("source") or "TABLE")
            source = {"DataFrame": "TABLE", "array": "IMAGES"}.get(source, source)
            command = f"goodfit predict {shlex.quote(study.folder)} {shlex.quote(source)} -o predictions.csv"
            _print(console, Text.assemble(("next    ", "dim"), command), wrap=False)
            if mending := _mending(study):
                _print(console, Text.assemble(("mend    ", "dim"), mending), wrap=False)


def _mending(study: Study) -> str:
    """The command that mends what is at fault; `""` where nothing is, or it was tried already."""
    if words.TONES[study.diagnosis.verdict] not in ("attention", "bad") or ladder.searched(study) or not study.folder:
        return ""
    about = study.about
    if about.get("source") not in ("DataFrame", "array") and {"train", "packed"} & set(
        study.run.provenance.get("split", {})
    ):
        return f"goodfit improve {shlex.quote(study.folder)}"
    return f"{about['command']} --improve --overwrite" if about.get("command") else ""


def _ladder(console: Console, study: Study) -> None:
    """What was tried, one change at a time."""
    from rich.text import Text

    first, *lines = ladder.ladder_text(study, max(console.width - 9, 60), brief=True).splitlines()
    _print(console, Text.assemble(("improve  ", "dim"), first), wrap=False)
    for line in lines:
        _print(console, Text(line, "bold green" if line.startswith("+ ") else ""), wrap=False)
    console.print()


def _evidence(evidence: Evidence) -> str:
    bound = words.threshold(evidence)
    return f"{evidence.name}: {words.measured(evidence.value, evidence.unit, 3)}" + (f" ({bound})" if bound else "")


def _verdict(console: Console, diagnosis: Diagnosis) -> None:
    from rich.text import Text

    colour = _COLOURS[words.TONES[diagnosis.verdict]]
    word = diagnosis.verdict.replace("-", " ")
    _print(console, Text.assemble(("verdict  ", "dim"), (word, f"bold {colour}")))
    _print(console, Text(diagnosis.reason + "\n"))


def _finding(console: Console, finding: Finding) -> None:
    from rich.text import Text

    colour = {"high": "red", "medium": "yellow"}.get(finding.severity, "cyan")
    _print(console, Text.assemble((finding.slug, f"bold {colour}"), (f"  {finding.severity}", "dim")))
    lines = [Text(finding.message)]
    lines += [Text(_evidence(evidence), "dim") for evidence in finding.evidence]
    lines += [
        Text.assemble(("try  " if place == 0 else "or   ", "green"), change.describe)
        for place, change in enumerate(finding.changes[:2])
    ]
    for text in lines:
        for line in _fitting(console, text).wrap(console, max(console.width - 2, 10)):
            line.rstrip()
            console.print(Text("  ") + line, highlight=False, soft_wrap=True)
    console.print()


def _scores(console: Console, tables: list[ScoreTable]) -> None:
    """All metrics side by side where there is room for them, one below the other where there is not."""
    from rich.text import Text

    rest, width = list(tables), console.width
    unbounded = console.options.update(width=10 * width)
    while rest:
        count = len(rest)
        while count > 1 and console.measure(_score_table(console, rest[:count]), options=unbounded).minimum > width:
            count -= 1
        console.print(_score_table(console, rest[:count]), highlight=False)
        rest = rest[count:]
        if rest:
            console.print()
    ways = [f"{table.metric}{f' in {table.unit}' if table.unit else ''}: {words.direction(table)}" for table in tables]
    many = any(len(table.scores) > 1 for table in tables)
    _print(console, Text(f"{'* best; ' * many}{', '.join(ways)}; in brackets the 95 % interval\n", "dim"))


def _score_table(console: Console, tables: list[ScoreTable]) -> Table:
    """Models by metrics; only the models' names may wrap."""
    from rich.table import Table
    from rich.text import Text

    models = list(dict.fromkeys(score.model for table in tables for score in table.scores))
    shown = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, collapse_padding=True, header_style="dim")
    shown.add_column(f"{tables[0].split} rows", min_width=min(8, max(map(len, models))), overflow="fold")
    rows = [[Text(model, "bold" if model == "network" else "")] for model in models]
    for table in tables:
        lines = {line.model: line for line in words.score_lines(table, to=", ")}
        values, intervals = [], []
        for model in models:
            line = lines.get(model)
            best = line is not None and line.best
            values.append(Text(line.value + ("*" if best else " ") if line else "", "bold green" if best else ""))
            intervals.append(Text(f"[{line.interval}]" if line and line.interval else "", "dim"))
        head = _fitting(console, Text(f"{table.metric} "))
        widest = max(len(head), *(len(value) for value in values))
        shown.add_column(head, justify="right", no_wrap=True, min_width=widest, overflow="crop")
        widest = max(len(bounds) for bounds in intervals)
        shown.add_column("", no_wrap=True, min_width=widest, overflow="crop")
        for row, value, bounds in zip(rows, values, intervals):
            row += [value, bounds]
    for row in rows:
        shown.add_row(*(_fitting(console, cell) for cell in row))
    return shown


def _chart(console: Console, run: Run) -> None:
    from rich.text import Text

    chart = curve_chart(run, "loss")
    if not chart.curves:
        return
    drawn = draw(
        chart,
        width=min(console.width - 1, 72),
        height=10,
        unicode=not _ascii(console),
        colour=console.color_system is not None,
    )
    for line in drawn:
        console.print(Text.assemble(*line), highlight=False, no_wrap=True, overflow="crop")
    console.print()


def _ascii(console: Console) -> bool:
    """Whether the output can't show more than ASCII."""
    return not console.encoding.lower().startswith("utf")


def _fitting(console: Console, text: Text) -> Text:
    """The text with every character that the output can't encode replaced."""
    try:
        text.plain.encode(console.encoding)
    except UnicodeEncodeError:
        from rich.text import Text

        fitted = Text()
        for part in _parts(text):
            plain = part.plain.translate(_PLAIN).encode(console.encoding, "replace").decode(console.encoding)
            fitted.append(plain, part.style or "")
        return fitted
    return text


def _parts(text: Text) -> list[Text]:
    """The differently styled stretches of a text."""
    from rich.text import Text

    ends = sorted({0, len(text), *(span.start for span in text.spans), *(span.end for span in text.spans)})
    parts = []
    for start, end in itertools.pairwise(ends):
        styles = [str(span.style) for span in text.spans if span.start <= start and end <= span.end]
        parts.append(Text(text.plain[start:end], style=" ".join([str(text.style), *styles]).strip()))
    return parts


def _print(console: Console, text: Text, wrap: bool = True) -> None:
    for line in _fitting(console, text).wrap(console, console.width) if wrap else [_fitting(console, text)]:
        line.rstrip()
        console.print(line, highlight=False, soft_wrap=True)
