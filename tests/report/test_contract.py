"""The JSON of the command line keeps its promise."""

from __future__ import annotations

import dataclasses
import json

from goodfit.report import diagnosis_json, study_json
from goodfit.values import Diagnosis, Finding, Score


def test_diagnose_prints_the_public_form(mpg_study):
    data = json.loads(json.dumps(diagnosis_json([("a.csv", mpg_study.diagnosis)]), allow_nan=False))
    (run,) = data["runs"]
    assert run["path"] == "a.csv"
    assert run["verdict"] == "overfitting"
    for finding in run["findings"]:
        assert set(finding) == {"slug", "status", "severity", "evidence", "message", "try"}
    assert set(run["findings"][0]["evidence"][0]) == {"name", "value", "threshold", "relation", "unit"}


def test_found_findings_come_first_in_their_order():
    mixed = Diagnosis(
        "unstable",
        "",
        (
            Finding("a", "clear", ""),
            Finding("b", "found", "", "high"),
            Finding("c", "not-applicable", ""),
            Finding("d", "found", "", "low"),
        ),
    )
    findings = diagnosis_json([("x", mixed)])["runs"][0]["findings"]
    assert [finding["slug"] for finding in findings] == ["b", "d", "a", "c"]


def test_train_prints_what_came_of_it(mpg_study):
    scores = (*mpg_study.scores, Score("linear", "test", "mae", float("inf"), spread=(float("nan"),)))
    data = study_json(dataclasses.replace(mpg_study, scores=scores), report="r.html")
    told = json.loads(json.dumps(data, allow_nan=False))
    assert told["verdict"] == "overfitting"
    assert told["target"] == "mpg"
    assert told["report"] == "r.html"
    assert told["rows"]["test"] == 80
    assert told["scores"][-1]["value"] is None
    assert [finding["slug"] for finding in told["findings"]] == ["overfitting", "wasted-epochs"]
