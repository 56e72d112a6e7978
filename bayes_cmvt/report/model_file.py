"""A fit becomes a deployed model: what computing a risk needs, and nothing of any patient.

The calculator page is made of it, and so is ``model.json``, from which two scripts of about 20
lines (``risk.py``, ``risk.R``) compute the risk that `bayes_cmvt.predict` gives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import tails
from bayes_cmvt.posterior import (
    PRINTED,
    central_coefficients,
    design_of,
    needed_predictors,
    notice_of,
    settings_of,
    uncertain_coefficients,
    used_predictors,
)
from bayes_cmvt.predictor_axes import PredictorAxis, predictor_axes
from bayes_cmvt.schema import Continuous, Decision
from bayes_cmvt.study import Study

FORMAT, VERSION = "bayes-cmvt-model", 1
DIGITS = 7  # of a draw: an error in the log-odds far below the Monte Carlo error
COMPANIONS = ("model.schema.json", "risk.py", "risk.R")
THRESHOLD_STEP = 0.01  # a clinician's threshold is a whole percentage, unless the range is narrow
HOW = (
    "x: continuous predictors after their transform (log is natural); binary and ordinal ones the "
    "position of the level, from 0; categorical ones one 0/1 column for each level but the first. "
    "z = (x - mean) / sd. Each draw gives 1 / (1 + exp(-(intercept + sum of beta z))). The risk is "
    "the mean over the draws, or that of `central` where it is given; the limits are the type 7 "
    "quantiles of the draws at (1 - interval) / 2 and 1 - (1 - interval) / 2."
)

type IntervalKind = Literal["credible", "bootstrap", "printed", "none"]
type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DeployedPredictor:
    """What an input of a calculator has to know of a predictor.

    Attributes
    ----------
    name, label, unit : str
    kind : {"continuous", "binary", "categorical", "ordinal"}
    transform : {"identity", "log", "log1p", "sqrt"}
        ``identity`` for levels.
    levels : tuple of str
        Empty for a measurement.
    limits : (float, float)
        Between which the model has learnt, rounded outwards: those of the nomogram's axis; codes
        of the first and last level.
    allowed : (float, float) or None
        The declared range, where the study has one.
    default : float
        What is assumed where nothing is known: about the median, or the code of a level.
    """

    name: str
    label: str
    unit: str
    kind: str
    transform: str
    levels: tuple[str, ...]
    limits: tuple[float, float]
    allowed: tuple[float, float] | None
    default: float


@dataclass(frozen=True, eq=False)
class DeployedModel:
    """What computing a risk needs, and nothing of any patient.

    Attributes
    ----------
    study, title, outcome, horizon, source : str
        Name and title of the study (marked where its patients are synthetic), what the risk is the
        risk of, by when (may be empty), name of the data file.
    language : {"en", "zh"}
    model : str
        ``horseshoe``, ``projection``, ``baseline`` or ``published``.
    interval : float
        Probability of the limits.
    interval_kind : {"credible", "bootstrap", "printed", "none"}
        What the draws are: those of a posterior, resamples of the whole workflow, or draws from
        printed standard errors.
    notice : str
        What has to stand above every risk, such as that the patients are synthetic; may be empty.
    problems : tuple of str
        Diagnostics that failed.
    event_share : (float, str) or None
        Of a printed model without an intercept: the mean risk at which it is anchored, and where
        that comes from.
    thresholds : (float, float)
        Risks between which a decision makes clinical sense.
    threshold : float
        The one at which a page starts.
    threshold_declared : bool
        Whether the study uses it; else it is the middle of the range.
    predictors : tuple of DeployedPredictor
    terms : tuple of str
        Names of the columns of the design matrix.
    mean, sd : ndarray, shape (coefficient,)
        Of the columns, rounded; coefficients are those of columns standardised with them.
    intercept : ndarray, shape (draw,)
    beta : ndarray, shape (draw, coefficient)
        Log-odds per SD. No draws at all where a frequentist fit was not resampled.
    central : (float, ndarray of shape (coefficient,)) or None
        The one estimate of a frequentist fit; None where the risk is the mean over the draws.
    """

    study: str
    title: str
    outcome: str
    horizon: str
    source: str
    language: Literal["en", "zh"]
    model: str
    interval: float
    interval_kind: IntervalKind
    notice: str
    problems: tuple[str, ...]
    event_share: tuple[float, str] | None
    thresholds: tuple[float, float]
    threshold: float
    threshold_declared: bool
    predictors: tuple[DeployedPredictor, ...]
    terms: tuple[str, ...]
    mean: Floats
    sd: Floats
    intercept: Floats
    beta: Floats
    central: tuple[float, Floats] | None


@dataclass(frozen=True, eq=False)
class _Coefficients:
    """Coefficient sets of a fit, chains joined: its estimate, where it has one, and its draws."""

    intercept: Floats
    beta: Floats
    central: tuple[float, Floats] | None

    def of(self, columns: Sequence[int]) -> _Coefficients:
        central = None if self.central is None else (self.central[0], self.central[1][[*columns]])
        return _Coefficients(self.intercept, self.beta[:, [*columns]], central)

    def rescaled(self, old: tuple[Floats, Floats], new: tuple[Floats, Floats]) -> _Coefficients:
        """The same risks from columns that are standardised with other means and SDs."""
        factor, shift = new[1] / old[1], (new[0] - old[0]) / old[1]
        central = self.central
        if central is not None:
            central = (central[0] + float(central[1] @ shift), central[1] * factor)
        return _Coefficients(self.intercept + self.beta @ shift, self.beta * factor, central)


def deployed_model(
    fit: xr.DataTree,
    cohort: Cohort,
    *,
    model: str = "horseshoe",
    ci_prob: float = 0.95,
    problems: Sequence[str] = (),
) -> DeployedModel:
    """Take out of a fit what computing a risk needs.

    Of a projected submodel its own predictors, of a frequentist fit those that the final model or
    any resample uses: all others have no say in the risk.

    Parameters
    ----------
    fit : DataTree
        From `bayes_cmvt.sample`, `bayes_cmvt.fit_baseline` or `bayes_cmvt.select`.
    cohort : Cohort
        The patients of the fit: limits and defaults of the inputs are rounded from theirs.
    model : str
        Its name in tables and figures.
    ci_prob : float in (0, 1)
        Probability of the limits.
    problems : sequence of str
        Diagnostics that failed; they are repeated wherever a risk is shown.

    Returns
    -------
    DeployedModel

    Raises
    ------
    OptionError
        A cohort of other predictors, or ``ci_prob`` outside (0, 1).
    RunError
        The tree is no fit.
    """
    tails(ci_prob)
    design = design_of(fit)
    study = design.study
    _refuse_other_predictors(study, cohort)
    coefficients = _coefficients(fit)
    used = needed_predictors(fit) if coefficients.central is None else used_predictors(fit)
    owned = [term for one in study.predictors if one.name in used for term in one.terms]
    columns = [study.terms.index(term) for term in owned]
    mean, sd = rounded_constants(design.mean[columns], design.sd[columns])
    scale = (design.mean[columns], design.sd[columns]), (mean, sd)
    own = coefficients.of(columns).rescaled(*scale)
    axes = [axis for axis in predictor_axes(cohort) if axis.predictor.name in used]
    return DeployedModel(
        study=study.name,
        title=cohort.title,
        outcome=study.outcome.label or study.outcome.column,
        horizon=study.outcome.horizon,
        source=cohort.source,
        language=study.heading.language,
        model=model,
        interval=ci_prob,
        interval_kind=_interval_kind(fit, own),
        notice=notice_of(fit, cohort.source),
        problems=tuple(problems),
        event_share=_event_share(fit),
        thresholds=study.decision.thresholds,
        threshold=_first_threshold(study.decision),
        threshold_declared=study.decision.use is not None,
        predictors=tuple(_deployed(axis) for axis in axes),
        terms=tuple(owned),
        mean=mean,
        sd=sd,
        intercept=own.intercept,
        beta=own.beta,
        central=own.central,
    )


def rounded_constants(mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """Means and SDs with so few digits that nobody's value can be worked out from them.

    Of a column that is 0 for all patients but one, exact ones give that patient's value. The SD
    keeps two digits, the mean those above the SD's first.

    Examples
    --------
    >>> [values.tolist() for values in rounded_constants(np.array([67.382]), np.array([8.4371]))]
    [[67.0], [8.4]]
    """
    step = 10.0 ** np.floor(np.log10(sd))
    means = [float(f"{value:.12g}") for value in np.round(mean / step) * step]
    return np.array(means), np.array([float(f"{value:.2g}") for value in sd])


def _refuse_other_predictors(study: Study, cohort: Cohort) -> None:
    if cohort.study.predictors != study.predictors:
        msg = (
            f'the cohort belongs to study "{cohort.study.name}" and has other predictors than the '
            f'fit of study "{study.name}"; load it with the study of the fit'
        )
        raise OptionError(msg)


def _event_share(fit: xr.DataTree) -> tuple[float, str] | None:
    settings = settings_of(fit)
    if "event_share" not in settings:
        return None
    return settings["event_share"], settings["event_share_source"]


def _coefficients(fit: xr.DataTree) -> _Coefficients:
    intercept, beta = central_coefficients(fit)
    central = (float(intercept.ravel()[0]), beta.reshape(-1, beta.shape[-1])[0])
    uncertain = uncertain_coefficients(fit)
    if uncertain is None:
        return _Coefficients(np.empty(0), np.empty((0, beta.shape[-1])), central)
    draws, slopes = uncertain
    flat = (draws.reshape(-1), slopes.reshape(-1, slopes.shape[-1]))
    return _Coefficients(*flat, central if "estimate" in fit.children else None)


def _interval_kind(fit: xr.DataTree, coefficients: _Coefficients) -> IntervalKind:
    if not len(coefficients.intercept):
        return "none"
    if PRINTED in fit.children:
        return "printed"
    return "bootstrap" if "estimate" in fit.children else "credible"


def _deployed(axis: PredictorAxis) -> DeployedPredictor:
    predictor = axis.predictor
    transform, allowed = "identity", None
    levels: tuple[str, ...] = ()
    if isinstance(predictor, Continuous):
        transform, allowed = predictor.transform, predictor.range
    else:
        levels = axis.values
    return DeployedPredictor(
        name=predictor.name,
        label=predictor.display,
        unit=predictor.unit,
        kind=predictor.kind,
        transform=transform,
        levels=levels,
        limits=(float(axis.low), float(axis.high)),
        allowed=allowed,
        default=float(axis.common),
    )


def threshold_step(thresholds: tuple[float, float]) -> float:
    """Step between thresholds: a percentage point, less where the range is narrow.

    Examples
    --------
    >>> threshold_step((0.05, 0.6)), threshold_step((0.001, 0.01))
    (0.01, 0.0001)
    """
    width = thresholds[1] - thresholds[0]
    return min(THRESHOLD_STEP, 10.0 ** math.floor(math.log10(width / 10)))


def _first_threshold(decision: Decision) -> float:
    """The threshold that the study uses, else the middle of its range, rounded."""
    if decision.use is not None:
        return decision.use
    step = threshold_step(decision.thresholds)
    return round(round(sum(decision.thresholds) / 2 / step) * step, 10)


def model_json(model: DeployedModel) -> str:
    """Return a deployed model as JSON, as ``model.schema.json`` describes it.

    Parameters
    ----------
    model : DeployedModel

    Returns
    -------
    str
        No row of any patient is in it; draws have 7 significant digits.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "how": HOW,
        "study": {
            "name": model.study,
            "title": model.title,
            "outcome": model.outcome,
            "horizon": model.horizon,
            "data": model.source,
            "language": model.language,
        },
        "model": model.model,
        "notice": model.notice,
        "problems": list(model.problems),
        "event_share": model.event_share
        and {"share": model.event_share[0], "source": model.event_share[1]},
        "interval": model.interval,
        "interval_kind": model.interval_kind,
        "thresholds": [*model.thresholds],
        "threshold": model.threshold,
        "predictors": [_predictor_json(one) for one in model.predictors],
        "columns": [
            {"term": term, "mean": mean, "sd": sd}
            for term, mean, sd in zip(
                model.terms, model.mean.tolist(), model.sd.tolist(), strict=True
            )
        ],
        "central": _central_json(model),
        "draws": _draws_json(model),
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _predictor_json(predictor: DeployedPredictor) -> dict[str, Any]:
    measured = predictor.kind == "continuous"
    default = predictor.default if measured else predictor.levels[int(predictor.default)]
    return {
        "name": predictor.name,
        "label": predictor.label,
        "unit": predictor.unit,
        "kind": predictor.kind,
        "transform": predictor.transform,
        "levels": [*predictor.levels],
        "limits": [*predictor.limits] if measured else None,
        "range": None if predictor.allowed is None else [*predictor.allowed],
        "default": default,
    }


def _central_json(model: DeployedModel) -> dict[str, Any] | None:
    if model.central is None:
        return None
    return {"intercept": model.central[0], "beta": model.central[1].tolist()}


def _draws_json(model: DeployedModel) -> dict[str, Any] | None:
    if not len(model.intercept):
        return None
    return {
        "intercept": _rounded(model.intercept),
        "beta": [_rounded(column) for column in model.beta.T],
    }


def _rounded(draws: Floats) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in draws.tolist()]


def template_text(name: str) -> str:
    """Return a file that ships beside this module, in ``templates``."""
    return (files("bayes_cmvt.report") / "templates" / name).read_text(encoding="utf-8")


def companion_files() -> Mapping[str, str]:
    """Return what is handed on with ``model.json``: its schema, and a script in Python and in R."""
    return {name: template_text(name) for name in COMPANIONS}
