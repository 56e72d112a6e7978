"""Spreads at which a design has the printed standard errors, or the printed AUC as well."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from bayes_cmvt.published.quasi_random_design import Design, Floats, Item, expected_auc

SOLVED_BELOW = 1e-3  # largest relative difference between a standard error and its target
BROYDEN_STEPS, NEAREST_STEPS = 40, 15
AUC_SCALE = 4.0  # an AUC is met to a quarter of that
AREA_SLOPE = 0.3  # roughly, of the scaled AUC by the log of an effect per SD
SLOPE_STEP = 0.02  # of a parameter: wide enough for the ranks of 8,192 points
WIDEST = 5.0  # log ratio of a standard error's limit to its value
LOG_CLASS_AT_MOST = 12.0  # of 1/4q(1 - q), q the share of a smaller class
LOG_EFFECT_AT_MOST = 6.0  # of a log odds ratio per SD

type Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tuned:
    """A design with the printed standard errors.

    Attributes
    ----------
    low, spreads, high : ndarray, shape (item,)
        At the print, and the ends over all standard errors that round to it (to first order in
        logarithms); nan where not met.
    met : ndarray of bool, shape (item,)
        Whether the item has its printed standard error, up to its rounding.
    se : ndarray, shape (item,)
        The standard error that it has; where not met, the smallest that any spread gives.
    auc : float
        That the model expects of its own risks.
    events_in_class : ndarray, shape (item,)
        Patients of the smaller class of a binary item who have the event.
    """

    low: Floats
    spreads: Floats
    high: Floats
    met: NDArray[np.bool_]
    se: Floats
    auc: float
    events_in_class: Floats


def tune(design: Design, auc: float | None = None, *, start: Tuned | None = None) -> Tuned | None:
    """Find the spreads at which a design has the printed standard errors.

    Parameters
    ----------
    design : Design
    auc : float, optional
        Area that free items must bring about, each at the same multiple of the z at its bound; by
        default their z is that at the bound.
    start : Tuned, optional
        Where to begin, for instance what was found under a similar setting.

    Returns
    -------
    Tuned or None
        None where no spreads give the AUC; where none give a standard error, `Tuned.met` says so.
    """
    free = np.flatnonzero([one.free for one in design.items]).astype(np.int64)

    def residual(parameters: Floats) -> Floats:
        log_errors, risk = _log_errors(design, parameters)
        difference = log_errors - design.targets
        if auc is not None:
            difference[free[1:]] -= difference[free[0]]
            difference[free[0]] = AUC_SCALE * (expected_auc(risk) - auc)
        return difference

    first = _start(design) if start is None else _parameters(design, start.spreads)
    found = _solved(residual, first, design, by_area=free[:1] if auc is not None else free[:0])
    if found is None and auc is not None:
        return None
    return _tuned(design, _nearest(residual, design) if found is None else found)


def _solved(
    residual: Callable[[Floats], Floats], first: Floats, design: Design, *, by_area: Whole
) -> Floats | None:
    """Broyden's method, held where both classes of an item are equally large.

    Parameters are such that slopes are known roughly from the start. None where it does not
    converge.
    """
    upper, parameters = _largest(design), first
    slopes = np.diag(np.where(design.binary, -0.5, -1.0))
    slopes[by_area, by_area] = AREA_SLOPE
    found = residual(parameters)
    for _ in range(BROYDEN_STEPS):
        moving = (parameters < upper) | (found < 0)
        if np.all(np.abs(found[moving]) < SOLVED_BELOW / 3):
            return parameters
        step = np.zeros_like(found)
        some = np.ix_(moving, moving)
        step[moving] = -np.linalg.lstsq(slopes[some], found[moving])[0]
        step = np.minimum(np.clip(step, -1.0, 1.0), upper - parameters)
        before, found = found, residual(parameters + step)
        parameters = parameters + step
        if not step.any():
            return None
        slopes += np.outer(found - before - slopes @ step, step) / (step @ step)
    return None


def _nearest(residual: Callable[[Floats], Floats], design: Design) -> Floats:
    """Parameters whose standard errors come nearest to the printed ones."""

    def slopes(parameters: Floats) -> Floats:
        return _slopes(residual, parameters)

    upper = _largest(design)
    first = np.minimum(_start(design), upper - SLOPE_STEP)
    found = least_squares(
        residual,
        first,
        jac=slopes,
        method="dogbox",
        bounds=(np.full_like(upper, -2 * LOG_EFFECT_AT_MOST), upper),
        max_nfev=NEAREST_STEPS,
    )
    return np.asarray(found.x)


def _largest(design: Design) -> Floats:
    return np.where(design.binary, 0.0, LOG_EFFECT_AT_MOST)


def _log_errors(design: Design, parameters: Floats) -> tuple[Floats, Floats]:
    """Logarithms of the standard errors, and the risks of the points."""
    spreads = _spreads(design, parameters)
    columns = design.columns(spreads)
    risk = design.risk(columns, spreads)
    return np.log(design.standard_errors(columns, risk, spreads)), risk


def _slopes(function: Callable[[Floats], Floats], parameters: Floats) -> Floats:
    """Slopes to the left: a class share ends where both classes are equally large."""
    steps, here = SLOPE_STEP * np.eye(len(parameters)), function(parameters)
    below = [function(parameters - step) for step in steps]
    return np.column_stack([(here - each) / SLOPE_STEP for each in below])


def _tuned(design: Design, parameters: Floats) -> Tuned:
    spreads = _spreads(design, parameters)
    columns = design.columns(spreads)
    risk = design.risk(columns, spreads)
    errors = design.standard_errors(columns, risk, spreads)
    above = np.log(errors) - [math.log(one.se[1]) + _rounding(one)[1] for one in design.items]
    met = np.array([one.free for one in design.items]) | np.asarray(above < SOLVED_BELOW)
    low, high = (_spreads(design, ends) for ends in _ends(design, parameters, errors))
    return Tuned(
        low=np.where(met, low, np.nan),
        spreads=spreads,
        high=np.where(met, high, np.nan),
        met=met,
        se=errors,
        auc=expected_auc(risk),
        events_in_class=columns.T @ risk * design.setting.n / design.points,
    )


def _spreads(design: Design, parameters: Floats) -> Floats:
    """Spreads of parameters of which the log of the standard error is nearly linear.

    Of a class share q the parameter is ln 4q(1 - q), which ends at 0, where both classes are
    equally large; of a measurement the logarithm of its log odds ratio per SD.
    """
    share = (1 - np.sqrt(-np.expm1(np.clip(parameters, -LOG_CLASS_AT_MOST, 0.0)))) / 2
    per_sd = np.exp(np.clip(parameters, -LOG_EFFECT_AT_MOST, LOG_EFFECT_AT_MOST))
    return np.where(design.binary, share, per_sd / np.abs(design.effects))


def _parameters(design: Design, spreads: Floats) -> Floats:
    share = np.where(design.binary, spreads, 0.25)
    of_class = np.log(4 * share * (1 - share))
    return np.where(design.binary, of_class, np.log(spreads * np.abs(design.effects)))


def _start(design: Design) -> Floats:
    """Spreads that each item would need alone, with weights somewhat below p(1 - p)."""
    share = design.setting.events / design.setting.n
    weight = 0.75 * share * (1 - share) * design.setting.n
    variance = 1 / (weight * np.exp(2 * design.targets))
    of_class = np.log(np.minimum(4 * variance, 0.95))
    return np.where(design.binary, of_class, np.log(np.sqrt(variance) * np.abs(design.effects)))


def _ends(design: Design, parameters: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """Parameters at the ends of the printed standard errors, by the slopes at the print."""
    at_print = np.log(errors)
    slopes = _slopes(lambda at: _log_errors(design, at)[0], parameters)
    printed = np.array([(0.0, 0.0) if one.free else _rounding(one) for one in design.items])
    beyond = np.where([one.free for one in design.items], 0.0, at_print - design.targets)
    ways = np.linalg.pinv(slopes)[..., np.newaxis] * (printed - beyond[:, np.newaxis])
    low, high = ways.min(axis=-1).sum(axis=1), ways.max(axis=-1).sum(axis=1)
    return parameters + low, parameters + high


def _rounding(item: Item) -> tuple[float, float]:
    """Log ratios of both ends of a printed standard error to its value."""
    low, value, high = item.se
    below = -WIDEST if low <= 0 else math.log(low / value)
    return max(below, -WIDEST), min(math.log(high / value), WIDEST)
