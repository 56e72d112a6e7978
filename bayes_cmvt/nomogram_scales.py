"""A finished nomogram: its axes, its ruler and its risk scale as tables, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd


@dataclass(frozen=True, eq=False)
class NomogramPatient:
    """One patient, or one profile, read off a nomogram.

    Attributes
    ----------
    name : str
        What the patient is called: ``row 17`` or ``profile``.
    points : DataFrame, one row for each axis
        ``model, row, axis, label, value, number, points, points_lower, points_upper, assumed,
        beyond, gathered, interval``; ``row`` is empty for a profile, ``assumed`` where the value
        was not given, ``beyond`` where it lies outside the drawn axis (its points are exact all
        the same).
    risk : DataFrame, one row
        ``model, row, total_points, total_lower, total_upper, central_risk, risk, median, lower,
        upper, interval``; ``risk, median, lower, upper`` are exactly those of `predict`,
        ``total_lower, total_upper`` the places on the ruler where the risk axis reads ``lower``
        and ``upper``.
    density : DataFrame
        ``total_points, density``: how the total points of this patient are distributed over the
        draws, on an even grid, scaled to 1 at its highest; empty where the model has no draws.
    """

    name: str
    points: pd.DataFrame
    risk: pd.DataFrame
    density: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Nomogram:
    """A nomogram as data: what `bayes_cmvt.plot_nomogram` draws.

    Attributes
    ----------
    model : {"horseshoe", "projection", "baseline", "published"}
    title : str
        Of the study, marked where the patients are synthetic.
    outcome : str
        What the risk is the risk of.
    horizon : str
        By when; may be empty.
    language : {"en", "zh"}
    interval : float
        Probability of the bands.
    interval_kind : {"credible", "bootstrap", "printed"}
        What the bands hold: posterior draws, resamples of the whole workflow, or draws from the
        printed standard errors.
    axes : DataFrame
        ``model, axis, value, points, points_lower, points_upper, label, unit, kind, number,
        reference, reference_points, length, gathered, interval``: one row for each value shown,
        longest axis first. Limits are NaN where the model has no draws.
    risk : DataFrame
        ``model, total_points, risk, lower, upper, lower_envelope, upper_envelope, patients,
        interval`` on an even grid of total points.
    risk_ticks : DataFrame
        ``model, risk, total_points, major``: round risks and where they lie on the ruler.
    accuracy : DataFrame
        ``model, quantity, value``, by quantity:
        ``points_per_log_odds``; ``log_odds_at_zero_points``; ``developed_patients`` and
        ``developed_events``; ``patients`` by whom all that follows is judged, at most 2,000 of the
        ``patients_of_cohort``; ``gap_median`` and ``gap_largest`` (central risk against that of
        `predict`, over these), ``gap_largest_share`` (the largest as a share of the risk);
        ``outside_envelope`` (share whose exact interval leaves the drawn envelope),
        ``outside_envelope_left_out`` (the same where the patient has no part in the envelope, as a
        new one has none); ``beyond_axes`` (share with a value outside an axis); ``gathered_axes``,
        ``gathered_points`` (what the gathered axes add at their medians, or at their most frequent
        levels),
        ``gathered_error_points`` and ``gathered_error_risk`` (most that they can add or take away
        within their axes), ``gathered_error_largest`` (most over the cohort, as risk);
        ``event_share`` (published model: the assumed share at which its risk axis is anchored).
    patient : NomogramPatient or None
    notice : str
        What has to stand above the figure, such as that the patients are synthetic; may be empty.
    scores : DataFrame
        ``model, axis, label, unit, value, points, points_rounded, points_lower, points_upper,
        interval``: points of about 20 values of every measurement and of all levels, for a table
        beside the figure.
    """

    model: str
    title: str
    outcome: str
    horizon: str
    language: Literal["en", "zh"]
    interval: float
    interval_kind: Literal["credible", "bootstrap", "printed"]
    axes: pd.DataFrame
    risk: pd.DataFrame
    risk_ticks: pd.DataFrame
    accuracy: pd.DataFrame
    patient: NomogramPatient | None = None
    notice: str = ""
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)

    def quantity(self, name: str) -> float:
        """Return one of the quantities of ``accuracy``; NaN where it does not apply."""
        found = self.accuracy.loc[self.accuracy["quantity"] == name, "value"]
        return float(found.iloc[0]) if len(found) else float("nan")
