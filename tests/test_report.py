"""A report against its run: every number, every stage, every text of a stranger."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from datetime import datetime
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from bayes_cmvt.report.checklists import checklists
from bayes_cmvt.report.citations import WORKS
from bayes_cmvt.report.document import (
    Checklist,
    Document,
    Heading,
    Paragraph,
    Picture,
    Table,
    Value,
    contents_of,
    harmless,
    plain_text,
)
from bayes_cmvt.report.facts import facts_of
from bayes_cmvt.report.figure_pages import DRAWN_FROM, kind_of
from bayes_cmvt.report.material import (
    PRIVATE_FIGURES,
    FigureImage,
    Material,
    ReportRun,
    number_text,
    shown_part,
)
from bayes_cmvt.report.methods import methods
from bayes_cmvt.report.model_file import template_text
from bayes_cmvt.report.opening import summary
from bayes_cmvt.report.patient_tables import hidden_cells
from bayes_cmvt.report.report import report_document
from bayes_cmvt.report.report_words import PLACE, load_words, places
from bayes_cmvt.report.web_page import report_page
from bayes_cmvt.study import parse_study

TERMS = ("age", "crp", "site[b]")
LABELS = ("Age (years)", "C-reactive protein", "Site: b vs a")
HOSTILE = (
    "<script>window.hit = 1</script>",
    'a $x$ "b" \\LaTeX{} & \x07\u202egnp\u202c <img src=x onerror=alert(1)>',
    "年" * 5000,
)
STUDY = """
schema = 1
name = "demo"
title = "Demonstration of 3 candidates"
description = "Source: nowhere, 2020."

[outcome]
column = "y"
event = 1
label = "Event"
horizon = "30 days"

[[predictors]]
name = "age"
kind = "continuous"
[[predictors]]
name = "crp"
kind = "continuous"
[[predictors]]
name = "site"
kind = "categorical"
levels = ["a", "b"]

[split]
column = "set"
development = "d"
validation = "v"

[decision]
thresholds = [0.05, 0.6]
use = 0.2
"""
PARAGRAPH = ("The widths agree: the ratio is 0.81 over 3 coefficients.",)
SECRET = 0.123456789  # of a single patient
INTERVAL = {"interval": 0.95}


def image_bytes() -> bytes:
    """A small PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (60, 40), "white").save(stream, "PNG")
    return stream.getvalue()


def limits_of(name: str, centre: np.ndarray, width: float = 0.5) -> dict[str, np.ndarray]:
    """An estimate with limits as columns."""
    return {
        f"{name}_estimate": centre,
        f"{name}_lower": centre - width,
        f"{name}_upper": centre + width,
    }


def sampled_tables(labels: tuple[str, ...] = LABELS) -> dict[str, pd.DataFrame]:
    """What `sample` writes, with a private table among it."""
    rng = np.random.default_rng(1)
    term, label = ["(Intercept)", *TERMS], ["(Intercept)", *labels]
    middle = np.array([-1.9, 0.71, 0.0123, -0.3])
    coefficients = {
        "term": term,
        "label": label,
        "std_mean": middle,
        "per": [1.0, 10.0, 1.0, 1.0],
        "odds_ratio": np.exp(middle),
        "odds_ratio_lower": np.exp(middle - np.array([1, 0.5, 0.02, 0.9])),
        "odds_ratio_upper": np.exp(middle + np.array([1, 0.5, 0.03, 16.0])),
        "prob_positive": [0.0, 0.998, 0.77, 0.2],
        "shrinkage": [np.nan, 0.08, 0.61, 0.4],
    } | INTERVAL
    flow = {
        "rows in the file": 320,
        "left out: outcome missing": 1,
        "analysed": 319,
        "development: patients": 224,
        "development: events": 82,
        "validation: patients": 95,
        "validation: events": 34,
    }
    table_one = {
        "name": ["", "age", "age", "site", "site"],
        "label": ["Patients", labels[0], labels[0], "Site", "Site"],
        "level": ["", "", "", "a", "b"],
        "summary": ["n", "mean ± SD", "median [quartiles]", "n (%)", "n (%)"],
        "overall": ["319", "45.3 ± 13.3", "45 [36, 54]", "100 (31.3)", "219 (68.7)"],
        "event": ["116", "43.7 ± 12.8", "44 [35, 53]", "40 (34.5)", "76 (65.5)"],
    }
    quantities = ["intercept", "tau", "beta[age]"]
    diagnostics = {
        "quantity": quantities,
        "rhat": 1 + rng.uniform(0, 0.005, 3),
        "ess_bulk": rng.uniform(2000, 9000, 3),
        "ess_tail": rng.uniform(2000, 9000, 3),
        "mcse_mean": rng.uniform(0.0001, 0.01, 3),
    }
    predictions = {"row": [1, 2], "set": "development", "outcome": [0, 1], "risk": SECRET}
    return {
        "coefficients": pd.DataFrame(coefficients),
        "flow": pd.DataFrame({"step": list(flow), "patients": list(flow.values())}),
        "table_one": pd.DataFrame(table_one),
        "diagnostics": pd.DataFrame(diagnostics),
        "predictions": pd.DataFrame(predictions),
    }


def compared_tables(labels: tuple[str, ...] = LABELS) -> dict[str, pd.DataFrame]:
    """What `baseline` and `compare` write."""
    middle = np.array([0.5, 0.0, 0.0])
    baseline = {
        "term": ["(Intercept)", *TERMS],
        "selected_lasso": [True, True, True, False],
        "selected_final": [True, True, False, False],
        "odds_ratio": [0.1, 2.2, 1.0, 1.0],
        "odds_ratio_boot_lower": [0.01, 1.0, 0.9876, 0.2],
        "odds_ratio_boot_upper": [0.9, 4.4, 1.0123, 1.0],
        "odds_ratio_wald_lower": [0.05, 1.3, np.nan, np.nan],
        "odds_ratio_wald_upper": [0.2, 3.7, np.nan, np.nan],
        "boot_zero": [0.0, 0.123, 0.8, 0.901],
    }
    compared = {"term": TERMS, "label": labels, "scale": "std_log_odds", "width_ratio": 0.81}
    marks = np.linspace(0.02, 0.9, 23)
    risks = {"set": "development", "mark": np.arange(1, 24), "patients": 9}
    wald = {"wald_lower": marks - 0.01, "wald_upper": marks + 0.01}
    classes = {
        "set": ["development", "development"],
        "credible_class": ["below 0.05", "uncertain"],
        "bootstrap_class": ["uncertain", "uncertain"],
        "patients": [29, 195],
    }
    agreement = {
        "quantity": ["coefficients", "coefficient_width_ratio"],
        "set": "",
        "value": [3.0, 0.8085381753429253],
        "label": ["Coefficients that are compared.", "Median of the widths' ratios."],
    }
    return {
        "baseline_coefficients": pd.DataFrame(baseline),
        "compare_coefficients": pd.DataFrame(
            compared
            | limits_of("credible", middle)
            | limits_of("bootstrap", middle)
            | {"overlap": 0.5}
        ),
        "compare_risk_marks": pd.DataFrame(
            risks | limits_of("credible", marks, 0.02) | limits_of("bootstrap", marks, 0.03) | wald
        ),
        "compare_classes": pd.DataFrame(classes),
        "compare_agreement": pd.DataFrame(agreement),
        "compare_performance": pd.DataFrame(
            {
                "set": ["development", "development", "validation"],
                "metric": ["calibration_slope", "calibration_slope", "auc"],
                "width_ratio": [0.7, np.nan, 0.9],
                "credible_method": ["kfold", "kfold", "holdout"],
                "bootstrap_method": ["kfold", "optimism_corrected", "holdout"],
                "bootstrap_interval_of": ["patients", "draws", "patients"],
            }
            | limits_of("credible", np.array([1.0617, 1.0617, 0.8456]), 0.05)
            | limits_of("bootstrap", np.array([0.9312, 0.7012, 0.8591]), 0.06)
            | limits_of("wald", np.array([1.2361, np.nan, 0.8523]), 0.04)
        ),
        "instability": pd.DataFrame({"model": ["baseline"], "set": "development", "mark": 1}),
    }


def judged_tables(labels: tuple[str, ...] = LABELS) -> dict[str, pd.DataFrame]:
    """What `validate`, `select` and `nomogram` write."""
    rows = [
        ("horseshoe", "development", "auc", "apparent", 0.8760),
        ("baseline", "development", "auc", "apparent", 0.8650),
        ("horseshoe", "development", "leave_pair_out_auc", "loo", 0.8279),
        ("horseshoe", "validation", "auc", "holdout", 0.8457088),
        ("horseshoe", "validation", "calibration_slope", "holdout", 1.0617),
        ("baseline", "validation", "auc", "holdout", 0.8592),
    ]
    performance = pd.DataFrame(rows, columns=["model", "set", "metric", "method", "estimate"])
    performance["lower"], performance["upper"] = (
        performance.estimate - 0.08,
        performance.estimate + 0.07,
    )
    performance["interval_of"] = "patients"
    grid = np.round(np.arange(0.05, 0.61, 0.01), 2)
    net = pd.concat(
        pd.DataFrame(
            {"set": "validation", "strategy": one, "threshold": grid, "net_benefit": 0.3 - grid / 3}
        )
        for one in ("horseshoe", "treat_all")
    )
    net["lower"], net["upper"] = net.net_benefit - 0.05, net.net_benefit + 0.05
    selection = {
        "size": [0, 1, 2],
        "label": ["intercept alone", *labels[:2]],
        "elpd_diff": [-35.6, -1.07, 0.4],
        "elpd_diff_se": [8.45, 2.27, 1.0],
        "auc": [0.5, 0.8187, 0.84],
        "chosen": [False, True, False],
    }
    recurrence = {
        "procedure": ["projection"],
        "source": ["split"],
        "replicates": [40],
        "size": [1.35],
        "same_set": [0.4],
        "distinct_sets": [9],
    }
    errors = {
        "procedure": ["projection"],
        "columns": [1],
        "expected_wrong_sign": [0.0702],
        "expected_in_rope": [0.15],
    }
    nomogram = {
        "model": "horseshoe",
        "axis": ["age", "age", "crp", "crp"],
        "value": [20.0, 80.0, 0.0, 9.0],
        "label": [labels[0], labels[0], labels[1], labels[1]],
        "length": [100.0, 100.0, 42.4, 42.4],
    }
    return {
        "performance": performance,
        "net_benefit": net.reset_index(drop=True),
        "selection": pd.DataFrame(selection),
        "selection_recurrence": pd.DataFrame(recurrence),
        "selection_errors": pd.DataFrame(errors),
        "nomogram": pd.DataFrame(nomogram),
    }


def checked_tables(labels: tuple[str, ...] = LABELS) -> dict[str, pd.DataFrame]:
    """What `figures` and `sensitivity` write."""
    effective = {
        "distribution": ["prior", "posterior"],
        "quantity": "m_eff",
        "median": [1.5, 1.21],
        "lower": [0.1, 0.8],
        "upper": [2.9, 2.2],
    }
    checks = {
        "check": ["events", "events", "risk_group"],
        "distribution": ["prior", "posterior", "posterior"],
        "group": ["all", "all", "1"],
        "label": ["all", "all", "lowest"],
        "observed": [82, 82, 9],
        "median": [110, 82, 8],
        "lower": [1, 66, 3],
        "upper": [223, 99, 15],
        "p_value": [0.4, 0.51, 0.66],
    }
    power = {
        "quantity": ["beta[age]", "tau"],
        "label": [labels[0], "tau"],
        "prior": [0.012, 0.31],
        "likelihood": [0.21, 0.11],
        "diagnosis": ["none", "prior-data conflict"],
    }
    fits = {
        "prior": ["as_analysed", "normal"],
        "trusted": [True, False],
        "m_eff": [1.21, 2.4],
        "m_eff_lower": [0.8, 2.0],
        "m_eff_upper": [2.2, 2.9],
        "elpd_diff": [0.0, -1.9],
        "elpd_diff_se": [0.0, 1.4],
        "risk_mean_difference": [0.0, 0.021],
        "risk_largest_difference": [0.0, 0.09],
        "median_width": [0.36, 0.41],
    }
    priors = {
        "prior": np.repeat(["as_analysed", "normal"], 3),
        "term": [*TERMS, *TERMS],
        "label": [*labels, *labels],
        "odds_ratio": np.linspace(0.5, 2, 6),
        "odds_ratio_lower": np.linspace(0.4, 1.2, 6),
        "odds_ratio_upper": np.linspace(0.9, 5, 6),
        "shrinkage": 0.4,
    }
    return {
        "effective_number": pd.DataFrame(effective),
        "predictive_checks": pd.DataFrame(checks),
        "sensitivity_power": pd.DataFrame(power),
        "sensitivity_fits": pd.DataFrame(fits),
        "sensitivity_priors": pd.DataFrame(priors),
    }


def run_record(*, stages: bool = True, file: str = "cohort.csv") -> dict[str, Any]:
    """A run.json with everything that a report reads of it."""
    settings = {"folds": 10, "loss": "mse", "rule": "1se", "cv": "exact", "p_enter": 0.05}
    judged = {"replicates": 4000, "folds": 10, "repeats": 5}
    searched = {"clusters": 20, "draws": 400, "repeats": 5, "subsamples": 200, "rope": 1.1}
    return {
        "schema": 1,
        "command": "sample",
        "time": "2026-11-22T05:25:20+00:00",
        "versions": {"bayes-cmvt": "0.1.0", "python": "3.13.0", "pymc": "6.4.0", "arviz": "1.3.0"},
        "seed": 2025,
        "engine": "gibbs",
        "settings": {"chains": 4, "warmup": 1000, "draws": 4000, "target_accept": 0.99},
        "study": {"name": "demo", "sha256": "ab12"},
        "data": {"file": file, "sha256": "cd34"},
        "patients": 319,
        "events": 116,
        "seconds": {"read": 0.468, "sample": 3.277},
        "diagnostics": {
            "max_rhat": 1.00085,
            "min_ess_bulk": 5530.98,
            "divergences": 0,
            "total_draws": 16000,
        },
        "stages": {
            "baseline": {
                "inputs": {"baseline": settings, "resamples": 1000, "subsamples": 200},
                "folds_used": 10,
                "lambda": 0.0204,
                "time": "2026-11-22T05:25:46+00:00",
                "seconds": {"fit": 11.503},
            },
            "validate": {
                "inputs": {"settings": judged},
                "loo": {"bad_k": 0, "refitted": 0, "elpd": -110.488, "se": 8.778},
                "seconds": 38.994,
            },
            "select": {
                "inputs": {"settings": searched},
                "folds_used": 10,
                "median_width": {"reference": 0.3596},
                "size_inside": {"elpd_diff": -9.28, "se": 3.389},
            },
        }
        if stages
        else {},
    }


def full_run(language: str = "en", labels: tuple[str, ...] = LABELS, **changes: Any) -> ReportRun:
    """A run with every stage."""
    image = FigureImage(image_bytes(), "png", image_bytes(), 85.0)
    names = ("flow", "roc", "diagnostics", "sensitivity", "nomogram_horseshoe", "nomogram_patient")
    tables = (
        sampled_tables(labels)
        | compared_tables(labels)
        | judged_tables(labels)
        | checked_tables(labels)
    )
    made = ReportRun(
        run=run_record(),
        study=parse_study(STUDY),
        tables=tables,
        penalties={"lambda_min": 0.0204},
        figures=dict.fromkeys(names, image),
        paragraph=PARAGRAPH,
        language=language,  # type: ignore[arg-type]
    )
    return dataclasses.replace(made, **changes)


def sampled_run(**changes: Any) -> ReportRun:
    """A run of which nothing but `sample` is done."""
    return full_run(
        run=run_record(stages=False), tables=sampled_tables(), figures={}, paragraph=(), **changes
    )


# --- Every number is found where the page says that it stands ------------------------------------


class PageNumbers(HTMLParser):
    """Values of a page with where they stand, and all texts that should hold no digit."""

    MARKED = ("given", "fixed", "cite", "number", "references", "nav-title", "source", "jump")
    NAMING = ("code", "h1", "h2", "h3", "title", "style", "nav", "dl", "thead", "bdi")
    EMPTY = ("meta", "link", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.values: list[dict[str, str]] = []
        self.others: list[str] = []
        self.compared: list[str] = []
        self.open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        if tag not in self.EMPTY:
            self.open.append((tag, held.get("class", "")))
        if tag == "data":
            self.values.append(held | {"text": ""})

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self.open]
        classes = {one for _, name in self.open for one in name.split()}
        if "comparison" in classes:
            self.compared.append(data)
        elif "data" in tags:
            self.values[-1]["text"] += data
        elif not (set(tags) & set(self.NAMING) or classes & set(self.MARKED)):
            self.others.append(data)


def read_page(page: str) -> PageNumbers:
    parser = PageNumbers()
    parser.feed(page)
    return parser


def stored(run: ReportRun, value: dict[str, str]) -> object:
    """What stands at the place that a value names, looked up anew."""
    source, column = value["data-source"], value["data-column"]
    if source == "run.json":
        if " / " in column:
            above, below = column.split(" / ")
            return run.run[above] / run.run[below]
        found: Any = run.run
        for key in column.split("/"):
            found = found[key]
        return found
    if source == "study.toml":
        return from_study_file(run, column)
    table = run.tables[source.removeprefix("tables/").removesuffix(".csv")]
    rows = table
    for name, wanted in json.loads(value["data-row"]).items():
        field, _, how = name.partition(" ")
        compared = {"": rows[field] == wanted, "!=": rows[field] != wanted}
        if how in {">", "<"}:
            compared |= {">": rows[field] > wanted, "<": rows[field] < wanted}
        rows = rows[compared[how]]
    if column == "count()":
        return len(rows)
    assert len(rows) == 1, value
    return rows[column].iloc[0]


def from_study_file(run: ReportRun, column: str) -> object:
    """Settings of the study, and the two that follow from it."""
    study = run.study
    columns = len(study.shrunk_terms)
    if column == "shrunk columns":
        return columns
    if column == "predictors":
        return len(study.predictors)
    if column == "half the shrunk columns":
        return columns / 2
    if column == "global scale":
        flow = run.tables["flow"].set_index("step")["patients"]
        n, share = (
            flow["development: patients"],
            flow["development: events"] / flow["development: patients"],
        )
        expected = study.prior.expected_nonzero or columns / 2
        return expected / (columns - expected) / math.sqrt(n * share * (1 - share))
    found: Any = study.model_dump() if hasattr(study, "model_dump") else study
    for key in column.split("/"):
        found = found[int(key)] if key.isdigit() else getattr(found, key)
    return found


def says(text: str, number: float, scale: float) -> bool:
    """Whether a printed number is the stored one, rounded to the digits that are printed."""
    cut = re.match(r"-?[\d,]*\.?\d+(e-?\+?\d+)?|-?∞", text.replace("\u2212", "-"))
    assert cut, text
    if "∞" in cut[0]:
        return math.isinf(number)
    printed = Decimal(cut[0].replace(",", ""))
    unit = Decimal(1).scaleb(int(printed.as_tuple().exponent))
    return abs(float(printed) - number * scale) <= 0.5000001 * float(unit)


def clock(text: str) -> str:
    """A time of the run as a reader wants it, by Python's calendar; other texts as they are."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment.tzinfo else text


def wrong_numbers(page: str, run: ReportRun) -> list[str]:
    """Values of a page that are not what stands in the run."""
    wrong = []
    for value in read_page(page).values:
        found = stored(run, value)
        if isinstance(found, str):
            right = clock(harmless(found)) == value["text"] and value["value"] == found
        elif value["data-source"] == "tables/table_one.csv":
            right = value["text"] == value["value"]
            right = right and float(value["value"]) == found
        else:
            scale = float(value.get("data-scale", 1))
            number = float(found)  # type: ignore[arg-type]
            right = math.isclose(float(value["value"]), number, rel_tol=1e-12)
            right = right and says(value["text"], number, scale)
        if not right:
            wrong.append(f"{value} is {found}")
    return wrong


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("make", [full_run, sampled_run])
def test_every_number_of_the_page_stands_in_the_run(language: str, make: Any) -> None:
    run = make(language=language)
    page = report_page(report_document(run))
    assert wrong_numbers(page, run) == []
    assert len(read_page(page).values) > 30
    digits = [text for text in read_page(page).others if re.search(r"\d", text)]
    assert digits == []


def test_a_number_that_changed_in_the_tables_is_found() -> None:
    # the check above must be able to fail: the page is older than the table
    run = full_run()
    page = report_page(report_document(run))
    run.tables["performance"].loc[3, "estimate"] += 0.002
    assert len(wrong_numbers(page, run)) >= 3  # summary, table, checklist


def test_numbers_of_the_comparison_stand_in_compare_agreement() -> None:
    run = full_run()
    text = "".join(read_page(report_page(report_document(run))).compared)
    values = run.tables["compare_agreement"]["value"]
    for printed in re.findall(r"[-\u2212]?\d+(?:\.\d+)?", text):
        assert any(says(printed, one, scale) for one in values for scale in (1, 100)), printed


@for_all(st.floats(-1e6, 1e6), st.sampled_from([None, 0, 1, 2, 3]))
def test_a_printed_number_is_the_stored_one_rounded(number: float, digits: int | None) -> None:
    text = number_text(number, digits)
    assert says(text, number, 1.0)
    assert not re.fullmatch("\u2212[0.]+", text)  # no minus before nothing


def test_global_scale_is_that_of_the_prior() -> None:
    from bayes_cmvt.priors import global_scale, pseudo_sd

    facts = facts_of(Material(shown_part(full_run()), load_words("en")))
    found = facts["global_scale"]
    assert isinstance(found, Value)
    assert found.number == pytest.approx(global_scale(1.5, 3, pseudo_sd(82 / 224), 224))


# --- Stages, warnings, privacy -------------------------------------------------------------------


def test_missing_stages_are_named_with_the_command_that_makes_them() -> None:
    page = report_page(report_document(sampled_run()))
    for command in (
        "compare",
        "select",
        "validate",
        "nomogram",
        "sensitivity",
        "figures",
        "baseline",
    ):
        assert f"<code>bayes-cmvt {command} RUN</code>" in page, command


def test_a_full_run_asks_for_no_command() -> None:
    page = report_page(report_document(full_run()))
    assert 'class="missing"' not in page


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"problems": ("R-hat of tau is 1.2",)}, "NOT TO BE TRUSTED"),
        ({"run": run_record(file="cohort_SYNTHETIC.csv")}, "SYNTHETIC cohort"),
    ],
)
def test_marks_stand_on_top_in_every_part_and_in_every_caption(
    changes: dict[str, Any], mark: str
) -> None:
    page = report_page(report_document(full_run(**changes)))
    parts = re.findall(r"<h2[^>]*>.*?</h2>\s*(<p[^>]*>.*?</p>)", page, re.DOTALL)
    assert len(parts) == page.count("<h2 ") > 8
    captions = re.findall(r"<figcaption>.*?</figcaption>", page, re.DOTALL)
    assert captions
    assert all(mark in one for one in [*parts, *captions])
    assert re.search(rf'@top-center {{ content: "[^"]*{mark}', page)
    assert page.index('role="note"') < page.index("<nav ") < page.index("<h2 ")


def test_a_trusted_run_of_patients_has_no_marks() -> None:
    document = report_document(full_run())
    assert document.marks == ()
    assert "TRUSTED" not in report_page(document)


def test_problems_stand_in_the_box_on_top() -> None:
    page = report_page(report_document(full_run(problems=("R-hat of tau is 1.2", "ESS too low"))))
    box = re.search(r'<p class="untrusted".*?</p>', page[: page.index("<h2 ")], re.DOTALL)
    assert box
    assert "R-hat of tau is 1.2" in box[0]
    assert "ESS too low" in box[0]


def test_nothing_of_a_single_patient_is_read() -> None:
    run = full_run()
    assert "row" in run.tables["predictions"].columns
    part = shown_part(run)
    assert "predictions" not in part.tables
    assert "nomogram_patient" not in part.figures
    document = report_document(run)
    assert "figure-nomogram-patient" not in {
        block.anchor for block in document.blocks if isinstance(block, Picture)
    }
    assert "0.1234" not in report_page(document)


def table_one_of(event: list[int], no_event: list[int]) -> pd.DataFrame:
    """Table 1 of one predictor with these levels, by outcome."""
    counts = {
        "overall": np.add(event, no_event),
        "no_event": np.array(no_event),
        "event": np.array(event),
    }
    levels = [f"level {place}" for place in range(len(event))]
    return pd.DataFrame(
        {
            "name": ["", "age", *["site"] * len(event)],
            "label": ["Patients", "Age", *["Site"] * len(event)],
            "level": ["", "", *levels],
            "summary": ["n", "mean ± SD", *["n (%)"] * len(event)],
        }
        | {
            name: [
                str(of.sum()),
                "45.3 ± 13.3",
                *(f"{one} ({100 * one / max(of.sum(), 1):.1f})" for one in of),
            ]
            for name, of in counts.items()
        }
    )


def test_counts_below_five_are_not_told() -> None:
    run = full_run()
    tables = {**run.tables, "table_one": table_one_of([3, 40, 36], [29, 200, 294])}
    document = report_document(dataclasses.replace(run, tables=tables))
    shown = next(
        one for one in document.blocks if isinstance(one, Table) and one.anchor == "table-table-one"
    )
    cells = [[plain_text(cell) for cell in row[2:]] for row in shown.rows]
    assert cells[2] == ["32 (5.3)", "*", "<5"]
    assert sum(row[1:] == ["*", "*"] for row in cells[3:]) == 1  # else the total less the rest
    assert "fewer than five patients" in plain_text(shown.note)
    assert "3 (3.8)" not in report_page(document)


@for_all(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=5),
)
def test_no_small_count_follows_from_the_cells_that_are_shown(
    levels: list[tuple[int, int]],
) -> None:
    # what rows and columns leave out by subtraction: a hidden cell alone in its row or its column
    event, no_event = ([one[place] for one in levels] for place in (0, 1))
    table = table_one_of(event, no_event)
    hidden = hidden_cells(table)
    counts = {"overall": np.add(event, no_event), "event": event, "no_event": no_event}
    for name, column in counts.items():
        places = [place for place in range(len(levels)) if (place + 2, name) in hidden]
        assert {place for place, one in enumerate(column) if one < 5} <= set(places)
        assert len(places) != 1
    for place in range(len(levels)):
        assert ((place + 2, "event") in hidden) == ((place + 2, "no_event") in hidden)
        if (place + 2, "overall") in hidden:
            assert (place + 2, "event") in hidden
    few = min(sum(event), sum(no_event)) < 5
    assert ((1, "event") in hidden) == ((1, "no_event") in hidden) == few
    assert (0, "event") not in hidden


def test_table_one_without_small_counts_has_no_note(document: Document) -> None:
    shown = next(
        one for one in document.blocks if isinstance(one, Table) and one.anchor == "table-table-one"
    )
    assert shown.note == ()


def test_refits_that_failed_are_marked(document: Document) -> None:
    tables = {one.anchor: one for one in document.blocks if isinstance(one, Table)}
    table = tables["table-sensitivity-fits"]
    first = [plain_text(row[0]) for row in table.rows]
    assert first == ["as analysed", "normal (draws not to be trusted)"]


def test_notes_stand_on_top() -> None:
    page = report_page(report_document(full_run(notes=("Made by version 0.0.9; run it again.",))))
    assert "Made by version 0.0.9; run it again." in page[: page.index("<h2 ")]


# --- Strangers' texts ----------------------------------------------------------------------------


def test_hostile_labels_are_text_and_nothing_else() -> None:
    study = STUDY.replace("Demonstration of 3 candidates", "<script>window.hit = 2</script>")
    page = report_page(
        report_document(full_run(labels=HOSTILE, study=parse_study(study), problems=HOSTILE))
    )
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;window.hit = 1&lt;/script&gt;" in page
    assert "年" * 401 not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", page)


@for_all(st.text(max_size=300))
def test_harmless_text_is_one_short_line_without_controls(text: str) -> None:
    found = harmless(text)
    assert len(found) <= 201
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", found
    )
    assert harmless(found, at_most=len(found)) == found


# --- Documents as a whole ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document() -> Document:
    return report_document(full_run())


def test_headings_do_not_jump_and_anchors_are_unique(document: Document) -> None:
    levels = [block.level for block in document.blocks if isinstance(block, Heading)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    anchors = re.findall(r' id="([^"]+)"', report_page(document))
    assert len(anchors) == len(set(anchors))


@pytest.mark.parametrize("make", [full_run, sampled_run])
def test_every_jump_arrives(make: Any) -> None:
    page = report_page(report_document(make()))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r' id="([^"]+)"', page))


def test_tables_and_figures_count_from_one(document: Document) -> None:
    for kind in (Table, Picture):
        numbers = [block.number for block in document.blocks if isinstance(block, kind)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers


def test_captions_of_figures_name_their_tables(document: Document) -> None:
    drawn = {block.anchor: block.source for block in document.blocks if isinstance(block, Picture)}
    assert drawn["figure-roc"] == "tables/performance.csv"  # the run has no table roc
    assert drawn["figure-nomogram-horseshoe"] == "tables/nomogram.csv"


def test_captions_name_the_tables_that_the_figures_are_drawn_from() -> None:
    from bayes_cmvt.figures.supplementary import FIGURES

    for one in FIGURES:
        if not one.name.endswith(PRIVATE_FIGURES):
            assert {*one.needs, *one.also} <= set(DRAWN_FROM[kind_of(one.name)]), one.name


def test_page_asks_for_nothing_and_runs_nothing(document: Document) -> None:
    page = report_page(document)
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert re.findall(r'src="(?!data:)', page) == []
    assert re.findall(r' style="', page) == []


def test_references_are_those_cited_in_the_order_of_citation(document: Document) -> None:
    page = report_page(document)
    cited = [int(one) for one in re.findall(r'<a href="#reference-(\d+)">', page)]
    assert list(dict.fromkeys(cited)) == list(range(1, len(document.cited) + 1))
    assert page.count('<li id="reference-') == len(document.cited)


@pytest.mark.parametrize(
    ("change", "cited", "uncited"),
    [
        ({}, {"polson2013", "tibshirani1996", "piironen2017"}, {"hoffman2014", "heinze2002"}),
        ({"engine": "nuts"}, {"hoffman2014"}, {"polson2013"}),
        ({"stages": {}}, {"piironen2017"}, {"tibshirani1996", "piironen2020", "rubin1981"}),
    ],
)
def test_only_what_the_run_used_is_cited(
    change: dict[str, Any], cited: set[str], uncited: set[str]
) -> None:
    found = set(report_document(full_run(run=run_record() | change)).cited)
    assert cited <= found
    assert not uncited & found


def methods_of(run: ReportRun) -> str:
    """The methods as a reader sees them."""
    material = Material(shown_part(run), load_words("en"))
    blocks = methods(material, facts_of(material))
    return "\n".join(plain_text(one.content) for one in blocks if isinstance(one, Paragraph))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"p_enter": 1.0}, "refitted by maximum likelihood."),
        ({"p_enter": 0.1}, "P below 0.1 stayed"),
        ({"elimination": "aic"}, "backward elimination on the AIC"),
        ({"screen_p": 0.2}, "univariable P below 0.2"),
        ({"rule": "min"}, "at its best value"),
        ({"loss": "deviance"}, "of the deviance"),
        ({"cv": "glmnet"}, "as glmnet does"),
    ],
)
def test_methods_state_the_settings_of_the_baseline(setting: dict[str, Any], expected: str) -> None:
    record = run_record()
    record["stages"]["baseline"]["inputs"]["baseline"] |= setting
    assert expected in methods_of(full_run(run=record))


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ("", "with 1.5 of 3 columns expected to matter"),
        ("expected_nonzero = 2", "with 2.0 of 3 columns expected to matter"),
        ("global_scale = 0.07", "with a global scale of 0.07"),
        ('family = "normal"\nscale = 1.5', "a normal prior of scale 1.5"),
        ('family = "student-t"\ndf = 5', "Student-t prior with 5.0 degrees of freedom"),
    ],
)
def test_methods_state_the_prior(prior: str, expected: str) -> None:
    study = parse_study(f"{STUDY}\n[prior]\n{prior}\n")
    assert expected in methods_of(full_run(study=study))


def test_glossary_defines_the_columns_that_numbers_stand_in(document: Document) -> None:
    from bayes_cmvt.glossary import COLUMNS

    page = report_page(document)
    used = {
        value.column
        for block in document.blocks
        for content in contents_of(block)
        for value in content
        if isinstance(value, Value) and value.source.startswith("tables/")
    }
    defined = set(re.findall(r"<dt>([^<]+)</dt>", page))
    assert used & set(COLUMNS) == defined
    assert {"odds_ratio", "estimate", "same_set"} <= used


# --- Checklists and words ------------------------------------------------------------------------

TRIPOD = (
    "1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g 13 14 15 "
    "16 17 18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"
)
BARG = (
    "0.A 0.B 1.A 1.B 1.C 1.D 1.E 2.A 2.B 2.C 2.D 3.A 3.B 3.C 4.A 4.B 4.C 4.D 4.E 5.A 5.B 5.C 5.D "
    "5.E 6.A 6.B 6.C 6.D 6.E 6.F 6.G"
)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("make", [full_run, sampled_run])
def test_every_item_is_answered_or_left_to_the_author(language: str, make: Any) -> None:
    # the items of TRIPOD+AI 2024 (27 with their parts) and of BARG 2021 (steps and letters)
    run = make(language=language)
    material = Material(shown_part(run), load_words(language))
    lists = [one for one in checklists(material, facts_of(material)) if isinstance(one, Checklist)]
    assert [" ".join(item.item for item in one.items) for one in lists] == [TRIPOD, BARG]
    for item in (item for one in lists for item in one.items):
        assert item.answer or item.to_fill_in, item.item


@pytest.mark.parametrize(
    ("chosen", "difference", "inside", "expected"),
    [
        (1, -1.07, None, "With 1 of the predictors the loss is too small to be told from none"),
        (1, -12.3, None, "A smaller model loses more than noise: with 1 of the predictors"),
        (0, -1.4, None, "No predictor is needed"),
        (
            1,
            -1.07,
            -6.05,
            "A smaller model loses more than noise: with 1 of the predictors, judged",
        ),
        (1, -12.3, -3.9, "With 1 of the predictors the loss is too small to be told from none"),
        (0, -12.3, -1.4, "No predictor is needed"),
        (0, -1.4, -12.3, "A smaller model loses more than noise: with 0 of the predictors"),
    ],
)
def test_summary_says_what_a_smaller_model_loses(
    chosen: int, difference: float, inside: float | None, expected: str
) -> None:
    # by the rule of METHODS section 3: within one standard error (2), or above -4; of patients who
    # had no say in the size, where that is known
    record = run_record()
    record["stages"]["select"]["size_inside"] = (
        {} if inside is None else {"elpd_diff": inside, "se": 2.0}
    )
    run = full_run(run=record)
    selection = run.tables["selection"].assign(elpd_diff=difference, elpd_diff_se=2.0)
    selection["chosen"] = selection["size"] == chosen
    changed = dataclasses.replace(run, tables={**run.tables, "selection": selection})
    material = Material(shown_part(changed), load_words("en"))
    blocks = summary(material, facts_of(material))
    said = [plain_text(one.content) for one in blocks if isinstance(one, Paragraph)]
    told = [one for one in said if one.startswith(expected)]
    assert len(told) == 1
    decides = difference if inside is None else inside
    assert f"{number_text(decides, 1)} (standard error 2.0)" in told[0]
    flattered = [one for one in said if one.startswith("By the very patients who chose the size")]
    assert len(flattered) == (inside is not None)


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (0.9, 1.2, "The data settle the direction of none of the effects"),
        (1.1, 1.4, "3 that raise the risk and 0 that lower it"),
        (0.6, 0.9, "0 that raise the risk and 3 that lower it"),
    ],
)
def test_summary_says_whose_direction_is_decided(lower: float, upper: float, expected: str) -> None:
    run = full_run()
    table = run.tables["coefficients"].assign(odds_ratio_lower=lower, odds_ratio_upper=upper)
    changed = dataclasses.replace(run, tables={**run.tables, "coefficients": table})
    material = Material(shown_part(changed), load_words("en"))
    blocks = summary(material, facts_of(material))
    said = [plain_text(one.content) for one in blocks if isinstance(one, Paragraph)]
    assert any(expected in one for one in said)


@pytest.mark.parametrize("item", ["17", "18a", "18b", "14", "6a", "19", "4.A"])
def test_what_no_run_can_know_is_left_open(document: Document, item: str) -> None:
    page = report_page(document)
    row = re.search(rf'<span class="number">{item}</span>.*?</tr>', page, re.DOTALL)
    assert row
    assert "To be filled in by the author" in row[0]
    assert 'class="answer"' not in row[0]


def words_of(name: str, language: str) -> Any:
    return json.loads(template_text(f"{name}.{language}.json"))


def test_both_languages_say_the_same_with_the_same_facts() -> None:
    english, chinese = words_of("report", "en"), words_of("report", "zh")
    assert english.keys() == chinese.keys()
    for key, phrase in english.items():
        assert sorted(places(phrase)) == sorted(places(chinese[key])), key
        constants = [sorted(re.findall(r"\{[=@$][^}]*\}", one)) for one in (phrase, chinese[key])]
        assert constants[0] == constants[1], key


def test_both_languages_have_the_same_items() -> None:
    english, chinese = words_of("checklists", "en"), words_of("checklists", "zh")
    for name in ("tripod", "barg"):
        for one, other in zip(english[name], chinese[name], strict=True):
            assert one.keys() == other.keys()
            assert (one["item"], one.get("anchor")) == (other["item"], other.get("anchor"))
            for kind in ("answers", "also"):
                asked = [[sorted(places(p)) for p in held.get(kind, [])] for held in (one, other)]
                assert asked[0] == asked[1], one["item"]


def answer_of(document: Document, number: str) -> str:
    """What a document answers to one item of a checklist."""
    items = [item for one in document.blocks if isinstance(one, Checklist) for item in one.items]
    return next(plain_text(item.answer) for item in items if item.item == number)


def test_checklists_name_nothing_private_for_sharing(document: Document) -> None:
    # item 22: the file of the model has no patient; posterior.nc does
    assert "model/horseshoe.json" in answer_of(document, "22")
    assert "posterior.nc" not in answer_of(document, "22")


def test_checklists_say_whose_limits_and_which_events(document: Document) -> None:
    assert "116 events in 319 patients" in answer_of(document, "8a")
    assert "over the models of 1,000 resamples" in answer_of(document, "12e")
    record = run_record()
    record["stages"]["baseline"]["inputs"]["resamples"] = 0
    assert "resamples" not in answer_of(report_document(full_run(run=record)), "12e")


def test_compared_figures_name_their_methods(document: Document) -> None:
    tables = {one.anchor: one for one in document.blocks if isinstance(one, Table)}
    table = tables["table-compare-performance"]
    rows = [[plain_text(cell) for cell in row] for row in table.rows]
    assert rows[0][2:] == [
        *("1.062 (1.012 to 1.112)", "cross-validation", "0.931 (0.871 to 0.991)"),
        *("cross-validation", "1.236 (1.196 to 1.276)", "0.70"),
    ]
    assert rows[1][5:] == ["optimism-corrected; limits over resampled models", "–", "–"]
    assert rows[2][3] == rows[2][5] == "new patients"
    for name in ("table-performance", "table-compare-performance"):
        assert "can lie above its estimate" in plain_text(tables[name].note)


@pytest.mark.parametrize(("repeats", "expected"), [(1, "in 10 folds, once."), (5, "5 times.")])
def test_one_repeat_is_once(repeats: int, expected: str) -> None:
    record = run_record()
    record["stages"]["validate"]["inputs"]["settings"]["repeats"] = repeats
    assert expected in methods_of(full_run(run=record))
    assert "1 times" not in methods_of(full_run(run=record))


def test_power_scaling_alone_does_not_stand_for_other_priors() -> None:
    untested = "Other families of priors are untested in this run."
    run = full_run()
    tables = {name: one for name, one in run.tables.items() if name != "sensitivity_fits"}
    assert untested in report_page(report_document(dataclasses.replace(run, tables=tables)))
    assert untested not in report_page(report_document(run))


def test_candidates_are_predictors_and_not_columns() -> None:
    study = parse_study(STUDY.replace('levels = ["a", "b"]', 'levels = ["a", "b", "c"]'))
    run = full_run(study=study)
    table = run.tables["coefficients"]
    more = pd.concat([table, table.tail(1).assign(term="site[c]")], ignore_index=True)
    changed = dataclasses.replace(run, tables={**run.tables, "coefficients": more})
    material = Material(shown_part(changed), load_words("en"))
    facts = facts_of(material)
    assert [facts[name].text for name in ("candidates", "columns")] == ["3", "4"]  # type: ignore[union-attr]


def test_marks_end_as_their_language_does() -> None:
    record = run_record(file="cohort_SYNTHETIC.csv")
    for language, stop in (("en", "."), ("zh", "。")):
        page = report_page(report_document(full_run(language=language, run=record)))
        ends = {one[-1] for one in re.findall(r'<strong class="mark">([^<]+)</strong>', page)}
        assert ends == {stop}


def test_phrases_name_only_facts_and_works_that_exist() -> None:
    facts = set(facts_of(Material(shown_part(full_run()), load_words("en"))))
    told = {"effects", "command", "nomogram_said", "count", "table_one_note"}
    phrases = list(words_of("report", "en").values())
    for name in ("tripod", "barg"):
        for item in words_of("checklists", "en")[name]:
            phrases += [*item.get("answers", []), *item.get("also", [])]
    for phrase in phrases:
        assert set(places(phrase)) <= facts | told, phrase
        keys = {one[1:] for one in PLACE.findall(phrase) if one.startswith("@")}
        assert keys <= set(WORKS), phrase
