"""Whose intervals hold the truth: coverage, width and interval score by target and method."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bayes_cmvt.figures import panel_rows, predictor_rows, shared_words, style
from bayes_cmvt.figures.coverage_axis import (
    coverage_axis,
    coverage_limits,
    draw_level,
    level_key,
    limits_words,
    monte_carlo,
)
from bayes_cmvt.figures.coverage_words import (
    METHOD_WORDS,
    PRINTED,
    SCENARIO_WORDS,
    data_sets,
    known_rows,
    left_out_words,
    method_looks,
    method_texts,
    plain_words,
    scenario_texts,
)
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.shared_words import dot
from bayes_cmvt.figures.style import DIM, FAINT, INK, Mark, Name

TARGET_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "risk": "risk, all patients",
        "risk_fifth_1": "lowest fifth of risk",
        "risk_fifth_2": "second fifth",
        "risk_fifth_3": "third fifth",
        "risk_fifth_4": "fourth fifth",
        "risk_fifth_5": "highest fifth of risk",
        "risk_top_5pc": "top 5 % of risk",
        "coefficient_zero": "zero coefficients",
        "coefficient_weak": "weak coefficients",
        "coefficient_strong": "strong coefficients",
        "auc": "AUC",
        "slope": "calibration slope",
        "net_benefit": "net benefit",
    }
)
# what a page without room for all keeps longest
_FIRST = (
    *("risk", "risk_top_5pc", "coefficient_weak", "risk_fifth_5", "coefficient_strong", "auc"),
    *("coefficient_zero", "risk_fifth_1", "net_benefit", "slope", "risk_fifth_3"),
)
_GROUPS = ("risk", "coefficient", "")  # beginnings of the names of targets; a line between them
_NUMBERS = ("coverage", "coverage_mcse", "width", "width_mcse")
_SCORES = ("interval_score", "interval_score_mcse", "data_sets", "interval")
_COLUMNS = ("scenario", "target", "method", *_NUMBERS, *_SCORES)
_LARGEST_RATIO = 10.0  # what is more times as wide, or as bad, is printed under the figure
_NARROW_MM = 120.0
_STEP_MM, _BETWEEN_MM, _NAME_MM = (0.95, 1.8), 1.3, (24.0, 29.0)
_MOST_SAID = 6  # values beyond an axis that are printed one by one


def plot_coverage(coverage: pd.DataFrame, *, width_mm: float | None = None) -> Figure:
    """Whose intervals hold the truth, how wide they are, and their interval score.

    For each scenario, from the left: coverage with its Monte Carlo limits beside the level asked
    for, mean width, and mean interval score (Gneiting & Raftery 2007, lower is better), the latter
    two as multiples of the credible interval's. The axis of the coverage shows the logarithm of
    the share that is missed, plus the share that may be missed: it is wide where intervals should
    be, and every value from 0 to 1 has its place. Width and score beyond ten times end in an arrow
    and are printed underneath. Where the page has no room for all targets, those named underneath
    are left out. Cells without a number are not drawn; nor are Wald intervals of chosen columns
    alone (``wald_selected``) and fifths of the predicted risk, which stand in the table.

    Parameters
    ----------
    coverage : DataFrame, one row for each scenario, target and method
        ``scenario, target, method, coverage, coverage_mcse, width, width_mcse, interval_score,
        interval_score_mcse, data_sets, interval``.
    width_mm : float, optional
        175 unless given.

    Returns
    -------
    Figure
        At most 230 mm high. Axes: coverage, width and score of each scenario.

    Raises
    ------
    OptionError
        A table without the columns above or without a known coverage, of intervals of several
        levels, or of more than seven methods.
    """
    table = known_rows(coverage, _COLUMNS, "coverage")
    width = width_mm or style.DOUBLE_MM
    with style.journal():
        figure = style.blank_figure(width, style.PAGE_MM)
        page = _page(table, width)
        blocks = [_scenario_blocks(figure, page, scenario) for scenario in page.scenarios]
        rows = [
            list(itertools.chain.from_iterable(blocks[first : first + page.across]))
            for first in range(0, len(blocks), page.across)
        ]
        rows = [panel_rows.in_rows(row, 3 * page.across)[0] for row in rows]
        heights = [page.height_mm] * len(rows)
        panel_rows.arrange(figure, rows, heights, keys=page.keys, note=page.note)
        figure.draw_without_rendering()
    return figure


# --- what is drawn, and where --------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """A target's place: from the top of the panel, in mm, with a line for each method."""

    name: str
    text: str
    top: float
    height: float
    methods: tuple[str, ...]
    step: float

    @property
    def middle(self) -> float:
        """Where the name stands."""
        return self.top + self.height / 2

    def line(self, method: str) -> float:
        """Where a method's interval stands."""
        return self.middle + self.step * (self.methods.index(method) - (len(self.methods) - 1) / 2)


@dataclass(frozen=True)
class _Page:
    """Everything that panels share."""

    table: pd.DataFrame
    width: float
    scenarios: tuple[str, ...]
    across: int  # scenarios beside each other
    looks: Mapping[str, Mark]
    targets: tuple[_Target, ...]
    called: tuple[Name, ...]
    limits: Mapping[str, tuple[float, float]]
    reference: str
    keys: Mapping[str, Any]
    note: str
    numbered: bool  # whether there is room for the numbers of the reference

    @property
    def height_mm(self) -> float:
        """Height of a panel."""
        return self.targets[-1].top + self.targets[-1].height

    def panel_mm(self, share: float) -> float:
        """Width of a panel, about: ticks are chosen before the panels have their places."""
        beside = 20.0 if self.numbered else 0.0
        gaps = style.GAP_MM * (3 * self.across - 1) + 2 * style.EDGE_MM
        names = _NAME_MM[self.width >= _NARROW_MM]
        return share / 3 * 0.95 * (self.width - names - beside - gaps) / self.across


_SHARES: Mapping[str, float] = MappingProxyType(
    {"coverage": 1.5, "width": 0.75, "interval_score": 0.75}  # 1 each on average, for `in_rows`
)


def _page(table: pd.DataFrame, width: float) -> _Page:
    scenarios = tuple(shared_words.ranked(table["scenario"], SCENARIO_WORDS))
    looks = method_looks(table["method"])
    across = 2 if len(scenarios) > 1 and width >= _NARROW_MM else 1
    reference = next(iter(looks))
    table = table.assign(**_ratios(table, reference))
    names = shared_words.ranked(table["target"], TARGET_WORDS)
    keys = _keys(looks, float(table["interval"].iloc[0]))
    numbered = across == 1 and width >= _NARROW_MM
    said = _explained(table, reference, numbered=numbered, several=across > 1)
    notes = [said, _beyond(table, looks)]
    room = _room_mm(keys, "\n".join([*filter(None, notes), _left_out(names)]), width)
    rows = -(-len(scenarios) // across)
    targets, called = _placed(table, names, (room / rows - 10.5, width))
    absent = [name for name in names if name not in {target.name for target in targets}]
    notes += [_left_out(absent)] if absent else []
    note = panel_rows.broken_lines("\n".join(filter(None, notes)), PRINTED * width)
    limits = {"coverage": coverage_limits(table)}
    limits |= {name: _ratio_limits(table[f"{name}_ratio"]) for name in ("width", "interval_score")}
    return _Page(
        *(table, width, scenarios, across, looks, targets, called, limits, reference),
        *(keys, note, numbered),
    )


def _ratios(table: pd.DataFrame, reference: str) -> dict[str, pd.Series[float]]:
    """Width and score as multiples of the reference's, with their Monte Carlo errors."""
    own = table[table["method"].eq(reference)].drop_duplicates(["scenario", "target"])
    own = own.set_index(["scenario", "target"])
    where = pd.MultiIndex.from_frame(table[["scenario", "target"]])
    found = {}
    for name in ("width", "interval_score"):
        base = own[name].where(own[name] > 0).reindex(where).to_numpy(dtype=float)
        found[f"{name}_ratio"] = table[name] / base
        found[f"{name}_ratio_mcse"] = table[f"{name}_mcse"] / base
    return found


def _room_mm(keys: Mapping[str, Any], note: str, width: float) -> float:
    """Height that a page leaves for panels with their headings."""
    font = panel_rows.font_of("".join(keys))
    columns = style.legend_columns(list(keys), width - 2 * style.EDGE_MM, font)
    said = panel_rows.broken_lines(note, PRINTED * width).count("\n") + 1
    around = 1.15 * style.legend_mm(len(keys), columns) + style.lines_mm(said)
    return style.PAGE_MM - around - style.lines_mm(2, style.LARGE) - 14.0


def _placed(
    table: pd.DataFrame, names: Sequence[str], room: tuple[float, float]
) -> tuple[tuple[_Target, ...], tuple[Name, ...]]:
    """As many targets as a height and a width have room for, the most telling ones first."""
    methods = {
        name: tuple(shared_words.ranked(own["method"], METHOD_WORDS))
        for name, own in table.groupby(table["target"], sort=False)
    }
    order = sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    name_mm = _NAME_MM[room[1] >= _NARROW_MM]
    for count in range(len(order), 0, -1):
        kept = [name for name in names if name in order[:count]]
        called = style.names(kept, [TARGET_WORDS.get(name, name) for name in kept])
        texts = style.fitted_names(called, name_mm, 2)
        for step in np.linspace(_STEP_MM[1], _STEP_MM[0], 18):
            chosen = _stacked(kept, texts, methods, float(step))
            if chosen[-1].top + chosen[-1].height <= room[0]:
                return chosen, tuple(called)
    return chosen, tuple(called)


def _stacked(
    names: Sequence[str],
    texts: Sequence[str],
    methods: Mapping[str, tuple[str, ...]],
    step: float,
) -> tuple[_Target, ...]:
    """Targets under each other, each as high as its name and its methods need."""
    placed, top = [], 0.0
    for name, text in zip(names, texts, strict=True):
        needed = step * len(methods[name]) + _BETWEEN_MM
        height = max(needed, style.lines_mm(1 + text.count("\n")) + 0.8)
        placed.append(_Target(name, text, top, height, methods[name], step))
        top += height
    return tuple(placed)


# --- words ---------------------------------------------------------------------------------------


def _keys(looks: Mapping[str, Mark], level: float) -> dict[str, Any]:
    keys: dict[str, Any] = {
        text: Line2D([], [], linewidth=0.8, **dot(mark, 3.2) | {"linestyle": "-"})
        for text, mark in zip(method_texts(list(looks)), looks.values(), strict=True)
    }
    return keys | level_key(level)


def _explained(table: pd.DataFrame, reference: str, *, numbered: bool, several: bool) -> str:
    said = [f"{limits_words(predictor_rows.percent(table))}."]
    (called,) = method_texts([reference])
    own = ", which stand beside the panels" if numbered else ""
    said.append(
        f"Mean width and interval score (lower is better): multiples of those of {called}{own}."
    )
    by_risk = table["target"].str.startswith("risk_").any()
    last = ["Fifths and top 5 % are of the true risk."] if by_risk else []
    last += ["Sets are data sets."] if several else []
    return "\n".join([*said, " ".join(last)]).strip()


def _left_out(absent: Sequence[str]) -> str:
    return left_out_words(plain_words(absent, TARGET_WORDS, 45.0))


def _beyond(table: pd.DataFrame, looks: Mapping[str, Mark]) -> str:
    """Widths and scores beyond their axes, in numbers."""
    called = dict(zip(looks, method_texts(list(looks)), strict=True))
    scenarios = shared_words.ranked(table["scenario"], SCENARIO_WORDS)
    titles = dict(zip(scenarios, scenario_texts(scenarios), strict=True))
    said = []
    for name, words in (("width", "width"), ("interval_score", "score")):
        ratio = table[f"{name}_ratio"]
        for _, row in table[(ratio < 1 / _LARGEST_RATIO) | (ratio > _LARGEST_RATIO)].iterrows():
            (target,) = plain_words([row["target"]], TARGET_WORDS, 45.0)
            number = row[f"{name}_ratio"]
            number = f"{number:.3g}" if np.isfinite(number) else "infinite"
            where = f"{titles[row['scenario']]}: " if len(titles) > 1 else ""
            said.append(f"{words} {number} ({where}{target}, {called[row['method']]})")
    more = len(said) - _MOST_SAID
    said = [*said[:_MOST_SAID], f"{more} more in the table"] if more > 0 else said
    return f"Beyond the axis: {'; '.join(said)}." if said else ""


# --- panels --------------------------------------------------------------------------------------


def _scenario_blocks(figure: Figure, page: _Page, scenario: str) -> list[Block]:
    """Coverage, width and score of a scenario; one block each."""
    own = page.table[page.table["scenario"].eq(scenario)]
    place = page.scenarios.index(scenario)
    if page.across > 1:  # a scenario beside another one has less room for words
        room = page.panel_mm(_SHARES["coverage"]) * style.SMALL / style.LARGE
        headings = [*scenario_texts([scenario], room), data_sets(own, "sets"), ""]
    else:
        headings = [f"{scenario_texts([scenario])[0]}, {data_sets(own)}", "", ""]
    blocks = []
    for number, name in enumerate(_SHARES):
        axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
        _draw_targets(axes, page)
        if number == 0 and place % page.across == 0:
            axes.set_yticks(
                [target.middle for target in page.targets],
                labels=[target.text for target in page.targets],
            )
            style.write_names(axes.get_yticklabels(), page.called)
        if number == 0:
            _draw_coverage(axes, page, own)
        else:
            _draw_ratio(axes, page, own, name)
        _title(axes, page, name, last=place + page.across >= len(page.scenarios))
        blocks.append(Block(axes, headings[number], share=_SHARES[name]))
    return blocks


def _draw_targets(axes: Axes, page: _Page) -> None:
    """Stripes of the targets and lines between their groups."""
    for target in page.targets[::2]:
        ends = target.top, target.top + target.height
        axes.axhspan(*ends, color=predictor_rows.STRIPE, linewidth=0, zorder=0)
    group = [next(k for k, g in enumerate(_GROUPS) if t.name.startswith(g)) for t in page.targets]
    for before, after, target in zip(group, group[1:], page.targets[1:], strict=False):
        if before != after:
            axes.axhline(target.top, color=DIM, linewidth=0.5, zorder=1)
    axes.set_ylim(page.height_mm, 0.0)
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="y", length=0, pad=5)


def _draw_coverage(axes: Axes, page: _Page, own: pd.DataFrame) -> None:
    level = float(own["interval"].iloc[0])
    coverage_axis(axes, level, page.limits["coverage"], page.panel_mm(_SHARES["coverage"]))
    draw_level(axes, level)
    for rows, at, mark in _lines(page, own):
        value = rows["coverage"].to_numpy(dtype=float)
        low, high = monte_carlo(value, rows["coverage_mcse"])
        axes.hlines(at, np.clip(low, 0, 1), np.clip(high, 0, 1), color=mark.colour, linewidth=0.8)
        axes.plot(value, at, clip_on=False, zorder=3, **dot(mark, _size(page)))


def _draw_ratio(axes: Axes, page: _Page, own: pd.DataFrame, name: str) -> None:
    """Width or score beside that of the reference; what leaves the axis ends in an arrow."""
    limits = page.limits[name]
    predictor_rows.log_axis(axes, limits, page.panel_mm(_SHARES[name]))
    axes.grid(axis="x", color=FAINT, linewidth=0.4, zorder=0.5)
    axes.set_axisbelow(True)
    axes.axvline(1.0, color=INK, linewidth=0.6, zorder=1)
    for rows, at, mark in _lines(page, own):
        value = rows[f"{name}_ratio"].to_numpy(dtype=float)
        low, high = map(pd.Series, monte_carlo(value, rows[f"{name}_ratio_mcse"]))
        look: dict[str, Any] = {"color": mark.colour, "linewidth": 0.8}
        predictor_rows.draw_spans(axes, (low, high), at, limits=limits, **look)
        inside = (value >= limits[0]) & (value <= limits[1])
        axes.plot(value[inside], at[inside], clip_on=False, zorder=3, **dot(mark, _size(page)))
    if page.numbered:
        rows = own[own["method"].eq(page.reference)].drop_duplicates("target")
        known = dict(zip(rows["target"], rows[name].astype(float), strict=True))
        drawn = [target for target in page.targets if np.isfinite(known.get(target.name, np.nan))]
        numbers = [_plain(known[target.name]) for target in drawn]
        axes.set_yticks([target.middle for target in drawn], labels=numbers)
        axes.tick_params(axis="y", pad=4)


def _plain(number: float) -> str:
    """Return two digits that count, never as a power of ten where that can be helped."""
    if not number or not 1e-3 <= abs(number) < 1e4:
        return f"{number:.2g}"
    return f"{number:.{max(0, 1 - int(np.floor(np.log10(abs(number)))))}f}"


def _title(axes: Axes, page: _Page, name: str, *, last: bool) -> None:
    """Numbers and title of the horizontal axis, under the last panel of a column."""
    if not last:
        axes.tick_params(axis="x", labelbottom=False)
        return
    level = predictor_rows.percent(page.table)
    titles = {"coverage": f"Coverage of {level} intervals", "width": "Relative width"}
    axes.set_xlabel((titles | {"interval_score": "Relative score"})[name])


def _lines(
    page: _Page, own: pd.DataFrame
) -> Iterable[tuple[pd.DataFrame, NDArray[np.float64], Mark]]:
    """Rows of each method that have a place, with where they stand and how they look."""
    places = {target.name: target for target in page.targets}
    drawn = own[own["target"].isin(list(places))]
    for method, mark in page.looks.items():
        rows = drawn[drawn["method"].eq(method)]
        at = [places[target].line(method) for target in rows["target"]]
        if at:
            yield rows, np.array(at), mark


def _size(page: _Page) -> float:
    """Size of a mark, in points: as the lines are apart."""
    return float(np.clip(2.1 * page.targets[0].step, 2.3, 3.4))


def _ratio_limits(ratio: pd.Series[float]) -> tuple[float, float]:
    """Ends of an axis of multiples: all of them up to ten times, and 1."""
    known = ratio[np.isfinite(ratio) & (ratio > 0)].to_numpy(dtype=float)
    ends = np.clip([*known, 0.5, 2.0], 1 / _LARGEST_RATIO, _LARGEST_RATIO)
    low, high = float(ends.min()), float(ends.max())
    return low / (high / low) ** 0.05, high * (high / low) ** 0.05
