"""Total points to risk, with the limits of patients near each total; how exact a nomogram is."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort, NewPatients
from bayes_cmvt.points_scale import Floats, Scale
from bayes_cmvt.posterior import expit, logit
from bayes_cmvt.prediction import predict
from bayes_cmvt.pretty_values import pretty
from bayes_cmvt.schema import Continuous

AT_MOST = 2000  # patients by whom bands and errors are judged
NEAREST, SHARE_NEAR = 25, 0.2  # profiles near a total: at least so many, or this share of all
LEAST_REACH = 0.15  # of the totals that 90 % of the patients have: few predictors give few totals
CERTAIN = 1e-12  # risks are kept so far from 0 and 1 that their log-odds are finite
DRAWN = 0.01  # log-odds: less than a twentieth of a millimetre on a figure
ENVELOPE = (0.05, 0.95)
BANDS = MappingProxyType(  # limit of the exact interval, and which quantile of it over patients
    {
        "lower": (0, 0.5),
        "upper": (1, 0.5),
        "lower_envelope": (0, ENVELOPE[0]),
        "upper_envelope": (1, ENVELOPE[1]),
    }
)
STEPS = 200  # of the ruler, at least
ROUND_RISKS = tuple(
    [step * 10.0**power for power in (-4, -3, -2) for step in (1, 2, 5)]
    + [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]
    + [0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999]
)
BETWEEN = (0.03, 0.04, 0.06, 0.07, 0.08, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85)
FEWEST_TICKS = 3


@dataclass(frozen=True, eq=False)
class Judged:
    """Patients of the cohort, read off the nomogram and predicted exactly.

    ``central`` holds their central log-odds, ``exact`` the table of `predict`, ``development``
    says which of them give the bands; ``cohort`` holds them and all others.
    """

    predictors: pd.DataFrame
    central: Floats
    exact: pd.DataFrame
    development: NDArray[np.bool_]
    cohort: Cohort


def judged_patients(scale: Scale, fit: xr.DataTree, cohort: Cohort, ci_prob: float) -> Judged:
    """Read at most 2,000 patients of a cohort, evenly spaced, off the nomogram and exactly."""
    rows = np.arange(len(cohort.outcome))
    if len(rows) > AT_MOST:
        rows = np.unique(np.linspace(0, len(rows) - 1, AT_MOST).round().astype(int))
    predictors = cohort.predictors.iloc[rows]
    exact = predict(fit, NewPatients(predictors, (), 0), ci_prob=ci_prob)
    members = cohort.development[rows]
    return Judged(predictors, scale.log_odds(predictors), exact, members, cohort)


def risk_table(scale: Scale, judged: Judged) -> pd.DataFrame:
    """Central risk along the ruler, with the limits of patients near each total."""
    end = float(scale.per_log_odds * scale.length.sum())
    step = min(1.0, 10.0 ** np.floor(np.log10(end / STEPS)))
    total = np.arange(0, np.ceil(end / step) + 1) * step
    bands = _bands(scale, judged, total)
    return pd.DataFrame({"total_points": total, "risk": scale.risk(total), **bands})


def _bands(
    scale: Scale, judged: Judged, total: Floats, *, left_out: NDArray[np.int64] | None = None
) -> dict[str, Floats]:
    """Medians of the limits of patients near a total, and their envelope.

    Limits are carried to the total along the patient's own log-odds, so that a neighbour with a
    slightly different total does not widen the band; nearer patients weigh more (tricube). No band
    is drawn beyond the totals that patients have. ``left_out`` names the development patient who
    has no part in the band at each total, -1 for none.
    """
    members = judged.development
    own = scale.total(judged.central[members])
    limits = judged.exact.loc[members, ["lower", "upper"]].to_numpy()
    band = {name: np.full(len(total), np.nan) for name in BANDS}
    band["patients"] = np.zeros(len(total))
    if np.isnan(limits).any() or len(own) == 0:
        return band
    shift = logit(np.clip(limits, CERTAIN, 1 - CERTAIN)) - judged.central[members][:, np.newaxis]
    near = min(len(own), max(NEAREST, int(np.ceil(SHARE_NEAR * len(own)))))
    least = LEAST_REACH * float(np.ptp(np.quantile(own, [0.05, 0.95]))) + 1e-9
    for place in np.flatnonzero((total >= own.min() - 1e-9) & (total <= own.max() + 1e-9)):
        distance = np.abs(own - total[place])
        reach = max(least, np.partition(distance, near - 1)[near - 1])
        weight = np.clip(1 - (distance / reach) ** 3, 0, None) ** 3
        if left_out is not None and left_out[place] >= 0:
            weight[left_out[place]] = 0.0
        if not weight.any():  # all neighbours are equally far
            weight = (distance <= reach).astype(float)
        centre = scale.at_zero + total[place] / scale.per_log_odds
        for name, (column, level) in BANDS.items():
            band[name][place] = centre + weighted_quantile(shift[:, column], weight, level)
        band["patients"][place] = np.count_nonzero(weight)
    certain = (CERTAIN, 1 - CERTAIN)
    drawn = {name: np.clip(expit(band[name]), *certain) for name in BANDS}
    return {**drawn, "patients": band["patients"]}


def weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    """Quantile of values that count by weights, interpolated between their midpoints.

    Parameters
    ----------
    values, weights : ndarray, shape (value,)
        Weights of 0 or more, not all 0.
    level : float in [0, 1]

    Examples
    --------
    >>> weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0]), 0.5)
    2.0
    """
    order = np.argsort(values, kind="stable")
    held = weights[order]
    middle = (np.cumsum(held) - held / 2) / held.sum()
    return float(np.interp(level, middle[held > 0], values[order][held > 0]))


def risk_ticks(scale: Scale) -> pd.DataFrame:
    """Round risks on the ruler; finer ones where few are within it."""
    end = float(scale.per_log_odds * scale.length.sum())
    lowest, highest = scale.risk(np.array([0.0, end]))
    inside = [round(one, 9) for one in ROUND_RISKS if lowest <= one <= highest]
    between = [one for one in BETWEEN if lowest <= one <= highest]
    if len(inside) < FEWEST_TICKS:
        fine = pretty(float(lowest), float(highest), 5)
        inside, between = [one for one in fine.tolist() if lowest <= one <= highest], []
    risks = np.array(sorted([*inside, *between]))
    return pd.DataFrame(
        {
            "risk": risks,
            "total_points": scale.total(logit(risks)),
            "major": np.isin(risks, inside),
        }
    )


def accuracy_of(
    scale: Scale,
    gathered: NDArray[np.bool_],
    judged: Judged,
    risk: pd.DataFrame,
) -> dict[str, float]:
    """What is printed of how far the nomogram is from the model."""
    gap = np.abs(expit(judged.central) - judged.exact["risk"].to_numpy())
    risk_of_model = np.clip(judged.exact["risk"].to_numpy(), CERTAIN, 1)
    kept, error = _gathered_error(scale, gathered)
    short = _central_without(scale, gathered, judged)
    return {
        "points_per_log_odds": scale.per_log_odds,
        "log_odds_at_zero_points": scale.at_zero,
        "developed_patients": float(judged.cohort.n_development),
        "developed_events": float(judged.cohort.events_development),
        "patients": float(len(gap)),
        "patients_of_cohort": float(len(judged.cohort.outcome)),
        "gap_median": float(np.median(gap)),
        "gap_largest": float(gap.max()),
        "gap_largest_share": float((gap / risk_of_model).max()),
        "outside_envelope": _outside(scale, judged, left_out=False),
        "outside_envelope_left_out": _outside(scale, judged, left_out=True),
        "beyond_axes": _beyond_axes(scale, judged.predictors),
        "gathered_axes": float(gathered.sum()),
        "gathered_points": kept,
        "gathered_error_points": error,
        "gathered_error_risk": _largest_change(scale, risk["total_points"].to_numpy(), error),
        "gathered_error_largest": float(np.abs(expit(judged.central) - expit(short)).max()),
    }


def _gathered_error(scale: Scale, gathered: NDArray[np.bool_]) -> tuple[float, float]:
    """Points of the gathered axes at their common values, and the most that others change them."""
    common = np.array([scale.at_common(j) for j in np.flatnonzero(gathered).tolist()])
    length = scale.per_log_odds * scale.length[gathered]
    error = max(common.sum(), (length - common).sum())
    return float(common.sum()), float(error)


def _largest_change(scale: Scale, total: Floats, points: float) -> float:
    """Most by which so many points more or fewer change the risk, anywhere on the ruler.

    The change of the risk is largest where it passes through one half midway.
    """
    log_odds = points / scale.per_log_odds
    ends = scale.at_zero + np.array([total[0], total[-1]]) / scale.per_log_odds
    places = np.clip(np.array([-0.5, 0.5]) * log_odds, *ends)
    changed = expit(places + np.array([1.0, -1.0]) * log_odds) - expit(places)
    return float(np.abs(changed).max())


def _central_without(scale: Scale, gathered: NDArray[np.bool_], judged: Judged) -> Floats:
    """Central log-odds of patients whose gathered predictors have their common values."""
    short = judged.central.copy()
    for j in np.flatnonzero(gathered).tolist():
        points = scale.points(j, judged.predictors[scale.axes[j].predictor.name])
        short -= (points - scale.at_common(j)) / scale.per_log_odds
    return short


def _outside(scale: Scale, judged: Judged, *, left_out: bool) -> float:
    """Share of patients whose exact interval leaves the envelope, or who have none at their total.

    By more than could be seen on a figure: of few predictors many patients are on its edge. Each
    patient may be left out of the envelope in turn: a new patient has no part in it either.
    """
    exact = judged.exact[["lower", "upper"]].to_numpy()
    if np.isnan(exact).any():
        return float("nan")
    place = np.where(judged.development, np.cumsum(judged.development) - 1, -1)
    total = scale.total(judged.central)
    drawn = _bands(scale, judged, total, left_out=place if left_out else None)
    limits = logit(np.clip(exact, CERTAIN, 1 - CERTAIN))
    inside = limits[:, 0] >= logit(drawn["lower_envelope"]) - DRAWN
    inside &= limits[:, 1] <= logit(drawn["upper_envelope"]) + DRAWN
    return float(1 - inside.mean())


def _beyond_axes(scale: Scale, predictors: pd.DataFrame) -> float:
    """Share of patients with a value outside an axis that has points."""
    beyond = np.zeros(len(predictors), dtype=bool)
    for axis, length in zip(scale.axes, scale.length, strict=True):
        if isinstance(axis.predictor, Continuous) and length > 0:
            values = predictors[axis.predictor.name].to_numpy()
            beyond |= (values < axis.low) | (values > axis.high)
    return float(beyond.mean())
