"""Diagnostics of a sampler: whether the chains agree and the draws are enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayes_cmvt.figures import panel_rows, style
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.style import BAND, DIM, FAINT, INK, Name

RHAT_LIMIT = 1.01  # Vehtari et al. 2021, doi:10.1214/20-BA1221
_RANKS = ("quantity", "label", "chain", "rank_lower", "rank_upper", "draws", "expected")
_ESS = ("quantity", "label", "draws", "ess_bulk", "ess_tail", "needed")
_ENERGY = ("chain", "energy", "marginal", "transition", "bfmi")
_LANE_MM, _LEAST_MM, _LOW_MM, _NARROW_MM = 3.6, 10.0, 34.0, 120.0
_MOST, _ACROSS = len(style.MARKS), 4


def plot_diagnostics(
    chain_ranks: pd.DataFrame,
    chain_ess: pd.DataFrame,
    pareto_k: pd.DataFrame,
    chain_energy: pd.DataFrame | None = None,
    diagnostics: pd.DataFrame | None = None,
    *,
    width_mm: float | None = None,
) -> Figure:
    """Whether the draws can be trusted, from their ranks to the patients left out.

    From the top: ranks of each chain's draws among all draws, a lane for each chain, level where
    the chains explore the same distribution; effective draws against the draws so far; energy of
    NUTS; R-hat of every quantity; Pareto k of the patients left out one by one.

    Parameters
    ----------
    chain_ranks : DataFrame, one row for each quantity, chain and bin
        ``quantity, label, chain, rank_lower, rank_upper, draws, expected, lower, upper``.
    chain_ess : DataFrame, one row for each quantity and number of draws
        ``quantity, label, draws, ess_bulk, ess_tail, needed``.
    pareto_k : DataFrame, one row for each bin
        ``k_lower, k_upper, patients, good_k``.
    chain_energy : DataFrame, optional
        ``chain, energy, marginal, transition, bfmi``; without it the panel is left out.
    diagnostics : DataFrame, optional
        ``quantity, gated, rhat``; without it the panel of R-hat is left out.
    width_mm : float, optional
        175 unless given.

    Returns
    -------
    Figure
        Axes: ranks of each quantity, effective draws (bulk, tail), energy, R-hat, k.

    Raises
    ------
    OptionError
        A table that is given without the columns above or without rows.
    """
    style.require_columns(chain_ranks, (*_RANKS, "lower", "upper"), "chain_ranks")
    style.require_columns(chain_ess, _ESS, "chain_ess")
    style.require_columns(pareto_k, ("k_lower", "k_upper", "patients", "good_k"), "pareto_k")
    with style.journal():
        width = width_mm or style.DOUBLE_MM
        figure = style.blank_figure(width, style.PAGE_MM)
        narrow = width < _NARROW_MM
        across = 3 if narrow else _ACROSS
        ranks = panel_rows.in_rows(_rank_blocks(figure, chain_ranks, across), across)
        _name_axes(ranks)
        others = _ess_blocks(figure, chain_ess)
        others += _energy_blocks(figure, chain_energy)
        others += _rhat_blocks(figure, diagnostics)
        others.append(_k_block(figure, pareto_k))
        below = panel_rows.in_rows(others, 2 if narrow or len(others) == 4 else 3)
        lanes = (_LANE_MM - 0.8 * narrow) * len(set(chain_ranks["chain"])) + 1.0
        lower = _LOW_MM - 9.0 * narrow
        heights = [max(lanes, _LEAST_MM)] * len(ranks) + [lower] * len(below)
        panel_rows.arrange(figure, [*ranks, *below], heights, keys=_keys(chain_ess))
        figure.draw_without_rendering()
    return figure


def _name_axes(rows: Sequence[Sequence[Block]]) -> None:
    """Names of the axes of ranks where nothing stands to the left, or under them."""
    for row in rows:
        row[0].axes.set_ylabel("Chain")
        for block in row if row is rows[-1] else ():
            block.axes.set_xlabel("Rank, as a share")
    for row in rows[:-1]:
        for block in row:
            block.axes.set_xticklabels([])


def _called(table: pd.DataFrame) -> list[Name]:
    """Quantities in the order of the table, as many as marks can keep apart."""
    known = table.drop_duplicates("quantity").head(_MOST)
    labels = known["label"].fillna("").astype(str).tolist()
    return style.names(known["quantity"].astype(str).tolist(), labels)


# --- ranks ---------------------------------------------------------------------------------------


def _rank_blocks(figure: Figure, ranks: pd.DataFrame, across: int) -> list[Block]:
    """A panel for each quantity; all have the same scale, and the chains' names once a row."""
    share = (ranks[["draws", "lower", "upper"]].div(ranks["expected"], axis="index") - 1).abs()
    widest = max(float(np.nanmax(share.to_numpy(dtype=float))), 0.05)
    called, blocks = _called(ranks), []
    room = 0.66 * style.figure_mm(figure)[0] / across
    for name, text in zip(called, style.fitted_names(called, room, 2), strict=True):
        axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
        own = ranks[ranks["quantity"].astype(str).eq(name.term)]
        _draw_ranks(axes, own, 0.45 / widest, every=across == _ACROSS)
        blocks.append(Block(axes, text))
    return blocks


def _draw_ranks(axes: Axes, ranks: pd.DataFrame, scale: float, *, every: bool) -> None:
    """One lane a chain, every one or the outer ones named: bins against what is expected."""
    chains = sorted(ranks["chain"].unique())
    top = float(ranks["rank_upper"].max())
    for lane, chain in enumerate(chains):
        own = ranks[ranks["chain"].eq(chain)].sort_values("rank_lower")
        edges = np.append(own["rank_lower"], own["rank_upper"].iloc[-1]) / top
        low, high, value = (
            lane + scale * (1 - own[column] / own["expected"])
            for column in ("lower", "upper", "draws")
        )
        look: dict[str, Any] = {"step": "post", "color": BAND, "linewidth": 0, "zorder": 1}
        limits = np.append(low, low.iloc[-1]), np.append(high, high.iloc[-1])
        axes.fill_between(edges, limits[0], limits[1], **look)
        axes.hlines(lane, 0, 1, color=FAINT, linewidth=0.4, zorder=2)
        axes.stairs(value, edges, baseline=None, color=INK, linewidth=0.8, zorder=3)
    axes.set(xlim=(0, 1), ylim=(len(chains) - 0.45, -0.55))
    axes.set_xticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    lanes = range(len(chains)) if every else (0, len(chains) - 1)
    axes.set_yticks(lanes, labels=[f"{int(chains[lane]) + _first(chains)}" for lane in lanes])
    axes.tick_params(axis="y", length=0)


def _first(chains: Sequence[int]) -> int:
    """Chains are counted from 1, whatever the table does."""
    return 1 if min(chains) == 0 else 0


# --- effective draws -----------------------------------------------------------------------------


def _ess_blocks(figure: Figure, ess: pd.DataFrame) -> list[Block]:
    called = _called(ess)
    blocks = []
    for column, words in (("ess_bulk", "bulk"), ("ess_tail", "tail")):
        axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
        for name, mark in zip(called, style.marks(len(called)), strict=True):
            own = ess[ess["quantity"].astype(str).eq(name.term)].sort_values("draws")
            look: dict[str, Any] = {"color": mark.colour, "linestyle": mark.line}
            look |= {"marker": mark.marker, "markeredgewidth": mark.edge}
            axes.plot(
                own["draws"] / 1000, own[column] / 1000, linewidth=0.8, markersize=2.6, **look
            )
        if words == "bulk":  # the gate asks nothing of the tail
            needed = ess.drop_duplicates("draws").sort_values("draws")
            axes.plot(needed["draws"] / 1000, needed["needed"] / 1000, **_limit_look())
        axes.set(xlim=(0, None), ylim=(0, None))
        axes.set(xlabel="Draws (thousands)", ylabel="Thousands")
        axes.locator_params(nbins=5)
        blocks.append(Block(axes, f"Effective draws: {words}"))
    return blocks


def _limit_look() -> dict[str, Any]:
    return {"color": INK, "linewidth": 1.0, "linestyle": (0, (1, 1)), "zorder": 4}


# --- energy, R-hat, k ----------------------------------------------------------------------------


def _energy_blocks(figure: Figure, energy: pd.DataFrame | None) -> list[Block]:
    """Of NUTS alone: other samplers have no energy."""
    if energy is None:
        return []
    style.require_columns(energy, _ENERGY, "chain_energy")
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    for _, own in energy.groupby("chain"):
        axes.plot(own["energy"], own["marginal"], color=INK, linewidth=0.8)
        axes.plot(own["energy"], own["transition"], color=DIM, linewidth=0.8, linestyle="--")
    axes.set(xlabel="Energy, centred", ylabel="Density", ylim=(0, None))
    axes.locator_params(nbins=4)
    lowest = float(energy["bfmi"].min())
    keys: dict[str, Any] = {
        "energy of the draws": Line2D([], [], color=INK, linewidth=0.8),
        "change from draw to draw": Line2D([], [], color=DIM, linewidth=0.8, linestyle="--"),
    }
    note = f"lowest E-BFMI {lowest:.2f}; 0.30 is needed"
    return [Block(axes, "Energy of NUTS", keys=keys, note=note)]


def _rhat_blocks(figure: Figure, diagnostics: pd.DataFrame | None) -> list[Block]:
    """A stroke for each quantity: those that the gate looks at above, the others below."""
    if diagnostics is None:
        return []
    style.require_columns(diagnostics, ("quantity", "gated", "rhat"), "diagnostics")
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    known = diagnostics[diagnostics["rhat"].notna()]
    gated = known["gated"].eq(True)
    lanes = {"gated": known.loc[gated, "rhat"], "reported only": known.loc[~gated, "rhat"]}
    for lane, values in enumerate(lanes.values()):
        axes.vlines(values, lane - 0.3, lane + 0.3, color=INK, linewidth=0.6, zorder=3)
    axes.axvline(RHAT_LIMIT, **_limit_look())
    highest = float(known["rhat"].max()) if len(known) else 1.0
    lowest = min(float(known["rhat"].min()) if len(known) else 1.0, 1.0)
    spare = 0.05 * (max(highest, RHAT_LIMIT) - lowest)
    axes.set(xlim=(lowest - spare, max(highest, RHAT_LIMIT) + spare), ylim=(1.6, -0.6))
    axes.set_yticks([0, 1], labels=["gated", "others"])
    axes.locator_params(axis="x", nbins=4)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("R-hat")
    above = int((lanes["gated"] >= RHAT_LIMIT).sum())
    note = f"{above} of {int(gated.sum())} gated quantities at {RHAT_LIMIT:g} or above"
    return [Block(axes, "R-hat of every quantity", note=note)]


def _k_block(figure: Figure, k: pd.DataFrame) -> Block:
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    good = float(k["good_k"].iloc[0])
    lower, patients = k["k_lower"].to_numpy(dtype=float), k["patients"].to_numpy(dtype=float)
    wide = k["k_upper"].to_numpy(dtype=float) - lower
    beyond = k["k_upper"].to_numpy(dtype=float) > good + 1e-9
    look: dict[str, Any] = {"align": "edge", "linewidth": 0.4}
    axes.bar(lower[~beyond], patients[~beyond], wide[~beyond], color=DIM, edgecolor="white", **look)
    axes.bar(
        *(lower[beyond], patients[beyond], wide[beyond]),
        **look,
        color="white",
        edgecolor=INK,
        hatch="////",
    )
    axes.axvline(good, **_limit_look())
    axes.set(xlabel="Pareto k", ylabel="Patients", ylim=(0, None))
    axes.locator_params(axis="x", nbins=4)
    axes.locator_params(axis="y", nbins=5)
    across = bool((beyond & (lower < good - 1e-9) & (patients > 0)).any())
    count = f"{'at most ' if across else ''}{patients[beyond].sum():.0f}"
    bad = f"{count} of {patients.sum():.0f} patients above {good:.2g}"
    return Block(axes, "Patients left out one by one", note=bad)


def _keys(ess: pd.DataFrame) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "draws in a bin of ranks, against those expected": Line2D([], [], color=INK, linewidth=0.8),
        "where a chain like the others stays": Patch(facecolor=BAND, linewidth=0),
        "needed, or the limit": Line2D([], [], **_limit_look()),
    }
    called = _called(ess)
    texts = style.fitted_names(called, 40.0)
    for text, mark in zip(texts, style.marks(len(called)), strict=True):
        look: dict[str, Any] = {"color": mark.colour, "linestyle": mark.line}
        look |= {"marker": mark.marker, "markeredgewidth": mark.edge, "markersize": 3.0}
        keys[text] = Line2D([], [], linewidth=0.8, **look)
    return keys
