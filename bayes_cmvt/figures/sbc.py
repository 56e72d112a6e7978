"""Figure of a simulation-based calibration: how evenly the true values rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bayes_cmvt.figures import panel_rows, style
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.style import BAND, DIM, FAINT, INK, Mark, Name

_NEEDED = ("quantity", "label", "p_value", "inside_envelope", "replications", "quantities")
_RANKS = ("quantity", "rank", "count", "envelope_lower", "envelope_upper")
_PANEL_MM, _NARROW_MM = 30.0, 120.0
_NAMED = 4  # coefficients outside the envelope that are told apart
_SLACK = 1.12  # of an axis, beyond what is drawn
_FAILING = style.MARKS[3]

type Floats = NDArray[np.float64]


def plot_sbc(
    sbc: pd.DataFrame, sbc_ranks: pd.DataFrame, *, width_mm: float | None = None
) -> Figure:
    """Ranks of the true values, against even ranks and the envelope that right ones stay within.

    Each panel shows the share of the data sets whose true value ranks at or below a share of the
    draws, less that share. A curve above 0 on the left: draws are too large on average; an arch
    on the left and a trough on the right: too narrow. All coefficients share a panel; those that
    leave the envelope are named, the ones with the smallest P values first.

    Parameters
    ----------
    sbc : DataFrame, one row for each quantity
        ``quantity, label, p_value, inside_envelope, replications, quantities``.
    sbc_ranks : DataFrame, one row for each quantity and rank
        ``quantity, rank, count, envelope_lower, envelope_upper``.
    width_mm : float, optional
        175 unless given.

    Returns
    -------
    Figure
        Axes: every quantity that is no coefficient, in the order of the table; last, all
        coefficients together.

    Raises
    ------
    OptionError
        A table without the columns above or without rows.
    """
    style.require_columns(sbc, _NEEDED, "sbc")
    style.require_columns(sbc_ranks, _RANKS, "sbc_ranks")
    with style.journal():
        width = width_mm or style.DOUBLE_MM
        figure = style.blank_figure(width, style.PAGE_MM)
        across = 2 if width < _NARROW_MM else 3
        rows = panel_rows.in_rows(_blocks(figure, sbc, sbc_ranks), across)
        _name_axes(rows)
        heights = [_PANEL_MM] * len(rows)
        panel_rows.arrange(figure, rows, heights, keys=_keys(sbc), note=_note(sbc))
        figure.draw_without_rendering()
    return figure


def _is_coefficient(quantity: str) -> bool:
    return quantity.lstrip("|").startswith("beta[")


def _keys(sbc: pd.DataFrame) -> dict[str, Any]:
    together = int(sbc["quantities"].iloc[0])
    keys: dict[str, Any] = {
        "share of true values up to a rank, less what is expected": _line(style.MARKS[0]),
        f"where a right sampler stays, all {together} quantities at once": Patch(
            facecolor=BAND, linewidth=0
        ),
    }
    if not sbc["inside_envelope"].all():
        keys["outside of it"] = _line(_FAILING)
    return keys


def _line(mark: Mark) -> Line2D:
    return Line2D([], [], **_look(mark))


def _note(sbc: pd.DataFrame) -> str:
    outside, together = int((~sbc["inside_envelope"].astype(bool)).sum()), len(sbc)
    limit = 0.05 / float(sbc["quantities"].iloc[0])
    return (
        f"{int(sbc['replications'].iloc[0]):,} simulated data sets; {outside} of {together} "
        f"quantities outside the envelope (P below {limit:.2g})."
    )


def _name_axes(rows: Sequence[Sequence[Block]]) -> None:
    """Names of the axes where nothing stands to the left, or below."""
    for row, below in zip(rows, [*rows[1:], []], strict=True):
        row[0].axes.set_ylabel("Share, less expected")
        for place, block in enumerate(row):
            if place >= len(below):
                block.axes.set_xlabel("Rank, as a share")


# --- panels --------------------------------------------------------------------------------------


def _blocks(figure: Figure, sbc: pd.DataFrame, ranks: pd.DataFrame) -> list[Block]:
    """A panel for each quantity; last, where names have room, all coefficients together."""
    together = sbc["quantity"].astype(str).map(_is_coefficient).to_numpy(dtype=bool)
    curves = {str(name): own.sort_values("rank") for name, own in ranks.groupby("quantity")}
    groups = [sbc.iloc[place : place + 1] for place in np.flatnonzero(~together)]
    groups += [sbc[together]] if together.any() else []
    return [_block(figure, group, curves) for group in groups]


def _block(figure: Figure, sbc: pd.DataFrame, curves: dict[str, pd.DataFrame]) -> Block:
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    several = _is_coefficient(str(sbc["quantity"].iloc[0]))
    ordered = sbc.sort_values("p_value", kind="stable")
    outside = ordered[~ordered["inside_envelope"].astype(bool)]
    looks = _looks(outside["quantity"].astype(str).tolist(), several=several)
    one = curves[str(sbc["quantity"].iloc[0])]
    reach = _draw_envelope(axes, one)
    for quantity in reversed(ordered["quantity"].astype(str).tolist()):
        at, deviation = _deviation(curves[quantity])
        reach = max(reach, float(np.abs(deviation).max()))
        look = looks.get(quantity, {"color": DIM if several else INK, "linewidth": 0.8})
        if several and quantity not in looks:
            look = look | {"linewidth": 0.4}
        axes.plot(at, deviation, zorder=4 if quantity in looks else 3, **look)
    axes.set(xlim=(0, 1), ylim=(-_SLACK * reach, _SLACK * reach))
    axes.set_xticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    axes.locator_params(axis="y", nbins=5)
    smallest = float(sbc["p_value"].min())
    if not several:
        return Block(axes, str(sbc["label"].iloc[0]), note=_probability(smallest))
    sizes = sbc["quantity"].astype(str).str.startswith("|").all()
    heading = f"{len(sbc)} coefficients{', size of each' if sizes else ''}"
    note = f"smallest {_probability(smallest)}"
    return Block(axes, heading, note=note, keys=_named(outside, looks))


def _looks(outside: list[str], *, several: bool) -> dict[str, dict[str, Any]]:
    """Lines of what leaves the envelope: of coefficients the first ones are told apart."""
    if not several:
        return {one: _look(_FAILING) for one in outside}
    others = (style.MARKS[3], style.MARKS[1], style.MARKS[4], style.MARKS[2])
    named = {one: _look(mark) for one, mark in zip(outside, others, strict=False)}
    return {one: {"color": _FAILING.colour, "linewidth": 0.5} for one in outside} | named


def _look(mark: Mark) -> dict[str, Any]:
    return {"color": mark.colour, "linestyle": mark.line, "linewidth": 1.0}


def _named(outside: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    called = style.names(
        outside["quantity"].astype(str).tolist(), outside["label"].fillna("").astype(str).tolist()
    )
    keys = {}
    for name, text in zip(called[:_NAMED], _texts(called[:_NAMED]), strict=True):
        keys[text] = Line2D([], [], **looks[name.term])
    if len(called) > _NAMED:
        thin: dict[str, Any] = {"color": _FAILING.colour, "linewidth": 0.5}
        keys[f"{len(called) - _NAMED} more outside"] = Line2D([], [], **thin)
    return keys


def _texts(called: Sequence[Name]) -> list[str]:
    return style.fitted_names(called, 34.0)


def _draw_envelope(axes: Axes, ranks: pd.DataFrame) -> float:
    """Band of a right sampler; how far it reaches from 0."""
    total, at = float(ranks["count"].sum()), _at(ranks)
    limits = [
        np.append(0.0, ranks[name].to_numpy(dtype=float) / total) - at
        for name in ("envelope_lower", "envelope_upper")
    ]
    axes.fill_between(at, limits[0], limits[1], color=BAND, linewidth=0, zorder=1)
    axes.axhline(0, color=FAINT, linewidth=0.4, zorder=2)
    return float(np.abs(limits).max())


def _deviation(ranks: pd.DataFrame) -> tuple[Floats, Floats]:
    """Where each rank stands, and by how much the share up to it is off; both start at 0."""
    count, at = ranks["count"].to_numpy(dtype=float), _at(ranks)
    return at, np.append(0.0, np.cumsum(count) / count.sum()) - at


def _at(ranks: pd.DataFrame) -> Floats:
    return np.linspace(0.0, 1.0, len(ranks) + 1)


def _probability(p: float) -> str:
    if p < 0.001:
        return "P < 0.001"
    return f"P {p:.2f}" if p >= 0.01 else f"P {p:.3f}"
