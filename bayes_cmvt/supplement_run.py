"""Tables that supplementary figures and the report need of a posterior, as a stage of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bayes_cmvt.stages import (
    Say,
    StageResult,
    fingerprint,
    finished_stage,
    learnt_cohort,
    unchanged,
)

STAGE = "supplement"
FORMAT = 1  # of the stage's record and tables: another one is made anew


def supplement_run(
    folder: Path, *, say: Say, interval: float = 0.95, overwrite: bool = False
) -> StageResult:
    """Add what figures show of a posterior besides its coefficients, risks and performance.

    Shrinkage before and after the data, checks of the chains, predictive checks, the calibration
    that the posterior expects, and how far a stronger or weaker prior would move it.

    Parameters
    ----------
    folder : Path
        Run folder.
    say : callable
        Takes one line of news for the user.
    interval : float in (0, 1)
    overwrite : bool

    Returns
    -------
    StageResult

    Raises
    ------
    InputError
        The run cannot be used; nothing was written.
    """
    from bayes_cmvt import runs
    from bayes_cmvt.supplement import POSTERIOR, TABLES, supplement_tables

    started = time.perf_counter()
    run = runs.read_run(folder)
    fit = runs.load_run(folder)
    cohort = learnt_cohort(folder, fit)
    inputs = {
        "format": FORMAT,
        "fit": fingerprint(fit),
        "data": {"file": cohort.source, "sha256": cohort.sha256},
        "interval": interval,
    }
    done = None if overwrite else unchanged(folder, run, STAGE, inputs, say)
    if done is not None:
        return finished_stage(folder, STAGE, done, run, TABLES, reused=True)
    tables = supplement_tables(fit, cohort, ci_prob=interval, loo=runs.load_table(folder, "loo"))
    record: Mapping[str, Any] = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
        "files": [f"tables/{name}.csv" for name in tables],
    }
    outdated = [name for name in TABLES if name not in tables]
    runs.add_stage(folder, STAGE, record, tables, outdated=outdated, renewed=(POSTERIOR,))
    return finished_stage(folder, STAGE, record, run, TABLES)
