"""Effects and their selection as tables of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayes_cmvt.report.document import Content, Value, given
from bayes_cmvt.report.facts import ESTIMATE, OTHERS
from bayes_cmvt.report.material import NOTHING, PER_CENT, Key, Material, cell, limits, matching
from bayes_cmvt.report.table_rows import (
    Row,
    Rows,
    heads,
    named,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd

MORE_SIZES = 3  # beyond the chosen one


def coefficient_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return each odds ratio with its credible interval, beside the frequentist workflow."""
    baseline = material.has("baseline_coefficients")
    head = ["effect", "contrast", "credible", "prob_positive", "kept"]
    head += ["bootstrap", "boot_zero", "wald"] if baseline else []
    order = matching(table, OTHERS)
    rows = []
    for term, label in zip(order["term"], order["label"], strict=True):
        key: dict[str, Key] = {"term": term}
        columns = ("odds_ratio", "odds_ratio_lower", "odds_ratio_upper")
        row: list[Content] = [
            (given(label, 120),),
            shown(_contrast(material, term)),
            limits(material, "coefficients", columns, key),
            shown(cell(material, "coefficients", "prob_positive", key, digits=3)),
            shown(_shrunk(material, key)),
        ]
        rows.append((*row, *(_bootstrap(material, key) if baseline else ())))
    return heads(material, head), rows


def _contrast(material: Material, term: str) -> Value | None:
    return cell(material, "coefficients", "per", {"term": term})


def _shrunk(material: Material, key: Mapping[str, Key]) -> Value | None:
    return cell(material, "coefficients", "shrinkage", key, digits=2)


def _bootstrap(material: Material, key: Mapping[str, Key]) -> list[Content]:
    name = "baseline_coefficients"
    boot = ("odds_ratio", "odds_ratio_boot_lower", "odds_ratio_boot_upper")
    wald = ("odds_ratio", "odds_ratio_wald_lower", "odds_ratio_wald_upper")
    selected = cell(material, name, "odds_ratio_wald_lower", key) is not None
    return [
        limits(material, name, boot, key),
        shown(cell(material, name, "boot_zero", key, digits=0, unit=PER_CENT)),
        limits(material, name, wald, key) if selected else (NOTHING,),
    ]


def width_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return interval against interval, per SD, on the log-odds."""
    rows: list[Row] = []
    members = matching(table, {"scale": "std_log_odds", **OTHERS})
    for term, label in zip(members["term"], members["label"], strict=True):
        key: dict[str, Key] = {"term": term, "scale": "std_log_odds"}
        kinds = ("credible", "bootstrap")
        columns = [tuple(f"{one}_{what}" for what in ESTIMATE) for one in kinds]
        rows.append(
            (
                (given(label, 120),),
                *(
                    limits(material, "compare_coefficients", one, key, digits=2)  # type: ignore[arg-type]
                    for one in columns
                ),
                *(
                    shown(cell(material, "compare_coefficients", one, key, digits=2))
                    for one in ("width_ratio", "overlap")
                ),
            )
        )
    head = ("effect", "credible_sd", "bootstrap_sd", "width_ratio", "overlap")
    return heads(material, head), rows


def size_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return the smaller models up to a few sizes beyond the chosen one."""
    words = material.words
    chosen = table.loc[table["chosen"].astype(bool), "size"]
    last = (int(chosen.iloc[0]) if len(chosen) else 0) + MORE_SIZES
    rows: list[Row] = []
    members = table[table["size"] <= last]
    for size, label, mark in zip(members["size"], members["label"], members["chosen"], strict=True):
        key: dict[str, Key] = {"size": size}
        name = words["intercept_alone"] if size == 0 else given(label, 120)
        rows.append(
            (
                shown(cell(material, "selection", "size", key, digits=0)),
                (name, f" {words['chosen']}") if mark else (name,),
                shown(cell(material, "selection", "elpd_diff", key, digits=1)),
                shown(cell(material, "selection", "elpd_diff_se", key, digits=1)),
                shown(cell(material, "selection", "auc", key, digits=3)),
            )
        )
    return heads(material, ("size", "added", "elpd_diff", "se", "auc")), rows


def recurrence_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return how often each rule chooses the same set again, by what was changed."""
    rows: list[Row] = []
    for procedure, source in zip(table["procedure"], table["source"], strict=True):
        key: dict[str, Key] = {"procedure": procedure, "source": source}
        name = "selection_recurrence"
        rows.append(
            (
                named(material, "procedure", procedure),
                named(material, "source", source),
                shown(cell(material, name, "replicates", key, digits=0)),
                shown(cell(material, name, "size", key, digits=1)),
                shown(cell(material, name, "same_set", key, digits=0, unit=PER_CENT)),
                shown(cell(material, name, "distinct_sets", key, digits=0)),
            )
        )
    head = ("procedure", "source", "replicates", "mean_size", "same_set", "distinct_sets")
    return heads(material, head), rows


def error_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return the errors that the posterior expects of each rule."""
    rows: list[Row] = []
    for procedure in table["procedure"]:
        key: dict[str, Key] = {"procedure": procedure}
        name = "selection_errors"
        rows.append(
            (
                named(material, "procedure", procedure),
                shown(cell(material, name, "columns", key, digits=0)),
                shown(cell(material, name, "expected_wrong_sign", key, digits=2)),
                shown(cell(material, name, "expected_in_rope", key, digits=2)),
            )
        )
    head = ("procedure", "columns", "expected_wrong_sign", "expected_in_rope")
    return heads(material, head), rows
