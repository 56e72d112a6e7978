"""``bayes-cmvt baseline``: the study's frequentist workflow on a run's patients, bootstrapped."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_cmvt.baseline import SUBSAMPLES
from bayes_cmvt.errors import InputError, OptionError
from bayes_cmvt.intervals import tails
from bayes_cmvt.resampling import Keep
from bayes_cmvt.stages import JUDGED, LONG_RUN, Say, StageResult, finished_stage, learnt_cohort
from bayes_cmvt.workers import Workers, unfit_workers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from bayes_cmvt.cohort import Cohort
    from bayes_cmvt.evaluation import EvaluationSettings
    from bayes_cmvt.progress import Report
    from bayes_cmvt.runs import KeptBlocks

STAGE, MODEL = "baseline", "baseline"
WORTH_TIMING = 2_000_000  # patients times resamples
SPLIT_FROM = 4  # patients of the rarer outcome
KEPT = ".baseline.partial-blocks"
LASSO_CHOICE = "tables/lasso.json"
OWN = (
    "baseline_coefficients",
    "baseline_predictions",
    "lasso_path",
    "lasso_cv",
    "baseline_resamples",
    "selection_pairs",
    "model_frequencies",
    "baseline_calibration",
    "baseline_splits",
)

GOES_ON = (
    "interrupted; the run folder is as it was, {:,} finished resamples are kept in it: the same "
    "command goes on from there"
)

EVERY_CORE = Workers()


@dataclass(frozen=True)
class BaselineRequest:
    """What ``bayes-cmvt baseline`` was asked for; ``resamples`` None: as the study says."""

    run: Path
    settings: EvaluationSettings
    resamples: int | None = None
    subsamples: int = SUBSAMPLES
    folds: Path | None = None
    workers: Workers = EVERY_CORE
    overwrite: bool = False


def baseline_run(
    request: BaselineRequest, *, say: Say, report: Report | None = None
) -> StageResult:
    """Run the workflow on the patients of a run and add its files to the folder.

    Parameters
    ----------
    request : BaselineRequest
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
        The run, the folds or the options cannot be used; nothing was written.
    KeyboardInterrupt
        Finished resamples are kept: the same request goes on from there.
    """
    from bayes_cmvt import runs

    started = time.perf_counter()
    _check_request(request)
    run = runs.read_run(request.run)
    fit = runs.load_run(request.run)
    cohort = learnt_cohort(request.run, fit)
    folds = _folds(request, cohort)
    inputs = _inputs(request, fit, cohort)
    done = run.get("stages", {}).get(STAGE)
    same = done is not None and done["inputs"] == inputs and not request.overwrite
    if same and _can_be_read(request.run, say):
        assert done is not None
        return finished_stage(request.run, STAGE, done, run, (*JUDGED, *OWN), reused=True)
    kept = runs.KeptBlocks(request.run / KEPT, _hash(_resampled_from(inputs))[:16])
    if request.overwrite:
        kept.remove()
    if done is not None:
        say(f"replacing the baseline of {done['inputs']['resamples']:,} resamples")
    if _kept_resamples(kept):
        say(f"going on from {_kept_resamples(kept):,} resamples and subsamples finished before")
    _announce(request, cohort, say)
    try:
        baseline = _fitted(request, cohort, folds, kept, report)
        fitted = time.perf_counter()
        tables = _tables(request, baseline, cohort, report, say)
    except KeyboardInterrupt:
        if _kept_resamples(kept):
            raise KeyboardInterrupt(GOES_ON.format(_kept_resamples(kept))) from None
        raise
    seconds = {"fit": fitted - started, "tables": time.perf_counter() - fitted}
    record = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        **_told(baseline, cohort),
    }
    runs.add_stage(
        request.run,
        STAGE,
        record,
        tables,
        outdated=_outdated(request.run, tables, say),
        files=_files(baseline),
        renewed=(MODEL,),
    )
    kept.remove()
    return finished_stage(request.run, STAGE, record, run, (*JUDGED, *OWN))


def _can_be_read(folder: Path, say: Say) -> bool:
    """Whether the frequentist fit of a finished stage is there and whole."""
    from bayes_cmvt.errors import RunError
    from bayes_cmvt.runs import load_baseline

    try:
        load_baseline(folder)
    except RunError as error:
        say(f"{error.heading}: it is made anew")
        return False
    return True


def _folds(request: BaselineRequest, cohort: Cohort) -> NDArray[np.int64] | None:
    from bayes_cmvt.fold_file import read_folds

    return None if request.folds is None else read_folds(request.folds, cohort)


def _files(baseline: xr.DataTree) -> dict[str, bytes]:
    """What the stage adds besides tables, by path within the folder."""
    from bayes_cmvt.runs import BASELINE, tree_bytes

    files = {BASELINE: tree_bytes(baseline)}
    if "lasso" in baseline.children:
        files[LASSO_CHOICE] = _lasso_choice(baseline)
    return files


def _outdated(folder: Path, tables: Mapping[str, pd.DataFrame], say: Say) -> list[str]:
    """Tables that are not of this baseline: those of an earlier one, and their comparisons."""
    from bayes_cmvt.runs import load_table

    outdated = [name for name in OWN if name not in tables]
    if load_table(folder, "performance_difference") is None:
        return outdated
    say("figures of the old baseline on other patients go: `validate --data` makes them anew")
    return [*outdated, "performance_difference", "net_benefit_difference"]


def _check_request(request: BaselineRequest) -> None:
    from bayes_cmvt.baseline import check_counts
    from bayes_cmvt.evaluation import check_evaluation

    tails(request.settings.interval)
    problems: list[str] = []
    checks: tuple[Callable[[], None], ...] = (
        lambda: check_counts(request.resamples or 0, request.subsamples, request.settings.seed),
        lambda: check_evaluation(request.settings),
    )
    for one in checks:
        try:
            one()
        except InputError as error:
            problems += error.problems or (error.heading,)
    problems += unfit_workers(request.workers)
    if problems:
        msg = "the baseline cannot start"
        raise OptionError(msg, dict.fromkeys(problems))


def _inputs(request: BaselineRequest, fit: xr.DataTree, cohort: Cohort) -> dict[str, Any]:
    """What the files depend on: the study, the patients and the settings; not where it runs."""
    resamples = request.resamples
    return {
        "study": fit.attrs["study_sha256"],
        "baseline": cohort.study.baseline.model_dump(),
        "data": {"file": cohort.source, "sha256": cohort.sha256, "flow": fit.attrs["flow"]},
        "resamples": cohort.study.baseline.resamples if resamples is None else resamples,
        "subsamples": request.subsamples,
        "folds": None
        if request.folds is None
        else hashlib.sha256(request.folds.read_bytes()).hexdigest(),
        "settings": asdict(request.settings),
    }


def _resampled_from(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the inputs that single resamples depend on; they may become more."""
    seed = inputs["settings"]["seed"]
    rest = {name: inputs[name] for name in ("study", "baseline", "data", "folds")}
    return {**rest, "seed": seed, "version": _version()}


def _version() -> str:
    from importlib.metadata import version

    return version("bayes-cmvt")


def _announce(request: BaselineRequest, cohort: Cohort, say: Say) -> None:
    """Say how long the resamples will take where it is long, from one run of the workflow."""
    import numpy as np

    from bayes_cmvt.baseline import workflow_patients
    from bayes_cmvt.design import learn_design
    from bayes_cmvt.pipeline import run_pipeline

    settings = cohort.study.baseline
    resamples = settings.resamples if request.resamples is None else request.resamples
    if not resamples or cohort.n_development * resamples < WORTH_TIMING:
        return
    started = time.perf_counter()
    patients = workflow_patients(cohort, learn_design(cohort))
    run_pipeline(patients, settings, np.random.SeedSequence(request.settings.seed))
    each = time.perf_counter() - started
    cores = request.workers.cores or os.cpu_count() or 1
    seconds = each * (resamples + request.subsamples) / cores
    if seconds > LONG_RUN:
        say(
            f"expected time about {seconds / 60:.0f} min for {resamples:,} resamples of "
            f"{cohort.n_development:,} patients on {cores} cores; an interrupted run goes on from "
            "its finished resamples"
        )


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _kept_resamples(kept: KeptBlocks) -> int:
    """How many resamples are kept, of all schemes: files are named by the numbers in them."""
    names = [file.stem for file in kept.folder.glob(f"*-{kept.inputs}-*.npz")]
    ends = [name.rsplit("-", 2)[1:] for name in names]
    return sum(int(stop) - int(start) for start, stop in ends)


def _fitted(
    request: BaselineRequest,
    cohort: Cohort,
    folds: NDArray[np.int64] | None,
    kept: KeptBlocks,
    report: Report | None,
) -> xr.DataTree:
    from bayes_cmvt.baseline import SCHEMES, fit_baseline
    from bayes_cmvt.runs import KeptBlocks

    blocks = {scheme: KeptBlocks(kept.folder, f"{scheme}-{kept.inputs}") for scheme in SCHEMES}
    return fit_baseline(
        cohort,
        resamples=request.resamples,
        subsamples=request.subsamples,
        seed=request.settings.seed,
        folds=folds,
        workers=request.workers,
        keep={scheme: Keep(load=one.load, save=one.save) for scheme, one in blocks.items()},
        report=report,
    )


def _tables(
    request: BaselineRequest,
    baseline: xr.DataTree,
    cohort: Cohort,
    report: Report | None,
    say: Say,
) -> dict[str, pd.DataFrame]:
    """Every table of the stage."""
    import pandas as pd

    from bayes_cmvt import baseline_estimates as estimates
    from bayes_cmvt import baseline_performance, evaluation

    level = request.settings.interval
    tables = {
        "baseline_coefficients": estimates.baseline_coefficients(baseline, cohort, ci_prob=level),
        "baseline_predictions": estimates.baseline_predictions(baseline, cohort, ci_prob=level),
    }
    if "lasso" in baseline.children:
        tables["lasso_path"] = estimates.lasso_path_table(baseline)
        tables["lasso_cv"] = estimates.lasso_cv_table(baseline)
    found = evaluation.evaluate(
        {MODEL: baseline},
        cohort,
        settings=_possible(request.settings, cohort, say),
        cores=request.workers.cores,
        report=report,
    )
    tables |= {name: found.tables[name] for name in JUDGED if name in found.tables}
    if "splits" in found.tables:
        tables["baseline_splits"] = found.tables["splits"]
    if "bootstrap" in baseline.children:
        tables["baseline_resamples"] = estimates.resample_outcomes(baseline)
        tables["selection_pairs"] = estimates.selection_pairs(baseline)
        tables["model_frequencies"] = estimates.model_frequencies(baseline)
        tables["baseline_calibration"] = baseline_performance.corrected_calibration(
            baseline, cohort
        )
        corrected = baseline_performance.corrected_performance(baseline, cohort, ci_prob=level)
        tables["performance"] = pd.concat([tables["performance"], corrected], ignore_index=True)
    return tables


def _possible(settings: EvaluationSettings, cohort: Cohort, say: Say) -> EvaluationSettings:
    """The settings without random splits where patients are too few to be split."""
    rarer = min(cohort.events_development, cohort.n_development - cohort.events_development)
    if not settings.splits or rarer >= SPLIT_FROM:
        return settings
    say(f"no random splits: {rarer} patients of the rarer outcome are too few")
    return replace(settings, splits=0)


def _lasso_choice(baseline: xr.DataTree) -> bytes:
    from bayes_cmvt.baseline_estimates import lasso_choice

    return (json.dumps(lasso_choice(baseline), indent=2) + "\n").encode("utf-8")


def _told(baseline: xr.DataTree, cohort: Cohort) -> dict[str, Any]:
    """What the summary says besides the tables."""
    from bayes_cmvt.baseline_estimates import lasso_choice, separation

    separated: dict[str, dict[str, Any]] = {}
    for step, guarded in (("selected_lasso", "refit_firth"), ("selected_final", "final_firth")):
        firth = bool(baseline["estimate"][guarded].item())
        separated[step] = {"kind": "none", "terms": [], "firth": firth}
        if firth:
            found = separation(baseline, cohort, step)
            separated[step] |= {"kind": found.kind, "terms": list(found.terms)}
    return {
        "penalties": lasso_choice(baseline) if "lasso" in baseline.children else {},
        "study": {"name": cohort.study.name, "title": cohort.title},
        "development": {
            "patients": cohort.n_development,
            "events": cohort.events_development,
            "columns": len(cohort.study.terms),
        },
        "folds_used": int(baseline["estimate"]["folds"].to_numpy()[0, 0]),
        "lambda": float(baseline["estimate"]["lambda"].to_numpy()[0, 0])
        if "lasso" in baseline.children
        else None,
        "separation": separated,
    }
