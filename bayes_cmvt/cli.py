"""The command line: it parses, calls one function of the workflow, prints."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bayes_cmvt.console import SamplingProgress, print_message, print_result
from bayes_cmvt.errors import BayesCmvtError, InputError

if TYPE_CHECKING:
    from bayes_cmvt.workers import Workers

DONE, DEFECT, BAD_INPUT, NOT_TRUSTED, INTERRUPTED = 0, 1, 2, 3, 130
NOTHING_WRITTEN = "interrupted; nothing was written."
DEFAULT_STUDY = "cmvt"  # on its SYNTHETIC cohort
DEFAULT_SEED = 2025

app = typer.Typer(
    name="bayes-cmvt",
    help="Bayesian reanalysis of LASSO-logistic-nomogram studies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StudyArgument = Annotated[
    str, typer.Argument(metavar="[STUDY]", help="A shipped study, or the path of a study file.")
]
StudyOnlyArgument = Annotated[
    str, typer.Argument(metavar="STUDY", help="A shipped study, or the path of a study file.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Run folder (default: runs/STUDY-COMMAND)."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder made by sample.")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="FILE", help="Patients: CSV, TSV, Excel, SPSS, Stata, Parquet."),
]
MissingOption = Annotated[
    Literal["error", "drop"] | None,
    typer.Option("--missing", help="What happens to missing values (default: as the study says)."),
]
IntervalOption = Annotated[
    float, typer.Option("--interval", help="Probability of the equal-tailed intervals.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print no summary and no progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
ModelOption = Annotated[
    str,
    typer.Option("--model", metavar="NAME", help="horseshoe, projection, baseline or published."),
]
EventShareOption = Annotated[
    float | None,
    typer.Option("--event-share", help="Anchors the printed model (default: as the study)."),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what exists, once the new is complete.")
]

CoresOption = Annotated[
    int | None, typer.Option("--cores", help="Refits at a time (default: all cores).")
]
LikeTheRunOption = Annotated[
    float | None,
    typer.Option("--interval", help="Probability of the intervals (default: that of the run)."),
]
FormatsOption = Annotated[
    str, typer.Option("--format", metavar="KIND,…", help="png, pdf, svg, tiff.")
]


def reporting_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn what a command raises into one message and the exit status of the contract."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except InputError as error:
            print_message(f"bayes-cmvt: {error}\n\n{error.aftermath}")
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt as stop:
            print_message(f"bayes-cmvt: {next(iter(stop.args), NOTHING_WRITTEN)}")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # the reader of our output has gone; keep Python from writing to it again at its exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(DONE) from None
        except typer.Exit:
            raise
        except BayesCmvtError as error:
            print_message(f"bayes-cmvt: {error}")
            raise typer.Exit(DEFECT) from None
        except Exception as error:
            print_message(_defect(error))
            raise typer.Exit(DEFECT) from None

    return wrapped


def _defect(error: Exception) -> str:
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    return (
        f"bayes-cmvt: a defect of ours, not of your input: {type(error).__name__}: {error} "
        f"({place})\nNothing was written. Please report this line, the command and the output of "
        "`bayes-cmvt --version` to whoever gave you the package"
    )


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print_result(f"bayes-cmvt {version('bayes-cmvt')}")
        raise typer.Exit(DONE)


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit.")
    ] = False,
) -> None:
    """Bayesian reanalysis of LASSO-logistic-nomogram studies."""


@app.command()
@reporting_errors
def sample(
    study: StudyArgument = DEFAULT_STUDY,
    data: DataOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Run folder (default: runs/STUDY).")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same tables.")] = DEFAULT_SEED,
    engine: Annotated[
        str, typer.Option("--engine", help="gibbs or nuts: two samplers of the same posterior.")
    ] = "gibbs",
    chains: Annotated[int, typer.Option("--chains", help="Independent chains.")] = 4,
    warmup: Annotated[int, typer.Option("--warmup", help="Warm-up draws of each chain.")] = 1000,
    draws: Annotated[
        str | None,
        typer.Option(
            "--draws",
            metavar="N|auto",
            help="Kept draws of each chain (4000, for nuts 2000); auto: until they suffice.",
        ),
    ] = None,
    target_accept: Annotated[
        float, typer.Option("--target-accept", help="Mean acceptance that NUTS aims at.")
    ] = 0.99,
    missing: MissingOption = None,
    interval: IntervalOption = 0.95,
    cores: Annotated[
        int | None, typer.Option("--cores", help="Chains at a time (default: all cores).")
    ] = None,
    check_engines: Annotated[
        bool, typer.Option("--check-engines", help="Sample with both engines and compare them.")
    ] = False,
    with_sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Sample again under other priors.")
    ] = False,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sample the posterior of a study: data in; draws, diagnostics and tables out."""
    from bayes_cmvt.sampling import SamplerSettings
    from bayes_cmvt.workflow import SampleRequest, sample_study

    request = SampleRequest(
        study=study,
        settings=SamplerSettings(
            engine,  # type: ignore[arg-type]
            chains,
            warmup,
            _whole_number(draws),  # type: ignore[arg-type]
            target_accept,
            seed,
        ),
        data=data,
        out=out,
        missing=missing,
        interval=interval,
        cores=cores,
        overwrite=overwrite,
        check_engines=check_engines,
    )
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet) as progress:
        result = sample_study(request, say=say, report=progress)
        others = _other_priors(result.folder, say, progress) if with_sensitivity else None

    from bayes_cmvt.summary import sample_record, sample_text

    record, text = sample_record(result), ""
    if others is not None:
        from bayes_cmvt.reanalysis_summary import sensitivity_record, sensitivity_text

        record["sensitivity"] = sensitivity_record(others)
        text = "\n\n" + sensitivity_text(record["sensitivity"])
    _show(record, sample_text(record) + text, quiet=quiet, as_json=as_json)
    if not result.verdict.trusted:
        # the summary has said what failed
        _not_trusted(result.verdict.problems if quiet or as_json else ())


def _other_priors(folder: Path, say: Callable[[str], None], progress: Any) -> Any:
    """Sample a run that has just been made again under other priors."""
    from bayes_cmvt.sensitivity_run import SensitivityRequest, sensitivity_run

    say("sampling again under other priors")
    return sensitivity_run(SensitivityRequest(folder), say=say, report=progress)


@app.command()
@reporting_errors
def check(
    study: StudyArgument = DEFAULT_STUDY,
    data: DataOption = None,
    missing: MissingOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Validate study and data, and print the flow and Table 1, without sampling."""
    from bayes_cmvt import workflow
    from bayes_cmvt.summary import check_record, check_text

    result = workflow.check(study, data, missing)
    _show(check_record(result), check_text(result), quiet=quiet, as_json=as_json)


@app.command()
@reporting_errors
def predict(
    run: RunArgument,
    data: Annotated[Path, typer.Option("--data", metavar="FILE", help="New patients.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="CSV (default: standard output)."),
    ] = None,
    interval: IntervalOption = 0.95,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print the risk of each row of a new file with its interval, as CSV."""
    from bayes_cmvt.workflow import predict_patients, write_risks

    result = predict_patients(run, data, interval)
    say = _silent if quiet else print_message
    for note in result.notes:
        say(note)
    if result.left_out:
        rows = "1 row" if result.left_out == 1 else f"{result.left_out} rows"
        say(f"{rows} left out: a predictor is missing")
    if output is not None:
        write_risks(result, output, overwrite=overwrite)
        say(f"{len(result.risks)} risks: {output}")
    elif as_json:
        _print_json(result.risks.to_dict("records"))
    else:
        print_result(result.risks.to_csv(index=False).rstrip("\n"))
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def validate(
    run: RunArgument,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Other patients (default: those of the run)."),
    ] = None,
    missing: MissingOption = None,
    update: Annotated[
        bool, typer.Option("--update/--no-update", help="Update the model with --data.")
    ] = True,
    power_prior: Annotated[
        bool, typer.Option("--power-prior/--no-power-prior", help="Among the updates; a minute.")
    ] = True,
    folds: Annotated[int, typer.Option("--folds", help="Of the cross-validation.")] = 10,
    repeats: Annotated[int, typer.Option("--repeats", help="Of the folds; 0: none.")] = 5,
    splits: Annotated[int, typer.Option("--splits", help="Random 7:3 splits; 0: none.")] = 200,
    replicates: Annotated[
        int, typer.Option("--replicates", help="Bootstrap replicates of the patients.")
    ] = 4000,
    smoother: Annotated[
        str, typer.Option("--smoother", help="loess, lowess, spline or isotonic.")
    ] = "loess",
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same tables.")] = DEFAULT_SEED,
    interval: IntervalOption = 0.95,
    cores: Annotated[
        int | None, typer.Option("--cores", help="Refits at a time (default: all cores).")
    ] = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Judge the risks of a run: discrimination, calibration, utility, on its patients or others."""
    from bayes_cmvt.evaluation import EvaluationSettings
    from bayes_cmvt.evaluation_summary import validation_record, validation_text
    from bayes_cmvt.validation import Updating, ValidateRequest, validate_run

    settings = EvaluationSettings(interval, replicates, folds, repeats, splits, smoother, seed)
    updates = Updating(update, power_prior)
    request = ValidateRequest(run, settings, data, missing, updates, cores, overwrite=overwrite)
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet, first="reading the run") as progress:
        result = validate_run(request, say=say, report=progress)
    record = validation_record(result)
    _show(record, validation_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def baseline(
    run: RunArgument,
    resamples: Annotated[
        int | None,
        typer.Option("--resamples", help="Of the whole workflow; 0: none (default: the study's)."),
    ] = None,
    subsamples: Annotated[
        int, typer.Option("--subsamples", help="Without replacement, for selection frequencies.")
    ] = 200,
    folds: Annotated[
        Path | None,
        typer.Option("--folds", metavar="FILE", help="Table with columns row and fold."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", metavar="ADDRESS", help="Dask scheduler, tcp://HOST:PORT."),
    ] = None,
    processes: Annotated[
        bool, typer.Option("--processes", help="Resamples in processes instead of threads.")
    ] = False,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Of the cross-validation; 0: none.")
    ] = 5,
    splits: Annotated[int, typer.Option("--splits", help="Random 7:3 splits; 0: none.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same tables.")] = DEFAULT_SEED,
    interval: IntervalOption = 0.95,
    cores: Annotated[
        int | None, typer.Option("--cores", help="Resamples at a time (default: all cores).")
    ] = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the LASSO workflow on the run's patients, and again on every resample of them."""
    from bayes_cmvt.baseline_run import BaselineRequest, baseline_run
    from bayes_cmvt.baseline_summary import baseline_record, baseline_text
    from bayes_cmvt.evaluation import EvaluationSettings

    request = BaselineRequest(
        run,
        EvaluationSettings(interval, repeats=repeats, splits=splits, seed=seed),
        resamples,
        subsamples,
        folds,
        _workers(cores, cluster, processes=processes),
        overwrite,
    )
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet, first="reading the run") as progress:
        result = baseline_run(request, say=say, report=progress)
    record = baseline_record(result)
    _show(record, baseline_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def select(
    run: RunArgument,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="K", help="Predictors (default: the suggested size)."),
    ] = None,
    force: Annotated[
        list[str] | None,
        typer.Option("--force", metavar="NAME,…", help="Predictors of every submodel; repeatable."),
    ] = None,
    search: Annotated[str, typer.Option("--search", help="forward or l1.")] = "forward",
    by_cost: Annotated[
        bool, typer.Option("--by-cost", help="By what a predictor brings for its cost.")
    ] = False,
    max_size: Annotated[
        int | None, typer.Option("--max-size", help="Of the search (default: all, at most 30).")
    ] = None,
    validation: Annotated[
        str, typer.Option("--validation", help="kfold, or loo: by importance weights.")
    ] = "kfold",
    search_inside: Annotated[
        bool,
        typer.Option("--search-inside/--search-once", help="Repeat the search in every fold."),
    ] = True,
    folds: Annotated[int, typer.Option("--folds", help="Of the cross-validation.")] = 10,
    repeats: Annotated[int, typer.Option("--repeats", help="Of the folds.")] = 5,
    subsamples: Annotated[
        int, typer.Option("--subsamples", help="For selection frequencies; 0: none.")
    ] = 200,
    splits: Annotated[int, typer.Option("--splits", help="Random 7:3 splits; 0: none.")] = 40,
    seeds: Annotated[int, typer.Option("--seeds", help="Other seeds of the sampler.")] = 6,
    rope: Annotated[
        float, typer.Option("--rope", help="Odds ratio up to which an effect is of no use.")
    ] = 1.1,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same tables.")] = DEFAULT_SEED,
    interval: IntervalOption = 0.95,
    cores: Annotated[
        int | None, typer.Option("--cores", help="Refits at a time (default: all cores).")
    ] = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find out which predictors a smaller model needs, and how sure that is."""
    from bayes_cmvt.repetitions import SelectionSettings
    from bayes_cmvt.selection_run import SelectRequest, select_run
    from bayes_cmvt.selection_summary import selection_record, selection_text

    settings = SelectionSettings(
        search=search,  # type: ignore[arg-type]
        by_cost=by_cost,
        max_size=max_size,
        validation=validation,  # type: ignore[arg-type]
        search_inside=search_inside,
        folds=folds,
        repeats=repeats,
        subsamples=subsamples,
        splits=splits,
        seeds=seeds,
        rope=rope,
        interval=interval,
        seed=seed,
    )
    request = SelectRequest(run, settings, size, tuple(force or ()), cores, overwrite)
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet, first="reading the run") as progress:
        result = select_run(request, say=say, report=progress)
    record = selection_record(result)
    _show(record, selection_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def nomogram(
    run: RunArgument,
    model: ModelOption = "horseshoe",
    patient: Annotated[
        str | None,
        typer.Option(
            "--patient", metavar="row=N|KEY=VALUE,…", help="A patient to read off, and draw."
        ),
    ] = None,
    beside: Annotated[
        str | None, typer.Option("--beside", metavar="NAME", help="Another model, side by side.")
    ] = None,
    axis_limits: Annotated[
        str, typer.Option("--axis-limits", help="study, or rms: as R's rms draws axes.")
    ] = "study",
    gather: Annotated[
        float,
        typer.Option(
            "--gather",
            help="The shortest axes become one line, together below this share of the longest.",
        ),
    ] = 0.1,
    event_share: EventShareOption = None,
    interval: IntervalOption = 0.95,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw a model as a nomogram with bands of uncertainty, and read a patient off it."""
    from bayes_cmvt.nomogram_run import NomogramRequest, nomogram_run
    from bayes_cmvt.nomogram_summary import nomogram_record, nomogram_text

    request = NomogramRequest(
        run, model, patient, beside, axis_limits, gather, event_share, interval, overwrite
    )
    result = nomogram_run(request, say=_silent if quiet else print_message)
    record = nomogram_record(result)
    _show(record, nomogram_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def calculator(
    run: RunArgument,
    model: ModelOption = "horseshoe",
    event_share: EventShareOption = None,
    interval: IntervalOption = 0.95,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML file that computes risks with their intervals; it holds no patient."""
    from bayes_cmvt.calculator_run import CalculatorRequest, calculator_run
    from bayes_cmvt.nomogram_summary import calculator_record, calculator_text

    request = CalculatorRequest(run, model, event_share, interval, overwrite)
    result = calculator_run(request, say=_silent if quiet else print_message)
    record = calculator_record(result)
    _show(record, calculator_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def compare(
    run: RunArgument,
    interval: LikeTheRunOption = None,
    cores: CoresOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put credible intervals beside bootstrap intervals: coefficients, risks, performance."""
    from bayes_cmvt.compare_run import CompareRequest, compare_run
    from bayes_cmvt.comparison_summary import comparison_record, comparison_text

    request = CompareRequest(run, interval, cores, overwrite)
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet, first="reading the run") as progress:
        result = compare_run(request, say=say, report=progress)
    record = comparison_record(result)
    _show(record, comparison_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def sensitivity(
    run: RunArgument,
    interval: LikeTheRunOption = None,
    cores: CoresOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sample again under other priors, and see what they would have changed."""
    from bayes_cmvt.reanalysis_summary import sensitivity_record, sensitivity_text
    from bayes_cmvt.sensitivity_run import SensitivityRequest, sensitivity_run

    request = SensitivityRequest(run, interval, cores, overwrite)
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet, first="reading the run") as progress:
        result = sensitivity_run(request, say=say, report=progress)
    record = sensitivity_record(result)
    _show(record, sensitivity_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def figures(
    run: RunArgument,
    formats: FormatsOption = "png,pdf",
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME,…", help="These figures (default: all); repeatable."),
    ] = None,
    width: Annotated[
        str,
        typer.Option("--width", help="fit, single (85 mm), double (175 mm), or a number of mm."),
    ] = "fit",
    dpi: Annotated[int, typer.Option("--dpi", help="Dots per inch of png and tiff.")] = 300,
    cores: CoresOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw the supplementary figures, each with the CSV behind it, and a sheet of all."""
    from bayes_cmvt.figures_run import FiguresRequest, figures_run
    from bayes_cmvt.reanalysis_summary import figures_record, figures_text

    request = FiguresRequest(
        run, _listed([formats]), _listed(only or []), width, dpi, cores, overwrite
    )
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet, first="reading the run") as progress:
        result = figures_run(request, say=say, report=progress)
    record = figures_record(result)
    _show(record, figures_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def report(
    run: RunArgument,
    docx: Annotated[bool, typer.Option("--docx", help="Also a Word document.")] = False,
    language: Annotated[
        str | None, typer.Option("--language", help="en or zh (default: that of the study).")
    ] = None,
    cores: CoresOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the report: one HTML file for readers, and Word; no patient is in it."""
    from bayes_cmvt.reanalysis_summary import report_record, report_text
    from bayes_cmvt.report_run import ReportRequest, report_run

    request = ReportRequest(run, docx, language, cores, overwrite)
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet, first="reading the run") as progress:
        result = report_run(request, say=say, report=progress)
    record = report_record(result)
    _show(record, report_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


@app.command()
@reporting_errors
def reanalyse(
    study: StudyArgument = DEFAULT_STUDY,
    data: DataOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Run folder (default: runs/STUDY).")
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option("--resamples", help="Of the whole workflow (default: the study's)."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: fewer resamples and repetitions.")
    ] = False,
    with_sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Sample again under other priors.")
    ] = False,
    docx: Annotated[bool, typer.Option("--docx", help="Also a Word document.")] = False,
    formats: FormatsOption = "png,pdf",
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same tables.")] = DEFAULT_SEED,
    engine: Annotated[
        str, typer.Option("--engine", help="gibbs or nuts: two samplers of the same posterior.")
    ] = "gibbs",
    missing: MissingOption = None,
    interval: IntervalOption = 0.95,
    cores: CoresOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Do all of it: sample, baseline, validate, compare, select, figures, report, calculator."""
    from bayes_cmvt.reanalysis_run import ReanalyseRequest, reanalyse_study
    from bayes_cmvt.reanalysis_summary import reanalysis_record, reanalysis_text
    from bayes_cmvt.sampling import SamplerSettings

    request = ReanalyseRequest(
        study,
        SamplerSettings(engine, seed=seed),  # type: ignore[arg-type]
        data,
        out,
        missing,
        interval,
        resamples,
        quick,
        with_sensitivity,
        docx,
        _listed([formats]),
        cores,
        overwrite,
    )
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet, first="reading the study") as progress:

        def begin(number: int, total: int, name: str) -> None:
            progress.begin(number, total, name)
            say(f"{number} of {total}: {name}")

        result = reanalyse_study(request, say=say, begin=begin, report=progress)
    record = reanalysis_record(result)
    _show(record, reanalysis_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        _not_trusted(result.problems)


def _workers(cores: int | None, cluster: str | None, *, processes: bool) -> Workers:
    """Where numbered tasks run, as the options say."""
    from bayes_cmvt.workers import Workers

    kind: Literal["threads", "processes", "cluster"]
    kind = "cluster" if cluster is not None else "processes" if processes else "threads"
    return Workers(kind, cores, cluster)


def _listed(given: list[str]) -> tuple[str, ...]:
    """Names apart by commas, of an option that may be repeated."""
    return tuple(part.strip() for text in given for part in text.split(",") if part.strip())


@app.command()
@reporting_errors
def published(
    study: StudyOnlyArgument,
    out: OutOption = None,
    worth: Annotated[
        int | None,
        typer.Option("--worth", help="Patients' worth of each printed response (as the study)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same tables.")] = DEFAULT_SEED,
    interval: IntervalOption = 0.95,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Reanalyse printed results where no patient data exist: evidence, claims, information."""
    from bayes_cmvt.published_run import PublishedRequest, published_study
    from bayes_cmvt.published_summary import published_text, tables_record

    request = PublishedRequest(study, out, seed, interval, worth, overwrite)
    record = tables_record(published_study(request, say=_silent if quiet else print_message))
    _show(record, published_text(record), quiet=quiet, as_json=as_json)


@app.command()
@reporting_errors
def reconstruct(
    study: StudyOnlyArgument,
    copies: Annotated[
        int, typer.Option("--copies", help="Cohorts that differ in what the print leaves open.")
    ] = 1,
    events: Annotated[
        tuple[int, int] | None,
        typer.Option("--events", help="Events for development and validation (as the study)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same cohort.")] = DEFAULT_SEED,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a SYNTHETIC cohort that agrees with the printed results, and show how far it does."""
    from bayes_cmvt.reconstruction_run import ReconstructRequest, reconstruct_study
    from bayes_cmvt.reconstruction_summary import reconstruction_record, reconstruction_text

    request = ReconstructRequest(study, copies, events, seed, out, overwrite)
    result = reconstruct_study(request, say=_silent if quiet else print_message)
    record = reconstruction_record(result)
    _show(record, reconstruction_text(record), quiet=quiet, as_json=as_json)


@app.command()
@reporting_errors
def samplesize(
    study: StudyOnlyArgument,
    event_share: Annotated[
        float | None,
        typer.Option("--event-share", help="Expected (default: of the data, or as printed)."),
    ] = None,
    columns: Annotated[
        int | None, typer.Option("--columns", help="Candidate columns (default: the study's).")
    ] = None,
    r2_cox_snell: Annotated[
        float | None, typer.Option("--r2-cox-snell", help="Expected of the model, declared.")
    ] = None,
    r2_nagelkerke: Annotated[
        float | None, typer.Option("--r2-nagelkerke", help="The same, as a share of its maximum.")
    ] = None,
    c_statistic: Annotated[
        float | None, typer.Option("--c-statistic", help="Of an earlier model on other patients.")
    ] = None,
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Work out how many patients a study needs: its own formula, and Riley's criteria."""
    from bayes_cmvt.published_run import SampleSizeRequest, sample_size_study
    from bayes_cmvt.published_summary import sample_size_text, tables_record
    from bayes_cmvt.sample_size import ExpectedFit

    fit = ExpectedFit(r2_cox_snell, r2_nagelkerke, c_statistic)
    request = SampleSizeRequest(study, fit, event_share, columns, out, overwrite)
    record = tables_record(sample_size_study(request, say=_silent if quiet else print_message))
    _show(record, sample_size_text(record), quiet=quiet, as_json=as_json)


@app.command()
@reporting_errors
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Data file.")],
    outcome: Annotated[str, typer.Option("--outcome", metavar="COLUMN", help="Outcome column.")],
    event: Annotated[
        str | None, typer.Option("--event", metavar="VALUE", help="Value that is the event.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Study file (default: standard output)."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Draft a study file from a data file; every guess is marked as one."""
    from bayes_cmvt.workflow import draft

    text = draft(file, outcome, event, out, overwrite=overwrite)
    if out is None:
        print_result(text.rstrip("\n"))
    else:
        print_message(
            f"{out}: read every line marked guess, then: bayes-cmvt check {out} --data {file}"
        )


@app.command()
@reporting_errors
def studies(
    name: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Show this one.")] = None,
) -> None:
    """List the shipped studies, or show one study's outcome, candidates and prior."""
    from bayes_cmvt.workflow import list_studies

    print_result(list_studies(name))


@app.command()
@reporting_errors
def simulate(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="sbc, coverage or selection.")],
    study: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="A study (default: cmvt); none with --invariance."),
    ] = None,
    data: DataOption = None,
    missing: MissingOption = None,
    replications: Annotated[
        int | None,
        typer.Option(
            "--replications",
            help="Data sets: sbc 1000 (nuts 100), coverage 500, selection 200, invariance 10000.",
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            metavar="NAME,…",
            help="study (effects as printed or found), halved, dense (all small), correlated, rare "
            "(7 % events), nonlinear, null, posterior (truths drawn from it).",
        ),
    ] = None,
    population: Annotated[
        Path | None,
        typer.Option(
            "--population", metavar="FILE", help="Samples of this file, n at most its tenth part."
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="Patients of a data set (default: as the study).")
    ] = None,
    resamples: Annotated[
        int,
        typer.Option("--resamples", help="For coverage: of each bootstrap, 20 or more; 0: none."),
    ] = 200,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods",
            metavar="NAME,…",
            help="For coverage: credible, bootstrap, bootstrap_refit, bootstrap_lasso, wald, "
            "wald_selected, firth, ridge (default: all).",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option("--engine", help="For sbc: gibbs, nuts, or gibbs-without-normaliser (wrong)."),
    ] = "gibbs",
    posterior: Annotated[
        bool, typer.Option("--posterior", help="For sbc: truths from the study's own posterior.")
    ] = False,
    global_scale: Annotated[
        float | None, typer.Option("--global-scale", help="For sbc: of the prior (default: study).")
    ] = None,
    slab_scale: Annotated[
        float | None, typer.Option("--slab-scale", help="For sbc: of the prior (default: study).")
    ] = None,
    projection_folds: Annotated[
        int | None,
        typer.Option("--folds", help="For selection: of the projection; 0: no projection."),
    ] = None,
    invariance: Annotated[
        bool, typer.Option("--invariance", help="For sbc: prove the sampler by invariance.")
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", metavar="ADDRESS", help="Dask scheduler, tcp://HOST:PORT."),
    ] = None,
    processes: Annotated[
        bool, typer.Option("--processes", help="Data sets in processes instead of threads.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same tables.")] = DEFAULT_SEED,
    interval: IntervalOption = 0.95,
    cores: Annotated[
        int | None, typer.Option("--cores", help="Data sets at a time (default: all cores).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Run folder (default: runs/STUDY-simulate-KIND)."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate: is the sampler right (sbc), whose intervals hold the truth, what is selected."""
    from bayes_cmvt.simulation_run import SimulationRequest
    from bayes_cmvt.simulation_run import simulate as carried_out
    from bayes_cmvt.simulation_summary import simulation_record, simulation_text

    request = SimulationRequest(
        kind=kind,
        study=study,
        data=data,
        missing=missing,
        replications=replications,
        scenarios=_listed(scenario or []),
        population=population,
        n=n,
        resamples=resamples,
        methods=_listed(methods) if methods else None,
        engine=engine,
        posterior=posterior,
        global_scale=global_scale,
        slab_scale=slab_scale,
        folds=projection_folds,
        invariance=invariance,
        workers=_workers(cores, cluster, processes=processes),
        seed=seed,
        interval=interval,
        out=out,
        overwrite=overwrite,
    )
    say = _silent if quiet else print_message
    with SamplingProgress(quiet=quiet, first="preparing the simulation") as progress:
        result = carried_out(request, say=say, report=progress)
    record = simulation_record(result)
    _show(record, simulation_text(record), quiet=quiet, as_json=as_json)
    if result.problems:
        lines = "".join(f"\n  {problem}" for problem in result.problems)
        print_message(f"bayes-cmvt: {_FAILED[result.kind]}{lines}")
        raise typer.Exit(NOT_TRUSTED)


_FAILED = {
    "invariance": "the sampler fails the proof by invariance",
    "sbc": "the sampler fails simulation-based calibration",
}


def _whole_number(text: str | None) -> int | str | None:
    """Return the number that a text is; what is none is refused with all other settings."""
    try:
        return text if text is None else int(text)
    except ValueError:
        return text


def _show(record: dict[str, Any], text: str, *, quiet: bool, as_json: bool) -> None:
    """Print a result as JSON where that is asked for, else as text unless quiet."""
    if as_json:
        _print_json(record)
    elif not quiet:
        print_result(text)


def _print_json(record: object) -> None:
    from bayes_cmvt.summary import plain

    print_result(json.dumps(record, indent=2, ensure_ascii=False, default=plain))


def _silent(_: str) -> None:
    """Say nothing."""


def _not_trusted(problems: tuple[str, ...]) -> None:
    lines = "".join(f"\n  {problem}" for problem in problems)
    print_message(f"bayes-cmvt: the draws of this run are not to be trusted{lines}")
    raise typer.Exit(NOT_TRUSTED)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            # threads of the interrupted sampler may still run, and crash where Python takes itself
            # down in an orderly way
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
