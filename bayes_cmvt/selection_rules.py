"""Which columns a shrinkage posterior would keep: rules on single coefficients, and their errors.

Three rules decide column by column: little shrinkage, an effect that is more likely than not of
practical size, an interval that excludes 0. Each is judged by the posterior itself: how many of the
kept are expected to have the wrong sign, or no effect of practical size.
"""

from __future__ import annotations

from collections.abc import Mapping

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
    if not 1 < rope < np.inf:
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


def kept_by_rules(
    beta: Floats, shrinkage: Floats | None, contrast: Floats, rope: float, ci_prob: float
) -> dict[str, Flags]:
    """Which columns each rule keeps, by rule, shape (coefficient,).

    Parameters
    ----------
    beta : ndarray, shape (draw, coefficient)
    shrinkage : ndarray, shape (coefficient,), optional
        Posterior means of κ; without them there is no rule on them.
    contrast : ndarray, shape (coefficient,)
        In SD.
    rope : float
    ci_prob : float
        Of the interval that excludes 0 or not.
    """
    lower, _, upper = equal_tailed(beta, ci_prob)
    kept = {} if shrinkage is None else {"kappa": shrinkage < 0.5}
    return kept | {
        "rope": beyond_rope(beta, contrast, rope) > 0.5,
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
        ``term, label, contrast, rope, shrinkage, prob_positive, prob_wrong_sign, prob_beyond_rope,
        kappa, rope_rule, interval_rule, interval``; without a horseshoe ``kappa`` is empty.

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
    contrast = fit["constant_data"]["contrast"].to_numpy()
    in_sd = contrast / design.sd
    kappa = shrinkage_draws(fit).mean(axis=(0, 1))
    has_horseshoe = prior_of(fit).family == HORSESHOE
    kept = kept_by_rules(beta, kappa if has_horseshoe else None, in_sd, rope, ci_prob)
    positive = (beta > 0).mean(axis=0)
    return pd.DataFrame(
        {
            "term": design.terms,
            "label": term_labels(design.study),
            "contrast": contrast,
            "rope": rope,
            "shrinkage": kappa,
            "prob_positive": positive,
            "prob_wrong_sign": np.minimum(positive, 1 - positive),
            "prob_beyond_rope": beyond_rope(beta, in_sd, rope),
            "kappa": kept.get("kappa", np.full(len(kappa), np.nan)),
            "rope_rule": kept["rope"],
            "interval_rule": kept["interval"],
            "interval": ci_prob,
        }
    )


def expected_errors(rules: pd.DataFrame, kept: Mapping[str, Flags]) -> pd.DataFrame:
    """How many false discoveries the posterior expects among the columns that each procedure keeps.

    The sum over them of the probability of the less likely sign, the local false sign rate
    (Stephens 2017, doi:10.1093/biostatistics/kxw041), and of the probability of no effect of
    practical size.

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
