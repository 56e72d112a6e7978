from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
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


# --- Files and tables that later commands add ----------------------------------------------------


def test_bytes_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "baseline.nc"
    content = bytes(range(256)) * 3  # no text, nothing translated
    runs.write_bytes(path, content, overwrite=False)
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(bc.RunError, match="exists; give --overwrite"):
        runs.write_bytes(path, b"", overwrite=False)

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(bc.RunError, match="the disk is full"):
        runs.write_bytes(path, b"half", overwrite=True)
    assert [one.read_bytes() for one in path.parent.iterdir()] == [content]
    with pytest.raises(bc.RunError, match="the disk is full"):
        runs.write_bytes(tmp_path / "other" / "x", b"half", overwrite=False)
    assert not (tmp_path / "other").exists()  # the folder that was made for it is gone


def test_kept_blocks_come_back_as_they_were(tmp_path: Path) -> None:
    kept = runs.KeptBlocks(tmp_path / ".kept", "bootstrap-abc")
    arrays = {
        "beta": np.array([[0.1, np.nan], [np.inf, -0.0]]),
        "status": np.array([1, 0], dtype=np.int8),
        "selected": np.array([True, False]),
    }
    assert kept.load(range(2)) is None
    assert not kept.folder.exists()  # looking makes nothing
    kept.save(range(2), arrays)
    found = kept.load(range(2))
    assert found is not None
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        assert found[name].tobytes() == values.tobytes()
    kept.save(range(2), {"beta": arrays["beta"]})  # again: replaced
    again = kept.load(range(2))
    assert again is not None
    assert list(again) == ["beta"]
    assert kept.load(range(3)) is None
    assert kept.load(range(1, 2)) is None


def test_blocks_of_other_inputs_are_not_found_and_go_with_the_rest(tmp_path: Path) -> None:
    one, other = (runs.KeptBlocks(tmp_path / ".kept", name) for name in ("a-1", "a-2"))
    one.save(range(2), {"x": np.zeros(2)})
    assert other.load(range(2)) is None
    other.save(range(2), {"x": np.ones(2)})
    found = one.load(range(2))
    assert found is not None
    assert found["x"].tolist() == [0, 0]
    one.remove()
    assert not one.folder.exists()
    one.remove()  # nothing is there: nothing happens


@pytest.mark.parametrize("length", [0, 1, 50, 200, 400])
def test_a_damaged_block_is_none(tmp_path: Path, length: int) -> None:
    kept = runs.KeptBlocks(tmp_path / ".kept", "a")
    kept.save(range(2), {"x": np.arange(20.0)})
    (file,) = kept.folder.iterdir()
    content = file.read_bytes()
    assert len(content) > 400
    file.write_bytes(content[:length])
    assert kept.load(range(2)) is None
    turned = bytearray(content)
    turned[150] ^= 255  # one byte of the numbers
    file.write_bytes(turned)
    assert kept.load(range(2)) is None


def test_a_block_never_runs_what_it_holds(tmp_path: Path) -> None:
    kept = runs.KeptBlocks(tmp_path / ".kept", "a")
    kept.folder.mkdir()
    np.savez(kept.folder / "a-0-2.npz", x=np.array([{}, {}], dtype=object))
    assert kept.load(range(2)) is None


@pytest.fixture
def stage_folder(tmp_path: Path) -> Path:
    """A run folder with the record alone."""
    folder = tmp_path / "run"
    (folder / "tables").mkdir(parents=True)
    (folder / runs.RUN).write_text(json.dumps({"schema": runs.SCHEMA, "kept": "yes"}))
    return folder


def scores(model: str, *rows: tuple[str, float], **columns: object) -> pd.DataFrame:
    sets, values = zip(*rows, strict=True)
    return pd.DataFrame({"model": model, "set": sets, "estimate": values, **columns})


def test_rows_of_other_models_and_sets_stay(stage_folder: Path) -> None:
    def add(table: pd.DataFrame) -> pd.DataFrame:
        runs.add_stage(stage_folder, "s", {}, {"performance": table})
        found = runs.load_table(stage_folder, "performance")
        assert found is not None
        return found

    add(scores("horseshoe", ("development", 1.0), ("development", 1.5), ("validation", 2.0)))
    add(scores("baseline", ("development", 3.0)))
    add(scores("horseshoe", ("external", 4.0)))
    found = add(scores("horseshoe", ("development", 5.0)))
    rows = sorted(found.itertuples(index=False, name=None))
    assert rows == [
        ("baseline", "development", 3.0),
        ("horseshoe", "development", 5.0),
        ("horseshoe", "external", 4.0),
        ("horseshoe", "validation", 2.0),
    ]


def test_strategies_are_replaced_within_their_set(stage_folder: Path) -> None:
    def table(strategy: str, of: str, value: float) -> pd.DataFrame:
        return pd.DataFrame({"set": [of], "strategy": [strategy], "net_benefit": [value]})

    for one in (
        table("treat_all", "development", 1.0),
        table("horseshoe", "development", 2.0),
        table("treat_all", "external", 3.0),
        table("treat_all", "development", 4.0),
    ):
        runs.add_stage(stage_folder, "s", {}, {"net_benefit": one})
    found = runs.load_table(stage_folder, "net_benefit")
    assert found is not None
    assert sorted(found["net_benefit"]) == [2.0, 3.0, 4.0]


def test_numbers_of_kept_rows_stay_to_the_last_digit(stage_folder: Path) -> None:
    """Written, read and written again, many times: the text of a row does not drift."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=300) * 10.0 ** rng.integers(-12, 12, 300)
    file = stage_folder / "tables" / "performance.csv"

    def lines() -> list[str]:
        return sorted(line.rstrip(",") for line in file.read_text().splitlines() if "first" in line)

    first = scores("first", *(("development", value) for value in values), count=7)
    runs.add_stage(stage_folder, "s", {}, {"performance": first})
    before = lines()
    for number in range(3):
        other = scores("other", ("development", number / 3), more=["a"])
        runs.add_stage(stage_folder, "s", {}, {"performance": other})
    cells = {tuple(line.split(",")) for line in before}
    found = pd.read_csv(file, dtype=str, keep_default_na=False)
    part = found[found["model"] == "first"]
    assert {tuple(row) for row in part[list(first)].to_numpy().tolist()} == cells


def test_new_columns_come_first_and_old_ones_keep_their_cells(stage_folder: Path) -> None:
    old = scores("first", ("development", 1.0), old="x", both=3)
    new = scores("other", ("development", 2.0), both=4, new="y")
    runs.add_stage(stage_folder, "s", {}, {"performance": old})
    runs.add_stage(stage_folder, "s", {}, {"performance": new})
    found = pd.read_csv(stage_folder / "tables/performance.csv", dtype=str, keep_default_na=False)
    assert list(found) == ["model", "set", "estimate", "both", "new", "old"]
    assert set(map(tuple, found.to_numpy().tolist())) == {
        ("first", "development", "1.0", "3", "", "x"),
        ("other", "development", "2.0", "4", "y", ""),
    }


def test_tables_of_patients_and_tables_without_models_are_replaced(stage_folder: Path) -> None:
    for value in (1.0, 2.0):
        tables = {
            "baseline_predictions": scores("m", ("development", value), row=[1]),
            "lasso_cv": pd.DataFrame({"lambda": [value, value]}),
        }
        runs.add_stage(stage_folder, "s", {}, tables)
    for name, length in (("baseline_predictions", 1), ("lasso_cv", 2)):
        found = runs.load_table(stage_folder, name)
        assert found is not None
        assert len(found) == length


def test_a_stage_writes_its_record_files_and_takes_outdated_tables_away(stage_folder: Path) -> None:
    table = pd.DataFrame({"a": [1]})
    runs.add_stage(stage_folder, "one", {"inputs": 1}, {"old": table, "stays": table})
    runs.add_stage(
        *(stage_folder, "two", {"inputs": 2}, {"new": table}),
        outdated=["old", "never"],
        files={"tables/lasso.json": b"{}", "baseline.nc": b"\x00"},
    )
    names = {path.name for path in (stage_folder / "tables").iterdir()}
    assert names == {"stays.csv", "new.csv", "lasso.json"}
    assert (stage_folder / "baseline.nc").read_bytes() == b"\x00"
    record = runs.read_run(stage_folder)
    assert record["stages"] == {"one": {"inputs": 1}, "two": {"inputs": 2}}
    assert record["kept"] == "yes"


def test_a_stage_that_is_cut_short_has_no_record(
    stage_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the new one, nor that of tables which are no longer there."""
    table = pd.DataFrame({"a": [1]})
    runs.add_stage(stage_folder, "other", {"inputs": 1}, {"other": table})
    runs.add_stage(stage_folder, "s", {"inputs": 1}, {"one": table, "two": table})
    replace = Path.replace

    def cut_short(path: Path, target: Path) -> Path:
        if target.name == "two.csv":
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", cut_short)
        with pytest.raises(KeyboardInterrupt):
            runs.add_stage(stage_folder, "s", {"inputs": 2}, {"one": table * 2, "two": table * 2})
    assert list(runs.read_run(stage_folder)["stages"]) == ["other"]
    assert not list(stage_folder.rglob("*partial*"))


def test_a_stage_that_does_not_fit_the_disk_changes_nothing(
    stage_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are written before the first one is replaced."""
    table = pd.DataFrame({"a": [1]})
    runs.add_stage(stage_folder, "s", {"inputs": 1}, {"one": table, "two": table})
    before = {path: path.read_bytes() for path in stage_folder.rglob("*") if path.is_file()}
    write = runs._waiting_file

    def full(path: Path, content: bytes) -> Path:
        if path.name == "big.nc":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(runs, "_waiting_file", full)
    with pytest.raises(bc.RunError, match=r"big\.nc cannot be written: the disk is full"):
        runs.add_stage(stage_folder, "s", {"inputs": 2}, {"one": table * 2}, files={"big.nc": b"x"})
    after = {path: path.read_bytes() for path in stage_folder.rglob("*") if path.is_file()}
    assert after == before
