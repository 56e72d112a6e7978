"""A synthetic cohort that agrees with the print: no patient is in it.

In each attempt:

1. latent variables of the development patients are drawn some times, the assumed quantities tuned
   to the printed standard errors (`information_tuning`), and the draw is kept that needs least;
2. the continuous printed predictors are moved until standard errors are exact and classes expect
   whole numbers of events (`score_nudge`);
3. outcomes are drawn and exchanged until scores, AUC, its standard error and the number classified
   right are as printed (`outcome_search`), and a last, tiny move makes the odds ratios exact;
4. the other columns are shifted until the LASSO keeps what was published (`other_columns`);
5. validation patients are drawn from the same population, as many above the threshold as were
   classified positive, and their outcomes searched in the same way;
6. the table as it is written is compared with the print (`target_agreement`); an attempt that
   misses a target is rejected.

The printed odds ratios are therefore those of the cohort by construction: it shows no optimism.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO

import numpy as np
import pandas as pd

from bayes_cmvt.errors import InputError, SamplingError, StudyError
from bayes_cmvt.logistic import LogisticFit, fit_maximum_likelihood, linear_predictor
from bayes_cmvt.published.printed_table import PrintedPerformance, PrintedTable, read_published
from bayes_cmvt.published.weighed_scenarios import split_probability
from bayes_cmvt.reconstruction.information_tuning import (
    expected_auc_se,
    information,
    misfit,
    tune,
    tuned_quantities,
)
from bayes_cmvt.reconstruction.latent import (
    Floats,
    Population,
    Values,
    population_of,
    written_columns,
)
from bayes_cmvt.reconstruction.other_columns import Settled, shift_others
from bayes_cmvt.reconstruction.outcome_search import Found, OutcomeAim, search_outcomes
from bayes_cmvt.reconstruction.scenario import AssumedSet, Scenario, feasible_scenarios, scenario_of
from bayes_cmvt.reconstruction.score_nudge import Aim, moves, nudge
from bayes_cmvt.reconstruction.target_agreement import (
    Row,
    agreement_rows,
    as_table,
    missed,
    printed_auc_se,
)
from bayes_cmvt.schema import Level
from bayes_cmvt.study import Study

ATTEMPTS, HOPELESS_AFTER = 20, 6
DESIGNS = 20  # drawn in each attempt
AUC_SE_SLACK = 1.5e-3  # that the search of outcomes bridges
MOVE_PRICE, DEPARTURE_PRICE = 10.0, 0.5  # of a largest move of 1, of a tuned quantity's doubling
PROPOSALS, RESTARTS, SLACK_RESTARTS, LONGER = 800_000, 4, 3, 4
GOOD_COST, FAIR_COST = 1.0, 20.0  # of outcomes: look no further, allow no slack
HOPELESS_COST = 1e4  # slack does not help
SE_SLACK = 1.3e-3  # of the AUC's standard error: moves its limits by 0.0026
POOL = 20  # validation patients drawn for each that is needed
POOLS = 4
GAP = 0.01  # log-odds between validation patients and the threshold
SOFT_SCORE, SOFT_SE = 0.5, 2e-3  # of the validation set: wished, not targeted
PLAUSIBLE_SPLIT = 0.05  # P of a random split above which a scenario is varied
CORRELATION_WITHIN, CORRELATIONS = 0.12, 3  # of the variations: range, and draws to choose from
SPREAD_SD, COHERENCE_DRAWS = 0.10, 6
MOST_COPIES = 1000
SEED_LIMIT = 2**63


@dataclass(frozen=True)
class Assumptions:
    """What the print does not determine.

    Attributes
    ----------
    scenario : Scenario
    correlation : float
        Latent, between printed predictors turned towards a higher risk.
    spread : dict of str to float
        Factors of the assumed SDs, by quantity; 1 where none is given.
    """

    scenario: Scenario
    correlation: float
    spread: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Reconstruction:
    """A synthetic cohort, what it assumes and how far it agrees with the print.

    Attributes
    ----------
    study : Study
    patients : DataFrame, shape (patient, column)
        Predictors in the order of the study, outcome, set; as they are written.
    hidden : DataFrame, shape (patient, quantity)
        Quantities that are no columns of the study, such as cell counts, in the same order.
    assumptions : Assumptions
    population : Population
        As assumed, before tuning.
    tuned : dict of str to (str, str, str)
        What was tuned of a quantity, from which value to which.
    moved : dict of str to ndarray, shape (development patient,)
        How far each value of a printed predictor was moved: logarithms, or SDs of a normal one.
    shifted : dict of str to float
        Largest shift of the latent variables of other quantities, in their SDs.
    agreement : DataFrame
        As `target_agreement.agreement` gives it.
    seed, attempts : int
    rejected : tuple of tuple of str
        What each rejected attempt missed.
    """

    study: Study
    patients: pd.DataFrame
    hidden: pd.DataFrame
    assumptions: Assumptions
    population: Population
    tuned: Mapping[str, tuple[str, str, str]]
    moved: Mapping[str, Floats]
    shifted: Mapping[str, float]
    agreement: pd.DataFrame
    seed: int
    attempts: int
    rejected: tuple[tuple[str, ...], ...]

    @property
    def agrees(self) -> bool:
        """Whether every target is met."""
        return not self.missed

    @property
    def missed(self) -> list[str]:
        """Quantities that are targeted and missed."""
        wrong = self.agreement["agrees"].eq(other=False).fillna(value=False)
        return self.agreement.loc[wrong, "quantity"].tolist()

    def __repr__(self) -> str:
        met = "all targets met" if self.agrees else f"{len(self.missed)} targets missed"
        return (
            f"SYNTHETIC cohort of {len(self.patients)} rows for study {self.study.name!r}, events "
            f"{self.assumptions.scenario.name}, seed {self.seed}: {met}"
        )


def assumptions_of(
    study: Study, events_development: int | None = None, events_validation: int | None = None
) -> Assumptions:
    """What a study assumes, with defaults for what it leaves out.

    Parameters
    ----------
    study : Study
    events_development, events_validation : int, optional
        Instead of those of the study.

    Returns
    -------
    Assumptions

    Raises
    ------
    StudyError, OptionError
        As `read_published` and `scenario_of`.
    """
    table = read_published(study)
    declared = study.reconstruction
    if declared is not None and events_development is None and events_validation is None:
        events_development = declared.events_development
        events_validation = declared.events_validation
    scenario = scenario_of(table, events_development, events_validation)
    return Assumptions(scenario, 0.0 if declared is None else declared.correlation)


def reconstruct(
    study: Study,
    *,
    seed: int = 2025,
    assumptions: Assumptions | None = None,
    attempts: int = ATTEMPTS,
    require: bool = True,
) -> Reconstruction:
    """Make a synthetic cohort that agrees with the printed results.

    Parameters
    ----------
    study : Study
        With a ``[published]`` table that prints coefficients; ``[reconstruction]`` is optional.
    seed : int
        Same seed, same cohort, on one machine.
    assumptions : Assumptions, optional
        Default: those of the study.
    attempts : int
        At most.
    require : bool
        Whether missing a target is an error; otherwise the closest attempt is returned.

    Returns
    -------
    Reconstruction

    Raises
    ------
    StudyError
        Nothing printed to agree with, or assumptions that cannot be used.
    SamplingError
        No attempt met all targets: which ones the closest one missed, and by how much.
    """
    table = read_published(study)
    if not table.effects:
        msg = (
            f"{study.source}: [[published.coefficients]] is missing; a synthetic cohort agrees "
            "with printed coefficients, and none are printed"
        )
        raise StudyError(msg)
    given = assumptions_of(study) if assumptions is None else assumptions
    population = population_of(table, correlation=given.correlation, spread=given.spread)
    rejected: list[tuple[str, ...]] = []
    best: Reconstruction | None = None
    for sequence in np.random.SeedSequence(seed).spawn(attempts):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            made, rows = _attempt(population, given, sequence)
        misses = tuple(missed(rows))
        now = Reconstruction(
            study=study,
            patients=made.patients,
            hidden=made.hidden,
            assumptions=given,
            population=population,
            tuned=tuned_quantities(population, made.population),
            moved=made.moved,
            shifted=made.shifted,
            agreement=as_table(rows),
            seed=seed,
            attempts=len(rejected) + 1,
            rejected=tuple(rejected),
        )
        if not misses:
            return now
        rejected.append(misses)
        if hopeless(rejected):
            break
        if best is None or len(misses) < len(best.missed):
            best = now
    assert best is not None
    if require:
        raise SamplingError(_failure(best, len(rejected)))
    return best


def hopeless(rejected: Sequence[tuple[str, ...]]) -> bool:
    """Whether the first attempts all missed one and the same target.

    Examples
    --------
    >>> hopeless([("AUC: 0.8",)] * 3), hopeless([("AUC: 0.8",)] * 6)
    (False, True)
    """
    if len(rejected) < HOPELESS_AFTER:
        return False
    quantities = [{line.rsplit(": printed", 1)[0] for line in misses} for misses in rejected]
    return bool(set.intersection(*quantities))


def _failure(best: Reconstruction, attempts: int) -> str:
    rows = [Row(*row) for row in best.agreement.itertuples(index=False, name=None)]
    wanted = [row for row in rows if row.quantity in best.missed]
    lines = [
        f"  {row.quantity}: printed {row.printed or 'nothing'}, achieved {row.achieved:.6g}; "
        f"allowed: {row.tolerance}"
        for row in wanted
    ]
    scenario = best.assumptions.scenario.name
    return "\n".join(
        [
            f"no synthetic cohort agrees with the print of {best.study.source} (events {scenario}, "
            f"seed {best.seed}): {attempts} attempts; the closest misses {len(lines)} targets",
            "",
            *lines,
        ]
    )


# One attempt --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Made:
    """What one attempt made; `population` as tuned."""

    patients: pd.DataFrame
    hidden: pd.DataFrame
    population: Population
    moved: Mapping[str, Floats]
    shifted: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Designed:
    """Development patients before they have outcomes."""

    population: Population
    latent: Floats
    drawn: Mapping[str, Floats]
    raw: Mapping[str, Floats]


def _attempt(
    population: Population, given: Assumptions, sequence: np.random.SeedSequence
) -> tuple[Made, list[Row]]:
    streams = [np.random.default_rng(one) for one in sequence.spawn(5)]
    scenario, table = given.scenario, population.table
    designed = _design(population, scenario.development, streams[0])
    outcome = _outcomes(designed, scenario.development, streams[1])
    exact = nudge(designed.population, designed.raw, Aim(scenario.development.events, outcome))
    settled = Settled(designed.population, exact.raw, designed.latent, outcome)
    others = shift_others(settled, streams[2])
    sets = [(designed.population.rounded(others.raw), outcome)]
    if scenario.validation is not None:
        sets.append(_validation(designed.population, sets[0], scenario, streams[3]))
    patients, hidden = _table(designed.population, sets, streams[4])
    made = Made(
        patients=patients,
        hidden=hidden,
        population=designed.population,
        moved=moves(designed.population, designed.drawn, exact.raw),
        shifted=others.shift,
    )
    return made, _rows(table, patients, scenario)


def _rows(table: PrintedTable, patients: pd.DataFrame, scenario: Scenario) -> list[Row]:
    """Agreement of the table as it is read back from its file."""
    written = pd.read_csv(StringIO(patients.to_csv(index=False)), keep_default_na=False)
    try:
        return agreement_rows(table.study, written, scenario)
    except InputError as error:
        what = " ".join([error.heading, *error.problems[:1]])
        return [Row(f"a cohort that can be compared ({what})", "", np.nan, "comparable", False)]


def _design(population: Population, one: AssumedSet, generator: np.random.Generator) -> Designed:
    """Of several draws the one whose tuning and moves are smallest."""
    best: tuple[float, Designed] | None = None
    printed = _performance(population.table, one)
    auc = None if printed is None or printed.auc is None else printed.auc.value
    for _ in range(DESIGNS):
        latent = population.latent(generator, one.n)
        tuned, found = tune(population, latent, one.events, auc)
        drawn = tuned.raw(latent)
        nudged = nudge(tuned, drawn, Aim(one.events))
        largest = max(
            (float(np.abs(by).max()) for by in moves(tuned, drawn, nudged.raw).values()),
            default=0.0,
        )
        price = misfit(tuned, found, auc) + MOVE_PRICE * largest**2
        price += DEPARTURE_PRICE * _departure(population, tuned) + 100 * nudged.remaining
        price += _auc_se_price(printed, nudged.information.risk)
        if best is None or price < best[0]:
            best = (price, Designed(tuned, latent, drawn, nudged.raw))
    assert best is not None
    return best[1]


def _auc_se_price(printed: PrintedPerformance | None, risk: Floats) -> float:
    """What it costs that the risks expect another standard error of the AUC than is printed."""
    wanted = printed_auc_se(printed)
    if np.isnan(wanted):
        return 0.0
    return max(0.0, abs(expected_auc_se(risk) - wanted) - AUC_SE_SLACK) ** 2 / AUC_SE_SLACK**2


def _departure(assumed: Population, tuned: Population) -> float:
    """How far the tuned quantities are from what was assumed, in squared doublings."""
    total = 0.0
    for before, after in zip(assumed.drawn, tuned.drawn, strict=True):
        pairs = [(before.sd, after.sd)]
        if before.kind == "lognormal":
            pairs.append((before.median, after.median))
        if before.shares:
            pairs.append((1 - max(before.shares), 1 - max(after.shares)))
        total += sum(float(np.log2(new / old)) ** 2 for old, new in pairs)
    return total


def _performance(table: PrintedTable, one: AssumedSet) -> PrintedPerformance | None:
    return table.of_set(one.set)


def _outcome_aim(table: PrintedTable, one: AssumedSet, *, soft: bool) -> OutcomeAim:
    """What outcomes of a set should give; the AUC half-way to the middle of its limits."""
    printed = _performance(table, one)
    auc = np.nan
    if printed is not None and printed.auc is not None:
        auc = printed.auc.value
        if not soft and printed.auc_low is not None and printed.auc_high is not None:
            auc = (auc + (printed.auc_low.value + printed.auc_high.value) / 2) / 2
    return OutcomeAim(
        events=one.events,
        auc=auc,
        se=printed_auc_se(printed),
        positive=one.positive or 0,
        true_positive=one.true_positive or 0,
        **({"score_scale": SOFT_SCORE, "se_scale": SOFT_SE} if soft else {}),
    )


def _outcomes(designed: Designed, one: AssumedSet, generator: np.random.Generator) -> Floats:
    population = designed.population
    log_odds = np.array([each.log_odds for each in population.printed])
    found = information(population.columns(designed.raw), log_odds, one.events)
    whitened = _whitened(found.covariance) @ found.design.T
    aim = _outcome_aim(population.table, one, soft=False)
    return _searched(found.log_odds, whitened, aim, generator).outcome


def _searched(
    log_odds: Floats, scores: Floats, aim: OutcomeAim, generator: np.random.Generator
) -> Found:
    """The best of a few searches; one that is good enough ends them.

    Where none is, the limits of the AUC may be less exact.
    """
    best: Found | None = None
    for number in range(RESTARTS + SLACK_RESTARTS):
        strict = number < RESTARTS
        now = aim if strict else replace(aim, se_slack=SE_SLACK)
        proposals = PROPOSALS if strict else LONGER * PROPOSALS
        found = search_outcomes(log_odds, scores, now, generator, proposals)
        if best is None or found.cost < best.cost:
            best = found
        last_strict = number >= RESTARTS - 1
        if best.cost < (FAIR_COST if last_strict else GOOD_COST):
            break
        if last_strict and not (aim.se > 0 and best.cost < HOPELESS_COST):
            break
    assert best is not None
    return best


def _whitened(covariance: Floats) -> Floats:
    """Turns scores into uncorrelated ones with variance 1; a singular direction is left out."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, np.newaxis] * vectors.T)


def _validation(
    population: Population,
    development: tuple[Values, Floats],
    scenario: Scenario,
    generator: np.random.Generator,
) -> tuple[dict[str, Floats], Floats]:
    """Patients of the same population, as many above the threshold as were classified positive."""
    one = scenario.validation
    assert one is not None
    fit = fit_maximum_likelihood(population.columns(development[0]), development[1])
    threshold = _threshold(
        linear_predictor(fit, population.columns(development[0])), scenario.development.positive
    )
    values = _validation_values(population, one, threshold, fit, generator)
    columns = population.columns(values)
    found = information(columns, np.asarray(fit.coefficients), one.events)
    scores = _whitened(found.covariance) @ found.design.T
    aim = _outcome_aim(population.table, one, soft=True)
    return values, _searched(found.log_odds, scores, aim, generator).outcome


def _threshold(log_odds: Floats, positive: int | None) -> float | None:
    """Half-way between the last positive patient and the next."""
    if positive is None or not 0 < positive < len(log_odds):
        return None
    falling = np.sort(log_odds)[::-1]
    return float(falling[positive - 1] + falling[positive]) / 2


def _validation_values(
    population: Population,
    one: AssumedSet,
    threshold: float | None,
    fit: LogisticFit,
    generator: np.random.Generator,
) -> dict[str, Floats]:
    """Draw patients until enough are on either side; at last whoever comes."""
    chosen: list[dict[str, Floats]] = []
    wanted = {True: one.n, False: 0}
    if threshold is not None and one.positive is not None:
        wanted = {True: one.positive, False: one.n - one.positive}
    for _ in range(POOLS):
        pool = population.rounded(population.raw(population.latent(generator, POOL * one.n)))
        log_odds = linear_predictor(fit, population.columns(pool))
        for above in (True, False):
            fits = (
                np.ones(len(log_odds), dtype=bool)
                if threshold is None
                else (log_odds > threshold + GAP if above else log_odds < threshold - GAP)
            )
            places = np.flatnonzero(fits)[: wanted[above]]
            wanted[above] -= len(places)
            chosen.append({name: values[places] for name, values in pool.items()})
        if not any(wanted.values()):
            break
    else:
        places = np.arange(sum(wanted.values()))
        chosen.append({name: values[places] for name, values in pool.items()})
    return {name: np.concatenate([one[name] for one in chosen]) for name in chosen[0]}


def _table(
    population: Population,
    sets: Sequence[tuple[Values, Floats]],
    generator: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All patients in random order: columns of the study, and the quantities behind them."""
    study = population.table.study
    names = sets[0][0].keys()
    values = {name: np.concatenate([one[name] for one, _ in sets]) for name in names}
    outcome = np.concatenate([events for _, events in sets]).astype(np.int64)
    order = generator.permutation(len(outcome))
    patients = written_columns(population, values)
    event = study.outcome.event
    patients[study.outcome.column] = np.array([_non_event(study), event], dtype=object)[outcome]
    if study.split is not None:
        levels = np.array([study.split.development, study.split.validation], dtype=object)
        place = np.repeat(np.arange(len(sets)), [len(events) for _, events in sets])
        patients[study.split.column] = levels[place]
    hidden = pd.DataFrame(
        {name: values[name] for name in population.hidden}, index=np.arange(len(outcome))
    )
    patients = patients.iloc[order].reset_index(drop=True).infer_objects()
    return patients, hidden.iloc[order].reset_index(drop=True)


def _non_event(study: Study) -> Level:
    if study.outcome.non_event:
        return study.outcome.non_event[0]
    event = study.outcome.event
    if isinstance(event, str):
        return f"not {event}"
    return 1 if event == 0 else 0


# Copies that differ in what the print does not determine ------------------------------------------


def variations(
    study: Study, copies: int, *, seed: int = 2025, scenarios: Sequence[Scenario] | None = None
) -> list[Assumptions]:
    """Assumptions for several copies, which differ in what the print does not determine.

    The first copy has the study's own correlation and marginals. The others take the scenarios in
    turn, a latent correlation within 0.12 of the study's (of three draws the one whose designs go
    best with the printed standard errors and AUC), and the SDs of all measurements that are not
    tuned to the print multiplied by exp(N(0, 0.1²)).

    Parameters
    ----------
    study : Study
    copies : int
    seed : int
    scenarios : sequence of Scenario, optional
        Default: those that reproduce sensitivity and specificity and whose events a random split
        gives with P of at least 0.05, the study's own first. The first copy has the first one.

    Returns
    -------
    list of Assumptions
    """
    own = assumptions_of(study)
    table = read_published(study)
    turns = _plausible(table, own.scenario) if scenarios is None else list(scenarios)
    population = population_of(table, correlation=own.correlation)
    free = [one.name for one in population.drawn if one.kind != "shares" and one.tune != "sd"]
    found = [replace(own, scenario=turns[0])]
    for number, stream in enumerate(np.random.SeedSequence(seed).spawn(copies - 1), start=1):
        generator = np.random.default_rng(stream)
        scenario = turns[number % len(turns)]
        factors = np.exp(SPREAD_SD * generator.standard_normal(len(free)))
        rates = own.correlation + CORRELATION_WITHIN * generator.uniform(-1, 1, CORRELATIONS)
        prices = [_coherence(table, scenario, rate, generator) for rate in np.clip(rates, 0, 0.9)]
        found.append(
            Assumptions(
                scenario=scenario,
                correlation=float(np.clip(rates, 0, 0.9)[int(np.argmin(prices))]),
                spread=dict(zip(free, factors.tolist(), strict=True)),
            )
        )
    return found


def _coherence(
    table: PrintedTable, scenario: Scenario, correlation: float, generator: np.random.Generator
) -> float:
    """How far designs of a correlation are from printed errors and AUC, median over a few draws."""
    one = scenario.development
    printed = _performance(table, one)
    auc = None if printed is None or printed.auc is None else printed.auc.value
    population = population_of(table, correlation=correlation)
    prices = []
    for _ in range(COHERENCE_DRAWS):
        latent = population.latent(generator, one.n)
        tuned, found = tune(population, latent, one.events, auc)
        prices.append(misfit(tuned, found, auc) + _auc_se_price(printed, found.risk))
    return float(np.median(prices))


def _plausible(table: PrintedTable, own: Scenario) -> list[Scenario]:
    """The study's scenario, then others that a random split does not speak against."""
    others = [one for one in feasible_scenarios(table) if one.name != own.name]
    return [own, *(one for one in others if _split_p(one) >= PLAUSIBLE_SPLIT)]


def _split_p(scenario: Scenario) -> float:
    """Two-sided P of the event counts under a simple random split."""
    one, other = scenario.development, scenario.validation
    return 1.0 if other is None else split_probability(one.n, other.n, one.events, other.events)
