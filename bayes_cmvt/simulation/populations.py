"""Populations whose truth is known, and the samples that are drawn from them.

A scenario takes its patients from a cohort's look and its effects from what was printed, or found,
of them; a large file is a population by itself, with its own fit as the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.baseline import column_groups, workflow_patients
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import Design, encode, learn_design, mean_and_sd
from bayes_cmvt.errors import DataError, OptionError, nearest, quoted
from bayes_cmvt.logistic import fit_guarded
from bayes_cmvt.pipeline import Patients, run_pipeline
from bayes_cmvt.posterior import expit
from bayes_cmvt.priors import CoefficientPrior, numeric_prior
from bayes_cmvt.projection import project
from bayes_cmvt.published.printed_fit import event_share_of
from bayes_cmvt.published.printed_table import read_published
from bayes_cmvt.published.quasi_random_design import intercept_for
from bayes_cmvt.schema import Continuous
from bayes_cmvt.simulation.copula import copula_of, normal_scores
from bayes_cmvt.study import Study

PATIENTS = 5_000  # of a population that is made; all of them judge what is learnt
SMALL = (0.06, 0.54)  # log-odds per SD of the effects of the dense truth, from least to largest
SMALL_COLUMNS = 26  # with more columns they are smaller, so that the risks spread as much
RARE_SHARE = 0.07
LARGEST_SHARE = 10  # a sample of a file is at most its tenth part
COMMON_FACTOR = 0.5  # of the latent variance, where predictors are more correlated
BEND = 0.4  # log-odds: of the square of one normal score, and of the product of two
STRONG = (
    0.5  # log-odds per SD: at 224 patients P < 0.05 finds such an effect about every other time
)

type Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of a population.

    Attributes
    ----------
    intercept : float
        Log-odds where every column is 0.
    beta : ndarray, shape (column,)
        Log-odds per unit of the encoded column; where the truth is not linear, those of the
        logistic model of all columns that comes nearest to it.
    risk : ndarray, shape (patient of the population,)
    acting : ndarray of bool, shape (column,)
        Columns on which the risk depends.
    """

    intercept: float
    beta: Floats
    risk: Floats
    acting: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sample:
    """Patients of one data set.

    Attributes
    ----------
    columns : ndarray, shape (patient, column)
        Encoded, in their own units.
    outcome : ndarray of {0, 1}, shape (patient,)
    truth : Truth
        Of this data set.
    """

    columns: Floats
    outcome: NDArray[np.int8]
    truth: Truth


@dataclass(frozen=True, eq=False)
class Population:
    """Patients of whom everything is known.

    Attributes
    ----------
    name : str
        The scenario, or ``population`` for a file.
    study : Study
    columns : ndarray, shape (patient, column)
        Encoded, in their own units.
    coefficients : ndarray, shape (truth, 1 + column)
        Intercept and log-odds per unit: one row, or draws of which every data set takes one.
    risk : ndarray, shape (patient,), optional
        Where the truth is not linear in the columns.
    acting : ndarray of bool, shape (column,), optional
        Columns on which such a risk depends; otherwise those whose coefficient is not 0.
    outcome : ndarray of {0, 1}, shape (patient,), optional
        What happened to the patients of a file; otherwise outcomes are drawn from the risks.
    """

    name: str
    study: Study
    columns: Floats
    coefficients: Floats
    risk: Floats | None = None
    acting: NDArray[np.bool_] | None = None
    outcome: NDArray[np.int8] | None = None

    @property
    def sd(self) -> Floats:
        """SD of each column, 1 where it is constant, shape (column,)."""
        return mean_and_varying_sd(self.columns)[1]

    @property
    def groups(self) -> NDArray[np.int64]:
        """Position of the predictor that each column belongs to, shape (column,)."""
        return groups_of(self.study)

    def truth(self, number: int = 0) -> Truth:
        """One of the truths, by its number."""
        intercept, beta = self.coefficients[number, 0], self.coefficients[number, 1:]
        risk = self.risk if self.risk is not None else expit(intercept + self.columns @ beta)
        acting = self.acting if self.acting is not None else beta != 0
        return Truth(float(intercept), beta, risk, acting)

    def sampled(self, n: int, rng: np.random.Generator) -> Sample:
        """Draw the patients of one data set.

        Patients who are made are drawn with replacement and get outcomes of their own; those of a
        file are drawn without, and keep theirs.

        Parameters
        ----------
        n : int
        rng : Generator

        Returns
        -------
        Sample
        """
        several = len(self.coefficients) > 1
        truth = self.truth(int(rng.integers(len(self.coefficients))) if several else 0)
        if self.outcome is not None:
            rows = rng.choice(len(self.columns), n, replace=False)
            return Sample(self.columns[rows], self.outcome[rows], truth)
        rows = rng.integers(0, len(self.columns), n)
        outcome = (rng.random(n) < truth.risk[rows]).astype(np.int8)
        return Sample(self.columns[rows], outcome, truth)


def groups_of(study: Study) -> NDArray[np.int64]:
    """Position of the predictor that each column of a study belongs to, shape (column,)."""
    nothing = np.zeros(len(study.terms))
    return column_groups(Design(study, nothing, nothing + 1))


def mean_and_varying_sd(columns: Floats) -> tuple[Floats, Floats]:
    """Mean and SD of each column; 1 for the SD of a constant."""
    mean, sd = mean_and_sd(columns)
    return mean, np.where(np.ptp(columns, axis=0) > 0, sd, 1.0)


# --- A sample as models see it -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Learnt:
    """What is learnt from a sample before any model is fitted.

    Attributes
    ----------
    matrix : ndarray, shape (patient, column)
        Standardised with the sample's own constants; a column that is constant in it is all 0.
    outcome : ndarray of {0, 1}, shape (patient,)
    design : Design
    prior : CoefficientPrior
        The study's, as numbers, at the sample's patients and events.
    constant : ndarray of bool, shape (column,)
    patients : Patients
        For the frequentist workflow.
    """

    matrix: Floats
    outcome: NDArray[np.int8]
    design: Design
    prior: CoefficientPrior
    constant: NDArray[np.bool_]
    patients: Patients

    def standardised(self, columns: Floats) -> Floats:
        """Other patients' columns with the sample's constants, shape (patient, column)."""
        return np.asarray((columns - self.design.mean) / self.design.sd)


def learnt(sample: Sample, study: Study) -> Learnt:
    """Standardise a sample and turn the study's prior into numbers, as a user's run does.

    A column that is constant in the sample, which `learn_design` refuses, stays in as zeros: it
    says nothing about the outcome and changes no other coefficient.

    Parameters
    ----------
    sample : Sample
        With both outcomes.
    study : Study

    Returns
    -------
    Learnt
    """
    mean, sd = mean_and_varying_sd(sample.columns)
    design = Design(study, mean, sd)
    matrix = (sample.columns - mean) / sd
    constant = np.ptp(sample.columns, axis=0) == 0
    matrix[:, constant] = 0.0
    prior = numeric_prior(design, n=len(sample.outcome), events=int(sample.outcome.sum()))
    patients = Patients(matrix, sample.outcome, groups_of(study))
    return Learnt(matrix, sample.outcome, design, prior, constant, patients)


# --- Scenarios -----------------------------------------------------------------------------------


def scenario_population(
    name: str, cohort: Cohort, *, seed: int, fit: xr.DataTree | None = None
) -> Population:
    """Make the population of a scenario, 5,000 patients who look like those of a cohort.

    - ``study``: effects as printed; without a print those of the final model that the study's
      frequentist workflow finds in the cohort. Mean risk as `event_share_of` says, else that of
      the development patients.
    - ``halved``: half of these effects.
    - ``dense``: every column has a small effect, from 0.06 to 0.54 per SD, signs at random.
    - ``correlated``: predictors share a factor that takes half of their latent variance.
    - ``rare``: 7 % have the event.
    - ``nonlinear``: the square of the strongest predictor's normal score and its product with the
      next one's come on top, 0.4 each; risks are then not logistic in the columns.
    - ``null``: no effect at all.
    - ``posterior``: every data set takes one draw of the study's own posterior for its truth.

    Parameters
    ----------
    name : str
    cohort : Cohort
    seed : int
        Of the patients, and of the signs of small effects.
    fit : DataTree, optional
        Posterior of the cohort, for ``posterior``.

    Returns
    -------
    Population

    Raises
    ------
    OptionError
        No such scenario; ``posterior`` without a fit.
    DataError
        Without a print: the workflow finds no predictor in the cohort.
    """
    check_scenarios([name])
    if name == "posterior" and fit is None:
        msg = 'scenario "posterior" needs the posterior of the cohort'
        raise OptionError(msg)
    streams = np.random.SeedSequence(seed).spawn(2)
    rng, for_effects = (np.random.default_rng(stream) for stream in streams)
    law = copula_of(cohort)
    # where effects are not the study's own, none need be found
    own = np.zeros(len(cohort.study.terms)) if name in WITHOUT_EFFECTS else study_effects(cohort)
    if name == "correlated":
        law = law.more_correlated(_directions(cohort.study, own), COMMON_FACTOR)
    columns = encode(cohort.study, law.drawn(PATIENTS, rng))
    made = _Made(cohort, columns, own, study_event_share(cohort))
    if name == "posterior":
        assert fit is not None
        return Population(name, cohort.study, columns, _posterior_coefficients(fit))
    if name == "dense":
        made = replace(made, effects=_small_effects(columns, for_effects))
    if name == "halved":
        made = replace(made, effects=own / 2)
    if name == "rare":
        made = replace(made, share=RARE_SHARE)
    return _bent(made) if name == "nonlinear" else made.linear(name)


SCENARIOS = ("study", "halved", "dense", "correlated", "rare", "nonlinear", "null", "posterior")
WITHOUT_EFFECTS = ("dense", "null", "posterior")  # of the study's own
FILE, PRINTED = "population", "as printed"


def check_scenarios(names: list[str]) -> None:
    """Refuse scenarios that do not exist, all at once.

    Raises
    ------
    OptionError
    """
    problems = [
        f'scenario: found "{name}"; allowed: {quoted(SCENARIOS)}{nearest(name, SCENARIOS)}'
        for name in names
        if name not in SCENARIOS
    ]
    problems += [
        f'scenario: "{name}" is named {names.count(name)} times'
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if problems or not names:
        msg = "the simulation cannot start"
        raise OptionError(msg, problems or ["scenario: name one at least"])


@dataclass(frozen=True, eq=False)
class _Made:
    """Patients, effects per unit of their columns, and the event share that they shall have."""

    cohort: Cohort
    columns: Floats
    effects: Floats
    share: float

    def linear(self, name: str) -> Population:
        """The population whose risks are logistic in the columns."""
        intercept = intercept_for(self.columns @ self.effects, self.share)
        coefficients = np.concatenate([[intercept], self.effects])[np.newaxis]
        return Population(name, self.cohort.study, self.columns, coefficients)


def study_effects(cohort: Cohort) -> Floats:
    """Log-odds per unit of every column, as printed or as the workflow finds them, shape (column,).

    Raises
    ------
    DataError
        Without a print: the workflow finds no predictor in the cohort.
    """
    terms, effects = cohort.study.terms, np.zeros(len(cohort.study.terms))
    if effects_source(cohort.study) == PRINTED:
        for one in read_published(cohort.study, patients_needed=False).effects:
            effects[terms.index(one.term)] = one.log_odds.value
        return effects
    design = learn_design(cohort)
    seed = np.random.SeedSequence(0)
    found = run_pipeline(workflow_patients(cohort, design), cohort.study.baseline, seed)
    if found.risk is None or not found.risk.members.any():
        msg = (
            f"{cohort.source}: the study prints no odds ratios, and its frequentist workflow keeps "
            "no predictor: there are no effects to simulate; choose --scenario dense, null or "
            "posterior, or a --population"
        )
        raise DataError(msg)
    return found.risk.coefficients / design.sd


def effects_source(study: Study) -> str:
    """Where the effects of the scenarios come from, in words."""
    if study.published is not None and study.published.coefficients:
        return PRINTED
    return "those of the final model that the study's own workflow finds in the cohort"


def study_event_share(cohort: Cohort) -> float:
    """Mean risk of the populations that are made for a cohort."""
    if cohort.study.published is None:
        return cohort.events_development / cohort.n_development
    return event_share_of(cohort, read_published(cohort.study, patients_needed=False), None).share


def _directions(study: Study, effects: Floats) -> Floats:
    """Which way each predictor goes with the risk; upwards without an effect."""
    groups = groups_of(study)
    sums = np.bincount(groups, effects, minlength=len(study.predictors))
    return np.where(sums < 0, -1.0, 1.0)


def _small_effects(columns: Floats, rng: np.random.Generator) -> Floats:
    """Effects of every column, evenly from small to less small, at random places and signs."""
    width = columns.shape[1]
    sizes = np.linspace(*SMALL, width) * min(1.0, np.sqrt(SMALL_COLUMNS / width))
    signs = rng.choice([-1.0, 1.0], width)
    return np.asarray(rng.permutation(sizes) * signs / mean_and_varying_sd(columns)[1])


def _posterior_coefficients(fit: xr.DataTree) -> Floats:
    """Draws of intercept and coefficients in units of the columns, shape (draw, 1 + column)."""
    posterior, constants = fit["posterior"], fit["constant_data"]
    intercept = posterior["intercept"].to_numpy().ravel()
    beta = posterior["beta"].to_numpy().reshape(len(intercept), -1) / constants["sd"].to_numpy()
    return np.column_stack([intercept - beta @ constants["mean"].to_numpy(), beta])


def _bent(made: _Made) -> Population:
    """The population in which the strongest predictor's effect bends and meets another."""
    chosen = _strongest_columns(made)
    first, second = (normal_scores(made.columns[:, j]) for j in chosen)
    bent = np.isin(np.arange(len(made.effects)), chosen)
    log_odds = made.columns @ made.effects + BEND * (first**2 - 1) + BEND * first * second
    risk = expit(log_odds + intercept_for(log_odds, made.share))
    mean, sd = mean_and_varying_sd(made.columns)
    nearest_model = project((made.columns - mean) / sd, risk[np.newaxis])
    beta = nearest_model.coefficients[0] / sd
    intercept = nearest_model.intercept[0] - mean @ beta
    coefficients = np.concatenate([[intercept], beta])[np.newaxis]
    study, acting = made.cohort.study, (made.effects != 0) | bent
    return Population("nonlinear", study, made.columns, coefficients, risk=risk, acting=acting)


def _strongest_columns(made: _Made) -> list[int]:
    """The two columns with the largest effects, measurements first."""
    study = made.cohort.study
    measured = np.array(
        [isinstance(one, Continuous) for one in study.predictors for _ in one.terms]
    )
    size = np.abs(made.effects) * mean_and_varying_sd(made.columns)[1]
    order = np.lexsort((-size, ~measured))
    return [int(order[0]), int(order[min(1, len(order) - 1)])]


# --- A file as a population ----------------------------------------------------------------------


def file_population(cohort: Cohort) -> Population:
    """All patients of a large cohort as a population; the logistic fit of them all is the truth.

    Parameters
    ----------
    cohort : Cohort
        Development and validation patients alike.

    Returns
    -------
    Population

    Raises
    ------
    DataError
        The fit of all patients does not exist.
    """
    columns = encode(cohort.study, cohort.predictors)
    outcome = cohort.outcome.astype(np.int8)
    mean, sd = mean_and_varying_sd(columns)
    fit = fit_guarded((columns - mean) / sd, outcome)
    if fit.status != "converged" or fit.method != "ml" or fit.aliased.any():
        msg = (
            f"{cohort.source}: the logistic model of all {len(outcome):,} patients has no unique "
            "maximum-likelihood fit, so that there is no truth to compare with; leave out columns "
            "that separate the outcomes or repeat others"
        )
        raise DataError(msg)
    beta = fit.coefficients / sd
    coefficients = np.concatenate([[fit.intercept - mean @ beta], beta])[np.newaxis]
    return Population(FILE, cohort.study, columns, coefficients, outcome=outcome)


def too_small(population: Population, n: int) -> str | None:
    """Say so where samples of a file would have more than a tenth of it.

    Its patients are drawn without replacement: large samples share so many of them that their
    estimates scatter less about the fit of everybody than those of fresh patients would.
    """
    size = len(population.columns)
    if population.outcome is None or n * LARGEST_SHARE <= size:
        return None
    return (
        f"the file has {size:,} patients, and samples of {n:,} are more than a tenth of them: they "
        f"would look too much alike; n may be {size // LARGEST_SHARE:,} at most"
    )


def judging_risk(population: Population, truth: Truth) -> Floats:
    """What rules are judged by: the true risks, or what happened to the patients of a file.

    The fit of everybody is a truth to aim at, not what the patients of a file obey.

    Returns
    -------
    ndarray, shape (patient of the population,)
    """
    return truth.risk if population.outcome is None else population.outcome.astype(float)
