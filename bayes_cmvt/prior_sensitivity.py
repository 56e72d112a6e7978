"""How far the answer hangs on the prior: power-scaling of the draws, and other priors refitted.

Power-scaling asks what a slightly stronger or weaker prior would change, without a new fit.
Refits ask what another prior altogether would have said.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.crossvalidation import LeaveOneOut, leave_one_out
from bayes_cmvt.diagnostics import diagnostics, verdict
from bayes_cmvt.estimates import INTERCEPT, coefficients, prior_odds_ratios, term_labels
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.posterior import design_of, log_bernoulli, prior_of, settings_of, shrinkage_draws
from bayes_cmvt.prediction import predict
from bayes_cmvt.priors import INTERCEPT_DF, CoefficientPrior
from bayes_cmvt.progress import Report, SamplingState
from bayes_cmvt.sampling import SamplerSettings, sample
from bayes_cmvt.schema import Prior
from bayes_cmvt.shrinkage_estimates import check_learnt, check_prior
from bayes_cmvt.study import Study, prior_in_words

AS_ANALYSED = "as_analysed"
SENSITIVE = 0.05  # threshold of Kallioinen et al. 2024
NORMAL_SCALE, STUDENT_DF = 2.5, 4.0
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "intercept": "Intercept",
        "tau": "Global scale τ",
        "slab": "Slab scale c",
        "m_eff": "Effective number of coefficients",
        "mean_risk": "Mean risk",
    }
)
CONFLICT = "prior and data may disagree"
STRONG_PRIOR = "prior may be strong, or data weak"
UNMOVED = "hardly moved by the prior"
ESTIMATES = [
    *("term", "label", "odds_ratio", "odds_ratio_lower", "odds_ratio_upper"),
    *("prob_positive", "shrinkage"),
]

type Floats = NDArray[np.float64]


def power_scaling(fit: xr.DataTree) -> pd.DataFrame:
    """How much each quantity would change with a prior, or a likelihood, of another weight.

    Prior or likelihood are raised to the powers 0.99 and 1.01; the draws are weighted accordingly
    (Pareto-smoothed), and the cumulative Jensen-Shannon distance to the unweighted draws is
    divided by the change of log2 of the power (Kallioinen et al. 2024,
    doi:10.1007/s11222-023-10366-5; ``psense`` of ArviZ). The prior is that of what has no prior
    above it: τ, c² and intercept, coefficients with a prior of their own, without a horseshoe all
    coefficients, and printed responses that the study takes as a prior; never that of a
    coefficient given τ and λ.

    Parameters
    ----------
    fit : DataTree
        With groups ``prior`` and ``posterior``.

    Returns
    -------
    DataFrame
        ``quantity, label, prior, likelihood`` (sensitivities), ``diagnosis``: both at least 0.05,
        prior and data may disagree; the prior's alone above, the prior may be strong or the data
        weak. A sensitivity is that of the whole distribution, not of its mean.

    Raises
    ------
    OptionError
        A fit without a prior.
    """
    import arviz_stats as azs
    from threadpoolctl import threadpool_limits

    check_prior(fit)
    names, values = _moving(fit)
    tree = _scaled_tree(fit, values)
    # thousands of short products, whose last bit would depend on how many threads share them
    with threadpool_limits(limits=1):
        columns = {
            group: azs.psense(tree, group=group)["value"].to_numpy()
            for group in ("prior", "likelihood")
        }
    table = pd.DataFrame({"quantity": list(names), "label": list(names.values()), **columns})
    return table.assign(diagnosis=_diagnoses(table["prior"], table["likelihood"]))


def _diagnoses(prior: pd.Series, likelihood: pd.Series) -> Any:
    """What two sensitivities together say, as ArviZ's ``psense_summary`` has it."""
    cases = [
        (prior >= SENSITIVE) & (likelihood >= SENSITIVE),
        (prior > SENSITIVE) & (likelihood < SENSITIVE),
    ]
    return np.select(cases, [CONFLICT, STRONG_PRIOR], UNMOVED)


def _moving(fit: xr.DataTree) -> tuple[dict[str, str], Floats]:
    """Labels by name, and draws of shape (chain, draw, quantity): what is not a constant."""
    posterior, design = fit["posterior"], design_of(fit)
    names = {name: label for name, label in LABELS.items() if name in posterior.data_vars}
    scalars = [posterior[name].to_numpy() for name in names]
    values = np.concatenate([np.stack(scalars, axis=-1), posterior["beta"].to_numpy()], axis=-1)
    labels = zip(design.terms, term_labels(design.study), strict=True)
    names |= {f"beta[{term}]": label for term, label in labels}
    moving = np.ptp(values, axis=(0, 1)) > 0
    return dict(itertools.compress(names.items(), moving)), values[..., moving]


def _scaled_tree(fit: xr.DataTree, values: Floats) -> xr.DataTree:
    """Draws of all quantities as one variable, with their log-prior and log-likelihood."""
    draw = ("chain", "draw")
    log_likelihood = fit["posterior"]["log_lik"].to_numpy()
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"value": ((*draw, "quantity"), values)}),
            "log_prior": xr.Dataset({"all": (draw, log_prior(fit))}),
            "log_likelihood": xr.Dataset({"all": (draw, log_likelihood)}),
        }
    )


def log_prior(fit: xr.DataTree) -> Floats:
    """Log-density of the priors that stand above no draw: see `power_scaling`.

    Parameters
    ----------
    fit : DataTree
        With group ``posterior``.

    Returns
    -------
    ndarray, shape (chain, draw)
        Up to a constant; of c² on its own scale, without a Jacobian.
    """
    from scipy import stats

    prior, posterior = prior_of(fit), fit["posterior"]
    intercept, beta = posterior["intercept"].to_numpy(), posterior["beta"].to_numpy()
    own = ~prior.shrunk
    densities = [
        stats.norm.logpdf(intercept, 0, prior.intercept_scale)
        if prior.intercept_family == "normal"
        else stats.t.logpdf(intercept, INTERCEPT_DF, 0, prior.intercept_scale),
        np.sum(stats.norm.logpdf(beta[..., own], prior.own_mean[own], prior.own_sd[own]), axis=-1),
        _log_shrinkage_prior(prior, posterior, beta[..., prior.shrunk]),
    ]
    if prior.pseudo is not None:
        predictor = intercept[..., np.newaxis] + beta @ prior.pseudo.matrix.T
        densities.append(log_bernoulli(prior.pseudo.outcome, predictor).sum(axis=-1))
    return np.asarray(np.sum(densities, axis=0))


def _log_shrinkage_prior(prior: CoefficientPrior, posterior: Any, shrunk: Floats) -> Floats:
    """Of the scales of the horseshoe, or of the coefficients where there are no scales."""
    from scipy import stats

    if prior.family == "normal":
        density = stats.norm.logpdf(shrunk, scale=prior.scale).sum(axis=-1)
    elif prior.family == "student-t":
        density = stats.t.logpdf(shrunk, prior.df, scale=prior.scale).sum(axis=-1)
    elif "tau" in posterior.data_vars:
        half_df = prior.slab_df / 2
        density = stats.halfcauchy.logpdf(posterior["tau"].to_numpy(), scale=prior.global_scale)
        density = density + stats.invgamma.logpdf(
            posterior["slab"].to_numpy() ** 2, half_df, scale=half_df * prior.slab_scale**2
        )
    else:
        density = np.zeros(shrunk.shape[:-1])
    return np.asarray(density)


@dataclass(frozen=True, eq=False)
class PriorSensitivity:
    """What other priors would have said.

    Attributes
    ----------
    priors : DataFrame
        ``prior`` (key), ``description, term, label, odds_ratio, odds_ratio_lower,
        odds_ratio_upper, prob_positive, shrinkage, interval``.
    fits : DataFrame
        ``prior, description, trusted, max_rhat, min_ess_bulk, m_eff, m_eff_lower, m_eff_upper,
        elpd_loo, elpd_se, elpd_diff, elpd_diff_se, bad_k, risk_mean_difference,
        risk_largest_difference, median_width, patients, interval``.
    """

    priors: pd.DataFrame
    fits: pd.DataFrame


def other_priors(study: Study) -> dict[str, tuple[Prior, str]]:
    """Priors that a study is fitted with again, by key, each with its words.

    Half and twice the expected number of coefficients, or of the declared global scale; where
    twice the number would be all columns, half way to all. Normal and Student-t with 4 degrees of
    freedom, both of scale 2.5 per SD. A study that has no horseshoe is given one in place of the
    first two. What the study has already is left out.

    Parameters
    ----------
    study : Study

    Returns
    -------
    dict of str to (Prior, str)
        Empty where no column is under the shrinkage prior.
    """
    columns, declared = len(study.shrunk_terms), study.prior
    if not columns:
        return {}
    plain = {"expected_nonzero": None, "global_scale": None, "scale": NORMAL_SCALE}
    changes: dict[str, dict[str, Any]] = {"horseshoe": {"family": "regularized-horseshoe"}}
    if declared.family == "regularized-horseshoe":
        changes = _other_scales(declared, columns)
    changes["normal"] = {**plain, "family": "normal"}
    changes["student_t"] = {**plain, "family": "student-t", "df": STUDENT_DF}
    found = {}
    for key, change in changes.items():
        prior = declared.model_copy(update=change)
        words = prior_in_words(replace(study, prior=prior))
        if words != prior_in_words(study):
            found[key] = (prior, words + _why(key, declared, columns))
    return found


def _other_scales(declared: Prior, columns: int) -> dict[str, dict[str, Any]]:
    """Half and twice what sets the global scale."""
    if declared.global_scale is not None:
        name, now, twice = "global_scale", declared.global_scale, 2 * declared.global_scale
    else:
        name, now = "expected_nonzero", declared.expected_nonzero or columns / 2
        twice = 2 * now if 2 * now < columns else (now + columns) / 2
    return {"half_expected": {name: now / 2}, "double_expected": {name: twice}}


def _why(key: str, declared: Prior, columns: int) -> str:
    """Say why twice the expected number is not twice it."""
    now = declared.expected_nonzero or columns / 2
    if key != "double_expected" or declared.global_scale is not None or 2 * now < columns:
        return ""
    return f" (half way from {now:g} to all: twice as many would be {2 * now:g})"


def prior_alternatives(
    cohort: Cohort,
    fit: xr.DataTree,
    *,
    ci_prob: float = 0.95,
    settings: SamplerSettings | None = None,
    cores: int | None = None,
    report: Report | None = None,
) -> PriorSensitivity:
    """Fit the study again under other priors, and put what they say beside the fit.

    Differences are those of the other prior less the prior as analysed: of elpd paired over the
    patients of the development set, of the risks over all patients. Leave-one-out terms of
    patients whose Pareto k̂ is too high are counted, in either fit, and not refitted.

    Parameters
    ----------
    cohort : Cohort
        The one that was sampled.
    fit : DataTree
        With the prior as analysed.
    ci_prob : float in (0, 1)
    settings : SamplerSettings, optional
        Of the refits; default: Gibbs with the chains, warm-up and seed of the fit, and 4,000 draws
        of each chain.
    cores : int, optional
    report : callable, optional
        Called with a `SamplingState` that counts the draws of all refits.

    Returns
    -------
    PriorSensitivity

    Raises
    ------
    OptionError
        A fit without a prior, another cohort, or settings outside what is allowed.
    """
    check_prior(fit)
    check_learnt(fit, cohort)
    tails(ci_prob)
    study = design_of(fit).study
    others = other_priors(study)
    analysed = _Alternative.of(AS_ANALYSED, prior_in_words(study), fit, cohort, ci_prob)
    found = [analysed]
    for number, (key, (prior, words)) in enumerate(others.items()):
        told = None if report is None else _counting(report, number, len(others))
        changed = replace(cohort, study=replace(study, prior=prior))
        refit = _sampled(changed, settings or _settings(fit), cores, told)
        found.append(_Alternative.of(key, words, refit, changed, ci_prob))
    priors = pd.concat([one.coefficients() for one in found], ignore_index=True)
    fits = pd.DataFrame([one.row(analysed) for one in found])
    return PriorSensitivity(priors.assign(interval=ci_prob), fits.assign(interval=ci_prob))


def _settings(fit: xr.DataTree) -> SamplerSettings:
    """As the fit was sampled, by Gibbs: the same posterior, and nothing to compile."""
    used = settings_of(fit)
    return SamplerSettings(chains=used["chains"], warmup=used["warmup"], seed=used["seed"])


def _sampled(
    cohort: Cohort, settings: SamplerSettings, cores: int | None, report: Report | None
) -> xr.DataTree:
    return sample(
        cohort,
        seed=settings.seed,
        chains=settings.chains,
        warmup=settings.warmup,
        draws=settings.draws,
        target_accept=settings.target_accept,
        engine=settings.engine,
        cores=cores,
        report=report,
    )


def _counting(report: Report, number: int, count: int) -> Report:
    """Count the draws of one refit among those of all."""

    def told(state: SamplingState) -> None:
        finished, total = number * state.total + state.finished, count * state.total
        report(replace(state, finished=finished, total=total))

    return told


@dataclass(frozen=True, eq=False)
class _Alternative:
    """A fit under one prior, and what the tables need of it."""

    key: str
    words: str
    fit: xr.DataTree
    diagnosed: pd.DataFrame
    risks: pd.DataFrame
    loo: LeaveOneOut
    ci_prob: float

    @classmethod
    def of(
        cls, key: str, words: str, fit: xr.DataTree, cohort: Cohort, ci_prob: float
    ) -> _Alternative:
        risks = predict(fit, cohort, ci_prob=ci_prob)
        diagnosed = diagnostics(fit, ci_prob)
        return cls(key, words, fit, diagnosed, risks, leave_one_out(fit), ci_prob)

    def coefficients(self) -> pd.DataFrame:
        """Rows of table ``priors``."""
        table = coefficients(self.fit, ci_prob=self.ci_prob, diagnosed=self.diagnosed)
        table = table.loc[table["term"] != INTERCEPT, ESTIMATES].reset_index(drop=True)
        # contrasts on which effects of different units can be drawn on one axis
        ratios = prior_odds_ratios(self.fit, ci_prob=self.ci_prob)
        for end, source in (("", "median"), ("_lower", "lower"), ("_upper", "upper")):
            table[f"odds_ratio{end}"] = ratios[f"posterior_{source}"]
        table.insert(list(table).index("odds_ratio"), "contrast", ratios["contrast"])
        about = pd.DataFrame({"prior": self.key, "description": self.words}, index=table.index)
        return pd.concat([about, table], axis=1)

    def row(self, analysed: _Alternative) -> dict[str, Any]:
        """Row of table ``fits``."""
        judged = verdict(self.fit, self.diagnosed)
        lower, median, upper = equal_tailed(self.effective_number(), self.ci_prob)
        difference = (self.loo.patients["elpd"] - analysed.loo.patients["elpd"]).to_numpy()
        risk = (self.risks["risk"] - analysed.risks["risk"]).abs()
        return {
            "prior": self.key,
            "description": self.words,
            "trusted": judged.trusted,
            "max_rhat": judged.max_rhat,
            "min_ess_bulk": judged.min_ess_bulk,
            "m_eff": median,
            "m_eff_lower": lower,
            "m_eff_upper": upper,
            "elpd_loo": self.loo.elpd,
            "elpd_se": self.loo.se,
            "elpd_diff": difference.sum(),
            "elpd_diff_se": np.sqrt(len(difference) * difference.var(ddof=1)),
            "bad_k": self.loo.bad,
            "risk_mean_difference": risk.mean(),
            # rounded: an extreme, and a median, are the very value of one patient
            "risk_largest_difference": round(float(risk.max()), 3),
            "median_width": round(float((self.risks["upper"] - self.risks["lower"]).median()), 3),
            "patients": len(self.risks),
        }

    def effective_number(self) -> Floats:
        """Σ (1 - κ) over the shrunk coefficients; under a normal prior a constant."""
        shrunk = prior_of(self.fit).shrunk
        kept = 1 - shrinkage_draws(self.fit)[..., shrunk]
        return np.asarray(kept.sum(axis=-1).ravel())
