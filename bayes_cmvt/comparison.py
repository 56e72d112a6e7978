"""Credible beside bootstrap: every coefficient, risk and performance figure of two fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayes_cmvt.baseline import is_baseline
from bayes_cmvt.baseline_estimates import baseline_coefficients, baseline_predictions
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.compared_intervals import INTERVALS, class_of, with_widths
from bayes_cmvt.comparison_agreement import agreement_table
from bayes_cmvt.comparison_performance import compared_performance
from bayes_cmvt.design import reported_contrast
from bayes_cmvt.errors import OptionError
from bayes_cmvt.estimates import coefficients
from bayes_cmvt.evaluation import EvaluationSettings, evaluate
from bayes_cmvt.instability import Instability, instability
from bayes_cmvt.intervals import tails
from bayes_cmvt.posterior import design_of, learnt_from
from bayes_cmvt.prediction import predictions
from bayes_cmvt.risk_marks import marked_means

LIMITS = [*INTERVALS]
SIMULATION_ERRORS = 2.0


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found; every table as it stands in a run folder.

    Attributes
    ----------
    coefficients : DataFrame
        ``compare_coefficients``: on the scales ``log_odds`` (per original unit), ``std_log_odds``
        (per SD) and ``odds_ratio`` (on its reported contrast).
    risks : DataFrame
        ``compare_risks``: one row for each patient; private.
    risk_marks : DataFrame
        ``compare_risk_marks``: the same in marks of at least five patients.
    classes : DataFrame
        ``compare_classes``: patients by what each interval says of their class.
    performance : DataFrame
        ``compare_performance``.
    agreement : DataFrame
        ``compare_agreement``: what the paragraph of plain words is made from.
    instability : Instability
    """

    coefficients: pd.DataFrame
    risks: pd.DataFrame
    risk_marks: pd.DataFrame
    classes: pd.DataFrame
    performance: pd.DataFrame
    agreement: pd.DataFrame
    instability: Instability

    def __repr__(self) -> str:
        patients, terms = len(self.risks), self.coefficients["term"].nunique() - 1
        return (
            f"Comparison of {terms} coefficients and {patients} patients: {', '.join(self.tables)}"
        )

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by the name of its file."""
        return {
            "compare_coefficients": self.coefficients,
            "compare_risks": self.risks,
            "compare_risk_marks": self.risk_marks,
            "compare_classes": self.classes,
            "compare_performance": self.performance,
            "compare_agreement": self.agreement,
            "instability_patients": self.instability.patients,
            "instability": self.instability.marks,
            "instability_calibration": self.instability.calibration,
        }


def compare(
    fits: Mapping[str, xr.DataTree],
    cohort: Cohort,
    *,
    performance: pd.DataFrame | None = None,
    settings: EvaluationSettings | None = None,
    cores: int | None = None,
) -> Comparison:
    """Put the credible intervals of a posterior beside the bootstrap intervals of a workflow.

    The bootstrap repeats the whole workflow, selection included; Wald's interval of its final model
    ignores the selection and is what papers print.

    Parameters
    ----------
    fits : mapping of str to DataTree
        One posterior and one resampled baseline, as ``{"horseshoe": fit, "baseline": baseline}``.
    cohort : Cohort
        Whom both have learnt from, and validation patients where the study splits.
    performance : DataFrame, optional
        Table ``performance`` with the rows of both models, under their names; without it both are
        judged by `bayes_cmvt.evaluate`, which fits them again many times.
    settings : EvaluationSettings, optional
        Of the evaluation; its interval is that of all tables.
    cores : int, optional

    Returns
    -------
    Comparison

    Raises
    ------
    OptionError
        Not one posterior and one baseline; no resamples; another cohort.

    Notes
    -----
    Intervals after selection by resampling have no coverage guarantee (Leeb & Pötscher 2005,
    doi:10.1017/S0266466605050036; Efron 2014, doi:10.1080/01621459.2013.823775). Instability as in
    Riley & Collins 2023, doi:10.1002/bimj.202200302.
    """
    settings = settings or EvaluationSettings(splits=0)
    tails(settings.interval)
    names = _names(fits, cohort)
    posterior, baseline = (fits[name] for name in names)
    if performance is None:
        performance = evaluate(fits, cohort, settings=settings, cores=cores).tables["performance"]
    interval = settings.interval
    thresholds = class_thresholds(cohort)
    risks = compared_risks(posterior, baseline, cohort, thresholds, interval)
    parts = {
        "coefficients": compared_coefficients(posterior, baseline, cohort, interval),
        "risks": risks,
        "classes": _class_counts(risks),
        "performance": compared_performance(performance, *names, ci_prob=interval),
    }
    return Comparison(
        **parts,
        risk_marks=_risk_marks(risks, interval),
        agreement=agreement_table(
            **parts, outcome=cohort.outcome, thresholds=thresholds, ci_prob=interval
        ),
        instability=instability(fits, cohort, thresholds=thresholds, ci_prob=interval),
    )


def _names(fits: Mapping[str, xr.DataTree], cohort: Cohort) -> tuple[str, str]:
    """Names of the posterior and of the baseline; refuses anything else, all at once."""
    expected = 'expected one posterior and one baseline: {"horseshoe": fit, "baseline": baseline}'
    if not isinstance(fits, Mapping) or not all(isinstance(x, xr.DataTree) for x in fits.values()):
        msg = f"compare: {expected}"
        raise OptionError(msg)
    frequentist = [name for name, fit in fits.items() if is_baseline(fit)]
    bayesian = [name for name in fits if name not in frequentist]
    if len(frequentist) != 1 or len(bayesian) != 1:
        msg = f"compare: found {len(bayesian)} posteriors and {len(frequentist)} baselines; "
        raise OptionError(msg + expected)
    problems = [
        f'"{name}" did not learn from the development patients of {cohort.source}'
        for name, fit in fits.items()
        if not learnt_from(fit, cohort)
    ]
    if "bootstrap" not in fits[frequentist[0]].children:
        problems.append(
            f'"{frequentist[0]}" was not resampled: fit it with resamples=1000, or run '
            "`bayes-cmvt baseline RUN` without --resamples 0"
        )
    if problems:
        msg = "the fits cannot be compared"
        raise OptionError(msg, problems)
    return bayesian[0], frequentist[0]


def class_thresholds(cohort: Cohort) -> tuple[float, ...]:
    """Thresholds that cut risks into classes: the one in use, else the ends of the range."""
    decision = cohort.study.decision
    return tuple(decision.thresholds) if decision.use is None else (decision.use,)


# --- coefficients --------------------------------------------------------------------------------


def compared_coefficients(
    posterior: xr.DataTree, baseline: xr.DataTree, cohort: Cohort, ci_prob: float = 0.95
) -> pd.DataFrame:
    """Three intervals of every coefficient, on three scales.

    Parameters
    ----------
    posterior, baseline : DataTree
    cohort : Cohort
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        Table ``compare_coefficients``. The credible estimate is the posterior median; the bootstrap
        estimate that of the final model, 0 (odds ratio 1) where it was not selected.
    """
    own = coefficients(posterior, ci_prob=ci_prob)
    other = baseline_coefficients(baseline, cohort, ci_prob=ci_prob)
    design = design_of(posterior)
    sources = [own["median"], own["lower"], own["upper"], other["coef"]]
    sources += [other[name] for name in ("boot_lower", "boot_upper", "wald_lower", "wald_upper")]
    log_odds = np.column_stack([one.to_numpy(dtype=float) for one in sources])
    sd, per = (
        np.concatenate([[1.0], one])[:, np.newaxis]
        for one in (design.sd, reported_contrast(design))
    )
    with np.errstate(over="ignore"):
        scales = {
            "log_odds": (log_odds, np.ones_like(per)),
            "std_log_odds": (log_odds * sd, sd),
            "odds_ratio": (np.exp(log_odds * per), per),
        }
    described = pd.DataFrame(
        {
            "term": own["term"],
            "label": own["label"],
            "bootstrap_zero": other["boot_zero"],
            "kept": 1 - own["shrinkage"],
            "selected": other["selected_final"],
            "within_simulation_error": _near_none(own),
        }
    )
    parts = []
    for scale, (values, contrast) in scales.items():
        table = pd.DataFrame(values, columns=LIMITS)
        table.insert(0, "scale", scale)
        table.insert(0, "term", described["term"])
        table = with_widths(table).assign(contrast=contrast[:, 0])
        # at the means of the predictors the intercept is another quantity: coefficients.csv
        first = 0 if scale == "log_odds" else 1
        parts.append(table.join(described.drop(columns="term")).iloc[first:])
    return pd.concat(parts, ignore_index=True).assign(interval=ci_prob)


def _near_none(own: pd.DataFrame) -> pd.Series[bool]:
    """Whether another run of the sampler could move a limit across no effect."""
    return (own["std_lower"].abs() < SIMULATION_ERRORS * own["mcse_lower"]) | (
        own["std_upper"].abs() < SIMULATION_ERRORS * own["mcse_upper"]
    )


# --- risks ---------------------------------------------------------------------------------------


def compared_risks(
    posterior: xr.DataTree,
    baseline: xr.DataTree,
    cohort: Cohort,
    thresholds: tuple[float, ...],
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """Three intervals of every patient's risk, and the class that each lies in.

    Parameters
    ----------
    posterior, baseline : DataTree
    cohort : Cohort
    thresholds : tuple of float
        Ascending.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        Table ``compare_risks``; private. Estimates are the risks that each model deploys.
    """
    own = predictions(posterior, cohort, ci_prob=ci_prob)
    other = baseline_predictions(baseline, cohort, ci_prob=ci_prob)
    columns = [own["risk"], own["lower"], own["upper"], other["risk"], other["lower"]]
    columns += [other["upper"], other["wald_lower"], other["wald_upper"]]
    table = pd.DataFrame(dict(zip(LIMITS, columns, strict=True)))
    table.insert(0, "set", own["set"])
    table.insert(0, "row", own["row"])
    table = with_widths(table).drop(columns="wald_width_ratio")
    for name in ("credible", "bootstrap"):
        limits = (table[f"{name}_lower"], table[f"{name}_upper"])
        table[f"{name}_class"] = class_of(*limits, thresholds)
    return table.assign(interval=ci_prob)


def _class_counts(risks: pd.DataFrame) -> pd.DataFrame:
    keys = ["set", "credible_class", "bootstrap_class"]
    return risks.groupby(keys, sort=False).size().rename("patients").reset_index()


def _risk_marks(risks: pd.DataFrame, ci_prob: float) -> pd.DataFrame:
    table = marked_means(risks, "credible_estimate", LIMITS, ["set"])
    return table.assign(interval=ci_prob)
