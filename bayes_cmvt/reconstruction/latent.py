"""Assumed quantities as functions of latent normal variables: a copula, marginals, formulas.

Every quantity that is drawn is an increasing function of one normal variable; the variables are
correlated. Ratios are computed from rounded quantities, so that their identities hold in the
columns as they are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from bayes_cmvt.assumed_cohort import AssumedCohort, Correlation, Formula, Marginal
from bayes_cmvt.cohort import level_categories
from bayes_cmvt.design import FORWARD
from bayes_cmvt.errors import StudyError, nearest
from bayes_cmvt.published.printed_table import PrintedEffect, PrintedTable
from bayes_cmvt.schema import AnyPredictor, Categorical, Continuous, level_text

SMALLEST_EIGENVALUE = 1e-6
DECIMALS = 3  # of quantities that no study describes

type Floats = NDArray[np.float64]
type Tuned = Literal["median", "sd", "shares", "nothing"]
type Values = Mapping[str, Floats]


@dataclass(frozen=True)
class Drawn:
    """A quantity as a function of its latent normal variable.

    Attributes
    ----------
    name : str
    kind : {"normal", "lognormal", "shares"}
    median, sd : float
        Of a lognormal quantity the SD is that of its logarithm.
    shares : tuple of float
        Of the levels, or of `codes`.
    codes : tuple of float
        What the classes are written as: 0, 1, 2 … for levels.
    decimals : int
    tune : {"median", "sd", "shares", "nothing"}
        What is adjusted to the printed standard error.
    """

    name: str
    kind: Literal["normal", "lognormal", "shares"]
    median: float = 0.0
    sd: float = 1.0
    shares: tuple[float, ...] = ()
    codes: tuple[float, ...] = ()
    decimals: int = DECIMALS
    tune: Tuned = "nothing"

    @property
    def can_be_moved(self) -> bool:
        """Whether single values can be changed a little."""
        return self.kind != "shares"

    def values(self, latent: Floats) -> Floats:
        """Values at given latent variables, not rounded."""
        if self.kind == "shares":
            cuts = ndtri(np.clip(np.cumsum(self.shares[:-1]), 0, 1))
            return np.asarray(self.codes)[np.searchsorted(cuts, latent)]
        if self.kind == "normal":
            return np.asarray(self.median + self.sd * latent)
        return np.asarray(self.median * np.exp(self.sd * latent))

    def latent(self, values: Floats) -> Floats:
        """The latent variables of values of a quantity that can be moved."""
        if self.kind == "normal":
            return np.asarray((values - self.median) / self.sd)
        return np.asarray(np.log(values / self.median) / self.sd)

    def moved(self, values: Floats, by: Floats) -> Floats:
        """Values after a move by logarithms, or by SDs of a normal quantity."""
        if self.kind == "normal":
            return np.asarray(values + self.sd * by)
        return np.asarray(values * np.exp(by), dtype=np.float64)


def encoded(predictor: AnyPredictor, numbers: Floats) -> Floats:
    """Design columns of a predictor from its numbers, shape (patient, term)."""
    if isinstance(predictor, Continuous):
        return np.asarray(FORWARD[predictor.transform](numbers), dtype=np.float64)[:, np.newaxis]
    if isinstance(predictor, Categorical):
        levels = np.arange(1, len(predictor.levels))
        return np.asarray(numbers[:, np.newaxis] == levels, dtype=np.float64)
    return np.asarray(numbers[:, np.newaxis])


@dataclass(frozen=True, eq=False)
class PrintedColumn:
    """The design column of a printed coefficient.

    Attributes
    ----------
    term : str
    predictor : AnyPredictor
    quantity : str or None
        The drawn quantity behind it that is tuned and moved: the predictor itself, or the first
        drawn factor of its formula.
    log_odds : float
        As printed.
    se : float or None
        That follows from the print; None where it says nothing, or only a bound.
    largest_se : float
        That the print allows.
    """

    term: str
    predictor: AnyPredictor
    quantity: str | None
    log_odds: float
    se: float | None
    largest_se: float

    def column(self, values: Values) -> Floats:
        """Encoded as in the design of the study, shape (patient,)."""
        block = encoded(self.predictor, values[self.predictor.name])
        return block[:, self.predictor.terms.index(self.term)]


@dataclass(frozen=True, eq=False)
class Population:
    """Where synthetic patients are drawn from.

    Attributes
    ----------
    table : PrintedTable
    drawn : tuple of Drawn
        Quantities with a latent variable each, in the order of `correlation`.
    formulas : tuple of Formula
        In the order in which they can be computed.
    solved : dict of str to Formula
        Factors that follow from a ratio with a marginal of its own.
    correlation : ndarray, shape (drawn, drawn)
    repaired : float
        Largest change of a correlation that made the matrix positive definite.
    printed : tuple of PrintedColumn
    """

    table: PrintedTable
    drawn: tuple[Drawn, ...]
    formulas: tuple[Formula, ...]
    solved: Mapping[str, Formula]
    correlation: Floats
    repaired: float
    printed: tuple[PrintedColumn, ...]

    @property
    def names(self) -> list[str]:
        """Names of the drawn quantities."""
        return [one.name for one in self.drawn]

    @property
    def hidden(self) -> list[str]:
        """Quantities that are no columns of the study."""
        columns = {one.name for one in self.table.study.predictors}
        return [one for one in [*self.names, *self.solved] if one not in columns]

    def quantity(self, name: str) -> Drawn:
        """A drawn quantity by its name."""
        return self.drawn[self.names.index(name)]

    def with_quantity(self, changed: Drawn) -> Population:
        """The population with one quantity changed."""
        return replace(
            self, drawn=tuple(changed if one.name == changed.name else one for one in self.drawn)
        )

    def latent(self, generator: np.random.Generator, n: int) -> Floats:
        """Draw latent variables, shape (patient, drawn)."""
        factor = np.linalg.cholesky(self.correlation)
        return np.asarray(generator.standard_normal((n, len(self.drawn))) @ factor.T)

    def raw(self, latent: Floats) -> dict[str, Floats]:
        """Values of the drawn quantities, not rounded."""
        return {one.name: one.values(latent[:, j]) for j, one in enumerate(self.drawn)}

    def rounded(self, raw: Values) -> dict[str, Floats]:
        """All quantities as they are written: drawn, solved, computed."""
        values = {one.name: np.round(raw[one.name], one.decimals) for one in self.drawn}
        for name, formula in self.solved.items():
            values[name] = np.round(_solved(formula, name, raw, values), formula.factor_decimals)
        for formula in self.formulas:
            values[formula.name] = np.round(_ratio(formula, values), formula.decimals)
        return values

    def exact(self, raw: Values) -> dict[str, Floats]:
        """The same before rounding, of as many quantities as those given allow."""
        values = dict(raw)
        for name, formula in self.solved.items():
            if {*formula.numerator, *formula.denominator, formula.name} - {name} <= values.keys():
                values[name] = _solved(formula, name, raw, values)
        for formula in self.formulas:
            if {*formula.numerator, *formula.denominator} <= values.keys():
                values[formula.name] = _ratio(formula, values)
        return values

    def columns(self, values: Values) -> Floats:
        """Design columns of the printed coefficients, shape (patient, printed)."""
        if any(one.predictor.name not in values for one in self.printed):
            values = self.exact(values)
        return np.column_stack([one.column(values) for one in self.printed])


def _ratio(formula: Formula, values: Values) -> Floats:
    over = np.prod([values[name] for name in formula.numerator], axis=0)
    under = np.prod([values[name] for name in formula.denominator], axis=0)
    return np.asarray(over / under)


def _solved(formula: Formula, name: str, raw: Values, values: Values) -> Floats:
    """The factor that makes a ratio what was drawn."""
    others = [one for one in formula.numerator if one != name]
    under = np.prod([values[one] for one in formula.denominator if one != name], axis=0)
    over = np.prod([values[one] for one in others], axis=0)
    value = raw[formula.name] * under / over
    return np.asarray(value if name in formula.numerator else 1 / value)


# From a study to a population --------------------------------------------------------------------


def population_of(
    table: PrintedTable,
    *,
    correlation: float | None = None,
    spread: Mapping[str, float] | None = None,
) -> Population:
    """Read what a study assumes, with defaults for what it leaves out.

    Without a marginal a measurement is standard normal (log-normal with median 1 and SD 0.5 of the
    logarithm where its transform takes positive values alone), and all levels are equally frequent.
    What belongs to a printed standard error is tuned unless the study says otherwise: the SD of a
    normal, the median of a log-normal quantity, or the shares.

    Parameters
    ----------
    table : PrintedTable
    correlation : float, optional
        Instead of that of the study.
    spread : mapping of str to float, optional
        Factors of SDs, by quantity.

    Returns
    -------
    Population

    Raises
    ------
    StudyError
        Names, levels or formulas that do not fit the study; all at once.
    """
    assumed = table.study.reconstruction or AssumedCohort()
    problems = list(_problems(table, assumed))
    if problems:
        msg = f"{table.study.source}: the assumptions under [reconstruction] cannot be used"
        raise StudyError(msg, problems)
    computed = {one.name for one in assumed.formulas} - {one.name for one in assumed.marginals}
    declared = {one.name: one for one in (*assumed.marginals, *assumed.quantities)}
    carriers = _carriers(table, assumed, computed)
    behind = {*carriers.values()}
    drawn = [
        _drawn(predictor, declared.get(predictor.name), printed=predictor.name in behind)
        for predictor in table.study.predictors
        if predictor.name not in computed
    ]
    drawn += [_of_marginal(one, (), printed=one.name in behind) for one in assumed.quantities]
    drawn = [replace(one, sd=one.sd * (spread or {}).get(one.name, 1.0)) for one in drawn]
    names = [one.name for one in drawn]
    rate = assumed.correlation if correlation is None else correlation
    directions = {carriers[one.predictor.name]: one.log_odds.value for one in table.effects}
    matrix, repaired = _correlation(names, rate * _signs(names, directions), assumed.correlations)
    solved = {
        factor: formula
        for formula in assumed.formulas
        if formula.name not in computed
        for factor in _open_factors(formula, names)
    }
    return Population(
        table=table,
        drawn=tuple(drawn),
        formulas=_in_order(assumed.formulas, {*names, *solved}),
        solved=solved,
        correlation=matrix,
        repaired=repaired,
        printed=tuple(_printed(one, carriers[one.predictor.name]) for one in table.effects),
    )


def _open_factors(formula: Formula, names: Sequence[str]) -> list[str]:
    return [one for one in (*formula.numerator, *formula.denominator) if one not in names]


def _carriers(
    table: PrintedTable, assumed: AssumedCohort, computed: set[str]
) -> dict[str, str | None]:
    """Drawn quantity that is tuned and moved for each printed predictor."""
    formulas = {one.name: one for one in assumed.formulas if one.name in computed}
    found: dict[str, str | None] = {}
    for name in {effect.predictor.name for effect in table.effects}:
        factors = formulas[name].numerator if name in formulas else (name,)
        found[name] = next((one for one in factors if one not in computed), None)
    return found


def _signs(names: Sequence[str], directions: Mapping[str | None, float]) -> Floats:
    """Products of the directions towards risk of every two quantities; 0 for other quantities."""
    direction = np.array([np.sign(directions.get(name, 0.0)) for name in names])
    return np.outer(direction, direction)


def _printed(effect: PrintedEffect, quantity: str | None) -> PrintedColumn:
    known = effect.origin != "nothing" and not effect.is_bound
    return PrintedColumn(
        term=effect.term,
        predictor=effect.predictor,
        quantity=quantity,
        log_odds=effect.log_odds.value,
        se=effect.se.value if known else None,
        largest_se=effect.se.high if effect.origin != "nothing" else float("inf"),
    )


def _drawn(predictor: AnyPredictor, marginal: Marginal | None, *, printed: bool) -> Drawn:
    if not isinstance(predictor, Continuous):
        codes = tuple(float(code) for code in range(len(predictor.levels)))
        if marginal is not None:
            return _of_marginal(marginal, codes, printed=printed)
        shares = (1 / len(codes),) * len(codes)
        return Drawn(
            predictor.name, "shares", shares=shares, codes=codes, tune=_tune("shares", printed)
        )
    if marginal is not None:
        return _of_marginal(marginal, marginal.values, printed=printed)
    if predictor.transform != "identity":
        return Drawn(predictor.name, "lognormal", 1.0, 0.5, tune=_tune("sd", printed))
    if predictor.range is None:
        return Drawn(predictor.name, "normal", tune=_tune("sd", printed))
    low, high = predictor.range
    return Drawn(
        predictor.name, "normal", (low + high) / 2, (high - low) / 8, tune=_tune("sd", printed)
    )


def _tune(what: Tuned, printed: bool) -> Tuned:
    return what if printed else "nothing"


TUNED: Mapping[str, Tuned] = {"normal": "sd", "lognormal": "median", "shares": "shares"}


def _of_marginal(marginal: Marginal, codes: tuple[float, ...], *, printed: bool) -> Drawn:
    if marginal.kind == "shares" and not codes:
        codes = tuple(float(code) for code in range(len(marginal.shares)))
    return Drawn(
        name=marginal.name,
        kind=marginal.kind,
        median=0.0 if marginal.median is None else marginal.median,
        sd=1.0 if marginal.sd is None else marginal.sd,
        shares=marginal.shares,
        codes=codes,
        decimals=marginal.decimals,
        tune=_tune(marginal.tune or TUNED[marginal.kind], printed),
    )


def _correlation(
    names: Sequence[str], asked: Floats, pairs: Sequence[Correlation]
) -> tuple[Floats, float]:
    """Latent correlations as asked, named pairs instead; the nearest possible, and how near."""
    asked = asked.copy()
    for pair in pairs:
        i, j = (names.index(name) for name in pair.between)
        asked[i, j] = asked[j, i] = pair.r
    np.fill_diagonal(asked, 1.0)
    values, vectors = np.linalg.eigh(asked)
    if values[0] >= SMALLEST_EIGENVALUE:
        return asked, 0.0
    repaired = (vectors * np.maximum(values, 1e-3)) @ vectors.T
    scale = np.sqrt(np.diagonal(repaired))
    repaired /= np.outer(scale, scale)
    return repaired, float(np.abs(repaired - asked).max())


def _in_order(formulas: Sequence[Formula], known: set[str]) -> tuple[Formula, ...]:
    """Formulas so that each stands behind those it uses; `_problems` has refused circles."""
    left, ordered = list(formulas), []
    while left:
        ready = [one for one in left if {*one.numerator, *one.denominator} <= known]
        if not ready:
            break
        ordered += ready
        known = known | {one.name for one in ready}
        left = [one for one in left if one not in ready]
    return tuple(ordered)


def _problems(table: PrintedTable, assumed: AssumedCohort) -> list[str]:
    predictors = {one.name: one for one in table.study.predictors}
    marginals = {one.name: one for one in assumed.marginals}
    problems = _twice([*assumed.marginals, *assumed.quantities], "marginals and quantities")
    problems += _twice(assumed.formulas, "formulas")
    for name, one in marginals.items():
        where = f'[[reconstruction.marginals]] "{name}"'
        if name not in predictors:
            hint = nearest(name, predictors)
            problems.append(f"{where}: is no predictor{hint}; others go under `quantities`")
        else:
            problems += _misfit(predictors[name], one, where)
    problems += [
        f'[[reconstruction.quantities]] "{one.name}": is a predictor; write it under `marginals`'
        for one in assumed.quantities
        if one.name in predictors
    ]
    return problems + _formula_problems(predictors, assumed) + _pair_problems(table, assumed)


def _twice(tables: Sequence[Marginal | Formula], where: str) -> list[str]:
    names = [one.name for one in tables]
    return [
        f'[reconstruction], {where}: "{name}" stands twice'
        for name in sorted({name for name in names if names.count(name) > 1})
    ]


def _misfit(predictor: AnyPredictor, marginal: Marginal, where: str) -> list[str]:
    if isinstance(predictor, Continuous):
        if marginal.kind == "shares" and not marginal.values:
            return [f"{where}: the shares of a continuous predictor need `values`"]
        if predictor.transform != "identity" and marginal.kind == "normal":
            return [
                f'{where}: transform "{predictor.transform}" needs positive values: "lognormal"'
            ]
        return []
    if marginal.kind != "shares" or marginal.values:
        return [f'{where}: a {predictor.kind} predictor needs kind "shares", without `values`']
    if len(marginal.shares) != len(predictor.levels):
        levels = ", ".join(level_text(level) for level in predictor.levels)
        return [
            f"{where}: {len(marginal.shares)} shares for {len(predictor.levels)} levels: {levels}"
        ]
    return []


def _formula_problems(predictors: Mapping[str, AnyPredictor], assumed: AssumedCohort) -> list[str]:
    problems = []
    drawn = {one.name for one in (*assumed.marginals, *assumed.quantities)}
    computed = {one.name for one in assumed.formulas} - drawn
    known = ({*predictors} | drawn) - computed
    solved = set()
    for formula in assumed.formulas:
        where = f'[[reconstruction.formulas]] "{formula.name}"'
        if not isinstance(predictors.get(formula.name), Continuous):
            problems.append(f"{where}: is no continuous predictor")
        missing = _open_factors(formula, sorted(known))
        if formula.name in drawn and len(missing) != 1:
            problems.append(
                f"{where}: has a marginal, so one factor must have none; {len(missing)} have"
            )
        elif formula.name in drawn:
            solved.add(missing[0])
    ordered = _in_order(assumed.formulas, known | solved)
    problems += [
        f'[[reconstruction.formulas]] "{one.name}": a factor is unknown, or computed from it'
        for one in assumed.formulas
        if one not in ordered
    ]
    return problems


def _pair_problems(table: PrintedTable, assumed: AssumedCohort) -> list[str]:
    computed = {one.name for one in assumed.formulas} - {one.name for one in assumed.marginals}
    names = {one.name for one in (*table.study.predictors, *assumed.quantities)} - computed
    return [
        f'[[reconstruction.correlations]] "{pair.between[0]}", "{pair.between[1]}": '
        f'"{name}" is not drawn{nearest(name, names)}'
        for pair in assumed.correlations
        for name in pair.between
        if name not in names
    ]


# To columns as they are written ------------------------------------------------------------------


def written_columns(population: Population, values: Values) -> pd.DataFrame:
    """The study's columns with levels as the study writes them, shape (patient, predictor)."""
    columns: dict[str, object] = {}
    for predictor in population.table.study.predictors:
        numbers = values[predictor.name]
        if isinstance(predictor, Continuous):
            columns[predictor.name] = _whole(numbers)
        else:
            levels = np.array(predictor.levels, dtype=object)
            columns[predictor.name] = levels[numbers.astype(np.int64)]
    return pd.DataFrame(columns)


def analysed_columns(population: Population, values: Values) -> pd.DataFrame:
    """The study's columns as `Cohort.predictors` holds them, for the design."""
    return pd.DataFrame(
        {
            one.name: values[one.name]
            if isinstance(one, Continuous)
            else level_categories(one, values[one.name].astype(np.int64))
            for one in population.table.study.predictors
        }
    )


def _whole(numbers: Floats) -> NDArray[np.float64] | NDArray[np.int64]:
    """Whole numbers without a point, where all of them are whole."""
    return numbers.astype(np.int64) if (numbers == np.round(numbers)).all() else numbers
