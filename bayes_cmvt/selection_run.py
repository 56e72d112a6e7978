"""``bayes-cmvt select``: a smaller model of a run's posterior, and how sure the choice is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.errors import OptionError
from bayes_cmvt.stages import JUDGED, LONG_RUN, StageResult, finished_stage, learnt_cohort
from bayes_cmvt.synthetic import NOTICE, is_synthetic

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayes_cmvt.cohort import Cohort
    from bayes_cmvt.progress import Report
    from bayes_cmvt.refits import RefitMemory
    from bayes_cmvt.repetitions import SelectionSettings
    from bayes_cmvt.stages import Say

STAGE, MODEL = "select", "projection"
FORMAT = 1  # of the stage's record and tables: another one is made anew
OWN = (
    "selection",
    "selection_coefficients",
    "selection_rules",
    "selection_errors",
    "selection_stability",
    "selection_frequencies",
    "selection_recurrence",
    "selection_alternatives",
)
PILOT = 500  # draws
REPLICATES = 2_000  # of the bootstrap over patients
FORMATS: tuple[Literal["pdf", "png"], ...] = ("pdf", "png")


@dataclass(frozen=True)
class SelectRequest:
    """What ``bayes-cmvt select`` was asked for; ``size`` None: the suggested one."""

    run: Path
    settings: SelectionSettings
    size: int | None = None
    force: tuple[str, ...] = ()
    cores: int | None = None
    overwrite: bool = False


def select_run(
    request: SelectRequest,
    *,
    say: Say,
    report: Report | None = None,
    memory: RefitMemory | None = None,
) -> StageResult:
    """Search for a smaller model of a run's posterior and add its files to the folder.

    Parameters
    ----------
    request : SelectRequest
    say : callable
        Takes one line of news for the user.
    report : callable, optional
        Takes a `SamplingState` a few times a second.
    memory : RefitMemory, optional
        Of refits, where validation has left out the same folds before.

    Returns
    -------
    StageResult

    Raises
    ------
    InputError
        The run or the options cannot be used; nothing was written.
    """
    from bayes_cmvt import runs

    started = time.perf_counter()
    run = runs.read_run(request.run)
    fit = runs.load_run(request.run)
    request = _check_request(request, fit)
    cohort = learnt_cohort(request.run, fit)
    inputs = _inputs(request, fit, cohort)
    done = run.get("stages", {}).get(STAGE)
    same = done is not None and done["inputs"] == inputs and not request.overwrite
    if same and not _complete(request.run, done):
        say("files of this selection are missing or damaged: they are made anew")
    elif same:
        return finished_stage(request.run, STAGE, done, run, (*OWN, *JUDGED), reused=True)
    if done is not None and not same:
        say("replacing the selection that is there")
    _announce(request, fit, cohort, say)
    selection = _selected(request, fit, cohort, report, memory)
    fitted = time.perf_counter()
    tables = _tables(request, fit, selection, cohort)
    record = {
        "inputs": inputs,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {
            "fit": round(fitted - started, 3),
            "tables": round(time.perf_counter() - fitted, 3),
        },
        **_told(fit, selection, cohort),
    }
    files = {runs.SELECTION: runs.tree_bytes(selection), **_figures(tables, cohort.source)}
    record["files"] = [*(f"tables/{name}.csv" for name in tables), *files]
    outdated = _outdated(request.run, tables)
    runs.add_stage(
        request.run, STAGE, record, tables, outdated=outdated, files=files, renewed=(MODEL,)
    )
    return finished_stage(request.run, STAGE, record, run, (*OWN, *JUDGED))


def _check_request(request: SelectRequest, fit: xr.DataTree) -> SelectRequest:
    """Refuse what cannot be done, all at once and before any work; with predictors' names read."""
    from bayes_cmvt.posterior import check_posterior, design_of
    from bayes_cmvt.selection import check_selection, search_plan

    check_posterior(fit)
    design = design_of(fit)
    forced = _forced_names(request.force, [one.name for one in design.study.predictors])
    problems = []
    if request.cores is not None and request.cores < 1:
        problems.append(f"--cores: found {request.cores}; allowed: 1 or more")
    for check in (
        lambda: check_selection(request.settings),
        lambda: search_plan(design, request.size, forced, request.settings),
    ):
        try:
            check()
        except OptionError as error:
            problems += error.problems or (error.heading,)
    if problems:
        msg = "the selection cannot start"
        raise OptionError(msg, problems)
    return replace(request, force=forced)


def _forced_names(given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names of predictors, apart by commas; a name may hold a comma itself."""
    names = []
    for text in given:
        whole = [text] if text in known else [part.strip() for part in text.split(",")]
        names += [name for name in whole if name]
    return tuple(names)


def _complete(folder: Path, done: Mapping[str, Any]) -> bool:
    """Whether every file of a finished selection is there, and its fit can be read."""
    from bayes_cmvt.errors import RunError
    from bayes_cmvt.runs import load_selection

    if not all((folder / name).is_file() for name in done["files"]):
        return False
    try:
        load_selection(folder)
    except RunError:
        return False
    return True


def _inputs(request: SelectRequest, fit: xr.DataTree, cohort: Cohort) -> dict[str, Any]:
    """What the files depend on: the draws, the patients and the settings; not the cores."""
    import hashlib

    from bayes_cmvt.runs import POSTERIOR

    return {
        "format": FORMAT,
        "posterior": hashlib.sha256((request.run / POSTERIOR).read_bytes()).hexdigest(),
        "study": fit.attrs["study_sha256"],
        "data": {"file": cohort.source, "sha256": cohort.sha256},
        "size": request.size,
        "force": list(request.force),
        "settings": asdict(request.settings),
    }


def _announce(request: SelectRequest, fit: xr.DataTree, cohort: Cohort, say: Say) -> None:
    """Say how long the repetitions will take where it is long, from the sweeps they are made of."""
    from bayes_cmvt.chains import sweep_seconds
    from bayes_cmvt.crossvalidation import SPLIT
    from bayes_cmvt.refits import RefitLength
    from bayes_cmvt.repetitions import AS_LONG

    settings = request.settings
    rarer = min(cohort.events_development, cohort.n_development - cohort.events_development)
    if settings.validation == "kfold" and settings.folds > rarer:
        say(f"{rarer} folds instead of {settings.folds}: the rarer outcome has no more patients")
    folds = min(settings.folds, rarer) * settings.repeats
    alone = cohort.n_development if settings.search_inside else 0
    left_out = folds if settings.validation == "kfold" else alone
    short = settings.subsamples + settings.splits
    sweeps = short * SPLIT.sweeps + settings.seeds * AS_LONG.sweeps
    if settings.validation == "kfold":
        sweeps += folds * RefitLength().sweeps
    each = sweep_seconds(cohort.n_development, fit["posterior"].sizes["coefficient"])
    # searching every size and projecting 400 draws takes about three searches
    searching = (3 * left_out + short + settings.seeds) * _search_seconds(request, fit, cohort)
    seconds = (sweeps * each + searching) / (request.cores or os.cpu_count() or 1)
    if seconds > LONG_RUN:
        say(
            f"expected time about {seconds / 60:.0f} min for {left_out + short + settings.seeds} "
            f"searches with {cohort.n_development:,} patients; shorter with --repeats 1 "
            "--subsamples 0 --splits 0"
        )


def _search_seconds(request: SelectRequest, fit: xr.DataTree, cohort: Cohort) -> float:
    """How long one search takes, once its kernels are compiled: searched to three predictors."""
    import numpy as np

    from bayes_cmvt.posterior import design_of, draws_of
    from bayes_cmvt.refits import development_rows
    from bayes_cmvt.repetitions import reference_draws
    from bayes_cmvt.selection import search_plan
    from bayes_cmvt.submodels import of_size, search_submodels

    plan = search_plan(design_of(fit), request.size, request.force, request.settings)
    draws, rows = reference_draws(draws_of(fit)).thinned(PILOT), development_rows(fit, cohort)
    brief = of_size(plan, min(plan.steps, 3))
    for _ in range(2):
        started = time.perf_counter()
        search_submodels(draws, rows.matrix, brief, np.random.SeedSequence(0))
    return (time.perf_counter() - started) * max(1.0, plan.steps / 3)


def _selected(
    request: SelectRequest,
    fit: xr.DataTree,
    cohort: Cohort,
    report: Report | None,
    memory: RefitMemory | None,
) -> xr.DataTree:
    from bayes_cmvt.selection import select

    return select(
        fit,
        cohort,
        size=request.size,
        force=request.force,
        settings=request.settings,
        cores=request.cores,
        report=report,
        memory=memory,
    )


def _tables(
    request: SelectRequest, fit: xr.DataTree, selection: xr.DataTree, cohort: Cohort
) -> dict[str, pd.DataFrame]:
    """Every table of the stage."""
    from bayes_cmvt import selection_estimates as estimates
    from bayes_cmvt.selection_rules import expected_errors, horseshoe_rules

    settings = request.settings
    rules = horseshoe_rules(fit, rope=settings.rope, ci_prob=settings.interval)
    tables = {
        "selection": estimates.selection_table(selection),
        "selection_coefficients": estimates.selection_coefficients(
            selection, ci_prob=settings.interval
        ),
        "selection_rules": rules,
        "selection_errors": expected_errors(rules, estimates.selected_columns(selection)),
        "selection_stability": estimates.selection_stability(selection),
        "selection_frequencies": estimates.selection_frequencies(selection),
        "selection_recurrence": estimates.selection_recurrence(selection),
        "selection_alternatives": estimates.selection_alternatives(selection),
    }
    tables = {name: table for name, table in tables.items() if len(table)}
    return tables | _evaluated(request, selection, cohort)


def _evaluated(
    request: SelectRequest, selection: xr.DataTree, cohort: Cohort
) -> dict[str, pd.DataFrame]:
    """The submodel judged as every model is; by the folds of its own cross-validation."""
    from bayes_cmvt.evaluation import EvaluationSettings, evaluate
    from bayes_cmvt.selection import known_refits

    settings = request.settings
    has_folds = settings.validation == "kfold" and settings.search_inside
    found = evaluate(
        {MODEL: selection},
        cohort,
        settings=EvaluationSettings(
            interval=settings.interval,
            replicates=REPLICATES,
            folds=settings.folds,
            repeats=settings.repeats if has_folds else 0,
            splits=0,
            seed=settings.seed,
        ),
        refitters={MODEL: known_refits(selection)},
        cores=request.cores,
    )
    tables = {name: found.tables[name] for name in JUDGED if name in found.tables}
    return {**tables, "net_benefit": _without_known_rows(request.run, tables["net_benefit"])}


def _without_known_rows(folder: Path, benefit: pd.DataFrame) -> pd.DataFrame:
    """Net benefits without those of treating all and none, where other stages have them finer."""
    from bayes_cmvt.evaluation import STRATEGIES
    from bayes_cmvt.runs import load_table

    known = load_table(folder, "net_benefit")
    if known is None or set(known["strategy"]) <= {MODEL, *STRATEGIES}:
        return benefit
    return benefit[~benefit["strategy"].isin(STRATEGIES)]


def _told(fit: xr.DataTree, selection: xr.DataTree, cohort: Cohort) -> dict[str, Any]:
    """What the summary says besides the tables."""
    import numpy as np

    from bayes_cmvt.intervals import equal_tailed
    from bayes_cmvt.posterior import settings_of
    from bayes_cmvt.prediction import predict
    from bayes_cmvt.selection_estimates import failed_weights, honest_difference

    members = cohort.development
    whole, small = (predict(one, cohort)[members] for one in (fit, selection))
    gap = (small["risk"] - whole["risk"]).abs()
    width = {
        name: float((table["upper"] - table["lower"]).median())
        for name, table in (("reference", whole), ("submodel", small))
    }
    settings, honest = settings_of(selection), honest_difference(selection)
    told: dict[str, Any] = {
        "study": {"name": cohort.study.name, "title": cohort.title},
        "development": {
            "patients": cohort.n_development,
            "events": cohort.events_development,
            "predictors": len(cohort.study.predictors),
        },
        "folds_used": int(selection["cross_validation"]["fold"].max()) + 1,
        "size": settings["size"],
        "suggested": settings["suggested"],
        "by_suggestion": settings["by_suggestion"],
        "forced": settings["forced"],
        "risk_gap": {"mean": float(gap.mean()), "largest": float(gap.max())},
        "median_width": width,
        "bad_k": failed_weights(selection),
        "size_inside": None if honest is None else {"elpd_diff": honest[0], "se": honest[1]},
        "m_eff": None,
    }
    if "tau" in fit["posterior"].data_vars:
        limits = equal_tailed(fit["posterior"]["m_eff"].to_numpy().ravel(), 0.9)
        told["m_eff"] = np.round(limits, 6).tolist()
    return told


def _figures(tables: Mapping[str, pd.DataFrame], source: str) -> dict[str, bytes]:
    """The two figures of the stage, by path within the folder."""
    from bayes_cmvt.figures.selection import plot_selection_path, plot_selection_stability
    from bayes_cmvt.figures.style import add_headline, save_bytes

    drawn = {"selection_path": plot_selection_path(tables["selection"])}
    if "selection_stability" in tables and "selection_frequencies" in tables:
        size = int(tables["selection"].query("chosen")["size"].iloc[0])
        level = tables["selection_rules"]["interval"].iloc[0]
        words = {
            "projection": f"projection (size {size})",
            "interval": f"{level:.0%} interval excludes 0",
        }
        drawn["selection_stability"] = plot_selection_stability(
            tables["selection_stability"], tables["selection_frequencies"], procedures=words
        )
    for figure in drawn.values() if is_synthetic(source) else ():
        add_headline(figure, NOTICE)
    return {
        f"figures/{name}.{kind}": save_bytes(figure, kind)
        for name, figure in drawn.items()
        for kind in FORMATS
    }


def _outdated(folder: Path, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Tables that are not of this selection: those of an earlier one, and their comparisons."""
    from bayes_cmvt.runs import SELECTION

    outdated = [name for name in OWN if name not in tables]
    if (folder / SELECTION).is_file():
        outdated += ["performance_difference", "net_benefit_difference"]
    return outdated
