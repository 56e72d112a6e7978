"""Tables of a reanalysis from the print alone: effects, priors, rounding, errors at an effect."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.published.evidence import (
    NormalMixture,
    conditional_limits,
    evidence_of,
    posterior,
    stated_priors,
    type_errors,
)
from bayes_cmvt.published.joint import (
    JointDraws,
    joint_posterior,
    joint_prior,
    known_z_values,
)
from bayes_cmvt.published.printed_table import NORMAL_97_5, PrintedEffect, PrintedTable, Range

NORMAL_PRIORS = ("weak", "moderate", "strong", "optimistic", "pessimistic")
HORSESHOE = "horseshoe"
LARGEST_LOG = 700.0  # exp of more is no float


@dataclass(frozen=True)
class Selection:
    """The step of the source that kept a term in its final model.

    Attributes
    ----------
    p_enter : float
        P below it kept a term; 1 where the source has no such step.
    critical : float
        |z| that goes with it.
    """

    p_enter: float
    critical: float


def selection_of(table: PrintedTable) -> Selection:
    """The P rule of the study's ``[baseline]``; none where it eliminates by AIC."""
    from scipy.special import ndtri

    baseline = table.study.baseline
    p_enter = 1.0 if baseline.elimination is not None else baseline.p_enter
    return Selection(p_enter, float(-ndtri(p_enter / 2)))


def effect_tables(
    table: PrintedTable, *, seed: int, ci_prob: float = 0.95
) -> dict[str, pd.DataFrame]:
    """All tables on the printed coefficients.

    Parameters
    ----------
    table : PrintedTable
        With at least one effect.
    seed : int
        Of the draws under the horseshoe.
    ci_prob : float in (0, 1)
        Of the posterior and the conditional intervals. Printed intervals stay at 95 %.

    Returns
    -------
    dict of str to DataFrame
        ``published``, ``published_priors``, ``published_rounding``, ``published_errors`` and
        ``published_joint``.
    """
    selection = selection_of(table)
    draws = _joint(table, selection, seed)
    long = priors_table(table, draws, ci_prob)
    return {
        "published": published_table(table, long, selection, ci_prob),
        "published_priors": long,
        "published_rounding": rounding_table(table, selection, ci_prob),
        "published_errors": errors_table(table, selection),
        "published_joint": joint_table(draws, ci_prob),
    }


def _joint(table: PrintedTable, selection: Selection, seed: int) -> JointDraws:
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    known = known_z_values(table, selection.critical)
    return joint_posterior(known, joint_prior(table), rng)


# Posteriors ---------------------------------------------------------------------------------------


def priors_table(table: PrintedTable, draws: JointDraws, ci_prob: float = 0.95) -> pd.DataFrame:
    """One row for each printed effect and prior that applies to it.

    Odds ratios are per unit or level change, as they are printed, whatever contrast the prior is
    stated for.

    Parameters
    ----------
    table : PrintedTable
    draws : JointDraws
    ci_prob : float in (0, 1)
    """
    rows = [
        row
        for effect in table.effects
        for row in (
            *_normal_rows(effect, table, ci_prob),
            *_horseshoe_rows(effect, table, draws, ci_prob),
        )
    ]
    columns = [
        "term", "label", "prior", "contrast", "prior_mean", "prior_sd", "median", "lower", "upper",
        "prob_above_1", "prob_wrong_sign", "prob_exceeds", "replication",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _normal_rows(
    effect: PrintedEffect, table: PrintedTable, ci_prob: float
) -> Iterator[dict[str, Any]]:
    contrast = effect.contrast
    hidden = not effect.sign and effect.origin == "p"
    if contrast is None or effect.origin == "nothing" or hidden:
        return
    evidence = evidence_of(effect).per(contrast)
    lower, upper = tails(ci_prob)
    for prior in stated_priors(effect.sign, table.expected_odds_ratio if effect.sign else None):
        found = posterior(evidence, prior)
        above = found.prob_above(0.0)
        quantiles = [_odds(found.quantile(level) / contrast) for level in (0.5, lower, upper)]
        yield {
            **_names(effect),
            "prior": prior.name,
            "prior_mean": prior.mean,
            "prior_sd": prior.sd,
            **dict(zip(("median", "lower", "upper"), quantiles, strict=True)),
            "prob_above_1": above,
            **_in_its_direction(found, effect.sign, table.assumed_odds_ratio),
        }


def _in_its_direction(
    found: NormalMixture, sign: int, odds_ratio: float | None
) -> dict[str, float]:
    """What needs the printed direction: wrong sign, more than a declared effect, replication."""
    if not sign:
        return dict.fromkeys(("prob_wrong_sign", "prob_exceeds", "replication"), math.nan)
    above = found.prob_above(0.0)
    exceeding = math.nan
    if odds_ratio is not None:
        size = math.log(odds_ratio)
        exceeding = found.prob_above(size) if sign > 0 else 1 - found.prob_above(-size)
    return {
        "prob_wrong_sign": 1 - above if sign > 0 else above,
        "prob_exceeds": exceeding,
        "replication": found.replication(sign, NORMAL_97_5),
    }


def _horseshoe_rows(
    effect: PrintedEffect, table: PrintedTable, draws: JointDraws, ci_prob: float
) -> Iterator[dict[str, Any]]:
    position = next(
        (j for j, one in enumerate(draws.terms) if one.term == effect.term), len(draws.terms)
    )
    if position == len(draws.terms) or not effect.sign:
        return
    if draws.terms[position].known != "printed":
        return
    delta, z = draws.delta[:, position], draws.z[:, position]
    # SE = b / z: the effect shrinks the printed estimate by δ / z
    log_odds = effect.log_odds.value * delta / z
    lower, median, upper = (_odds(float(end)) for end in equal_tailed(log_odds, ci_prob))
    above = float(np.mean(delta > 0))
    exceeding = math.nan
    if table.assumed_odds_ratio is not None and effect.contrast is not None:
        size = math.log(table.assumed_odds_ratio)
        exceeding = float(np.mean(effect.sign * log_odds * effect.contrast > size))
    yield {
        **_names(effect),
        "prior": HORSESHOE,
        "prior_mean": 0.0,
        "prior_sd": math.nan,
        "median": median,
        "lower": lower,
        "upper": upper,
        "prob_above_1": above,
        "prob_wrong_sign": 1 - above if effect.sign > 0 else above,
        "prob_exceeds": exceeding,
        "replication": float(np.mean(ndtr(effect.sign * delta - NORMAL_97_5))),
    }


def _names(effect: PrintedEffect) -> dict[str, Any]:
    return {
        "term": effect.term,
        "label": label_of(effect),
        "contrast": math.nan if effect.contrast is None else effect.contrast,
    }


def label_of(effect: PrintedEffect) -> str:
    """What figures call a term: the predictor, with its level where it has several."""
    one = effect.predictor
    if effect.term == one.name:
        return one.display
    return f"{one.display}: {effect.term.removeprefix(one.name)[1:-1]}"


# One row for each term ----------------------------------------------------------------------------


def published_table(
    table: PrintedTable, long: pd.DataFrame, selection: Selection, ci_prob: float = 0.95
) -> pd.DataFrame:
    """One row for each printed effect: what the print implies, each prior, given selection.

    Parameters
    ----------
    table : PrintedTable
    long : DataFrame
        From `priors_table`.
    selection : Selection
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        A cell is empty where a quantity cannot be told or a prior does not apply: see ``note``.
    """
    rows = []
    for effect in table.effects:
        row = _implied(effect)
        found = long[long["term"] == effect.term].set_index("prior")
        for prior in (*NORMAL_PRIORS, HORSESHOE):
            for column in ("median", "lower", "upper", "prob_above_1"):
                told = prior in found.index
                row[f"{prior}_{column}"] = found.loc[prior, column] if told else math.nan
        low, high = _conditional(effect, effect.log_odds.value, effect.z.value, selection, ci_prob)
        row |= {"conditional_lower": low, "conditional_upper": high}
        words = {"contrast_words": effect.contrast_words}
        rows.append(row | _names(effect) | words | {"note": _note(effect, table, selection)})
    return pd.DataFrame(rows)


def _implied(effect: PrintedEffect) -> dict[str, Any]:
    estimate = effect.log_odds.value
    z, se = effect.z, effect.se
    lower, upper = _limits(effect)
    return {
        "term": effect.term,
        "odds_ratio": _odds(estimate),
        "z_lower": _told(z.low),
        "z": _told(z.value),
        "z_upper": _told(z.high),
        "se_lower": math.nan if effect.is_bound else _told(se.low),
        "se": _told(se.value),
        "se_upper": _told(se.high),
        "ci_lower": _told(lower),
        "ci_upper": _told(upper),
    }


def _limits(effect: PrintedEffect) -> tuple[float, float]:
    """The printed 95 % limits as odds ratios, else those that the standard error gives."""
    if effect.interval is not None:
        low, high = (one.value for one in effect.interval)
        return (low, high) if effect.as_odds_ratio else (_odds(low), _odds(high))
    half = NORMAL_97_5 * effect.se.value
    return _odds(effect.log_odds.value - half), _odds(effect.log_odds.value + half)


def _odds(log_odds: float) -> float:
    """Exp; infinite where no float holds it, nan where the limit is unbounded below."""
    if math.isnan(log_odds) or log_odds == -math.inf:
        return math.nan
    return math.exp(log_odds) if log_odds < LARGEST_LOG else math.inf


def _told(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _conditional(
    effect: PrintedEffect, estimate: float, z: float, selection: Selection, ci_prob: float
) -> tuple[float, float]:
    """Odds ratios at the conditional limits; nan where there was no such selection."""
    if selection.p_enter >= 1 or not effect.sign or not z > selection.critical:
        return math.nan, math.nan
    lower, upper = conditional_limits(z, selection.critical, ci_prob)
    ends = sorted((_odds(lower * estimate / z), _odds(upper * estimate / z)))
    return ends[0], ends[1]


def _note(effect: PrintedEffect, table: PrintedTable, selection: Selection) -> str:
    told = [
        _note_on_unit(effect, table),
        _note_on_error(effect),
        _note_on_contrast(effect, table),
    ]
    return "; ".join(filter(None, [*told, _note_on_selection(effect, selection)]))


def _note_on_error(effect: PrintedEffect) -> str:
    if effect.origin == "nothing":
        return "its standard error cannot be told: a P value, an interval or the error is needed"
    if not effect.sign and effect.origin == "p":
        return "the rounding of the estimate hides its direction, and with it the standard error"
    if effect.origin == "p" and effect.p is not None and effect.p.bound == "<":
        return (
            f'P is printed as "{effect.p.text}": the largest standard error that this allows is '
            "used; the smallest cannot be told"
        )
    if effect.origin == "p" and effect.p is not None and effect.p.bound == ">":
        return (
            f'P is printed as "{effect.p.text}": the standard error is bounded on one side only; '
            "posteriors take every such P for equally likely"
        )
    if effect.interval is not None and not _symmetric(effect):
        return (
            "the printed limits are not symmetric about the estimate on the log scale; the "
            "standard error is that of a Wald interval of their width"
        )
    return ""


def _symmetric(effect: PrintedEffect) -> bool:
    """Whether the middle of the printed limits may be the estimate, rounding considered."""
    if effect.interval is None or effect.interval[0].low <= 0 < effect.as_odds_ratio:
        return True
    scale = math.log if effect.as_odds_ratio else float
    low, high = effect.interval
    middle = [(scale(low.low) + scale(high.low)) / 2, (scale(low.high) + scale(high.high)) / 2]
    return middle[0] <= effect.log_odds.high and effect.log_odds.low <= middle[1]


def _note_on_unit(effect: PrintedEffect, table: PrintedTable) -> str:
    """Whether a printed number may have been meant for the predictor's own contrast."""
    published = table.study.published
    declared = {} if published is None else {one.term: one for one in published.coefficients}
    one = declared.get(effect.term)
    if one is None or effect.contrast in (None, 1.0) or "per" in one.model_fields_set:
        return ""
    return (
        f"read as printed per one unit, not per {effect.contrast:g}: give the printed coefficient "
        "its own per = ... if it is printed for more"
    )


def _note_on_contrast(effect: PrintedEffect, table: PrintedTable) -> str:
    if effect.contrast is None:
        return (
            "no contrast is declared (per = ... of the predictor), so priors for level contrasts "
            "and a declared effect have no meaning for it"
        )
    if table.expected_odds_ratio is None:
        return (
            "neither expected_or nor assumed_or is declared, so there is no optimistic or "
            "pessimistic prior"
        )
    return ""


def _note_on_selection(effect: PrintedEffect, selection: Selection) -> str:
    """Why there is no interval given selection, where there is none."""
    if selection.p_enter >= 1:
        return "the study declares no P rule, so there is no interval given selection"
    if effect.z.value > selection.critical:
        return ""
    if effect.z.high <= selection.critical:
        return f"not below P {selection.p_enter:g}, so it was not selected by that rule"
    return f"whether it passed the rule P < {selection.p_enter:g} cannot be told from the print"


# Rounding -----------------------------------------------------------------------------------------

type Quantity = Callable[[float, float], float]


def rounding_table(
    table: PrintedTable, selection: Selection, ci_prob: float = 0.95
) -> pd.DataFrame:
    """How far each quantity moves over all values that round to the print.

    Parameters
    ----------
    table : PrintedTable
    selection : Selection
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``term, quantity, lowest, at_print, highest``; odds ratios but for ``z`` and ``se``.
    """
    rows = []
    for effect in table.effects:
        if effect.origin == "nothing" or not effect.sign:
            continue
        for name, quantity in _quantities(effect, selection, ci_prob).items():
            rows.append(
                {
                    "term": effect.term,
                    "quantity": name,
                    **_over_rounding(effect, quantity),
                }
            )
    return pd.DataFrame(rows, columns=["term", "quantity", "lowest", "at_print", "highest"])


def _quantities(effect: PrintedEffect, selection: Selection, ci_prob: float) -> dict[str, Quantity]:
    def limit(sign: int) -> Quantity:
        return lambda estimate, z: _odds(estimate + sign * NORMAL_97_5 * abs(estimate) / z)

    def conditional(end: int) -> Quantity:
        return lambda estimate, z: _conditional(effect, estimate, z, selection, ci_prob)[end]

    return {
        "odds_ratio": lambda estimate, _: _odds(estimate),
        "z": lambda _, z: z,
        "se": lambda estimate, z: abs(estimate) / z,
        "ci_lower": limit(-1),
        "ci_upper": limit(1),
        "conditional_lower": conditional(0),
        "conditional_upper": conditional(1),
    }


def _over_rounding(effect: PrintedEffect, quantity: Quantity) -> dict[str, float]:
    """Each is monotone in the estimate and in z: its extremes stand at the corners."""
    estimates = (effect.log_odds.low, effect.log_odds.high)
    z = effect.z if effect.z.low > 0 else Range(math.nan, effect.z.value, effect.z.high)
    at_print = quantity(effect.log_odds.value, effect.z.value) if effect.z.value else math.nan
    if effect.is_bound or math.isnan(z.low) or not all(map(math.isfinite, estimates)):
        return {"lowest": math.nan, "at_print": at_print, "highest": math.nan}
    corners = [quantity(*corner) for corner in itertools.product(estimates, (z.low, z.high))]
    return {"lowest": min(corners), "at_print": at_print, "highest": max(corners)}


# At a declared effect, and all candidates ---------------------------------------------------------


def errors_table(table: PrintedTable, selection: Selection) -> pd.DataFrame:
    """Power, type S and type M error of each printed term at the declared effect.

    Parameters
    ----------
    table : PrintedTable
    selection : Selection

    Returns
    -------
    DataFrame
        ``term, label, effect, power, type_s, type_m, note``; empty cells where no effect or no
        contrast is declared.
    """
    rows = []
    critical = NORMAL_97_5 if selection.p_enter >= 1 else selection.critical
    for effect in table.effects:
        row: dict[str, Any] = {
            "term": effect.term,
            "label": label_of(effect),
            "effect": table.assumed_odds_ratio,
            "power": math.nan,
            "type_s": math.nan,
            "type_m": math.nan,
            "note": "",
        }
        error = effect.se.value * (effect.contrast or math.nan)
        if table.assumed_odds_ratio is None:
            row["note"] = "cannot be told: declare assumed_or under [published]"
        elif effect.contrast is None:
            row["note"] = "cannot be told: declare per = ... of the predictor"
        elif not 0 < error < math.inf:
            row["note"] = "cannot be told: no standard error follows from the print"
        else:
            found = type_errors(math.log(table.assumed_odds_ratio), error, critical)
            row |= {"power": found.power, "type_s": found.type_s, "type_m": found.type_m}
        rows.append(row)
    return pd.DataFrame(rows)


def joint_table(draws: JointDraws, ci_prob: float = 0.95) -> pd.DataFrame:
    """Every candidate under the joint horseshoe, in its own standard errors.

    Parameters
    ----------
    draws : JointDraws
    ci_prob : float in (0, 1)

    Returns
    -------
    DataFrame
        ``term, known, z_lower, z_upper, median, lower, upper, prob_positive``.
    """
    limits: NDArray[np.float64] = equal_tailed(draws.delta, ci_prob)
    return pd.DataFrame(
        {
            "term": [one.term for one in draws.terms],
            "known": [one.known for one in draws.terms],
            "z_lower": [_told(one.low) for one in draws.terms],
            "z_upper": [_told(one.high) for one in draws.terms],
            "median": limits[1],
            "lower": limits[0],
            "upper": limits[2],
            "prob_positive": (draws.delta > 0).mean(axis=0),
        }
    )


__all__ = [
    "Selection",
    "effect_tables",
    "errors_table",
    "joint_table",
    "label_of",
    "priors_table",
    "published_table",
    "rounding_table",
    "selection_of",
]
