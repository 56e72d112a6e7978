"""What the printed standard errors say about the patients: class shares, spreads, correlation.

A standard error of a logistic model is a statement about its design: at the printed coefficients
``I(b) = XᵀWX`` depends on the predictors and the event share, not on who had the event. So each
printed standard error needs a certain spread of its predictor, and all of them together give the
model a certain area under the ROC curve. What is found is a finding about the source under the
assumptions of its row; where these do not hold, it does not either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.special import ndtr

from bayes_cmvt.printed_numbers import PrintedNumber
from bayes_cmvt.published.assumed_designs import (
    DesignSource,
    Found,
    assumption,
    class_names,
    design_source,
    designs,
    designs_elsewhere,
    designs_with_auc,
    error_with_share,
    is_binary,
    usable,
)
from bayes_cmvt.published.printed_table import DEVELOPMENT, PrintedEffect, PrintedTable
from bayes_cmvt.schema import Continuous, Ordinal

EVERY = "(all)"
COMMON_SHARE = 0.3  # of patients in the smaller of two classes, for comparison
AUC, FREE_Z = "AUC", "z that gives the printed AUC"
CORRELATION = "latent correlation that gives the printed AUC"
COLUMNS = ["term", "quantity", "lowest", "highest", "assumption", "finding"]
NOTHING = (math.nan, math.nan)

type Row = dict[str, Any]
type Limits = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Groups:
    """Designs by what they assume: the rows that each predictor gets."""

    independent: list[Found]
    correlated: list[Found]
    with_auc: list[Found]
    elsewhere: list[Found]


def information(table: PrintedTable) -> pd.DataFrame:
    """What the printed standard errors say about the design.

    For each binary predictor the patients that its smaller class must hold, once for either class;
    for each measurement its standard deviation; for the whole table the AUC that the printed
    effects and standard errors give, the z of an effect whose P is printed as a bound at which the
    AUC is the printed one, and the correlation of the risk factors at which it is.

    Parameters
    ----------
    table : PrintedTable

    Returns
    -------
    DataFrame
        ``term, quantity, lowest, highest, assumption, finding``; lowest and highest over what the
        assumption leaves open, over either class of a binary predictor being the smaller one, and,
        to first order, over the standard errors that round to the print. Where nothing follows
        both are empty and ``finding`` says why.

    Notes
    -----
    Assumed throughout: the printed coefficients are true; predictors are cut from, or scaled on,
    normals that correlate equally in the direction of risk; levels of one category are predictors
    of their own. 8,192 quasi-random points stand for the patients, so that nothing is drawn by
    chance and no second call differs.
    """
    rows = [_untold(one) for one in table.effects if not usable(one)]
    source = design_source(table)
    if isinstance(source, str):
        rows.append(_row(EVERY, "design", finding=f"Cannot be told: {source}."))
        return pd.DataFrame(rows, columns=COLUMNS)
    found, printed = designs(source), table.of_set(DEVELOPMENT)
    auc = None if printed is None or printed.auc is None or printed.auc.bound else printed.auc
    groups = Groups(
        independent=[one for one in found if one.setting.correlation == 0],
        correlated=[one for one in found if one.setting.correlation > 0],
        with_auc=[] if auc is None else designs_with_auc(source, found, auc.value),
        elsewhere=designs_elsewhere(source),
    )
    for j, effect in enumerate(source.effects):
        rows += _term_rows(source, effect, j, groups)
    rows += _area_rows(source, found, auc)
    if auc is None:
        finding = "Cannot be told: the AUC of the development patients would be needed."
        rows.append(_row(EVERY, CORRELATION, finding=finding))
    else:
        rows += _free_rows(source, found, groups.with_auc)
        rows += _correlation_rows(source, found, groups.with_auc, auc)
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(
    term: str, quantity: str, limits: Limits = NOTHING, assumed: str = "", *, finding: str
) -> Row:
    return dict(zip(COLUMNS, (term, quantity, *limits, assumed, finding), strict=True))


def _to(limits: Limits, decimals: int) -> str:
    low, high = (f"{one:.{decimals}f}" for one in limits)
    return low if low == high else f"{low} to {high}"


# One predictor ------------------------------------------------------------------------------------


def _untold(effect: PrintedEffect) -> Row:
    needed = "its standard error, P value or 95 % interval would be needed"
    if effect.log_odds.value == 0:
        needed = "more digits of its odds ratio would be needed"
    return _row(effect.term, _quantity(effect), finding=f"Cannot be told: {needed}.")


def _quantity(effect: PrintedEffect) -> str:
    predictor = effect.predictor
    if isinstance(predictor, Ordinal):
        return "standard deviation of the scores"
    if isinstance(predictor, Continuous):
        transformed = "" if predictor.transform == "identity" else f" after {predictor.transform}"
        return f"standard deviation{transformed}"
    return "patients in the smaller class"


def _term_rows(
    source: DesignSource, effect: PrintedEffect, j: int, groups: Groups
) -> Iterator[Row]:
    """Rows of one predictor: a row for each group, and for either class of a binary one."""
    names = class_names(effect) if is_binary(effect) else ("",)
    for name, coded_zero in zip(names, (False, True), strict=False):
        for kind, group in vars(groups).items():
            chosen = group
            if name:
                chosen = [
                    one for one in group if (effect.term in one.setting.reversed) == coded_zero
                ]
            if chosen and kind == "independent" and name:
                yield _common_share_row(source, j, chosen, name)
            if chosen:
                yield _spread_row(source, j, chosen, name, with_auc=kind == "with_auc")


def _spread_row(
    source: DesignSource, j: int, group: list[Found], name: str, *, with_auc: bool
) -> Row:
    effect, assumed = source.effects[j], assumption(source, group, with_auc=with_auc)
    quantity = f"patients in class {name}, if the smaller one" if name else _quantity(effect)
    tuned = [one.tuned for one in group if one.tuned is not None]
    solved = [one for one in tuned if one.met[j]]
    if not solved:
        finding = _unmet(effect, [float(one.se[j]) for one in tuned], name)
        return _row(effect.term, quantity, NOTHING, assumed, finding=finding)
    low, high = min(one.low[j] for one in solved), max(one.high[j] for one in solved)
    limits = (float(low), float(high))
    if name:
        limits = (float(math.floor(low * source.n)), float(math.ceil(high * source.n)))
    needs = f"a standard deviation of {limits[0]:.3g} to {limits[1]:.3g}"
    if name:
        needs = _class_words(source, [one.events_in_class[j] for one in solved], limits)
    finding = f"A log odds ratio of {effect.log_odds.value:.3g} with a standard error of "
    if effect.is_bound and with_auc:
        finding = f"The printed AUC then asks for {needs}."
    elif effect.is_bound:
        limits = (limits[0], math.nan)
        least = f"{limits[0]:.0f} of {source.n} patients" if name else f"an SD of {limits[0]:.3g}"
        finding += (
            f"at most {effect.se.value:.3g}, P being printed as a bound, needs {least} or more; "
            "how much more cannot be told without P itself."
        )
    else:
        finding += f"{effect.se.value:.3g} needs {needs}."
    if len(solved) < len(group):
        finding += f" No spread does in {len(group) - len(solved)} of {len(group)} such designs."
    return _row(effect.term, quantity, limits, assumed, finding=finding)


def _common_share_row(source: DesignSource, j: int, group: list[Found], name: str) -> Row:
    """The z of an ordinary share of the class, beside which the printed one can be seen."""
    effect = source.effects[j]
    errors = [error_with_share(source, one, j, COMMON_SHARE) for one in group]
    z = sorted(abs(effect.log_odds.value) / each for each in errors if each > 0)
    quantity = f"z with {100 * COMMON_SHARE:.0f} % of patients in class {name}"
    limits = (z[0], z[-1]) if z else NOTHING
    finding = (
        f"{100 * COMMON_SHARE:.0f} % of patients in this class would give this odds ratio a z of "
        f"{_to(limits, 1)}; as printed it has {effect.z.value:.1f}"
        f"{' or more' if effect.is_bound else ''}."
    )
    return _row(effect.term, quantity, limits, assumption(source, group), finding=finding)


def _unmet(effect: PrintedEffect, smallest: list[float], name: str) -> str:
    what = f"share of class {name} up to one half" if name else "standard deviation"
    if not smallest:
        return f"No {what} goes with the printed AUC."
    return (
        f"No {what} gives a standard error as small as {effect.se.value:.3g}; the smallest is "
        f"{min(smallest):.3g}."
    )


def _class_words(source: DesignSource, events: list[float], limits: Limits) -> str:
    share = _to((100 * limits[0] / source.n, 100 * limits[1] / source.n), 0)
    return (
        f"{_to(limits, 0)} of {source.n} patients ({share} %) in this class, about "
        f"{_to((min(events), max(events)), 0)} of them with the event"
    )


# The whole table ----------------------------------------------------------------------------------


def _area_rows(
    source: DesignSource, found: list[Found], auc: PrintedNumber | None
) -> Iterator[Row]:
    for correlation in source.correlations:
        group = [one for one in found if one.setting.correlation == correlation]
        areas = [one.tuned.auc for one in group if one.tuned is not None and one.complete]
        if areas:
            yield _area_row((min(areas), max(areas)), assumption(source, group), auc)
        else:
            finding = "Cannot be told: no design of this kind has all the printed standard errors."
            yield _row(EVERY, AUC, NOTHING, assumption(source, group), finding=finding)


def _area_row(area: Limits, assumed: str, auc: PrintedNumber | None) -> Row:
    finding = f"The printed effects and standard errors give an AUC of {_to(area, 2)}"
    if auc is not None:
        beside = "in agreement with the printed"
        if auc.low > area[1]:
            beside = "less than the printed"
        elif auc.high < area[0]:
            beside = "more than the printed"
        finding += f", {beside} {auc.text}"
    return _row(EVERY, AUC, area, assumed, finding=f"{finding}.")


def _free_rows(source: DesignSource, found: list[Found], with_auc: list[Found]) -> Iterator[Row]:
    """The z that effects with a bound on P need for the printed AUC, by correlation."""
    free = [j for j, one in enumerate(source.effects) if one.is_bound]
    for correlation in source.correlations if free else ():
        tried = [one for one in found if one.setting.correlation == correlation]
        group = [one for one in with_auc if one.setting.correlation == correlation]
        reached = [one.tuned for one in group if one.tuned is not None]
        assumed = assumption(source, tried).rsplit("; ", 1)[0]
        if len(free) > 1:
            assumed += "; every z whose P is a bound at the same multiple of it"
        for j in free:
            effect = source.effects[j]
            if not any(one.complete for one in tried):
                continue
            if not group:
                finding = "The AUC is the printed one, or larger, with z at the bound of P already."
                yield _row(effect.term, FREE_Z, NOTHING, assumed, finding=finding)
                continue
            z = [abs(effect.log_odds.value) / float(one.se[j]) for one in reached]
            yield _free_row(effect, z if len(reached) == len(group) else [], assumed)


def _free_row(effect: PrintedEffect, z: list[float], assumed: str) -> Row:
    if not z:
        finding = "No standard error of this effect gives the printed AUC."
        return _row(effect.term, FREE_Z, NOTHING, assumed, finding=finding)
    limits = (min(z), max(z))
    p = " to ".join(f"{2 * ndtr(-one):.0e}" for one in limits[::-1])
    finding = (
        f"The printed AUC needs a z of {_to(limits, 1)} (P {p}) for this effect, of which the "
        f"print says that it is above {effect.z.low:.2f}."
    )
    return _row(effect.term, FREE_Z, limits, assumed, finding=finding)


def _correlation_rows(
    source: DesignSource, found: list[Found], with_auc: list[Found], auc: PrintedNumber
) -> Iterator[Row]:
    """Latent correlation at which the printed standard errors give the printed AUC."""
    if len(source.effects) == 1:
        return
    independent = [one for one in found if one.setting.correlation == 0 and one.complete]
    if not independent:
        return
    already = [one for one in independent if one.tuned is not None and one.tuned.auc >= auc.value]
    crossed = [one for one in with_auc if one.setting.correlation not in source.correlations]
    assumed = assumption(source, independent).replace("independent", "equally correlated")
    if len(already) + len(crossed) < len(independent):
        finding = (
            "Not every design of this kind has the printed AUC with the printed standard errors at "
            "a correlation between 0 and 0.8."
        )
        yield _row(EVERY, CORRELATION, NOTHING, assumed, finding=finding)
        return
    values = [0.0] * len(already) + [one.setting.correlation for one in crossed]
    limits = (min(values), max(values))
    finding = (
        f"With risk factors correlated by {_to(limits, 2)} (as latent normals) the printed "
        "effects, standard errors and AUC belong together; with less, an effect would have to be "
        "stronger than its printed P shows, or the AUC to come from another fit."
    )
    if not crossed:
        finding = "The printed AUC needs no positive correlation of the risk factors."
    yield _row(EVERY, CORRELATION, limits, assumed, finding=finding)
