"""How many patients a prediction model needs: a source's own formula, Riley's criteria, and MAPE.

The criteria are those of Riley et al. 2020 (BMJ 368:m441, doi:10.1136/bmj.m441), computed as the R
package pmsampsize computes them; the mean absolute prediction error (MAPE) is that of van Smeden et
al. 2019 (Stat. Methods Med. Res. 28:2455, doi:10.1177/0962280218784726) and stands beside them.
Numbers of patients are rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ndtri

from bayes_cmvt.errors import OptionError, StudyError
from bayes_cmvt.printed_numbers import read_printed
from bayes_cmvt.schema import SampleSizeFormula
from bayes_cmvt.study import Study

NORMAL_QUANTILE = 1.96  # as the source's formula and pmsampsize have it
DEFAULT_NAGELKERKE = 0.15  # Riley 2020: where nothing is known, 15 % of the maximum
MAPE_COLUMNS = 12  # simulated by van Smeden 2019; Riley 2020 goes up to 30
PREDICTION_ERROR = "prediction error"
SAMPLE_SIZE_COLUMNS = [
    "scenario",
    "event_share",
    "columns",
    "r2_cox_snell",
    "r2_source",
    "criterion",
    "target",
    "n",
    "n_exact",
    "events",
    "events_per_column",
    "binding",
    "study_n",
    "at_study_n",
    "printed",
    "note",
]


@dataclass(frozen=True)
class ExpectedFit:
    """How well the model is expected to fit, declared before the data; at most one of three.

    Never the apparent figures of the model that is planned: they are optimistic, and the number of
    patients that they ask for is too small.

    Attributes
    ----------
    r2_cox_snell : float, optional
    r2_nagelkerke : float, optional
        Cox-Snell's R² as a share of its maximum.
    c_statistic : float, optional
        Of an earlier model, from patients that did not develop it.
    """

    r2_cox_snell: float | None = None
    r2_nagelkerke: float | None = None
    c_statistic: float | None = None


@dataclass(frozen=True)
class Targets:
    """What the criteria ask for; the values of Riley et al. 2020.

    Attributes
    ----------
    shrinkage : float
        At least; the factor by which coefficients would have to be multiplied in new patients.
    optimism : float
        At most, in Nagelkerke's R².
    margin : float
        Of the event share, either way, at 95 %.
    prediction_error : float
        At most, mean absolute error of the risks.
    """

    shrinkage: float = 0.9
    optimism: float = 0.05
    margin: float = 0.05
    prediction_error: float = 0.05


# --- formulas ------------------------------------------------------------------------------------


def precision_sample_size(
    share: float, margin: float = 0.05, quantile: float = NORMAL_QUANTILE
) -> float:
    """Patients for a proportion to be known within a margin, N = K² p(1 - p) / δ², not rounded.

    Parameters
    ----------
    share : float in (0, 1)
        p.
    margin : float
        δ.
    quantile : float
        K, 1.96 for 95 %.

    Examples
    --------
    >>> round(precision_sample_size(0.13), 1), round(precision_sample_size(0.32), 1)
    (173.8, 334.4)
    """
    return quantile**2 * share * (1 - share) / margin**2


def maximum_cox_snell(share: float) -> float:
    """Largest R² of Cox and Snell at an event share, 1 - {p^p (1 - p)^(1 - p)}².

    Riley et al. 2019, Stat. Med. 38:1276, doi:10.1002/sim.7992, eq. 23.

    Examples
    --------
    >>> maximum_cox_snell(0.5), round(maximum_cox_snell(0.174), 3)
    (0.75, 0.603)
    """
    return -math.expm1(2 * (share * math.log(share) + (1 - share) * math.log1p(-share)))


def cox_snell_of_c(c_statistic: float, share: float) -> float:
    """R² of Cox and Snell that belongs to a C statistic, by quadrature.

    The linear predictor is taken as normal in patients with and without the event, with the same
    variance; its means are √2 Φ⁻¹(C) standard deviations apart (Riley, Van Calster & Collins 2021,
    Stat. Med. 40:859, doi:10.1002/sim.8806). The logistic model is then exact, and what it gains in
    log-likelihood per patient is one integral. pmsampsize draws a million patients for it instead
    and so differs by chance, by 0.0007 (SD) at C = 0.89 and 17 % events.

    Parameters
    ----------
    c_statistic : float in (0.5, 1)
    share : float in (0, 1)
        Event share.

    Examples
    --------
    >>> round(cox_snell_of_c(0.89, 0.174), 4)
    0.291
    """
    distance = math.sqrt(2) * float(ndtri(c_statistic))
    at, weight = np.polynomial.legendre.leggauss(100)
    z = 9 * at
    density = 9 * weight * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    prior_odds = math.log(share) - math.log1p(-share)
    # log-odds of a patient whose predictor lies z from the mean of its own group
    with_event = prior_odds + distance * z + distance**2 / 2
    without = prior_odds + distance * z - distance**2 / 2
    fitted = share * density @ -np.logaddexp(0, -with_event)
    fitted += (1 - share) * density @ -np.logaddexp(0, without)
    null = share * math.log(share) + (1 - share) * math.log1p(-share)
    return -math.expm1(-2 * (float(fitted) - null))


def shrinkage_sample_size(columns: int, r2_cox_snell: float, shrinkage: float = 0.9) -> float:
    """Patients for an expected shrinkage S, P / {(S - 1) ln(1 - R²/S)}, not rounded.

    Criterion B1 of Riley et al. 2020, doi:10.1136/bmj.m441.

    Parameters
    ----------
    columns : int
        P, parameters of all candidates, not only of those that stay.
    r2_cox_snell : float in (0, shrinkage)
        Adjusted for optimism.
    shrinkage : float in (0, 1)

    Examples
    --------
    >>> round(shrinkage_sample_size(24, 0.288), 1)
    622.3
    """
    return columns / ((shrinkage - 1) * math.log1p(-r2_cox_snell / shrinkage))


def expected_shrinkage(n: float, columns: int, r2_cox_snell: float) -> float:
    """Shrinkage to expect of a model with so many columns from so many patients.

    The inverse of `shrinkage_sample_size`: the S between R² and 1 that asks for n patients.

    Examples
    --------
    >>> round(expected_shrinkage(623, 24, 0.288), 3)
    0.9
    """
    floor, nearly = r2_cox_snell * (1 + 1e-12), 1 - 1e-12

    def surplus(shrinkage: float) -> float:
        return shrinkage_sample_size(columns, r2_cox_snell, shrinkage) - n

    if surplus(floor) > 0:  # fewer patients than any shrinkage above R² needs
        return r2_cox_snell
    return float(brentq(surplus, floor, nearly)) if surplus(nearly) > 0 else 1.0


def optimism_sample_size(
    columns: int, event_share: float, r2_cox_snell: float, optimism: float = 0.05
) -> float:
    """Patients for an optimism in Nagelkerke's R² of at most so much, not rounded.

    Criterion B2: the shrinkage R² / (R² + optimism × maximum of R²) takes the place of 0.9.

    Examples
    --------
    >>> round(optimism_sample_size(24, 0.174, 0.288), 1)
    661.1
    """
    shrinkage = r2_cox_snell / (r2_cox_snell + optimism * maximum_cox_snell(event_share))
    return shrinkage_sample_size(columns, r2_cox_snell, shrinkage)


def prediction_error(n: float, columns: int, event_share: float) -> float:
    """Mean absolute error of the risks of a model with so many columns from so many patients.

    exp(-0.508 + 0.259 ln φ + 0.504 ln P - 0.544 ln n), a regression on simulations with 4 to 12
    columns and at most half events (van Smeden et al. 2019, doi:10.1177/0962280218784726); of more
    than half events the share without counts.

    Examples
    --------
    >>> round(prediction_error(544, 30, 0.05), 3)
    0.05
    """
    rarer = min(event_share, 1 - event_share)
    return math.exp(
        -0.508 + 0.259 * math.log(rarer) + 0.504 * math.log(columns) - 0.544 * math.log(n)
    )


def prediction_error_sample_size(columns: int, event_share: float, error: float = 0.05) -> float:
    """Patients for a mean absolute prediction error, not rounded; see `prediction_error`.

    Examples
    --------
    >>> round(prediction_error_sample_size(30, 0.05), 1)
    543.4
    """
    return float((prediction_error(1, columns, event_share) / error) ** (1 / 0.544))


# --- tables --------------------------------------------------------------------------------------


def required_sample_size(
    columns: int,
    event_share: float,
    *,
    fit: ExpectedFit | None = None,
    targets: Targets | None = None,
    study_n: int | None = None,
) -> pd.DataFrame:
    """Patients that each criterion asks for, and which of them binds.

    Parameters
    ----------
    columns : int
        Design columns of all candidate predictors.
    event_share : float in (0, 1)
        Expected among the patients that develop the model.
    fit : ExpectedFit, optional
        Without one R² is 15 % of its maximum, which Riley et al. 2020 recommend where nothing is
        known.
    targets : Targets, optional
    study_n : int, optional
        Patients that there are; each criterion is then also told at that number.

    Returns
    -------
    DataFrame
        A row for each criterion: ``criterion, target, n`` (rounded up), ``n_exact, events``
        (expected), ``events_per_column, binding`` (largest n of Riley's three; the prediction error
        stands beside them and never binds), ``study_n, at_study_n``, and what it rests on:
        ``event_share, columns, r2_cox_snell, r2_source, note``.

    Raises
    ------
    OptionError
        Fewer than one column, a share outside (0, 1), more than one declared fit, an R² that this
        share cannot reach, a target that no number of patients meets; all at once.

    Examples
    --------
    >>> table = required_sample_size(24, 0.174, fit=ExpectedFit(r2_cox_snell=0.288))
    >>> table.loc[table["binding"], ["criterion", "n"]].to_dict("records")
    [{'criterion': 'optimism', 'n': 662}]
    """
    fit, targets = fit or ExpectedFit(), targets or Targets()
    problems = [*_problems(columns, event_share, targets, study_n)]
    problems += _fit_problems(fit, event_share, targets.shrinkage)
    if problems:
        msg = "no sample size can be computed"
        raise OptionError(msg, problems)
    r2, source = _explained(fit, event_share)
    table = pd.DataFrame(_criteria(columns, event_share, r2, targets))
    table["n"] = [math.ceil(round(exact, 9)) for exact in table["n_exact"]]
    table["events"] = table["n"] * event_share
    table["events_per_column"] = table["events"] / columns
    of_riley = table["n"].where(table["criterion"] != PREDICTION_ERROR)
    table["binding"] = of_riley == of_riley.max()
    table = table.assign(
        event_share=event_share, columns=columns, r2_cox_snell=r2, r2_source=source
    )
    return _at_study_n(table, study_n)


def _problems(
    columns: int, event_share: float, targets: Targets, study_n: int | None
) -> Iterator[str]:
    if isinstance(columns, bool) or not isinstance(columns, int) or columns < 1:
        yield f"columns: found {columns!r}; allowed: a whole number, 1 or more"
    if not 0 < event_share < 1:
        yield f"event share: found {event_share}; it must lie between 0 and 1, for instance 0.13"
    for name, value in vars(targets).items():
        if not 0 < value < 1:
            yield f"target {name.replace('_', ' ')}: found {value}; it must lie between 0 and 1"
    if study_n is not None and study_n < 1:
        yield f"patients of the study: found {study_n}; allowed: 1 or more"


def _fit_problems(fit: ExpectedFit, event_share: float, shrinkage: float) -> Iterator[str]:
    declared = {name: value for name, value in vars(fit).items() if value is not None}
    if len(declared) > 1:
        names = ", ".join(f"{name} = {value:g}" for name, value in declared.items())
        yield f"expected fit: found {names}; declare one of them"
    if fit.c_statistic is not None and not 0.5 < fit.c_statistic < 1:
        yield f"C statistic: found {fit.c_statistic}; it must lie between 0.5 and 1"
    if fit.r2_nagelkerke is not None and not 0 < fit.r2_nagelkerke < 1:
        yield f"Nagelkerke's R²: found {fit.r2_nagelkerke}; it must lie between 0 and 1"
    if fit.r2_cox_snell is None or not 0 < event_share < 1:
        return
    largest = maximum_cox_snell(event_share)
    if not 0 < fit.r2_cox_snell < largest:
        yield (
            f"Cox-Snell's R²: found {fit.r2_cox_snell}; with an event share of {event_share:g} it "
            f"lies between 0 and {largest:.3f}"
        )
    elif fit.r2_cox_snell >= shrinkage:
        yield (
            f"target shrinkage: found {shrinkage}; no number of patients is needed below R², which "
            f"is declared as {fit.r2_cox_snell}; ask for more"
        )


def _explained(fit: ExpectedFit, event_share: float) -> tuple[float, str]:
    """Cox-Snell's R², and in words where it comes from."""
    largest = maximum_cox_snell(event_share)
    if fit.r2_cox_snell is not None:
        return fit.r2_cox_snell, "declared"
    if fit.c_statistic is not None:
        words = f"C statistic {fit.c_statistic:g} declared; normal linear predictor, by quadrature"
        return cox_snell_of_c(fit.c_statistic, event_share), words
    if fit.r2_nagelkerke is not None:
        words = f"Nagelkerke's R² {fit.r2_nagelkerke:g} declared; of a maximum of {largest:.3f}"
        return fit.r2_nagelkerke * largest, words
    words = f"nothing declared: 15 % of its maximum of {largest:.3f}, as Riley et al. advise"
    return DEFAULT_NAGELKERKE * largest, words


def _criteria(
    columns: int, event_share: float, r2: float, targets: Targets
) -> Iterator[dict[str, Any]]:
    rarer = min(event_share, 1 - event_share)
    error = targets.prediction_error
    beyond = "" if columns <= MAPE_COLUMNS else f" with at most {MAPE_COLUMNS} columns"
    exact = {
        "shrinkage": shrinkage_sample_size(columns, r2, targets.shrinkage),
        "optimism": optimism_sample_size(columns, event_share, r2, targets.optimism),
        "event share": precision_sample_size(event_share, targets.margin),
        PREDICTION_ERROR: prediction_error_sample_size(columns, event_share, error),
    }
    notes = {
        "shrinkage": "expected shrinkage of the coefficients, at least",
        "optimism": "apparent less adjusted Nagelkerke R², at most",
        "event share": "event share known within this margin, 95 %",
        PREDICTION_ERROR: "mean absolute error of risks, at most; beside the three, never binding"
        + (f"; from simulations{beyond}" if beyond else "")
        + ("; share without the event taken" if rarer < event_share else ""),
    }
    targeted = (targets.shrinkage, targets.optimism, targets.margin, error)
    for (criterion, n), target in zip(exact.items(), targeted, strict=True):
        yield {
            "criterion": criterion,
            "target": target,
            "n_exact": n,
            "note": notes[criterion],
        }


def _at_study_n(table: pd.DataFrame, study_n: int | None) -> pd.DataFrame:
    """Add what each criterion measures at the number of patients that there are."""
    table["study_n"] = pd.array([study_n] * len(table), dtype="Int64")
    table["at_study_n"] = math.nan
    if study_n is None:
        return table
    first = table.iloc[0]
    columns, share, r2 = int(first["columns"]), first["event_share"], first["r2_cox_snell"]
    shrinkage = expected_shrinkage(study_n, columns, r2)
    reached = {
        "shrinkage": shrinkage,
        "optimism": r2 * (1 / shrinkage - 1) / maximum_cox_snell(share),
        "event share": NORMAL_QUANTILE * math.sqrt(share * (1 - share) / study_n),
        PREDICTION_ERROR: prediction_error(study_n, columns, share),
    }
    table["at_study_n"] = table["criterion"].map(reached)
    return table


def sample_size_table(
    study: Study,
    shares: Sequence[tuple[str, float]],
    *,
    fit: ExpectedFit | None = None,
    targets: Targets | None = None,
    columns: int | None = None,
    study_n: int | None = None,
) -> pd.DataFrame:
    """Sample sizes of a study: its source's own formula as printed, then the criteria.

    Parameters
    ----------
    study : Study
        ``[published.sample_size]`` holds the source's formula, where it printed one.
    shares : sequence of (str, float)
        Event shares to plan for, each with what it is called.
    fit : ExpectedFit, optional
    targets : Targets, optional
    columns : int, optional
        Design columns; those of the study unless given.
    study_n : int, optional
        Patients that there are; those that were printed unless given.

    Returns
    -------
    DataFrame
        Columns as `SAMPLE_SIZE_COLUMNS`; a number that does not apply is missing.

    Raises
    ------
    OptionError
        No share, two of the same name, or what `required_sample_size` refuses.
    StudyError
        A formula whose numbers give no sample size; all at once.
    """
    names = [name for name, _ in shares]
    if not names or len(set(names)) < len(names):
        msg = "event shares: give at least one, each with a name of its own"
        raise OptionError(msg)
    if study_n is None:
        study_n = printed_patients(study)
    tables = [
        required_sample_size(
            len(study.terms) if columns is None else columns,
            share,
            fit=fit,
            targets=targets,
            study_n=study_n,
        ).assign(scenario=name, printed="")
        for name, share in shares
    ]
    formula = _formula_rows(study, study_n)
    if len(formula):
        tables.insert(0, formula)
    table = pd.concat(tables, ignore_index=True).reindex(columns=SAMPLE_SIZE_COLUMNS)
    return table.astype({"columns": "Int64"})


def printed_patients(study: Study) -> int | None:
    """Patients that developed the published model, of whom the source speaks; None where unsaid."""
    published = study.published
    text = None if published is None else published.n_development or published.n
    return None if text is None else int(read_printed(text).value)


# --- the source's formula ------------------------------------------------------------------------


def _formula_rows(study: Study, study_n: int | None) -> pd.DataFrame:
    formula = None if study.published is None else study.published.sample_size
    if formula is None:
        return pd.DataFrame()
    _check_formula(study, formula)
    k, delta = read_printed(formula.k).value, read_printed(formula.delta).value
    rows = []
    for place, text in enumerate(formula.proportions):
        share = read_printed(text).value
        exact = precision_sample_size(share, delta, k)
        printed = _at(formula.printed, place)
        about = {"scenario": f"proportion {text}, as printed", "event_share": share}
        about |= {"target": delta, "binding": False}
        row = about | {"criterion": "printed formula", "n_exact": exact, "printed": printed}
        row["at_study_n"] = (
            math.nan if study_n is None else k * math.sqrt(share * (1 - share) / study_n)
        )
        row["note"] = (
            f"K² p(1 - p)/δ² with K = {formula.k}, δ = {formula.delta}: one proportion, "
            f"nothing about a model; {_against(exact, printed)}"
        )
        rows.append(row)
        if formula.missing is not None:
            rows.append(about | _with_missing(formula, place, exact))
    table = pd.DataFrame(rows)
    table["n"] = [math.ceil(round(exact, 9)) for exact in table["n_exact"]]
    table["events"] = table["n"] * table["event_share"]
    table["study_n"] = pd.array([study_n] * len(table), dtype="Int64")
    return table.assign(r2_source="")


def _with_missing(formula: SampleSizeFormula, place: int, exact: float) -> dict[str, Any]:
    """The formula's number increased by a share for missing data."""
    missing = read_printed(formula.missing or "0").value
    printed = _at(formula.printed_with_missing, place)
    kept = math.ceil(round(exact / (1 - missing), 9))
    return {
        "criterion": "printed formula, missing added",
        "n_exact": exact * (1 + missing),
        "printed": printed,
        "note": (
            f"N × (1 + {missing:g}), {_against(exact * (1 + missing), printed)}; for N to be left "
            f"after losing {100 * missing:g} % it takes N / (1 - {missing:g}), {kept}"
        ),
    }


def _at(texts: Sequence[str], place: int) -> str:
    return texts[place] if place < len(texts) else ""


def _against(exact: float, printed: str) -> str:
    """Say how a computed number became the printed one."""
    shown = f"{exact:.1f}"
    if not printed:
        return f"gives {shown}"
    number, up = read_printed(printed).value, math.ceil(round(exact, 9))
    if number == up:
        return f"gives {shown}, printed as {printed}"
    if number == math.floor(exact):
        return f"gives {shown}, printed as {printed}: rounded down, where {up} is usual"
    return f"gives {shown}; the printed {printed} does not follow"


def _check_formula(study: Study, formula: SampleSizeFormula) -> None:
    shares = {f'"proportions", no. {k + 1}': t for k, t in enumerate(formula.proportions)}
    shares |= {} if formula.missing is None else {'"missing"': formula.missing}
    counts = {'"k"': formula.k, '"delta"': formula.delta}
    counts |= {f'"printed", no. {k + 1}': t for k, t in enumerate(formula.printed)}
    counts |= {
        f'"printed_with_missing", no. {k + 1}': t
        for k, t in enumerate(formula.printed_with_missing)
    }
    problems = []
    for key, text in {**shares, **counts}.items():
        number = read_printed(text)
        where = f'[published.sample_size], key {key}: found "{text}"'
        if number.bound:
            problems.append(f"{where}; write the number itself, not a bound")
        elif number.value <= 0:
            problems.append(f"{where}; allowed: above 0")
        elif key in shares and number.value >= 1:
            problems.append(f'{where}; a share lies between 0 and 1 (13 % is "0.13")')
    if problems:
        msg = f"{study.source}: the printed sample size cannot be recomputed"
        raise StudyError(msg, problems)


# --- in words ------------------------------------------------------------------------------------


def methods_sentence(table: pd.DataFrame) -> str:
    """Return what a methods section has to say about the sample size, a paragraph per event share.

    Parameters
    ----------
    table : DataFrame
        Of `sample_size_table`, or of `required_sample_size`.

    Returns
    -------
    str
        Figures, assumptions and references; one line per event share.
    """
    of_criteria = table[table["r2_cox_snell"].notna()]
    return "\n".join(
        _sentence(group) for _, group in of_criteria.groupby("event_share", sort=False)
    )


def _sentence(group: pd.DataFrame) -> str:
    rows = {row["criterion"]: row for row in group.to_dict("records")}
    first = next(iter(rows.values()))
    needed = max(row["n"] for row in rows.values() if row["binding"])
    binds = " and ".join(row["criterion"] for row in rows.values() if row["binding"])
    events = needed * first["event_share"]
    shrinkage, optimism = rows["shrinkage"], rows["optimism"]
    share, error = rows["event share"], rows[PREDICTION_ERROR]
    words = (
        f"For {_counted(first['columns'], 'candidate column')}, an expected event share of "
        f"{first['event_share']:.3g} and a Cox-Snell R² of {first['r2_cox_snell']:.3g} "
        f"({first['r2_source']}), at least {needed:,} patients with {events:,.0f} events "
        f"({events / first['columns']:.1f} per column) are needed: {shrinkage['n']:,} for an "
        f"expected shrinkage of at least {shrinkage['target']:g}, {optimism['n']:,} for an "
        f"optimism of at most {optimism['target']:g} in Nagelkerke's R², {share['n']:,} for an "
        f"event share known within {share['target']:g} (Riley et al., BMJ 2020;368:m441; the "
        f"criterion of {binds} decides). A mean absolute prediction error of {error['target']:g} "
        f"takes {error['n']:,} (van Smeden et al., Stat Methods Med Res 2019;28:2455)."
    )
    if pd.isna(first.get("study_n", math.nan)):
        return words
    return (
        f"{words} With the {first['study_n']:,} patients at hand the expected shrinkage is "
        f"{shrinkage['at_study_n']:.2f}, the optimism {optimism['at_study_n']:.2f}."
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
