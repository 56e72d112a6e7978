"""One function per command: the stages in order, from what was typed to what is printed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.cohort import Cohort, flow_table, load_cohort, load_new_patients
from bayes_cmvt.design import Design, extreme_leverage, learn_design, one_sided_levels
from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import tails
from bayes_cmvt.stages import LONG_RUN, Say, check_folder, versions
from bayes_cmvt.study import Study, load_study, protocol, shipped_studies
from bayes_cmvt.synthetic import MARK, is_synthetic
from bayes_cmvt.table_one import table_one

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from bayes_cmvt.agreement import Agreement
    from bayes_cmvt.crossvalidation import LeaveOneOut
    from bayes_cmvt.diagnostics import Verdict
    from bayes_cmvt.progress import Report
    from bayes_cmvt.sampling import SamplerSettings

SHORTER = {
    "gibbs": "--warmup 300 --draws 1000",
    "nuts": "--engine gibbs, or --warmup 500 --draws 1000 --target-accept 0.9",
}
ENGINES_WITHIN = 5.0  # Monte Carlo errors: what differs by more is no chance


@dataclass(frozen=True)
class SampleRequest:
    """What ``bayes-cmvt sample`` was asked for; ``out`` None stands for ``runs/STUDY``."""

    study: str
    settings: SamplerSettings
    data: Path | None = None
    out: Path | None = None
    missing: Literal["error", "drop"] | None = None
    interval: float = 0.95
    cores: int | None = None
    overwrite: bool = False
    check_engines: bool = False


@dataclass(frozen=True, eq=False)
class SampleResult:
    """Everything that ``bayes-cmvt sample`` computed."""

    cohort: Cohort
    fit: xr.DataTree
    verdict: Verdict
    loo: LeaveOneOut
    tables: Mapping[str, pd.DataFrame]
    leverage: pd.DataFrame
    one_sided: pd.DataFrame
    degrees_of_freedom: NDArray[np.float64]
    interval: float
    folder: Path
    agreement: Agreement | None = None


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What ``bayes-cmvt check`` found in data that can be analysed."""

    cohort: Cohort
    flow: pd.DataFrame
    table_one: pd.DataFrame
    leverage: pd.DataFrame
    one_sided: pd.DataFrame


def checked_cohort(
    study: str, data: Path | None, missing: Literal["error", "drop"] | None
) -> tuple[Cohort, Design]:
    """Load study and data and learn the design: every refusal of the input happens here."""
    loaded = load_study(study)
    if missing is not None:
        loaded = loaded.with_missing(missing)
    cohort = load_cohort(loaded, data)
    return cohort, learn_design(cohort)


def check(
    study: str, data: Path | None = None, missing: Literal["error", "drop"] | None = None
) -> CheckResult:
    """Validate study and data, without sampling."""
    cohort, design = checked_cohort(study, data, missing)
    return CheckResult(
        cohort=cohort,
        flow=flow_table(cohort),
        table_one=table_one(cohort),
        leverage=extreme_leverage(cohort, design),
        one_sided=one_sided_levels(cohort),
    )


def sample_study(request: SampleRequest, *, say: Say, report: Report | None = None) -> SampleResult:
    """Sample a study's posterior, compute its tables and write the run folder.

    Parameters
    ----------
    request : SampleRequest
    say : callable
        Takes one line of news for the user.
    report : callable, optional
        Takes a `SamplingState` a few times a second.

    Returns
    -------
    SampleResult

    Raises
    ------
    InputError
        Study, data, options or destination cannot be used; nothing was written.
    SamplingError
        The sampler failed.
    """
    started = time.perf_counter()
    cohort, design = checked_cohort(request.study, request.data, request.missing)
    folder = request.out or Path("runs") / cohort.study.name
    _check_request(request, folder, say)

    from bayes_cmvt import runs, sampling

    _announce(cohort, request, say)
    read = time.perf_counter()
    settings = asdict(request.settings)
    # the chains leave Python's lock alone: what the tables need is imported in the meantime
    Thread(target=_import_table_libraries, daemon=True).start()
    fit = sampling.sample(cohort, **settings, cores=request.cores, report=report)
    sampled = time.perf_counter()
    result = _results(cohort, design, fit, request.interval, folder)
    tabled = time.perf_counter()
    seconds = {"read": read - started, "sample": sampled - read, "tables": tabled - sampled}
    if request.check_engines:
        result = _with_other_engine(result, request, say, report)
        seconds["engines"] = time.perf_counter() - tabled
    run = _run_record(result, {name: round(value, 3) for name, value in seconds.items()})
    runs.write_run(
        folder,
        lambda partial: runs.write_files(
            partial,
            run=run,
            study=cohort.study.to_toml(),
            fit=fit,
            cohort=_analysed_rows(cohort),
            tables=result.tables,
        ),
        overwrite=request.overwrite,
    )
    return result


def _import_table_libraries() -> None:
    for name in ("arviz_base", "arviz_stats", "h5netcdf"):
        import_module(name)


def _check_request(request: SampleRequest, folder: Path, say: Say) -> None:
    from bayes_cmvt.sampling import check_settings

    check_settings(request.settings)
    tails(request.interval)
    if request.cores is not None and request.cores < 1:
        msg = f"--cores: found {request.cores}; allowed: 1 or more"
        raise OptionError(msg)
    check_folder(folder, say, overwrite=request.overwrite)


def _announce(cohort: Cohort, request: SampleRequest, say: Say) -> None:
    from bayes_cmvt.sampling import expected_seconds

    cores = request.cores or os.cpu_count() or 1
    columns = len(cohort.study.terms)
    settings = request.settings
    seconds = expected_seconds(
        cohort.n_development, columns, settings, cores, events=cohort.events_development
    )
    if seconds > LONG_RUN:
        say(
            f"expected time about {_duration(seconds)} ({cohort.n_development:,} patients, "
            f"{columns} columns, {settings.chains} chains x "
            f"{settings.warmup + settings.first_draws} draws on {cores} cores); shorter with "
            + SHORTER[settings.engine]
        )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _results(
    cohort: Cohort, design: Design, fit: xr.DataTree, ci_prob: float, folder: Path
) -> SampleResult:
    from bayes_cmvt import crossvalidation, diagnostics, estimates, prediction

    with ThreadPoolExecutor(1) as beside:
        # quantiles of large arrays leave Python's lock alone; all else would fight over it
        predicting = beside.submit(prediction.predictions, fit, cohort, ci_prob=ci_prob)
        diagnosed = diagnostics.diagnostics(fit, ci_prob)
        predictions = predicting.result()
    loo = crossvalidation.leave_one_out(fit)
    leverage = extreme_leverage(cohort, design)
    tables = {
        "coefficients": estimates.coefficients(fit, ci_prob=ci_prob, diagnosed=diagnosed),
        "predictions": predictions,
        "prior": estimates.prior_odds_ratios(fit, ci_prob=ci_prob),
        "diagnostics": diagnosed,
        "loo": loo.patients,
        "table_one": table_one(cohort),
        "flow": flow_table(cohort),
        "leverage": leverage,
    }
    return SampleResult(
        cohort=cohort,
        fit=fit,
        verdict=diagnostics.verdict(fit, diagnosed),
        loo=loo,
        tables=tables,
        leverage=leverage,
        one_sided=one_sided_levels(cohort),
        degrees_of_freedom=estimates.effective_degrees_of_freedom(fit, cohort),
        interval=ci_prob,
        folder=folder,
    )


def _with_other_engine(
    result: SampleResult, request: SampleRequest, say: Say, report: Report | None
) -> SampleResult:
    """Sample again with the other engine, and compare the two in Monte Carlo errors."""
    from bayes_cmvt import agreement, sampling

    settings = request.settings
    other: sampling.Engine = "nuts" if settings.engine == "gibbs" else "gibbs"
    say(f"sampling the same posterior again with {other}")
    again = sampling.sample(
        result.cohort,
        engine=other,
        chains=settings.chains,
        warmup=settings.warmup,
        target_accept=settings.target_accept,
        seed=settings.seed + 1,
        cores=request.cores,
        report=report,
    )
    table = agreement.engine_agreement(
        result.fit, again, cohort=result.cohort, ci_prob=request.interval
    )
    compared = agreement.agreement(table, within=ENGINES_WITHIN)
    return replace(
        result,
        verdict=_judged(result.verdict, compared),
        agreement=compared,
        tables={**result.tables, "engines": table},
    )


def _judged(verdict: Verdict, compared: Agreement) -> Verdict:
    """Trust no draws of engines that disagree."""
    if compared.agrees:
        return verdict
    problem = (
        f"the engines disagree: {len(compared.beyond)} of {compared.comparisons} statistics differ "
        f"by more than {ENGINES_WITHIN:g} Monte Carlo errors, the most by {compared.largest:.1f}, "
        f"{len(compared.uncompared)} could not be compared (tables/engines.csv); try another "
        "--seed and more --draws, and report what stays"
    )
    return replace(verdict, trusted=False, problems=(*verdict.problems, problem))


def _analysed_rows(cohort: Cohort) -> pd.DataFrame:
    rows = cohort.predictors.copy()
    rows.insert(0, "(outcome)", cohort.outcome)
    rows.insert(0, "(set)", cohort.sets)
    return rows


def _run_record(result: SampleResult, seconds: Mapping[str, float]) -> dict[str, Any]:
    from bayes_cmvt.posterior import settings_of

    cohort, verdict = result.cohort, result.verdict
    settings = settings_of(result.fit)
    return {
        "command": "sample",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "seed": settings["seed"],
        "engine": settings["engine"],
        "settings": {**settings, "interval": result.interval},
        "study": {"name": cohort.study.name, "sha256": cohort.study.sha256},
        "data": {"file": cohort.source, "sha256": cohort.sha256},
        "patients": len(cohort.outcome),
        "events": int(cohort.outcome.sum()),
        "flow": dict(cohort.flow),
        "notes": list(cohort.notes),
        "seconds": dict(seconds),
        "diagnostics": finite(asdict(verdict)),
    }


def finite(record: dict[str, Any]) -> dict[str, Any]:
    """Replace nan and infinities by None, which JSON can say."""
    return {
        key: None if isinstance(value, float) and not abs(value) < float("inf") else value
        for key, value in record.items()
    }


@dataclass(frozen=True, eq=False)
class PredictResult:
    """Risks of new patients, and what is to be said of them.

    Attributes
    ----------
    risks : DataFrame
        From `bayes_cmvt.predict`.
    problems : tuple of str
        Why the draws of the run are not to be trusted; empty where they are.
    notes : tuple of str
        What was recognised or repaired while the rows were read.
    left_out : int
        Rows without a risk: a predictor is missing, and the study drops such rows.
    """

    risks: pd.DataFrame
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    left_out: int = 0


def predict_patients(folder: Path, data: Path, interval: float) -> PredictResult:
    """Compute the risks of the rows of a new file from a run folder alone."""
    from bayes_cmvt.posterior import design_of
    from bayes_cmvt.prediction import predict
    from bayes_cmvt.runs import MARKED, load_run, read_run

    tails(interval)
    verdict = read_run(folder)["diagnostics"]
    fit = load_run(folder)
    patients = load_new_patients(design_of(fit).study, data)
    risks = predict(fit, patients, ci_prob=interval)
    if is_synthetic(fit.attrs["data_source"], data.name):
        risks = risks.assign(**{MARKED: MARK})
    return PredictResult(
        risks=risks,
        problems=tuple(verdict["problems"]),
        notes=patients.notes,
        left_out=patients.left_out,
    )


def write_risks(result: PredictResult, output: Path, *, overwrite: bool) -> None:
    """Write the risks of new patients as one CSV file."""
    from bayes_cmvt.runs import write_text

    write_text(output, result.risks.to_csv(index=False), overwrite=overwrite)


def draft(data: Path, outcome: str, event: str | None, out: Path | None, *, overwrite: bool) -> str:
    """Draft a study file from a data file; write it where ``out`` says, and return its text."""
    from bayes_cmvt.drafting import draft_study
    from bayes_cmvt.readers import read_table
    from bayes_cmvt.runs import write_text

    beside = out is None or out.resolve().parent == data.resolve().parent
    name = None if out is None else out.stem.lower()
    text = draft_study(
        read_table(data),
        outcome=outcome,
        event=event,
        name=name,
        file=data.name if beside else None,
    )
    if out is not None:
        write_text(out, text, overwrite=overwrite)
    return text


def list_studies(name: str | None) -> str:
    """One line for each shipped study, or the protocol of one."""
    if name is not None:
        return protocol(load_study(name))
    studies: list[Study] = [load_study(one) for one in shipped_studies()]
    width = max(len(study.name) for study in studies)
    return "\n".join(
        f"{study.name:<{width}}  {study.heading.title}  ({len(study.predictors)} candidates; "
        + f"{_embedded(study)})"
        for study in studies
    )


def _embedded(study: Study) -> str:
    if study.heading.data is None:
        return "no public patient data"
    if is_synthetic(study.heading.data):
        return f"a {MARK} cohort embedded that agrees with the printed results; no patient data"
    return "patient data embedded"


__all__ = [
    "CheckResult",
    "PredictResult",
    "SampleRequest",
    "SampleResult",
    "check",
    "draft",
    "finite",
    "list_studies",
    "predict_patients",
    "sample_study",
    "write_risks",
]
