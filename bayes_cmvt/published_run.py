"""``bayes-cmvt published`` and ``samplesize``: tables from a study file alone, without patients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bayes_cmvt.errors import OptionError
from bayes_cmvt.intervals import tails
from bayes_cmvt.stages import Say, check_folder, versions
from bayes_cmvt.study import Study, load_study
from bayes_cmvt.synthetic import is_synthetic

if TYPE_CHECKING:
    import pandas as pd

    from bayes_cmvt.sample_size import ExpectedFit

FORMATS: tuple[Literal["pdf", "png"], ...] = ("pdf", "png")


@dataclass(frozen=True)
class PublishedRequest:
    """What ``bayes-cmvt published`` was asked for; ``out`` None: ``runs/STUDY-published``."""

    study: str
    out: Path | None = None
    seed: int = 2025
    interval: float = 0.95
    worth: int | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class SampleSizeRequest:
    """What ``bayes-cmvt samplesize`` was asked for; ``out`` None: ``runs/STUDY-samplesize``."""

    study: str
    fit: ExpectedFit
    event_share: float | None = None
    columns: int | None = None
    out: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class StudyTables:
    """What a command computed from a study file alone.

    Attributes
    ----------
    study : Study
    folder : Path
    settings : mapping
        As recorded in ``run.json``.
    tables : mapping of str to DataFrame
    sentences : tuple of str
        What is to be told besides the tables.
    """

    study: Study
    folder: Path
    settings: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    sentences: tuple[str, ...] = ()


def published_study(request: PublishedRequest, *, say: Say) -> StudyTables:
    """Reanalyse what a study printed, and write tables and figures.

    Parameters
    ----------
    request : PublishedRequest
    say : callable
        Takes one line of news for the user.

    Returns
    -------
    StudyTables

    Raises
    ------
    InputError
        The study, its printed numbers, the options or the destination cannot be used; nothing was
        written.
    """
    from bayes_cmvt.published.reanalysis import published_tables
    from bayes_cmvt.published.response_tables import direction_in_words
    from bayes_cmvt.responses import response_directions

    started = time.perf_counter()
    study = load_study(request.study)
    tails(request.interval)
    folder = request.out or Path("runs") / f"{study.name}-published"
    check_folder(folder, say, overwrite=request.overwrite)
    tables = published_tables(
        study, seed=request.seed, ci_prob=request.interval, worth=request.worth
    )
    sentences = (direction_in_words(),) if response_directions(study) else ()
    settings = {
        "interval": request.interval,
        "seed": request.seed,
        "worth": request.worth,
        "published_responses": study.prior.published_responses,
        "p_enter": study.baseline.p_enter if study.baseline.elimination is None else 1.0,
        "p_enter_declared": "p_enter" in study.baseline.model_fields_set,
        "incidence_of": "" if study.published is None else study.published.incidence_of,
    }
    result = StudyTables(study, folder, settings, tables, sentences)
    drawn = figures(tables, request.interval)
    _write("published", result, started, drawn, overwrite=request.overwrite)
    return result


def figures(tables: Mapping[str, pd.DataFrame], ci_prob: float) -> dict[str, bytes]:
    """The figures of the tables, by path within the folder."""
    from bayes_cmvt.figures.published import plot_published, plot_responses, plot_scenarios
    from bayes_cmvt.figures.style import save_bytes

    drawn: dict[str, Callable[[], Any]] = {}
    if "published" in tables:
        drawn["published"] = lambda: plot_published(
            tables["published"],
            tables["published_priors"],
            rounding=tables["published_rounding"],
            interval=ci_prob,
        )
    if len(tables.get("scenarios", ())):
        drawn["scenarios"] = lambda: plot_scenarios(tables["scenarios"])
    if "responses" in tables:
        drawn["responses"] = lambda: plot_responses(
            tables["responses"], tables["response_predictive"]
        )
    return {
        f"figures/{name}.{kind}": save_bytes(figure, kind)
        for name, figure in ((name, draw()) for name, draw in drawn.items())
        for kind in FORMATS
    }


def sample_size_study(request: SampleSizeRequest, *, say: Say) -> StudyTables:
    """Work out how many patients a study would need, and write the table.

    Parameters
    ----------
    request : SampleSizeRequest
    say : callable
        Takes one line of news for the user.

    Returns
    -------
    StudyTables
        ``sentences`` holds what a methods section needs.

    Raises
    ------
    InputError
        Study, options or destination cannot be used; nothing was written.
    """
    from bayes_cmvt.sample_size import methods_sentence, sample_size_table

    started = time.perf_counter()
    study = load_study(request.study)
    folder = request.out or Path("runs") / f"{study.name}-samplesize"
    shares = event_shares(study, request.event_share)
    table = sample_size_table(study, shares, fit=request.fit, columns=request.columns)
    check_folder(folder, say, overwrite=request.overwrite)
    settings = {
        "event_share": request.event_share,
        "columns": request.columns,
        **asdict(request.fit),
    }
    tables = {"samplesize": table}
    result = StudyTables(study, folder, settings, tables, (methods_sentence(table),))
    _write("samplesize", result, started, {}, overwrite=request.overwrite)
    return result


def event_shares(study: Study, declared: float | None) -> Sequence[tuple[str, float]]:
    """Event shares to plan for: the declared one, else those of the data or of the print.

    Parameters
    ----------
    study : Study
    declared : float or None

    Returns
    -------
    sequence of (str, float)
        Each with what it is called.

    Raises
    ------
    OptionError
        Nothing says how many patients have the event.
    """
    if declared is not None:
        return [("declared", declared)]
    if study.heading.data is not None and not is_synthetic(study.heading.data):
        from bayes_cmvt.cohort import load_cohort

        cohort = load_cohort(study)
        return [("data", cohort.events_development / cohort.n_development)]
    shares = _printed_shares(study) if study.published is not None else []
    if not shares:
        msg = (
            f"{study.source}: neither data nor printed results say what share of patients has the "
            "event; declare it with --event-share, for instance 0.2"
        )
        raise OptionError(msg)
    return shares


def _printed_shares(study: Study) -> list[tuple[str, float]]:
    """The literature's range that the source quotes, and the share that its print allows."""
    from bayes_cmvt.published.reanalysis import read_block
    from bayes_cmvt.published.weighed_scenarios import default_scenario

    table = read_block(study)
    shares = []
    if table.incidence is not None:
        shares += [
            ("literature, lower", table.incidence[0]),
            ("literature, upper", table.incidence[1]),
        ]
    scenario = default_scenario(table)
    if scenario is not None and scenario.events_development and table.n_development:
        events = scenario.events_development
        development = table.of_set("development")
        known = development is not None and development.events is not None
        name = f"{events} events, {'printed' if known else 'assumed'}"
        shares.append((name, events / table.n_development))
    return shares


def _write(
    command: str,
    result: StudyTables,
    started: float,
    files: Mapping[str, bytes],
    *,
    overwrite: bool,
) -> None:
    from bayes_cmvt import runs

    study = result.study
    run = {
        "command": command,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "settings": dict(result.settings),
        "study": {"name": study.name, "sha256": study.sha256},
        "seconds": {command: round(time.perf_counter() - started, 3)},
        "diagnostics": {"trusted": True, "problems": []},
    }
    text = study.to_toml().encode("utf-8")
    runs.write_run(
        result.folder,
        lambda partial: runs.write_tables(
            partial, run=run, tables=result.tables, files={runs.STUDY: text, **files}
        ),
        overwrite=overwrite,
    )
