"""The HTML report: whole, safe, small, and telling what it must."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from goodfit.plots import curve_chart
from goodfit.report import html
from goodfit.report.page import GROUPED_FROM
from goodfit.report.svg import curves_svg
from goodfit.values import Diagnosis, Run, Score, Study, Trial

EVIL = "</script><script>alert('x')</script>$$\\alpha$$"


class _Page(HTMLParser):
    """Elements and text of a page; scripts and styles are kept apart from the text."""

    VOID = frozenset({"meta", "input", "br", "link", "img", "hr", "path", "line", "circle", "polyline", "polygon"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def mpg_page(mpg_study) -> _Page:
    return _Page(html(mpg_study))


def test_every_element_is_closed_and_every_id_is_its_own(mpg_page):
    assert mpg_page.open == []
    ids = [attrs["id"] for _, attrs in mpg_page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    labels = [attrs["aria-labelledby"] for _, attrs in mpg_page.tags if "aria-labelledby" in attrs]
    assert set(labels) <= set(ids)


def test_it_loads_nothing_from_anywhere(mpg_study, mpg_page):
    assert not [attrs for _, attrs in mpg_page.tags if "src" in attrs or "href" in attrs]
    policy = [attrs["content"] for tag, attrs in mpg_page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy[0].startswith("default-src 'none'")
    assert "http" not in policy[0]
    assert len(html(mpg_study).encode()) < 2_000_000


def test_it_tells_verdict_evidence_and_what_to_try(mpg_study, mpg_page):
    finding = mpg_study.diagnosis.finding("overfitting")
    for told in ("Overfitting", mpg_study.diagnosis.reason, finding.message, finding.changes[0].describe):
        assert told in mpg_page.text
    assert f"{finding.evidence[0].value:.4g}" in mpg_page.text
    assert "found above 1.2" in mpg_page.text
    assert "2 checks clear" in mpg_page.text
    assert "1 check not applicable" in mpg_page.text


def test_it_tells_scores_data_and_how_to_repeat_it(mpg_study, mpg_page):
    network = mpg_study.test[0]
    for told in (
        f"{network.value:.3f}",
        f"{network.low:.2f} – {network.high:.2f}",
        "predicting the mean",
        "gradient boosting",
        "lower is better",
        "higher is better",
        "'?' was read as missing in horsepower (5 rows).",
        "3 different whole numbers: a code",
        "one-hot encoded",
        "goodfit train examples/auto-mpg.csv --target mpg --seeds 4",
        "0123456789abcdef",
        "units 64, activation relu",
        "Adam (learning rate 0.001, beta 1 0.9)",
        "after 20 epochs without a lower val_loss; the weights of the best epoch are kept",
        "keras 3.15.1",
        "Of 4 seeds, 1 ran to the last epoch, 3 stopped early.",
    ):
        assert told in mpg_page.text, told
    assert str(mpg_study.run.provenance["split"]["train"][:5])[1:-1] not in mpg_page.text


def test_the_best_score_is_marked_once_in_each_table(mpg_study, mpg_page):
    marked = mpg_page.text.count(" best ")
    assert marked >= len({(s.split, s.metric) for s in mpg_study.scores})


def test_charts_hold_the_medians_of_the_run(mpg_study, mpg_page):
    items = [json.loads(text) for text in mpg_page.scripts if text.lstrip().startswith('{"target_id"')]
    assert len(items) == 4  # loss, mae, predicted against true, residuals
    median = np.median(mpg_study.run.curves["val_loss"], axis=0)
    columns = _columns(items[0])
    assert any(np.allclose(column, median, rtol=1e-4) for column in columns["median"])
    true = _columns(items[2])["true"][0]
    assert np.allclose(true, mpg_study.predictions["true"], rtol=1e-4)


def _columns(item) -> dict[str, list]:
    """Every column of every data source in a Bokeh item."""
    found: dict[str, list] = {}

    def visit(value):
        if isinstance(value, dict):
            if value.get("name") == "ColumnDataSource":
                for name, column in value["attributes"]["data"]["entries"]:
                    found.setdefault(name, []).append(column)
            for inner in value.values():
                visit(inner)
        elif isinstance(value, list):
            for inner in value:
                visit(inner)

    visit(item)
    return found


def test_names_of_the_data_run_no_script(mpg_study):
    about = {
        **mpg_study.about,
        "target": EVIL,
        "target_unit": EVIL,
        "source": EVIL,
        "command": EVIL,
        "notes": [EVIL],
        "columns": [{"name": EVIL, "kind": "number", "reason": EVIL, "treatment": EVIL, "features": (EVIL,)}],
    }
    run = dataclasses.replace(mpg_study.run, name=EVIL, provenance={EVIL: EVIL, "versions": {EVIL: EVIL}})
    curves = {**run.curves, EVIL: run.curves["loss"]}
    run = dataclasses.replace(run, curves=curves)
    trial = Trial(run, Diagnosis("balanced", EVIL))
    scores = (Score(EVIL, "test", EVIL, 1.0, 0.5, 1.5, EVIL),)
    page = html(dataclasses.replace(mpg_study, trials=(trial,), about=about, scores=scores, name=EVIL, folder=EVIL))
    assert "<script>alert" not in page
    clean = _Page(html(mpg_study))
    parsed = _Page(page)
    runs = [attrs for tag, attrs in parsed.tags if tag == "script" and attrs.get("type") != "application/json"]
    assert len(runs) == len([a for tag, a in clean.tags if tag == "script" and a.get("type") != "application/json"])
    assert EVIL in parsed.text


def test_classes_get_a_confusion_matrix_that_adds_up(digits_study):
    page = html(digits_study)
    parsed = _Page(page)
    cells = re.findall(r'<td class="cell[^>]*>([^<]*)</td>', page)
    assert len(cells) == 100
    assert sum(int(cell) for cell in cells if cell != "·") == len(digits_study.predictions["true"])
    right = int((digits_study.predictions["true"] == digits_study.predictions["predicted"]).sum())
    assert f"{right} of 200 test rows are predicted right" in parsed.text
    assert "Balanced" in parsed.text


def test_many_columns_alike_are_one_line(digits_study):
    assert len(digits_study.about["columns"]) > GROUPED_FROM
    parsed = _Page(html(digits_study))
    assert "64 columns alike" in parsed.text
    assert "pixel_0_0 … pixel_7_7" in parsed.text


def test_many_classes_are_told_by_their_mistakes(digits_study):
    labels = np.array([f"class {n}" for n in range(60)])
    predictions = {"row": np.arange(60), "true": labels, "predicted": np.roll(labels, 1)}
    page = html(dataclasses.replace(digits_study, predictions=predictions, about={"target": "label"}))
    assert "too many for a matrix" in page
    assert 'class="cell' not in page


@pytest.mark.parametrize(
    "run",
    [
        Run.from_history({"loss": [1.0]}),
        Run.from_history({"loss": [np.inf, np.nan]}, outcomes=("nonfinite",)),
        Run.from_history({"loss": [1.0, -1.0, -2.0]}),
        Run.from_history({"accuracy": [0.5, 0.75]}),
        Run(curves={}, epoch=np.arange(0)),
        Run.from_history({"loss": [1.0, 1e300, np.inf], "val_loss": [np.nan, 2.0, np.nan]}, outcomes=("diverged",)),
    ],
    ids=["one epoch", "never finite", "negative", "accuracy alone", "nothing", "diverged"],
)
def test_a_bare_run_is_reported_without_a_verdict(run):
    parsed = _Page(html(run))
    assert parsed.open == []
    assert "Verdict" not in parsed.text


def test_a_study_that_says_little_is_reported(mpg_study):
    bare = Study((Trial(mpg_study.run, Diagnosis("insufficient-evidence", "Too short.")),), "regression")
    parsed = _Page(html(bare))
    assert "Insufficient evidence" in parsed.text
    assert "Too short." in parsed.text


def test_the_largest_report_stays_small(mpg_study):
    rng = np.random.default_rng(0)
    epochs = np.arange(10_000)
    loss = np.exp(-epochs / 2000) + 0.05 * rng.random((64, 10_000))
    curves = {name: loss + shift for shift, name in enumerate(("loss", "val_loss", "mae", "val_mae"))}
    curves |= {f"{prefix}{name}": loss for name in ("mse", "rmse", "auc") for prefix in ("", "val_")}
    run = Run(curves, epochs, seeds=tuple(range(64)), outcomes=("finished",) * 64, recipe=mpg_study.run.recipe)
    true = rng.random(100_000)
    column = {"kind": "number", "rows": 100_000, "treatment": "missing values set to the median, standardized"}
    columns = [{**column, "name": f"a column with a long name {n}", "reason": f"{n} values"} for n in range(2000)]
    study = dataclasses.replace(
        mpg_study,
        trials=(Trial(run, mpg_study.diagnosis),),
        predictions={"row": np.arange(100_000), "true": true, "predicted": true + 0.1 * rng.random(100_000)},
        about={**mpg_study.about, "columns": columns},
    )
    page = html(study)
    assert len(page.encode()) < 2_000_000
    assert "(first 32)" in page
    assert "and 1,800 columns more" in page
    assert "Also recorded: auc." in page


def test_the_ladder_of_a_study_is_told(mpg_study):
    from goodfit.values import Change, Comparison

    change = Change("add-dropout", {}, "Units can't rely on one another.", "Add a dropout of 0.2.")
    better = Comparison("val_loss", -0.02, -0.03, -0.01, 4, True)
    second = Trial(mpg_study.run, Diagnosis("balanced", "Both fall."), change, better)
    parsed = _Page(html(dataclasses.replace(mpg_study, trials=(*mpg_study.trials, second))))
    assert "one change at a time" in parsed.text
    assert "−0.03 – −0.01" in parsed.text


def test_reporting_imports_neither_keras_nor_matplotlib(tmp_path):
    code = (
        "import sys, goodfit.report as r; from goodfit.values import Run;"
        "heavy = {'bokeh', 'pandas', 'matplotlib', 'rich', 'keras', 'jax'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "r.html(Run.from_history({'loss': [1.0, 0.5]}));"
        "assert not {'pandas', 'matplotlib', 'keras', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_further_stages_are_marked_in_the_drawing():
    run = Run.from_history({"loss": [1.0, 0.8, 0.5, 0.4, 0.3]}, stages=(0, 2, 4))
    assert str(curves_svg(curve_chart(run))).count("a further stage begins") == 2
