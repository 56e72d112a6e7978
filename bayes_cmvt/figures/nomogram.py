"""The nomogram as a figure: axes with bands, total points, risk, and a patient read off them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import nomogram_layout, nomogram_page, nomogram_risk, nomogram_rows, style
from bayes_cmvt.figures.nomogram_layout import NAME_GAP_MM
from bayes_cmvt.figures.nomogram_page import EDGE_MM, RULER_GAP_MM, Page
from bayes_cmvt.figures.nomogram_risk import Heights
from bayes_cmvt.figures.nomogram_rows import LINE_MM, PATIENT, Cell, Scale
from bayes_cmvt.figures.nomogram_words import (
    called,
    capital,
    percent,
    percent_number,
    points_text,
    with_yes_no,
)
from bayes_cmvt.figures.style import DIM, INK
from bayes_cmvt.nomogram_scales import Nomogram, NomogramPatient

_AXES = (
    *("model", "axis", "value", "points", "points_lower", "points_upper", "label", "unit"),
    *("kind", "number", "reference", "reference_points", "length", "gathered", "interval"),
)
_RISK = ("total_points", "risk", "lower", "upper", "lower_envelope", "upper_envelope")

_POINTS = (
    *("axis", "value", "points", "points_lower", "points_upper"),
    *("assumed", "beyond", "gathered"),
)
_PATIENT = (
    *("total_points", "total_lower", "total_upper", "central_risk"),
    *("risk", "lower", "upper"),
)
_NARROWEST_MM = (110.0, 160.0)  # of one nomogram, and of two side by side
_TINY = 1e-9


def plot_nomogram(
    nomogram: Nomogram, *, beside: Nomogram | None = None, width_mm: float | None = None
) -> Figure:
    """Nomogram with bands on every axis and on the risk; nothing is computed, nothing saved.

    From the top: points, an axis for each predictor, what the axes that are not drawn add, total
    points, risk, and the risk by total points with its bands. A band rises from its axis: go from a
    value straight up to the slanted line and read the limits of its points at that height. Bands
    are measured from the reference, where they have no width, and do not add up to that of the
    risk. A patient of the nomogram is marked on every axis, with the distribution of the total.

    Parameters
    ----------
    nomogram : Nomogram
        From `bayes_cmvt.nomogram_points`.
    beside : Nomogram, optional
        A second model, drawn in a column of its own in the same rows.
    width_mm : float, optional
        175 unless given; at least 110, two side by side at least 160.

    Returns
    -------
    Figure
        At most 240 mm high up to 26 axes.

    Raises
    ------
    OptionError
        Tables without the columns of a nomogram, no axis with points, two nomograms of different
        outcomes, with bands of different probability, or without a common axis, too small a width.

    Notes
    -----
    Where no installed font has the Chinese letters, sentences are English and labels are names of
    columns; `untold_labels` lists the texts concerned.
    """
    shown = (nomogram,) if beside is None else (nomogram, beside)
    width = width_mm or style.DOUBLE_MM
    _require(shown, width)
    with style.journal():
        told = tuple(nomogram_layout.drawable(with_yes_no(each)) for each in shown)
        with mpl.rc_context({"font.family": nomogram_layout.families(told)}):
            return _draw(nomogram_layout.page_of(told, width))


def _require(shown: Sequence[Nomogram], width: float) -> None:
    """Refuse what cannot be drawn.

    Raises
    ------
    OptionError
        Tables without a column, no axis, two nomograms that have no scale in common, no room.
    """
    for each in shown:
        style.require_columns(each.axes, _AXES, "axes")
        style.require_columns(each.risk, _RISK, "risk")
        style.require_columns(each.accuracy, ("quantity", "value"), "accuracy")
        if each.patient is not None:
            style.require_columns(each.patient.points, _POINTS, "points")
            style.require_columns(each.patient.risk, _PATIENT, "risk of the patient")
    problems = [] if nomogram_page.drawn_axes(shown) else ["every axis has length 0 or is gathered"]
    narrowest = _NARROWEST_MM[len(shown) - 1]
    if not narrowest <= width < np.inf:
        problems.append(f"width_mm: found {width:g}; allowed: {narrowest:g} or more")
    first, last = shown[0], shown[-1]
    if first.outcome != last.outcome:
        problems.append(f"outcomes: {first.outcome!r} beside {last.outcome!r}; allowed: the same")
    if first.interval != last.interval:
        levels = f"{first.interval:g} beside {last.interval:g}"
        problems.append(f"probability of the bands: {levels}; compute both with the same ci_prob")
    if not {*first.axes["axis"]} & {*last.axes["axis"]}:
        problems.append("they have no axis in common; draw them one by one")
    if problems:
        msg = f"the nomogram of {' and '.join(each.model for each in shown)} cannot be drawn"
        raise OptionError(msg, problems)


# --- drawing -------------------------------------------------------------------------------------


def _draw(page: Page) -> Figure:
    height = nomogram_page.height_mm(page)
    at = nomogram_page.heights(page)
    figure = style.blank_figure(page.width, height)
    whole = _sheet(figure, "page", 0.0, page.width, (0.0, page.width))
    _write(page, figure, whole, at)
    for place, scale in enumerate(page.scales):
        rows = _sheet(figure, f"rows {place}", scale.left, scale.width, (scale.low, scale.high))
        _draw_rows(page, rows, place)
        _draw_lower(page, figure, place, at)
    keys = nomogram_page.legend_keys(page)
    columns = style.legend_columns(list(keys), page.text_mm, page.font)
    style.add_legend(figure, keys, left=EDGE_MM, top=nomogram_page.legend_top(at), columns=columns)
    figure.draw_without_rendering()
    return figure


def _sheet(
    figure: Figure, name: str, left: float, width: float, limits: tuple[float, float]
) -> Axes:
    """Axes as high as the figure, heights in mm from the top."""
    height = style.figure_mm(figure)[1]
    axes = style.panel(figure, left, 0.0, width, height)
    axes.set_label(name)
    axes.set(xlim=limits, ylim=(height, 0.0))
    axes.set_axis_off()
    axes.patch.set_visible(False)
    return axes


def _write(page: Page, figure: Figure, whole: Axes, at: Heights) -> None:
    """Titles, names, the patient's values and the notes."""
    look: dict[str, Any] = {"parse_math": False, "linespacing": 1.0, "va": "top", "color": INK}
    top = nomogram_page.title_top(page)
    whole.text(EDGE_MM, top, "\n".join(page.title), fontproperties=page.large, **look)
    if page.notice:
        across, down = style.figure_mm(figure)
        place = EDGE_MM / across, 1 - EDGE_MM / down
        figure.text(*place, "\n".join(page.notice), fontproperties=page.large, **look)
    if len(page.shown) > 1:
        middle = top + style.lines_mm(len(page.title), style.LARGE) + LINE_MM / 2
        for each, scale in zip(page.shown, page.scales, strict=True):
            centre, head = scale.left + scale.width / 2, page.say(each.model)
            _write_middle(whole, centre, middle, head, ha="center", weight=page.weight)
    ruler = nomogram_page.rows_top(page) - RULER_GAP_MM
    named = [(page.say("points"), ruler), (page.say("total"), at.total), (page.risk_name, at.risk)]
    named += [
        (row.name, baseline + row.name_mm(page.band, page.gap))
        for row, baseline in zip(page.rows, nomogram_page.baselines(page), strict=True)
    ]
    for text, middle in named:
        _write_middle(whole, EDGE_MM, middle, text)
    blocks = [
        (page.panel_name, at.panel_top),
        ("\n".join(page.gathered), nomogram_page.gathered_top(page)),
    ]
    blocks.append(
        ("\n".join(page.notes), nomogram_page.legend_top(at) + nomogram_page.legend_mm(page) + 0.6)
    )
    for text, top in blocks:
        nomogram_rows.write_lines(whole, EDGE_MM, top, text, color=INK)
    if page.patient:
        _write_patient(page, whole, at)


def _write_middle(axes: Axes, place: float, middle: float, text: str, **look: Any) -> None:
    """Lines of small letters around a height."""
    top = middle - (1 + text.count("\n")) * LINE_MM / 2
    nomogram_rows.write_lines(axes, place, top, text, **({"color": INK} | look))


def _write_patient(page: Page, whole: Axes, at: Heights) -> None:
    """Column of the patient's values; in a single nomogram also of points, total and risk."""
    patient = next(each.patient for each in page.shown if each.patient is not None)
    single = len(page.shown) == 1
    right = page.width - EDGE_MM
    left = right - page.values_mm + NAME_GAP_MM
    room = page.values_mm - NAME_GAP_MM
    room -= style.text_mm(page.say("short_points"), page.font) + 2.0 if single else 0.0
    ruler = nomogram_page.rows_top(page) - RULER_GAP_MM
    values = [(left, ruler, page.say("value"))]
    numbers = [(right, ruler, page.say("short_points"))]
    points = patient.points.set_index("axis")
    for axis, baseline in zip(
        nomogram_page.drawn_axes(page.shown), nomogram_page.baselines(page), strict=True
    ):
        if axis in points.index:
            read = points.loc[axis].to_dict()
            text = f"{read['value']}{'*' if read['assumed'] else ''}"
            values.append((left, baseline, nomogram_layout.fitted(page, [text], room, 2)[0]))
            numbers.append((right, baseline, points_text(float(read["points"]))))
    numbers += _sums(page, patient, right, at)
    written = [*((*each, "left") for each in values)]
    written += [(*each, "right") for each in numbers] if single else []
    for place, height, text, side in written:
        _write_middle(whole, place, height, text, ha=side, color=PATIENT)
    heading = ruler - LINE_MM
    head = next(each for each in page.shown if each.patient is not None)
    name = capital(called(head, page.language))
    _write_middle(whole, left, heading, name, weight=page.weight, color=PATIENT)


def _sums(
    page: Page, patient: NomogramPatient, right: float, at: Heights
) -> list[tuple[float, float, str]]:
    """What the patient's points add up to: of the gathered axes, in all, as risk, its interval."""
    read, sums = patient.risk.iloc[0], []
    gathered = patient.points.loc[patient.points["gathered"].eq(True), "points"]
    if page.gathered and len(gathered):
        place = nomogram_page.gathered_top(page) + LINE_MM / 2
        sums.append((right, place, points_text(float(gathered.sum()))))
    sums.append((right, at.total, points_text(read["total_points"])))
    sums.append((right, at.risk, percent(float(read["central_risk"]), page.language)))
    lines = [percent(float(read["risk"]), page.language)]
    if pd.notna(read["lower"]):
        upper = percent(float(read["upper"]), page.language)
        lines.append(page.say("range", lower=percent_number(read["lower"]), upper=upper))
    middle = (at.panel_top + at.panel_bottom) / 2
    return [*sums, (right, middle, "\n".join(lines))]


def _draw_rows(page: Page, axes: Axes, place: int) -> None:
    """Ruler of the points and every axis of one column."""
    scale = page.scales[place]
    ruler = nomogram_page.rows_top(page) - RULER_GAP_MM
    _draw_points_ruler(axes, scale, ruler, nomogram_page.rows_bottom(page), page)
    for row, baseline in zip(page.rows, nomogram_page.baselines(page), strict=True):
        shown = row.cells[place]
        if isinstance(shown, Cell):
            if shown.banded:
                nomogram_rows.draw_band(axes, shown, baseline, page.band)
            nomogram_rows.draw_axis(axes, shown, baseline, scale)
            nomogram_rows.draw_patient(axes, shown, baseline, page.band)
        else:
            _write_middle(axes, 0.0, baseline, shown, color=DIM, style="italic")


def _draw_points_ruler(axes: Axes, scale: Scale, ruler: float, bottom: float, page: Page) -> None:
    """Points from 0 to 100 with guide lines, thinner where only bands reach."""
    tens = np.arange(np.ceil(scale.low / 10) * 10, scale.high + _TINY, 10)
    inside = (tens >= 0) & (tens <= 100)
    axes.vlines(tens, ruler, bottom, color=nomogram_rows.GRID, linewidth=0.35, zorder=0)
    axes.hlines(ruler, scale.low, scale.high, color=DIM, linewidth=0.4, zorder=2)
    axes.hlines(ruler, 0, 100, color=INK, linewidth=0.9, zorder=3, gid="points ruler")
    axes.vlines(tens[inside], ruler - 1.0, ruler, color=INK, linewidth=0.6)
    axes.vlines(tens[~inside], ruler - 1.0, ruler, color=DIM, linewidth=0.4)
    halves = np.arange(5, 100, 10)
    axes.vlines(halves, ruler - 0.6, ruler, color=INK, linewidth=0.5)
    widest = style.text_mm("−100", page.font) / scale.width * (scale.high - scale.low)  # points
    every = next(step for step in (10, 20, 50, 100) if 1.1 * widest <= step or step == 100)
    half = widest / 2
    inside_page = (tens - half >= scale.low) & (tens + half <= scale.high)
    for ten in tens[(tens % every == 0) & inside_page]:
        within = 0 <= ten <= 100
        axes.text(
            ten,
            ruler - 1.3,
            points_text(ten),
            ha="center",
            va="bottom",
            fontsize=style.SMALL,
            color=INK if within else DIM,
            parse_math=False,
            gid="points label",
        )


def _draw_lower(page: Page, figure: Figure, place: int, at: Heights) -> None:
    """Total points, risk and the panel of one column."""
    each = page.shown[place]
    left, width = page.scales[place].left, page.scales[place].width
    scale = nomogram_risk.totals_scale(each, left, width)
    totals = _sheet(figure, f"totals {place}", left, width, (scale.low, scale.high))
    labels = (
        nomogram_risk.draw_ruler(totals, scale, at.total, page.font),
        nomogram_risk.draw_risk_axis(totals, each, scale, at.risk, page.font),
    )
    nomogram_risk.draw_patient_total(totals, each, scale, at, labels)
    panel = style.panel(figure, left, at.panel_top, width, page.panel)
    panel.set_label(f"risk {place}")
    limits = nomogram_risk.risk_limits(page.shown)
    nomogram_risk.draw_panel(panel, each, scale, limits, ruler=labels[0], first=place == 0)
    nomogram_risk.draw_patient_risk(panel, each)
