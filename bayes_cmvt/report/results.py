"""Patients and results of a report: its tables in order, each with what to know before reading."""

from __future__ import annotations

from bayes_cmvt.report.document import Block, Heading
from bayes_cmvt.report.effect_tables import (
    coefficient_rows,
    error_rows,
    recurrence_rows,
    size_rows,
    width_rows,
)
from bayes_cmvt.report.facts import say, with_facts
from bayes_cmvt.report.judgement_tables import (
    class_rows,
    compared_rows,
    net_benefit_rows,
    nomogram_rows,
    performance_rows,
    risk_rows,
)
from bayes_cmvt.report.material import Material
from bayes_cmvt.report.patient_tables import flow_rows, hidden_cells, table_one_rows
from bayes_cmvt.report.report_words import Facts
from bayes_cmvt.report.table_rows import missing, present, said_block


def described_patients(material: Material, facts: Facts) -> list[Block]:
    """Return the flow from the rows of the file to the patients, and Table 1.

    Parameters
    ----------
    material : Material
    facts : mapping

    Returns
    -------
    list of Block
    """
    words = material.words
    return [
        Heading(2, words["patients"], "patients"),
        *present(material, facts, "flow", flow_rows),
        *present(material, _with_mask(material, facts), "table_one", table_one_rows),
    ]


def _with_mask(material: Material, facts: Facts) -> Facts:
    """The facts and how hidden cells are marked, where there are any."""
    table = material.table("table_one")
    hides = table is not None and bool(hidden_cells(table))
    return with_facts(facts, table_one_note=say(material, "masked_note", facts) if hides else None)


def results(material: Material, facts: Facts) -> list[Block]:
    """Return the results: effects, selection, risks, performance, nomogram.

    Parameters
    ----------
    material : Material
    facts : mapping

    Returns
    -------
    list of Block
    """
    words = material.words
    return [
        Heading(2, words["results"], "results"),
        Heading(3, words["effects"], "effects"),
        *said_block(material, facts, "effects_read"),
        *present(material, facts, "coefficients", coefficient_rows),
        *([] if material.has("baseline_coefficients") else missing(material, facts, "baseline")),
        *present(material, facts, "compare_coefficients", width_rows, command="compare"),
        Heading(3, words["selection"], "selection"),
        *said_block(material, facts, "selection_read"),
        *present(material, facts, "selection", size_rows, command="select"),
        *present(material, facts, "selection_recurrence", recurrence_rows, command=None),
        *present(material, facts, "selection_errors", error_rows, command=None),
        Heading(3, words["risks"], "risks"),
        *present(material, facts, "compare_risk_marks", risk_rows, command="compare"),
        *present(material, facts, "compare_classes", class_rows, command=None),
        Heading(3, words["performance"], "performance"),
        *said_block(material, facts, "performance_read"),
        *present(material, facts, "performance", performance_rows, command="validate"),
        *present(material, facts, "compare_performance", compared_rows, command=None),
        *present(material, facts, "net_benefit", net_benefit_rows, command="validate"),
        Heading(3, words["nomogram"], "nomogram"),
        *present(material, facts, "nomogram", nomogram_rows, command="nomogram"),
    ]
