"""The command line: what it prints, where, with which status; and that bad input writes nothing."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_cmvt as bc
from bayes_cmvt import cli, runs, workflow
from tests.references import shared_file

ROOT = Path(__file__).parents[1]
STUDY = """
schema = 1
name = "small"
title = "Small"
[outcome]
column = "y"
event = 1
[[predictors]]
name = "age"
label = "Age"
unit = "years"
kind = "continuous"
[[predictors]]
name = "sex"
kind = "binary"
levels = ["f", "m"]
"""
SHORT = ["--chains", "2", "--warmup", "60", "--draws", "40"]


def small_data(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "y": rng.integers(0, 2, n),
            "age": rng.normal(60, 10, n).round(1),
            "sex": rng.choice(["f", "m"], n),
        }
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a good study and good data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(STUDY)
    small_data().to_csv(tmp_path / "small.csv", index=False)
    return tmp_path


def invoke(*arguments: str):
    return CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the embedded example, too short to be trusted."""
    folder = tmp_path_factory.mktemp("runs") / "pep"
    result = invoke("sample", "pep", "--out", str(folder), *SHORT)
    assert result.exit_code == 3
    return folder


# --- what sample makes -------------------------------------------------------------------------


def test_run_folder_holds_what_the_contract_lists(run: Path) -> None:
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {
        "run.json",
        "study.toml",
        "posterior.nc",
        "cohort.parquet",
        "tables/coefficients.csv",
        "tables/predictions.csv",
    } <= names
    record = json.loads((run / "run.json").read_text())
    assert record["schema"] == 1
    assert record["command"] == "sample"
    assert record["seed"] == 2025
    assert record["engine"] == "gibbs"
    assert (record["patients"], record["events"]) == (602, 79)
    assert record["flow"]["analysed"] == 602
    assert re.fullmatch("[0-9a-f]{64}", record["data"]["sha256"])
    assert set(record["seconds"]) == {"read", "sample", "tables"}
    assert record["diagnostics"]["trusted"] is False
    assert bc.load_study(run / "study.toml").terms == bc.load_study("pep").terms
    assert list(bc.load_run(run)["posterior"]["beta"].dims) == ["chain", "draw", "coefficient"]


def test_tables_of_a_run_are_those_of_python(run: Path) -> None:
    fit = bc.load_run(run)
    table = pd.read_csv(run / "tables" / "coefficients.csv")
    pd.testing.assert_frame_equal(table, bc.coefficients(fit), rtol=1e-12)
    cohort = bc.load_cohort(bc.load_study("pep"))
    predictions = pd.read_csv(run / "tables" / "predictions.csv")
    expected = bc.predictions(fit, cohort)
    pd.testing.assert_frame_equal(predictions, expected, rtol=1e-12, check_dtype=False)


def test_every_column_of_every_table_is_in_the_glossary(run: Path) -> None:
    for path in (run / "tables").glob("*.csv"):
        for column in pd.read_csv(path, nrows=0).columns:
            assert len(bc.define(column)) > 10, (path.name, column)
    for group in bc.load_run(run).children.values():
        for dimension in group.dims:
            assert len(bc.define(str(dimension))) > 10


def test_nothing_in_a_run_folder_names_where_it_was_made(run: Path) -> None:
    for path in run.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(run).encode() not in content, path
            assert str(ROOT).encode() not in content, path


def test_a_run_that_failed_the_gate_says_so_and_status_is_3(run: Path, tmp_path: Path) -> None:
    data = ROOT / "models" / "indo_rct.csv"
    result = invoke("predict", str(run), "--data", str(data), "--output", str(tmp_path / "r.csv"))
    assert result.exit_code == 3
    assert "the draws of this run are not to be trusted" in result.stderr
    assert len(pd.read_csv(tmp_path / "r.csv")) == 602


def test_both_engines_are_compared_in_monte_carlo_errors(place: Path) -> None:
    result = invoke(
        "sample", "small.toml", "--data", "small.csv", "--check-engines", "--out", "run", "--json"
    )
    assert result.exit_code == 0, result.stderr
    engines = json.loads(result.stdout)["engines"]
    table = pd.read_csv(place / "run" / "tables" / "engines.csv")
    assert engines["agree"] is True
    assert engines["comparisons"] == len(table)
    assert engines["largest"] == pytest.approx(table["difference"].abs().max())
    # 8 scalars and 20 patients, five statistics of each
    assert len(table) == 5 * (8 + 20)
    assert "sampling the same posterior again with nuts" in result.stderr


@pytest.mark.slow
def test_engines_that_disagree_are_not_trusted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second engine is replaced by one whose intercept is wrong by 0.2."""
    from bayes_cmvt import sampling

    honest = sampling.sample

    def sample(cohort, *, engine, **options):
        fit = honest(cohort, engine="gibbs", **options)
        if engine == "nuts":
            fit["posterior"]["intercept"] += 0.2
        return fit

    monkeypatch.setattr(sampling, "sample", sample)
    result = invoke(
        "sample", "small.toml", "--data", "small.csv", "--check-engines", "--out", "run"
    )
    assert result.exit_code == 3
    assert "Gibbs and NUTS DISAGREE" in result.stdout
    assert "the engines disagree" in result.stdout
    record = json.loads((place / "run" / "run.json").read_text())
    assert "the engines disagree" in record["diagnostics"]["problems"][0]
    assert set(record["seconds"]) == {"read", "sample", "tables", "engines"}


def test_sampling_until_enough_says_what_it_did(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bayes_cmvt import sampling

    monkeypatch.setitem(sampling.DEFAULT_DRAWS, "gibbs", 50)
    result = invoke("sample", "small.toml", "--data", "small.csv", "--draws", "auto")
    assert result.exit_code == 0, result.stderr
    lengths = json.loads((place / "runs" / "small" / "run.json").read_text())["settings"]["lengths"]
    assert f"4 chains x {lengths[-1]} draws" in result.stdout
    assert f"{', '.join(map(str, lengths[:-1]))} were too few" in result.stdout


def test_predict_prints_csv_on_standard_output(run: Path) -> None:
    result = invoke("predict", str(run), "--data", str(ROOT / "models" / "indo_rct.csv"))
    lines = result.stdout.splitlines()
    assert lines[0] == "row,risk,median,lower,upper,interval"
    assert len(lines) == 603
    saved = pd.read_csv(run / "tables" / "predictions.csv")
    assert float(lines[1].split(",")[1]) == pytest.approx(saved["risk"][0], rel=1e-12)


def test_summary_fits_a_screen_and_json_holds_the_same(place: Path) -> None:
    arguments = ["sample", "small.toml", "--data", "small.csv", *SHORT]
    text = invoke(*arguments, "--out", "one")
    assert all(len(line) <= 110 for line in text.stdout.splitlines()[:12])
    assert "small  Small" in text.stdout
    assert "60 patients" in text.stdout
    record = json.loads(invoke(*arguments, "--out", "two", "--json").stdout)
    assert record["patients"] == 60
    assert [one["term"] for one in record["coefficients"]]
    assert invoke(*arguments, "--out", "three", "--quiet").stdout == ""
    one, two = (pd.read_csv(place / n / "tables" / "coefficients.csv") for n in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)


def test_check_prints_flow_and_table_one_and_writes_nothing(place: Path) -> None:
    before = contents(place)
    result = invoke("check", "small.toml", "--data", "small.csv")
    assert result.exit_code == 0
    assert "analysed" in result.stdout
    assert "Age (years)" in result.stdout
    assert contents(place) == before
    record = json.loads(invoke("check", "small.toml", "--data", "small.csv", "--json").stdout)
    assert record["flow"]["analysed"] == 60


def test_init_drafts_a_study_that_check_takes(place: Path) -> None:
    result = invoke("init", "small.csv", "--outcome", "y", "--out", "draft.toml")
    assert result.exit_code == 0
    assert "guess" in (place / "draft.toml").read_text()
    assert invoke("check", "draft.toml").exit_code == 0
    printed = invoke("init", "small.csv", "--outcome", "y")
    assert 'column = "y"' in printed.stdout


def test_studies_are_listed() -> None:
    result = invoke("studies")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["cmvt", "ldh", "pep"]
    assert "crp_pre" in invoke("studies", "cmvt").stdout


def test_missing_option_overrides_the_study(place: Path) -> None:
    data = small_data()
    data.loc[:3, "age"] = np.nan
    data.to_csv("holes.csv", index=False)
    refused = invoke("check", "small.toml", "--data", "holes.csv")
    assert refused.exit_code == 2
    assert "column age: 4 of 60 values are missing" in refused.stderr
    dropped = invoke("check", "small.toml", "--data", "holes.csv", "--missing", "drop")
    assert dropped.exit_code == 0
    assert re.search(r"a predictor missing\s+4\b", dropped.stdout)


# --- bad input: status 2, one message, no traceback, nothing written ----------------------------


def edited(old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        assert old in STUDY
        (folder / "small.toml").write_text(STUDY.replace(old, new))

    return edit


def data_with(**changes: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        data = small_data().astype(object)
        for column, values in changes.items():
            data[column] = values
        data.to_csv(folder / "small.csv", index=False)

    return write


def one_cell(column: str, value: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        data = small_data().astype(object)
        data.loc[16, column] = value
        data.to_csv(folder / "small.csv", index=False)

    return write


def raw(content: bytes, name: str = "small.csv") -> Callable[[Path], None]:
    return lambda folder: [(folder / name).write_bytes(content), None][1]


def existing_run(folder: Path) -> None:
    (folder / "runs" / "small").mkdir(parents=True)
    (folder / "runs" / "small" / "run.json").write_text('{"schema": 1}')


def copied_column(folder: Path) -> None:
    data = small_data()
    data["copy"] = data["age"] * 2 + 1
    data.to_csv(folder / "small.csv", index=False)
    edited('kind = "continuous"', 'kind = "continuous"\n[[predictors]]\nname = "copy"\n'
           'kind = "continuous"')(folder)  # fmt: skip


SAMPLE = ["sample", "small.toml", "--data", "small.csv", *SHORT]
EXCEL = ["check", "small.toml", "--data", "small.csv.xlsx"]
BAD: dict[str, tuple[Callable[[Path], None], list[str], str]] = {
    "unknown study": (lambda f: None, ["sample", "cmtv"], 'did you mean "cmvt"'),
    "no public data": (lambda f: None, ["sample", "ldh"], "none are public"),
    "no public data, to check": (lambda f: None, ["check", "ldh"], "none are public"),
    "unknown study key": (edited("[outcome]", "[outcome]\nevnt = 1"), SAMPLE, 'mean "event"'),
    "wrong type": (edited('unit = "years"', "unit = 7"), SAMPLE, "found 7"),
    "wrong kind": (edited('"continuous"', '"contnuous"'), SAMPLE, 'did you mean "continuous"'),
    "no outcome table": (edited("[outcome]", "[decision]"), SAMPLE, r"\[outcome\] is missing"),
    "study is a folder": (lambda f: (f / "d.toml").mkdir(), ["sample", "d.toml"], "is a folder"),
    "study is no TOML": (raw(b"= = =", "small.toml"), SAMPLE, "not readable as TOML"),
    "study is empty": (raw(b"", "small.toml"), SAMPLE, "is empty"),
    "study is binary": (raw(bytes(range(256)), "small.toml"), SAMPLE, "not UTF-8"),
    "study is huge": (raw(b"#" * 2_000_000, "small.toml"), SAMPLE, "larger than 1 MB"),
    "study name is a path": (edited('"small"', '"../up"'), SAMPLE, 'key "name"'),
    "data leave the folder": (
        edited('title = "Small"', 'title = "Small"\ndata = "../../etc/passwd"'),
        ["sample", "small.toml"],
        "own folder",
    ),
    "control characters": (edited('"Age"', r'"A\u001b[2Jge"'), SAMPLE, r"U\+001B"),
    "p0 too large": (
        lambda f: (f / "small.toml").write_text(STUDY + "[prior]\nexpected_nonzero = 2\n"),
        SAMPLE,
        "below 2",
    ),
    "missing file": (lambda f: (f / "small.csv").unlink(), SAMPLE, r"small\.csv"),
    "a folder as a file": (
        lambda f: (f / "x.csv").mkdir(),
        ["sample", "small.toml", "--data", "x.csv"],
        "folder",
    ),
    "0 bytes": (raw(b""), SAMPLE, "empty"),
    "header only": (raw(b"y,age,sex\n"), SAMPLE, "no rows|header|no row"),
    "binary": (raw(b"PK\x03\x04" + bytes(200)), SAMPLE, "cannot be read"),
    "wrong encoding": (raw(b"y,age,sex\n1,\xff\xfe\xfa,m\n"), SAMPLE, "small.csv"),
    "ragged rows": (raw(b"y,age,sex\n1,60,m\n0,61\n"), SAMPLE, r"row 2"),
    "unknown format": (raw(b"x", "a.doc"), ["sample", "small.toml", "--data", "a.doc"], "csv"),
    "broken Excel": (raw(b"PK\x03\x04", "small.csv.xlsx"), EXCEL, "xlsx"),
    "column absent": (edited('name = "age"', 'name = "aeg"'), SAMPLE, 'did you mean "age"'),
    "duplicate column": (raw(b"y,age,age,sex\n1,2,3,m\n"), SAMPLE, "age"),
    "one class": (data_with(y=0), SAMPLE, "no row holds the event"),
    "everyone has it": (data_with(y=1), SAMPLE, "all have the event"),
    "constant column": (data_with(age=61.5), SAMPLE, r"column age: is constant, 61\.5"),
    "collinear columns": (copied_column, SAMPLE, "the same as column"),
    "missing outcome": (one_cell("y", ""), SAMPLE, r"outcomes are missing \(rows 17"),
    "infinite": (one_cell("age", "inf"), SAMPLE, r"row 17 \(line 18\), column age.*finite"),
    "not a number": (one_cell("age", "NaN"), SAMPLE, "column age: 1 of 60 values are missing"),
    "text in a number": (one_cell("age", "sixty"), SAMPLE, r"row 17 \(line 18\), column age"),
    "huge integer": (one_cell("age", "9" * 400), SAMPLE, r"row 17 \(line 18\), column age"),
    "unseen level": (one_cell("sex", "x"), SAMPLE, r'column sex: level "x" \(1 row, first row 17'),
    "case of a level": (one_cell("sex", "M"), SAMPLE, 'did you mean "m"'),
    "outside the range": (
        edited('kind = "continuous"', 'kind = "continuous"\nrange = [0, 30]'),
        SAMPLE,
        "outside the plausible range 0 to 30 years",
    ),
    "seed is no integer": (lambda f: None, [*SAMPLE, "--seed", "x"], "--seed"),
    "seed is negative": (lambda f: None, [*SAMPLE, "--seed=-1"], "seed: found -1"),
    "zero draws": (lambda f: None, [*SAMPLE, "--draws", "0"], "draws: found 0"),
    "huge draws": (lambda f: None, [*SAMPLE, "--draws", "9" * 30], "draws: found 9"),
    "unknown engine": (lambda f: None, [*SAMPLE, "--engine", "hmc"], 'engine: found "hmc"'),
    "misspelt engine": (lambda f: None, [*SAMPLE, "--engine", "gibs"], 'did you mean "gibbs"'),
    "draws are no number": (lambda f: None, [*SAMPLE, "--draws", "many"], "draws: found 'many'"),
    "interval in per cent": (lambda f: None, [*SAMPLE, "--interval", "95"], "between 0 and 1"),
    "no cores": (lambda f: None, [*SAMPLE, "--cores", "0"], "--cores: found 0"),
    "unknown option": (lambda f: None, [*SAMPLE, "--drwas", "9"], "--drwas"),
    "existing output": (existing_run, SAMPLE, "exists; give --overwrite"),
    "output is a file": (raw(b"x", "out"), [*SAMPLE, "--out", "out"], "is no folder"),
    "output below a file": (raw(b"x", "out"), [*SAMPLE, "--out", "out/run"], "cannot be written"),
    "output is no run": (
        lambda f: (f / "thesis" / "chapter").mkdir(parents=True),
        [*SAMPLE, "--out", "thesis", "--overwrite"],
        "is no run folder",
    ),
    "output name too long": (lambda f: None, [*SAMPLE, "--out", "x" * 300], "cannot be written"),
    "predict without a run": (
        lambda f: None,
        ["predict", "runs/none", "--data", "small.csv"],
        "does not exist",
    ),
    "run name too long": (
        lambda f: None,
        ["predict", "x" * 300, "--data", "small.csv"],
        "cannot be read",
    ),
    "init without the outcome": (
        lambda f: None,
        ["init", "small.csv", "--outcome", "z"],
        '"z"',
    ),
    "init over a study": (
        lambda f: None,
        ["init", "small.csv", "--outcome", "y", "--out", "small.toml"],
        "exists; give --overwrite",
    ),
}  # fmt: skip


def with_engines(arguments: list[str]) -> list[list[str]]:
    """The command with either engine, where it samples and names none."""
    if arguments[0] != "sample" or "--engine" in arguments:
        return [arguments]
    return [[*arguments, "--engine", engine] for engine in ("gibbs", "nuts")]


@pytest.mark.parametrize(
    ("case", "arguments"),
    [(case, arguments) for case, bad in BAD.items() for arguments in with_engines(bad[1])],
)
def test_bad_input_ends_with_one_message_and_writes_nothing(
    place: Path, case: str, arguments: list[str]
) -> None:
    """The same errors with either engine, in the same words."""
    prepare, _, text = BAD[case]
    prepare(place)
    before = contents(place)
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert re.search(text, result.stderr, re.DOTALL), result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert contents(place) == before


def test_an_unexpected_failure_is_called_ours(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(workflow, "check", fail)
    result = invoke("check", "small.toml")
    assert result.exit_code == 1
    assert "a defect of ours" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_writes_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tree: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "write_tree", full)
    before = contents(place)
    result = invoke(*SAMPLE)
    assert result.exit_code == 2
    assert "the disk is full" in result.stderr
    assert contents(place) == before


def command(*arguments: str, **options: object) -> subprocess.Popen[str]:
    script = "from bayes_cmvt.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_a_file_size_limit_writes_nothing(place: Path) -> None:
    """A real failure of the file system, in a process of its own."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    before = contents(place)
    environment = os.environ | {"NUMBA_CACHE_DIR": "", "PYTHONDONTWRITEBYTECODE": "1"}
    process = command(*SAMPLE, cwd=place, preexec_fn=limit, env=environment)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2, errors
    assert "cannot be written" in errors
    assert contents(place) == before


@pytest.mark.interrupt
@pytest.mark.parametrize("engine", ["gibbs", "nuts"])
def test_interruption_leaves_nothing_and_status_is_130(place: Path, engine: str) -> None:
    before = contents(place)
    long = [*SAMPLE[:4], "--draws", "1000000", "--warmup", "1000000", "--engine", engine]
    # whoever starts the tests in the background has them ignore the signal
    process = command(
        *long, cwd=place, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    time.sleep(12)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "interrupted; nothing was written" in errors
    assert output == ""
    assert contents(place) == before


def test_a_reader_that_goes_away_is_no_error(run: Path) -> None:
    process = command("predict", str(run), "--data", str(ROOT / "models" / "indo_rct.csv"))
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=120)
    assert "Traceback" not in errors
    assert "defect" not in errors


def test_control_characters_of_data_do_not_reach_the_terminal(place: Path) -> None:
    data = small_data().astype(object)
    data.loc[3, "sex"] = "\x1b[2Jm"
    data.to_csv(place / "small.csv", index=False)
    result = invoke(*SAMPLE)
    assert result.exit_code == 2
    assert "\x1b[2J" not in result.output
    assert r"\x1b[2J" in result.stderr


def test_help_needs_none_of_the_slow_libraries() -> None:
    script = (
        "import sys; sys.argv = ['bayes-cmvt', '--help']\n"
        "from bayes_cmvt.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'pymc', 'numba', 'pandas', 'arviz', 'scipy', 'matplotlib'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "[]"


# --- real files with real errors ----------------------------------------------------------------


def test_typing_errors_of_the_trauma_data_are_named(place: Path) -> None:
    """884 % neutrophils and its companions (SOURCES.md), once plausible ranges are declared."""
    file = shared_file("data", "dvt_trauma_dpredcrs.csv")
    ranges = {
        "NEUT_pct": (0, 100), "MCV": (50, 150), "MCHC": (200, 450), "PT_s": (5, 60),
        "MONO_pct": (0, 100), "MPV": (4, 20), "HGB": (30, 250),
    }  # fmt: skip
    predictors = "".join(
        f'[[predictors]]\nname = "{name}"\nkind = "continuous"\nrange = [{low}, {high}]\n'
        for name, (low, high) in ranges.items()
    )
    head = 'schema = 1\nname = "t"\ntitle = "T"\n[outcome]\ncolumn = "dvt"\nevent = 1\n'
    (place / "t.toml").write_text(head + predictors)
    result = invoke("check", "t.toml", "--data", str(file))
    assert result.exit_code == 2
    data = pd.read_csv(file)
    wrong = 0
    for name, (low, high) in ranges.items():
        for row in data.index[(data[name] < low) | (data[name] > high)] + 1:
            assert f"row {row} (line {row + 1}), column {name}: " in result.stderr
            wrong += 1
    assert wrong >= 7
    assert f"{wrong} problems" in result.stderr


def test_trauma_data_without_ranges_show_their_leverage(place: Path) -> None:
    file = shared_file("data", "dvt_trauma_dpredcrs.csv")
    assert invoke("init", str(file), "--outcome", "dvt", "--out", "d.toml").exit_code == 0
    result = invoke("check", "d.toml", "--data", str(file))
    assert result.exit_code == 0
    assert "NEUT_pct: 884.11 in row" in result.stdout
    for name in ("MCHC", "MCV", "PT_s", "MPV", "MONO_pct"):
        assert re.search(rf"^  {name}: .* holds \d+%$", result.stdout, re.MULTILINE), name


@pytest.mark.slow
def test_trauma_data_are_sampled_cleanly(place: Path) -> None:
    file = shared_file("data", "dvt_trauma_dpredcrs.csv")
    invoke("init", str(file), "--outcome", "dvt", "--out", "d.toml")
    result = invoke("sample", "d.toml", "--data", str(file), "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert "extreme leverage" in result.stdout
    table = pd.read_csv(place / "run" / "tables" / "coefficients.csv")
    assert np.isfinite(table["std_mean"]).all()


def test_quasi_separation_gives_a_finite_posterior(place: Path) -> None:
    """All 7 diaphragm users are cases: maximum likelihood is infinite, the posterior is not."""
    file = shared_file("data", "uti_sex2.csv")
    assert invoke("init", str(file), "--outcome", "case", "--out", "u.toml").exit_code == 0
    result = invoke("sample", "u.toml", "--data", str(file), "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert "all 7 patients with dia = 1 had the event" in result.stdout
    record = json.loads((place / "run" / "run.json").read_text())
    assert record["diagnostics"]["divergences"] == 0
    table = pd.read_csv(place / "run" / "tables" / "coefficients.csv").set_index("term")
    # Firth's estimates (SE) of the published fit, SOURCES.md: the posterior must agree with them
    firth = {
        "age": (-1.10598, 0.42366), "oc": (-0.0688167, 0.443793), "vic": (2.26887, 0.548416),
        "vicl": (-2.11141, 0.543082), "vis": (-0.788317, 0.417368), "dia": (3.09601, 1.67501),
    }  # fmt: skip
    for term, (estimate, error) in firth.items():
        assert table.loc[term, "lower"] < estimate < table.loc[term, "upper"], term
        if term != "dia":
            assert abs(table.loc[term, "median"] - estimate) < error, term


def test_a_large_file_announces_its_expected_time(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The announcement is made before sampling; sampling itself is left out here."""
    from bayes_cmvt import sampling

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sampling, "sample", stop)
    rng = np.random.default_rng(0)
    n = 45_000
    data = pd.DataFrame(rng.normal(size=(n, 20)).round(3), columns=[f"x{i}" for i in range(20)])
    data["y"] = rng.integers(0, 2, n)
    data.to_parquet(place / "large.parquet")
    assert invoke("init", "large.parquet", "--outcome", "y", "--out", "l.toml").exit_code == 0
    result = invoke("sample", "l.toml", "--data", "large.parquet", "--engine", "nuts")
    assert result.exit_code == 130
    assert re.search(
        r"expected time about [\d.]+ (min|h) \(45,000 patients, 20 columns", result.stderr
    )
    assert "--target-accept 0.9" in result.stderr
