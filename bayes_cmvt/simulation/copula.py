"""Fresh patients who look like those of a cohort: its marginals, joined by a Gaussian copula.

Every predictor is an increasing step function of one normal variable; the variables are correlated.
Values are those that the cohort holds, in its proportions; combinations are new.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort, level_categories
from bayes_cmvt.schema import Continuous
from bayes_cmvt.study import Study

LARGEST = 0.98  # of an estimated latent correlation: beyond it two predictors would be one
SMALLEST_EIGENVALUE = 1e-3

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Copula:
    """A law of predictors.

    Attributes
    ----------
    study : Study
    values : tuple of ndarray
        Sorted numbers of each predictor; of a category the positions of its levels.
    correlation : ndarray, shape (predictor, predictor)
        Of the latent normal variables.
    """

    study: Study
    values: tuple[Floats, ...]
    correlation: Floats

    def drawn(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw predictors of fresh patients, shape (patient, predictor), as in `Cohort`."""
        from scipy.special import ndtr

        factor = np.linalg.cholesky(self.correlation)
        ranks = ndtr(rng.standard_normal((n, len(factor))) @ factor.T)
        found = {}
        for j, (one, values) in enumerate(zip(self.study.predictors, self.values, strict=True)):
            place = np.minimum((ranks[:, j] * len(values)).astype(int), len(values) - 1)
            numbers = values[place]
            found[one.name] = (
                numbers
                if isinstance(one, Continuous)
                else level_categories(one, numbers.astype(int))
            )
        return pd.DataFrame(found)

    def more_correlated(self, direction: Floats, share: float) -> Copula:
        """Give all predictors a common factor besides what correlates them already.

        Parameters
        ----------
        direction : ndarray of {-1, 1}, shape (predictor,)
            Which way each predictor goes with the factor.
        share : float in [0, 1)
            Of the latent variance that the factor takes.
        """
        common = np.outer(direction, direction)
        return replace(self, correlation=(1 - share) * self.correlation + share * common)


def copula_of(cohort: Cohort) -> Copula:
    """Learn a law of predictors from all patients of a cohort.

    Latent correlations are those of normal scores, corrected for what ties take away from them:
    exact in the limit between a tied and an untied predictor, to first order between two tied ones.
    An unordered category is taken in the order of its levels.

    Parameters
    ----------
    cohort : Cohort

    Returns
    -------
    Copula
    """
    columns = [_numbers(cohort.predictors[one.name]) for one in cohort.study.predictors]
    correlation = np.eye(len(columns))
    if len(columns) > 1:
        scores = np.column_stack([normal_scores(values) for values in columns])
        kept = np.array([score_reliability(values) for values in columns])
        with np.errstate(invalid="ignore", divide="ignore"):
            estimated = np.corrcoef(scores, rowvar=False) / np.outer(kept, kept)
        correlation = possible_correlation(np.nan_to_num(estimated))
    return Copula(cohort.study, tuple(np.sort(values) for values in columns), correlation)


def _numbers(values: pd.Series) -> Floats:
    numbers = values.cat.codes if isinstance(values.dtype, pd.CategoricalDtype) else values
    return np.asarray(numbers, dtype=float)


def normal_scores(values: Floats) -> Floats:
    """Normal quantiles of the mid-ranks, shape (patient,).

    Examples
    --------
    >>> normal_scores(np.array([3.0, 1.0, 3.0, 7.0])).round(3).tolist()
    [0.0, -1.15, 0.0, 1.15]
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))


def score_reliability(values: Floats) -> float:
    """Correlation of a latent normal variable with the normal scores of what is seen of it.

    1 without ties, less the fewer distinct values there are; NaN for a constant.
    """
    from scipy.stats import norm

    _, counts = np.unique(values, return_counts=True)
    ends = np.concatenate([[0.0], np.cumsum(counts) / len(values)])
    share, heights = np.diff(ends), norm.pdf(norm.ppf(ends))
    mean = (heights[:-1] - heights[1:]) / share
    score = norm.ppf((ends[:-1] + ends[1:]) / 2)
    score = score - share @ score
    return float(share @ (score * mean) / np.sqrt(share @ score**2)) if len(share) > 1 else np.nan


def possible_correlation(estimated: Floats) -> Floats:
    """The correlation matrix near an estimated one that can be one."""
    from statsmodels.stats.correlation_tools import corr_clipped

    bounded = np.clip((estimated + estimated.T) / 2, -LARGEST, LARGEST)
    np.fill_diagonal(bounded, 1.0)
    return np.asarray(corr_clipped(bounded, threshold=SMALLEST_EIGENVALUE))
