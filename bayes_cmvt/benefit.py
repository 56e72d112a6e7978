"""Net benefit of acting on the risks, of treating everybody and of treating nobody."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_cmvt import metrics
from bayes_cmvt.intervals import equal_tailed
from bayes_cmvt.scoring import Floats, Scored

SAME_AS_ALL, SAME_AS_NONE = "same as treat-all", "same as treat-none"
PATIENTS_AT_LEAST = 10  # on either side of a threshold: fewer decide nothing, whatever P says
FEW = f"fewer than {PATIENTS_AT_LEAST} patients on one side"
STEP = 0.01  # between thresholds of a decision curve
COLUMNS = [
    "set",
    "strategy",
    "threshold",
    "net_benefit",
    "lower",
    "upper",
    "prob_useful",
    "method",
    "apparent",
    "net_benefit_per_1000",
    "interventions_avoided_per_1000",
    "expected_net_benefit",
    "expected_lower",
    "expected_upper",
    "evpi_development",
    "evpi_validation",
    "note",
    "interval",
]


def threshold_grid(low: float, high: float) -> Floats:
    """Thresholds of a decision curve, 0.01 apart, both ends included.

    Examples
    --------
    >>> threshold_grid(0.05, 0.08).tolist()
    [0.05, 0.06, 0.07, 0.08]
    """
    inner = np.arange(np.ceil(low / STEP - 1e-9), np.floor(high / STEP + 1e-9) + 1) * STEP
    return np.unique(np.round(np.concatenate([[low], inner, [high]]), 10))


def net_benefit_table(
    quoted: Scored, deployed: Scored, draws: Floats | None, ci_prob: float = 0.95
) -> pd.DataFrame:
    """Net benefit of acting on a model's risks at each threshold.

    Parameters
    ----------
    quoted : Scored
        For development patients the cross-validated risks, lest optimism is counted as benefit.
    deployed : Scored
        The same patients by the rule as it is deployed.
    draws : ndarray, shape (draw, patient), optional
        Risk of these patients in each posterior draw: what the model expects of its own rule.
        Without a posterior nothing is expected.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``set, strategy, threshold, net_benefit, lower, upper, prob_useful`` and more.
    """
    thresholds = quoted.settings.thresholds
    own, every = quoted.replicates["decision"], quoted.replicates["treat_all"]
    table = _strategy(quoted, quoted.risks.model, "decision", ci_prob)
    gained = quoted.estimate["decision"] - quoted.estimate["treat_all"]
    strategies = np.stack([own, every, np.zeros_like(own)], axis=-1)
    columns: dict[str, Any] = {
        "prob_useful": metrics.probability_useful(own, every),
        "interventions_avoided_per_1000": 1000 * gained * (1 - thresholds) / thresholds,
        "evpi_validation": [
            max(0.0, metrics.evpi_validation(each)) for each in strategies.swapaxes(0, 1)
        ],
        "note": _notes(quoted),
    }
    if deployed is not quoted:
        columns["apparent"] = deployed.estimate["decision"]
    if draws is not None:
        columns |= _expected(draws, deployed.risks.risk[0], thresholds, ci_prob)
    return pd.concat([table, pd.DataFrame(columns)], axis=1).reindex(columns=COLUMNS)


def _notes(scored: Scored) -> list[str]:
    """Say at each threshold whether the model decides anything, and for how many."""
    risk = scored.risks.risk
    notes = []
    for threshold in scored.settings.thresholds:
        treated = (risk >= threshold).mean(axis=0)
        smaller = min(treated.sum(), (1 - treated).sum())
        if smaller == 0:
            notes.append(SAME_AS_ALL if treated.all() else SAME_AS_NONE)
        else:
            notes.append(FEW if smaller < PATIENTS_AT_LEAST else "")
    return notes


def treat_all_or_none(scored: Scored, ci_prob: float = 0.95) -> pd.DataFrame:
    """Net benefit of treating everybody and of treating nobody, as rows of `net_benefit_table`."""
    everybody = _strategy(scored, "treat_all", "treat_all", ci_prob)
    nothing: dict[str, Any] = {
        "strategy": "treat_none",
        "net_benefit": 0.0,
        "lower": 0.0,
        "upper": 0.0,
    }
    nobody = everybody.assign(**nothing, net_benefit_per_1000=0.0)
    return (
        pd.concat([everybody, nobody], ignore_index=True).assign(note="").reindex(columns=COLUMNS)
    )


def _strategy(scored: Scored, name: str, scores: str, ci_prob: float) -> pd.DataFrame:
    """Rows of one strategy: its net benefit with limits over patients."""
    estimate = scored.estimate[scores]
    lower, _, upper = equal_tailed(scored.replicates[scores], ci_prob)
    about = {"set": scored.risks.set, "strategy": name, "threshold": scored.settings.thresholds}
    limits = {"net_benefit": estimate, "lower": lower, "upper": upper}
    more = {"net_benefit_per_1000": 1000 * estimate, "method": scored.risks.method}
    return pd.DataFrame({**about, **limits, **more, "interval": ci_prob})


def _expected(draws: Floats, rule: Floats, thresholds: Floats, ci_prob: float) -> dict[str, Any]:
    """What the model expects of its own rule, and what knowing the truth would add."""
    expected = np.stack(
        [metrics.expected_net_benefit(draws, rule, threshold) for threshold in thresholds], axis=-1
    )
    lower, _, upper = equal_tailed(expected, ci_prob)
    return {
        "expected_net_benefit": expected.mean(axis=0),
        "expected_lower": lower,
        "expected_upper": upper,
        "evpi_development": np.array(
            [max(0.0, metrics.evpi_development(draws, rule, each)) for each in thresholds]
        ),
    }


def net_benefit_difference(scored: Sequence[Scored], ci_prob: float = 0.95) -> pd.DataFrame:
    """Difference in net benefit between models on the same patients, paired.

    Returns
    -------
    DataFrame
        ``set, model_a, model_b, threshold, difference, lower, upper, interval``; a minus b.
    """
    tables = []
    for a, b in itertools.combinations(scored, 2):
        if (a.risks.set, a.risks.method) != (b.risks.set, b.risks.method):
            continue
        lower, _, upper = equal_tailed(a.replicates["decision"] - b.replicates["decision"], ci_prob)
        about: dict[str, Any] = {
            "set": a.risks.set,
            "model_a": a.risks.model,
            "model_b": b.risks.model,
        }
        difference = a.estimate["decision"] - b.estimate["decision"]
        limits = {"net_benefit_difference": difference, "lower": lower, "upper": upper}
        about |= {"threshold": a.settings.thresholds}
        tables.append(pd.DataFrame({**about, **limits, "interval": ci_prob}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
