"""Every arithmetic claim of a print, tested: consistent, impossible, or cannot be told.

No row accuses anybody: numbers that cannot stand together have usually been misprinted, rounded
on the way or taken from two versions of an analysis.
"""

from __future__ import annotations

from dataclasses import astuple

import pandas as pd

from bayes_cmvt.published.effect_claims import effect_claims
from bayes_cmvt.published.performance_claims import performance_claims
from bayes_cmvt.published.planning_claims import planning_claims
from bayes_cmvt.published.printed_table import PrintedTable
from bayes_cmvt.published.scenario_claims import scenario_claims
from bayes_cmvt.published.verdicts import IMPOSSIBLE, Claim

COLUMNS = ["claim_id", "claim", "implies", "verdict", "reason"]


def _tested(table: PrintedTable) -> list[Claim]:
    return [
        *performance_claims(table),
        *scenario_claims(table),
        *effect_claims(table),
        *planning_claims(table),
    ]


def claims(table: PrintedTable) -> pd.DataFrame:
    """Test every arithmetic claim of a print.

    Numbers of patients; sensitivity and specificity as fractions of whole patients; each joint
    number of events; areas under the ROC curve, their intervals and their standard errors; odds
    ratios, limits and P values; the rule that chose them; the sample-size formula; events per
    candidate; expected shrinkage.

    Parameters
    ----------
    table : PrintedTable

    Returns
    -------
    DataFrame
        ``claim_id, claim, implies, verdict, reason``. A verdict "impossible" means that no data
        whatever give the printed numbers; "cannot be told" says what would be needed.
    """
    return pd.DataFrame([astuple(one) for one in _tested(table)], columns=COLUMNS)


def impossible(table: PrintedTable) -> list[str]:
    """Return the impossible claims of a print, one line each, to stand beside other problems.

    Parameters
    ----------
    table : PrintedTable
        Possibly contradictory.

    Returns
    -------
    list of str
    """
    return [
        f"{one.claim}: impossible. {one.implies} {one.reason}"
        for one in _tested(table)
        if one.verdict == IMPOSSIBLE
    ]
