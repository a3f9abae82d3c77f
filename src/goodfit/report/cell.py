"""What a run or a study shows of itself in a notebook: small, static, in the notebook's own colours."""

from __future__ import annotations

from markupsafe import Markup, escape

from goodfit.plots import ScoreTable, curve_chart, score_tables
from goodfit.plots.palette import LIGHT
from goodfit.report import ladder, words
from goodfit.report.svg import curves_svg
from goodfit.values import Diagnosis, Run, Study


def notebook(study_or_run: Study | Run, diagnosis: Diagnosis | None = None) -> str:
    """HTML for `_repr_html_`: the verdict, the score table and the curves as inline SVG; no scripts.

    Args:
        study_or_run: what is shown.
        diagnosis: what its curves say; a study's own by default.

    Returns:
        One `<div>`; every name of the data in it is escaped.

    Example:
        >>> run = Run.from_history({"loss": [1.0, 0.5], "val_loss": [1.1, 0.7]})
        >>> notebook(run).startswith("<div"), "<svg" in notebook(run)
        (True, True)
    """
    study = study_or_run if isinstance(study_or_run, Study) else None
    run = words.run_of(study_or_run)
    diagnosis = diagnosis or (study.diagnosis if study else None)
    parts = [Markup('<div style="max-width:44rem;line-height:1.45">')]
    name = escape(words.title_of(study_or_run))
    if diagnosis:
        colour = LIGHT[words.TONES[diagnosis.verdict]]
        word = diagnosis.verdict.replace("-", " ").capitalize()
        parts.append(
            Markup(
                '<p style="margin:.2em 0"><span style="opacity:.7">{}</span><br/><b style="font-size:1.35em;'
                'border-left:.25em solid {};padding-left:.4em">{}</b></p><p style="margin:.2em 0 .6em">{}</p>'
            ).format(name, colour, word, diagnosis.reason)
        )
        for finding in diagnosis.found[:3]:
            advice = f" Try: {finding.changes[0].describe}" if finding.changes else ""
            parts.append(
                Markup('<p style="margin:.2em 0"><b>{}</b>: {}{}</p>').format(finding.slug, finding.message, advice)
            )
    else:
        parts.append(Markup('<p style="margin:.2em 0"><b>{}</b></p>').format(name))
    if study and ladder.searched(study):
        parts.append(Markup('<p style="margin:.2em 0">{}</p>').format(ladder.conclusion(study)))
    chart = curve_chart(run, "loss")
    if chart.curves:
        parts.append(curves_svg(chart, 620, 270))
    if study:
        parts += [_scores(table) for table in score_tables(study) if table.split == "test"]
        if study.folder:
            parts.append(Markup('<p style="margin:.4em 0;opacity:.7">{}</p>').format(study.folder))
    parts.append(Markup("</div>"))
    return str(Markup("").join(parts))


def _scores(table: ScoreTable) -> Markup:
    unit = f" in {table.unit}" if table.unit else ""
    head = Markup(
        '<table style="margin:.5em 0"><caption style="text-align:left">{}{}, test rows ({})</caption><thead><tr>'
        "<th>model</th><th>score</th><th>95 % interval</th><th>over the seeds</th></tr></thead><tbody>"
    ).format(table.label, unit, words.direction(table))
    lines = []
    for line in words.score_lines(table):
        value = Markup("<b>{}</b> best" if line.best else "{}").format(line.value)
        cells = (words.model_words(line.model), value, line.interval, line.seeds)
        lines.append(
            Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in cells))
        )
    return head + Markup("").join(lines) + Markup("</tbody></table>")
