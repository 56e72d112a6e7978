"""Lays out the page of a nomogram: texts that can be drawn, names that fit, scales, room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.font_manager import FontProperties

from bayes_cmvt.figures import nomogram_rows, style
from bayes_cmvt.figures.nomogram_page import EDGE_MM, TINY, Page, Row, drawn_axes, height_mm
from bayes_cmvt.figures.nomogram_rows import Cell, Scale
from bayes_cmvt.figures.nomogram_words import (
    gathered_line,
    has_bands,
    joined,
    notes,
    patient_line,
    risk_title,
    spoken,
    texts_of,
    untold_labels,
)
from bayes_cmvt.nomogram_scales import Nomogram

HIGHEST_MM = 240.0  # of a figure, on a page with its legend
_NAME_MM, _NAME_BESIDE_MM, NAME_GAP_MM = 44.0, 34.0, 2.5
_COLUMN_GAP_MM = 4.0
_VALUE_MM = 22.0  # at most, of a patient's value in the column
_LEFT_OF_ZERO_MM = 4.0
_FARTHEST = 60.0  # points left of 0 and right of 100 that are drawn of a band
# heights of a band, of the gap above it, of the panel, and what share of the other gaps is kept:
# the first that let all fit the page
_ROOM_MM = (
    *((5.0, 1.2, 34.0, 1.0), (4.5, 1.0, 34.0, 1.0), (4.0, 0.8, 34.0, 1.0), (4.0, 0.6, 30.0, 1.0)),
    *((3.5, 0.5, 30.0, 1.0), (3.0, 0.4, 26.0, 0.9), (2.6, 0.3, 24.0, 0.9), (2.2, 0.2, 22.0, 0.8)),
    *((2.0, 0.1, 20.0, 0.7), (1.8, 0.0, 18.0, 0.6), (1.8, 0.0, 15.0, 0.5)),
)
_RISKS_MM = 8.0  # labels beside the panel


def drawable(nomogram: Nomogram) -> Nomogram:
    """The nomogram with texts that can be drawn in place of those that no font has letters for.

    Labels become names of columns, units vanish, other letters are written by their number.
    """
    lost = set(untold_labels(nomogram))
    if not lost:
        return nomogram

    def told(text: object) -> object:
        plain = " ".join(text.split()) if isinstance(text, str) else ""
        return style.names([plain], [plain])[0].text if plain in lost else text

    axes = nomogram.axes.copy()
    for column in ("label", "unit"):
        axes[column] = axes[column].where(~axes[column].isin(lost), "")
    axes[["value", "reference"]] = axes[["value", "reference"]].map(told)
    patient = nomogram.patient
    if patient is not None:
        points = patient.points.assign(value=patient.points["value"].map(told))
        patient = replace(patient, points=points, name=str(told(patient.name)))
    return replace(
        nomogram,
        axes=axes,
        patient=patient,
        title=str(told(nomogram.title)),
        outcome=str(told(nomogram.outcome)),
        horizon=str(told(nomogram.horizon)),
        notice=str(told(nomogram.notice)),
    )


def families(shown: Sequence[Nomogram]) -> list[str]:
    """Fonts that have all letters between them, ours first."""
    texts = [text for each in shown for text in texts_of(each)]
    named = style.names(texts, texts)
    return list(dict.fromkeys(family for name in named for family in name.families))


# --- the page ------------------------------------------------------------------------------------


def page_of(shown: tuple[Nomogram, ...], width: float) -> Page:
    """Everything in its place."""
    font = FontProperties(family=mpl.rcParams["font.family"], size=style.SMALL)
    page = _with_names(Page(shown, spoken(shown[0]), width, font))
    page = replace(page, scales=_scales(page))
    page = replace(page, rows=_rows(page), gathered=_gathered(page))
    page = replace(page, notes=tuple(_notes(page)))
    for band, gap, panel, share in _ROOM_MM:
        page = replace(page, band=band, gap=gap, panel=panel, share=share)
        if height_mm(page) <= HIGHEST_MM:
            break
    return page


def _with_names(page: Page) -> Page:
    """Titles, names, and the widths of their column and of that of a patient's values."""
    most = _NAME_MM if len(page.shown) == 1 else _NAME_BESIDE_MM
    risk = fitted(page, [risk_title(page.shown[0], page.language)], most, 3)[0]
    names = style.fitted_names(_called(page), most, 2)
    width = max(style.text_mm(text, page.font) for text in [*names, risk, page.say("total")])
    heads = [page.shown[0].title]
    heads += [page.say(page.shown[0].model)] if len(page.shown) == 1 else []
    title = style.broken(page.say("colon").join(heads), page.text_mm, page.large)
    notices = dict.fromkeys(each.notice for each in page.shown if each.notice)
    notice = [line for text in notices for line in style.broken(text, page.text_mm, page.large)]
    panel = fitted(page, [page.say("panel")], width + NAME_GAP_MM - _RISKS_MM, 4)[0]
    return replace(
        page,
        names=tuple(names),
        names_mm=width,
        values_mm=_values_mm(page) if page.patient else 0.0,
        notice=tuple(notice),
        title=tuple(title),
        risk_name=risk,
        panel_name=panel,
    )


def _called(page: Page) -> list[style.Name]:
    """Label and unit of each axis, the column's name where there is no label."""
    columns = ["axis", "label", "unit"]
    table = pd.concat([each.axes[columns] for each in page.shown]).drop_duplicates("axis")
    told = table.set_index("axis").fillna("")
    letters = tuple(page.font.get_family())
    called = []
    for axis in drawn_axes(page.shown):
        label, unit = str(told.loc[axis, "label"]), str(told.loc[axis, "unit"])
        text = page.say("unit", label=label, unit=unit) if unit and label else label
        called.append(style.Name(axis, " ".join(text.split()) or axis, letters))
    return called


def fitted(page: Page, texts: Sequence[str], width: float, lines: int) -> list[str]:
    """Texts broken into lines of a width, cut where they are too long."""
    letters = tuple(page.font.get_family())
    named = [style.Name(text, text, letters) for text in texts]
    return style.fitted_names(named, width, lines)


def _values_mm(page: Page) -> float:
    """Width of the column of a patient's values and, in a single nomogram, their points."""
    patient = next(each.patient for each in page.shown if each.patient is not None)
    texts = [*(f"{value}*" for value in patient.points["value"]), page.say("value"), "99.9 %"]
    widest = max(style.text_mm(text, page.font) for text in texts)
    points = style.text_mm(page.say("short_points"), page.font) + 2.5
    return min(widest, _VALUE_MM) + (points if len(page.shown) == 1 else 0.0) + NAME_GAP_MM


def _scales(page: Page) -> tuple[Scale, ...]:
    """Points across each column: 0 to 100 and what the bands need beside them."""
    left = EDGE_MM + page.names_mm + NAME_GAP_MM
    count = len(page.shown)
    room = page.width - left - EDGE_MM - page.values_mm - _COLUMN_GAP_MM * (count - 1)
    width = room / count
    scales = []
    for each in page.shown:
        drawn = each.axes[each.axes["axis"].isin(drawn_axes([each]))]
        low = float(drawn["points_lower"].min()) if len(drawn) else np.nan
        high = float(drawn["points_upper"].max()) if len(drawn) else np.nan
        low = max(np.nanmin([low - 1.0, 0.0]), -_FARTHEST)
        high = min(np.nanmax([high + 1.0, 100.0]), 100.0 + _FARTHEST)
        edge = _LEFT_OF_ZERO_MM * (high - low) / (width - 2 * _LEFT_OF_ZERO_MM)
        scales.append(Scale(left, width, min(low, -edge), max(high, 100.0 + edge)))
        left += width + _COLUMN_GAP_MM
    return tuple(scales)


def _rows(page: Page) -> tuple[Row, ...]:
    tables = [dict(list(each.axes.groupby("axis", sort=False))) for each in page.shown]
    rows = []
    for axis, name in zip(drawn_axes(page.shown), page.names, strict=True):
        cells = (_cell(page, place, axis, table.get(axis)) for place, table in enumerate(tables))
        rows.append(Row(name, tuple(cells)))
    return tuple(rows)


def _cell(page: Page, place: int, axis: str, values: pd.DataFrame | None) -> Cell | str:
    """One axis of one model, or the words for its absence."""
    if values is None or abs(values["length"].iloc[0]) <= TINY:
        return page.say("absent")
    if values["gathered"].iloc[0]:
        return page.say("among_others")
    patient, read = page.shown[place].patient, None
    if patient is not None:
        found = patient.points[patient.points["axis"] == axis]
        read = found.iloc[0] if len(found) else None
    return nomogram_rows.cell(values, page.scales[place], page.font, read)


def _gathered(page: Page) -> tuple[str, ...]:
    """Lines about the axes that are not drawn: what they add, and their names where they fit."""
    lines: list[str] = []
    for each in page.shown:
        text = gathered_line(each, page.language)
        if not text:
            continue
        head = page.say(each.model) + page.say("colon") if len(page.shown) > 1 else ""
        room = page.text_mm - (page.values_mm if len(page.shown) == 1 else 0.0)
        lines += style.broken(head + text, room, page.font)
        chosen = each.axes.loc[each.axes["gathered"].eq(True)].drop_duplicates("axis")
        labels = chosen["label"].where(chosen["label"].ne(""), chosen["axis"])
        listed = page.say("comma").join(labels) + page.say("stop")
        named = style.broken(listed, room, page.font)
        lines += named if len(named) <= 2 else []
    return tuple(lines)


def _notes(page: Page) -> list[str]:
    """Lines under the figure: the patient, how to read a band, then what each model's bands are."""
    cut = _is_cut(page)
    banded = any(has_bands(each) for each in page.shown)
    paragraphs = [patient_line(each, page.language) for each in page.shown]
    if len(page.shown) > 1:
        heads = [page.say(each.model) + page.say("colon") for each in page.shown]
        paragraphs = [h + text if text else "" for h, text in zip(heads, paragraphs, strict=True)]
    assumed = any(
        each.patient is not None and each.patient.points["assumed"].eq(True).any()
        for each in page.shown
    )
    paragraphs[-1] = joined([paragraphs[-1], page.say("assumed") if assumed else ""], page.language)
    paragraphs.append(page.say("read") if banded else "")
    for place, each in enumerate(page.shown):
        head = page.say(each.model) + page.say("colon") if len(page.shown) > 1 else ""
        said = notes(each, page.language, cut=cut and place == len(page.shown) - 1)
        paragraphs.append(head + joined(said, page.language))
    return [
        line
        for paragraph in paragraphs
        if paragraph
        for line in style.broken(paragraph, page.text_mm, page.font)
    ]


def _is_cut(page: Page) -> bool:
    """Whether any band goes on beyond the drawn points."""
    for row in page.rows:
        for shown, scale in zip(row.cells, page.scales, strict=True):
            if isinstance(shown, Cell) and (
                (shown.values["points_lower"] < scale.low - TINY).any()
                or (shown.values["points_upper"] > scale.high + TINY).any()
            ):
                return True
    return False
