"""What model and prior say of the number of events, beside the number observed.

Before the data: does the prior leave room for what was seen, and for little that is absurd? Given
the data: is there a group of patients in whom the model misses? Development patients alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt import metrics
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.curves import CUT_DECIMALS, GROUPS, PATIENTS_AT_LEAST
from bayes_cmvt.design import design_matrix
from bayes_cmvt.expected_calibration import deployed_risk
from bayes_cmvt.intervals import tails
from bayes_cmvt.posterior import (
    PATIENT_VALUES,
    design_of,
    expit,
    linear_predictor_blocks,
    settings_of,
    thinned,
)
from bayes_cmvt.schema import Continuous
from bayes_cmvt.shrinkage_estimates import check_learnt, check_prior
from bayes_cmvt.study import AnyPredictor

DISTRIBUTIONS = ("prior", "posterior")
SEED = 2025  # where a fit does not say with which it was sampled
PRIOR_STREAM = 9  # its own stream of random numbers: no other part of the package spawns it
THIRDS = 3  # of a continuous predictor: a bend shows in thirds, not in halves
CUT_DIGITS = 3  # of a value that divides patients: no patient's own

type Floats = NDArray[np.float64]
type Members = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Group:
    """Patients whose events are counted together.

    Attributes
    ----------
    check : {"events", "risk_group", "predictor"}
    name, label : str
        As columns ``group`` and ``label`` of the table.
    members : ndarray of bool, shape (patient,)
    """

    check: str
    name: str
    label: str
    members: Members


def predictive_checks(fit: xr.DataTree, cohort: Cohort, ci_prob: float = 0.95) -> pd.DataFrame:
    """Events observed in groups of patients beside those that prior and posterior predict.

    Groups: all patients; tenths by deployed risk, fewer where a tenth would be less than ten
    patients; each level of a predictor, thirds of a continuous one. A predictor with a group of
    less than ten is left out. The posterior has seen these patients: its P values lean towards 1.

    Parameters
    ----------
    fit : DataTree
        With groups ``prior``, ``posterior`` and ``posterior_predictive``.
    cohort : Cohort
        The one that was sampled.
    ci_prob : float in (0, 1)
        Of the predictive interval of the number of events.

    Returns
    -------
    DataFrame
        ``check`` (``events``, ``risk_group``, ``predictor``), ``distribution`` (``prior``,
        ``posterior``), ``group, label, patients, observed, median, lower, upper, p_value,
        interval``; numbers of events. The P value is twice the smaller of the shares of predicted
        numbers above and below the observed one, equal ones counted half (Gelman, Meng & Stern
        1996; mid-P). Prior draws are simulated anew, up to 20,000.

    Raises
    ------
    OptionError
        A fit without a prior, another cohort, or ``ci_prob`` outside (0, 1).
    """
    check_prior(fit)
    check_learnt(fit, cohort)
    limits = (tails(ci_prob)[0], 0.5, tails(ci_prob)[1])
    groups = list(_groups(fit, cohort))
    member = np.stack([one.members for one in groups], axis=1)
    observed = cohort.outcome[cohort.development].astype(int) @ member
    tables = []
    for distribution in DISTRIBUTIONS:
        counts = _counted(fit, cohort, member, distribution)
        lower, median, upper = np.quantile(counts, limits, axis=0, method="inverted_cdf")
        columns: dict[str, Any] = {
            "check": [one.check for one in groups],
            "distribution": distribution,
            "group": [one.name for one in groups],
            "label": [one.label for one in groups],
            "patients": member.sum(axis=0),
        }
        columns |= {"observed": observed, "median": median, "lower": lower, "upper": upper}
        tables.append(pd.DataFrame({**columns, "p_value": _two_sided(counts, observed)}))
    return pd.concat(tables, ignore_index=True).assign(interval=ci_prob)


def predictive_events(fit: xr.DataTree, cohort: Cohort) -> pd.DataFrame:
    """How probable each number of events is, before the data and given them.

    Parameters
    ----------
    fit : DataTree
        With groups ``prior``, ``posterior`` and ``posterior_predictive``.
    cohort : Cohort
        The one that was sampled.

    Returns
    -------
    DataFrame
        ``distribution`` (``prior``, ``posterior``), ``events`` (0, 1, … all patients),
        ``probability`` (share of simulated data sets; they sum to one), ``observed``.

    Raises
    ------
    OptionError
        A fit without a prior, or another cohort.
    """
    check_prior(fit)
    check_learnt(fit, cohort)
    patients = cohort.n_development
    everyone = np.ones((patients, 1), dtype=bool)
    tables = []
    for distribution in DISTRIBUTIONS:
        counts = _counted(fit, cohort, everyone, distribution)[:, 0]
        share = np.bincount(counts, minlength=patients + 1) / len(counts)
        columns = {"events": np.arange(patients + 1), "probability": share}
        tables.append(pd.DataFrame({"distribution": distribution, **columns}))
    return pd.concat(tables, ignore_index=True).assign(observed=cohort.events_development)


def _counted(
    fit: xr.DataTree, cohort: Cohort, member: Members, distribution: str
) -> NDArray[np.int64]:
    """Events that a distribution predicts in each group, shape (draw, group)."""
    if distribution == "prior":
        return _before_data(fit, cohort, member)
    outcome = fit["posterior_predictive"]["outcome"].to_numpy()
    counts = outcome.reshape(-1, len(member)).astype(np.float32) @ member.astype(np.float32)
    return np.asarray(counts.astype(np.int64))


def _before_data(fit: xr.DataTree, cohort: Cohort, member: Members) -> NDArray[np.int64]:
    """Simulate outcomes from prior draws: the 500 that a fit keeps are few for a probability."""
    matrix = design_matrix(design_of(fit), cohort.predictors[cohort.development])
    intercept, beta = (fit["prior"][name].to_numpy() for name in ("intercept", "beta"))
    kept = thinned(intercept.shape[1], max(1, PATIENT_VALUES // len(matrix)))
    seed = np.random.SeedSequence(settings_of(fit).get("seed", SEED), spawn_key=(PRIOR_STREAM,))
    rng = np.random.default_rng(seed)
    counts = np.zeros((len(kept), member.shape[1]), dtype=np.float32)
    for block, predictor in linear_predictor_blocks(intercept[:, kept], beta[:, kept], matrix):
        outcome = rng.random(predictor[0].shape) < expit(predictor[0])
        counts += outcome.astype(np.float32) @ member[block].astype(np.float32)
    return np.asarray(counts.astype(np.int64))


def _two_sided(counts: NDArray[np.int64], observed: NDArray[np.int64]) -> Floats:
    """Twice the smaller tail beyond the observed numbers, equal ones counted half."""
    above = (counts > observed).mean(axis=0) + (counts == observed).mean(axis=0) / 2
    return np.asarray(2 * np.minimum(above, 1 - above))


def _groups(fit: xr.DataTree, cohort: Cohort) -> Iterator[Group]:
    """All groups of enough development patients, in the order of the table."""
    everyone = np.ones(cohort.n_development, dtype=bool)
    yield Group("events", "all", "All patients", everyone)
    yield from _risk_groups(fit, cohort)
    for predictor in cohort.study.predictors:
        groups = list(_predictor_groups(predictor, cohort))
        # what the others leave over would tell of a group that alone is left out
        if min(int(group.members.sum()) for group in groups) >= PATIENTS_AT_LEAST:
            yield from groups


def _risk_groups(fit: xr.DataTree, cohort: Cohort) -> Iterator[Group]:
    """Tenths of the patients by deployed risk; their cuts as rounded as in the risk groups."""
    outcome = cohort.outcome[cohort.development]
    if (wanted := min(GROUPS, len(outcome) // PATIENTS_AT_LEAST)) < 2:
        return
    matrix = design_matrix(design_of(fit), cohort.predictors[cohort.development])
    risk = deployed_risk(fit, matrix)
    found = metrics.risk_groups(outcome, risk, wanted)
    place = np.searchsorted(found.upper[:-1], risk, side="left")
    cuts = [f"{cut:.{CUT_DECIMALS}f}" for cut in found.upper[:-1]]
    for number, label in enumerate(_between(cuts), start=1):
        yield Group("risk_group", str(number), f"Risk {label}", place == number - 1)


def _predictor_groups(predictor: AnyPredictor, cohort: Cohort) -> Iterator[Group]:
    """Each level of a predictor, or thirds of a continuous one."""
    values = cohort.predictors.loc[cohort.development, predictor.name]
    if not isinstance(predictor, Continuous):
        for level in values.cat.categories:
            members = (values == level).to_numpy()
            name = f"{predictor.name}[{level}]"
            yield Group("predictor", name, f"{predictor.display}: {level}", members)
        return
    numbers = values.to_numpy(dtype=float)
    shares = np.arange(1, THIRDS) / THIRDS
    cuts = np.unique([float(f"{cut:.{CUT_DIGITS}g}") for cut in np.quantile(numbers, shares)])
    place = np.searchsorted(cuts, numbers, side="left")
    unit = f" {predictor.unit}" if predictor.unit else ""
    for number, label in enumerate(_between([f"{cut:g}" for cut in cuts]), start=1):
        words = f"{predictor.display}: {label}{unit}"
        name = f"{predictor.name}[{number}]"
        yield Group("predictor", name, words, place == number - 1)


def _between(cuts: list[str]) -> list[str]:
    """Words for what lies between ascending cuts, each of which belongs to the part below it.

    Examples
    --------
    >>> _between(["1", "2"])
    ['up to 1', 'above 1, up to 2', 'above 2']
    """
    if not cuts:
        return ["of all"]
    inner = [f"above {low}, up to {high}" for low, high in itertools.pairwise(cuts)]
    return [f"up to {cuts[0]}", *inner, f"above {cuts[-1]}"]
