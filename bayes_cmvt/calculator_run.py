"""``bayes-cmvt calculator``: a model of a run as one HTML file, and as JSON for other programs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_cmvt.intervals import tails
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
    import xarray as xr

    from bayes_cmvt.report.calculator import CalculatorPage
    from bayes_cmvt.report.model_file import DeployedModel

DEFAULT_MODEL = "horseshoe"
FORMAT = 1  # of the page and the files: another one is made anew


@dataclass(frozen=True)
class CalculatorRequest:
    """What ``bayes-cmvt calculator`` was asked for."""

    run: Path
    model: str = DEFAULT_MODEL
    event_share: float | None = None
    interval: float = 0.95
    overwrite: bool = False


def calculator_run(request: CalculatorRequest, *, say: Say) -> StageResult:
    """Write the calculator of a model, its JSON and the programs that read it to the folder.

    Parameters
    ----------
    request : CalculatorRequest
    say : callable
        Takes one line of news for the user.

    Returns
    -------
    StageResult
        Without tables; ``record["files"]`` names what was written.

    Raises
    ------
    InputError
        The run, the model or the options cannot be used; nothing was written.
    """
    from bayes_cmvt import runs
    from bayes_cmvt.report.calculator import calculator_page
    from bayes_cmvt.report.model_file import companion_files, deployed_model, model_json

    started = time.perf_counter()
    tails(request.interval)
    check_model(request.model)
    run = runs.read_run(request.run)
    posterior = runs.load_run(request.run)
    cohort = learnt_cohort(request.run, posterior)
    share = request.event_share
    fit = fit_of_model(request.run, request.model, posterior, cohort, event_share=share)
    stage = f"calculator-{request.model}"
    inputs = _inputs(request, fit, run)
    done = None if request.overwrite else unchanged(request.run, run, stage, inputs, say)
    if done is not None:
        return _finished(request, done, run, reused=True)
    model = deployed_model(
        fit,
        cohort,
        model=request.model,
        ci_prob=request.interval,
        problems=doubts(run, request.model),
    )
    page = calculator_page(model)
    for note in page.notes:
        say(note)
    name = "" if request.model == DEFAULT_MODEL else f"_{request.model}"
    texts = {
        f"calculator{name}.html": page.html,
        f"model/{request.model}.json": model_json(model),
        **{f"model/{file}": text for file, text in companion_files().items()},
    }
    files = {path: text.encode("utf-8") for path, text in texts.items()}
    record = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
        **_told(request, model, page),
        "files": {path: len(content) for path, content in files.items()},
    }
    runs.add_stage(request.run, stage, record, {}, files=files)
    return _finished(request, record, run)


def _finished(
    request: CalculatorRequest,
    record: Mapping[str, Any],
    run: Mapping[str, Any],
    *,
    reused: bool = False,
) -> StageResult:
    stage = f"calculator-{request.model}"
    result = finished_stage(request.run, stage, record, run, (), reused=reused)
    return replace(result, problems=doubts(run, request.model))


def _inputs(request: CalculatorRequest, fit: xr.DataTree, run: Mapping[str, Any]) -> dict[str, Any]:
    """What the files depend on: the coefficients, the options, and what makes the page."""
    return {
        "format": FORMAT,
        "package": version("bayes-cmvt"),
        "fit": fingerprint(fit),
        "problems": list(doubts(run, request.model)),
        "interval": request.interval,
    }


def _told(request: CalculatorRequest, model: DeployedModel, page: CalculatorPage) -> dict[str, Any]:
    return {
        "model": request.model,
        "title": model.title,
        "interval": request.interval,
        "predictors": len(model.predictors),
        "draws": page.draws,
        "draws_of_model": page.draws_of_model,
        "notice": model.notice,
    }
