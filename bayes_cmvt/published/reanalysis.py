"""Everything that printed results allow, in tables: the door to this package."""

from __future__ import annotations

import pandas as pd

from bayes_cmvt.errors import StudyError
from bayes_cmvt.published.claims import claims, impossible
from bayes_cmvt.published.event_counts import event_counts
from bayes_cmvt.published.information import information
from bayes_cmvt.published.printed_table import PrintedTable, read_published
from bayes_cmvt.published.response_tables import (
    response_predictive,
    response_table,
    response_weight,
)
from bayes_cmvt.published.tables import effect_tables
from bayes_cmvt.published.weighed_scenarios import scenarios
from bayes_cmvt.responses import response_directions, response_priors
from bayes_cmvt.study import Study


def read_block(study: Study) -> PrintedTable:
    """Read a study's printed results; a refusal says what is impossible in them as well.

    Raises
    ------
    StudyError
        As `read_published`.
    """
    return read_published(study, impossible)


def published_tables(
    study: Study, *, seed: int = 2025, ci_prob: float = 0.95, worth: int | None = None
) -> dict[str, pd.DataFrame]:
    """Reanalyse the printed results of a study, without patients.

    Parameters
    ----------
    study : Study
        With a ``[published]`` table.
    seed : int
        Of the draws under the horseshoe.
    ci_prob : float in (0, 1)
        Of posterior and conditional intervals.
    worth : int, optional
        Patients' worth of every printed response, instead of that of the study.

    Returns
    -------
    dict of str to DataFrame
        ``published``, ``published_priors``, ``published_rounding``, ``published_errors``,
        ``published_joint``, ``claims``, ``event_counts``, ``scenarios``, ``information``,
        ``responses``, ``response_predictive``, ``response_weight``: those that the print allows.

    Raises
    ------
    StudyError
        There are no printed results, or numbers that cannot be; all at once.

    Examples
    --------
    >>> import bayes_cmvt as bc
    >>> table = bc.published_tables(bc.load_study("cmvt"))["published"].set_index("term")
    >>> row = table.loc["anaesthesia", ["z", "se", "ci_lower", "ci_upper"]].astype(float)
    >>> row.round(2).tolist()
    [2.7, 0.84, 1.86, 50.84]
    """
    table = read_block(study)
    published = study.published
    responses = () if published is None else published.responses
    if not (table.effects or table.performance or responses):
        msg = (
            f"{study.source}: [published] holds no coefficients, no performance and no responses; "
            "there is nothing to reanalyse"
        )
        raise StudyError(msg)
    tables: dict[str, pd.DataFrame] = {}
    if table.effects:
        tables |= effect_tables(table, seed=seed, ci_prob=ci_prob)
    if table.effects or table.performance:
        tables |= {
            "claims": claims(table),
            "event_counts": event_counts(table),
            "scenarios": scenarios(table),
            "information": information(table),
        }
    if responses:
        tables |= _response_tables(study, worth, ci_prob)
    return tables


def _response_tables(study: Study, worth: int | None, ci_prob: float) -> dict[str, pd.DataFrame]:
    priors = response_priors(study, worth)
    return {
        "responses": response_table(priors, ci_prob),
        "response_predictive": response_predictive(
            priors, response_directions(study), ci_prob=ci_prob
        ),
        "response_weight": response_weight(priors),
    }
