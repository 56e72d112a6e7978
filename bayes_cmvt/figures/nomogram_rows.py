"""The axes of the predictors of a nomogram: bands, ticks, labels, the patient's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

from bayes_cmvt.figures import style, tick_labels
from bayes_cmvt.figures.style import DIM, INK, Name
from bayes_cmvt.figures.tick_labels import Limits, TickLabel

Array = NDArray[np.float64]

WEDGE, GRID = "#CCCCCC", "#E6E6E6"
PATIENT = style.MARKS[1].colour
TICK_MM, SHORT_TICK_MM, PAD_MM, LINE_MM = 0.9, 0.5, 0.3, 2.6
LIFT_MM = 0.8  # from an axis to the lowest point of its band
_WHISKER = "#8C8C8C"
_ASCENT_MM = 1.9  # of a line of labels, so that all stand on one line whatever their letters
_TINY = 1e-9


@dataclass(frozen=True)
class Scale:
    """Where points lie on the page.

    Parameters
    ----------
    left, width : float
        Of the drawing, in mm.
    low, high : float
        Points at its ends.
    """

    left: float
    width: float
    low: float
    high: float

    def mm(self, points: Array) -> Array:
        """Places of points, in mm from the left of the page."""
        return self.left + (points - self.low) / (self.high - self.low) * self.width

    def points(self, place: float) -> float:
        """Points at a place of the page."""
        return self.low + (place - self.left) / self.width * (self.high - self.low)

    @property
    def room(self) -> Limits:
        """Ends of the drawing on the page, in mm."""
        return self.left, self.left + self.width


@dataclass(frozen=True, eq=False)
class Cell:
    """One axis of one model, ready to be drawn.

    Parameters
    ----------
    values : DataFrame
        Rows of the axis, in ascending order of their points.
    labels : list of TickLabel
    patient : Series, optional
        The patient's value on this axis.
    """

    values: pd.DataFrame
    labels: list[TickLabel]
    patient: pd.Series[Any] | None = None

    @cached_property
    def lines(self) -> int:
        """Lines of text below the axis."""
        return max(label.last_line for label in self.labels)

    @cached_property
    def continuous(self) -> bool:
        """Whether every place on the axis stands for a value; levels have theirs alone."""
        return bool(self.values["kind"].iloc[0] == "continuous")

    @cached_property
    def banded(self) -> bool:
        """Whether any value has limits."""
        return bool(self.values["points_lower"].notna().any())


def cell(
    values: pd.DataFrame,
    scale: Scale,
    font: FontProperties,
    patient: pd.Series[Any] | None = None,
) -> Cell:
    """Return an axis with its labels in their places."""
    ordered = values.sort_values("points", kind="stable", ignore_index=True)
    ticks = scale.mm(ordered["points"].to_numpy(dtype=float))
    texts = ordered["value"].astype(str).tolist()
    if ordered["kind"].iloc[0] == "continuous":
        labels = tick_labels.thinned(ticks, texts, scale.room, font)
    else:
        families = tuple(font.get_family())
        called = [Name(text, " ".join(text.split()), families) for text in texts]
        labels = tick_labels.placed_names(ticks, called, scale.room)
    return Cell(ordered, labels, patient)


def below_mm(lines: int) -> float:
    """Room under an axis for so many lines of labels."""
    return TICK_MM + PAD_MM + lines * LINE_MM


# --- the band ------------------------------------------------------------------------------------


def heights(shown: Cell, band_mm: float) -> Array:
    """Heights above the axis at which the values have their limits, in mm; 0 for a reference level.

    A measurement rises in proportion to its points, levels by rank, so that no two share a height.
    """
    points = shown.values["points"].to_numpy(dtype=float)
    top = band_mm - LIFT_MM
    if shown.continuous:
        length = max(float(np.ptp(points)), _TINY)
        return np.asarray(LIFT_MM + top * (points - points.min()) / length)
    others = shown.values["value"].ne(shown.values["reference"]).to_numpy()
    ranks = np.cumsum(others) - 0.5
    return np.where(others, LIFT_MM + top * ranks / max(int(others.sum()), 1), 0.0)


def height_at(shown: Cell, points: float, band_mm: float) -> float:
    """Height of a value with these points; beyond the axis that of its end."""
    known = shown.values["points"].to_numpy(dtype=float)
    found = heights(shown, band_mm)
    if shown.continuous:
        return float(np.interp(points, known, found))
    return float(found[int(np.abs(known - points).argmin())])


def draw_band(axes: Axes, shown: Cell, baseline: float, band_mm: float) -> None:
    """Limits of the points of each value, above the axis; heights are in mm of the page."""
    up = baseline - heights(shown, band_mm)
    if shown.continuous:
        _draw_wedges(axes, shown, up)
    else:
        _draw_bars(axes, shown, baseline, up)
    _draw_cuts(axes, shown, up)


def _draw_wedges(axes: Axes, shown: Cell, up: Array) -> None:
    """Two wedges that meet at the reference, and the line of the points through them."""
    values = shown.values
    points, lower, upper = (
        values[name].to_numpy(dtype=float) for name in ("points", "points_lower", "points_upper")
    )
    reference = float(values["reference_points"].iloc[0])
    if points[0] < reference < points[-1]:
        place = int(np.searchsorted(points, reference))
        height = float(np.interp(reference, points, up))
        points, lower, upper = (
            np.insert(each, place, reference) for each in (points, lower, upper)
        )
        up = np.insert(up, place, height)
    axes.fill_betweenx(up, lower, upper, color=WEDGE, linewidth=0, zorder=1, gid="band")
    labelled = np.isin(points, _labelled(shown))
    ends = lower[labelled], upper[labelled]
    axes.hlines(up[labelled], *ends, color=_WHISKER, linewidth=0.4, zorder=2, gid="whiskers")
    axes.plot(points, up, color=INK, linewidth=0.6, zorder=3, gid="line", solid_capstyle="butt")


def _labelled(shown: Cell) -> Array:
    """Points of the values whose labels are written."""
    written = {text for label in shown.labels for text in label.text.split(" – ")}
    chosen = shown.values["value"].astype(str).isin(written)
    return shown.values.loc[chosen, "points"].to_numpy(dtype=float)


def _draw_bars(axes: Axes, shown: Cell, baseline: float, up: Array) -> None:
    """A bar for each level but the reference, its points as a dot above the tick."""
    values = shown.values
    others = (up < baseline) & values["points_lower"].notna().to_numpy()
    points, lower, upper = (
        values[name].to_numpy(dtype=float)[others]
        for name in ("points", "points_lower", "points_upper")
    )
    thick = style.POINTS_PER_INCH / style.MM_PER_INCH * min(0.9, 2.4 / max(int(others.sum()), 1))
    axes.hlines(up[others], lower, upper, color=WEDGE, linewidth=thick, zorder=1, gid="bars")
    axes.vlines(points, up[others], baseline, color=INK, linewidth=0.35, zorder=2)
    axes.plot(points, up[others], linestyle="none", marker="o", markersize=1.8, color=INK, zorder=3)


def _draw_cuts(axes: Axes, shown: Cell, up: Array) -> None:
    """Triangles where a band goes on beyond the drawn points."""
    low, high = axes.get_xlim()
    for limit, edge, marker in (("points_lower", low, "<"), ("points_upper", high, ">")):
        value = shown.values[limit].to_numpy(dtype=float)
        beyond = value < edge - _TINY if marker == "<" else value > edge + _TINY
        if beyond.any():
            axes.plot(
                np.full(int(beyond.sum()), edge),
                up[beyond],
                linestyle="none",
                marker=marker,
                markersize=2.4,
                color=DIM,
                clip_on=False,
                zorder=4,
                gid="cut",
            )
        if beyond.sum() == 1 and not shown.continuous:
            _write_limit(axes, float(value[beyond][0]), edge, float(up[beyond][0]))


def _write_limit(axes: Axes, limit: float, edge: float, height: float) -> None:
    """A limit that is not drawn, as a number under the end of its bar."""
    low, high = axes.get_xlim()
    side, inward = ("left", 0.012) if edge == low else ("right", -0.012)
    place = edge + inward * (high - low)
    text = f"{round(limit)}".replace("-", "−")
    write_lines(axes, place, height + 0.7, text, ha=side, color=DIM, gid="limit")


# --- the axis ------------------------------------------------------------------------------------


def draw_axis(axes: Axes, shown: Cell, baseline: float, scale: Scale) -> None:
    """Line, ticks, labels and the reference of an axis."""
    values = shown.values
    points = values["points"].to_numpy(dtype=float)
    name = str(values["axis"].iloc[0])
    axes.hlines(baseline, points.min(), points.max(), color=INK, linewidth=0.8, zorder=3, gid=name)
    long = np.isin(points, _labelled(shown)) if shown.continuous else np.ones(len(points), bool)
    length = np.where(long, TICK_MM, SHORT_TICK_MM)
    axes.vlines(
        points, baseline, baseline + length, color=INK, linewidth=0.6, zorder=3, gid="ticks"
    )
    reference = float(values["reference_points"].iloc[0])
    axes.plot(
        reference,
        baseline,
        marker="o",
        markersize=2.6,
        color=INK,
        markerfacecolor="white",
        markeredgewidth=0.7,
        zorder=4,
        gid="reference",
    )
    write_labels(axes, shown.labels, baseline, scale)


def write_labels(axes: Axes, labels: Sequence[TickLabel], baseline: float, scale: Scale) -> None:
    """Write labels under an axis, those of lower tiers at the end of a leader line."""
    for label in labels:
        top = baseline + TICK_MM + PAD_MM + label.line * LINE_MM
        place = scale.points(label.centre)
        write_lines(axes, place, top, label.text, ha="center", color=INK, gid="label")
        if label.line:
            tick = scale.points(label.tick)
            axes.vlines(tick, baseline + TICK_MM, top, color=DIM, linewidth=0.4, zorder=2)


def write_lines(axes: Axes, place: float, top: float, text: str, **look: Any) -> None:
    """Lines of small letters from a height in mm, each on its line whatever its letters."""
    for number, line in enumerate(text.split("\n")):
        height = top + number * LINE_MM + _ASCENT_MM
        axes.text(place, height, line, va="baseline", zorder=5, parse_math=False, **look)


def draw_patient(axes: Axes, shown: Cell, baseline: float, band_mm: float) -> None:
    """Mark a patient's value on its axis, an arrow at the edge where it lies off the page."""
    if shown.patient is None:
        return
    points = float(shown.patient["points"])
    low, high = axes.get_xlim()
    ends = shown.values["points"].min(), shown.values["points"].max()
    if shown.patient["beyond"]:
        nearest = min(ends, key=lambda end: abs(end - points))
        axes.hlines(
            baseline, *sorted((nearest, points)), color=PATIENT, linewidth=0.8, linestyle=":"
        )
    if shown.banded:
        height = baseline - height_at(shown, points, band_mm)
        limits = float(shown.patient["points_lower"]), float(shown.patient["points_upper"])
        axes.hlines(height, *limits, color=PATIENT, linewidth=1.2, zorder=4, gid="patient band")
        axes.vlines(points, height, baseline, color=PATIENT, linewidth=0.6, zorder=4)
    marker = "<" if points < low else ">" if points > high else "D"
    axes.plot(
        np.clip(points, low, high),
        baseline,
        linestyle="none",
        marker=marker,
        markersize=4.2,
        color=PATIENT,
        markerfacecolor="white" if shown.patient["assumed"] else PATIENT,
        clip_on=False,
        zorder=6,
        gid="patient",
    )
