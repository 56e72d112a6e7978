"""Flow and Table 1 of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bayes_cmvt.report.document import Content, Fixed, Value, given
from bayes_cmvt.report.material import Key, Material, cell
from bayes_cmvt.report.table_rows import (
    Row,
    Rows,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("overall", "no_event", "event", "development", "validation")
SPLITS = (("no_event", "event"), ("development", "validation"))  # each adds up to all patients
FEWEST = 5  # patients of a cell; fewer could be recognised
FEW, HIDDEN = "<5", "*"


def flow_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return the steps from the rows of the file to the patients."""
    words = material.words
    rows: list[Row] = [
        (
            (words.get(f"flow_{step}", "") or given(step),),
            shown(cell(material, "flow", "patients", {"step": step}, digits=0)),
        )
        for step in table["step"]
    ]
    return (words["step"], words["patients_n"]), rows


def table_one_rows(material: Material, table: pd.DataFrame) -> Rows:
    """Return Table 1 as it was computed, text by text."""
    words = material.words
    columns = [name for name in GROUPS if name in table.columns]
    hidden = hidden_cells(table)
    rows: list[Row] = []
    for place in range(len(table)):
        line = table.iloc[place]
        key = {name: line[name] for name in ("name", "level", "summary") if _is_filled(line[name])}
        named = [_written(line[name]) for name in ("label", "level") if _is_filled(line[name])]
        cells = (
            (Fixed(hidden[place, name]),)
            if (place, name) in hidden
            else _exact(line[name], name, key)
            for name in columns
        )
        rows.append(((given(": ".join(named)),), (given(line["summary"], 60),), *cells))
    head = (words[f"c_{one}"] for one in columns)
    return (words["characteristic"], words["shown"], *head), rows


def hidden_cells(table: pd.DataFrame) -> dict[tuple[int, str], str]:
    """Return the cells of Table 1 that could tell who a patient is, with what stands instead.

    A count below five is hidden, and with it whatever would give it away by subtraction: the other
    group of its split, and the same groups of a second level. Of a group of fewer than five
    patients nothing but their number is shown.

    Parameters
    ----------
    table : DataFrame
        Table ``table_one``; its first row counts the patients.

    Returns
    -------
    dict of (int, str) to str
        By number of the row and column: `FEW` or `HIDDEN`.
    """
    present = [name for name in GROUPS if name in table.columns]
    counts = {name: [_count(found) for found in table[name]] for name in present}
    hidden: dict[tuple[int, str], str] = {}
    for rows in _levels(table):
        rare = _with_second(rows, _few(counts, rows, ["overall"]), table, counts)
        overall = {(place, "overall") for place in rare if "overall" in present}
        split = {
            (place, name)
            for pair in SPLITS
            for place in _with_second(rows, rare | _few(counts, rows, pair), table, counts)
            for name in pair
            if name in present
        }
        for place, name in overall | split:
            count = counts[name][place]
            hidden[place, name] = FEW if count is not None and count < FEWEST else HIDDEN
    small = {name for pair in SPLITS if _few(counts, [0], pair) for name in pair if name in present}
    return hidden | {(place, name): HIDDEN for place in range(1, len(table)) for name in small}


def _levels(table: pd.DataFrame) -> list[list[int]]:
    """Rows of each predictor that is shown by counts."""
    counted = [place for place, kind in enumerate(table["summary"]) if kind == "n (%)"]
    names = dict.fromkeys(table["name"].iloc[place] for place in counted)
    return [[place for place in counted if table["name"].iloc[place] == one] for one in names]


def _few(
    counts: Mapping[str, Sequence[int | None]], rows: Iterable[int], columns: Sequence[str]
) -> set[int]:
    """Rows with a count below five in one of these columns."""
    held = [counts[name] for name in columns if name in counts]
    return {
        place
        for place in rows
        for one in held
        if (count := one[place]) is not None and count < FEWEST
    }


def _with_second(
    rows: Sequence[int],
    found: set[int],
    table: pd.DataFrame,
    counts: Mapping[str, Sequence[int | None]],
) -> set[int]:
    """Two rows at least where there is one: one alone is the total less the others."""
    others = [place for place in rows if place not in found]
    if len(found) != 1 or not others:
        return found
    size = counts.get("overall", [None] * len(table))
    return found | {min(others, key=lambda place: size[place] or 0)}


def _count(found: object) -> int | None:
    """Patients of a cell such as ``12 (3.4)``; None where it is no count."""
    first = str(found).partition(" ")[0]
    return int(first) if first.isdigit() else None


def _exact(found: object, column: str, key: Mapping[str, Key]) -> Content:
    """A cell of Table 1, which holds a text and is found by name, level and kind."""
    if not _is_filled(found):
        return ("",)
    text = _written(found)
    return (Value(text, text, "tables/table_one.csv", tuple(key.items()), column),)


def _is_filled(found: object) -> bool:
    return found == found and found != ""  # an empty cell may be NaN


def _written(found: object) -> str:
    """A level or a cell as its file has it, even where all of them are numbers."""
    return f"{found:.0f}" if isinstance(found, float) and found.is_integer() else str(found)
