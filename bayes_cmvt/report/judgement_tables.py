"""Risks, performance, usefulness and the nomogram as tables of a report."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

from bayes_cmvt.report.document import Content, Value, given
from bayes_cmvt.report.facts import ESTIMATE, performance_key
from bayes_cmvt.report.material import Key, Material, cell, limits, matching
from bayes_cmvt.report.table_rows import (
    MODELS,
    SETS,
    Row,
    Rows,
    from_to,
    heads,
    held,
    interval,
    named,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd

METRICS = (
    "auc",
    "leave_pair_out_auc",
    "calibration_slope",
    "calibration_in_the_large",
    "integrated_calibration_index",
    "brier_score",
    "scaled_brier_score",
    "log_score",
)
COMPARED_KEY = ("set", "metric", "credible_method", "bootstrap_method")
METHODS = ("apparent", "kfold", "loo", "optimism_corrected", "optimism_corrected_refit", "holdout")


def risk_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return groups of at least five patients in order of risk: about every tenth of them."""
    rows: list[Row] = []
    name = "compare_risk_marks"
    for which in held(table, "set", SETS):
        marks = table.loc[table["set"] == which, "mark"].sort_values()
        step = -(-len(marks) // 10)
        for mark in marks.iloc[::step]:
            key: dict[str, Key] = {"set": which, "mark": mark}
            rows.append(
                (
                    named(material, "set", which),
                    shown(cell(material, name, "patients", key, digits=0)),
                    interval(material, name, "credible", key),
                    interval(material, name, "bootstrap", key),
                    from_to(material, name, "wald", key),
                )
            )
    head = ("set", "patients", "credible_risk", "bootstrap_risk", "wald_risk")
    return heads(material, head), rows


def class_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return how many patients are of each pair of classes."""
    rows: list[Row] = []
    key_columns = ("set", "credible_class", "bootstrap_class")
    ordered = table.sort_values(list(key_columns))
    for place in range(len(ordered)):
        key: dict[str, Key] = {one: ordered[one].iloc[place] for one in key_columns}
        rows.append(
            (
                named(material, "set", key["set"]),
                *((given(key[one]),) for one in key_columns[1:]),
                shown(cell(material, "compare_classes", "patients", key, digits=0)),
            )
        )
    head = ("set", "credible_class", "bootstrap_class", "patients")
    return heads(material, head), rows


def performance_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return each figure by set, metric and method, the models side by side."""
    words = material.words
    models = held(table, "model", MODELS)
    members = matching(table, {"interval_of": "patients"})
    found = set(zip(members["set"], members["metric"], members["method"], strict=True))
    rows: list[Row] = []
    for which, metric, method in (one for one in product(SETS, METRICS, METHODS) if one in found):
        told = (("set", which), ("metric", metric), ("method", method))
        first = (named(material, kind, name) for kind, name in told)
        keys = (performance_key(which, metric, method, model) for model in models)
        figures = (limits(material, "performance", ESTIMATE, key, digits=3) for key in keys)
        rows.append((*first, *figures))
    head = [words[f"model_{one}"] for one in models]
    return [*heads(material, ("set", "metric", "method")), *head], rows


def compared_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return the figures of both models that are to be quoted, with three kinds of intervals."""
    name = "compare_performance"
    rows: list[Row] = []
    columns = [one for one in COMPARED_KEY if one in table.columns]
    for place in range(len(table)):
        line = table[columns].iloc[place]
        key: dict[str, Key] = {one: line[one] for one in columns if isinstance(line[one], str)}
        rows.append(
            (
                named(material, "set", key["set"]),
                named(material, "metric", key["metric"]),
                interval(material, name, "credible", key),
                _method(material, "credible", key),
                interval(material, name, "bootstrap", key),
                _method(material, "bootstrap", key),
                interval(material, name, "wald", key),
                shown(cell(material, name, "width_ratio", key, digits=2)),
            )
        )
    models = (material.words[f"model_{one}"] for one in MODELS[:2])
    by = material.words["c_method"]
    first, last = heads(material, ("set", "metric")), heads(material, ("wald_only", "width_ratio"))
    return [*first, *(word for one in models for word in (one, by)), *last], rows


def _method(material: Material, kind: str, key: Mapping[str, Key]) -> Content:
    """How a figure was judged, and whether its limits are over models instead of patients."""
    name = "compare_performance"
    method = key.get(f"{kind}_method")
    if not method:
        return shown(None)
    said = named(material, "method", method)
    over = cell(material, name, f"{kind}_interval_of", key)
    if over is None or over.number != "draws":
        return said
    return (*said, material.words["list_comma"], material.words["over_models"])


def net_benefit_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return net benefit at the study's thresholds, as the grid of the table has them."""
    words, decision = material.words, material.run.study.decision
    low, high = decision.thresholds
    middle = decision.use if decision.use is not None else (low + high) / 2
    strategies = held(table, "strategy", (*MODELS, "treat_all"))
    rows: list[Row] = []
    for which in held(table, "set", SETS):
        members = table[table["set"] == which]
        for wanted in (low, middle, high):
            threshold = members["threshold"].iloc[(members["threshold"] - wanted).abs().argmin()]
            rows.append(
                (
                    named(material, "set", which),
                    shown(_threshold(material, which, threshold, strategies[0])),
                    *(
                        limits(
                            material,
                            "net_benefit",
                            ("net_benefit", "lower", "upper"),
                            {"set": which, "strategy": one, "threshold": threshold},
                            digits=3,
                        )
                        for one in strategies
                    ),
                )
            )
    head = [words["c_set"], words["c_threshold"], *(words[f"model_{one}"] for one in strategies)]
    return head, rows


def _threshold(material: Material, which: str, threshold: float, strategy: str) -> Value | None:
    key: dict[str, Key] = {"set": which, "strategy": strategy, "threshold": threshold}
    return cell(material, "net_benefit", "threshold", key, digits=2)


def nomogram_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return one row for each axis of the first model: how many points it can give."""
    words = material.words
    model = next(iter(held(table, "model", (*MODELS, "published"))), table["model"].iloc[0])
    first = table[table["model"] == model].drop_duplicates("axis")
    order = first.sort_values("length", ascending=False)
    rows: list[Row] = []
    for axis, value, label in zip(order["axis"], order["value"], order["label"], strict=True):
        key: dict[str, Key] = {"model": model, "axis": axis, "value": value}
        rows.append(
            (
                (given(label, 120),),
                shown(cell(material, "nomogram", "length", key, digits=0)),
            )
        )
    return (words["c_axis"], words["c_length"]), rows
