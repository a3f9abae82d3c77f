"""The HTML report: one self-contained file that works offline."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goodfit.plots import (
    CurveChart,
    ScoreTable,
    confusion_chart,
    curve_chart,
    metric_label,
    prediction_chart,
    quantities,
    score_tables,
    target_name,
)
from goodfit.plots.palette import DARK, LIGHT
from goodfit.report import ladder as ladder_words
from goodfit.report import recipe as recipe_words
from goodfit.report import words
from goodfit.report.svg import curves_svg, predictions_svg
from goodfit.report.template import environment
from goodfit.values import Diagnosis, Run, Study

MOST_CHARTS = 4
"""Quantities with learning curves in a report; further ones are named."""

MOST_COLUMNS = 200
"""Lines of the table of columns; further ones are counted."""

GROUPED_FROM = 24
"""A table with more columns than this shows neighbours that were treated alike as one line."""

MOST_SKIPPED = 200
"""Files that were left out and are listed; further ones are counted."""

MOST_JSON = 40_000
"""Characters of the recipe's JSON in a report; a longer one is left to the run's folder."""

MOST_CLASSES = 25
"""Classes of a confusion matrix that is shown whole; with more, the most frequent mistakes are listed."""


def html(study_or_run: Study | Run, diagnosis: Diagnosis | None = None) -> str:
    """One self-contained HTML file: verdict and evidence, curves, scores, predictions, data, and how to repeat it.

    Args:
        study_or_run: what is reported; a run shows what it holds.
        diagnosis: what its curves say; a study's own by default.

    Returns:
        The whole page, which loads nothing from anywhere; every name of the data in it is escaped.

    Example:
        >>> page = html(Run.from_history({"loss": [1.0, 0.5], "val_loss": [1.1, 0.7]}, name="<script>"))
        >>> "<title>&lt;script&gt; · goodfit</title>" in page, len(page) < 2_000_000
        (True, True)
    """
    from goodfit.report import interactive

    study = study_or_run if isinstance(study_or_run, Study) else None
    run = words.run_of(study_or_run)
    diagnosis = diagnosis or (study.diagnosis if study else None)
    charts, unshown = _charts(run, study)
    predicted = prediction_chart(study) if study else None
    return _template().render(
        title=words.title_of(study_or_run),
        study=study,
        run=run,
        about=study.about if study else {},
        source_name=str(study.about.get("source") or "").replace("\\", "/").rsplit("/", 1)[-1] if study else "",
        target=target_name(study) if study else None,
        task=words.TASKS.get((study.task if study else run.task) or "", ""),
        diagnosis=diagnosis,
        charts=[(chart, curves_svg(chart), interactive.curves_item(chart)) for chart in charts],
        unshown=unshown,
        tables=score_tables(study) if study else (),
        headline=_headline(study) if study else [],
        predicted=predicted,
        predicted_svg=predictions_svg(predicted) if predicted else "",
        predicted_items=interactive.predictions_items(predicted) if predicted else (),
        errors=_largest_errors(predicted) if predicted else [],
        confusion=confusion_chart(study) if study else None,
        examples=_pictures(study, "examples"),
        mistakes=_pictures(study, "mistakes"),
        skipped=(study.about.get("skipped") or ())[:MOST_SKIPPED] if study else (),
        columns=_columns(study.about.get("columns") or ()) if study else ([], 0),
        rows=_rows(study) if study else [],
        ladder=_ladder(study) if study else [],
        most_rungs=ladder_words.MOST_LINES,
        searched=bool(study and ladder_words.searched(study)),
        conclusion=ladder_words.conclusion(study) if study and ladder_words.searched(study) else "",
        detectable=ladder_words.detectable(study) if study and ladder_words.searched(study) else "",
        tests=_looks(run, study) if study else "",
        layers=recipe_words.layers(run.recipe) if run.recipe else [],
        settings=recipe_words.settings(run.recipe) if run.recipe else [],
        recipe_json=_recipe_json(run),
        provenance=_provenance(run, study),
        outcomes=_outcomes(run),
        notes=(study.about.get("notes") if study else None) or run.provenance.get("notes") or (),
        most_classes=MOST_CLASSES,
        light=LIGHT,
        dark=DARK,
        bokeh=interactive.library() if charts or predicted else "",
    )


@functools.cache
def _template() -> Any:
    """The page's template."""
    made = environment("goodfit.report")
    # Bokeh reads its models in the order in which they are written
    made.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":")}
    made.filters.update(
        number=words.number,
        threshold=words.threshold,
        lines=words.score_lines,
        direction=words.direction,
        judgement=words.judgement,
        model_words=words.model_words,
        metric=metric_label,
        count=words.count,
        percent=words.percent,
        measured=words.measured,
    )
    made.globals.update(tones=words.TONES, meanings=words.MEANINGS, forest=_forest, zip=zip)
    return made.get_template("report.html")


def _charts(run: Run, study: Study | None) -> tuple[list[CurveChart], list[str]]:
    """The learning curves that the page shows, and the names of those that it does not."""
    names = quantities(run)
    standardized = study is not None and study.task == "regression"
    charts = []
    for name in names[:MOST_CHARTS]:
        label = words.loss_label(run, standardized) if name == "loss" else metric_label(name)
        if name != "loss" and standardized and name not in ("r2", "r2_score", "learning_rate", "lr"):
            label += " (standardized target)"
        charts.append(curve_chart(run, name, label))
    return [chart for chart in charts if chart.curves], list(names[MOST_CHARTS:])


def _headline(study: Study) -> list[dict[str, str]]:
    """The network's scores on the test rows, each with the best of the baselines."""
    tiles = []
    for table in score_tables(study):
        network, lines = table.scores[0], words.score_lines(table)
        if table.split != "test" or network.model != "network":
            continue
        sign = -1.0 if table.greater_is_better else 1.0
        others = [place for place, score in enumerate(table.scores) if place and math.isfinite(score.value)]
        best = min(others, key=lambda place: sign * table.scores[place].value) if others else 0
        tiles.append(
            {
                "label": table.label,
                "value": lines[0].value,
                "unit": table.unit,
                "interval": lines[0].interval,
                "other": f"{words.model_words(lines[best].model)} {lines[best].value}" if best else "",
                "direction": words.direction(table),
            }
        )
    return tiles[:4]


def _forest(table: ScoreTable, place: int) -> dict[str, Any]:
    """Where a score, its interval and its seeds lie on their table's common scale, in percent from the left."""
    low, high = table.limits
    width = high - low or 1.0

    def at(value: float) -> float:
        return round(3 + 94 * (value - low) / width, 2)

    score = table.scores[place]
    bounded = score.low is not None and score.high is not None
    return {
        "value": at(score.value) if math.isfinite(score.value) else None,
        "low": at(score.low) if bounded and score.low is not None else None,
        "high": at(score.high) if bounded and score.high is not None else None,
        "seeds": [at(value) for value in score.spread if math.isfinite(value)] if len(score.spread) > 1 else [],
    }


def _largest_errors(chart: Any, most: int = 5) -> list[tuple[int, float, float, float]]:
    """Row, true, predicted and error of the test rows that were predicted worst."""
    order = np.argsort(-np.abs(chart.residual), kind="stable")[:most]
    return [(chart.row[i], chart.true[i], chart.predicted[i], chart.residual[i]) for i in order]


def _columns(columns: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The lines of the table of columns, and how many columns were left out of it."""
    lines: list[dict[str, Any]] = []
    for column in columns:
        line = {
            "first": str(column.get("name", "")),
            "last": "",
            "count": 1,
            "kind": str(column.get("kind", "")),
            "missing": int(column.get("missing") or 0),
            "rows": int(column.get("rows") or 0),
            "unique": column.get("unique"),
            "reason": str(column.get("reason") or ""),
            "treatment": str(column.get("treatment") or ""),
            "features": [str(name) for name in column.get("features") or ()],
            "example": str(column.get("example") or ""),
        }
        before = lines[-1] if lines else None
        alike = ("kind", "missing", "treatment", "reason")
        if before and len(columns) > GROUPED_FROM and all(before[key] == line[key] for key in alike):
            before["last"], before["count"] = line["first"], before["count"] + 1
            before["features"], before["unique"], before["example"] = [*before["features"], *line["features"]], None, ""
        else:
            lines.append(line)
    return lines[:MOST_COLUMNS], sum(line["count"] for line in lines[MOST_COLUMNS:])


def _rows(study: Study) -> list[tuple[str, int, float]]:
    """Name, number and share of the rows of each part of the split."""
    known = study.about.get("rows") or {}
    if not known and study.dataset is not None:
        known = {name: len(getattr(study.dataset, name)) for name in ("train", "validation", "test")}
    parts = [(label, int(known[name])) for name, label in _PARTS if known.get(name)]
    total = sum(n for _, n in parts)
    return [(label, n, 100 * n / total) for label, n in parts]


def _pictures(study: Study | None, kind: str) -> list[Mapping[str, Any]]:
    """The pictures that a study of images carries: examples of each class, mistakes."""
    return list((study.about.get("pictures") or {}).get(kind) or ()) if study else []


_PARTS = (("train", "training"), ("validation", "validation"), ("test", "test"))


def _ladder(study: Study) -> list[dict[str, Any]]:
    """The trials of a study of more than one."""
    if len(study.trials) < 2:
        return []
    return [
        {
            "change": trial.change.describe if trial.change else "the baseline",
            "reason": trial.change.reason if trial.change else "",
            "note": trial.note if trial.change else "",
            "steps": trial.steps,
            "verdict": trial.diagnosis.verdict,
            "comparison": trial.comparison,
            "kept": trial.kept,
        }
        for trial in study.trials
    ]


def _looks(run: Run, study: Study) -> str:
    """How often the test rows were looked at, one sentence."""
    looks = int(study.about.get("test_looks", run.provenance.get("test_looks", 0)) or 0)
    if not looks:
        return "The test rows were not looked at."
    if looks == 1:
        return "The test rows were looked at once, after all this."
    return f"The test rows were looked at {looks} times: once by each training, and once after all this."


def _recipe_json(run: Run) -> str:
    """The whole recipe as JSON, `""` where it is unknown or too long to show."""
    text = json.dumps(run.recipe.to_dict(), indent=2, ensure_ascii=False) if run.recipe else ""
    return text if len(text) < MOST_JSON else ""


def _provenance(run: Run, study: Study | None) -> list[tuple[str, str]]:
    """Everything else that is needed to repeat the work, name and value; long lists of rows are left to the folder."""
    about = study.about if study else {}
    data = run.provenance.get("data")
    data = data if isinstance(data, Mapping) else {}
    lines: list[tuple[str, str]] = []
    for key, label in (("source", "data"), ("fingerprint", "data fingerprint")):
        value = about.get(key) or data.get(key) or run.provenance.get(key)
        if value:
            lines.append((label, str(value)))
    read = {key: value for key, value in (about.get("read") or {}).items() if value not in (None, "", [], ())}
    if read:
        lines.append(("read with", recipe_words.brief(read)))
    lines.append(("seeds", ", ".join(str(seed) for seed in run.seeds[:64])))
    saved = words.saved_seed(run) if study else None
    if "kept_seed" in about:  # a seed that had no part in choosing the recipe, so none of the run's
        lines.append(
            ("saved network", f"seed {about['kept_seed']}: the lowest loss over chance on its validation rows")
        )
    elif saved:
        lines.append(("saved network", f"seed {saved[0]}, {run.unit} {saved[1]:g}: the lowest validation loss"))
    for key, value in run.provenance.items():
        told = _told(value)
        if told in (None, "", {}, []) or key in ("source", "fingerprint", "data", "notes"):
            continue
        text = words.number(told) if isinstance(told, float) else recipe_words.brief(told)
        lines.append((_FACTS.get(str(key), str(key).replace("_", " ")), text))
    if study and study.folder:
        lines.append(("folder", study.folder))
    return lines


_FACTS = {
    "test_looks": "looks at the test rows",
    "engine_reason": "why that engine",
    "train_seconds": "seconds of training",
    "seconds": "seconds in all",
}


def _told(value: Any) -> Any:
    """What of a value of the provenance is short enough to be read; `None` for nothing."""
    if isinstance(value, Mapping):
        short = {key: item for key, item in value.items() if not isinstance(item, (Mapping, list, tuple, np.ndarray))}
        return {key: item for key, item in short.items() if key != "how"}  # the split is told with the data
    if isinstance(value, (list, tuple)):
        return value if len(value) <= 12 and not any(isinstance(v, (Mapping, list, tuple)) for v in value) else None
    return None if isinstance(value, np.ndarray) else value


def _outcomes(run: Run) -> str:
    """How the seeds ended, in words; `""` where all simply finished."""
    told = {
        "finished": "ran to the last epoch",
        "stopped": "stopped early",
        "diverged": "diverged",
        "nonfinite": "reached a loss that is not finite",
        "interrupted": "were interrupted",
    }
    if len(run.outcomes) > 1 and len(set(run.outcomes)) == 1:
        return f"All {len(run.outcomes)} seeds {told[run.outcome]}."
    if len(run.outcomes) == 1:
        return {"interrupted": "The training was interrupted."}.get(run.outcome, f"The training {told[run.outcome]}.")
    parts = [f"{run.outcomes.count(name)} {text}" for name, text in told.items() if name in run.outcomes]
    return f"Of {len(run.outcomes)} seeds, {', '.join(parts)}."
