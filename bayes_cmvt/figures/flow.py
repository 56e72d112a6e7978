"""Figure of the patients: from the rows of the file to the sets that were analysed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bayes_cmvt.figures import style
from bayes_cmvt.figures.style import DIM, INK

_EDGE_MM, _GAP_MM, _PAD_MM = 2.0, 6.0, 1.8
_LEFT_OUT, _PATIENTS, _EVENTS = "left out: ", ": patients", ": events"
_SIDE_SHARE = 0.42  # of the width, for those left out


@dataclass(frozen=True)
class _Stage:
    """Lines of the box of a stage, and of the box of those who left before it."""

    lines: tuple[str, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Box:
    """Lines in a box, in mm from the left and the top of the figure."""

    lines: tuple[str, ...]
    left: float
    top: float
    width: float
    fill: str = "white"

    @property
    def text(self) -> str:
        """Lines broken to the width of the box; what is longer than three is cut."""
        called = style.names(self.lines, [""] * len(self.lines))
        return "\n".join(style.fitted_names(called, self.width - 2 * _PAD_MM, 3))

    @property
    def bottom(self) -> float:
        return self.top + style.lines_mm(1 + self.text.count("\n")) + 2 * _PAD_MM

    @property
    def centre(self) -> tuple[float, float]:
        return self.left + self.width / 2, (self.top + self.bottom) / 2


def plot_flow(flow: pd.DataFrame, *, width_mm: float | None = None) -> Figure:
    """Flow of patients: a box for each stage, those left out at the side, the sets below.

    A study with one set has no box for it: its events stand in the box of the last stage. Counts
    are those of the table, in its order; none is computed.

    Parameters
    ----------
    flow : DataFrame
        ``step, patients``: stages of the file, steps that begin with ``left out: ``, and for each
        set ``SET: patients`` and ``SET: events``.
    width_mm : float, optional
        85 unless another one is given.

    Returns
    -------
    Figure
        One axes; its unit is the mm from the left and the top of the figure.

    Raises
    ------
    OptionError
        A table without rows or without the two columns.
    """
    style.require_columns(flow, ("step", "patients"), "flow")
    stages, sets = _read(flow)
    width_mm = width_mm or style.SINGLE_MM
    with style.journal():
        column, side = _stacked(stages, width_mm)
        start = max(box.bottom for box in (*column, *side)) if column or side else 0.0
        below = _side_by_side(sets, start + 1.5 * _GAP_MM if start else _EDGE_MM, width_mm)
        height = max(box.bottom for box in (*column, *side, *below)) + _EDGE_MM
        figure = style.blank_figure(width_mm, height)
        axes = style.panel(figure, 0.0, 0.0, width_mm, height)
        axes.set(xlim=(0.0, width_mm), ylim=(height, 0.0))
        axes.set_axis_off()
        for box in (*column, *side, *below):
            _draw_box(axes, box)
        _join_column(axes, column, side)
        if column:
            _join_sets(axes, column[-1], below)
        figure.draw_without_rendering()
    return figure


def _read(flow: pd.DataFrame) -> tuple[list[_Stage], list[tuple[str, ...]]]:
    """Stages and sets as lines of boxes; a single set is the last stage."""
    stages: list[_Stage] = []
    left_out: list[str] = []
    sets: dict[str, list[str]] = {}
    for step, patients in zip(flow["step"].astype(str), flow["patients"], strict=True):
        count = f"{int(patients):,}"
        if step.startswith(_LEFT_OUT):
            left_out.append(f"{count} left out: {step.removeprefix(_LEFT_OUT)}")
        elif step.endswith(_PATIENTS):
            called = step.removesuffix(_PATIENTS)
            sets.setdefault(called, []).extend([f"{called} set", f"{count} patients"])
        elif step.endswith(_EVENTS):
            sets.setdefault(step.removesuffix(_EVENTS), []).append(f"{count} with the event")
        else:
            stages.append(_Stage((f"{count} {step}",), tuple(left_out)))
            left_out = []
    if left_out:
        stages.append(_Stage((), tuple(left_out)))
    if len(sets) == 1 and stages and stages[-1].lines:
        events = tuple(next(iter(sets.values()))[2:])
        stages[-1] = _Stage((*stages[-1].lines, *events), stages[-1].left_out)
        sets = {}
    return stages, [tuple(lines) for lines in sets.values()]


def _stacked(stages: Sequence[_Stage], across: float) -> tuple[list[_Box], list[_Box]]:
    """Boxes of those who stay, one under the other, and between them those left out."""
    column: list[_Box] = []
    side: list[_Box] = []
    top, width = _EDGE_MM, _column_mm(across)
    for stage in stages:
        if stage.left_out:
            room, half = _SIDE_SHARE * across, 0.5 * _GAP_MM
            left = across - _EDGE_MM - room
            side.append(_Box(stage.left_out, left, top - half, room, style.BAND))
            top = side[-1].bottom + half
        if stage.lines:
            column.append(_Box(stage.lines, _EDGE_MM, top, width))
            top = column[-1].bottom + _GAP_MM
    return column, side


def _column_mm(across: float) -> float:
    """Width of a stage: that of a set, of which there are two as a rule."""
    return (across - 3 * _EDGE_MM) / 2


def _side_by_side(sets: Sequence[tuple[str, ...]], top: float, across: float) -> list[_Box]:
    """Boxes of the sets, sharing the width."""
    if not sets:
        return []
    width = (across - _EDGE_MM) / len(sets) - _EDGE_MM
    lefts = [_EDGE_MM + place * (width + _EDGE_MM) for place in range(len(sets))]
    return [_Box(lines, left, top, width) for lines, left in zip(sets, lefts, strict=True)]


def _draw_box(axes: Axes, box: _Box) -> None:
    height = box.bottom - box.top
    frame = Rectangle((box.left, box.top), box.width, height, facecolor=box.fill)
    frame.set(edgecolor=INK, linewidth=0.6)
    axes.add_patch(frame)
    text = axes.text(
        *(*box.centre, box.text),
        ha="center",
        va="center",
        linespacing=style.LINE_HEIGHT,
    )
    families = dict.fromkeys(
        family for name in style.names(box.lines, [""] * len(box.lines)) for family in name.families
    )
    text.set_fontfamily(list(families))
    text.set_parse_math(False)


def _join_column(axes: Axes, column: Sequence[_Box], side: Sequence[_Box]) -> None:
    """Arrows from stage to stage, and from them to those left out."""
    for above, under in pairwise(column):
        _arrow(axes, (above.centre[0], above.bottom), (under.centre[0], under.top))
    for box in side:
        middle = _EDGE_MM + _column_mm(axes.get_xlim()[1]) / 2
        _arrow(axes, (middle, box.centre[1]), (box.left, box.centre[1]))


def _join_sets(axes: Axes, last: _Box, sets: Sequence[_Box]) -> None:
    """A line across, with an arrow down to each set."""
    if not sets:
        return
    middle, fork = last.centre[0], sets[0].top - 0.75 * _GAP_MM
    across = sorted([middle, *(box.centre[0] for box in sets)])
    for ends in (((middle, middle), (last.bottom, fork)), ((across[0], across[-1]), (fork, fork))):
        axes.plot(*ends, color=DIM, linewidth=0.8)
    for box in sets:
        _arrow(axes, (box.centre[0], fork), (box.centre[0], box.top))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "-|>", "color": DIM, "linewidth": 0.8, "mutation_scale": 6.0}
    axes.annotate("", end, start, arrowprops={**look, "shrinkA": 0.0, "shrinkB": 0.0})
