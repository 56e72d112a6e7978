"""The axis of a coverage: most room near the level asked for, and Monte Carlo limits on it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike, NDArray

from bayes_cmvt.figures import style
from bayes_cmvt.figures.style import FAINT, INK

_ERRORS = 1.96  # Monte Carlo standard errors to each side
ERROR_WORDS = f"Lines: ± {_ERRORS:g} Monte Carlo standard errors"
_NEAR = 0.01  # of the level asked for, shaded
_SHADE = "#D2D2D2"
_DASHED: tuple[float, tuple[float, ...]] = (0, (4, 2))
_TICKS = (0.9, 0.8, 0.5, 0.7, 0.0, 0.6, 0.3, 0.98, 0.4, 0.2, 0.1, 0.85)  # the first have room first


def monte_carlo(
    value: ArrayLike, error: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits of values with Monte Carlo errors; an unknown error leaves the value alone."""
    middle, around = np.asarray(value, dtype=float), np.asarray(error, dtype=float)
    around = _ERRORS * np.where(np.isfinite(around), around, 0.0)
    return middle - around, middle + around


def coverage_limits(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: every value with its limits, and at least 0.85 to 1."""
    low, _ = monte_carlo(table["coverage"], table["coverage_mcse"])
    return float(np.clip(np.nanmin(low), 0.0, 0.85)), 1.0


def coverage_axis(
    axes: Axes,
    level: float,
    limits: tuple[float, float],
    room_mm: float,
    which: Literal["x", "y"] = "x",
) -> None:
    """Axis on which the share that is missed counts, so that coverage near its level has room.

    Its scale is −log(missed share + 1 − level): finite also where nothing is missed.

    Parameters
    ----------
    axes : Axes
    level : float in (0, 1)
        Coverage asked for.
    limits : pair of float
        Ends that must be seen.
    room_mm : float
        Length of the axis.
    which : {"x", "y"}
    """
    spare = 1.0 - level

    def stretched(value: ArrayLike) -> NDArray[np.float64]:
        missed: NDArray[np.float64] = 1.0 - np.asarray(value, dtype=float)
        return -np.log(np.maximum(missed + spare, 1e-9))

    def back(place: ArrayLike) -> NDArray[np.float64]:
        missed: NDArray[np.float64] = np.exp(-np.asarray(place, dtype=float)) - spare
        return 1.0 - missed

    ends = stretched(limits)
    margin = 0.03 * (ends[1] - ends[0])
    low, high = back([ends[0] - margin, ends[1] + margin])
    per_mm = float(ends[1] - ends[0] + 2 * margin) / room_mm
    scale, limit = (
        (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    )
    scale("function", functions=(stretched, back))
    limit(low, high)
    ticks: list[float] = []
    for tick in (level, 1.0, limits[0], *_TICKS):
        each = np.array([*ticks, tick])
        halves = [_tick_mm(value, which) / 2 + 0.6 for value in each]
        away = np.abs(stretched(each[:-1]) - stretched(tick)) / per_mm
        if low <= tick <= high and (away >= np.array(halves[:-1]) + halves[-1]).all():
            ticks += [tick] if tick != limits[0] or tick in _TICKS else []
    ticks = sorted(ticks)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())
    axes.grid(axis=which, color=FAINT, linewidth=0.4, zorder=0.5)
    axes.set_axisbelow(True)


def _tick_mm(tick: float, which: str) -> float:
    return style.text_mm(f"{tick:g}") if which == "x" else style.lines_mm(1)


def draw_level(axes: Axes, level: float, which: Literal["x", "y"] = "x") -> None:
    """Draw the level asked for as a line, within a shade of 1 point to each side."""
    shade, line = (axes.axvspan, axes.axvline) if which == "x" else (axes.axhspan, axes.axhline)
    shade(level - _NEAR, min(level + _NEAR, 1.0), color=_SHADE, linewidth=0, zorder=0.3)
    line(level, color=INK, linewidth=0.8, linestyle=_DASHED, zorder=1)


def level_key(level: float) -> dict[str, Any]:
    """Line of the level for a legend."""
    line: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": _DASHED}
    return {f"{100 * level:.4g} %, the level asked for": Line2D([], [], **line)}


def limits_words(level: str) -> str:
    """Return what lines and shade around a level are."""
    return f"{ERROR_WORDS}; shaded: {level} ± 1 point"
