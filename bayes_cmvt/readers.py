"""CSV, Excel, SPSS, Stata and Parquet files → a table, with what was recognised on the way.

Cells are not interpreted here: text formats give texts, typed formats the values they hold, and
`bayes_cmvt.numerals` and the cohort turn them into numbers and levels. The file is read once; the
hash is that of the very bytes that were parsed.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import re
import stat
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_cmvt.decoding import DecodingError, decode_text
from bayes_cmvt.errors import DataError, nearest, quoted
from bayes_cmvt.plaintext import normalise_text, printable

LARGEST_FILE = 2 * 1024**3

type ValueLabels = Mapping[str, Mapping[float | str, str]]


@dataclass(frozen=True, eq=False)
class SourceTable:
    """A data file as it was found.

    Parameters
    ----------
    frame : DataFrame
        Indexed by `row`: 1 is the first row after the column names, blank rows are counted but
        left out, so that `row + 1` is the line in the file unless a cell holds a line break.
        Text formats: columns of `str`, None where the cell is empty. Typed formats: their values.
    source : str
        The name of the file without its folder.
    sha256 : str
        Of the file's bytes, hexadecimal.
    value_labels : mapping of column to mapping of code to label
        SPSS and Stata; empty otherwise. The frame keeps the codes.
    notes : tuple of str
        What was recognised or left out, for the user to confirm.
    """

    frame: pd.DataFrame
    source: str
    sha256: str
    value_labels: ValueLabels = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class _RefusalError(Exception):
    """What is wrong with a file, raised where its name is not known."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__(*problems)


@dataclass(frozen=True, eq=False)
class _Content:
    """The columns of a file with the names and notes still to be checked and completed."""

    header: Sequence[object]
    columns: Sequence[pd.Series[Any]]
    notes: tuple[str, ...] = ()
    value_labels: ValueLabels = field(default_factory=dict)


def read_table(path: Path) -> SourceTable:
    """Read a data file of any supported format, chosen by its suffix.

    ``.csv .tsv .tab .txt`` delimited text, ``.xlsx .xlsm`` Excel, ``.sav .zsav`` SPSS, ``.dta``
    Stata, ``.parquet``.

    Text is UTF-8 or carries a byte order mark. Failing that it is GB18030 where at least half of
    its different non-ASCII characters are in GB 2312 and not also two lower-case Western letters;
    else Windows-1252 where fewer than half of them stand three or more in a row; else it is
    refused. The choice is noted.

    The delimiter, one of comma, semicolon, tab and ``|``, is the one that gives most rows as many
    fields as the header.

    Parameters
    ----------
    path : Path
        At most 2 GiB.

    Returns
    -------
    SourceTable

    Raises
    ------
    DataError
        The file is missing, empty, damaged, of another format, or not one table with a name for
        every column and a cell in every row.
    """
    name = printable(path.name)
    try:
        reader = _reader_for(path)
        raw = _file_bytes(path)
        content = reader(raw)
        return _source_table(content, name, hashlib.sha256(raw).hexdigest())
    except _RefusalError as refusal:
        heading = f"{name} cannot be read"
        raise DataError(heading, refusal.problems) from refusal.__cause__


def _source_table(content: _Content, name: str, sha256: str) -> SourceTable:
    names, notes = _column_names(content.header, content.columns)
    frame = pd.DataFrame({names[position]: content.columns[position] for position in names})
    labels = {
        normalise_text(column): labels for column, labels in content.value_labels.items() if labels
    }
    return SourceTable(frame, name, sha256, labels, (*content.notes, *notes))


# The file -----------------------------------------------------------------------------------------


def _reader_for(path: Path) -> Callable[[bytes], _Content]:
    """Find the reader of a file that exists, by its suffix."""
    _check_file(path)
    suffix = path.suffix.lower()
    if suffix == ".xls":
        problem = "the old Excel format .xls is not supported; save it as .xlsx"
        raise _RefusalError(problem)
    if suffix not in _READERS:
        found = f'the suffix "{printable(suffix)}"' if suffix else "a name without a suffix"
        problem = f"{found} is not one of {quoted(_READERS, at_most=20)}{nearest(suffix, _READERS)}"
        raise _RefusalError(problem)
    return _READERS[suffix]


def _check_file(path: Path) -> None:
    """Refuse what is not a file of a size that can be read."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise _RefusalError(_missing_file(path)) from None
    except (OSError, ValueError) as error:
        raise _RefusalError(_cannot_open(error)) from None
    if stat.S_ISDIR(found.st_mode):
        problem = "it is a folder; name the file in it"
        raise _RefusalError(problem)
    if not stat.S_ISREG(found.st_mode):
        problem = "it is not a regular file; copy the data into a file"
        raise _RefusalError(problem)
    if found.st_size == 0:
        problem = "it is empty (0 bytes); export the data again"
        raise _RefusalError(problem)
    if found.st_size > LARGEST_FILE:
        problem = (
            f"it has {found.st_size / 1024**3:.1f} GiB, more than {LARGEST_FILE // 1024**3} GiB; "
            "keep only the columns of the study"
        )
        raise _RefusalError(problem)


def _missing_file(path: Path) -> str:
    folder = printable(str(path.parent), at_most=300)
    if not path.parent.is_dir():
        return f'the folder "{folder}" does not exist'
    siblings: list[str] = []
    with contextlib.suppress(OSError):
        siblings = [printable(sibling.name) for sibling in path.parent.iterdir()]
    return f'there is no such file in the folder "{folder}"{nearest(path.name, siblings)}'


def _cannot_open(error: OSError | ValueError) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return f"the system does not open it ({reason}); check its name and permissions"


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _RefusalError(_cannot_open(error)) from None


_SIGNATURES = (
    (b"PK\x03\x04", "an Excel workbook or another zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old (.xls) or password-protected Office file"),
    (b"$FL2", "an SPSS file (.sav)"),
    (b"$FL3", "an SPSS file (.zsav)"),
    (b"<stata_dta>", "a Stata file (.dta)"),
    (b"PAR1\x15", "a Parquet file"),  # a text may begin with a column named PAR1
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{\\rtf", "a rich text document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)
_MARKUP = re.compile(rb"\s*<(?:!doctype|html|table|\?xml)", re.IGNORECASE)


def _looks_like(raw: bytes) -> str | None:
    """Name the format that the first bytes give away."""
    for signature, kind in _SIGNATURES:
        if raw.startswith(signature):
            return kind
    return "a web page or XML" if _MARKUP.match(raw) else None


@contextlib.contextmanager
def _reading(kind: str, raw: bytes) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into one refusal, and silence its advice."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MemoryError:
        raise
    # the libraries raise anything from KeyError to zlib.error on a damaged file
    except Exception as error:
        found = _looks_like(raw) or kind
        verdict = (
            "it is damaged or incomplete; export it again"
            if found.startswith(kind)
            else f"it looks like {found}; give it the suffix of its format"
        )
        problem = f"it cannot be read as {kind}: {verdict}"
        raise _RefusalError(problem) from error


# Column names -------------------------------------------------------------------------------------


def _column_names(
    header: Sequence[object], columns: Sequence[pd.Series[Any]]
) -> tuple[dict[int, str], list[str]]:
    """Return the normalised name of every column that has one, by position, and notes."""
    found = ["" if name is None else str(name) for name in header]
    names = {
        position: name for position, cell in enumerate(found) if (name := normalise_text(cell))
    }
    unnamed = [position for position in range(len(found)) if position not in names]
    filled = [position for position in unnamed if columns[position].notna().any()]
    # R's write.csv and pandas write the names of the rows into a first column without a name
    row_names = 0 in filled and len(names) > 1 and columns[0].is_unique
    filled = filled[1:] if row_names else filled
    if problems := [*_unnamed_problems(filled, columns, len(names)), *_repeated_problems(names)]:
        raise _RefusalError(*problems)
    if not names:
        problem = "it has no columns"
        raise _RefusalError(problem)
    repaired = [printable(name) for position, name in names.items() if name != found[position]]
    return names, [
        *name_notes(repaired),
        *(["column 1 has no name and is left out: it holds the names of the rows"] * row_names),
        *_column_note(
            [position + 1 for position in unnamed if position or not row_names],
            "without name or cells left out",
        ),
    ]


def _unnamed_problems(
    filled: Sequence[int], columns: Sequence[pd.Series[Any]], named: int
) -> list[str]:
    if len(filled) > named:
        problem = (
            f"the first row names {named} of {named + len(filled)} columns; it must hold the "
            "column names: delete titles and merged cells above them"
        )
        return [problem]
    return [
        f'column {position + 1} has cells (first: "{_first_cell(columns[position])}") but no name; '
        "give it one, or delete it"
        for position in filled
    ]


def _first_cell(column: pd.Series[Any]) -> str:
    return printable(str(column.dropna().iloc[0]), at_most=40)


def _repeated_problems(names: Mapping[int, str]) -> list[str]:
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    positions = {
        name: [position + 1 for position, other in names.items() if other == name]
        for name in repeated
    }
    return [
        f'columns {quoted(positions[name])} have the same name "{printable(name)}"; rename them'
        for name in repeated
    ]


def name_notes(repaired: Sequence[str]) -> list[str]:
    """Say which column names, given as they are now, were normalised; nothing where none was.

    Examples
    --------
    >>> name_notes(["age"]), name_notes([])
    (['1 column read without stray blanks or full-width characters: "age"'], [])
    """
    return _column_note(repaired, "read without stray blanks or full-width characters")


def _column_note(columns: Sequence[object], treatment: str) -> list[str]:
    if not columns:
        return []
    return [f"{_counted(len(columns), 'column')} {treatment}: {quoted(columns)}"]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


# Records: the common ground of delimited text and Excel -------------------------------------------


@dataclass(frozen=True)
class _Record:
    """One row of cells, with the line of the file on which it starts."""

    line: int
    cells: Sequence[object]

    @property
    def blank(self) -> bool:
        """Whether no cell holds anything."""
        return all(
            cell is None or (isinstance(cell, str) and not cell.strip()) for cell in self.cells
        )


@dataclass(frozen=True)
class _Grid:
    """The record of the column names and those of the rows, by their numbers."""

    header: _Record
    rows: Mapping[int, _Record]
    notes: tuple[str, ...]


def _grid(records: Sequence[_Record]) -> _Grid:
    """Separate column names and rows, leaving out blank ones."""
    filled = [number for number, record in enumerate(records) if not record.blank]
    if not filled:
        problem = "it holds only blank lines"
        raise _RefusalError(problem)
    first, last = filled[0], filled[-1]
    if first == last:
        problem = "it has column names but no rows"
        raise _RefusalError(problem)
    blank = sorted(set(range(first, last)) - set(filled))
    notes = []
    if first:
        notes.append(f"{_counted(first, 'blank line')} above the column names left out")
    if blank:
        rows = quoted(number - first for number in blank)
        notes.append(f"{_counted(len(blank), 'blank row')} left out: {rows}")
    rows_by_number = {number - first: records[number] for number in filled[1:]}
    return _Grid(records[first], rows_by_number, tuple(notes))


# Delimited text -----------------------------------------------------------------------------------

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_SAMPLED_RECORDS = 1000


def _text_reader(usual: str | None) -> Callable[[bytes], _Content]:
    """Make the reader of a text format whose suffix suggests a delimiter."""

    def read(raw: bytes) -> _Content:
        if kind := _looks_like(raw):
            problem = f"it is not text but looks like {kind}; give it the suffix of its format"
            raise _RefusalError(problem)
        try:
            text, encoding_notes = decode_text(raw)
        except DecodingError as error:
            raise _RefusalError(str(error)) from None
        delimiter, delimiter_notes = _delimiter(text, usual)
        grid = _grid(list(_records(text, delimiter)))
        _check_widths(grid)
        cells = zip(*(record.cells for record in grid.rows.values()), strict=True)
        index = pd.Index(list(grid.rows), name="row")
        columns = [
            pd.Series([cell or None for cell in column], index=index, dtype=object)
            for column in cells
        ]
        notes = (*encoding_notes, *delimiter_notes, *grid.notes)
        return _Content(grid.header.cells, columns, notes)

    return read


def _records(text: str, delimiter: str) -> Iterator[_Record]:
    """Split a text into records, quotes honoured."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    try:
        for cells in reader:
            yield _Record(start, cells)
            start = reader.line_num + 1
    except csv.Error:
        problem = (
            f'line {start}: a quote (") opens a cell and is not closed before the next delimiter; '
            "close it, and write a quote inside a quoted cell twice"
        )
        raise _RefusalError(problem) from None


def _delimiter(text: str, usual: str | None) -> tuple[str, list[str]]:
    """Choose the delimiter by which most rows have as many fields as the column names."""
    agreement = {delimiter: _agreement(text, delimiter) for delimiter in _DELIMITERS}
    best = max(agreement.values())
    if best == 0:
        return usual or ",", []
    chosen = [delimiter for delimiter, share in agreement.items() if share == best]
    if usual == "\t" and usual in chosen:
        return usual, []
    if len(chosen) > 1:
        names = " and ".join(_DELIMITERS[delimiter] for delimiter in chosen)
        problem = f"{names} divide its lines equally well; save it with tabs as .tsv, or as .xlsx"
        raise _RefusalError(problem)
    note = f"columns are separated by the {_DELIMITERS[chosen[0]]}"
    return chosen[0], [] if chosen[0] == usual else [note]


def _agreement(text: str, delimiter: str) -> float:
    """Share of the first records that have as many fields, at least two, as the first one."""
    widths: list[int] = []
    try:
        for record in islice(_records(text, delimiter), _SAMPLED_RECORDS):
            if not record.blank:
                widths.append(len(record.cells))
    except _RefusalError:
        widths.append(0)
    if not widths or widths[0] < 2:
        return 0.0
    return widths.count(widths[0]) / len(widths)


def _check_widths(grid: _Grid) -> None:
    """Refuse rows that have more or fewer fields than there are column names."""
    expected = len(grid.header.cells)
    differing = {row: rec for row, rec in grid.rows.items() if len(rec.cells) != expected}
    if 2 * len(differing) > len(grid.rows) and len(grid.rows) > 2:
        width, count = Counter(len(record.cells) for record in differing.values()).most_common()[0]
        problem = (
            f"line {grid.header.line} has {_counted(expected, 'column name')}, but "
            f"{count:,} of {_counted(len(grid.rows), 'row')} have {_counted(width, 'field')}; "
            "the first line must hold one name for every column, without a title above it"
        )
        raise _RefusalError(problem)
    if differing:
        raise _RefusalError(
            *(
                f"row {row} (line {record.line}) has {_counted(len(record.cells), 'field')}, "
                f"not {expected} as the column names"
                for row, record in differing.items()
            )
        )


# Excel --------------------------------------------------------------------------------------------


def _read_excel(raw: bytes) -> _Content:
    """Read the first sheet of a workbook: the results that its formulas had when it was saved."""
    with _reading("an Excel workbook", raw):
        sheet, others, cells = _first_sheet(raw)
        formula_notes = _formula_notes(raw, cells)
    width = max((len(row) for row in cells), default=0)
    padded = [[*row, *[None] * (width - len(row))] for row in cells]
    grid = _grid([_Record(line, row) for line, row in enumerate(padded, start=1)])
    index = pd.Index(list(grid.rows), name="row")
    columns = [
        _excel_column(column, index)
        for column in zip(*(record.cells for record in grid.rows.values()), strict=True)
    ]
    notes = [f'sheet "{sheet}" read, others not: {quoted(others)}'] if others else []
    return _Content(grid.header.cells, columns, (*notes, *formula_notes, *grid.notes))


def _first_sheet(raw: bytes) -> tuple[str, list[str], list[tuple[object, ...]]]:
    """Return the first sheet's title, the other titles, and its cells row by row."""
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
    sheet, *others = book.worksheets
    sheet.reset_dimensions()  # programs other than Excel declare them wrongly
    cells = list(sheet.iter_rows(values_only=True))
    return printable(sheet.title), [printable(other.title) for other in others], cells


def _excel_column(cells: Iterable[object], index: pd.Index[Any]) -> pd.Series[Any]:
    """Make a numeric column where every cell is a number or empty, else one of objects."""
    values = [None if cell == "" else cell for cell in cells]
    kinds = {type(value) for value in values if value is not None}
    if not kinds or kinds - {int, float}:
        return pd.Series(values, index=index, dtype=object)
    if None in values or float in kinds:
        numbers = [np.nan if value is None else value for value in values]
        return pd.Series(numbers, index=index, dtype=np.float64)
    return pd.Series(values, index=index)


def _formula_notes(raw: bytes, results: Sequence[Sequence[object]]) -> list[str]:
    """Count formulas without a stored result, which a program other than Excel leaves out."""
    if not _has_formulas(raw):
        return []
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(raw), read_only=True)
    sheet = book.worksheets[0]
    sheet.reset_dimensions()
    empty = [
        cell.coordinate
        for row, stored in zip(sheet.iter_rows(), results, strict=True)
        for cell, result in zip(row, stored, strict=True)
        if cell.data_type == "f" and result is None
    ]
    if not empty:
        return []
    count = _counted(len(empty), "formula cell")
    return [
        f"{count} without a stored result read as empty: {', '.join(empty[:8])}"
        f"{', …' if len(empty) > 8 else ''}; open and save the workbook in Excel"
    ]


def _has_formulas(raw: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(re.search(rb"<f[ >]", archive.read(name)) for name in sheets)


# SPSS, Stata, Parquet -----------------------------------------------------------------------------


def _read_spss(raw: bytes) -> _Content:
    with _reading("an SPSS file", raw):
        from pyreadstat import read_sav

        frame, meta = read_sav(io.BytesIO(raw))
        declared = read_sav(io.BytesIO(raw), metadataonly=True, user_missing=True)[1]
    columns = [printable(column) for column in declared.missing_ranges]
    notes = _column_note(columns, "with codes that SPSS declares missing, read as missing")
    return _typed_content(frame, notes, meta.variable_value_labels)


def _read_stata(raw: bytes) -> _Content:
    with _reading("a Stata file", raw):
        from pyreadstat import read_dta

        frame, meta = read_dta(io.BytesIO(raw))
    return _typed_content(frame, [], meta.variable_value_labels)


def _read_parquet(raw: bytes) -> _Content:
    with _reading("a Parquet file", raw):
        from pyarrow import parquet

        # with threads or buffering ahead, a damaged file can end the whole process
        file = parquet.ParquetFile(io.BytesIO(raw), pre_buffer=False)
        frame = file.read(use_threads=False).to_pandas(ignore_metadata=True, use_threads=False)
    return _typed_content(frame, [], {})


def _typed_content(
    frame: pd.DataFrame,
    notes: Sequence[str],
    labels: Mapping[str, Mapping[float | str, str]],
) -> _Content:
    if frame.empty:
        problem = "it has no rows" if len(frame.columns) else "it has no columns"
        raise _RefusalError(problem)
    numbered = frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name="row"))
    columns = [numbered.iloc[:, position] for position in range(len(frame.columns))]
    by_code = {column: _codes(labelled) for column, labelled in labels.items()}
    return _Content(list(frame.columns), columns, tuple(notes), by_code)


def _codes(labelled: Mapping[Any, str]) -> dict[float | str, str]:
    """Give numeric codes one type, whatever the format stores."""
    return {
        code if isinstance(code, str) else float(code): label for code, label in labelled.items()
    }


_READERS: Mapping[str, Callable[[bytes], _Content]] = {
    ".csv": _text_reader(","),
    ".tsv": _text_reader("\t"),
    ".tab": _text_reader("\t"),
    ".txt": _text_reader(None),
    ".xlsx": _read_excel,
    ".xlsm": _read_excel,
    ".sav": _read_spss,
    ".zsav": _read_spss,
    ".dta": _read_stata,
    ".parquet": _read_parquet,
}
