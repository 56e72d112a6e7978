"""Does a cohort agree with the print? Everything is computed from its table, as it is written.

The search for a synthetic cohort has no part in this: any table of patients can be asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from bayes_cmvt import metrics
from bayes_cmvt.cohort import Cohort, load_cohort
from bayes_cmvt.design import encode
from bayes_cmvt.logistic import LogisticFit, fit_maximum_likelihood, linear_predictor
from bayes_cmvt.pipeline import Patients, run_pipeline
from bayes_cmvt.printed_numbers import PrintedNumber
from bayes_cmvt.published.printed_table import (
    DEVELOPMENT,
    NORMAL_97_5,
    VALIDATION,
    PrintedEffect,
    PrintedPerformance,
    PrintedTable,
    read_published,
)
from bayes_cmvt.published.weighed_scenarios import auc_standard_error
from bayes_cmvt.reconstruction.other_columns import chosen_by_lasso, retained_terms
from bayes_cmvt.reconstruction.scenario import AssumedSet, Scenario
from bayes_cmvt.schema import PublishedCoefficient
from bayes_cmvt.study import Study

ODDS_RATIO_WITHIN = 0.005  # of the printed one
SE_WITHIN = 0.01
SE_TOLERANCE = f"within {100 * SE_WITHIN:g} % of the print"
AUC_WITHIN, AUC_LIMIT_WITHIN = 0.005, 0.003
FOLD_DRAWS, FOLD_DRAWS_NEEDED = 20, 15
NOT_TARGETED = "not targeted"
COLUMNS = ["quantity", "printed", "achieved", "tolerance", "agrees"]


@dataclass(frozen=True)
class Row:
    """One quantity: printed, achieved, how far they may be apart, whether they are that close.

    `agrees` is None where the quantity is not targeted.
    """

    quantity: str
    printed: str
    achieved: float
    tolerance: str
    agrees: bool | None


@dataclass(frozen=True)
class Cut:
    """The threshold at which a set's classification is closest to the assumed one.

    `above` is excluded and `upto` included: ``above < threshold <= upto``.
    """

    true_positive: int
    true_negative: int
    above: float
    upto: float


@dataclass(frozen=True, eq=False)
class Refitted:
    """The printed predictors fitted to the development rows of a cohort.

    Attributes
    ----------
    table : PrintedTable
    cohort : Cohort
    fit : LogisticFit
    risk : ndarray, shape (patient,)
        Of everybody, validation patients included.
    matrix : ndarray, shape (patient, term)
        The whole design.
    """

    table: PrintedTable
    cohort: Cohort
    fit: LogisticFit
    risk: np.ndarray[tuple[int], np.dtype[np.float64]]
    matrix: np.ndarray[tuple[int, int], np.dtype[np.float64]]

    def of_set(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Outcome and risk of one set."""
        members = self.cohort.sets == name
        return self.cohort.outcome[members], self.risk[members]


def agreement(study: Study, patients: pd.DataFrame | Cohort, scenario: Scenario) -> pd.DataFrame:
    """Compare a cohort with the print.

    Parameters
    ----------
    study : Study
        With a ``[published]`` table.
    patients : DataFrame or Cohort
        Any cohort of the study.
    scenario : Scenario
        Event counts that are assumed, and what is then classified right.

    Returns
    -------
    DataFrame
        ``quantity, printed, achieved, tolerance, agrees``; `agrees` is empty where the quantity is
        not targeted.

    Raises
    ------
    DataError
        A table that is no cohort of the study.
    """
    return as_table(agreement_rows(study, patients, scenario))


def agreement_rows(study: Study, patients: pd.DataFrame | Cohort, scenario: Scenario) -> list[Row]:
    """The rows of `agreement`."""
    cohort = patients if isinstance(patients, Cohort) else load_cohort(study, patients)
    refitted = _refitted(read_published(study), cohort)
    rows = [*_counts(refitted, scenario), *_effects(refitted)]
    for one in scenario.sets:
        rows += _discrimination(refitted, one)
    cuts = {one.set: _cut(refitted, one) for one in scenario.sets}
    for one in scenario.sets:
        rows += _classified(refitted, one, cuts[one.set])
    rows += _same_threshold(cuts)
    rows += _kept(refitted)
    for one in scenario.sets:
        rows += _untargeted(refitted, one)
    return rows


def missed(rows: Sequence[Row]) -> list[str]:
    """What is targeted and missed, and by how much, one line each."""
    return [
        f"{row.quantity}: printed {row.printed or 'nothing'}, achieved {row.achieved:.6g}; "
        f"allowed: {row.tolerance}"
        for row in rows
        if row.agrees is False
    ]


def as_table(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows of an agreement as a table."""
    return pd.DataFrame(
        {
            "quantity": [row.quantity for row in rows],
            "printed": [row.printed for row in rows],
            "achieved": [row.achieved for row in rows],
            "tolerance": [row.tolerance for row in rows],
            "agrees": pd.Series([row.agrees for row in rows], dtype="boolean"),
        },
        columns=COLUMNS,
    )


def _refitted(table: PrintedTable, cohort: Cohort) -> Refitted:
    matrix = encode(cohort.study, cohort.predictors)
    terms = list(cohort.study.terms)
    columns = matrix[:, [terms.index(effect.term) for effect in table.effects]]
    members = cohort.development
    fit = fit_maximum_likelihood(columns[members], cohort.outcome[members])
    return Refitted(table, cohort, fit, expit(linear_predictor(fit, columns)), matrix)


def _counts(refitted: Refitted, scenario: Scenario) -> Iterator[Row]:
    printed_n = {
        DEVELOPMENT: refitted.table.n_development or refitted.table.n,
        VALIDATION: refitted.table.n_validation,
    }
    for one in scenario.sets:
        outcome, _ = refitted.of_set(one.set)
        n = printed_n[one.set]
        text = "" if n is None else str(n)
        yield Row(
            f"{one.set}: patients", text, len(outcome), f"exactly {one.n}", len(outcome) == one.n
        )
        printed = refitted.table.of_set(one.set)
        events = "" if printed is None or printed.events is None else str(printed.events)
        how = "" if events else ", which is assumed"
        found = int(outcome.sum())
        yield Row(
            f"{one.set}: events", events, found, f"exactly {one.events}{how}", found == one.events
        )


def _effects(refitted: Refitted) -> Iterator[Row]:
    published = refitted.table.study.published
    assert published is not None
    for j, (effect, text) in enumerate(
        zip(refitted.table.effects, published.coefficients, strict=True)
    ):
        # on the scale of the print: per so many units
        beta = text.per * float(refitted.fit.coefficients[j])
        ratio = math.exp(beta - text.per * effect.log_odds.value)
        close = abs(ratio - 1) <= ODDS_RATIO_WITHIN
        if effect.as_odds_ratio:
            how = f"within {100 * ODDS_RATIO_WITHIN:g} % of the print"
            printed = text.odds_ratio or ""
            yield Row(f"{effect.term}: odds ratio", printed, math.exp(beta), how, close)
        else:
            how = f"within {ODDS_RATIO_WITHIN:g}"
            yield Row(f"{effect.term}: log odds ratio", text.beta or "", beta, how, close)
        se = float(refitted.fit.se[j])
        yield from _error(effect, text, se, float(refitted.fit.p_value[j]))


def _error(
    effect: PrintedEffect, as_printed: PublishedCoefficient, se: float, p_value: float
) -> Iterator[Row]:
    if effect.origin == "se":
        close = abs(se / effect.se.value - 1) <= SE_WITHIN
        scaled = as_printed.per * se
        yield Row(f"{effect.term}: SE", as_printed.se or "", scaled, SE_TOLERANCE, close)
    if effect.interval is not None:
        low, high = effect.interval
        width = 2 * NORMAL_97_5 * as_printed.per * se
        close = abs(se / effect.se.value - 1) <= SE_WITHIN
        text = f"{low.text} to {high.text}"
        targeted = close if effect.origin == "interval" else None
        how = SE_TOLERANCE if targeted is not None else NOT_TARGETED
        yield Row(f"{effect.term}: width of the 95 % interval of ln OR", text, width, how, targeted)
    if effect.p is not None:
        how = "within the printed bound" if effect.p.bound else "rounds to the print"
        targeted = effect.p.covers(p_value) if effect.origin == "p" else None
        how = how if targeted is not None else NOT_TARGETED
        yield Row(f"{effect.term}: P", effect.p.text, p_value, how, targeted)


def _discrimination(refitted: Refitted, one: AssumedSet) -> Iterator[Row]:
    printed = refitted.table.of_set(one.set)
    if printed is None or printed.auc is None:
        return
    found = metrics.auc_delong(*refitted.of_set(one.set))
    within = f"within {AUC_WITHIN:g}"
    yield _close(f"{one.set}: AUC", printed.auc, float(found.estimate), within, AUC_WITHIN)
    limits = (("lower", printed.auc_low, found.lower), ("upper", printed.auc_high, found.upper))
    for name, limit, value in limits:
        if limit is None:
            continue
        what = f"{one.set}: {name} DeLong limit of the AUC"
        if one.set == DEVELOPMENT:
            how = f"within {AUC_LIMIT_WITHIN:g}"
            yield _close(what, limit, float(value), how, AUC_LIMIT_WITHIN)
        else:
            yield Row(what, limit.text, float(value), NOT_TARGETED, None)


def _close(what: str, printed: PrintedNumber, value: float, how: str, within: float) -> Row:
    return Row(what, printed.text, value, how, abs(value - printed.value) <= within)


def _cut(refitted: Refitted, one: AssumedSet) -> Cut | None:
    """Of all thresholds the one that classifies most nearly as many right as assumed."""
    if one.true_positive is None or one.true_negative is None:
        return None
    outcome, risk = refitted.of_set(one.set)
    levels = np.unique(risk)
    below = np.concatenate([[0.0], levels[:-1]])
    order = np.argsort(risk, kind="stable")
    first = np.searchsorted(risk[order], levels)
    cumulated = np.concatenate([[0], np.cumsum(outcome[order])])
    true_positive = int(outcome.sum()) - cumulated[first]
    true_negative = first - cumulated[first]
    misses = np.abs(true_positive - one.true_positive) + np.abs(true_negative - one.true_negative)
    at = int(np.argmin(misses))
    return Cut(int(true_positive[at]), int(true_negative[at]), float(below[at]), float(levels[at]))


def _classified(refitted: Refitted, one: AssumedSet, cut: Cut | None) -> Iterator[Row]:
    printed = refitted.table.of_set(one.set)
    if printed is None or printed.sensitivity is None or printed.specificity is None:
        return
    if cut is None:
        names = ("sensitivity", "specificity")
        for name, number in zip(names, (printed.sensitivity, printed.specificity), strict=True):
            nothing = "not targeted: no count of patients gives it with these events"
            yield Row(f"{one.set}: {name}", number.text, math.nan, nothing, None)
        return
    first, second = printed.sensitivity, printed.specificity
    if one.labels == "swapped":
        first, second = second, first
    swapped = ", printed under the other's name" if one.labels == "swapped" else ""
    others = one.n - one.events
    at_once = cut.true_positive == one.true_positive and cut.true_negative == one.true_negative
    yield Row(
        f"{one.set}: sensitivity{swapped}",
        first.text,
        cut.true_positive / one.events,
        f"{one.true_positive} of {one.events} right, at the threshold of the specificity",
        at_once,
    )
    yield Row(
        f"{one.set}: specificity{swapped}",
        second.text,
        cut.true_negative / others,
        f"{one.true_negative} of {others} right, at the threshold of the sensitivity",
        at_once,
    )


def _same_threshold(cuts: dict[str, Cut | None]) -> Iterator[Row]:
    """One threshold for both sets: what the print leaves unsaid, and a target of ours."""
    known = [cut for cut in cuts.values() if cut is not None]
    if len(known) < 2:
        return
    above, upto = max(cut.above for cut in known), min(cut.upto for cut in known)
    shared = above < upto
    threshold = (above + upto) / 2 if shared else math.nan
    yield Row("threshold of both sets", "", threshold, "one for both sets", shared)


def _kept(refitted: Refitted) -> Iterator[Row]:
    """What the study's own workflow makes of the cohort."""
    study = refitted.table.study
    retained = retained_terms(study, refitted.table.retained)
    if not retained.any():
        return
    members = refitted.cohort.development
    matrix, outcome = refitted.matrix[members], refitted.cohort.outcome[members]
    sd = matrix.std(axis=0)
    matrix = (matrix - matrix.mean(axis=0)) / np.where(sd > 0, sd, 1.0)
    seeds = [np.random.SeedSequence(seed, spawn_key=(0,)) for seed in range(1, FOLD_DRAWS + 1)]
    chosen, _ = chosen_by_lasso(
        matrix,
        outcome.astype(np.float64),
        study.baseline,
        [np.random.default_rng(seed) for seed in seeds],
    )
    exact = int((chosen == retained).all(axis=1).sum())
    yield Row(
        f"fold draws, of {FOLD_DRAWS}: LASSO keeps exactly the {retained.sum()} terms",
        "",
        exact,
        f"{FOLD_DRAWS_NEEDED} or more",
        exact >= FOLD_DRAWS_NEEDED,
    )
    groups = np.arange(matrix.shape[1])
    final = run_pipeline(Patients(matrix, outcome, groups), study.baseline, seeds[0]).final
    printed = np.isin(study.terms, [effect.term for effect in refitted.table.effects])
    same = final is not None and bool((final.members == printed).all())
    yield Row(
        "final model of the workflow has the printed terms alone (1 = yes)",
        "1",
        float(same),
        NOT_TARGETED,
        None,
    )


def _untargeted(refitted: Refitted, one: AssumedSet) -> Iterator[Row]:
    printed = refitted.table.of_set(one.set)
    if printed is None:
        return
    outcome, risk = refitted.of_set(one.set)
    external = one.set != DEVELOPMENT
    yield from _hosmer_lemeshow(printed, outcome, risk, external=external)
    if printed.calibration_mae is not None:
        error = metrics.integrated_calibration_index(outcome, risk, smoother="lowess")
        yield Row(
            f"{one.set}: calibration MAE (without bootstrap)",
            printed.calibration_mae.text,
            float(error),
            NOT_TARGETED,
            None,
        )


def _hosmer_lemeshow(
    printed: PrintedPerformance, outcome: np.ndarray, risk: np.ndarray, *, external: bool
) -> Iterator[Row]:
    if printed.hosmer_lemeshow_p is None:
        return
    found = metrics.hosmer_lemeshow(outcome, risk, external=external)
    what = f"{printed.set}: Hosmer-Lemeshow P"
    yield Row(what, printed.hosmer_lemeshow_p.text, float(found.p_value), NOT_TARGETED, None)


def printed_auc_se(printed: PrintedPerformance | None) -> float:
    """Standard error that printed limits of an AUC imply; nan without them."""
    error = auc_standard_error(printed)
    return math.nan if error is None else error.value


__all__ = ["Row", "agreement", "agreement_rows", "as_table", "missed", "printed_auc_se"]
