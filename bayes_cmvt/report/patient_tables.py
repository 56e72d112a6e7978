"""Flow and Table 1 of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayes_cmvt.report.document import Content, Value, given
from bayes_cmvt.report.material import Key, Material, cell
from bayes_cmvt.report.table_rows import (
    Row,
    Rows,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("overall", "no_event", "event", "development", "validation")


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
    rows: list[Row] = []
    for place in range(len(table)):
        line = table.iloc[place]
        key = {name: line[name] for name in ("name", "level", "summary") if _is_filled(line[name])}
        named = [_written(line[name]) for name in ("label", "level") if _is_filled(line[name])]
        cells = (_exact(line[name], name, key) for name in columns)
        rows.append(((given(": ".join(named)),), (given(line["summary"], 60),), *cells))
    head = (words[f"c_{one}"] for one in columns)
    return (words["characteristic"], words["shown"], *head), rows


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
