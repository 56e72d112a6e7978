"""Do two fits of the same posterior agree? Their differences in Monte Carlo standard errors.

In units of its combined Monte Carlo standard error, every statistic of two right samplers differs
by about a standard normal, whatever its scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import design_matrix
from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.posterior import design_of, expit

AGREE_WITHIN = 4.0  # combined Monte Carlo standard errors
STATISTICS = ("mean", "sd", "lower", "median", "upper")
KEYS = ["quantity", "row", "statistic"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Whether two fits agree, from the table of their differences.

    Attributes
    ----------
    agrees : bool
        Something was compared, nothing lies beyond the bound, and nothing is left uncompared but
        quantities that are the same constant in both fits.
    comparisons : int
        Differences that could be computed.
    largest : float
        Largest absolute difference, in combined Monte Carlo standard errors; nan without any.
    expected_largest : float
        Median of the largest of so many independent standard normals. The statistics of one fit
        go together, so that the largest is on average somewhat smaller.
    beyond : DataFrame
        Rows of the table beyond the bound.
    uncompared : DataFrame
        Rows without a difference: constants, and draws that are no finite numbers.
    """

    agrees: bool
    comparisons: int
    largest: float
    expected_largest: float
    beyond: pd.DataFrame
    uncompared: pd.DataFrame


def engine_agreement(
    first: xr.DataTree,
    second: xr.DataTree,
    *,
    cohort: Cohort | None = None,
    ci_prob: float = 0.95,
    patients: int = 20,
) -> pd.DataFrame:
    """Compare two fits of the same posterior, statistic by statistic.

    Compared are the intercept, the coefficients per SD, log τ and log c² where the prior has them,
    the effective number, the log-likelihood, the mean risk and the risks of some patients; of each
    the mean, SD, median and the limits of the equal-tailed interval. The local scales λ are left
    out, as in the gate.

    Parameters
    ----------
    first, second : DataTree
        Fits of the same study and the same patients, drawn independently of each other.
    cohort : Cohort, optional
        The patients of the fits; without it no risks are compared.
    ci_prob : float in (0, 1)
        Probability of the interval whose limits are compared.
    patients : int
        Number of development patients whose risks are compared, evenly spaced.

    Returns
    -------
    DataFrame
        ``quantity, row, statistic, first, second, mcse, difference, interval``; ``row`` is the
        patient's where ``quantity`` is ``risk`` and missing elsewhere, which makes the table
        private as every table with that column. ``difference`` as in `differences_in_error`.

    Raises
    ------
    OptionError
        The fits have other predictors, priors or patients, or ``ci_prob`` is outside (0, 1).
    """
    _require_same_posterior(first, second, cohort)
    tables = [
        [scalar_statistics(first, ci_prob=ci_prob), scalar_statistics(second, ci_prob=ci_prob)]
    ]
    if cohort is not None and patients > 0:
        developing = cohort.predictors[cohort.development]
        chosen = developing.iloc[_evenly_spaced(len(developing), patients)]
        tables.append([risk_statistics(fit, chosen, ci_prob=ci_prob) for fit in (first, second)])
    compared = [differences_in_error(one, other) for one, other in tables]
    return pd.concat(compared, ignore_index=True).assign(interval=ci_prob)


def statistics_with_error(
    draws: NDArray[np.float64],
    quantities: Sequence[str],
    *,
    rows: Sequence[int] | None = None,
    ci_prob: float = 0.95,
) -> pd.DataFrame:
    """Mean, SD, median and interval limits of quantities, with the Monte Carlo error of each.

    Monte Carlo standard errors as in Vehtari et al. 2021, doi:10.1214/20-BA1221, by ArviZ: of the
    mean from its effective sample size, of the SD by the delta method from that of the squared
    deviations, of a quantile from that of the indicator of lying below it.

    Parameters
    ----------
    draws : ndarray, shape (chain, draw, quantity)
    quantities : sequence of str, shape (quantity,)
    rows : sequence of int, shape (quantity,), optional
        Rows of the patients that the quantities belong to.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``quantity, row, statistic, estimate, mcse``: five rows for each quantity, in its own unit.
        The error of a quantity that never moves is 0.

    Raises
    ------
    OptionError
        ``ci_prob`` outside (0, 1).
    """
    estimates, errors = _estimates(draws, ci_prob), _errors(draws, ci_prob)
    table = pd.DataFrame(
        {
            "quantity": np.repeat(np.asarray(quantities, dtype=object), len(STATISTICS)),
            "row": pd.array(
                [pd.NA] * estimates.size if rows is None else np.repeat(rows, len(STATISTICS)),
                dtype="Int64",
            ),
            "statistic": list(STATISTICS) * len(quantities),
            "estimate": estimates.T.ravel(),
            "mcse": errors.T.ravel(),
        }
    )
    return table.astype({"quantity": str})


def scalar_statistics(fit: xr.DataTree, *, ci_prob: float = 0.95) -> pd.DataFrame:
    """Statistics of every scalar that the gate looks at, with the Monte Carlo error of each.

    Parameters
    ----------
    fit : DataTree
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        As `statistics_with_error`: ``intercept``, ``beta[term]`` per SD, ``log_tau`` and ``log_c2``
        (twice the logarithm of the slab) where the prior has them, ``m_eff``, ``log_lik``,
        ``mean_risk``.
    """
    posterior = fit["posterior"].to_dataset()
    beta = posterior["beta"].to_numpy()
    draws = {"intercept": posterior["intercept"].to_numpy()}
    for j, term in enumerate(posterior["coefficient"].to_numpy()):
        draws[f"beta[{term}]"] = beta[..., j]
    if "tau" in posterior:
        draws["log_tau"] = np.log(posterior["tau"].to_numpy())
        draws["log_c2"] = 2 * np.log(posterior["slab"].to_numpy())
    totals = [name for name in ("m_eff", "log_lik", "mean_risk") if name in posterior]
    draws |= {name: posterior[name].to_numpy() for name in totals}
    stacked = np.stack(list(draws.values()), axis=-1)
    return statistics_with_error(stacked, list(draws), ci_prob=ci_prob)


def risk_statistics(
    fit: xr.DataTree, predictors: pd.DataFrame, *, ci_prob: float = 0.95
) -> pd.DataFrame:
    """Statistics of the risks of patients, with the Monte Carlo error of each.

    Parameters
    ----------
    fit : DataTree
    predictors : DataFrame, shape (patient, predictor)
        As `Cohort.predictors`, with the predictors of the fit.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        As `statistics_with_error`, ``quantity`` being ``risk``; per patient, private.
    """
    posterior = fit["posterior"]
    matrix = design_matrix(design_of(fit), predictors)
    intercept = posterior["intercept"].to_numpy()[..., np.newaxis]
    risk = expit(intercept + posterior["beta"].to_numpy() @ matrix.T)
    rows = predictors.index.tolist()
    return statistics_with_error(risk, ["risk"] * len(rows), rows=rows, ci_prob=ci_prob)


def differences_in_error(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Differences between two tables of statistics, in combined Monte Carlo standard errors.

    Parameters
    ----------
    first, second : DataFrame
        From `statistics_with_error`; of independent draws.

    Returns
    -------
    DataFrame
        ``quantity, row, statistic, first, second, mcse, difference``, one row for each statistic
        that both tables hold. ``mcse`` is the root of the sum of both squared errors and
        ``difference`` is (first - second) / mcse: nan where both are the same constant or draws
        are no finite numbers, infinite between different constants.
    """
    merged = first.merge(second, on=KEYS, validate="one_to_one", suffixes=("_first", "_second"))
    error = np.hypot(merged["mcse_first"].to_numpy(), merged["mcse_second"].to_numpy())
    values = [merged[f"estimate_{which}"].to_numpy() for which in ("first", "second")]
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = (values[0] - values[1]) / error
    return merged[KEYS].assign(first=values[0], second=values[1], mcse=error, difference=difference)


def agreement(table: pd.DataFrame, *, within: float = AGREE_WITHIN) -> Agreement:
    """Judge a table of differences.

    Parameters
    ----------
    table : DataFrame
        From `engine_agreement` or `differences_in_error`.
    within : float
        Combined Monte Carlo standard errors that no difference may exceed. At 4 one pair of right
        runs in a hundred disagrees, because the errors are estimates; none in 1,700 did at 5.

    Returns
    -------
    Agreement
    """
    size = table["difference"].abs()
    beyond, uncompared = table[size > within], table[size.isna()]
    comparisons = int(size.notna().sum())
    all_told = bool((uncompared["first"] == uncompared["second"]).all())
    return Agreement(
        agrees=comparisons > 0 and beyond.empty and all_told,
        comparisons=comparisons,
        largest=float(size.max()),
        expected_largest=expected_largest(comparisons),
        beyond=beyond,
        uncompared=uncompared,
    )


def expected_largest(comparisons: int) -> float:
    """Median of the largest of independent standard normals in absolute value.

    Φ⁻¹((1 + 0.5^(1/K)) / 2) for K of them.

    Parameters
    ----------
    comparisons : int
        K; the result is nan where it is 0.

    Examples
    --------
    >>> round(expected_largest(1), 3), round(expected_largest(200), 2)
    (0.674, 2.92)
    """
    from scipy.stats import norm

    if comparisons == 0:
        return math.nan
    return float(norm.isf((1 - 0.5 ** (1 / comparisons)) / 2))


def _estimates(draws: NDArray[np.float64], ci_prob: float) -> NDArray[np.float64]:
    """Return the five statistics in the order of `STATISTICS`, shape (statistic, quantity)."""
    flat = draws.reshape(-1, draws.shape[-1])
    with np.errstate(invalid="ignore"):
        # from the first draw on, so that a constant has itself as mean and exactly 0 as SD
        moved = flat - flat[0]
        lower, median, upper = equal_tailed(flat, ci_prob)
        return np.stack(
            [flat[0] + moved.mean(axis=0), moved.std(axis=0, ddof=1), lower, median, upper]
        )


def _errors(draws: NDArray[np.float64], ci_prob: float) -> NDArray[np.float64]:
    """Return the Monte Carlo standard errors of `_estimates`, shape (statistic, quantity)."""
    import arviz_stats as azs

    lower, upper = tails(ci_prob)
    # a quantity that never moves would give 0/0
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = [
            azs.mcse(draws),
            azs.mcse(draws, method="sd"),
            *(azs.mcse(draws, method="quantile", prob=prob) for prob in (lower, 0.5, upper)),
        ]
        still = np.ptp(draws, axis=(0, 1)) == 0
    return np.where(still, 0.0, np.asarray(errors))


def _evenly_spaced(available: int, wanted: int) -> NDArray[np.int64]:
    """Positions from the first to the last patient, at most so many.

    Examples
    --------
    >>> _evenly_spaced(11, 3).tolist(), _evenly_spaced(2, 20).tolist()
    ([0, 5, 10], [0, 1])
    """
    positions = np.linspace(0, available - 1, min(wanted, available))
    return np.round(positions).astype(np.int64)


def _require_same_posterior(first: xr.DataTree, second: xr.DataTree, cohort: Cohort | None) -> None:
    """Refuse fits of different posteriors: their difference would say nothing of the engines."""
    one, other = design_of(first).study, design_of(second).study
    problems = []
    if one.predictors != other.predictors:
        problems.append("the fits have other predictors")
    if one.prior != other.prior:
        problems.append("the fits have other priors")
    if not _same_patients(first, second):
        problems.append("the fits have other patients or outcomes")
    if cohort is not None:
        problems += _other_cohort(first, cohort)
    if problems:
        msg = "two fits can only be compared where they are of the same study and patients"
        raise OptionError(msg, problems)


def _same_patients(first: xr.DataTree, second: xr.DataTree) -> bool:
    """Whether the outcomes are equal, and the constants that the columns were standardised with."""
    groups = ("observed_data", "constant_data")
    return all(first[name].to_dataset().equals(second[name].to_dataset()) for name in groups)


def _other_cohort(fit: xr.DataTree, cohort: Cohort) -> list[str]:
    same_predictors = cohort.study.predictors == design_of(fit).study.predictors
    fitted_rows = fit["observed_data"]["patient"].to_numpy()
    if same_predictors and np.array_equal(fitted_rows, cohort.rows[cohort.development]):
        return []
    return ["the cohort has other predictors or development patients than the fits"]
