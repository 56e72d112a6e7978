"""A printed model as a fit: its odds ratios, their standard errors, and an assumed event share.

No intercept is printed: it is set so that the mean risk of a cohort's development rows is the
share. Correlations of the estimates are not printed either; draws take them as independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.design import design_matrix, learn_design
from bayes_cmvt.errors import OptionError
from bayes_cmvt.posterior import PRINTED, fit_attributes
from bayes_cmvt.published.printed_table import DEVELOPMENT, PrintedTable, read_published
from bayes_cmvt.published.quasi_random_design import intercept_for
from bayes_cmvt.published.weighed_scenarios import default_scenario

DRAWS = 4000
ENGINE = "published"

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EventShare:
    """An event share, and where it comes from in words."""

    share: float
    source: str


def event_share_of(cohort: Cohort, table: PrintedTable, declared: float | None) -> EventShare:
    """The event share at which a printed model is anchored, the most explicit source first.

    Parameters
    ----------
    cohort : Cohort
    table : PrintedTable
    declared : float or None
        Asked for by the user.

    Returns
    -------
    EventShare
        Declared by the user; events printed of the development set; those that the study assumes
        under ``[reconstruction]``; those that the print allows best; the share in the cohort.

    Raises
    ------
    OptionError
        A declared share that is none.
    """
    if declared is not None:
        if not 0 < declared < 1:
            msg = f"event share: found {declared}; allowed: between 0 and 1, for instance 0.2"
            raise OptionError(msg)
        return EventShare(declared, "declared")
    printed, n = table.of_set(DEVELOPMENT), table.n_development or table.n
    assumed, scenario = table.study.reconstruction, default_scenario(table)
    counts = (
        ("printed", None if printed is None else printed.events),
        ("assumed by the study", None if assumed is None else assumed.events_development),
        ("assumed, as the print allows", None if scenario is None else scenario.events_development),
    )
    for source, events in counts:
        if events and n and events < n:
            return EventShare(events / n, f"{events} events of {n} patients, {source}")
    events, n = cohort.events_development, cohort.n_development
    return EventShare(events / n, f"{events} events of {n} patients, of the cohort")


def printed_fit(
    cohort: Cohort, *, event_share: float | None = None, draws: int = DRAWS, seed: int = 2025
) -> xr.DataTree:
    """The printed model of a study as a fit, anchored in a cohort.

    Parameters
    ----------
    cohort : Cohort
        Of a study with printed results; its development rows give the mean risk.
    event_share : float in (0, 1), optional
        Mean risk of the development rows; default: see `event_share_of`.
    draws : int
        Of the log odds ratios from normal distributions with the printed standard errors, or those
        that follow from printed P values; each draw has the intercept that gives the share.
    seed : int

    Returns
    -------
    DataTree
        Groups ``estimate`` and ``printed``, log-odds per SD, as `bayes_cmvt.fit_baseline` gives
        ``estimate`` and ``bootstrap``; predictors that are not printed have the coefficient 0.

    Raises
    ------
    StudyError
        The study prints no results, or impossible ones.
    OptionError
        No coefficient is printed; a share outside (0, 1).

    Notes
    -----
    A P value printed as a bound ("<0.001") gives the largest standard error that it allows; an
    effect without P, interval or standard error counts as known exactly, and is named in the
    settings.
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        msg = f"draws: found {draws!r}; allowed: a whole number, 1 or more"
        raise OptionError(msg)
    table = read_published(cohort.study, patients_needed=False)
    if not table.effects:
        msg = (
            f"{cohort.study.source}: no [[published.coefficients]] are declared; a printed model "
            "needs its odds ratios"
        )
        raise OptionError(msg)
    share = event_share_of(cohort, table, event_share)
    design = learn_design(cohort)
    matrix = design_matrix(design, cohort.predictors[cohort.development])
    estimate, error = _printed_effects(table, design.terms)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    drawn = estimate + error * rng.standard_normal((draws, len(estimate)))
    groups = {
        "estimate": _anchored(estimate[np.newaxis] * design.sd, matrix, share.share),
        PRINTED: _anchored(drawn * design.sd, matrix, share.share),
        "constant_data": {"mean": design.mean, "sd": design.sd},
    }
    settings = {
        "engine": ENGINE,
        "seed": seed,
        "event_share": share.share,
        "event_share_source": share.source,
        "without_error": [one.term for one in table.effects if one.origin == "nothing"],
    }
    return _tree(groups, cohort, settings)


def _printed_effects(table: PrintedTable, terms: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Log odds ratio per unit of every column with its standard error; 0 where none is printed."""
    estimate, error = np.zeros(len(terms)), np.zeros(len(terms))
    for one in table.effects:
        place = terms.index(one.term)
        estimate[place] = one.log_odds.value
        error[place] = 0.0 if one.origin == "nothing" else one.se.value
    return estimate, error


def _anchored(beta: Floats, matrix: Floats, share: float) -> dict[str, Floats]:
    """Coefficients per SD, shape (draw, coefficient), with intercepts that give the mean risk."""
    intercept = [intercept_for(log_odds, share) for log_odds in beta @ matrix.T]
    return {"intercept": np.asarray(intercept)[np.newaxis], "beta": beta[np.newaxis]}


def _tree(
    groups: Mapping[str, Mapping[str, Floats]], cohort: Cohort, settings: Mapping[str, Any]
) -> xr.DataTree:
    dimensions = {
        "intercept": ("chain", "draw"),
        "beta": ("chain", "draw", "coefficient"),
        "mean": ("coefficient",),
        "sd": ("coefficient",),
    }
    names = {"coefficient": list(cohort.study.terms)}
    tree = xr.DataTree.from_dict(
        {
            f"/{group}": xr.Dataset(
                {name: (dimensions[name], values) for name, values in variables.items()},
                coords=names,
            )
            for group, variables in groups.items()
        }
    )
    tree.attrs.update(fit_attributes(cohort, settings))
    return tree
