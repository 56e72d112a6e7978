"""From total points to risk: the ruler, the risk axis, the panel with its bands, the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from bayes_cmvt.figures import style, tick_labels
from bayes_cmvt.figures.nomogram_rows import (
    GRID,
    LINE_MM,
    PAD_MM,
    PATIENT,
    SHORT_TICK_MM,
    TICK_MM,
    Scale,
    write_labels,
)
from bayes_cmvt.figures.style import INK
from bayes_cmvt.figures.tick_labels import TickLabel
from bayes_cmvt.nomogram_scales import Nomogram

Array = NDArray[np.float64]

ENVELOPE, INNER, RIDGE = "#E0E0E0", "#ABABAB", "#B3D4E8"
RULER_MM = TICK_MM + PAD_MM + LINE_MM  # ticks and one line of labels
_NEARLY_CERTAIN = 0.995  # the panel ends here where few need more: decisions are made below
_LOWEST_RISK = 1e-5  # and 1 less it: where the panel ends at the latest
_PANEL_RISKS = (
    *(0.00001, 0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    *(0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999, 0.99999),
)
_FARTHEST_SHARE = 0.2  # of the ruler, that a patient's interval may lengthen it by on either side
_LABELS_APART_MM = 3.4
_BAR_MM = 1.0  # of the patient's interval above the risk axis


@dataclass(frozen=True)
class Heights:
    """Where the lower part of a nomogram lies, in mm from the top of the page.

    Parameters
    ----------
    total, risk : float
        Lines of the ruler and of the risk axis.
    panel_top, panel_bottom : float
    ridge : float
        Height of the distribution of a patient's total points; 0 without a patient.
    """

    total: float
    risk: float
    panel_top: float
    panel_bottom: float
    ridge: float


# --- the scales ----------------------------------------------------------------------------------


def totals_scale(nomogram: Nomogram, left: float, width: float) -> Scale:
    """Total points across the page, with room for half a label at both ends."""
    total = nomogram.risk["total_points"].to_numpy(dtype=float)
    low, high = float(total.min()), float(total.max())
    if nomogram.patient is not None:
        ends = nomogram.patient.risk[["total_lower", "total_points", "total_upper"]].to_numpy()
        reach = _FARTHEST_SHARE * (high - low)
        low = min(low, max(float(np.nanmin(ends)), low - reach), float(ends[0, 1]))
        high = max(high, min(float(np.nanmax(ends)), high + reach), float(ends[0, 1]))
    high = high if high > low else low + 1.0
    edge = 3.0 * (high - low) / (width - 6.0)
    return Scale(left, width, low - edge, high + edge)


def risk_limits(nomograms: Sequence[Nomogram]) -> tuple[float, float]:
    """Lowest and highest risk of the panel: of the ticks, the bands and the patients."""
    found: list[float] = []
    for nomogram in nomograms:
        found += nomogram.risk_ticks["risk"].tolist()
        found += nomogram.risk[["lower_envelope", "upper_envelope"]].to_numpy().ravel().tolist()
        if nomogram.patient is not None:
            found += nomogram.patient.risk[["risk", "lower", "upper"]].to_numpy().ravel().tolist()
    if not np.isfinite(found).any():
        found = nomograms[0].risk["risk"].tolist()
    low, high = float(np.nanmin(found)), float(np.nanmax(found))
    if high > _NEARLY_CERTAIN:
        high = max(_NEARLY_CERTAIN, *_highest_read(nomograms))
    ends = np.clip([low, high], _LOWEST_RISK, 1 - _LOWEST_RISK)
    low_odds, high_odds = np.log(ends / (1 - ends)) + np.array([-0.15, 0.15])
    return float(1 / (1 + np.exp(-low_odds))), float(1 / (1 + np.exp(-high_odds)))


def _highest_read(nomograms: Sequence[Nomogram]) -> list[float]:
    """Highest risks that have to be in the panel: of patients, and of most totals with a band."""
    found = [0.0]
    for nomogram in nomograms:
        banded = nomogram.risk.loc[nomogram.risk["lower"].notna(), "risk"]
        found.append(float(banded.median()) if len(banded) else 0.0)
        if nomogram.patient is not None:
            found += nomogram.patient.risk[["risk", "upper"]].to_numpy(dtype=float).ravel().tolist()
    return [one for one in found if one == one]


def round_first(risks: Array, places: Array, apart: Array) -> list[int]:
    """Risks whose labels keep their distance; a half, tenths and hundredths before the others.

    Parameters
    ----------
    risks, places : ndarray, shape (tick,)
        Places in mm.
    apart : ndarray, shape (tick,)
        Half of the room that each label takes, in mm.
    """
    rarer = np.minimum(risks, 1 - risks)
    exponent = np.log10(rarer)
    uneven = ~(np.isclose(exponent, np.round(exponent)) | np.isclose(rarer, 0.5))
    kept: list[int] = []
    for place in np.lexsort((np.abs(np.log(rarer)), uneven)):
        gaps = np.abs(places[kept] - places[place]) - apart[kept] - apart[place]
        if (gaps >= 0).all():
            kept.append(int(place))
    return sorted(kept)


# --- rulers --------------------------------------------------------------------------------------


def draw_ruler(axes: Axes, scale: Scale, baseline: float, font: FontProperties) -> list[TickLabel]:
    """Ruler of the total points; returns its labels."""
    low, high = (scale.points(end) for end in (scale.left + 3.0, scale.left + scale.width - 3.0))
    found = MaxNLocator(nbins=max(4, round(scale.width / 9)), steps=[1, 2, 5, 10])
    ticks = np.array([tick for tick in found.tick_values(low, high) if low - 1e-6 <= tick <= high])
    texts = [f"{round(tick, 6):g}" for tick in ticks]
    labels = tick_labels.thinned(scale.mm(ticks), texts, scale.room, font)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    minor = np.arange(ticks[0], high + 1e-6, step / 2 if step % 5 else step / 5)
    axes.hlines(baseline, low, high, color=INK, linewidth=0.8, gid="total ruler")
    axes.vlines(minor, baseline, baseline + SHORT_TICK_MM, color=INK, linewidth=0.5)
    axes.vlines(ticks, baseline, baseline + TICK_MM, color=INK, linewidth=0.6)
    write_labels(axes, labels, baseline, scale)
    return labels


def draw_risk_axis(
    axes: Axes, nomogram: Nomogram, scale: Scale, baseline: float, font: FontProperties
) -> list[TickLabel]:
    """Axis of the risk under the ruler: even on the scale of the log odds; returns its labels."""
    ticks = nomogram.risk_ticks
    total = ticks["total_points"].to_numpy(dtype=float)
    low, high = (scale.points(end) for end in (scale.left + 3.0, scale.left + scale.width - 3.0))
    axes.hlines(baseline, low, high, color=INK, linewidth=0.8, gid="risk axis")
    major = ticks["major"].to_numpy(dtype=bool)
    for chosen, length in ((major, TICK_MM), (~major, SHORT_TICK_MM)):
        axes.vlines(
            total[chosen], baseline, baseline + length, color=INK, linewidth=0.6, gid="risk ticks"
        )
    risks = ticks["risk"].to_numpy(dtype=float)[major]
    places = scale.mm(total[major])
    texts = [_tick_text(risk) for risk in risks]
    half = np.array([style.text_mm(text, font) / 2 + 0.5 for text in texts])
    kept = round_first(risks, places, half)
    labels = [TickLabel(texts[k], float(places[k]), float(places[k])) for k in kept]
    write_labels(axes, labels, baseline, scale)
    return labels


def _tick_text(risk: float) -> str:
    """A round risk in per cent, exactly."""
    return f"{round(100 * risk, 6):g}"


# --- the panel -----------------------------------------------------------------------------------


def draw_panel(
    axes: Axes,
    nomogram: Nomogram,
    scale: Scale,
    limits: tuple[float, float],
    *,
    ruler: Sequence[TickLabel],
    first: bool,
) -> None:
    """Central risk with its inner band and envelope over the ticks of the ruler.

    Parameters
    ----------
    ruler : sequence of TickLabel
    first : bool
        Risks are written beside the first panel alone: all panels have the same scale.
    """
    risk = nomogram.risk
    total = risk["total_points"].to_numpy(dtype=float)
    axes.set_yscale("logit")
    axes.set(xlim=(scale.low, scale.high), ylim=limits)
    for lower, upper, colour, name in (
        ("lower_envelope", "upper_envelope", ENVELOPE, "envelope"),
        ("lower", "upper", INNER, "inner band"),
    ):
        # on a logit axis there is no place for 0 and 1
        low, high = (
            np.clip(risk[column].to_numpy(dtype=float), _LOWEST_RISK / 10, 1 - _LOWEST_RISK / 10)
            for column in (lower, upper)
        )
        axes.fill_between(total, low, high, color=colour, linewidth=0, zorder=1, gid=name)
    axes.plot(total, risk["risk"], color=INK, linewidth=1.0, zorder=3, gid="central risk")
    _risk_scale(axes, limits, first=first)
    axes.set_xticks([scale.points(label.tick) for label in ruler])
    axes.set_xticklabels([label.text for label in ruler])
    axes.grid(color=GRID, linewidth=0.5, zorder=0)
    axes.set_axisbelow(True)


def _risk_scale(axes: Axes, limits: tuple[float, float], *, first: bool) -> None:
    risks = np.array([risk for risk in _PANEL_RISKS if limits[0] <= risk <= limits[1]])
    ends = np.log(np.array(limits) / (1 - np.array(limits)))
    figure = axes.get_figure(root=True)
    height = axes.get_position().height * style.figure_mm(figure)[1]
    places = (np.log(risks / (1 - risks)) - ends[0]) / (ends[1] - ends[0]) * height
    kept = round_first(risks, places, np.full(len(risks), _LABELS_APART_MM / 2))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    texts = [_tick_text(risks[k]) if first else "" for k in kept]
    axes.set_yticks(risks[kept], labels=texts)


# --- the patient ---------------------------------------------------------------------------------


def draw_patient_total(
    axes: Axes,
    nomogram: Nomogram,
    scale: Scale,
    at: Heights,
    labels: tuple[list[TickLabel], list[TickLabel]],
) -> None:
    """Distribution of the total on the ruler, the interval on the risk axis, a line through both.

    Parameters
    ----------
    labels : tuple of two lists of TickLabel
        Of the ruler and of the risk axis: the line stops where it would cross one.
    """
    if nomogram.patient is None:
        return
    read: pd.Series[Any] = nomogram.patient.risk.iloc[0]
    total = float(read["total_points"])
    density = nomogram.patient.density
    if len(density):
        up = at.total - at.ridge * density["density"].to_numpy(dtype=float)
        place = density["total_points"].to_numpy(dtype=float)
        axes.fill_between(place, at.total, up, color=RIDGE, linewidth=0, zorder=1, gid="ridge")
        axes.plot(place, up, color=PATIENT, linewidth=0.6, zorder=2)
        axes.hlines(
            at.risk - _BAR_MM,
            *(float(read["total_lower"]), float(read["total_upper"])),
            color=PATIENT,
            linewidth=1.6,
            zorder=3,
            gid="patient interval",
        )
    middle = float(scale.mm(np.array(total)))
    ends = [at.total, at.total + TICK_MM, at.total + RULER_MM, at.risk]
    ends += [at.risk + TICK_MM, at.risk + RULER_MM, at.panel_top]
    hidden = [1] if _crossed(labels[0], middle) else []
    hidden += [4] if _crossed(labels[1], middle) else []
    for k in range(len(ends) - 1):
        if k not in hidden:
            axes.vlines(total, ends[k], ends[k + 1], color=PATIENT, linewidth=0.8, zorder=4)
    look: dict[str, Any] = {"linestyle": "none", "marker": "D", "markersize": 4.2, "zorder": 6}
    axes.plot([total, total], [at.total, at.risk], color=PATIENT, gid="patient total", **look)


def _crossed(labels: Sequence[TickLabel], place: float) -> bool:
    return any(abs(label.centre - place) < style.text_mm(label.text) / 2 + 0.5 for label in labels)


def draw_patient_risk(axes: Axes, nomogram: Nomogram) -> None:
    """Risk of the patient as the model gives it, with its exact interval, in the panel."""
    if nomogram.patient is None:
        return
    read = nomogram.patient.risk.iloc[0]
    total, risk = float(read["total_points"]), float(read["risk"])
    axes.axvline(total, color=PATIENT, linewidth=0.5, linestyle=":", zorder=2)
    if pd.notna(read["lower"]):
        reach = [[risk - float(read["lower"])], [float(read["upper"]) - risk]]
        axes.errorbar(
            total,
            risk,
            yerr=np.maximum(reach, 0.0),
            color=PATIENT,
            elinewidth=1.4,
            capsize=2.2,
            zorder=5,
        )
    axes.plot(total, risk, linestyle="none", marker="D", markersize=4.2, color=PATIENT, zorder=6)
