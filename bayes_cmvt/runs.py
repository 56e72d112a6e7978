"""Run folders: the only module that writes one, and the way back in.

A folder is filled under a temporary name beside its final one and renamed when complete, so that
at every moment the final name holds a complete run, the old or the new.
"""

from __future__ import annotations

import ctypes
import errno
import io
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayes_cmvt.errors import RunError
from bayes_cmvt.spreadsheet_cells import harmless_cells, original_cells
from bayes_cmvt.synthetic import MARK, is_synthetic

SCHEMA, SAMPLED = 1, "sample"
MARKED = "cohort"  # column of every table made from a synthetic cohort
RUN, STUDY, POSTERIOR, COHORT = "run.json", "study.toml", "posterior.nc", "cohort.parquet"
BASELINE, SELECTION = "baseline.nc", "selection.nc"
EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
HERE = -100  # AT_FDCWD


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where a run folder cannot be made, before any work is done.

    Parameters
    ----------
    path : Path
    overwrite : bool
        Whether an existing run folder may be replaced once the new one is complete.

    Raises
    ------
    RunError
        It exists (without ``overwrite``), is no run folder, or cannot be written.
    """
    with _as_run_error(path):
        recover(path)
        if path.is_symlink() or path.exists():
            _refuse_existing(path, overwrite=overwrite)
        with _parents_of(path):
            Path(tempfile.mkdtemp(prefix=_partial(path), dir=path.parent)).rmdir()


def _refuse_existing(path: Path, *, overwrite: bool) -> None:
    if path.is_symlink() or not path.is_dir():
        msg = f"{path} exists and is no folder; choose another --out"
    elif not overwrite:
        msg = f"{path} exists; give --overwrite to replace it, or another --out"
    elif any(path.iterdir()) and not (path / RUN).is_file():
        msg = f"{path} exists and is no run folder; nothing in it was touched: choose another --out"
    else:
        return
    raise RunError(msg)


@contextmanager
def _parents_of(path: Path) -> Iterator[None]:
    """Make the folders above a path, and take those made away again if they end up empty."""
    made = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def _partial(path: Path) -> str:
    return f".{path.name}.partial-"


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def recover(path: Path) -> None:
    """Put back the run that an interrupted replacement left under its waiting name."""
    if not path.exists() and _previous(path).is_dir():
        _previous(path).rename(path)


def leftovers(path: Path) -> list[Path]:
    """Folders beside ``path`` that killed runs left half-filled; they may be deleted."""
    if not path.parent.is_dir():
        return []
    return sorted(path.parent.glob(f"{_partial(path)}*"))


def write_run(path: Path, fill: Callable[[Path], None], *, overwrite: bool) -> None:
    """Make a run folder: fill a temporary one, then give it its name.

    Parameters
    ----------
    path : Path
        Final folder.
    fill : callable
        Writes every file into the folder that it is given.
    overwrite : bool
        Replace an existing run folder once the new one is complete.

    Raises
    ------
    RunError
        Anything could not be written; what was there before is untouched.
    """
    with _as_run_error(path), _parents_of(path):
        partial = Path(tempfile.mkdtemp(prefix=_partial(path), dir=path.parent))
        try:
            partial.chmod(0o755)
            fill(partial)
            _place(partial, path, overwrite=overwrite)
        finally:
            # the half-filled folder after a failure, the replaced one after success
            shutil.rmtree(partial, ignore_errors=True)


def _place(partial: Path, path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        partial.rename(path)
        return
    _refuse_existing(path, overwrite=overwrite)
    if _exchange(partial, path):
        return
    path.rename(_previous(path))
    partial.rename(path)
    shutil.rmtree(_previous(path), ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step, so that no moment is without a run; False where it cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(renameat2(HERE, os.fsencode(first), HERE, os.fsencode(second), EXCHANGE) == 0)


@contextmanager
def _as_run_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            reason = "the disk is full"
        msg = f"{path} cannot be written: {reason}"
        raise RunError(msg) from error


def write_files(
    folder: Path,
    *,
    run: Mapping[str, Any],
    study: str,
    fit: xr.DataTree,
    cohort: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
) -> None:
    """Write the files of a `sample` run into a folder.

    Parameters
    ----------
    folder : Path
    run : mapping
        Content of ``run.json``.
    study : str
        The study as used, TOML.
    fit : DataTree
    cohort : DataFrame
        Rows as analysed; private.
    tables : mapping of str to DataFrame
        Name without ending to table.
    """
    (folder / STUDY).write_text(study, encoding="utf-8")
    write_tree(fit, folder / POSTERIOR)
    cohort.to_parquet(folder / COHORT)
    write_tables(folder, run=run, tables=tables)


def write_tables(
    folder: Path,
    *,
    run: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Write ``run.json``, the tables of any run and files beside them into a folder.

    Parameters
    ----------
    folder : Path
    run : mapping
        Content of ``run.json``.
    tables : mapping of str to DataFrame
        Name without ending to table.
    files : mapping of str to bytes, optional
        Other files by their path within the folder.
    """
    (folder / "tables").mkdir()
    for relative, content in (files or {}).items():
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_bytes(content)
    for name, table in _as_written(tables, run).items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    text = json.dumps({"schema": SCHEMA, **run}, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / RUN).write_text(text + "\n", encoding="utf-8")


def _as_written(
    tables: Mapping[str, pd.DataFrame], run: Mapping[str, Any], source: str | None = None
) -> dict[str, pd.DataFrame]:
    """Tables as they are written: no text is a formula, synthetic patients are said to be such.

    Where its patients are synthetic, a table says so in a last column.
    """
    written = {name: harmless_cells(table) for name, table in tables.items()}
    if not is_synthetic(run.get("data", {}).get("file"), source):
        return written
    return {name: table.assign(**{MARKED: MARK}) for name, table in written.items()}


def write_tree(tree: xr.DataTree, path: Path) -> None:
    """Write a DataTree as netCDF.

    The file is put together in memory: where HDF5 itself meets a full disk it prints tracebacks
    and may take the whole process down.
    """
    path.write_bytes(tree_bytes(tree))


def tree_bytes(tree: xr.DataTree) -> bytes:
    """A DataTree as the bytes of a netCDF file."""
    return bytes(tree.to_netcdf(engine="h5netcdf"))


@dataclass(frozen=True)
class KeptBlocks:
    """Finished blocks of a long computation, one file each, so that it can go on after a break.

    Attributes
    ----------
    folder : Path
        Beside the files of a run; hidden, private, removed when the computation is done.
    inputs : str
        What the blocks were computed from, as a part of a file's name; blocks of other inputs are
        not found.
    """

    folder: Path
    inputs: str

    def _file(self, block: range) -> Path:
        return self.folder / f"{self.inputs}-{block.start}-{block.stop}.npz"

    def load(self, block: range) -> dict[str, NDArray[Any]] | None:
        """Return a finished block; None where it is not there, or damaged."""
        try:
            # from memory: of a damaged file `np.load` leaves the handle open
            content = io.BytesIO(self._file(block).read_bytes())
            with np.load(content, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
            return None

    def save(self, block: range, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep a finished block."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_bytes(self._file(block), buffer.getvalue(), overwrite=True)

    def remove(self) -> None:
        """Throw all blocks away, those of other inputs as well."""
        shutil.rmtree(self.folder, ignore_errors=True)


def load_baseline(path: str | Path) -> xr.DataTree:
    """Read the frequentist fit of a run folder back.

    Parameters
    ----------
    path : str or Path
        Folder to which ``bayes-cmvt baseline`` has added its files.

    Returns
    -------
    DataTree
        As `bayes_cmvt.fit_baseline` returned it.

    Raises
    ------
    RunError
        No run folder, no baseline in it, or one that is damaged.
    """
    return _stage_tree(Path(path), BASELINE, "baseline")


def load_selection(path: str | Path) -> xr.DataTree:
    """Read the projected submodel of a run folder back.

    Parameters
    ----------
    path : str or Path
        Folder to which ``bayes-cmvt select`` has added its files.

    Returns
    -------
    DataTree
        As `bayes_cmvt.select` returned it: a fit.

    Raises
    ------
    RunError
        No run folder, no selection in it, or one that is damaged.
    """
    return _stage_tree(Path(path), SELECTION, "select")


def _stage_tree(folder: Path, name: str, command: str) -> xr.DataTree:
    read_run(folder)
    return _read_tree(folder, name, f"make it with `bayes-cmvt {command} {folder}`")


def load_run(path: str | Path) -> xr.DataTree:
    """Read the fit of a run folder back.

    Parameters
    ----------
    path : str or Path
        Folder made by ``bayes-cmvt sample``.

    Returns
    -------
    DataTree
        As `bayes_cmvt.sample` returned it.

    Raises
    ------
    RunError
        No run folder, or one that is damaged.
    """
    folder = Path(path)
    read_run(folder)
    return _read_tree(folder, POSTERIOR, "sample again")


def _read_tree(folder: Path, name: str, remedy: str) -> xr.DataTree:
    file = folder / name
    try:
        with xr.open_datatree(file, engine="h5netcdf") as tree:
            return tree.load()
    except FileNotFoundError:
        msg = f"{folder} holds no {name}; {remedy}"
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        msg = f"{file} is damaged ({type(error).__name__}); {remedy}"
    raise RunError(msg)


def load_rows(folder: Path) -> pd.DataFrame:
    """Read the analysed rows of a run back.

    Returns
    -------
    DataFrame
        ``(set)``, ``(outcome)`` and the predictors; index ``row``.

    Raises
    ------
    RunError
        They are missing or damaged.
    """
    file = folder / COHORT
    try:
        return pd.read_parquet(file)
    except FileNotFoundError:
        msg = (
            f"{folder} holds no {COHORT} (a shared copy has none): sample again with --overwrite, "
            f"or judge its model on other patients with `bayes-cmvt validate {folder} --data FILE`"
        )
    except (OSError, ValueError) as error:
        msg = f"{file} is damaged ({type(error).__name__}); sample again"
    raise RunError(msg)


def load_table(folder: Path, name: str, texts: Sequence[str] = ()) -> pd.DataFrame | None:
    """Read a table of a run, without its mark of a synthetic cohort; None where it is not there.

    Parameters
    ----------
    folder : Path
    name : str
        Without ending.
    texts : sequence of str
        Columns that are texts even where all of their cells are numbers or empty.

    Raises
    ------
    RunError
        It is damaged.
    """
    file = folder / "tables" / f"{name}.csv"
    try:
        table = pd.read_csv(
            file, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(texts, str)
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        msg = f"{file} is damaged ({type(error).__name__}); run its command with --overwrite"
        raise RunError(msg) from None
    kept = table.drop(columns=MARKED, errors="ignore")
    return original_cells(kept.assign(**{text: kept[text].fillna("") for text in texts}))


def table_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as dictionaries for JSON; what is no finite number is None."""
    return [
        {
            str(name): None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def add_stage(
    folder: Path,
    stage: str,
    record: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    *,
    outdated: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
    renewed: Sequence[str] = (),
    source: str | None = None,
) -> None:
    """Add the tables of a later command to a run, and write down what they were made from.

    All files are written before the first is replaced, each whole. The stage's old record goes
    first and the new one comes last, so that a stage which was cut short is not taken for done.
    Rows of models and sets of patients that a new table does not hold are kept.

    Parameters
    ----------
    folder : Path
    stage : str
        Key under ``stages`` of ``run.json``.
    record : mapping
    tables : mapping of str to DataFrame
        Name without ending to table.
    outdated : sequence of str
        Tables of an earlier run of the stage that this one does not make.
    files : mapping of str to bytes, optional
        Other files by their path within the folder.
    renewed : sequence of str
        Models of which no old row is kept, whatever its set of patients.
    source : str, optional
        File of other patients that the tables were made from.

    Raises
    ------
    RunError
        Something could not be written.
    """
    run = read_run(folder)
    done = dict(run.get("stages", {}))
    tables = _as_written(tables, run, source)
    contents = {
        folder / "tables" / f"{name}.csv": _merged(folder, name, table, renewed)
        for name, table in tables.items()
    }
    contents |= {folder / relative: content for relative, content in (files or {}).items()}
    with _written_beside(contents) as waiting, _as_run_error(folder):
        if done.pop(stage, None) is not None:
            _write_record(folder, {**run, "stages": done})
        for path, partial in waiting.items():
            partial.replace(path)
        for name in outdated:
            (folder / "tables" / f"{name}.csv").unlink(missing_ok=True)
    _write_record(folder, {**run, "stages": {**done, stage: dict(record)}})


def _merged(folder: Path, name: str, table: pd.DataFrame, renewed: Sequence[str]) -> bytes:
    return _with_other_rows(folder, name, table, renewed).to_csv(index=False).encode("utf-8")


@contextmanager
def _written_beside(contents: Mapping[Path, bytes]) -> Iterator[dict[Path, Path]]:
    """Write files beside their places: a full disk shows before the first of them is replaced."""
    waiting: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            with _as_run_error(path):
                path.parent.mkdir(exist_ok=True)
                waiting[path] = _waiting_file(path, content)
        yield waiting
    finally:
        for partial in waiting.values():
            partial.unlink(missing_ok=True)


def _waiting_file(path: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(prefix=_partial(path), dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        partial.chmod(0o644)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return partial


def _write_record(folder: Path, run: Mapping[str, Any]) -> None:
    text = json.dumps(run, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / RUN, text + "\n", overwrite=True)


def _with_other_rows(
    folder: Path, name: str, new: pd.DataFrame, renewed: Sequence[str]
) -> pd.DataFrame:
    """A new table with the rows of the old one that are of other models or sets of patients.

    Both as text, so that what is kept stays as it is, to the last digit.
    """
    keys = [key for key in ("model", "strategy", "set") if key in new]
    file = folder / "tables" / f"{name}.csv"
    if not keys or "row" in new or not file.is_file():
        return new
    fresh = pd.read_csv(io.StringIO(new.to_csv(index=False)), dtype=str, keep_default_na=False)
    old = pd.read_csv(file, dtype=str, keep_default_na=False)
    if not set(keys) <= set(old):
        return new
    replaced = pd.MultiIndex.from_frame(fresh[keys])
    gone = pd.MultiIndex.from_frame(old[keys]).isin(replaced) | old[keys].isin(renewed).any(axis=1)
    kept = old[~gone]
    columns = [*fresh, *(column for column in kept if column not in fresh)]
    return pd.concat([kept, fresh]).reindex(columns=columns).fillna("")


def read_run(folder: Path) -> dict[str, Any]:
    """Read ``run.json`` of a run folder.

    Raises
    ------
    RunError
        No run folder, one that is damaged, or one that a newer version wrote.
    """
    try:
        recover(folder)
        found = "" if folder.is_dir() else "is no folder" if folder.exists() else "does not exist"
    except OSError as error:
        found = f"cannot be read: {error.strerror}"
    if found:
        msg = f"{folder} {found}; name a run folder, as made by `bayes-cmvt sample`"
        raise RunError(msg)
    try:
        run: dict[str, Any] = json.loads((folder / RUN).read_text(encoding="utf-8"))
        schema = run["schema"]
    except FileNotFoundError:
        msg = f"{folder} is no run folder: it holds no {RUN}; make one with `bayes-cmvt sample`"
        raise RunError(msg) from None
    except (OSError, ValueError, KeyError, TypeError):
        msg = f"{folder / RUN} is damaged; sample again"
        raise RunError(msg) from None
    if schema != SCHEMA:
        msg = f"{folder} has run folder schema {schema}, this version reads {SCHEMA}"
        raise RunError(msg)
    command = run.get("command", SAMPLED)
    if command != SAMPLED:
        msg = f"{folder} was made by `{command}` and holds no posterior; name one made by `sample`"
        raise RunError(msg)
    return run


def write_text(path: Path, text: str, *, overwrite: bool) -> None:
    """Write one text file, UTF-8, whole or not at all.

    Raises
    ------
    RunError
        It exists (without ``overwrite``) or cannot be written.
    """
    write_bytes(path, text.encode("utf-8"), overwrite=overwrite)


def write_bytes(path: Path, content: bytes, *, overwrite: bool) -> None:
    """Write one file whole or not at all.

    Raises
    ------
    RunError
        It exists (without ``overwrite``) or cannot be written.
    """
    with _as_run_error(path), _parents_of(path):
        if path.is_dir() or (path.exists() and not overwrite):
            what = "is a folder" if path.is_dir() else "exists; give --overwrite to replace it"
            msg = f"{path} {what}"
            raise RunError(msg)
        partial = _waiting_file(path, content)
        try:
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
