"""Move measurements a little so that the printed estimates become exact.

The maximum likelihood estimate is the printed one where Xᵀ(y - p) = 0 at the printed coefficients,
and its standard errors are the printed ones where the diagonal of (XᵀWX)⁻¹ is theirs. Outcomes can
be exchanged in whole patients only; what they leave is closed by the shortest move of the
continuous printed predictors (Gauss-Newton, minimum norm), in logarithms for log-normal quantities
and in SDs for normal ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayes_cmvt.reconstruction.information_tuning import Information, information
from bayes_cmvt.reconstruction.latent import Floats, Population, Values

STEPS = 15
SCORE_WITHIN, SE_WITHIN = 1e-7, 1e-6
LARGEST_STEP = 0.4  # of one value in one step
DIFFERENCE = 1e-6
LEAST_Z_MARGIN = 1.03  # above a printed bound


@dataclass(frozen=True, eq=False)
class Aim:
    """What a nudge is for.

    Attributes
    ----------
    events : int
    outcome : ndarray of {0, 1}, shape (patient,), optional
        Without it the scores of classes are brought to the nearest whole number of patients, so
        that outcomes can meet them at all.
    """

    events: int
    outcome: Floats | None = None


@dataclass(frozen=True, eq=False)
class Nudged:
    """Measurements after a nudge.

    Attributes
    ----------
    raw : dict of str to ndarray
        As given, the moved quantities changed.
    information : Information
    remaining : float
        Largest equation that is left: scores in standard errors, SEs as logarithms of their ratio.
    """

    raw: dict[str, Floats]
    information: Information
    remaining: float


def nudge(population: Population, raw: Values, aim: Aim) -> Nudged:
    """Close scores and standard errors by the shortest move of the continuous printed predictors.

    Parameters
    ----------
    population : Population
    raw : dict of str to ndarray, shape (patient,)
        Values of the drawn quantities.
    aim : Aim

    Returns
    -------
    Nudged
        The closest step; nothing is raised where the equations cannot be met.
    """
    log_odds = np.array([one.log_odds for one in population.printed])
    names = movable(population)
    now = {name: np.array(values) for name, values in raw.items()}
    best: Nudged | None = None
    for _ in range(STEPS):
        columns = population.columns(now)
        found = information(columns, log_odds, aim.events)
        missing, score_rows, se_rows = _equations(population, found, aim)
        largest = float(np.abs(missing).max(initial=0.0))
        if best is None or largest < best.remaining:
            best = Nudged(dict(now), found, largest)
        if largest < SCORE_WITHIN or not names or not len(missing):
            break
        jacobian = np.concatenate(
            [_jacobian(population, now, found, aim, name, score_rows, se_rows) for name in names],
            axis=1,
        )
        step = -np.linalg.lstsq(jacobian, missing, rcond=1e-10)[0]
        step *= min(1.0, LARGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        for place, name in enumerate(names):
            n = len(found.log_odds)
            now[name] = population.quantity(name).moved(
                now[name], step[place * n : (place + 1) * n]
            )
    assert best is not None
    return best


def movable(population: Population) -> list[str]:
    """Drawn quantities behind printed coefficients whose single values can be moved."""
    names = {one.quantity for one in population.printed if one.quantity is not None}
    return [one.name for one in population.drawn if one.name in names and one.can_be_moved]


def moves(population: Population, before: Values, after: Values) -> dict[str, Floats]:
    """How far each value was moved, in logarithms or SDs, by quantity."""
    found = {}
    for name in movable(population):
        quantity = population.quantity(name)
        unit = 1.0 if quantity.kind == "normal" else quantity.sd
        found[name] = (quantity.latent(after[name]) - quantity.latent(before[name])) * unit
    return found


def _equations(
    population: Population, found: Information, aim: Aim
) -> tuple[Floats, list[int], list[int]]:
    """What is missing, and which printed columns have an equation of the score and of the SE."""
    size = np.sqrt(np.einsum("ij,i,ij->j", found.design, _weights(found), found.design))[1:]
    expected = found.design[:, 1:].T @ found.risk
    columns = range(len(population.printed))
    if aim.outcome is not None:
        score_rows = list(columns)
        wanted = found.design[:, 1:].T @ aim.outcome
    else:
        wanted = np.round(expected)
        score_rows = [j for j in columns if _in_classes(population, j, found)]
    se_rows, log_ratio = [], []
    for j, one in enumerate(population.printed):
        target = one.se
        if target is None and found.se[j] * LEAST_Z_MARGIN > one.largest_se:
            target = one.largest_se / LEAST_Z_MARGIN
        if target is not None:
            se_rows.append(j)
            log_ratio.append(float(np.log(found.se[j] / target)))
    score = (expected - wanted)[score_rows] / size[score_rows]
    return np.concatenate([score, log_ratio]), score_rows, se_rows


def _in_classes(population: Population, j: int, found: Information) -> bool:
    one = population.printed[j]
    if one.quantity is not None and population.quantity(one.quantity).can_be_moved:
        return False
    column = found.design[:, 1 + j]
    return bool((column == np.round(column)).all())


def _weights(found: Information) -> Floats:
    return found.risk * (1 - found.risk)


def _jacobian(
    population: Population,
    raw: Values,
    found: Information,
    aim: Aim,
    name: str,
    score_rows: list[int],
    se_rows: list[int],
) -> Floats:
    """Derivatives of the equations by a move of each patient's value, shape (equation, patient)."""
    weights = _weights(found)
    bend = weights * (1 - 2 * found.risk)
    residual = found.risk - (0.0 if aim.outcome is None else aim.outcome)
    spread = found.design @ found.covariance
    size = np.sqrt(weights @ found.design**2)
    variance = np.diagonal(found.covariance)
    changed = {
        **raw,
        name: population.quantity(name).moved(raw[name], np.full(len(weights), DIFFERENCE)),
    }
    slopes = (population.columns(changed) - population.columns(raw)) / DIFFERENCE
    log_odds = np.array([one.log_odds for one in population.printed])
    along = slopes @ log_odds  # change of the log-odds of the same patient
    shift = -weights * along / weights.sum()  # change of everybody's intercept
    rows = []
    for j in score_rows:
        total = residual * slopes[:, j] + found.design[:, 1 + j] * weights * along
        total = total + shift * float(found.design[:, 1 + j] @ weights)
        rows.append(total / size[1 + j])
    for j in se_rows:
        own = bend * along * spread[:, 1 + j] ** 2
        own = own + 2 * weights * spread[:, 1 + j] * (slopes @ found.covariance[1:, 1 + j])
        change = own + shift * float(bend @ spread[:, 1 + j] ** 2)
        rows.append(-change / (2 * variance[1 + j]))
    return np.array(rows)
