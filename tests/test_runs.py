from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt import runs


def fill_with(number: int):
    def fill(folder: Path) -> None:
        for name in range(3):
            (folder / f"{name}.txt").write_text(str(number))
        (folder / runs.RUN).write_text(json.dumps({"schema": runs.SCHEMA, "number": number}))

    return fill


def number_in(folder: Path) -> int:
    """The number of a run folder whose files must all agree."""
    number = json.loads((folder / runs.RUN).read_text())["number"]
    assert {path.read_text() for path in folder.glob("*.txt")} == {str(number)}
    return int(number)


def test_new_run_appears_whole_with_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    runs.check_destination(folder, overwrite=False)
    assert list(tmp_path.iterdir()) == []
    runs.write_run(folder, fill_with(1), overwrite=False)
    assert number_in(folder) == 1
    assert [path.name for path in folder.parent.iterdir()] == ["b"]


def test_existing_run_is_refused_without_overwrite(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    runs.write_run(folder, fill_with(1), overwrite=False)
    with pytest.raises(bc.RunError, match="exists; give --overwrite to replace it"):
        runs.check_destination(folder, overwrite=False)
    with pytest.raises(bc.RunError, match="exists; give --overwrite"):
        runs.write_run(folder, fill_with(2), overwrite=False)
    assert number_in(folder) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_overwrite_replaces_a_run_and_leaves_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for number in (1, 2, 3):
        runs.write_run(folder, fill_with(number), overwrite=True)
        assert number_in(folder) == number
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_overwrite_without_an_exchange_in_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_exchange", lambda first, second: False)
    folder = tmp_path / "run"
    for number in (1, 2):
        runs.write_run(folder, fill_with(number), overwrite=True)
    assert number_in(folder) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_is_no_run_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.docx").write_text("years of work")
    with pytest.raises(bc.RunError, match="is no run folder; nothing in it was touched"):
        runs.check_destination(folder, overwrite=True)
    with pytest.raises(bc.RunError, match="is no run folder"):
        runs.write_run(folder, fill_with(1), overwrite=True)
    assert (folder / "chapter1.docx").read_text() == "years of work"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(bc.RunError, match="exists and is no folder"):
        runs.check_destination(tmp_path / "run", overwrite=True)


def test_failure_while_filling_leaves_the_old_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    runs.write_run(folder, fill_with(1), overwrite=False)

    def fail(partial: Path) -> None:
        (partial / "0.txt").write_text("2")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(bc.RunError, match="cannot be written: the disk is full"):
        runs.write_run(folder, fail, overwrite=True)
    assert number_in(folder) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_replacement_interrupted_between_its_two_steps_is_undone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    runs.write_run(folder, fill_with(1), overwrite=False)
    folder.rename(tmp_path / ".run.previous")
    runs.recover(folder)
    assert number_in(folder) == 1


KILLED = """
import json, sys
from pathlib import Path
from bayes_cmvt.runs import RUN, SCHEMA, write_run

def fill(partial):
    for name in range(20):
        (partial / f"{name}.txt").write_text(str(number))
    (partial / RUN).write_text(json.dumps({"schema": SCHEMA, "number": number}))

folder, number = Path(sys.argv[1]), 1
while True:
    write_run(folder, fill, overwrite=True)
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("exchange", [True, False])
def test_a_run_survives_kill_9_at_any_moment(tmp_path: Path, exchange: bool) -> None:
    script = KILLED
    if not exchange:
        script = "import bayes_cmvt.runs as r\nr._exchange = lambda a, b: False\n" + script
    folder = tmp_path / "run"
    root = Path(__file__).parents[1]
    for attempt in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            cwd=root,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()  # at least one run is complete
        time.sleep(0.005 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if exchange:
            assert folder.is_dir()  # not even for a moment without a run
        runs.recover(folder)
        assert number_in(folder) >= 1


def test_a_fit_comes_back_as_it_was(tmp_path: Path, pep_fit: xr.DataTree) -> None:
    path = tmp_path / "run"

    def fill(folder: Path) -> None:
        runs.write_files(
            folder, run={}, study="", fit=pep_fit, cohort=pd.DataFrame({"a": [1]}), tables={}
        )

    runs.write_run(path, fill, overwrite=False)
    again = bc.load_run(path)
    assert set(again.children) == set(pep_fit.children)
    for group in pep_fit.children:
        xr.testing.assert_equal(again[group].to_dataset(), pep_fit[group].to_dataset())
    assert again.attrs == pep_fit.attrs
    pd.testing.assert_frame_equal(bc.coefficients(again), bc.coefficients(pep_fit))


def test_damaged_and_foreign_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(bc.RunError, match="does not exist; name a run folder"):
        bc.load_run(tmp_path / "nothing")
    with pytest.raises(bc.RunError, match=r"holds no run\.json"):
        bc.load_run(tmp_path)
    run = tmp_path / runs.RUN
    run.write_text("{")
    with pytest.raises(bc.RunError, match=r"run\.json is damaged"):
        bc.load_run(tmp_path)
    run.write_text('{"schema": 99}')
    with pytest.raises(bc.RunError, match="schema 99, this version reads 1"):
        bc.load_run(tmp_path)
    run.write_text('{"schema": 1}')
    with pytest.raises(bc.RunError, match=r"holds no posterior\.nc"):
        bc.load_run(tmp_path)
    (tmp_path / runs.POSTERIOR).write_bytes(b"not netCDF")
    with pytest.raises(bc.RunError, match=r"posterior\.nc is damaged"):
        bc.load_run(tmp_path)


def test_text_files_are_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    runs.write_text(path, "one\n", overwrite=False)
    with pytest.raises(bc.RunError, match="exists; give --overwrite"):
        runs.write_text(path, "two\n", overwrite=False)
    runs.write_text(path, "two\n", overwrite=True)
    assert path.read_text() == "two\n"
    with pytest.raises(bc.RunError, match="is a folder"):
        runs.write_text(tmp_path, "x", overwrite=True)
    assert [one.name for one in tmp_path.iterdir()] == ["study.toml"]
    runs.write_text(tmp_path / "new" / "x.toml", "x", overwrite=False)
    assert (tmp_path / "new" / "x.toml").read_text() == "x"
