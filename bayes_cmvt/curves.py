"""Curves with their bands, and tenths of the patients, as tables: no patient can be told from them.

Calibration and ROC curves stand on grids, never at the risks of single patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayes_cmvt import metrics
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.scoring import ROC_GRID, Floats, Risks, Scored

GROUPS, PATIENTS_AT_LEAST = 10, 10  # smaller groups would tell of single patients
CUT_DECIMALS = 3
TINY = 1e-300


def calibration_table(scored: Scored, ci_prob: float = 0.95) -> pd.DataFrame:
    """Calibration curve with its band over patients, on a grid of risks, for drawing.

    A local regression may leave [0, 1]; the curve and its band are cut there.

    Returns
    -------
    DataFrame
        ``model, set, method, smoother, risk, observed, lower, upper, interval``.
    """
    lower, _, upper = equal_tailed(scored.replicates["calibration"], ci_prob).clip(0, 1)
    observed = scored.estimate["calibration"].clip(0, 1)
    curve = {"smoother": scored.settings.smoother, "risk": scored.grid}
    curve |= {"observed": observed, "lower": lower, "upper": upper}
    return _about(scored.risks, curve, ci_prob)


def roc_table(scored: Scored, ci_prob: float = 0.95) -> pd.DataFrame:
    """ROC curve with its band over patients, on a grid of false-positive rates.

    Returns
    -------
    DataFrame
        ``model, set, method, false_positive_rate, sensitivity, lower, upper, interval``.
    """
    lower, _, upper = equal_tailed(scored.replicates["roc"], ci_prob)
    curve = {"false_positive_rate": ROC_GRID, "sensitivity": scored.estimate["roc"]}
    return _about(scored.risks, {**curve, "lower": lower, "upper": upper}, ci_prob)


def _about(risks: Risks, columns: Mapping[str, Any], ci_prob: float) -> pd.DataFrame:
    about = {"model": risks.model, "set": risks.set, "method": risks.method}
    return pd.DataFrame({**about, **columns, "interval": ci_prob})


@dataclass(frozen=True, eq=False)
class GroupedPatients:
    """Patients in tenths by risk, fewer groups where a tenth would be less than ten patients.

    Attributes
    ----------
    risks : Risks
        With one risk for each patient.
    groups : RiskGroups
    predicted : ndarray, shape (draw, group)
        Events of outcomes simulated from each draw's risks.
    expected, variance : ndarray, shape (draw, group)
        Of the number of events, by each draw's risks.
    """

    risks: Risks
    groups: metrics.RiskGroups
    predicted: Floats
    expected: Floats
    variance: Floats


def group_patients(risks: Risks, draws: Floats, seed: int) -> GroupedPatients:
    """Put patients in groups by risk, with what each draw says of the events there.

    Parameters
    ----------
    risks : Risks
        With one risk for each patient.
    draws : ndarray, shape (draw, patient)
        Risk of these patients in each draw.
    seed : int
        Of the simulated outcomes.
    """
    rule = risks.risk[0]
    groups = metrics.risk_groups(risks.outcome, rule, _groups(risks))
    group = np.searchsorted(groups.upper[:-1], rule, side="left")
    member = np.asarray(group[:, np.newaxis] == np.arange(len(groups.upper)), dtype=float)
    simulated = (np.random.default_rng(seed).random(draws.shape) < draws).astype(float)
    return GroupedPatients(
        risks, groups, simulated @ member, draws @ member, (draws * (1 - draws)) @ member
    )


def risk_group_table(grouped: GroupedPatients, ci_prob: float = 0.95) -> pd.DataFrame:
    """Events of each group of patients beside those that the model predicts.

    Parameters
    ----------
    grouped : GroupedPatients
    ci_prob : float in (0, 1)
        Of the posterior predictive interval of the number of events.

    Returns
    -------
    DataFrame
        ``model, set, method, group, risk_lower, risk_upper, patients, events, expected,
        predicted_lower, predicted_upper, interval``.
    """
    groups, limits = grouped.groups, tails(ci_prob)
    lower, upper = np.quantile(grouped.predicted, limits, axis=0, method="inverted_cdf")
    columns: dict[str, Any] = {"group": np.arange(1, len(groups.patients) + 1)}
    # the outermost limits are the risks of two patients
    cuts = np.round(groups.upper[:-1], CUT_DECIMALS)
    columns |= {"risk_lower": [np.nan, *cuts], "risk_upper": [*cuts, np.nan]}
    columns |= {"patients": groups.patients, "events": groups.events, "expected": groups.expected}
    columns |= {"predicted_lower": lower, "predicted_upper": upper}
    return _about(grouped.risks, columns, ci_prob)


def calibration_tests(grouped: GroupedPatients) -> pd.DataFrame:
    """Whether events in groups of patients fit the risks. Low power: a large P shows little.

    ``posterior_predictive``: how often outcomes simulated from the draws are as far from their
    risks as the observed ones, by the chi-square discrepancy over groups (Gelman, Meng & Stern
    1996). ``hosmer_lemeshow`` on patients that the model has not seen: its reference law holds
    there and for maximum likelihood, not for the apparent risks of a shrunk model.

    Returns
    -------
    DataFrame
        ``model, set, method, test, statistic, df, p_value``.
    """
    risks = grouped.risks
    observed, simulated = (
        ((events - grouped.expected) ** 2 / np.maximum(grouped.variance, TINY)).sum(axis=-1)
        for events in (grouped.groups.events, grouped.predicted)
    )
    p_value = float(np.mean(simulated >= observed))
    rows = [{"test": "posterior_predictive", "statistic": observed.mean(), "p_value": p_value}]
    if risks.method == "holdout":
        test = metrics.hosmer_lemeshow(risks.outcome, risks.risk[0], _groups(risks), external=True)
        rows.append({"test": "hosmer_lemeshow", **asdict(test)})
    about = {"model": risks.model, "set": risks.set, "method": risks.method}
    columns = [*about, "test", "statistic", "df", "p_value"]
    return pd.DataFrame([{**about, **row} for row in rows], columns=columns)


def _groups(risks: Risks) -> int:
    """Return how many groups of at least ten patients there can be, ten at the most."""
    return max(1, min(GROUPS, len(risks.outcome) // PATIENTS_AT_LEAST))
