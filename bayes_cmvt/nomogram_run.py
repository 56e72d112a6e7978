"""``bayes-cmvt nomogram``: a model of a run as a nomogram with bands, and a patient read off it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.errors import OptionError
from bayes_cmvt.stages import (
    Say,
    StageResult,
    check_model,
    doubts,
    fingerprint,
    finished_stage,
    learnt_cohort,
    unchanged,
)
from bayes_cmvt.stages import model_fit as fit_of_model

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayes_cmvt.cohort import Cohort
    from bayes_cmvt.nomogram_scales import Nomogram
    from bayes_cmvt.profile import Profile

FORMAT = 1  # of the stage's record and tables: another one is made anew
OWN = ("nomogram", "nomogram_risk", "nomogram_risk_ticks", "nomogram_accuracy", "nomogram_scores")
PATIENT = ("nomogram_patient", "nomogram_patient_risk", "nomogram_patient_density")
FORMATS: tuple[Literal["pdf", "png"], ...] = ("pdf", "png")


@dataclass(frozen=True)
class NomogramRequest:
    """What ``bayes-cmvt nomogram`` was asked for.

    ``patient`` is ``row=17`` or ``KEY=VALUE,…``; ``beside`` another model, drawn at its side.
    """

    run: Path
    model: str = "horseshoe"
    patient: str | None = None
    beside: str | None = None
    axis_limits: str = "study"
    gather: float = 0.1
    event_share: float | None = None
    interval: float = 0.95
    overwrite: bool = False


def nomogram_run(request: NomogramRequest, *, say: Say) -> StageResult:
    """Draw a model of a run as a nomogram, and add tables and figures to the folder.

    Parameters
    ----------
    request : NomogramRequest
    say : callable
        Takes one line of news for the user.

    Returns
    -------
    StageResult

    Raises
    ------
    InputError
        The run, the model, the patient or the options cannot be used; nothing was written.
    """
    from bayes_cmvt import runs

    started = time.perf_counter()
    for model in filter(None, (request.model, request.beside)):
        check_model(model)
    if request.beside == request.model:
        msg = f"--beside: found {request.model!r}, the model itself; name another"
        raise OptionError(msg)
    run = runs.read_run(request.run)
    posterior = runs.load_run(request.run)
    cohort = learnt_cohort(request.run, posterior)
    fit, other = (
        None if model is None else _fit(request, model, posterior, cohort)
        for model in (request.model, request.beside)
    )
    assert fit is not None
    patient = _patient(request, cohort, fit)
    inputs = _inputs(request, fit, other, cohort)
    stage, names = f"nomogram-{request.model}", (*OWN, *(PATIENT if patient else ()))
    done = None if request.overwrite else unchanged(request.run, run, stage, inputs, say)
    if done is not None:
        return _finished(request, done, run, names, reused=True)
    drawn = _nomogram(request, fit, cohort, patient, run)
    beside = None if other is None else _nomogram(request, other, cohort, patient, run)
    tables = _tables(drawn)
    files = _figures(drawn, beside, say)
    record = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
        **_told(drawn, fit, patient),
        "files": [*(f"tables/{name}.csv" for name in tables), *files],
    }
    runs.add_stage(request.run, stage, record, tables, files=files, renewed=(request.model,))
    return _finished(request, record, run, names)


def _finished(
    request: NomogramRequest,
    record: Mapping[str, Any],
    run: Mapping[str, Any],
    names: tuple[str, ...],
    *,
    reused: bool = False,
) -> StageResult:
    stage = f"nomogram-{request.model}"
    result = finished_stage(request.run, stage, record, run, names, reused=reused)
    own = {
        name: table[table["model"] == request.model].reset_index(drop=True)
        for name, table in result.tables.items()
    }
    models = (request.model, request.beside or request.model)
    problems = max((doubts(run, model) for model in models), key=len)
    return replace(result, tables=own, problems=problems)


def _fit(
    request: NomogramRequest, model: str, posterior: xr.DataTree, cohort: Cohort
) -> xr.DataTree:
    # where a printed model is drawn the share is its own; elsewhere it is refused
    printed = "published" in (request.model, request.beside)
    share = request.event_share if model == "published" or not printed else None
    return fit_of_model(request.run, model, posterior, cohort, event_share=share)


def _patient(request: NomogramRequest, cohort: Cohort, fit: xr.DataTree) -> Profile | None:
    from bayes_cmvt.posterior import used_predictors
    from bayes_cmvt.profile import patient_profile

    if request.patient is None:
        return None
    return patient_profile(cohort, request.patient, needed=used_predictors(fit))


def _inputs(
    request: NomogramRequest, fit: xr.DataTree, other: xr.DataTree | None, cohort: Cohort
) -> dict[str, Any]:
    """What the files depend on: the coefficients, the patients and the options."""
    asked = asdict(replace(request, overwrite=False))
    return {
        "format": FORMAT,
        "fits": [fingerprint(one) for one in (fit, other) if one is not None],
        "data": {"file": cohort.source, "sha256": cohort.sha256},
        "options": {name: value for name, value in asked.items() if name not in _NOT_INPUTS},
    }


_NOT_INPUTS = ("run", "overwrite")


def _nomogram(
    request: NomogramRequest,
    fit: xr.DataTree,
    cohort: Cohort,
    patient: Profile | None,
    run: Mapping[str, Any],
) -> Nomogram:
    from bayes_cmvt.nomogram import nomogram_points

    found = nomogram_points(
        fit,
        cohort,
        patient=patient,
        axis_limits=request.axis_limits,  # type: ignore[arg-type]
        gather=request.gather,
        ci_prob=request.interval,
    )
    problems = doubts(run, found.model)
    if not problems:
        return found
    told = f"The draws of this run are not to be trusted: {'; '.join(problems)}."
    return replace(found, notice=" ".join(filter(None, (told, found.notice))))


def _tables(drawn: Nomogram) -> dict[str, pd.DataFrame]:
    tables = {
        "nomogram": drawn.axes,
        "nomogram_risk": drawn.risk,
        "nomogram_risk_ticks": drawn.risk_ticks,
        "nomogram_accuracy": drawn.accuracy,
        "nomogram_scores": drawn.scores,
    }
    if drawn.patient is not None:
        density = drawn.patient.density.copy()
        density.insert(0, "row", drawn.patient.points["row"].iloc[0])
        density.insert(0, "model", drawn.model)
        patient = (drawn.patient.points, drawn.patient.risk, density)
        tables |= dict(zip(PATIENT, patient, strict=True))
    return tables


def _figures(drawn: Nomogram, beside: Nomogram | None, say: Say) -> dict[str, bytes]:
    """Figures by path within the folder; a patient's are apart, for they are private."""
    from bayes_cmvt.figures.nomogram import plot_nomogram
    from bayes_cmvt.figures.nomogram_words import untold_labels
    from bayes_cmvt.figures.style import save_bytes

    untold = untold_labels(drawn)
    if untold:
        say(
            f"no installed font can draw {len(untold)} texts, such as {untold[0]!r}: the figure "
            "shows names of columns and English words in their place; install a font with these "
            "letters, such as Noto Sans CJK"
        )
    figures = {f"nomogram_{drawn.model}": plot_nomogram(replace(drawn, patient=None))}
    if drawn.patient is not None:
        called = drawn.patient.name.replace(" ", "")
        figures[f"nomogram_{drawn.model}_{called}_patient"] = plot_nomogram(drawn)
    if beside is not None:
        name = f"nomogram_{drawn.model}_beside_{beside.model}"
        if drawn.patient is not None:
            name += f"_{drawn.patient.name.replace(' ', '')}_patient"
        figures[name] = plot_nomogram(drawn, beside=beside)
    return {
        f"figures/{name}.{kind}": save_bytes(figure, kind)
        for name, figure in figures.items()
        for kind in FORMATS
    }


def _told(drawn: Nomogram, fit: xr.DataTree, patient: Profile | None) -> dict[str, Any]:
    """What the summary says besides the tables."""
    from bayes_cmvt.posterior import settings_of

    settings = settings_of(fit)
    return {
        "title": drawn.title,
        "outcome": drawn.outcome,
        "interval_kind": drawn.interval_kind,
        "notice": drawn.notice,
        "event_share_source": settings.get("event_share_source", ""),
        "without_error": settings.get("without_error", []),
        "patient": None if patient is None else patient.name,
    }
