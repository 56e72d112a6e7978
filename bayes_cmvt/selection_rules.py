"""Which columns a shrinkage posterior would keep: rules on single coefficients, and their errors.

Three rules decide column by column: little shrinkage; an effect that is more likely than not of
practical size, and more likely than before the data; an interval that excludes 0. Each is judged by
the posterior itself: how many of the kept are expected to have the wrong sign, or no effect of
practical size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.errors import OptionError
from bayes_cmvt.estimates import term_labels
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.posterior import (
    check_posterior,
    design_of,
    prior_of,
    shrinkage_draws,
)

RULES = ("kappa", "rope", "interval")
DEFAULT_ROPE = 1.1
HORSESHOE = "regularized-horseshoe"

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]


def check_rope(rope: float) -> None:
    """Refuse a region of practical equivalence that is none.

    Raises
    ------
    OptionError
    """
    if isinstance(rope, bool) or not isinstance(rope, int | float) or not 1 < rope < np.inf:
        msg = f"rope: found {rope!r}; allowed: an odds ratio above 1, for instance 1.1"
        raise OptionError(msg)


def beyond_rope(beta: Floats, contrast: Floats, rope: float) -> Floats:
    """Posterior probability that an effect is of practical size, shape (coefficient,).

    Its odds ratio on the contrast lies outside ``1 / rope … rope``.

    Parameters
    ----------
    beta : ndarray, shape (draw, coefficient)
        Log-odds per SD.
    contrast : ndarray, shape (coefficient,)
        In SD.
    rope : float, above 1
        Odds ratio.

    Examples
    --------
    >>> beyond_rope(np.array([[0.2], [0.0], [-0.3]]), np.array([0.5]), 1.1).round(3).tolist()
    [0.667]
    """
    return np.asarray((np.abs(beta * contrast) > np.log(rope)).mean(axis=0))


@dataclass(frozen=True, eq=False)
class Practice:
    """What counts as an effect of practical size.

    Attributes
    ----------
    rope : float, above 1
        Odds ratios between its inverse and itself do not.
    contrast : ndarray, shape (coefficient,)
        On which odds ratios are judged, in SD.
    before : ndarray, shape (coefficient,)
        Prior probability of an effect of practical size.
    """

    rope: float
    contrast: Floats
    before: Floats


def practice_of(fit: xr.DataTree, rope: float) -> Practice:
    """What counts as an effect of practical size in a fit, on its clinical contrasts."""
    contrast = fit["constant_data"]["contrast"].to_numpy() / design_of(fit).sd
    drawn = fit["prior"]["beta"].to_numpy().reshape(-1, len(contrast))
    return Practice(rope, contrast, beyond_rope(drawn, contrast, rope))


def kept_by_rules(
    beta: Floats, shrinkage: Floats | None, practice: Practice, ci_prob: float
) -> dict[str, Flags]:
    """Which columns each rule keeps, by rule, shape (coefficient,).

    Parameters
    ----------
    beta : ndarray, shape (draw, coefficient)
    shrinkage : ndarray, shape (coefficient,), optional
        Posterior means of κ, NaN for what is not shrunk; without them there is no rule on them.
    practice : Practice
    ci_prob : float
        Of the interval that excludes 0 or not.
    """
    lower, _, upper = equal_tailed(beta, ci_prob)
    kept = {} if shrinkage is None else {"kappa": shrinkage < 0.5}
    after = beyond_rope(beta, practice.contrast, practice.rope)
    return kept | {
        "rope": (after > 0.5) & (after > practice.before),
        "interval": (lower > 0) | (upper < 0),
    }


def horseshoe_rules(
    fit: xr.DataTree, *, rope: float = DEFAULT_ROPE, ci_prob: float = 0.95
) -> pd.DataFrame:
    """What the posterior says of keeping each term, and which rules would.

    Parameters
    ----------
    fit : DataTree
    rope : float, above 1
        Odds ratios between its inverse and itself are of no practical size, on the row's contrast:
        ``per``, the level change, or the step from the 25th to the 75th percentile.
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``term, label, contrast, rope, shrinkage, prob_positive, prob_wrong_sign,
        prior_beyond_rope, prob_beyond_rope, kappa, rope_rule, interval_rule, interval``; ``kappa``
        is empty without a horseshoe and for terms that are not shrunk. With half of the columns
        expected, the default, one half is also the prior mean of the shrinkage.

    Raises
    ------
    OptionError
        ``rope`` is not above 1, ``ci_prob`` outside (0, 1), or the fit is no posterior.
    """
    check_posterior(fit)
    check_rope(rope)
    tails(ci_prob)
    design = design_of(fit)
    beta = fit["posterior"]["beta"].to_numpy().reshape(-1, len(design.terms))
    practice, prior = practice_of(fit, rope), prior_of(fit)
    shrunk = shrinkage_draws(fit).mean(axis=(0, 1))
    kappa = None
    if prior.family == HORSESHOE:
        kappa = np.where(prior.shrunk, shrunk, np.nan)
    kept = kept_by_rules(beta, kappa, practice, ci_prob)
    nothing = np.full(len(shrunk), np.nan)
    by_kappa = nothing if kappa is None else np.where(prior.shrunk, kept["kappa"], nothing)
    positive = (beta > 0).mean(axis=0)
    return pd.DataFrame(
        {
            "term": design.terms,
            "label": term_labels(design.study),
            "contrast": fit["constant_data"]["contrast"].to_numpy(),
            "rope": rope,
            "shrinkage": shrunk,
            "prob_positive": positive,
            "prob_wrong_sign": np.minimum(positive, 1 - positive),
            "prior_beyond_rope": practice.before,
            "prob_beyond_rope": beyond_rope(beta, practice.contrast, rope),
            "kappa": by_kappa,
            "rope_rule": kept["rope"],
            "interval_rule": kept["interval"],
            "interval": ci_prob,
        }
    )


def expected_errors(rules: pd.DataFrame, kept: Mapping[str, Flags]) -> pd.DataFrame:
    """How many false discoveries the posterior expects among the columns that each procedure keeps.

    The sum over them of the probability of the less likely sign, the local false sign rate
    (Stephens 2017, doi:10.1093/biostatistics/kxw041), and of the probability of no effect of
    practical size. Of all of them it is the coefficient in the full posterior that is asked; in a
    submodel a coefficient also stands for what was left out.

    Parameters
    ----------
    rules : DataFrame
        From `horseshoe_rules`.
    kept : mapping of str to ndarray of bool, shape (coefficient,)
        By procedure.

    Returns
    -------
    DataFrame
        ``procedure, columns, expected_wrong_sign, expected_in_rope``.
    """
    wrong = rules["prob_wrong_sign"].to_numpy()
    within = 1 - rules["prob_beyond_rope"].to_numpy()
    return pd.DataFrame(
        [
            {
                "procedure": name,
                "columns": int(flags.sum()),
                "expected_wrong_sign": float(wrong[flags].sum()),
                "expected_in_rope": float(within[flags].sum()),
            }
            for name, flags in kept.items()
        ]
    )
