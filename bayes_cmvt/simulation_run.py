"""``bayes-cmvt simulate``: is the sampler right, whose intervals hold the truth, what is selected.

Each kind of simulation writes a run folder of its own. While it runs, finished blocks of data sets
are kept beside that folder: an interrupted simulation goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.cohort import Cohort, load_cohort
from bayes_cmvt.errors import OptionError, nearest, quoted
from bayes_cmvt.resampling import Keep
from bayes_cmvt.stages import Say, check_folder, versions
from bayes_cmvt.study import load_study
from bayes_cmvt.synthetic import titled
from bayes_cmvt.workers import Workers, unfit_workers

if TYPE_CHECKING:
    import pandas as pd

    from bayes_cmvt.progress import Report
    from bayes_cmvt.runs import KeptBlocks
    from bayes_cmvt.simulation.populations import Population

type Draw = Callable[[], Any]

KINDS = ("sbc", "coverage", "selection")
DEFAULT_REPLICATIONS: Mapping[str, int] = MappingProxyType(
    {"sbc": 1000, "sbc nuts": 100, "invariance": 10_000, "coverage": 500, "selection": 200}
)
FORMATS: tuple[Literal["png", "pdf"], ...] = ("png", "pdf")
SCENARIO = "study"
POSTERIOR_DRAWS = 1000  # of each chain of the study's own posterior, where truths are drawn from it
GOES_ON = (
    "interrupted; no run folder was made, {:,} finished data sets are kept in {}: the same command "
    "goes on from there"
)


@dataclass(frozen=True)
class SimulationRequest:
    """What ``bayes-cmvt simulate`` was asked for; None: the default of the kind.

    Attributes
    ----------
    kind : {"sbc", "coverage", "selection"}
    study : str, optional
        None with ``invariance``, which has a problem of its own.
    data : Path, optional
    missing : {"error", "drop"}, optional
    replications : int, optional
    scenarios : tuple of str
        Of the populations that are made; ``study`` where there is none and no ``population``.
    population : Path, optional
        A large file that is the population.
    n : int, optional
        Patients of a data set; default: the development patients.
    resamples : int
        Of each bootstrap.
    methods : tuple of str, optional
        Whose intervals are compared.
    engine : str
    posterior : bool
        Simulation-based calibration from the study's own posterior.
    global_scale, slab_scale : float, optional
        Of the prior, instead of the study's.
    folds : int, optional
        Of the cross-validation that suggests the projection's size; 0: no projection.
    invariance : bool
    workers : Workers
    seed : int
    interval : float
    out : Path, optional
        ``runs/STUDY-simulate-KIND``.
    overwrite : bool
    """

    kind: str
    study: str | None = None
    data: Path | None = None
    missing: Literal["error", "drop"] | None = None
    replications: int | None = None
    scenarios: tuple[str, ...] = ()
    population: Path | None = None
    n: int | None = None
    resamples: int = 200
    methods: tuple[str, ...] | None = None
    engine: str = "gibbs"
    posterior: bool = False
    global_scale: float | None = None
    slab_scale: float | None = None
    folds: int | None = None
    invariance: bool = False
    workers: Workers = field(default_factory=Workers)
    seed: int = 2025
    interval: float = 0.95
    out: Path | None = None
    overwrite: bool = False

    @property
    def asked_replications(self) -> int:
        """Replications as asked for, or those of the kind."""
        if self.replications is not None:
            return self.replications
        key = "invariance" if self.invariance else self.kind
        return DEFAULT_REPLICATIONS["sbc nuts" if (key, self.engine) == ("sbc", "nuts") else key]


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """What a simulation has found.

    Attributes
    ----------
    kind : str
        ``sbc``, ``coverage``, ``selection`` or ``invariance``.
    folder : Path
    run : mapping
        Content of ``run.json``.
    tables : mapping of str to DataFrame
    """

    kind: str
    folder: Path
    run: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each quantity that shows a sampler to be wrong."""
        return tuple(self.run["diagnostics"]["problems"])


def simulate(
    request: SimulationRequest, *, say: Say, report: Report | None = None
) -> SimulationResult:
    """Carry out a simulation and write its run folder.

    Parameters
    ----------
    request : SimulationRequest
    say : callable
        Takes one line of news for the user.
    report : callable, optional
        Takes a `SamplingState` a few times a second.

    Returns
    -------
    SimulationResult

    Raises
    ------
    InputError
        Study, data, options or destination cannot be used; nothing was written.
    KeyboardInterrupt
        Finished data sets are kept: the same request goes on from there.
    """
    _check_request(request)
    if request.invariance:
        return _invariance(request, say, report)
    cohort = _cohort(request)
    folder = request.out or Path("runs") / f"{cohort.study.name}-simulate-{request.kind}"
    check_folder(folder, say, overwrite=request.overwrite)
    job = _Job(request, cohort, folder, _kept(request, cohort, folder), say, report)
    if job.kept_data_sets():
        say(f"going on from {job.kept_data_sets():,} data sets finished before")
    elif job.kept.folder.is_dir():
        say(
            f"{job.kept.folder} keeps data sets of another study, data or settings: they are not "
            "used, and may be deleted"
        )
    try:
        result = _KINDS[request.kind](job)
    except KeyboardInterrupt:
        if job.kept_data_sets():
            raise KeyboardInterrupt(GOES_ON.format(job.kept_data_sets(), job.kept.folder)) from None
        raise
    job.remove_kept()
    return result


# --- What is asked for ---------------------------------------------------------------------------


def _check_request(request: SimulationRequest) -> None:
    """Refuse options that do not go together, all at once."""
    if request.kind not in KINDS:
        near = nearest(request.kind, KINDS)
        msg = f'simulate: found "{request.kind}"; allowed: {quoted(KINDS)}{near}'
        raise OptionError(msg)
    problems = list(_foreign_options(request)) + unfit_workers(request.workers)
    if request.invariance and request.study is not None:
        problems.append(
            "--invariance has a small problem of its own and takes no study: "
            f'found "{request.study}"; leave it out'
        )
    if request.population is not None and request.scenarios:
        problems.append("--population is a scenario by itself: leave --scenario out")
    if request.population is not None and request.n is None:
        problems.append("--population needs --n, the patients of each sample")
    if request.population is not None and request.data is not None:
        problems.append("--population takes the place of --data: give one of them")
    if problems:
        msg = f"simulate {request.kind} cannot start"
        raise OptionError(msg, problems)


def _foreign_options(request: SimulationRequest) -> Sequence[str]:
    """Options that say nothing to this kind of simulation."""
    of_sbc = {
        "--invariance": request.invariance,
        "--posterior": request.posterior,
        "--global-scale": request.global_scale is not None,
        "--slab-scale": request.slab_scale is not None,
        "--engine": request.engine != "gibbs",
    }
    of_samples = {
        "--scenario": bool(request.scenarios),
        "--population": request.population is not None,
        "--n": request.n is not None,
    }
    of_coverage = {
        "--methods": request.methods is not None,
        "--resamples": request.resamples != 200,
    }
    of_selection = {"--folds": request.folds is not None}
    foreign = {
        "sbc": of_samples | of_coverage | of_selection,
        "coverage": of_sbc | of_selection,
        "selection": of_sbc | of_coverage,
    }
    return [
        f"{name}: has no effect on simulate {request.kind}; leave it out"
        for name, given in foreign[request.kind].items()
        if given
    ]


def _cohort(request: SimulationRequest) -> Cohort:
    study = load_study(request.study or "cmvt")
    if request.missing is not None:
        study = study.with_missing(request.missing)
    return load_cohort(study, request.population or request.data)


@dataclass(frozen=True, eq=False)
class _Job:
    """A request with its patients, its place, and what was finished before."""

    request: SimulationRequest
    cohort: Cohort
    folder: Path
    kept: KeptBlocks
    say: Say
    report: Report | None
    started: float = field(default_factory=time.perf_counter)

    @property
    def n(self) -> int:
        """Patients of a data set."""
        return self.cohort.n_development if self.request.n is None else self.request.n

    def keep(self, part: str) -> Keep:
        """Where finished blocks of a part of the simulation are kept."""
        from bayes_cmvt.runs import KeptBlocks

        blocks = KeptBlocks(self.kept.folder, f"{part}-{self.kept.inputs}")
        return Keep(load=blocks.load, save=blocks.save)

    def kept_data_sets(self) -> int:
        """How many data sets are kept, of all parts: files are named by the numbers in them."""
        names = [file.stem for file in self._kept_files()]
        found = [name.rsplit("-", 2) for name in names]
        numbers = {(part, k) for part, start, stop in found for k in range(int(start), int(stop))}
        return len(numbers)

    def remove_kept(self) -> None:
        """Throw away what this request has kept; blocks of other settings stay."""
        for file in self._kept_files():
            file.unlink()
        if self.kept.folder.is_dir() and not any(self.kept.folder.iterdir()):
            self.kept.folder.rmdir()

    def _kept_files(self) -> list[Path]:
        return sorted(self.kept.folder.glob(f"*-{self.kept.inputs}-*.npz"))


def _kept(request: SimulationRequest, cohort: Cohort, folder: Path) -> KeptBlocks:
    """Place of finished blocks: what they were computed from is a part of their names."""
    from bayes_cmvt.runs import KeptBlocks

    content = {
        "version": version("bayes-cmvt"),
        "study": cohort.study.sha256,
        "data": [cohort.sha256, [list(step) for step in cohort.flow]],
        "kind": [request.kind, request.n, request.resamples, request.methods, request.engine],
        "prior": [request.global_scale, request.slab_scale],
        # true values are then spaced evenly over the posterior, by their number
        "posterior": request.asked_replications if request.posterior else None,
        "file": request.population is not None,
        "folds": request.folds,
        "seed": request.seed,
        "interval": request.interval,
    }
    text = json.dumps(content, sort_keys=True, default=str)
    inputs = hashlib.sha256(text.encode()).hexdigest()[:16]
    return KeptBlocks(folder.with_name(f".{folder.name}.simulation-blocks"), inputs)


# --- The kinds -----------------------------------------------------------------------------------


def _populations(job: _Job) -> list[Population]:
    from bayes_cmvt.simulation.populations import (
        check_scenarios,
        file_population,
        scenario_population,
    )

    if job.request.population is not None:
        return [file_population(job.cohort)]
    names = _scenarios(job.request)
    check_scenarios(names)
    fit = _posterior(job) if "posterior" in names else None
    return [scenario_population(name, job.cohort, seed=job.request.seed, fit=fit) for name in names]


def _scenarios(request: SimulationRequest) -> list[str]:
    return list(request.scenarios or (SCENARIO,))


def _posterior(job: _Job) -> Any:
    """The study's own posterior, for truths that are drawn from it."""
    from bayes_cmvt.sampling import sample

    job.say("sampling the study's own posterior first")
    return sample(
        job.cohort, draws=POSTERIOR_DRAWS, seed=job.request.seed, cores=job.request.workers.cores
    )


def _coverage(job: _Job) -> SimulationResult:
    from bayes_cmvt.simulation.coverage import FRESH, LENGTH
    from bayes_cmvt.simulation.coverage_study import (
        check_coverage,
        deciding_threshold,
        simulate_coverage,
    )
    from bayes_cmvt.simulation.populations import check_scenarios, effects_source

    request = job.request
    asked: dict[str, Any] = {
        "n": job.n,
        "replications": request.asked_replications,
        "resamples": request.resamples,
        "methods": request.methods,
        "ci_prob": request.interval,
        "seed": request.seed,
    }
    _all_at_once(
        lambda: check_coverage(job.cohort.study, **asked),
        lambda: check_scenarios(_scenarios(request)),
    )
    populations = _populations(job)
    tables = simulate_coverage(
        populations, workers=request.workers, keep=job.keep, report=job.report, **asked
    )
    settings = {
        **asked,
        "scenarios": [one.name for one in populations],
        "effects": effects_source(job.cohort.study),
        "thresholds": {one.name: deciding_threshold(one) for one in populations},
        "fresh": FRESH,
        "posterior": asdict(LENGTH),
    }
    return _written(job, settings, tables, _coverage_figures(tables))


def _all_at_once(*checks: Callable[[], None]) -> None:
    """Carry out checks, and refuse everything that any of them refuses."""
    problems: list[str] = []
    for check in checks:
        try:
            check()
        except OptionError as error:
            problems += error.problems or (error.heading,)
    if problems:
        msg = "the simulation cannot start"
        raise OptionError(msg, problems)


def _coverage_figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, Draw]:
    from bayes_cmvt.figures.coverage import plot_coverage
    from bayes_cmvt.figures.coverage_coefficients import plot_coverage_coefficients
    from bayes_cmvt.figures.plug_in import plot_plug_in

    def shown(name: str) -> pd.DataFrame:
        """Without rows of chosen columns alone, and of predicted risks: they are in the table."""
        table = tables[name][tables[name]["method"] != "wald_selected"]
        if "target" not in table:
            return table
        return table[~table["target"].str.startswith("predicted")]

    drawn: dict[str, Draw] = {
        "coverage": lambda: plot_coverage(shown("coverage")),
        "coverage_coefficients": lambda: plot_coverage_coefficients(shown("coverage_coefficients")),
    }
    if "plug_in" in tables:
        drawn["plug_in"] = lambda: plot_plug_in(tables["plug_in"])
    return drawn


def _selection(job: _Job) -> SimulationResult:
    import pandas as pd

    from bayes_cmvt.figures.replicated_selection import plot_replicated_selection
    from bayes_cmvt.simulation.replicated_selection import (
        ReplicatedSelection,
        ReplicationSettings,
        check_replication,
        replicated_selection,
    )

    request = job.request
    settings = ReplicationSettings(interval=request.interval)
    if request.folds is not None:
        settings = ReplicationSettings(interval=request.interval, folds=request.folds)
    populations = _populations(job)
    for population in populations:
        check_replication(population, job.n, request.asked_replications, request.seed, settings)
    found = [
        replicated_selection(
            population,
            n=job.n,
            replications=request.asked_replications,
            seed=request.seed,
            settings=settings,
            workers=request.workers,
            keep=job.keep(population.name),
            report=job.report,
        )
        for population in populations
    ]
    tables: dict[str, pd.DataFrame] = {
        one.name: pd.concat([getattr(each, one.name) for each in found], ignore_index=True)
        for one in fields(ReplicatedSelection)
    }
    survival, rules = tables["selection_survival"], tables["selection_rules"]

    def drawn(name: str) -> Draw:
        return lambda: plot_replicated_selection(
            survival[survival["scenario"] == name], rules[rules["scenario"] == name]
        )

    figures = {f"selection_{one.name}": drawn(one.name) for one in populations}
    told = {
        "n": job.n,
        "replications": request.asked_replications,
        "folds": settings.folds,
        "rope": settings.rope,
        "interval": request.interval,
        "scenarios": [one.name for one in populations],
    }
    return _written(job, told, tables, figures)


def _sbc(job: _Job) -> SimulationResult:
    from bayes_cmvt.figures.sbc import plot_sbc
    from bayes_cmvt.simulation.sbc import check_sbc, simulate_sbc

    request = job.request
    asked: dict[str, Any] = {
        "engine": request.engine,
        "replications": request.asked_replications,
        "seed": request.seed,
        "global_scale": request.global_scale,
        "slab_scale": request.slab_scale,
    }
    check_sbc(**asked)
    found = simulate_sbc(
        job.cohort,
        posterior_fit=_posterior(job) if request.posterior else None,
        workers=request.workers,
        keep=job.keep("sbc"),
        report=job.report,
        **asked,
    )
    tables = {
        "sbc": found.sbc,
        "sbc_ranks": found.sbc_ranks,
        "sbc_outcomes": found.sbc_outcomes,
    }
    told = {
        **asked,
        "mode": "posterior" if request.posterior else "prior",
        "divergences": found.divergences,
        "sweeps": found.sweeps,
    }
    figures = {"sbc": lambda: plot_sbc(found.sbc, found.sbc_ranks)}
    return _written(job, told, tables, figures, problems=_outside(found.sbc))


def _outside(table: pd.DataFrame) -> list[str]:
    """One line for each quantity outside the envelope."""
    rows = table[~table["inside_envelope"].astype(bool)].to_dict("records")
    told = [f"distance {row['distance']:.3f}, " if "distance" in row else "" for row in rows]
    return [
        f"{row['quantity']}: {distance}P {row['p_value']:.2g}"
        for row, distance in zip(rows, told, strict=True)
    ]


_KINDS: Mapping[str, Callable[[_Job], SimulationResult]] = MappingProxyType(
    {"sbc": _sbc, "coverage": _coverage, "selection": _selection}
)


def _invariance(request: SimulationRequest, say: Say, report: Report | None) -> SimulationResult:
    """The proof of the Gibbs sampler by invariance, on a small problem of its own."""
    from bayes_cmvt import recovery, runs

    started = time.perf_counter()
    replications, cores = request.asked_replications, request.workers.cores or 1
    recovery.check_invariance(replications, request.seed, recovery.SWEEPS, cores)
    folder = request.out or Path("runs") / f"simulate-{request.kind}"
    check_folder(folder, say, overwrite=request.overwrite)
    table = recovery.invariance_test(
        replications=replications, seed=request.seed, cores=cores, report=report
    )
    problems = _outside(table)
    run = {
        "command": f"simulate {request.kind} --invariance",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "seed": request.seed,
        "engine": "gibbs",
        "settings": {
            "replications": replications,
            "sweeps": recovery.SWEEPS,
            "patients": recovery.PATIENTS,
            "columns": recovery.COLUMNS,
            "envelope": recovery.ENVELOPE,
            "quantities": len(table),
        },
        "seconds": {"simulate": round(time.perf_counter() - started, 3)},
        "diagnostics": {"trusted": not problems, "problems": problems},
    }
    runs.write_run(
        folder,
        lambda partial: runs.write_tables(partial, run=run, tables={"sbc": table}),
        overwrite=request.overwrite,
    )
    return SimulationResult("invariance", folder, run, {"sbc": table})


# --- The run folder ------------------------------------------------------------------------------


def _written(
    job: _Job,
    settings: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Draw],
    *,
    problems: Sequence[str] = (),
) -> SimulationResult:
    from bayes_cmvt import runs

    files = {"study.toml": job.cohort.study.to_toml().encode("utf-8"), **_drawn(figures)}
    run = _run_record(job, settings, problems)
    runs.write_run(
        job.folder,
        lambda partial: runs.write_tables(partial, run=run, tables=tables, files=files),
        overwrite=job.request.overwrite,
    )
    return SimulationResult(job.request.kind, job.folder, run, tables)


def _drawn(figures: Mapping[str, Draw]) -> dict[str, bytes]:
    from bayes_cmvt.figures.style import save_bytes

    return {
        f"figures/{name}.{kind}": save_bytes(figure, kind)
        for name, figure in ((name, draw()) for name, draw in figures.items())
        for kind in FORMATS
    }


def _run_record(job: _Job, settings: Mapping[str, Any], problems: Sequence[str]) -> dict[str, Any]:
    request, cohort = job.request, job.cohort
    return {
        "command": f"simulate {request.kind}",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "seed": request.seed,
        "engine": request.engine,
        "settings": {**settings, "workers": request.workers.kind},
        "study": {
            "name": cohort.study.name,
            "title": titled(cohort.study.heading.title, cohort.source),
            "sha256": cohort.study.sha256,
        },
        "data": {"file": cohort.source, "sha256": cohort.sha256},
        "population_file": request.population is not None,
        "patients": len(cohort.outcome),
        "events": int(cohort.outcome.sum()),
        "flow": dict(cohort.flow),
        "seconds": {"simulate": round(time.perf_counter() - job.started, 3)},
        "diagnostics": {"trusted": not problems, "problems": list(problems)},
    }
