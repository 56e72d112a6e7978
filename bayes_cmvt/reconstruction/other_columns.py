"""The candidates without a printed coefficient, moved until the LASSO keeps what was published.

Printed columns and outcomes are settled; what the others say about the outcome beyond them is not
printed. Their latent variables are shifted along the residuals of the printed model: terms that the
source's LASSO kept get a score of about `KEPT_Z` standard errors (kept by the penalty, not by
P < 0.05), all others one near 0, at the maximum likelihood fit of the kept terms and at their LASSO
fit. Correlations with everything else stay nearly as they were drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bayes_cmvt.assumed_cohort import Formula
from bayes_cmvt.design import encode
from bayes_cmvt.lasso import cross_validate, lasso_path
from bayes_cmvt.logistic import fit_maximum_likelihood, linear_predictor
from bayes_cmvt.pipeline import Patients, chosen_index, draw_folds, screen
from bayes_cmvt.reconstruction.latent import (
    Drawn,
    Floats,
    Population,
    Values,
    analysed_columns,
    encoded,
)
from bayes_cmvt.schema import Baseline
from bayes_cmvt.study import Study

ROUNDS = 6
FOLD_DRAWS = 8  # while searching; the agreement is judged on others
KEPT_Z, LARGEST_KEPT_Z, MORE_Z = 1.65, 1.85, 0.08
KEPT_SHARE = 1.3  # of the penalty that a kept column's gradient should exceed without it
DROPPED_Z = 0.25
DROPPED_SHARE = 0.55  # of the penalty that a dropped column's gradient may reach
STRICTER = 0.3  # limits of a column that was chosen wrongly
FIRM = 4.0  # weight of the targets against the length of the shift
GAUSS_NEWTON_STEPS, DIFFERENCE = 8, 1e-3
GRID = np.linspace(-1.2, 1.2, 49)  # shifts tried for classes, in SDs of the latent variable


@dataclass(frozen=True, eq=False)
class Settled:
    """What is settled before the other columns are.

    Attributes
    ----------
    population : Population
    raw : dict of str to ndarray
        Printed quantities as nudged, all others as drawn; not rounded.
    latent : ndarray, shape (patient, drawn)
    outcome : ndarray of {0, 1}, shape (patient,)
    """

    population: Population
    raw: Values
    latent: Floats
    outcome: Floats

    @property
    def settings(self) -> Baseline:
        """The study's workflow."""
        return self.population.table.study.baseline

    @property
    def terms(self) -> tuple[str, ...]:
        """All design columns."""
        return self.population.table.study.terms

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Terms that the source's LASSO kept, shape (term,)."""
        table = self.population.table
        return retained_terms(table.study, table.retained)

    def matrix(self, raw: Values) -> Floats:
        """The whole design as it will be written, shape (patient, term)."""
        values = self.population.rounded(raw)
        return encode(self.population.table.study, analysed_columns(self.population, values))


@dataclass(frozen=True, eq=False)
class OtherColumns:
    """All drawn quantities, those of the other columns shifted.

    Attributes
    ----------
    raw : dict of str to ndarray
    shift : dict of str to float
        Largest change of each quantity's latent variable, in its SDs.
    """

    raw: Values
    shift: dict[str, float] = field(default_factory=dict)


def retained_terms(study: Study, retained: Sequence[str]) -> NDArray[np.bool_]:
    """Which design columns a list of names holds, shape (term,); of a predictor all its levels."""
    terms = {
        term
        for one in study.predictors
        for term in one.terms
        if one.name in retained or term in retained
    }
    return np.array([term in terms for term in study.terms])


def chosen_by_lasso(
    matrix: Floats, outcome: Floats, settings: Baseline, generators: Sequence[np.random.Generator]
) -> tuple[NDArray[np.bool_], Floats]:
    """What the study's cross-validated LASSO keeps, and its penalty, for several fold draws.

    Parameters
    ----------
    matrix : ndarray, shape (patient, term)
    outcome : ndarray of {0, 1}, shape (patient,)
    settings : Baseline
    generators : sequence of Generator
        One for each draw of folds.

    Returns
    -------
    ndarray of bool, shape (draw, term)
    ndarray, shape (draw,)
    """
    events = outcome.astype(np.int8)
    groups = np.arange(matrix.shape[1])
    screened = screen(Patients(matrix, events, groups), settings.screen_p)
    chosen = np.zeros((len(generators), matrix.shape[1]), dtype=bool)
    penalties = np.zeros(len(generators))
    inside = np.ascontiguousarray(matrix[:, screened])
    for draw, generator in enumerate(generators):
        folds = draw_folds(events, settings.folds, generator)
        found = cross_validate(inside, events, folds, loss=settings.loss, cv=settings.cv)
        at = chosen_index(found, settings)
        chosen[draw, screened] = found.path.selected[at]
        penalties[draw] = found.path.penalties[at]
    return chosen, penalties


def shift_others(settled: Settled, generator: np.random.Generator) -> OtherColumns:
    """Shift the other columns until the LASSO keeps the published terms in most fold draws.

    Parameters
    ----------
    settled : Settled
    generator : Generator

    Returns
    -------
    OtherColumns
        The best of several rounds; nothing is shifted where no list of kept terms was published.
    """
    best = OtherColumns(settled.raw)
    if not settled.kept.any():
        return best
    wishes = Wishes.at_first(settled)
    now, best_share = best, -1.0
    for _ in range(ROUNDS):
        now = _shifted(settled, now.raw, wishes)
        chosen, penalties = chosen_by_lasso(
            settled.matrix(now.raw), settled.outcome, settled.settings, generator.spawn(FOLD_DRAWS)
        )
        share = float((chosen == settled.kept).all(axis=1).mean())
        if share > best_share:
            best, best_share = now, share
        if share == 1:
            break
        wishes = wishes.after(chosen, settled.kept, float(np.median(penalties)))
    return best


@dataclass(frozen=True, eq=False)
class Wishes:
    """What is asked of the other columns; it becomes stricter for those that miss it.

    Attributes
    ----------
    penalty : float
        At which dropped columns should stay out.
    kept_z : ndarray, shape (term,)
        Score of kept columns in standard errors.
    slack : ndarray, shape (term,)
        Share of the limits of dropped columns that is allowed.
    """

    penalty: float
    kept_z: Floats
    slack: Floats

    @classmethod
    def at_first(cls, settled: Settled) -> Wishes:
        """The same of all columns, at an eighth of the largest penalty."""
        largest = lasso_path(settled.matrix(settled.raw), settled.outcome).penalties[0]
        terms = len(settled.terms)
        return cls(float(largest) / 8, np.full(terms, KEPT_Z), np.ones(terms))

    def after(self, chosen: NDArray[np.bool_], kept: NDArray[np.bool_], penalty: float) -> Wishes:
        """Stricter where some fold draws chose otherwise."""
        share = chosen.mean(axis=0)
        kept_z = np.where(kept & (share < 1), self.kept_z + MORE_Z, self.kept_z)
        slack = np.where(~kept & (share > 0), self.slack * STRICTER, self.slack)
        return Wishes(penalty, np.minimum(kept_z, LARGEST_KEPT_Z), slack)


@dataclass(frozen=True, eq=False)
class Targets:
    """What the scores of the other columns are measured with.

    `others_kept` and `others_penalised`: residuals of the maximum likelihood fit and of the LASSO
    fit of the kept terms outside the block; `all_kept` and `penalised`: of all kept terms.
    """

    others_kept: Residuals
    others_penalised: Floats
    all_kept: Residuals
    penalised: Floats
    penalty: float


@dataclass(frozen=True, eq=False)
class Residuals:
    """Residuals of a maximum likelihood fit, and what a score's variance needs."""

    residual: Floats
    weights: Floats
    design: Floats
    covariance: Floats

    def z(self, column: Floats) -> float:
        """Score of one more column over its standard error."""
        weighted = self.design.T @ (self.weights * column)
        variance = float(self.weights @ column**2 - weighted @ self.covariance @ weighted)
        return float(column @ self.residual) / float(np.sqrt(max(variance, 1e-12)))


def _residuals(columns: Floats, outcome: Floats) -> Residuals:
    fit = fit_maximum_likelihood(columns, outcome)
    risk = expit(linear_predictor(fit, columns))
    used = np.concatenate([[True], ~fit.aliased])
    design = np.column_stack([np.ones(len(outcome)), columns])[:, used]
    weights = risk * (1 - risk)
    covariance = np.linalg.pinv(design.T @ (design * weights[:, np.newaxis]), hermitian=True)
    return Residuals(outcome - risk, weights, design, covariance)


def _targets(settled: Settled, raw: Values, penalty: float, block: Block) -> Targets:
    matrix = settled.matrix(raw)
    kept = np.flatnonzero(settled.kept)
    others = [place for place in kept if settled.terms[place] not in block.terms]
    return Targets(
        _residuals(matrix[:, others], settled.outcome),
        _penalised(matrix[:, others], settled.outcome, penalty),
        _residuals(matrix[:, kept], settled.outcome),
        _penalised(matrix[:, kept], settled.outcome, penalty),
        penalty,
    )


def _penalised(columns: Floats, outcome: Floats, penalty: float) -> Floats:
    """Residuals of the LASSO fit at a penalty."""
    start = float(lasso_path(columns, outcome).penalties[0])
    penalties = np.array([max(start, 2 * penalty), penalty])
    path = lasso_path(columns, outcome, penalties=penalties)
    return np.asarray(outcome - expit(path.intercept[1] + columns @ path.coefficients[1]))


def _shifted(settled: Settled, start: Values, wishes: Wishes) -> OtherColumns:
    """Shift block after block: kept columns until they settle, then what should be dropped."""
    population = settled.population
    formulas = {one.name: one for one in population.formulas}
    printed = [one.predictor.name for one in population.printed]
    fixed = {one for name in printed for one in _needs(name, formulas, population)}
    free = [one for one in population.drawn if one.name not in fixed]
    raw, shift = dict(start), {}
    blocks = _blocks(population, {one.name for one in free})
    kept = {term for term, is_kept in zip(settled.terms, settled.kept, strict=True) if is_kept}
    first = [block for block in blocks if kept & {*block.terms}]
    for block in [*first, *first, *(one for one in blocks if one not in first)]:
        targets = _targets(settled, raw, wishes.penalty, block)
        solved = _solve(settled, raw, block, targets, wishes)
        for name, latent in solved.items():
            place = population.names.index(name)
            raw[name] = population.drawn[place].values(latent)
            shift[name] = float(np.abs(latent - settled.latent[:, place]).max())
    return OtherColumns(raw, shift)


@dataclass(frozen=True)
class Block:
    """Columns that share drawn quantities, and these quantities."""

    predictors: tuple[str, ...]
    terms: tuple[str, ...]
    quantities: tuple[str, ...]


def _blocks(population: Population, free: set[str]) -> list[Block]:
    """Other columns in groups that share free quantities."""
    needed: dict[str, set[str]] = {}
    formulas = {one.name: one for one in population.formulas}
    printed = {one.predictor.name for one in population.printed}
    for one in population.table.study.predictors:
        if one.name not in printed:
            needed[one.name] = _needs(one.name, formulas, population) & free
    groups: list[tuple[set[str], set[str]]] = []
    for name, quantities in needed.items():
        joined, joined_quantities = {name}, set(quantities)
        for group in [each for each in groups if each[1] & joined_quantities]:
            joined |= group[0]
            joined_quantities |= group[1]
            groups.remove(group)
        groups.append((joined, joined_quantities))
    terms = {one.name: one.terms for one in population.table.study.predictors}
    return [
        Block(
            tuple(name for name in terms if name in names),
            tuple(term for name in terms if name in names for term in terms[name]),
            tuple(name for name in population.names if name in quantities),
        )
        for names, quantities in groups
        if quantities
    ]


def _needs(name: str, formulas: Mapping[str, Formula], population: Population) -> set[str]:
    """Drawn quantities that a column is made of."""
    if name in population.names:
        return {name}
    formula = population.solved.get(name) or formulas.get(name)
    if formula is None:
        return set()
    factors = {*formula.numerator, *formula.denominator} - {name}
    if name in population.solved:
        factors = (factors | {formula.name}) - {name}
    return {one for factor in factors for one in _needs(factor, formulas, population)}


@dataclass(frozen=True)
class Wanted:
    """What is asked of one column: a score, or with None to stay out, and with how much slack."""

    z: float | None
    slack: float


@dataclass(frozen=True, eq=False)
class Shift:
    """The shift of one block as a problem of least squares."""

    settled: Settled
    block: Block
    others: Values
    targets: Targets
    wanted: Sequence[Wanted]
    directions: Floats

    @property
    def places(self) -> list[int]:
        """Latent variables of the block's quantities."""
        return [self.settled.population.names.index(name) for name in self.block.quantities]

    def latents(self, by: Floats) -> list[Floats]:
        """Latent variables after a shift, shape (2 * quantity,)."""
        pairs = zip(self.places, by.reshape(-1, 2), strict=True)
        return [self.settled.latent[:, place] + self.directions @ pair for place, pair in pairs]

    def missing(self, by: Floats) -> Floats:
        """What the block's columns miss after a shift, and the shift itself."""
        drawn = self.settled.population.drawn
        pairs = zip(self.places, self.latents(by), strict=True)
        raw = {**self.others, **{drawn[place].name: drawn[place].values(z) for place, z in pairs}}
        columns = _block_columns(self.settled.population, raw, self.block)
        misses = [
            miss
            for one, column in zip(self.wanted, columns.T, strict=True)
            for miss in _missed(column, self.targets, one)
        ]
        return np.concatenate([FIRM * np.array(misses), by])


def _solve(
    settled: Settled, raw: Values, block: Block, targets: Targets, wishes: Wishes
) -> dict[str, Floats]:
    """Latent variables of a block's quantities after the shortest shift that meets the targets."""
    population = settled.population
    needed = _inputs(population, block)
    others = {name: raw[name] for name in needed - {*block.quantities}}
    before = _block_columns(population, {name: settled.raw[name] for name in needed}, block)
    wanted = []
    for term, column in zip(block.terms, before.T, strict=True):
        place = settled.terms.index(term)
        sign = 1.0 if targets.others_kept.z(column) >= 0 else -1.0
        is_kept = bool(settled.kept[place])
        wanted.append(Wanted(sign * wishes.kept_z[place] if is_kept else None, wishes.slack[place]))
    shift = Shift(settled, block, others, targets, wanted, _directions(targets))
    by = _best_shift(shift, [population.quantity(name) for name in block.quantities])
    return dict(zip(block.quantities, shift.latents(by), strict=True))


def _inputs(population: Population, block: Block) -> set[str]:
    """Drawn quantities that the block's columns are made of, settled ones included."""
    formulas = {one.name: one for one in population.formulas}
    return {one for name in block.predictors for one in _needs(name, formulas, population)}


def _best_shift(shift: Shift, drawn: Sequence[Drawn]) -> Floats:
    """Gauss-Newton for measurements; for classes, whose scores jump, a grid."""
    by = np.zeros(2 * len(drawn))
    if all(one.can_be_moved for one in drawn):
        for _ in range(GAUSS_NEWTON_STEPS):
            now = shift.missing(by)
            slopes = [
                (shift.missing(by + step) - now) / DIFFERENCE
                for step in DIFFERENCE * np.eye(len(by))
            ]
            change = np.linalg.lstsq(np.column_stack(slopes), -now, rcond=None)[0]
            change *= min(1.0, 1.0 / max(float(np.abs(change).max()), 1e-300))
            if np.sum(shift.missing(by + change) ** 2) >= np.sum(now**2):
                change /= 4
            by = by + change
        return by
    for place in (*range(len(by)), *range(len(by))):
        tried = np.tile(by, (len(GRID), 1))
        tried[:, place] = GRID
        by = tried[int(np.argmin([np.sum(shift.missing(one) ** 2) for one in tried]))]
    return by


def _directions(targets: Targets) -> Floats:
    """Two directions over patients, each with SD 1: residuals, and what the penalty adds."""
    first = targets.all_kept.residual
    second = targets.penalised - first * (targets.penalised @ first) / (first @ first)
    second -= second.mean()
    both = [first, second]
    return np.column_stack([one / max(float(one.std()), 1e-12) for one in both])


def _block_columns(population: Population, raw: Values, block: Block) -> Floats:
    """Design columns of a block before rounding, standardised, shape (patient, term)."""
    values = population.exact(raw)
    inside = [one for one in population.table.study.predictors if one.name in block.predictors]
    columns = np.column_stack([encoded(one, values[one.name]) for one in inside])
    sd = columns.std(axis=0)
    return np.asarray((columns - columns.mean(axis=0)) / np.where(sd > 0, sd, 1.0))


def _missed(column: Floats, targets: Targets, wanted: Wanted) -> list[float]:
    """How far a standardised column is from what the LASSO needs of it."""
    per_penalty = 1 / (len(column) * targets.penalty)
    if wanted.z is not None:
        entry = float(np.sign(wanted.z) * (column @ targets.others_penalised)) * per_penalty
        return [targets.others_kept.z(column) - wanted.z, min(0.0, entry - KEPT_SHARE)]
    gradient = float(column @ targets.penalised) * per_penalty
    at_maximum = targets.all_kept.z(column)
    return [
        _beyond(at_maximum, DROPPED_Z * wanted.slack),
        _beyond(gradient, DROPPED_SHARE * wanted.slack),
    ]


def _beyond(value: float, limit: float) -> float:
    return value - min(max(value, -limit), limit)
