"""``bayes-cmvt reconstruct``: synthetic cohorts that agree with printed results, on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_cmvt.errors import OptionError, SamplingError, StudyError
from bayes_cmvt.stages import Say, check_folder, versions
from bayes_cmvt.study import Study, load_study
from bayes_cmvt.synthetic import MARK, titled

if TYPE_CHECKING:
    import pandas as pd

    from bayes_cmvt.reconstruction.synthetic_cohort import Assumptions, Reconstruction

COHORT_FILE = f"cohort_{MARK}"
WARMUP, DRAWS = 500, 1000  # of each chain, where copies are compared
BEHIND_FILE = f"behind_{MARK}"  # cell counts and the like: what columns were computed from


@dataclass(frozen=True)
class ReconstructRequest:
    """What ``bayes-cmvt reconstruct`` was asked for; ``out`` None: ``runs/STUDY-reconstruct``."""

    study: str
    copies: int = 1
    events: tuple[int, int] | None = None
    seed: int = 2025
    out: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class ReconstructResult:
    """What ``bayes-cmvt reconstruct`` made.

    Attributes
    ----------
    study : Study
    folder : Path
    files : tuple of str
        Of the cohorts; empty places for copies that no attempt could make.
    made : tuple of Reconstruction or None
    refused : tuple of str
        Why a copy is missing.
    tables : mapping of str to DataFrame
        ``agreement``; of several copies also ``reconstructions``, what each assumes, and
        ``reconstruction_conclusions``, what the horseshoe makes of its printed terms.
    seconds : float
    """

    study: Study
    folder: Path
    files: tuple[str, ...]
    made: tuple[Reconstruction | None, ...]
    refused: tuple[str, ...]
    tables: Mapping[str, pd.DataFrame]
    seconds: float


def reconstruct_study(request: ReconstructRequest, *, say: Say) -> ReconstructResult:
    """Make synthetic cohorts that agree with a study's print, and write them.

    Parameters
    ----------
    request : ReconstructRequest
    say : callable
        Takes one line of news for the user.

    Returns
    -------
    ReconstructResult

    Raises
    ------
    InputError
        The study, its printed results, the options or the destination cannot be used, or no cohort
        agrees with the print under what is assumed: which targets were missed, by how much. Nothing
        was written.
    """
    from bayes_cmvt import runs

    started = time.perf_counter()
    study = load_study(request.study)
    folder = request.out or Path("runs") / f"{study.name}-reconstruct"
    assumed = _assumed(study, request)
    check_folder(folder, say, overwrite=request.overwrite)
    made, refused = _copies(study, assumed, request.seed, say)
    files = _names(len(made))
    result = ReconstructResult(
        study=study,
        folder=folder,
        files=files,
        made=made,
        refused=refused,
        tables=_tables(files, made),
        seconds=time.perf_counter() - started,
    )
    runs.write_run(
        folder,
        lambda partial: runs.write_tables(
            partial, run=_run_record(result, request), tables=result.tables, files=_files(result)
        ),
        overwrite=request.overwrite,
    )
    return result


def _assumed(study: Study, request: ReconstructRequest) -> Sequence[Assumptions]:
    from bayes_cmvt.reconstruction.synthetic_cohort import MOST_COPIES, assumptions_of, variations

    if not 1 <= request.copies <= MOST_COPIES:
        msg = f"--copies: found {request.copies}; allowed: 1 to {MOST_COPIES}"
        raise OptionError(msg)
    if request.events is None:
        return variations(study, request.copies, seed=request.seed)
    own = assumptions_of(study, *request.events)
    return variations(study, request.copies, seed=request.seed, scenarios=[own.scenario])


def _copies(
    study: Study, assumed: Sequence[Assumptions], seed: int, say: Say
) -> tuple[tuple[Reconstruction | None, ...], tuple[str, ...]]:
    """Every copy on its own seed; one that cannot be made is told of, and leaves a gap."""
    from bayes_cmvt.reconstruction.synthetic_cohort import reconstruct

    made: list[Reconstruction | None] = []
    refused: list[str] = []
    for number, assumptions in enumerate(assumed):
        try:
            made.append(reconstruct(study, seed=seed + number, assumptions=assumptions))
        except SamplingError as error:
            if len(assumed) == 1:
                raise StudyError(str(error)) from None
            made.append(None)
            refused.append(str(error))
            say(f"copy {number + 1} could not be made: {error}")
    if not any(made):
        msg = "no copy agrees with the print:\n" + "\n".join(refused)
        raise StudyError(msg)
    return tuple(made), tuple(refused)


def _names(count: int) -> tuple[str, ...]:
    if count == 1:
        return (f"{COHORT_FILE}.csv",)
    digits = max(2, len(str(count)))
    return tuple(f"{COHORT_FILE}_{number:0{digits}d}.csv" for number in range(1, count + 1))


def _tables(files: Sequence[str], made: Sequence[Reconstruction | None]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    several = len(files) > 1
    agreement = [
        one.agreement.assign(file=file) if several else one.agreement
        for file, one in zip(files, made, strict=True)
        if one is not None
    ]
    tables = {"agreement": pd.concat(agreement, ignore_index=True)}
    if several:
        tables["reconstructions"] = pd.DataFrame(
            [_copy_row(file, one) for file, one in zip(files, made, strict=True)]
        )
        tables["reconstruction_conclusions"] = pd.concat(
            [
                _conclusions(file, one)
                for file, one in zip(files, made, strict=True)
                if one is not None
            ],
            ignore_index=True,
        )
    return tables


def _conclusions(file: str, one: Reconstruction) -> pd.DataFrame:
    """What the horseshoe makes of the printed terms in one copy: a short run, to be compared."""
    from bayes_cmvt.cohort import load_cohort
    from bayes_cmvt.estimates import coefficients
    from bayes_cmvt.prediction import predictions
    from bayes_cmvt.sampling import sample

    cohort = load_cohort(one.study, one.patients)
    fit = sample(cohort, warmup=WARMUP, draws=DRAWS, seed=one.seed)
    risks = predictions(fit, cohort)
    published = one.study.published
    printed = [] if published is None else [each.term for each in published.coefficients]
    table = coefficients(fit)
    columns = ["term", "label", "odds_ratio", "odds_ratio_lower", "odds_ratio_upper"]
    found = table.loc[table["term"].isin(printed), [*columns, "prob_positive", "shrinkage"]]
    found.insert(0, "file", file)
    return found.assign(median_width=float((risks["upper"] - risks["lower"]).median()))


def _copy_row(file: str, one: Reconstruction | None) -> dict[str, Any]:
    if one is None:
        return {"file": file, "agrees": False}
    return {
        "file": file,
        "scenario": one.assumptions.scenario.name,
        "correlation": one.assumptions.correlation,
        "seed": one.seed,
        "attempts": one.attempts,
        "agrees": one.agrees,
    }


def _files(result: ReconstructResult) -> dict[str, bytes]:
    from bayes_cmvt.reconstruction.assumption_words import assumptions_text

    made = [
        (file, one) for file, one in zip(result.files, result.made, strict=True) if one is not None
    ]
    files = {file: _csv(one.patients) for file, one in made}
    behind = {
        file.replace(COHORT_FILE, BEHIND_FILE): _csv(one.hidden)
        for file, one in made
        if len(one.hidden.columns)
    }
    texts = [
        assumptions_text(one) if len(result.files) == 1 else f"# {file}\n\n{assumptions_text(one)}"
        for file, one in made
    ]
    first = next(iter(files))
    return {
        **files,
        **behind,
        "assumptions.md": "\n\n".join(texts).encode("utf-8"),
        "study.toml": synthetic_study(result.study, first).to_toml().encode("utf-8"),
    }


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode("utf-8")


def synthetic_study(study: Study, file: str) -> Study:
    """Return the study with a synthetic cohort as its data, which its title says.

    Parameters
    ----------
    study : Study
    file : str
        Name of the cohort's file, beside the study.
    """
    heading = study.heading.model_copy(
        update={"data": file, "title": titled(study.heading.title, file)}
    )
    return replace(study, heading=heading)


def _run_record(result: ReconstructResult, request: ReconstructRequest) -> dict[str, Any]:
    attempts = [one.attempts for one in result.made if one is not None]
    return {
        "command": "reconstruct",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "seed": request.seed,
        "settings": {
            "copies": request.copies,
            "events": None if request.events is None else list(request.events),
        },
        "study": {"name": result.study.name, "sha256": result.study.sha256},
        "data": {"file": result.files[0]},
        "copies": {
            "made": len(attempts),
            "attempts": sum(attempts),
            "rejected": sum(attempts) - len(attempts),
        },
        "seconds": {"reconstruct": round(result.seconds, 3)},
        "diagnostics": {"trusted": True, "problems": []},
    }
