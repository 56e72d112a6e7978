"""``bayes-cmvt compare``: the credible intervals of a run beside those of its bootstrap."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bayes_cmvt.errors import OptionError, RunError
from bayes_cmvt.intervals import tails
from bayes_cmvt.stages import (
    Make,
    Say,
    StageResult,
    StageSettings,
    fingerprint,
    finished_stage,
    learnt_cohort,
    make_missing,
    settings_like,
    unchanged,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayes_cmvt.cohort import Cohort
    from bayes_cmvt.evaluation import EvaluationSettings
    from bayes_cmvt.progress import Report
    from bayes_cmvt.refits import RefitMemory

STAGE = "compare"
FORMAT = 1  # of the stage's record and tables: another one is made anew
QUICK_RESAMPLES = 200  # fewer leave the limits of an interval to chance
CREDIBLE, BOOTSTRAP = "horseshoe", "baseline"
TABLES = (
    *("compare_coefficients", "compare_risks", "compare_risk_marks", "compare_classes"),
    *("compare_performance", "compare_agreement"),
    *("instability_patients", "instability", "instability_calibration"),
)


@dataclass(frozen=True)
class CompareRequest:
    """What ``bayes-cmvt compare`` was asked for; ``interval`` None: that of the run."""

    run: Path
    interval: float | None = None
    cores: int | None = None
    overwrite: bool = False


def compare_run(request: CompareRequest, *, say: Say, report: Report | None = None) -> StageResult:
    """Compare the posterior of a run with its bootstrapped baseline, and add the tables.

    Baseline and validation are run first where they are not there.

    Parameters
    ----------
    request : CompareRequest
    say : callable
        Takes one line of news for the user.
    report : callable, optional
        Takes a `SamplingState` a few times a second.

    Returns
    -------
    StageResult

    Raises
    ------
    InputError
        The run or the options cannot be used; a stage that is needed cannot be run.
    """
    from bayes_cmvt import runs

    started = time.perf_counter()
    settings = settings_like(runs.read_run(request.run), interval=request.interval)
    tails(settings.interval)
    _make_needed(request, settings, say, report)
    run = runs.read_run(request.run)
    _check_intervals(request.run, run, settings.interval)
    fit, baseline = runs.load_run(request.run), runs.load_baseline(request.run)
    cohort = learnt_cohort(request.run, fit)
    inputs = _inputs(request.run, fit, baseline, cohort, settings.interval)
    done = None if request.overwrite else unchanged(request.run, run, STAGE, inputs, say)
    if done is not None:
        return finished_stage(request.run, STAGE, done, run, TABLES, reused=True)
    tables = _tables(request.run, fit, baseline, cohort, settings)
    record = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
        "study": {"name": cohort.study.name, "title": cohort.title},
        "files": [f"tables/{name}.csv" for name in tables],
    }
    runs.add_stage(request.run, STAGE, record, tables)
    return finished_stage(request.run, STAGE, record, run, TABLES)


def needed_stages(
    say: Say, report: Report | None = None, memory: RefitMemory | None = None
) -> dict[str, Make]:
    """What a comparison is made from, and how each stage is run.

    Parameters
    ----------
    say : callable
    report : callable, optional
    memory : RefitMemory, optional
        Of refits, where a selection follows that leaves out the same folds.

    Returns
    -------
    dict of str to callable
        ``baseline, validate``, in order.
    """
    from bayes_cmvt.baseline_run import BaselineRequest, baseline_run
    from bayes_cmvt.validation import ValidateRequest, validate_run
    from bayes_cmvt.workers import Workers

    def baseline(folder: Path, settings: StageSettings) -> StageResult:
        request = BaselineRequest(
            folder,
            _evaluation(settings),
            QUICK_RESAMPLES
            if settings.quick and settings.resamples is None
            else settings.resamples,
            workers=Workers("threads", settings.cores),
        )
        return baseline_run(request, say=say, report=report)

    def validate(folder: Path, settings: StageSettings) -> StageResult:
        request = ValidateRequest(folder, _evaluation(settings), cores=settings.cores)
        return validate_run(request, say=say, report=report, memory=memory)

    return {"baseline": baseline, "validate": validate}


def _evaluation(settings: StageSettings) -> EvaluationSettings:
    from bayes_cmvt.evaluation import EvaluationSettings

    usual = EvaluationSettings(interval=settings.interval, seed=settings.seed)
    return replace(usual, repeats=1, splits=0, replicates=1000) if settings.quick else usual


def _make_needed(
    request: CompareRequest, settings: StageSettings, say: Say, report: Report | None
) -> None:
    given = replace(settings, cores=request.cores)
    impossible = make_missing(request.run, needed_stages(say, report), given, say=say)
    if impossible:
        msg = f"{request.run} cannot be compared: what is needed first cannot be made"
        error = RunError(msg, [f"{stage}: {why}" for stage, why in impossible.items()])
        error.aftermath = "What was made before that stays."
        raise error


def _check_intervals(folder: Path, run: Mapping[str, Any], interval: float) -> None:
    """Refuse to put limits of different probabilities side by side."""
    problems = []
    for stage in ("baseline", "validate"):
        found = run["stages"][stage]["inputs"]["settings"]["interval"]
        if found != interval:
            problems.append(
                f"{stage} has intervals of {found:g}, the comparison asks for {interval:g}: give "
                f"--interval {found:g}, or `bayes-cmvt {stage} {folder} --interval {interval:g}` "
                "first"
            )
    if problems:
        msg = "the comparison needs one probability for all intervals"
        raise OptionError(msg, problems)


def _inputs(
    folder: Path, fit: xr.DataTree, baseline: xr.DataTree, cohort: Cohort, interval: float
) -> dict[str, Any]:
    """What the tables depend on: both fits, the patients, the performance figures."""
    performance = folder / "tables" / "performance.csv"
    return {
        "format": FORMAT,
        "fits": [fingerprint(fit), fingerprint(baseline)],
        "data": {"file": cohort.source, "sha256": cohort.sha256},
        "performance": _own_rows_hash(performance),
        "interval": interval,
    }


def _own_rows_hash(performance: Path) -> str:
    """Hash of the rows of both models; those of others may come and go."""
    try:
        lines = performance.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    own = sorted(line for line in lines if line.startswith((CREDIBLE, BOOTSTRAP)))
    return hashlib.sha256("\n".join(own).encode("utf-8")).hexdigest()


def _tables(
    folder: Path,
    fit: xr.DataTree,
    baseline: xr.DataTree,
    cohort: Cohort,
    settings: StageSettings,
) -> Mapping[str, pd.DataFrame]:
    from bayes_cmvt.comparison import compare
    from bayes_cmvt.evaluation import EvaluationSettings
    from bayes_cmvt.runs import load_table

    performance = load_table(folder, "performance")
    if performance is None:
        msg = (
            f"{folder} holds no tables/performance.csv; make it anew with `bayes-cmvt validate "
            f"{folder} --overwrite` and `bayes-cmvt baseline {folder} --overwrite`"
        )
        raise RunError(msg)
    found = compare(
        {CREDIBLE: fit, BOOTSTRAP: baseline},
        cohort,
        performance=performance[performance["set"].isin(set(cohort.sets))],
        settings=EvaluationSettings(interval=settings.interval),
    )
    return MappingProxyType(found.tables)
