"""What commands share: the patients of a run, what a finished stage gives, versions, folders."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.errors import OptionError, RunError, nearest, quoted

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

LONG_RUN = 60.0  # seconds: longer runs announce their expected time
JUDGED = (
    "performance",
    "net_benefit",
    "calibration",
    "roc",
    "risk_groups",
    "calibration_tests",
)

LIBRARIES = ("pymc", "nutpie", "pytensor", "arviz", "numpy", "scipy", "pandas", "xarray", "numba")

type Say = Callable[[str], None]


def versions() -> dict[str, str]:
    """Versions of the package, of Python and of the libraries that numbers depend on."""
    return {
        "bayes-cmvt": version("bayes-cmvt"),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def check_folder(folder: Path, say: Say, *, overwrite: bool) -> None:
    """Refuse a run folder that cannot be written, and name what killed runs left beside it."""
    from bayes_cmvt.runs import check_destination, leftovers

    check_destination(folder, overwrite=overwrite)
    for path in leftovers(folder):
        say(f"{path} was left by a run that was killed; it may be deleted")


@dataclass(frozen=True, eq=False)
class StageResult:
    """What a command has added to a run.

    Attributes
    ----------
    folder : Path
    stage : str
        Key under ``stages`` of ``run.json``.
    record : mapping
        What was asked of which inputs, and what is to be told besides the tables.
    tables : mapping of str to DataFrame
        As they stand in the run folder.
    problems : tuple of str
        Why the draws of the run are not to be trusted; empty where they are.
    reused : bool
        Whether the tables were there already, made from the same inputs.
    """

    folder: Path
    stage: str
    record: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    problems: tuple[str, ...]
    reused: bool


def unchanged(
    folder: Path, run: Mapping[str, Any], stage: str, inputs: Mapping[str, Any], say: Say
) -> Mapping[str, Any] | None:
    """Record of a finished stage that was made from the same inputs and whose files are all there.

    Parameters
    ----------
    folder : Path
    run : mapping
        Content of ``run.json``.
    stage : str
    inputs : mapping
        What the stage would be made from now.
    say : callable
        Is told where files are missing.

    Returns
    -------
    mapping or None
    """
    done: Mapping[str, Any] | None = run.get("stages", {}).get(stage)
    if done is None or done.get("inputs") != inputs:
        return None
    if all((folder / file).is_file() for file in done["files"]):
        return done
    say("files that were made before are missing: they are made anew")
    return None


def finished_stage(
    folder: Path,
    stage: str,
    record: Mapping[str, Any],
    run: Mapping[str, Any],
    names: Sequence[str],
    *,
    reused: bool = False,
) -> StageResult:
    """Read the tables back: what is printed is what stands in the folder.

    Parameters
    ----------
    folder : Path
    stage : str
    record : mapping
        Of the stage.
    run : mapping
        Content of ``run.json``.
    names : sequence of str
        Tables of the stage; those that are not there are left out.
    reused : bool

    Returns
    -------
    StageResult
    """
    from bayes_cmvt.runs import load_table

    found = {name: load_table(folder, name) for name in names}
    tables = {name: table for name, table in found.items() if table is not None}
    problems = tuple(run["diagnostics"]["problems"])
    return StageResult(folder, stage, record, tables, problems, reused)


def run_cohort(folder: Path, fit: xr.DataTree) -> Cohort:
    """Put the patients of a run together again from its folder.

    Raises
    ------
    RunError
        The folder holds no rows, or damaged ones.
    """
    from bayes_cmvt.posterior import design_of
    from bayes_cmvt.runs import COHORT, load_rows

    rows = load_rows(folder)
    # the text in the fit is the study as it was read; its file is known by its hash
    study = replace(design_of(fit).study, sha256=fit.attrs["study_sha256"])
    if set(rows) != {"(set)", "(outcome)", *(one.name for one in study.predictors)}:
        msg = f"{folder / COHORT} does not belong to this run: other columns; sample again"
        raise RunError(msg)
    return Cohort(
        study=study,
        predictors=rows.drop(columns=["(set)", "(outcome)"]),
        outcome=rows["(outcome)"].to_numpy(),
        sets=rows["(set)"].to_numpy().astype(str),
        flow=tuple((str(step), int(count)) for step, count in json.loads(fit.attrs["flow"])),
        notes=(),
        source=fit.attrs["data_source"],
        sha256=fit.attrs["data_sha256"],
    )


def fingerprint(fit: xr.DataTree) -> str:
    """Hash of the coefficients of a fit, of what it was made from and how."""
    from bayes_cmvt.posterior import central_coefficients, uncertain_coefficients

    content = hashlib.sha256(json.dumps(dict(fit.attrs), sort_keys=True, default=str).encode())
    for intercept, beta in filter(None, (central_coefficients(fit), uncertain_coefficients(fit))):
        content.update(intercept.tobytes())
        content.update(beta.tobytes())
    return content.hexdigest()


MODELS = ("horseshoe", "projection", "baseline", "published")


def model_fit(
    folder: Path,
    model: str,
    posterior: xr.DataTree,
    cohort: Cohort,
    *,
    event_share: float | None = None,
) -> xr.DataTree:
    """A model of a run by the name that tables give it.

    Parameters
    ----------
    folder : Path
    model : {"horseshoe", "projection", "baseline", "published"}
    posterior : DataTree
        Of the run, from `bayes_cmvt.load_run`.
    cohort : Cohort
        Patients of the run, from `learnt_cohort`.
    event_share : float, optional
        Of the printed model alone, which has no intercept.

    Returns
    -------
    DataTree

    Raises
    ------
    InputError
        Another name; the stage that makes the model has not run, which one is named; it has other
        patients; the study prints no model.
    """
    from bayes_cmvt import runs
    from bayes_cmvt.posterior import learnt_from

    check_model(model)
    if event_share is not None and model != "published":
        msg = (
            f"--event-share: the {model} model has an intercept of its own; it is for --model "
            "published"
        )
        raise OptionError(msg)
    if model == "published":
        from bayes_cmvt.published.printed_fit import printed_fit

        return printed_fit(cohort, event_share=event_share)
    if model == "horseshoe":
        return posterior
    command = "baseline" if model == "baseline" else "select"
    fit = runs.load_baseline(folder) if model == "baseline" else runs.load_selection(folder)
    if not learnt_from(fit, cohort):
        msg = (
            f"{folder} holds a {model} model of other patients; make it anew with `bayes-cmvt "
            f"{command} {folder} --overwrite`"
        )
        raise RunError(msg)
    return fit


def doubts(run: Mapping[str, Any], model: str) -> tuple[str, ...]:
    """Why the draws of a model are not to be trusted: only those of the posterior may fail."""
    of_posterior = model in {"horseshoe", "projection"}
    return tuple(run["diagnostics"]["problems"]) if of_posterior else ()


def check_model(model: str) -> None:
    """Refuse a model that no run has.

    Raises
    ------
    OptionError
    """
    if model not in MODELS:
        msg = f"--model: found {model!r}{nearest(model, MODELS)}; allowed: {quoted(MODELS)}"
        raise OptionError(msg)


def learnt_cohort(folder: Path, fit: xr.DataTree) -> Cohort:
    """The patients of a run, who must be those that its posterior has learnt from.

    Raises
    ------
    RunError
        The folder holds no rows, damaged ones, or those of other patients.
    """
    from bayes_cmvt.posterior import learnt_from
    from bayes_cmvt.runs import COHORT

    cohort = run_cohort(folder, fit)
    if not learnt_from(fit, cohort):
        msg = (
            f"{folder / COHORT} holds other patients than the posterior has learnt from; sample "
            "again"
        )
        raise RunError(msg)
    return cohort


@dataclass(frozen=True)
class StageSettings:
    """What stages that are run because a later one needs them are run with.

    Attributes
    ----------
    interval : float in (0, 1)
    seed : int
    resamples : int, optional
        Of the baseline; default: as the study says.
    cores : int, optional
    quick : bool
        For a first look: fewer resamples and repetitions, which the report states.
    """

    interval: float = 0.95
    seed: int = 2025
    resamples: int | None = None
    cores: int | None = None
    quick: bool = False


type Make = Callable[[Path, StageSettings], StageResult]


def settings_like(run: Mapping[str, Any], *, interval: float | None = None) -> StageSettings:
    """Interval and seed of a run, for stages that are added to it; or another interval."""
    settings = run["settings"]
    return StageSettings(settings["interval"] if interval is None else interval, settings["seed"])


def is_there(folder: Path, run: Mapping[str, Any], stage: str) -> bool:
    """Whether a stage was finished, whatever it was asked for, and its files are in the folder."""
    done = run.get("stages", {}).get(stage)
    return done is not None and all((folder / file).is_file() for file in done.get("files", ()))


def make_missing(
    folder: Path, makers: Mapping[str, Make], settings: StageSettings, *, say: Say
) -> dict[str, str]:
    """Run the stages that are not there yet; what is there is taken as it is.

    Parameters
    ----------
    folder : Path
    makers : mapping of str to callable
        Stages in order, and what runs each.
    settings : StageSettings
    say : callable
        Is told which stage is run first.

    Returns
    -------
    dict of str to str
        Stages that could not be run, and why.
    """
    from bayes_cmvt.errors import InputError
    from bayes_cmvt.runs import read_run

    impossible = {}
    for stage, make in makers.items():
        if is_there(folder, read_run(folder), stage):
            continue
        say(f"first: {stage}, which is not in {folder} yet")
        try:
            make(folder, settings)
        except InputError as error:
            impossible[stage] = str(error)
    return impossible
