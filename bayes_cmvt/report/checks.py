"""Diagnostics and sensitivity of a report: whether draws can be trusted, what the prior does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayes_cmvt.report.document import (
    Block,
    Bullets,
    Content,
    Heading,
    Paragraph,
    given,
)
from bayes_cmvt.report.facts import say
from bayes_cmvt.report.figure_pages import pictures_of
from bayes_cmvt.report.material import Key, Material, cell, limits
from bayes_cmvt.report.report_words import Facts
from bayes_cmvt.report.table_rows import Rows, heads, missing, named, present, shown

if TYPE_CHECKING:
    import pandas as pd

WORST = 12  # quantities in the table of diagnostics
MOST_TERMS = 10  # effects under several priors


def diagnostics(material: Material, facts: Facts) -> list[Block]:
    """Return what the gate found, the worst quantities, left-out patients, predictive checks.

    Parameters
    ----------
    material : Material
    facts : mapping

    Returns
    -------
    list of Block
    """
    words = material.words
    verdict = "verdict_failed" if material.run.problems else "verdict_passed"
    said = [say(material, key, facts) for key in (verdict, "d_sampled", "d_left_out")]
    return [
        Heading(2, words["diagnostics"], "diagnostics"),
        *(Paragraph(one) for one in said[:1] if one is not None),
        *([_problems(material)] if material.run.problems else []),
        *(Paragraph(one) for one in said[1:] if one is not None),
        *present(material, facts, "diagnostics", _worst),
        *pictures_of(material, facts, "diagnostics"),
        Heading(3, words["predictive_checks"], "predictive-checks"),
        *present(material, facts, "predictive_checks", _checks, command="figures"),
        *pictures_of(material, facts, "predictive_checks"),
    ]


def sensitivity(material: Material, facts: Facts) -> list[Block]:
    """Return how far the results hang on the prior, or the command that finds out.

    Parameters
    ----------
    material : Material
    facts : mapping

    Returns
    -------
    list of Block
    """
    heading = Heading(2, material.words["sensitivity"], "sensitivity")
    if not material.has("sensitivity_power") and not material.has("sensitivity_fits"):
        said = say(material, "sensitivity_not_run", facts)
        return [
            heading,
            *([Paragraph(said)] if said else []),
            *missing(material, facts, "sensitivity"),
        ]
    return [
        heading,
        *(
            Paragraph(one)
            for key in _sensitivity_keys(material)
            if (one := say(material, key, facts))
        ),
        *present(material, facts, "sensitivity_power", _power, command="sensitivity"),
        *present(material, facts, "sensitivity_fits", _fits, command="sensitivity"),
        *present(material, facts, "sensitivity_priors", _priors, command=None),
        *pictures_of(material, facts, "sensitivity"),
    ]


def _sensitivity_keys(material: Material) -> list[str]:
    """How to read what was done, and what was not."""
    weighed = ["sensitivity_read"] if material.has("sensitivity_power") else []
    refitted = (
        "sensitivity_fits_read" if material.has("sensitivity_fits") else "sensitivity_untested"
    )
    return [*weighed, refitted]


def _problems(material: Material) -> Block:
    return Bullets(tuple((given(one, 400),) for one in material.run.problems))


def _worst(material: Material, table: pd.DataFrame) -> Rows:
    """The quantities with the fewest effective draws."""
    worst = table.sort_values("ess_bulk", kind="stable").head(WORST)
    rows: list[tuple[Content, ...]] = []
    for quantity in worst["quantity"]:
        key: dict[str, Key] = {"quantity": quantity}
        found = (
            cell(material, "diagnostics", "rhat", key, digits=4),
            cell(material, "diagnostics", "ess_bulk", key, digits=0),
            cell(material, "diagnostics", "ess_tail", key, digits=0),
            cell(material, "diagnostics", "mcse_mean", key),
        )
        rows.append(((given(quantity, 80),), *(shown(value) for value in found)))
    head = ("quantity", "rhat", "ess_bulk", "ess_tail", "mcse")
    return heads(material, head), rows


def _checks(material: Material, table: pd.DataFrame) -> Rows:
    name = "predictive_checks"
    rows: list[tuple[Content, ...]] = []
    members = table[(table["check"] != "predictor") & (table["distribution"] == "posterior")]
    for check, group, label in zip(
        members["check"], members["group"], members["label"], strict=True
    ):
        key: dict[str, Key] = {"check": check, "distribution": "posterior", "group": group}
        called = label if isinstance(label, str) else group
        rows.append(
            (
                named(material, "check", check),
                (given(called, 80),),
                shown(cell(material, name, "observed", key, digits=0)),
                limits(material, name, ("median", "lower", "upper"), key, digits=0),
                shown(cell(material, name, "p_value", key, digits=2)),
            )
        )
    head = ("check", "group", "observed", "predicted", "p_value")
    return heads(material, head), rows


def _power(material: Material, table: pd.DataFrame) -> Rows:
    name = "sensitivity_power"
    rows: list[tuple[Content, ...]] = []
    most = table.sort_values("prior", ascending=False).head(WORST)
    for quantity, label in zip(most["quantity"], most["label"], strict=True):
        key: dict[str, Key] = {"quantity": quantity}
        rows.append(
            (
                (given(label if isinstance(label, str) else quantity, 120),),
                shown(cell(material, name, "prior", key, digits=3)),
                shown(cell(material, name, "likelihood", key, digits=3)),
                _diagnosis(material, key),
            )
        )
    head = ("quantity", "power_prior", "power_likelihood", "diagnosis")
    return heads(material, head), rows


def _diagnosis(material: Material, key: Mapping[str, Key]) -> Content:
    """What power-scaling found, in the language of the report where it has the words."""
    found = cell(material, "sensitivity_power", "diagnosis", key)
    if found is None:
        return shown(found)
    return (material.words.get(f"diagnosis_{found.text}") or found,)


def _fits(material: Material, table: pd.DataFrame) -> Rows:
    name = "sensitivity_fits"
    rows: list[tuple[Content, ...]] = []
    for prior in table["prior"]:
        key: dict[str, Key] = {"prior": prior}
        rows.append(
            (
                _described(material, prior),
                limits(material, name, ("m_eff", "m_eff_lower", "m_eff_upper"), key, digits=1),
                shown(cell(material, name, "elpd_diff", key, digits=1)),
                shown(cell(material, name, "elpd_diff_se", key, digits=1)),
                shown(cell(material, name, "risk_mean_difference", key, digits=3)),
                shown(cell(material, name, "risk_largest_difference", key, digits=3)),
                shown(cell(material, name, "median_width", key, digits=3)),
            )
        )
    head = ("prior", "m_eff", "elpd_diff", "se", "risk_mean", "risk_largest", "median_width")
    return heads(material, head), rows


def _described(material: Material, prior: str) -> Content:
    """A prior by its name and as it was."""
    called = named(material, "prior", prior)
    as_it_was = cell(material, "sensitivity_fits", "description", {"prior": prior})
    described = (*called, material.words["colon"], as_it_was) if as_it_was else called
    trusted = cell(material, "sensitivity_fits", "trusted", {"prior": prior})
    doubted = trusted is not None and not trusted.number
    return (*described, f" ({material.words['fit_untrusted']})") if doubted else described


def _priors(material: Material, table: pd.DataFrame) -> Rows:
    """Odds ratios of the effects that are kept most, side by side under each prior."""
    words, name = material.words, "sensitivity_priors"
    priors = list(dict.fromkeys(table["prior"]))
    first = table[table["prior"] == priors[0]]
    order = first.sort_values("shrinkage") if "shrinkage" in table.columns else first
    rows: list[tuple[Content, ...]] = []
    columns = ("odds_ratio", "odds_ratio_lower", "odds_ratio_upper")
    for term, label in list(zip(order["term"], order["label"], strict=True))[:MOST_TERMS]:
        cells = [limits(material, name, columns, {"prior": one, "term": term}) for one in priors]
        contrast = cell(material, name, "contrast", {"prior": priors[0], "term": term})
        rows.append(((given(label, 120),), shown(contrast), *cells))
    head = heads(material, ("effect", "contrast"))
    return [*head, *(words.get(f"prior_{one}", one) for one in priors)], rows
