"""``bayes-cmvt validate``: how good the risks of a run are, on its own patients or on others."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.cohort import Cohort, load_cohort
from bayes_cmvt.errors import OptionError
from bayes_cmvt.stages import LONG_RUN, Say, StageResult, finished_stage, run_cohort
from bayes_cmvt.synthetic import titled

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayes_cmvt.evaluation import Evaluation, EvaluationSettings
    from bayes_cmvt.progress import Report
    from bayes_cmvt.refits import RefitMemory
    from bayes_cmvt.updating import Updates

MODEL = "horseshoe"
INTERNAL, EXTERNAL = "validate", "validate --data"
ACQUAINTED = 0.05  # share of new patients who are like old ones to the last digit
TABLES = (
    "performance",
    "net_benefit",
    "calibration",
    "roc",
    "risk_groups",
    "calibration_tests",
    "splits",
    "updating",
    "performance_difference",
    "net_benefit_difference",
)


@dataclass(frozen=True)
class Updating:
    """Whether other patients update the model, and whether by the slow power prior too."""

    wanted: bool = True
    power_prior: bool = True


@dataclass(frozen=True)
class ValidateRequest:
    """What ``bayes-cmvt validate`` was asked for; without ``data`` the run's own patients."""

    run: Path
    settings: EvaluationSettings
    data: Path | None = None
    missing: Literal["error", "drop"] | None = None
    update: Updating = Updating()
    cores: int | None = None
    overwrite: bool = False


def validate_run(
    request: ValidateRequest,
    *,
    say: Say,
    report: Report | None = None,
    memory: RefitMemory | None = None,
) -> StageResult:
    """Judge the risks of a run and add the tables to its folder.

    Parameters
    ----------
    request : ValidateRequest
    say : callable
        Takes one line of news for the user.
    report : callable, optional
        Takes a `SamplingState` a few times a second.
    memory : RefitMemory, optional
        Of refits, where a selection follows that leaves out the same folds.

    Returns
    -------
    StageResult

    Raises
    ------
    InputError
        The run, the data or the options cannot be used; nothing was written.
    """
    from bayes_cmvt import runs

    started = time.perf_counter()
    _check_request(request)
    run = runs.read_run(request.run)
    fit = runs.load_run(request.run)
    cohort = _cohort(request, fit)
    if request.data is not None:
        _tell_of_reading(cohort, say)
        _tell_of_old_acquaintances(request, fit, cohort, say)
    stage = EXTERNAL if request.data else INTERNAL
    inputs = _inputs(request, cohort)
    done = run.get("stages", {}).get(stage)
    if done is not None and done["inputs"] == inputs and not request.overwrite:
        return finished_stage(request.run, stage, done, run, TABLES, reused=True)
    if done is not None and done["inputs"]["data"] != inputs["data"]:
        say(f"the rows of {done['inputs']['data']['file']} in the tables will be replaced")
    _announce(request, fit, cohort, say)
    tables, told = _judged(request, fit, cohort, report, memory)
    record = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
        **told,
    }
    outdated = [name for name in _made_by(stage) if name not in tables]
    runs.add_stage(request.run, stage, record, tables, outdated=outdated, source=cohort.source)
    return finished_stage(request.run, stage, record, run, TABLES)


def _judged(
    request: ValidateRequest,
    fit: xr.DataTree,
    cohort: Cohort,
    report: Report | None,
    memory: RefitMemory | None = None,
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Every table of the stage, and what is to be told besides them."""
    from bayes_cmvt import evaluation

    found = evaluation.evaluate(
        _models(request, fit),
        cohort,
        external=request.data is not None,
        settings=request.settings,
        cores=request.cores,
        report=report,
        memory=memory,
    )
    tables = dict(found.tables)
    if request.data and request.update.wanted:
        tables["updating"] = _updates(request, fit, cohort, report)
    for one in found.judged:
        if one.left_out is not None:
            tables["loo"] = one.left_out.patients
    return tables, _told(titled(cohort.title, fit.attrs["data_source"]), cohort, found)


def _models(request: ValidateRequest, fit: xr.DataTree) -> dict[str, xr.DataTree]:
    """The posterior; on other patients also the run's baseline and submodel, where there are such.

    On the run's own patients ``bayes-cmvt baseline`` and ``select`` have judged them already.
    """
    from bayes_cmvt.runs import BASELINE, SELECTION, load_baseline, load_selection

    models = {MODEL: fit}
    if request.data is not None and (request.run / BASELINE).is_file():
        models["baseline"] = load_baseline(request.run)
    if request.data is not None and (request.run / SELECTION).is_file():
        models["projection"] = load_selection(request.run)
    return models


def _made_by(stage: str) -> tuple[str, ...]:
    """Tables that a stage alone makes: they go where it does not make them again."""
    if stage == INTERNAL:
        return ("splits",)
    return ("updating", "performance_difference", "net_benefit_difference")


def _check_request(request: ValidateRequest) -> None:
    from bayes_cmvt.evaluation import check_evaluation

    check_evaluation(request.settings)
    if request.cores is not None and request.cores < 1:
        msg = f"--cores: found {request.cores}; allowed: 1 or more"
        raise OptionError(msg)


def _cohort(request: ValidateRequest, fit: xr.DataTree) -> Cohort:
    """The patients to judge by: of the run, or of another file by the rules of the run's study."""
    from bayes_cmvt.posterior import design_of

    if request.data is None:
        return run_cohort(request.run, fit)
    study = design_of(fit).study.without_split()
    if request.missing is not None:
        study = study.with_missing(request.missing)
    cohort = load_cohort(study, request.data)
    if cohort.sha256 == fit.attrs["data_sha256"]:
        msg = (
            f"{cohort.source} is the very file that {request.run} was made from; leave --data out "
            "to judge the model on its own patients"
        )
        raise OptionError(msg)
    return cohort


def _inputs(request: ValidateRequest, cohort: Cohort) -> dict[str, Any]:
    """What the tables depend on: the draws, the patients and the settings."""
    from bayes_cmvt.runs import BASELINE, POSTERIOR, SELECTION

    judged = (POSTERIOR,) if request.data is None else (POSTERIOR, BASELINE, SELECTION)
    return {
        **{
            Path(name).stem: hashlib.sha256((request.run / name).read_bytes()).hexdigest()
            for name in judged
            if (request.run / name).is_file()
        },
        "data": {"file": cohort.source, "sha256": cohort.sha256},
        "missing": cohort.study.rules.missing,
        "update": request.data is not None and request.update.wanted,
        "power_prior": request.data is not None and request.update == Updating(),
        "settings": asdict(request.settings),
    }


def _told(title: str, cohort: Cohort, found: Evaluation) -> dict[str, Any]:
    """What the summary says besides the tables."""
    told: dict[str, Any] = {
        "sets": {
            one.deployed.risks.set: {
                "patients": len(one.deployed.risks.outcome),
                "events": int(one.deployed.risks.outcome.sum()),
            }
            for one in found.judged
        },
        "study": {"name": cohort.study.name, "title": title},
        "use": cohort.study.decision.use,
    }
    for one in found.judged:
        if one.left_out is not None and one.pairs is not None:
            told["loo"] = {"bad_k": one.left_out.bad, "refitted": one.left_out.refitted} | {
                "elpd": one.left_out.elpd,
                "se": one.left_out.se,
            }
            told["pairs"] = {
                "pairs": one.pairs.pairs,
                "evaluated": one.pairs.evaluated,
                "bad_k": one.pairs.bad_pairs,
                "largest_k": one.pairs.pareto_k_max,
            }
    return told


def _announce(request: ValidateRequest, fit: xr.DataTree, cohort: Cohort, say: Say) -> None:
    """Say how long refits will take where it is long."""
    from bayes_cmvt.chains import sweep_seconds
    from bayes_cmvt.crossvalidation import SPLIT
    from bayes_cmvt.refits import RefitLength

    if request.data is not None:
        return
    settings, usual = request.settings, RefitLength()
    events = cohort.events_development
    folds = min(settings.folds, events, cohort.n_development - events)
    if folds < settings.folds and settings.repeats:
        say(f"{folds} folds instead of {settings.folds}: the rarer outcome has no more patients")
    sweeps = folds * settings.repeats * usual.sweeps + settings.splits * SPLIT.sweeps
    cores = request.cores or os.cpu_count() or 1
    each = sweep_seconds(cohort.n_development, fit["posterior"].sizes["coefficient"])
    seconds = sweeps * each / cores
    if seconds > LONG_RUN:
        refits = folds * settings.repeats + settings.splits
        say(
            f"expected time about {seconds / 60:.0f} min for {refits} refits to "
            f"{cohort.n_development:,} patients; shorter with --repeats 1 --splits 0"
        )


def _tell_of_reading(cohort: Cohort, say: Say) -> None:
    """Say what was recognised while reading, and which rows were left out."""
    for note in cohort.notes:
        say(note)
    for step, count in cohort.flow:
        if count and step not in ("rows in the file", "analysed"):
            say(f"{step}: {count:,}")


def _tell_of_old_acquaintances(
    request: ValidateRequest, fit: xr.DataTree, new: Cohort, say: Say
) -> None:
    """Say how many new patients agree with one of the run in everything, if that is no chance."""
    from bayes_cmvt.runs import COHORT

    measured = [one.name for one in new.study.predictors if one.kind == "continuous"]
    if not measured or not (request.run / COHORT).is_file():
        return
    old = run_cohort(request.run, fit)
    known = set(old.predictors.assign(outcome=old.outcome).itertuples(index=False, name=None))
    rows = new.predictors.assign(outcome=new.outcome).itertuples(index=False, name=None)
    found = sum(row in known for row in rows)
    if found >= max(2, ACQUAINTED * len(new.outcome)):
        say(
            f"{found} of {len(new.outcome)} patients agree with a patient of the run in every "
            "predictor and the outcome; if they are the same patients, they are not new"
        )


def _updates(
    request: ValidateRequest, fit: xr.DataTree, new: Cohort, report: Report | None
) -> pd.DataFrame:
    """What other patients make of the model: recalibrated, updated, refitted."""
    from bayes_cmvt import updating
    from bayes_cmvt.runs import COHORT

    old = run_cohort(request.run, fit) if (request.run / COHORT).is_file() else None
    found: Updates = updating.update_model(
        fit,
        old,
        new,
        seed=request.settings.seed,
        cores=request.cores,
        power_prior=request.update.power_prior,
        ci_prob=request.settings.interval,
        report=report,
    )
    return found.table
