"""``bayes-cmvt sensitivity``: a run's study sampled again under other priors."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_cmvt.stages import (
    Say,
    StageResult,
    fingerprint,
    finished_stage,
    learnt_cohort,
    settings_like,
    unchanged,
)

if TYPE_CHECKING:
    from bayes_cmvt.progress import Report

STAGE = "sensitivity"
FORMAT = 1  # of the stage's record and tables: another one is made anew
TABLES = ("sensitivity_priors", "sensitivity_fits", "sensitivity_power")


@dataclass(frozen=True)
class SensitivityRequest:
    """What ``bayes-cmvt sensitivity`` was asked for; ``interval`` None: that of the run."""

    run: Path
    interval: float | None = None
    cores: int | None = None
    overwrite: bool = False


def sensitivity_run(
    request: SensitivityRequest, *, say: Say, report: Report | None = None
) -> StageResult:
    """Sample a run's study again under other priors and add the tables to its folder.

    Beside the refits stands power-scaling, which needs none (Kallioinen et al. 2024,
    doi:10.1007/s11222-023-10366-5).

    Parameters
    ----------
    request : SensitivityRequest
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
        The run or the options cannot be used; nothing was written.
    """
    from bayes_cmvt import prior_sensitivity, runs

    started = time.perf_counter()
    run = runs.read_run(request.run)
    settings = settings_like(run, interval=request.interval)
    fit = runs.load_run(request.run)
    cohort = learnt_cohort(request.run, fit)
    inputs = {
        "format": FORMAT,
        "fit": fingerprint(fit),
        "data": {"file": cohort.source, "sha256": cohort.sha256},
        "interval": settings.interval,
    }
    done = None if request.overwrite else unchanged(request.run, run, STAGE, inputs, say)
    if done is not None:
        return finished_stage(request.run, STAGE, done, run, TABLES, reused=True)
    found = prior_sensitivity.prior_alternatives(
        cohort,
        fit,
        ci_prob=settings.interval,
        cores=request.cores,
        report=report,
    )
    tables = {
        "sensitivity_priors": found.priors,
        "sensitivity_fits": found.fits,
        "sensitivity_power": prior_sensitivity.power_scaling(fit),
    }
    record = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
        "study": {"name": cohort.study.name, "title": cohort.title},
        "files": [f"tables/{name}.csv" for name in tables],
    }
    runs.add_stage(request.run, STAGE, record, tables)
    return finished_stage(request.run, STAGE, record, run, TABLES)
