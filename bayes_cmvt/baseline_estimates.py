"""Tables of the frequentist baseline: final model, LASSO, what the resamples chose, risks.

Bootstrap limits are percentiles over the resamples of the whole workflow, in which a coefficient
that was not selected counts as 0. They are resampling intervals: after selection they guarantee no
coverage (Leeb & Pötscher 2005, doi:10.1017/S0266466605050036; Efron 2014).
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.baseline import CODES, baseline_settings, column_groups, is_baseline
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import Design, design_matrix, encode, reported_contrast
from bayes_cmvt.errors import BayesCmvtError, OptionError
from bayes_cmvt.estimates import INTERCEPT, term_labels
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.logistic import LogisticFit, linear_predictor
from bayes_cmvt.logistic_inference import (
    Separation,
    hauck_donner,
    likelihood_ratio_tests,
    name_separation,
    profile_interval,
    wald_interval,
)
from bayes_cmvt.pipeline import STATUSES, Flags, Floats, Model, Patients, deciding_p, fitted_model
from bayes_cmvt.posterior import design_of, expit, learnt_from
from bayes_cmvt.prediction import predictions

SCHEMES = ("bootstrap", "subsample")


def baseline_coefficients(
    baseline: xr.DataTree, cohort: Cohort, *, ci_prob: float = 0.95
) -> pd.DataFrame:
    """The final model beside what its resamples say, one row for each term.

    Parameters
    ----------
    baseline : DataTree
        From `bayes_cmvt.fit_baseline`.
    cohort : Cohort
        The cohort that it was fitted to.
    ci_prob : float in (0, 1)
        Of Wald, profile-likelihood and bootstrap limits.

    Returns
    -------
    DataFrame
        ``term, label, selected_lasso, selected_final, coef, se, z, p, odds_ratio, wald_lower,
        wald_upper, boot_lower, boot_upper, selection_frequency, fit`` and more; log-odds per
        original unit but for the odds ratios. The intercept comes first.

    Raises
    ------
    OptionError
        Another cohort.
    """
    tails(ci_prob)
    check_cohort(baseline, cohort)
    design = design_of(baseline)
    patients = raw_patients(cohort, design)
    final = fitted_model(patients, _flags(baseline, "selected_final"))
    table = pd.concat(
        [
            _named(design, baseline),
            _final_columns(patients, final, ci_prob),
            _refit_columns(baseline, patients),
            _bootstrap_columns(baseline, design, ci_prob),
            _frequency_columns(baseline, design),
        ],
        axis=1,
    )
    per = np.concatenate([[1.0], reported_contrast(design)])
    table["per"] = per
    for ratio, log_odds in (
        ("odds_ratio", "coef"),
        ("odds_ratio_wald_lower", "wald_lower"),
        ("odds_ratio_wald_upper", "wald_upper"),
        ("odds_ratio_profile_lower", "profile_lower"),
        ("odds_ratio_profile_upper", "profile_upper"),
        ("odds_ratio_boot_lower", "boot_lower"),
        ("odds_ratio_boot_upper", "boot_upper"),
    ):
        with np.errstate(over="ignore"):
            table[ratio] = np.exp(table[log_odds] * per)
    return table[[*FIRST, *(name for name in table if name not in FIRST)]].assign(interval=ci_prob)


FIRST = [
    *("term", "label", "selected_lasso", "selected_final", "coef", "se", "z", "p", "odds_ratio"),
    *("wald_lower", "wald_upper", "boot_lower", "boot_upper", "selection_frequency", "fit"),
]


def check_cohort(baseline: xr.DataTree, cohort: Cohort) -> None:
    """Refuse a cohort that a baseline was not fitted to.

    Raises
    ------
    OptionError
    """
    if not is_baseline(baseline):
        msg = "this fit is a posterior, no frequentist workflow: give what fit_baseline returns"
        raise OptionError(msg)
    if not learnt_from(baseline, cohort):
        msg = (
            f"the baseline was not fitted to the development patients of {cohort.source}; give the "
            "cohort of the fit"
        )
        raise OptionError(msg)


def raw_patients(cohort: Cohort, design: Design) -> Patients:
    """Development patients with the columns in their own units."""
    members = cohort.development
    columns = encode(design.study, cohort.predictors[members])
    return Patients(columns, cohort.outcome[members], column_groups(design))


def _flags(baseline: xr.DataTree, name: str) -> Flags:
    return np.asarray(baseline["estimate"][name].to_numpy()[0, 0], dtype=bool)


def _named(design: Design, baseline: xr.DataTree) -> pd.DataFrame:
    """Term, label and what was selected; the intercept is in every model."""
    return pd.DataFrame(
        {
            "term": [INTERCEPT, *design.terms],
            "label": [INTERCEPT, *term_labels(design.study)],
            "selected_lasso": np.append(True, _flags(baseline, "selected_lasso")),
            "selected_final": np.append(True, _flags(baseline, "selected_final")),
        }
    )


def _final_columns(patients: Patients, final: Model, ci_prob: float) -> pd.DataFrame:
    """Estimates, tests and limits of the final model; empty for what is not in it."""
    fit, members = final.fit, final.members
    columns = patients.part(members)
    wald = wald_interval(fit, ci_prob)
    profile, note = _profile_limits(columns, patients, fit, ci_prob)
    ratio = likelihood_ratio_tests(columns, patients.outcome, fit)
    lower, upper = wald[:, 0], wald[:, 1]
    penalised = fit.method == "firth"
    z = fit.intercept / fit.intercept_se
    half = fit.intercept_se * _normal_quantile(ci_prob)
    return pd.DataFrame(
        {
            "coef": np.append(fit.intercept, final.coefficients),
            "se": np.append(fit.intercept_se, final.spread(fit.se)),
            "z": np.append(z, final.spread(fit.z)),
            "p": np.append(_two_sided(z), final.spread(ratio if penalised else fit.p_value)),
            "wald_lower": np.append(fit.intercept - half, final.spread(lower)),
            "wald_upper": np.append(fit.intercept + half, final.spread(upper)),
            "fit": fit.method,
            "p_likelihood_ratio": np.append(np.nan, final.spread(ratio)),
            "profile_lower": np.append(np.nan, final.spread(profile[:, 0])),
            "profile_upper": np.append(np.nan, final.spread(profile[:, 1])),
            "note": ["", *np.where(members, note, "")],
        }
    )


def _profile_limits(
    columns: Floats, patients: Patients, fit: LogisticFit, ci_prob: float
) -> tuple[Floats, str]:
    """Profile-likelihood limits, or none and why: few patients can have several maxima."""
    try:
        return profile_interval(columns, patients.outcome, fit, ci_prob=ci_prob), ""
    except BayesCmvtError as error:
        return np.full((columns.shape[1], 2), np.nan), f"no profile limits: {error}"


def _refit_columns(baseline: xr.DataTree, patients: Patients) -> pd.DataFrame:
    """The multivariable refit in which the P rule decides."""
    refit = fitted_model(patients, _flags(baseline, "selected_lasso"))
    settings = baseline_settings(baseline)
    ratio = likelihood_ratio_tests(patients.part(refit.members), patients.outcome, refit.fit)
    dropped = np.zeros(len(patients.groups), dtype=bool)
    if settings.elimination is None and settings.p_enter < 1 and refit.fit.method == "ml":
        dropped[refit.members] = hauck_donner(refit.fit.p_value, ratio, settings.p_enter)
    return pd.DataFrame(
        {
            "refit_coef": np.append(refit.fit.intercept, refit.spread(refit.fit.coefficients)),
            "refit_se": np.append(refit.fit.intercept_se, refit.spread(refit.fit.se)),
            "refit_p": np.append(np.nan, refit.spread(deciding_p(patients, refit))),
            "refit_p_likelihood_ratio": np.append(np.nan, refit.spread(ratio)),
            "refit_fit": refit.fit.method,
            "hauck_donner": np.append(False, dropped),
        }
    )


def _normal_quantile(ci_prob: float) -> float:
    from scipy.special import ndtri

    return float(-ndtri(tails(ci_prob)[0]))


def _two_sided(z: float) -> float:
    from scipy.special import ndtr

    return float(2 * ndtr(-abs(z)))


def resampled_coefficients(baseline: xr.DataTree, design: Design) -> Floats:
    """Coefficients of every resample that gave a model, log-odds per original unit.

    Returns
    -------
    ndarray, shape (resample, 1 + coefficient)
        The intercept first; 0 for what was not selected.
    """
    group = baseline["bootstrap"]
    beta = group["reported_beta"].to_numpy()[0] / design.sd
    intercept = group["reported_intercept"].to_numpy()[0] - beta @ design.mean
    found = np.column_stack([intercept, beta])
    return np.asarray(found[np.isfinite(intercept)])


def _bootstrap_columns(baseline: xr.DataTree, design: Design, ci_prob: float) -> pd.DataFrame:
    names = ["boot_lower", "boot_median", "boot_upper", "boot_zero"]
    width = 1 + len(design.terms)
    if "bootstrap" not in baseline.children:
        return pd.DataFrame(np.nan, range(width), names)
    drawn = resampled_coefficients(baseline, design)
    if not len(drawn):
        return pd.DataFrame(np.nan, range(width), names)
    limits = equal_tailed(drawn, ci_prob)
    return pd.DataFrame(np.vstack([limits, (drawn == 0).mean(axis=0)]).T, columns=names)


def _frequency_columns(baseline: xr.DataTree, design: Design) -> pd.DataFrame:
    """How often each term was selected: in subsamples, and in bootstrap resamples beside them."""
    columns = {}
    for scheme, prefix in (("subsample", "selection"), ("bootstrap", "boot")):
        for step, suffix in (("selected_final", ""), ("selected_lasso", "_lasso")):
            share = np.full(1 + len(design.terms), np.nan)
            if scheme in baseline.children and usable(baseline, scheme).any():
                share[0] = 1.0
                share[1:] = choices(baseline, scheme, step).mean(axis=0)
            columns[f"{prefix}_frequency{suffix}"] = share
    return pd.DataFrame(columns)


def usable(baseline: xr.DataTree, scheme: str) -> Flags:
    """Which resamples gave a model, shape (resample,)."""
    return np.asarray(np.isfinite(baseline[scheme]["intercept"].to_numpy()[0]))


def choices(baseline: xr.DataTree, scheme: str, step: str = "selected_final") -> Flags:
    """What each resample that gave a model chose, shape (resample, coefficient)."""
    chosen = baseline[scheme][step].to_numpy()[0][usable(baseline, scheme)]
    return np.asarray(chosen, dtype=bool)


def resample_outcomes(baseline: xr.DataTree) -> pd.DataFrame:
    """What became of the resamples, counted: nothing is left out in silence.

    Returns
    -------
    DataFrame
        ``scheme, what, resamples, share``; the first five kinds of each scheme add up to all.
    """
    rows: list[dict[str, Any]] = []
    for scheme in present_schemes(baseline):
        group = baseline[scheme]
        status = group["status"].to_numpy()[0]
        counts = {STATUSES[code]: int((status == i).sum()) for i, code in enumerate(CODES)}
        counts["refit after the LASSO separated: Firth's fit"] = int(group["refit_firth"].sum())
        counts["final model separated: Firth's fit"] = int(group["final_firth"].sum())
        counts["fewer folds than asked for"] = int(
            ((group["folds"] > 0) & (group["folds"] < baseline_settings(baseline).folds)).sum()
        )
        counts["a column that is constant"] = int((group["constant_columns"] > 0).sum())
        rows += [
            {"scheme": scheme, "what": what, "resamples": n, "share": n / len(status)}
            for what, n in counts.items()
        ]
    return pd.DataFrame(rows, columns=["scheme", "what", "resamples", "share"])


def present_schemes(baseline: xr.DataTree) -> tuple[str, ...]:
    """Kinds of resamples that a baseline holds."""
    return tuple(scheme for scheme in SCHEMES if scheme in baseline.children)


def selection_pairs(baseline: xr.DataTree) -> pd.DataFrame:
    """How often two terms are in the final model together.

    Returns
    -------
    DataFrame
        ``scheme, term, other_term, share_both, share_if_independent``.
    """
    terms = design_of(baseline).terms
    rows: list[dict[str, Any]] = []
    for scheme in present_schemes(baseline):
        chosen = choices(baseline, scheme).astype(float)
        if not len(chosen):
            continue
        together, alone = chosen.T @ chosen / len(chosen), chosen.mean(axis=0)
        rows += [
            {
                "scheme": scheme,
                "term": terms[i],
                "other_term": terms[j],
                "share_both": together[i, j],
                "share_if_independent": alone[i] * alone[j],
            }
            for i, j in itertools.combinations(range(len(terms)), 2)
        ]
    return pd.DataFrame(
        rows, columns=["scheme", "term", "other_term", "share_both", "share_if_independent"]
    )


def model_frequencies(baseline: xr.DataTree) -> pd.DataFrame:
    """How often each set of terms was the final model, most frequent first.

    Returns
    -------
    DataFrame
        ``scheme, rank, terms, size, resamples, share, same_as_final``; the last says whether it is
        the final model of all patients.
    """
    terms = design_of(baseline).terms
    own = tuple(_flags(baseline, "selected_final").tolist())
    rows: list[dict[str, Any]] = []
    for scheme in present_schemes(baseline):
        counted = Counter(tuple(one) for one in choices(baseline, scheme).tolist())
        ordered = sorted(counted.items(), key=lambda pair: (-pair[1], sum(pair[0]), pair[0]))
        rows += [
            {
                "scheme": scheme,
                "rank": rank,
                "terms": " + ".join(itertools.compress(terms, chosen)),
                "size": sum(chosen),
                "resamples": count,
                "share": count / counted.total(),
                "same_as_final": chosen == own,
            }
            for rank, (chosen, count) in enumerate(ordered, start=1)
        ]
    names = ["scheme", "rank", "terms", "size", "resamples", "share", "same_as_final"]
    return pd.DataFrame(rows, columns=names)


def lasso_path_table(baseline: xr.DataTree) -> pd.DataFrame:
    """Path of the LASSO on the original scale.

    Returns
    -------
    DataFrame
        ``lambda, df, dev_ratio``, then one column for each term with ``(Intercept)`` first.
    """
    design, group = design_of(baseline), baseline["lasso"]
    beta = group["path_beta"].to_numpy() / design.sd
    intercept = group["path_intercept"].to_numpy() - beta @ design.mean
    table = pd.DataFrame(
        {
            "lambda": group["penalty"].to_numpy(),
            "df": (beta != 0).sum(axis=1),
            "dev_ratio": group["deviance_ratio"].to_numpy(),
            INTERCEPT: intercept,
        }
    )
    return pd.concat([table, pd.DataFrame(beta, columns=list(design.terms))], axis=1)


def lasso_cv_table(baseline: xr.DataTree) -> pd.DataFrame:
    """Cross-validated loss along the path: ``lambda, mean, se, df``."""
    group = baseline["lasso"]
    return pd.DataFrame(
        {
            "lambda": group["penalty"].to_numpy(),
            "mean": group["cv_mean"].to_numpy(),
            "se": group["cv_se"].to_numpy(),
            "df": (group["path_beta"].to_numpy() != 0).sum(axis=1),
        }
    )


def lasso_choice(baseline: xr.DataTree) -> dict[str, float]:
    """The two penalties of cross-validation: ``lambda_min, lambda_1se``."""
    group = baseline["lasso"]
    penalty = group["penalty"].to_numpy()
    return {
        f"lambda_{name}": float(penalty[int(group[f"index_{name}"])]) for name in ("min", "1se")
    }


def baseline_predictions(
    baseline: xr.DataTree, cohort: Cohort, *, ci_prob: float = 0.95
) -> pd.DataFrame:
    """Risk of each patient with its bootstrap interval, and Wald's that ignores the selection.

    Wald's limits are around the log-odds of the model that is reported; of a Firth fit, whose risks
    are those of FLAC, they are Firth's.

    Parameters
    ----------
    baseline : DataTree
    cohort : Cohort
        The cohort that it was fitted to.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``row, set, outcome, risk, median, lower, upper, interval, wald_lower, wald_upper``.
    """
    check_cohort(baseline, cohort)
    design = design_of(baseline)
    table = predictions(baseline, cohort, ci_prob=ci_prob)
    final = fitted_model(raw_patients(cohort, design), _flags(baseline, "selected_final"))
    columns = encode(design.study, cohort.predictors)[:, final.members]
    log_odds = linear_predictor(final.fit, columns)
    used = np.append(True, ~final.fit.aliased)
    augmented = np.column_stack([np.ones(len(columns)), columns])[:, used]
    covariance = final.fit.covariance[np.ix_(used, used)]
    variance = np.einsum("ij,jk,ik->i", augmented, covariance, augmented)
    half = _normal_quantile(ci_prob) * np.sqrt(np.maximum(variance, 0))
    return table.assign(wald_lower=expit(log_odds - half), wald_upper=expit(log_odds + half))


def separation(baseline: xr.DataTree, cohort: Cohort, step: str) -> Separation:
    """Which terms of a step's model separate the outcomes of all patients, if any do.

    Parameters
    ----------
    baseline : DataTree
    cohort : Cohort
    step : {"selected_lasso", "selected_final"}
    """
    design, members = design_of(baseline), _flags(baseline, step)
    patients = raw_patients(cohort, design)
    matrix = design_matrix(design, cohort.predictors[cohort.development])
    terms = list(itertools.compress(design.terms, members))
    return name_separation(matrix[:, members], patients.outcome, terms)


def resampled_log_odds(baseline: xr.DataTree, matrix: Floats, prefix: str = "") -> Floats:
    """Log-odds of patients by the model of every resample, shape (resample, patient).

    Parameters
    ----------
    baseline : DataTree
    matrix : ndarray, shape (patient, coefficient)
        Standardised.
    prefix : {"", "fixed_"}
        Models of the whole workflow, or of the final model's columns fitted again.
    """
    group = baseline["bootstrap"]
    intercept: NDArray[np.float64] = group[f"{prefix}intercept"].to_numpy()[0]
    beta: NDArray[np.float64] = group[f"{prefix}beta"].to_numpy()[0]
    return np.asarray(intercept[:, np.newaxis] + beta @ matrix.T)
