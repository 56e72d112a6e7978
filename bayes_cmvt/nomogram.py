"""A fit as a nomogram: points for each value, total points to risk, and how sure both are.

Points follow R's rms (Harrell 2015, Regression Modeling Strategies): the longest axis has 100,
every axis begins at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort, NewPatients
from bayes_cmvt.design import Design, design_matrix, encode_predictor
from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import equal_tailed, tails
from bayes_cmvt.nomogram_bands import accuracy_of, judged_patients, risk_table, risk_ticks
from bayes_cmvt.nomogram_scales import Nomogram, NomogramPatient
from bayes_cmvt.points_scale import Floats, Scale, axis_values, model_of, scale_of
from bayes_cmvt.posterior import (
    design_of,
    logit,
    notice_of,
    settings_of,
    uncertain_coefficients,
    used_predictors,
)
from bayes_cmvt.prediction import predict
from bayes_cmvt.predictor_axes import AxisLimits
from bayes_cmvt.pretty_values import number_text, pretty
from bayes_cmvt.profile import Profile, patient_profile
from bayes_cmvt.schema import Continuous

GATHERED = 0.1  # of the longest axis: what all gathered axes together may be
STEPS, FINE = 200, 2000  # places at which a density is drawn, and computed
CUT = (0.0005, 0.9995)  # tails of a distribution that are not drawn
SCORING_INTERVALS = 20


def nomogram_points(
    fit: xr.DataTree,
    cohort: Cohort,
    *,
    patient: Profile | Mapping[str, object] | str | int | None = None,
    axis_limits: AxisLimits = "study",
    gather: float = GATHERED,
    ci_prob: float = 0.95,
) -> Nomogram:
    """A fit as a nomogram with bands: the tables that `bayes_cmvt.plot_nomogram` draws.

    Parameters
    ----------
    fit : DataTree
        A posterior, a projected submodel, a frequentist workflow, or a printed model.
    cohort : Cohort
        Its development rows give the axes, the bands of the risk and the central coefficients of a
        posterior; all rows say how exact the nomogram is.
    patient : Profile, mapping, str or int, optional
        From `bayes_cmvt.patient_profile`, or what it takes.
    axis_limits : {"study", "rms"}
        As `bayes_cmvt.predictor_axes.predictor_axes`.
    gather : float in [0, 1)
        The shortest axes are gathered into one line as long as they stay, together, below this
        share of the longest; 0 gathers none.
    ci_prob : float in (0, 1)

    Returns
    -------
    Nomogram

    Raises
    ------
    OptionError
        Patients whose predictors are not those of the fit, a model in which no predictor has an
        effect, options outside their limits.
    """
    tails(ci_prob)
    if not 0 <= gather < 1:
        msg = f"gather: found {gather}; allowed: 0 (none) to below 1 of the longest axis"
        raise OptionError(msg)
    design, model = design_of(fit), model_of(fit)
    if cohort.study.predictors != design.study.predictors:
        msg = (
            f'the cohort belongs to study "{cohort.study.name}"; its predictors are not those of '
            "the fit"
        )
        raise OptionError(msg)
    if patient is not None and not isinstance(patient, Profile):
        patient = patient_profile(cohort, patient, needed=used_predictors(fit))
    scale = scale_of(fit, cohort, axis_limits)
    gathered = _gathered(scale, gather)
    limits = _coefficient_limits(fit, design, ci_prob)
    axes = _axes_table(scale, gathered, limits)
    judged = judged_patients(scale, fit, cohort, ci_prob)
    risk = risk_table(scale, judged)
    accuracy = accuracy_of(scale, gathered, judged, risk)
    if "event_share" in settings_of(fit):
        accuracy["event_share"] = settings_of(fit)["event_share"]
    level = {"interval": ci_prob}
    return Nomogram(
        model=model,
        title=cohort.title,
        outcome=cohort.study.outcome.label or cohort.study.outcome.column,
        horizon=cohort.study.outcome.horizon,
        language=cohort.study.heading.language,
        interval=ci_prob,
        interval_kind=_kind(model),
        axes=_of_model(model, axes).assign(**level),
        risk=_of_model(model, risk).assign(**level),
        risk_ticks=_of_model(model, risk_ticks(scale)),
        scores=_of_model(model, _scores(scale, limits)).assign(**level),
        accuracy=_of_model(model, pd.DataFrame(accuracy.items(), columns=["quantity", "value"])),
        patient=None if patient is None else _patient(scale, fit, patient, gathered, ci_prob),
        notice=notice_of(fit, cohort.source),
    )


def _kind(model: str) -> Literal["credible", "bootstrap", "printed"]:
    if model == "published":
        return "printed"
    return "bootstrap" if model == "baseline" else "credible"


def _of_model(model: str, table: pd.DataFrame) -> pd.DataFrame:
    table.insert(0, "model", model)
    return table


# --- Axes ----------------------------------------------------------------------------------------


def _coefficient_limits(fit: xr.DataTree, design: Design, ci_prob: float) -> Floats:
    """Limits of each coefficient per unit of its column, shape (2, coefficient); NaN if unknown."""
    draws = uncertain_coefficients(fit)
    if draws is None:
        return np.full((2, len(design.sd)), np.nan)
    beta = draws[1].reshape(-1, len(design.sd))
    return equal_tailed(beta, ci_prob)[[0, 2]] / design.sd


def _gathered(scale: Scale, share: float) -> NDArray[np.bool_]:
    """Which axes are gathered: the shortest, as long as all together stay below a share."""
    order = np.argsort(scale.length, kind="stable")
    together = np.cumsum(scale.length[order])
    short = order[(together < share * scale.length.max()) & (scale.length[order] > 0)]
    found = np.zeros(len(order), dtype=bool)
    # a single axis takes no more room than the line that would stand for it
    found[short] = len(short) > 1
    return found


def _axes_table(scale: Scale, gathered: NDArray[np.bool_], limits: Floats) -> pd.DataFrame:
    """Every value shown on every axis, longest axis first."""
    order = np.argsort(-scale.length, kind="stable")
    return pd.concat([_axis_rows(scale, j, gathered[j], limits) for j in order], ignore_index=True)


def _axis_rows(scale: Scale, j: int, gathered: bool, limits: Floats) -> pd.DataFrame:
    axis = scale.axes[j]
    values = axis_values(axis)
    lower, upper = _limits_from_reference(scale, j, values, limits)
    measured = isinstance(axis.predictor, Continuous)
    return pd.DataFrame(
        {
            "axis": axis.predictor.name,
            "value": axis.values,
            "points": scale.points(j, values),
            "points_lower": lower,
            "points_upper": upper,
            "label": axis.predictor.display,
            "unit": axis.predictor.unit,
            "kind": axis.predictor.kind,
            "number": axis.numbers if measured else np.nan,
            "reference": axis.text(axis.reference),
            "reference_points": scale.at_reference(j),
            "length": scale.per_log_odds * scale.length[j],
            "gathered": gathered,
        }
    )


def _limits_from_reference(
    scale: Scale, j: int, values: pd.Series, limits: Floats
) -> tuple[Floats, Floats]:
    """Limits of the points of values, measured from the reference, whose points are certain.

    A value differs from the reference in one column at most, in which the difference of the
    log-odds is proportional to the coefficient: its limits follow from the coefficient's.
    """
    axis, own = scale.axes[j], scale.columns[j]
    reference = axis_values(axis, np.array([axis.reference]))
    encoded = (encode_predictor(axis.predictor, one) for one in (values, reference))
    difference = np.subtract(*encoded)
    both = difference[:, np.newaxis] * limits[:, own]
    lower, upper = both.min(axis=1).sum(axis=1), both.max(axis=1).sum(axis=1)
    at_reference = scale.at_reference(j)
    return at_reference + scale.per_log_odds * lower, at_reference + scale.per_log_odds * upper


# --- One patient ---------------------------------------------------------------------------------


def _patient(
    scale: Scale,
    fit: xr.DataTree,
    profile: Profile,
    gathered: NDArray[np.bool_],
    ci_prob: float,
) -> NomogramPatient:
    """Read one patient off: points by axis, the exact interval, the distribution on the ruler."""
    model, limits = model_of(fit), _coefficient_limits(fit, design_of(fit), ci_prob)
    order = np.argsort(-scale.length, kind="stable")
    rows = [_patient_row(scale, int(j), profile, limits) for j in order]
    points = pd.DataFrame(rows).assign(gathered=gathered[order], interval=ci_prob)
    exact = predict(fit, NewPatients(profile.predictors, (), 0), ci_prob=ci_prob).iloc[0]
    total = float(scale.total(scale.log_odds(profile.predictors))[0])
    ruler = scale.total(logit(exact[["lower", "upper"]].to_numpy(dtype=float)))
    risk = {
        "total_points": total,
        "total_lower": ruler[0],
        "total_upper": ruler[1],
        "central_risk": float(scale.risk(np.array(total))),
        **exact[["risk", "median", "lower", "upper"]],
        "interval": ci_prob,
    }
    for table in (points, risk_row := pd.DataFrame([risk])):
        table.insert(0, "row", profile.row)
        table.insert(0, "model", model)
    density = _density(scale, fit, profile)
    return NomogramPatient(profile.name, points, risk_row, density)


def _patient_row(scale: Scale, j: int, profile: Profile, limits: Floats) -> dict[str, object]:
    axis = scale.axes[j]
    value = profile.predictors[axis.predictor.name].reset_index(drop=True)
    measured = isinstance(axis.predictor, Continuous)
    number = float(value.iloc[0]) if measured else float(value.cat.codes.iloc[0])
    lower, upper = _limits_from_reference(scale, j, value, limits)
    return {
        "axis": axis.predictor.name,
        "label": axis.predictor.display,
        "value": number_text(number) if measured else str(value.iloc[0]),
        "number": number if measured else np.nan,
        "points": float(scale.points(j, value)[0]),
        "points_lower": float(lower[0]),
        "points_upper": float(upper[0]),
        "assumed": axis.predictor.name in profile.assumed,
        "beyond": bool(measured and not axis.low <= number <= axis.high),
    }


def _density(scale: Scale, fit: xr.DataTree, profile: Profile) -> pd.DataFrame:
    """How the patient's total points are distributed over the draws, highest value 1."""
    from scipy.ndimage import gaussian_filter1d

    draws = uncertain_coefficients(fit)
    if draws is None:
        return pd.DataFrame({"total_points": [], "density": []}, dtype=float)
    row = design_matrix(design_of(fit), profile.predictors)[0]
    total = scale.total((draws[0] + draws[1] @ row).ravel())
    if np.ptp(total) == 0:
        return pd.DataFrame({"total_points": total[:1], "density": [1.0]})
    low, high = np.quantile(total, CUT)
    room = 0.1 * (high - low)
    counts, edges = np.histogram(total, FINE, (low - room, high + room))
    # Scott's rule (1979, doi:10.1093/biomet/66.3.605)
    bandwidth = total.std() * len(total) ** -0.2 / (edges[1] - edges[0])
    density = gaussian_filter1d(counts.astype(float), bandwidth, mode="constant")
    middle = (edges[1:] + edges[:-1]) / 2
    shown = slice(None, None, FINE // STEPS)
    return pd.DataFrame(
        {"total_points": middle[shown], "density": density[shown] / density[shown].max()}
    )


# --- Scores --------------------------------------------------------------------------------------


def _scores(scale: Scale, limits: Floats) -> pd.DataFrame:
    """Points of many values of every predictor that has points, longest axis first."""
    order = [int(j) for j in np.argsort(-scale.length, kind="stable") if scale.length[j] > 0]
    return pd.concat([_score_rows(scale, j, limits) for j in order], ignore_index=True)


def _score_rows(scale: Scale, j: int, limits: Floats) -> pd.DataFrame:
    axis = scale.axes[j]
    numbers = axis.numbers
    if isinstance(axis.predictor, Continuous):
        fine = pretty(axis.low, axis.high, SCORING_INTERVALS)
        fine = fine[(fine > axis.low) & (fine < axis.high)]
        numbers = np.concatenate([[axis.low], fine, [axis.high]])
    values = axis_values(axis, numbers)
    points = scale.points(j, values)
    lower, upper = _limits_from_reference(scale, j, values, limits)
    return pd.DataFrame(
        {
            "axis": axis.predictor.name,
            "label": axis.predictor.display,
            "unit": axis.predictor.unit,
            "value": [axis.text(number) for number in numbers],
            "points": points,
            "points_rounded": np.rint(points).astype(int),
            "points_lower": lower,
            "points_upper": upper,
        }
    )
